//! A lane: the task that owns a runner, takes what waits for it and answers each item.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::accepted::Ticket;
use crate::group_commit::WHOLE_QUEUE_MAX;
use crate::observer::{BatchOutcome, BatchReport, Observer};

/// Runs the batches of one lane, one after the other.
///
/// A runner is owned by its lane for as long as the lane lives and is never asked to run two
/// batches at once, so it may keep a connection. The future of [`run`](Self::run) is never dropped
/// before it has finished, unless the whole runtime is shut down.
#[async_trait]
pub trait BatchRunner: Send + 'static {
    /// What a caller submits.
    type Item: Send + 'static;
    /// What a caller gets back.
    type Answer: Send + 'static;

    /// Runs all items (at least one, at most [`batch_max`](crate::Settings::batch_max)) and answers
    /// every one, in the order given; exactly one answer an item.
    ///
    /// A rejection of one item is an answer like any other; it is for the answer's type to say so.
    /// With more or fewer answers than items, nobody could tell whose is whose: that is a bug of
    /// the runner and is treated as a panic.
    ///
    /// # Panics
    /// A runner should not. If it does, its callers get
    /// [`AnswerUnknown`](crate::SubmitError::AnswerUnknown), and the same runner is given the next
    /// batch: what it keeps between batches must be fit for use after a panic. A connection in an
    /// unknown state, say, is taken out before it is used and put back only when all went well.
    async fn run(&mut self, batch: Vec<Self::Item>) -> Vec<Self::Answer>;
}

pub(crate) struct Lane<R: BatchRunner> {
    pub(crate) index: usize,
    pub(crate) runner: R,
    pub(crate) queue: mpsc::UnboundedReceiver<Ticket<R::Item, R::Answer>>,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) batch_max: usize,
    pub(crate) observer: Arc<dyn Observer>,
}

impl<R: BatchRunner> Lane<R> {
    /// Lives until nobody can submit any more and everything that was accepted has been answered.
    pub(crate) async fn run(mut self) {
        loop {
            let size_max = self.queue.len().div_ceil(2).max(WHOLE_QUEUE_MAX).min(self.batch_max);
            let tickets = self.next_tickets(size_max).await;
            if tickets.is_empty() {
                return;
            }
            let batch = self.claim(tickets, size_max);
            if !batch.items.is_empty() {
                self.run_batch(batch).await;
            }
        }
    }

    /// What waits, up to `size_max`, as soon as there is anything; nothing when there will never be
    /// anything again.
    async fn next_tickets(&mut self, size_max: usize) -> Vec<Ticket<R::Item, R::Answer>> {
        let mut tickets = Vec::new();
        tokio::select! {
            biased;
            () = drain_begins(&mut self.draining), if !self.queue.is_closed() => self.queue.close(),
            _ = self.queue.recv_many(&mut tickets, size_max) => return tickets,
        }
        // A closed queue still hands out what it holds.
        self.queue.recv_many(&mut tickets, size_max).await;
        tickets
    }

    /// The items that came in time, and as many more as there is room for in place of those that did
    /// not: under too great a load most of what is first in the queue has waited too long.
    fn claim(&mut self, tickets: Vec<Ticket<R::Item, R::Answer>>, size_max: usize) -> Batch<R> {
        let began_at = Instant::now();
        let mut batch = Batch { began_at, waited_max: Duration::ZERO, items: Vec::new(), replies: Vec::new() };
        tickets.into_iter().for_each(|ticket| batch.claim(ticket));
        while batch.items.len() < size_max
            && let Ok(ticket) = self.queue.try_recv()
        {
            batch.claim(ticket);
        }
        batch
    }

    async fn run_batch(&mut self, batch: Batch<R>) {
        let Batch { began_at, waited_max, items, replies } = batch;
        let size = items.len();
        let answers = answers_of(&mut self.runner, items).await;
        let outcome = if answers.is_some() { BatchOutcome::Answered } else { BatchOutcome::Lost };
        // Observed first: whoever has an answer can rely on its batch having been counted.
        let ran_for = began_at.elapsed();
        self.observer.batch_finished(&BatchReport { lane: self.index, size, waited_max, ran_for, outcome });
        for (reply, answer) in replies.into_iter().zip(answers.into_iter().flatten()) {
            // The caller may have gone away; the item has been run all the same, and nobody waits
            // for its answer.
            let _ = reply.send(answer);
        }
    }
}

/// What is run together, and where its answers go.
struct Batch<R: BatchRunner> {
    began_at: Instant,
    /// How long the first item has waited, and so the longest of all.
    waited_max: Duration,
    items: Vec<R::Item>,
    replies: Vec<oneshot::Sender<R::Answer>>,
}

impl<R: BatchRunner> Batch<R> {
    fn claim(&mut self, ticket: Ticket<R::Item, R::Answer>) {
        let waited = self.began_at.saturating_duration_since(ticket.accepted_at);
        if let Some((item, reply)) = ticket.claim(self.began_at) {
            self.waited_max = self.waited_max.max(waited);
            self.items.push(item);
            self.replies.push(reply);
        }
    }
}

/// Ends when the drain begins; never, when whoever could begin it has let go of it.
async fn drain_begins(draining: &mut watch::Receiver<bool>) {
    if draining.wait_for(|draining| *draining).await.is_err() {
        std::future::pending().await
    }
}

/// One answer for each item, or none at all when the runner panicked: the panic hook has said so.
async fn answers_of<R: BatchRunner>(runner: &mut R, items: Vec<R::Item>) -> Option<Vec<R::Answer>> {
    let expected = items.len();
    let running = async {
        let answers = runner.run(items).await;
        assert_eq!(answers.len(), expected, "a batch runner gives exactly one answer an item");
        answers
    };
    // Unwind safe by contract: a runner is fit for use after its panic, and nothing else is shared
    // with it.
    AssertUnwindSafe(running).catch_unwind().await.ok()
}
