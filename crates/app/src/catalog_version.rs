//! A version of the products, for the invalidation of cached reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jangteo_domain::Command;

/// Counts the changes of products by this server, so that a read before a change is not cached after it. All clones
/// share the counter.
#[derive(Clone, Debug, Default)]
pub struct CatalogVersion(Arc<AtomicU64>);

impl CatalogVersion {
    /// The number of changes.
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Counts an executed command. Must be called before the command is answered.
    pub fn record(&self, command: &Command) {
        if changes_products(command) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Whether the back office created or changed a product or adjusted its stock. Reservations of orders do not count:
/// they are frequent, and lists may show them a moment later.
fn changes_products(command: &Command) -> bool {
    match command {
        Command::CreateProduct(_) | Command::ChangeProduct(_) | Command::AdjustStock(_) => true,
        Command::TopUpPoints(_)
        | Command::AdjustPoints(_)
        | Command::CreateCampaign(_)
        | Command::ChangeCampaign(_)
        | Command::IssueCoupon(_)
        | Command::RevokeCoupon(_)
        | Command::PlaceOrder(_)
        | Command::PayOrder(_)
        | Command::CancelOrder(_)
        | Command::RefundOrder(_)
        | Command::ExpireOrder(_)
        | Command::RedeliverEvent(_) => false,
    }
}
