//! What a lane tells about its work, for the figures of whoever runs it.

use std::time::Duration;

/// Is told about every batch. Called on the lane's task: it must be quick, must not block and must
/// not panic.
pub trait Observer: Send + Sync + 'static {
    /// A batch has been run, or was lost; its callers have not been answered yet.
    fn batch_finished(&self, batch: &BatchReport);
}

/// Observes nothing.
impl Observer for () {
    fn batch_finished(&self, _: &BatchReport) {}
}

/// The figures of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchReport {
    /// The lane that ran it, counted from 0.
    pub lane: usize,
    /// How many items were run together; at least one. Those that came too late are not among them.
    pub size: usize,
    /// How long the longest-waiting item stood in the queue.
    pub waited_max: Duration,
    /// How long the runner took.
    pub ran_for: Duration,
    /// How it ended.
    pub outcome: BatchOutcome,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Every item has its answer.
    Answered,
    /// The runner panicked or broke its contract: no item has an answer, and nobody knows what took
    /// effect.
    Lost,
}
