//! The callers' side: a place in the queue, the right lane, and the wait for the answer.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{Semaphore, TryAcquireError, mpsc, watch};
use tokio::time::Instant;

use crate::accepted::{Pending, Ticket, accept};
use crate::drain::Drain;
use crate::lane::{BatchRunner, Lane};
use crate::observer::Observer;

/// The bounds of a set of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most items that one batch holds. What a batch does in one go is locked for as long as it
    /// runs, so this bounds how long the next batch waits; 1 turns batching off.
    pub batch_max: NonZeroUsize,
    /// The most items that wait, over all lanes together; those that are being run are not counted.
    /// Beyond it a caller is better off with a rejection now than with a timeout later.
    pub queue_max: NonZeroUsize,
}

/// How long a caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// An item whose turn has not come by then is not run any more. Under a load that the lanes
    /// cannot carry this bounds the queue in time: those who are run have waited so long at the
    /// most, and the others know by then that nothing happened, while the lanes go on at their best
    /// rate.
    pub turn_by: Instant,
    /// Nobody waits for an answer after it, whether or not the item is being run; nor for a turn.
    pub answer_by: Instant,
}

impl Deadlines {
    pub(crate) fn last_turn(&self) -> Instant {
        self.turn_by.min(self.answer_by)
    }
}

/// Waits in the queue for as long as for the answer.
impl From<Instant> for Deadlines {
    fn from(deadline: Instant) -> Self {
        Self { turn_by: deadline, answer_by: deadline }
    }
}

/// A lane takes all of a queue up to this long, and half of a longer one, though no less than this.
///
/// Whoever is answered tends to come back. If a lane took all who wait, those who answer callers and the other lanes would
/// have nothing to do until it is done, and then meet all of them at once; those of the first half keep the others busy
/// during the second. In a batch of this size, what the batch costs by itself is little beside its items.
pub(crate) const WHOLE_QUEUE_MAX: usize = 96;

/// Starts one lane for each runner, as a task on the current tokio runtime.
///
/// Lanes live as long as that runtime: start them on the main one, not on one that ends with a
/// request or a worker.
///
/// # Panics
/// Without a runner, or outside of a tokio runtime.
pub fn start<R: BatchRunner>(runners: Vec<R>, settings: Settings) -> (GroupCommit<R::Item, R::Answer>, Drain) {
    start_observed(runners, settings, ())
}

/// As [`start`], and tells the observer about every batch.
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
    let (draining_sender, draining) = watch::channel(false);

    let batch_max = settings.batch_max.get();
    let mut queues = Vec::with_capacity(runners.len());
    let mut lanes = Vec::with_capacity(runners.len());
    for (index, runner) in runners.into_iter().enumerate() {
        // Unbounded only in name: every ticket in it holds one of the places.
        let (sender, queue) = mpsc::unbounded_channel();
        let lane =
            Lane { index, runner, queue, draining: draining.clone(), batch_max, observer: Arc::clone(&observer) };
        queues.push(sender);
        lanes.push(tokio::spawn(lane.run()));
    }

    let group_commit = GroupCommit { queues: queues.into(), places: Arc::clone(&places), places_max };
    (group_commit, Drain { places, draining: draining_sender, lanes })
}

/// Submits items to the lanes. Cheap to clone; all clones share the lanes and the bounds.
pub struct GroupCommit<Item, Answer> {
    queues: Arc<[mpsc::UnboundedSender<Ticket<Item, Answer>>]>,
    places: Arc<Semaphore>,
    places_max: usize,
}

/// Why there is no answer. In every case but the last, the item was not run and never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The lanes take nothing new. Nothing happened.
    #[error("the lanes are shutting down; nothing happened")]
    ShuttingDown,
    /// As many items wait as may. Nothing happened.
    #[error("the queue is full; nothing happened")]
    QueueFull,
    /// The item waited in the queue for as long as it may. Nothing happened.
    #[error("the deadline passed in the queue; nothing happened")]
    DeadlinePassed,
    /// The item was still being run at its deadline, or its batch was lost while it ran: the effect
    /// may or may not take place.
    #[error("no answer came in time; the effect may or may not take place")]
    AnswerUnknown,
}

impl<Item, Answer> GroupCommit<Item, Answer> {
    /// Waits for the answer to an item, in the queue and while it is run, for as long as that
    /// patience lasts.
    ///
    /// Items of equal `affinity` go to the same lane and are run in the order in which they were
    /// accepted; those that would wait for each other in the database are better off there. The
    /// item is accepted at the first poll. From then on it is run whether or not this future is
    /// still there, unless its turn comes too late.
    ///
    /// # Errors
    /// [`ShuttingDown`](SubmitError::ShuttingDown) and [`QueueFull`](SubmitError::QueueFull) at
    /// once, [`DeadlinePassed`](SubmitError::DeadlinePassed) when no lane has got to the item by
    /// [`turn_by`](Deadlines::turn_by), and [`AnswerUnknown`](SubmitError::AnswerUnknown) when it
    /// is still being run at [`answer_by`](Deadlines::answer_by), or when its batch is lost.
    ///
    /// # Panics
    /// When polled on a runtime without a time driver.
    pub async fn submit(
        &self,
        item: Item,
        affinity: u64,
        patience: impl Into<Deadlines>,
    ) -> Result<Answer, SubmitError> {
        self.enqueue(item, affinity, patience)?.answer().await
    }

    /// How many items wait in the queue now, over all lanes; those that are being run are not
    /// counted.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    pub(crate) fn enqueue(
        &self,
        item: Item,
        affinity: u64,
        patience: impl Into<Deadlines>,
    ) -> Result<Pending<Item, Answer>, SubmitError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|rejection| match rejection {
            TryAcquireError::Closed => SubmitError::ShuttingDown,
            TryAcquireError::NoPermits => SubmitError::QueueFull,
        })?;
        let (ticket, pending) = accept(item, patience.into(), place);
        // A queue without a receiver belongs to a lane that has ended since the place was taken.
        self.queue(affinity).send(ticket).map_err(|_| SubmitError::ShuttingDown)?;
        Ok(pending)
    }

    fn queue(&self, affinity: u64) -> &mpsc::UnboundedSender<Ticket<Item, Answer>> {
        // The remainder is less than a length, so it is a `usize` on every machine.
        &self.queues[(affinity % self.queues.len() as u64) as usize]
    }
}

// Derived, these would ask for `Item: Clone` and `Item: Debug`.
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
