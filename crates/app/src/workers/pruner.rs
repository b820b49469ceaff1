//! Deletes expired rows in short transactions, so that writers do not wait for it. Any number of servers may run it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use jangteo_domain::retention::{PruneTarget, Pruning, Retention};

use crate::error_chain::chain;
use crate::telemetry;

/// Maximum rows per transaction: its locks last for some milliseconds.
const ROWS_MAX: u32 = 1_000;
/// Pause between transactions while rows remain, so that pruning takes a small share of the database's time.
const PAUSE: Duration = Duration::from_millis(50);
/// Pause once no expired row remains.
const INTERVAL: Duration = Duration::from_secs(10);

/// Deletes expired rows, in small transactions with pauses.
pub struct Pruner {
    pruning: Arc<dyn Pruning>,
    retention: Retention,
}

impl Pruner {
    /// A pruner with these ages.
    pub fn new(pruning: Arc<dyn Pruning>, retention: Retention) -> Self {
        Self { pruning, retention }
    }

    /// Prunes until it is dropped. A transaction in flight then commits or is rolled back.
    pub async fn run(self) {
        loop {
            let is_done = self.prune_all().await;
            sleep(if is_done { INTERVAL } else { PAUSE }).await;
        }
    }

    /// Deletes at most [`ROWS_MAX`] rows of each kind; returns whether none remains.
    async fn prune_all(&self) -> bool {
        let mut is_done = true;
        for target in PruneTarget::ALL {
            match self.pruning.prune(target, self.retention.of(target), ROWS_MAX).await {
                Ok(rows) => {
                    metrics::counter!(telemetry::ROWS_PRUNED, "kind" => target.name()).increment(rows.into());
                    is_done &= rows < ROWS_MAX;
                }
                Err(error) => {
                    let (kind, cause) = (error.kind(), chain(&error));
                    tracing::warn!(prune_target = target.name(), kind, cause, "old rows cannot be deleted");
                }
            }
        }
        is_done
    }
}

#[cfg(test)]
mod tests {
    use jangteo_domain::StoreError;
    use jangteo_domain::retention::MockPruning;
    use time::Duration as Age;

    use super::*;

    const RETENTION: Retention = Retention { answered_requests: Age::days(2), delivered_events: Age::days(3) };

    #[tokio::test]
    async fn continues_while_rows_of_any_kind_remain() {
        let mut pruning = MockPruning::new();
        let mut left = 2_500_u32;
        pruning.expect_prune().returning(move |target, age, limit| {
            assert_eq!(age, RETENTION.of(target));
            if target == PruneTarget::CommitMarkers {
                return Err(StoreError::unexpected("one kind fails"));
            }
            let rows = if target == PruneTarget::DeliveredEvents { left.min(limit) } else { 0 };
            left -= rows;
            Ok(rows)
        });
        let pruner = Pruner::new(Arc::new(pruning), RETENTION);
        let done = [pruner.prune_all().await, pruner.prune_all().await, pruner.prune_all().await];
        assert_eq!(done, [false, false, true]);
    }
}
