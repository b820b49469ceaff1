//! Deletes what is old enough and not needed any more, a little at a time, so that nobody who writes waits for it. Any
//! number of servers may do it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use jangteo_domain::retention::{PruneTarget, Pruning, Retention};

use crate::telemetry;
use crate::telemetry::chain;

/// The most rows of a transaction: its locks are held for some milliseconds.
const ROWS_MAX: u32 = 1_000;
/// The pause between two transactions while there is more to delete: most of the time the database works for others.
const PAUSE: Duration = Duration::from_millis(50);
/// How often is looked for what has become old enough.
const INTERVAL: Duration = Duration::from_secs(10);

/// Deletes again and again.
pub struct Pruner {
    pruning: Arc<dyn Pruning>,
    retention: Retention,
}

impl Pruner {
    /// A pruner that keeps everything as long as it is to be kept.
    pub fn new(pruning: Arc<dyn Pruning>, retention: Retention) -> Self {
        Self { pruning, retention }
    }

    /// Prunes until it is dropped. A transaction that is under way then still commits, or is rolled back.
    pub async fn run(self) {
        loop {
            let is_done = self.prune_all().await;
            sleep(if is_done { INTERVAL } else { PAUSE }).await;
        }
    }

    /// Deletes at most [`ROWS_MAX`] rows of each kind; answers whether that was all.
    async fn prune_all(&self) -> bool {
        let mut is_done = true;
        for what in PruneTarget::ALL {
            match self.pruning.prune(what, self.retention.of(what), ROWS_MAX).await {
                Ok(rows) => {
                    metrics::counter!(telemetry::ROWS_PRUNED, "kind" => what.name()).increment(rows.into());
                    is_done &= rows < ROWS_MAX;
                }
                Err(error) => {
                    let (kind, cause) = (error.kind(), chain(&error));
                    tracing::warn!(what = what.name(), kind, cause, "old rows cannot be deleted");
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
    async fn goes_on_for_as_long_as_there_is_more_to_prune_of_any_kind() {
        let mut pruning = MockPruning::new();
        let mut left = 2_500_u32;
        pruning.expect_prune().returning(move |what, age, limit| {
            assert_eq!(age, RETENTION.of(what));
            if what == PruneTarget::CommitMarkers {
                return Err(StoreError::unexpected("what fails is not in the way of the others"));
            }
            let rows = if what == PruneTarget::DeliveredEvents { left.min(limit) } else { 0 };
            left -= rows;
            Ok(rows)
        });
        let pruner = Pruner::new(Arc::new(pruning), RETENTION);
        let done = [pruner.prune_all().await, pruner.prune_all().await, pruner.prune_all().await];
        assert_eq!(done, [false, false, true]);
    }
}
