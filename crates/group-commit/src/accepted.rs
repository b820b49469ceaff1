//! An accepted item: the lane's half ([`Ticket`]) and the caller's half ([`Pending`]).
//!
//! Both share a slot. The lane empties it to run the item, the caller to cancel the item at its deadline; only one of
//! them can succeed, so a caller is never wrong about whether its item runs.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::{Deadlines, SubmitError};

/// Splits an item into the lane's half and the caller's half.
pub(crate) fn accept<Item, Answer>(
    item: Item,
    deadlines: Deadlines,
    place: OwnedSemaphorePermit,
) -> (Ticket<Item, Answer>, Pending<Item, Answer>) {
    let slot = Arc::new(Slot(Mutex::new(Some(item))));
    let (reply, answer) = oneshot::channel();
    let turn_by = deadlines.last_turn();
    let ticket = Ticket { slot: Arc::clone(&slot), turn_by, accepted_at: Instant::now(), reply, _place: place };
    (ticket, Pending { slot, deadlines, answer })
}

/// The half in the queue. It occupies its place until the lane removes it.
pub(crate) struct Ticket<Item, Answer> {
    slot: Arc<Slot<Item>>,
    turn_by: Instant,
    pub(crate) accepted_at: Instant,
    reply: oneshot::Sender<Answer>,
    _place: OwnedSemaphorePermit,
}

impl<Item, Answer> Ticket<Item, Answer> {
    /// The item to run and where its answer goes; nothing when it is too late or the caller has
    /// taken it back.
    pub(crate) fn claim(self, now: Instant) -> Option<(Item, oneshot::Sender<Answer>)> {
        if self.turn_by <= now {
            return None;
        }
        self.slot.take().map(|item| (item, self.reply))
    }
}

/// The half that waits for the answer. Dropping it does not cancel the item.
pub(crate) struct Pending<Item, Answer> {
    slot: Arc<Slot<Item>>,
    pub(crate) deadlines: Deadlines,
    answer: oneshot::Receiver<Answer>,
}

impl<Item, Answer> Pending<Item, Answer> {
    pub(crate) async fn answer(mut self) -> Result<Answer, SubmitError> {
        let turn_by = self.deadlines.last_turn();
        let is_late_turn = match timeout_at(turn_by, &mut self.answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(_no_answer_will_come)) => false,
            Err(_elapsed) => true,
        };
        if self.slot.take().is_some() {
            // Cancelled before any lane ran it: the deadline has passed, or the lane has ended with a nonempty queue.
            let is_late = turn_by <= Instant::now();
            return Err(if is_late { SubmitError::DeadlinePassed } else { SubmitError::ShuttingDown });
        }
        // The item is running.
        let answer = if is_late_turn { timeout_at(self.deadlines.answer_by, self.answer).await.ok() } else { None };
        answer.and_then(Result::ok).ok_or(SubmitError::AnswerUnknown)
    }
}

struct Slot<Item>(Mutex<Option<Item>>);

impl<Item> Slot<Item> {
    fn take(&self) -> Option<Item> {
        // Nothing can panic while the lock is held, so poisoning is harmless.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
