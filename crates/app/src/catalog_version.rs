//! A version of the products, for the invalidation of cached reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jangteo_domain::{Answer, Command, Reply, StoreError};

/// Counts the changes of products by this server, so that a read before a change is not cached after it. All clones
/// share the counter.
#[derive(Clone, Debug, Default)]
pub struct CatalogVersion(Arc<AtomicU64>);

impl CatalogVersion {
    /// The number of changes.
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Counts an executed command, unless it had no effect. Must be called before the command is answered.
    pub fn record(&self, command: &Command, answer: &Result<Answer, StoreError>) {
        let had_effect = match answer {
            Ok(Answer::Decided { outcome, rendered: _ }) => outcome.as_ref().is_ok_and(Reply::is_change),
            Ok(Answer::Replayed(_) | Answer::KeyReused) => false,
            // Of a lost commit the effect is unknown.
            Err(_) => true,
        };
        if had_effect && command.rule().changes_products() {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}
