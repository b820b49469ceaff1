//! Statistics of batches, for metrics.

use std::time::Duration;

/// Called for every batch on the lane's task: it must return quickly and neither block nor panic.
pub trait Observer: Send + Sync + 'static {
    /// Called after the batch and before its replies.
    fn batch_finished(&self, batch: &BatchReport);
}

/// For queues without metrics.
impl Observer for () {
    fn batch_finished(&self, _: &BatchReport) {}
}

/// Statistics of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchReport {
    /// The index of the lane, from 0.
    pub lane: usize,
    /// The number of items run, at least one; expired items are not counted.
    pub size: usize,
    /// The longest time that an item of the batch was queued.
    pub waited_max: Duration,
    /// The duration of [`BatchRunner::run`](crate::BatchRunner::run).
    pub ran_for: Duration,
    /// Whether the items have answers.
    pub outcome: BatchOutcome,
}

/// The outcome of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Every item has an answer.
    Answered,
    /// The runner panicked or violated its contract: no item has an answer, and the effects are unknown.
    Lost,
}
