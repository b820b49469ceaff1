//! Deletes what is old enough and not needed any more, a little at a time, so that nobody who writes waits for it. Any
//! number of servers may do it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use jangteo_domain::retention::{PruneTarget, Pruning, Retention};

use crate::problem::chain;
use crate::telemetry;

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

    /// Prunes until `stop` becomes true or its sender is gone.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            // A transaction that is left half-way goes on by itself, or is rolled back.
            let pause = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                is_done = self.prune_all() => if is_done { INTERVAL } else { PAUSE },
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(pause) => {}
            }
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
