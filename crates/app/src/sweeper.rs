//! Gives the stock of overdue orders back. It only finds candidates; whether an order expires is decided in the lanes,
//! under the order's lock, so that any number of servers may sweep.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;

use jangteo_domain::command::ExpireOrder;
use jangteo_domain::id::OrderId;
use jangteo_domain::order::{OrderQueries, OrderRefusal};
use jangteo_domain::{Answer, Command, Refusal, Request};

use crate::lanes::Lanes;
use crate::problem::chain;
use crate::telemetry;

/// How many orders are asked for and submitted at a time: enough to fill batches, few enough to leave the queue to
/// callers.
const PAGE: u32 = 200;
/// How long a sweep waits for the lanes. Nothing depends on the answer; the next sweep sees what is left.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause while the database is away.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Looks for overdue orders again and again.
pub struct Sweeper {
    orders: Arc<dyn OrderQueries>,
    lanes: Lanes,
    interval: Duration,
}

/// What a look for overdue orders came to.
enum Swept {
    /// All that were due.
    All,
    /// As many as fit, so there may be more.
    FullPage,
    /// Nothing, or not all: the store failed.
    Failed,
}

impl Sweeper {
    /// A sweeper that looks every `interval`.
    pub fn new(orders: Arc<dyn OrderQueries>, lanes: Lanes, interval: Duration) -> Self {
        Self { orders, lanes, interval }
    }

    /// Sweeps until `stop` becomes true or its sender is gone.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            failures = match self.sweep().await {
                Swept::All | Swept::FullPage if failures > 0 => {
                    tracing::info!(failures, "overdue orders are swept again");
                    0
                }
                Swept::All | Swept::FullPage => 0,
                Swept::Failed => failures + 1,
            };
            let pause = self.pause_after(failures);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The interval, doubled with every failure in a row.
    fn pause_after(&self, failures: u32) -> Duration {
        self.interval.saturating_mul(1 << failures.min(5)).min(PAUSE_MAX.max(self.interval))
    }

    /// Goes on for as long as pages are full, so that a crowd of overdue orders is not spread over many intervals.
    async fn sweep(&self) -> Swept {
        loop {
            match self.sweep_page().await {
                Swept::FullPage => {}
                other => return other,
            }
        }
    }

    async fn sweep_page(&self) -> Swept {
        let due = match self.orders.due(PAGE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(kind = error.kind(), cause = chain(&error), "overdue orders cannot be listed");
                return Swept::Failed;
            }
        };
        let is_full = due.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let expired = join_all(due.iter().map(|order_id| self.expire(*order_id))).await;
        let count = expired.iter().filter(|expired| **expired == Ok(true)).count();
        if count > 0 {
            tracing::info!(count, "orders expired");
            metrics::counter!(telemetry::ORDERS_EXPIRED).increment(u64::try_from(count).unwrap_or(u64::MAX));
        }
        let failed: Vec<&String> = expired.iter().filter_map(|expired| expired.as_ref().err()).collect();
        if let Some(cause) = failed.first() {
            tracing::warn!(count = failed.len(), cause, "overdue orders could not be expired");
            return Swept::Failed;
        }
        // A full page of which nothing was expired would come again at once, with nothing gained.
        if is_full && count > 0 { Swept::FullPage } else { Swept::All }
    }

    /// Whether the order expired now. That it was paid, or expired by another server, since it was listed is normal.
    async fn expire(&self, order_id: OrderId) -> Result<bool, String> {
        let request = Request { command: Command::ExpireOrder(ExpireOrder { order_id }), idempotency: None };
        let answer = self.lanes.submit(request, None, Instant::now() + ANSWER_TIMEOUT).await;
        match answer.map_err(|error| error.to_string())?.map_err(|error| chain(&error))? {
            Answer::Decided(Ok(_)) => Ok(true),
            Answer::Decided(Err(Refusal::Order(OrderRefusal::NotDue | OrderRefusal::NotFound))) => Ok(false),
            Answer::Decided(Err(refusal)) => Err(refusal.to_string()),
            Answer::Replayed(_) | Answer::KeyReused => Err("a request without a key was taken for another".to_owned()),
        }
    }
}
