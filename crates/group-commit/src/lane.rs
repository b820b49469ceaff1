//! A lane: a task that owns a runner, executes its queue in batches and answers each item.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::accepted::Ticket;
use crate::group_commit::WHOLE_QUEUE_MAX;
use crate::observer::{BatchOutcome, BatchReport, Observer};

/// Runs the batches of one lane sequentially.
///
/// A lane owns its runner, so a runner may own a connection. The future of [`run`](Self::run) is never dropped before
/// completion, unless the whole runtime is shut down.
#[async_trait]
pub trait BatchRunner: Send + 'static {
    /// The unit of work of one caller.
    type Item: Send + 'static;
    /// The result of one item; rejections included.
    type Answer: Send + 'static;

    /// Runs all items (at least one, at most [`batch_max`](crate::Settings::batch_max)) and returns exactly one answer for
    /// each, in the same order. Any other number of answers is a bug of the runner and is treated as a panic.
    ///
    /// # Panics
    /// A panic of the runner causes [`AnswerUnknown`](crate::SubmitError::AnswerUnknown) for the whole batch, and the same
    /// runner runs the next batch: its state must stay valid after a panic. For example, remove a connection from the
    /// runner before use and restore it only after success.
    async fn run(&mut self, batch: Vec<Self::Item>) -> Vec<Self::Answer>;
}

pub(crate) struct Lane<R: BatchRunner> {
    pub(crate) index: usize,
    pub(crate) runner: R,
    pub(crate) queue: mpsc::UnboundedReceiver<Ticket<R::Item, R::Answer>>,
    pub(crate) draining: CancellationToken,
    pub(crate) batch_max: usize,
    pub(crate) observer: Arc<dyn Observer>,
}

impl<R: BatchRunner> Lane<R> {
    /// Returns when no more items can be submitted and all accepted items are answered.
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

    /// Waits for items and returns at most `size_max` of them; none when the queue is closed and empty.
    async fn next_tickets(&mut self, size_max: usize) -> Vec<Ticket<R::Item, R::Answer>> {
        let mut tickets = Vec::new();
        tokio::select! {
            biased;
            () = self.draining.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            _ = self.queue.recv_many(&mut tickets, size_max) => return tickets,
        }
        // A closed queue still returns its remaining items.
        self.queue.recv_many(&mut tickets, size_max).await;
        tickets
    }

    /// The items whose deadline has not passed, filled up from the queue to `size_max`: under overload, most items at the
    /// head of the queue are too late.
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
        // Observed before the replies: an answered caller can rely on its batch being counted.
        let ran_for = began_at.elapsed();
        self.observer.batch_finished(&BatchReport { lane: self.index, size, waited_max, ran_for, outcome });
        for (reply, answer) in replies.into_iter().zip(answers.into_iter().flatten()) {
            // The receiver is gone if the caller stopped waiting.
            let _ = reply.send(answer);
        }
    }
}

/// The items of one run and their reply channels.
struct Batch<R: BatchRunner> {
    began_at: Instant,
    /// The wait of the first item, which is the longest.
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

/// One answer for each item; `None` after a panic of the runner, which the panic hook has logged.
async fn answers_of<R: BatchRunner>(runner: &mut R, items: Vec<R::Item>) -> Option<Vec<R::Answer>> {
    let expected = items.len();
    let running = async {
        let answers = runner.run(items).await;
        assert_eq!(answers.len(), expected, "a batch runner returns exactly one answer per item");
        answers
    };
    // Unwind safe by contract: a runner stays valid after its panic, and shares nothing else.
    AssertUnwindSafe(running).catch_unwind().await.ok()
}
