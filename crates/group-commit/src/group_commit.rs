//! The interface for callers: a bounded queue, lane selection by affinity, and the wait for the answer.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{Semaphore, TryAcquireError, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::accepted::{Pending, Ticket, accept};
use crate::drain::Drain;
use crate::lane::{BatchRunner, Lane};
use crate::observer::Observer;

/// The bounds of a set of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The maximum of items in a batch. A batch locks its rows until it commits, so this bounds the wait of the next batch;
    /// 1 disables batching.
    pub batch_max: NonZeroUsize,
    /// The maximum of queued items over all lanes, without running ones. Beyond it, items are rejected immediately rather
    /// than after a timeout.
    pub queue_max: NonZeroUsize,
}

/// The deadlines of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// The deadline of the start. An item not started by then is never run, so that under overload the queue wait of
    /// executed items is bounded and the lanes continue at full throughput.
    pub turn_by: Instant,
    /// The deadline of the answer, whether or not the item has started.
    pub answer_by: Instant,
}

impl Deadlines {
    pub(crate) fn last_turn(&self) -> Instant {
        self.turn_by.min(self.answer_by)
    }
}

/// One deadline for both start and answer.
impl From<Instant> for Deadlines {
    fn from(deadline: Instant) -> Self {
        Self { turn_by: deadline, answer_by: deadline }
    }
}

/// A batch takes a queue of at most this length as a whole, and half of a longer one but no less than this.
///
/// Answered callers tend to send their next request soon. Half batches overlap the execution of one half with the replies
/// to, and new requests of, the other; whole batches would alternate between idle and overloaded callers and lanes. From
/// this size on, the fixed cost of a batch is small compared to its items.
pub(crate) const WHOLE_QUEUE_MAX: usize = 96;

/// Starts one lane for each runner, as a task on the current tokio runtime, which must outlive all requests.
///
/// # Panics
/// Without a runner, or outside of a tokio runtime.
pub fn start<R: BatchRunner>(runners: Vec<R>, settings: Settings) -> (GroupCommit<R::Item, R::Answer>, Drain) {
    start_observed(runners, settings, ())
}

/// Like [`start`], with an observer of all batches.
///
/// # Panics
/// Without a runner, or outside of a tokio runtime.
pub fn start_observed<R: BatchRunner>(
    runners: Vec<R>,
    settings: Settings,
    observer: impl Observer,
) -> (GroupCommit<R::Item, R::Answer>, Drain) {
    assert!(!runners.is_empty(), "group commit needs at least one runner");
    let observer: Arc<dyn Observer> = Arc::new(observer);
    let places_max = settings.queue_max.get().min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places_max));
    let draining = CancellationToken::new();

    let batch_max = settings.batch_max.get();
    let mut queues = Vec::with_capacity(runners.len());
    let mut lanes = Vec::with_capacity(runners.len());
    for (index, runner) in runners.into_iter().enumerate() {
        // Bounded by `places`: every queued ticket owns a permit.
        let (sender, queue) = mpsc::unbounded_channel();
        let lane =
            Lane { index, runner, queue, draining: draining.clone(), batch_max, observer: Arc::clone(&observer) };
        queues.push(sender);
        lanes.push(tokio::spawn(lane.run()));
    }

    let group_commit = GroupCommit { queues: queues.into(), places: Arc::clone(&places), places_max };
    (group_commit, Drain { places, draining, lanes })
}

/// Submits items to the lanes. Cheap to clone; all clones share the lanes and the bounds.
pub struct GroupCommit<Item, Answer> {
    queues: Arc<[mpsc::UnboundedSender<Ticket<Item, Answer>>]>,
    places: Arc<Semaphore>,
    places_max: usize,
}

/// Reasons for a missing answer. Except for [`AnswerUnknown`](Self::AnswerUnknown), the item never runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Shutdown has begun. No effect.
    #[error("the lanes are shutting down; the item was not run")]
    ShuttingDown,
    /// [`Settings::queue_max`] items are queued. No effect.
    #[error("the queue is full; the item was not run")]
    QueueFull,
    /// The item was not started by its deadline. No effect.
    #[error("the deadline passed in the queue; the item was not run")]
    DeadlinePassed,
    /// The item was still running at its deadline, or its batch was lost: its effect is unknown.
    #[error("no answer within the deadline; the effect is unknown")]
    AnswerUnknown,
}

impl<Item, Answer> GroupCommit<Item, Answer> {
    /// Queues an item and waits for its answer.
    ///
    /// Items of equal `affinity` run in the same lane, in order of acceptance: use it for items that contend for the same
    /// rows. The item is accepted at the first poll; dropping the future afterwards does not cancel it.
    ///
    /// # Errors
    /// [`ShuttingDown`](SubmitError::ShuttingDown) and [`QueueFull`](SubmitError::QueueFull) immediately,
    /// [`DeadlinePassed`](SubmitError::DeadlinePassed) at [`turn_by`](Deadlines::turn_by) unless the item has started, and
    /// [`AnswerUnknown`](SubmitError::AnswerUnknown) at [`answer_by`](Deadlines::answer_by) or when its batch is lost.
    ///
    /// # Panics
    /// When polled on a runtime without a time driver.
    pub async fn submit(
        &self,
        item: Item,
        affinity: u64,
        deadlines: impl Into<Deadlines>,
    ) -> Result<Answer, SubmitError> {
        self.enqueue(item, affinity, deadlines)?.answer().await
    }

    /// The number of queued items over all lanes, without running ones.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    pub(crate) fn enqueue(
        &self,
        item: Item,
        affinity: u64,
        deadlines: impl Into<Deadlines>,
    ) -> Result<Pending<Item, Answer>, SubmitError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|rejection| match rejection {
            TryAcquireError::Closed => SubmitError::ShuttingDown,
            TryAcquireError::NoPermits => SubmitError::QueueFull,
        })?;
        let (ticket, pending) = accept(item, deadlines.into(), place);
        // Without a receiver, the lane has ended since the permit was acquired.
        self.queue(affinity).send(ticket).map_err(|_| SubmitError::ShuttingDown)?;
        Ok(pending)
    }

    fn queue(&self, affinity: u64) -> &mpsc::UnboundedSender<Ticket<Item, Answer>> {
        // A remainder below a `usize` fits a `usize`.
        &self.queues[(affinity % self.queues.len() as u64) as usize]
    }
}

// Derived impls would require `Item: Clone` and `Item: Debug`.
impl<Item, Answer> Clone for GroupCommit<Item, Answer> {
    fn clone(&self) -> Self {
        Self { queues: Arc::clone(&self.queues), places: Arc::clone(&self.places), places_max: self.places_max }
    }
}

impl<Item, Answer> fmt::Debug for GroupCommit<Item, Answer> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GroupCommit").field("lanes", &self.queues.len()).field("depth", &self.depth()).finish()
    }
}
