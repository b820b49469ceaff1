//! What this server has done to the products.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jangteo_domain::Command;

/// Counts the changes of products that went through this server, so that what was read before one is not taken for what
/// is there after it. All clones count together.
#[derive(Clone, Debug, Default)]
pub struct CatalogVersion(Arc<AtomicU64>);

impl CatalogVersion {
    /// How many changes there have been.
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Notes that the command has been carried out; to be called before anybody is told of it.
    pub fn record(&self, command: &Command) {
        if changes_products(command) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Whether somebody of the back office made a product, described it anew or counted its stock. What orders take from a
/// stock and bring back is no change of the products: it happens all the time, and lists may tell it a moment later.
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
