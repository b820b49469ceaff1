//! An accepted item, as its lane sees it ([`Ticket`]) and as its caller sees it ([`Pending`]).
//!
//! Both hold the same slot, and whoever empties it has the last word: a lane that took the item
//! runs it, a caller that took it back at its deadline knows that nothing happens any more. Neither
//! can be wrong about the other.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::SubmitError;

/// Splits an item into the lane's half and the caller's half.
pub(crate) fn accept<Item, Answer>(
    item: Item,
    deadline: Instant,
    place: OwnedSemaphorePermit,
) -> (Ticket<Item, Answer>, Pending<Item, Answer>) {
    let slot = Arc::new(Slot(Mutex::new(Some(item))));
    let (reply, answer) = oneshot::channel();
    let ticket = Ticket { slot: Arc::clone(&slot), deadline, accepted_at: Instant::now(), reply, _place: place };
    (ticket, Pending { slot, deadline, answer })
}

/// The half that waits in the queue. It keeps its place there until the lane takes it out.
pub(crate) struct Ticket<Item, Answer> {
    slot: Arc<Slot<Item>>,
    deadline: Instant,
    pub(crate) accepted_at: Instant,
    reply: oneshot::Sender<Answer>,
    _place: OwnedSemaphorePermit,
}

impl<Item, Answer> Ticket<Item, Answer> {
    /// The item to run and where its answer goes; nothing when it is too late or the caller has
    /// taken it back.
    pub(crate) fn claim(self, now: Instant) -> Option<(Item, oneshot::Sender<Answer>)> {
        if self.deadline <= now {
            return None;
        }
        self.slot.take().map(|item| (item, self.reply))
    }
}

/// The half that waits for the answer. Dropping it takes nothing back.
pub(crate) struct Pending<Item, Answer> {
    slot: Arc<Slot<Item>>,
    pub(crate) deadline: Instant,
    answer: oneshot::Receiver<Answer>,
}

impl<Item, Answer> Pending<Item, Answer> {
    pub(crate) async fn answer(self) -> Result<Answer, SubmitError> {
        if let Ok(Ok(answer)) = timeout_at(self.deadline, self.answer).await {
            return Ok(answer);
        }
        if self.slot.take().is_none() {
            return Err(SubmitError::AnswerUnknown);
        }
        // Taken back before any lane had it: too late, or the lane has ended and left its queue
        // behind.
        if self.deadline <= Instant::now() { Err(SubmitError::DeadlinePassed) } else { Err(SubmitError::ShuttingDown) }
    }
}

struct Slot<Item>(Mutex<Option<Item>>);

impl<Item> Slot<Item> {
    fn take(&self) -> Option<Item> {
        // Nothing can panic while the lock is held, so a poisoned slot is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
