//! An accepted item, as its lane sees it ([`Ticket`]) and as its caller sees it ([`Pending`]).
//!
//! Both hold the same slot, and whoever empties it has the last word: a lane that took the item
//! runs it, a caller that took it back at its deadline knows that nothing happens any more. Neither
//! can be wrong about the other.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::{Deadlines, SubmitError};

/// Splits an item into the lane's half and the caller's half.
pub(crate) fn accept<Item, Answer>(
    item: Item,
    patience: Deadlines,
    place: OwnedSemaphorePermit,
) -> (Ticket<Item, Answer>, Pending<Item, Answer>) {
    let slot = Arc::new(Slot(Mutex::new(Some(item))));
    let (reply, answer) = oneshot::channel();
    let turn_by = patience.last_turn();
    let ticket = Ticket { slot: Arc::clone(&slot), turn_by, accepted_at: Instant::now(), reply, _place: place };
    (ticket, Pending { slot, patience, answer })
}

/// The half that waits in the queue. It keeps its place there until the lane takes it out.
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

/// The half that waits for the answer. Dropping it takes nothing back.
pub(crate) struct Pending<Item, Answer> {
    slot: Arc<Slot<Item>>,
    pub(crate) patience: Deadlines,
    answer: oneshot::Receiver<Answer>,
}

impl<Item, Answer> Pending<Item, Answer> {
    pub(crate) async fn answer(mut self) -> Result<Answer, SubmitError> {
        let turn_by = self.patience.last_turn();
        let no_turn = match timeout_at(turn_by, &mut self.answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(_no_answer_will_come)) => false,
            Err(_elapsed) => true,
        };
        if self.slot.take().is_some() {
            // Taken back before any lane had it: too late, or the lane has ended and left its queue
            // behind.
            let is_late = turn_by <= Instant::now();
            return Err(if is_late { SubmitError::DeadlinePassed } else { SubmitError::ShuttingDown });
        }
        // Its turn came, and it is being run.
        let answer = if no_turn { timeout_at(self.patience.answer_by, self.answer).await.ok() } else { None };
        answer.and_then(Result::ok).ok_or(SubmitError::AnswerUnknown)
    }
}

struct Slot<Item>(Mutex<Option<Item>>);

impl<Item> Slot<Item> {
    fn take(&self) -> Option<Item> {
        // Nothing can panic while the lock is held, so a poisoned slot is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
