//! Expires overdue orders, which returns their stock. The sweeper only finds candidates; the lanes decide under the
//! order's lock, so any number of servers may sweep.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use jangteo_domain::command::ExpireOrder;
use jangteo_domain::id::OrderId;
use jangteo_domain::order::{DueOrder, OrderQueries, OrderRejection};
use jangteo_domain::{Answer, Command, Rejection, Request, StoreError};

use crate::error_chain::chain;
use crate::lanes::Lanes;
use crate::telemetry;

/// Orders per query and submission: enough to fill batches, few enough to leave the queue to callers.
const PAGE: u32 = 200;
/// Timeout of a sweep's commands. Nothing depends on it: the next sweep finds the remaining orders.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Upper bound of the pause after failed listings, or the interval if it is longer: after an outage orders expire at
/// once.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The pause before a stuck order is submitted again. Each attempt halves the batch that carries it, at the cost of
/// other commands.
const STUCK_RETRY: Duration = Duration::from_secs(60);

/// Expires overdue orders through the lanes.
pub struct Sweeper {
    orders: Arc<dyn OrderQueries>,
    lanes: Lanes,
    interval: Duration,
    /// Orders that cannot expire, with the time of the next attempt.
    stuck: HashMap<OrderId, Instant>,
}

/// A sweep ended early, and the next one may succeed.
#[derive(PartialEq, Eq, Debug)]
enum Interrupted {
    /// Overdue orders could not be listed.
    Listing,
    /// The lanes or the store were unavailable.
    Expiring,
}

/// The outcome of one order.
enum Attempt {
    Expired,
    /// Paid, or expired by another server, since it was listed.
    NotDue,
    /// Not decided: the lanes or the store were unavailable.
    Postponed(String),
    /// It fails again in the same way.
    Stuck(String),
}

impl Sweeper {
    /// A sweeper with a pause of `interval` between sweeps.
    pub fn new(orders: Arc<dyn OrderQueries>, lanes: Lanes, interval: Duration) -> Self {
        Self { orders, lanes, interval, stuck: HashMap::new() }
    }

    /// Sweeps until it is dropped. Submitted commands still run.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            failures = match self.sweep().await {
                Err(Interrupted::Listing) => failures + 1,
                Ok(()) | Err(Interrupted::Expiring) => 0,
            };
            sleep(self.pause_after(failures)).await;
        }
    }

    /// The interval, doubled with every consecutive failed listing.
    fn pause_after(&self, failures: u32) -> Duration {
        self.interval.saturating_mul(1 << failures.min(5)).min(PAUSE_MAX.max(self.interval))
    }

    /// Expires all overdue orders, page by page. An order that cannot expire delays no other.
    async fn sweep(&mut self) -> Result<(), Interrupted> {
        let (mut after, mut overdue) = (None, HashSet::new());
        loop {
            let due = self.list(after).await?;
            overdue.extend(due.iter().map(|due| due.id));
            self.expire_all(&due).await?;
            if u32::try_from(due.len()).is_ok_and(|listed| listed < PAGE) {
                break;
            }
            after = due.last().copied();
        }
        self.stuck.retain(|id, _| overdue.contains(id));
        metrics::gauge!(telemetry::ORDERS_STUCK).set(u32::try_from(self.stuck.len()).unwrap_or(u32::MAX));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics::gauge!(telemetry::ORDERS_SWEPT_TIMESTAMP).set(now);
        Ok(())
    }

    async fn list(&self, after: Option<DueOrder>) -> Result<Vec<DueOrder>, Interrupted> {
        self.orders.due(after, PAGE).await.map_err(|error| {
            tracing::warn!(kind = error.kind(), cause = chain(&error), "overdue orders cannot be listed");
            Interrupted::Listing
        })
    }

    /// Expires the orders of a page, except stuck ones that wait for their next attempt.
    async fn expire_all(&mut self, due: &[DueOrder]) -> Result<(), Interrupted> {
        let now = Instant::now();
        let is_ready = |id: &OrderId| self.stuck.get(id).is_none_or(|retry_at| *retry_at <= now);
        let ready: Vec<OrderId> = due.iter().map(|due| due.id).filter(is_ready).collect();
        let attempts = join_all(ready.iter().map(|id| self.expire(*id))).await;
        let (mut expired, mut postponed) = (0_u32, Vec::new());
        for (order_id, attempt) in ready.into_iter().zip(attempts) {
            match attempt {
                Attempt::Expired => {
                    self.stuck.remove(&order_id);
                    expired = expired.saturating_add(1);
                }
                Attempt::NotDue => drop(self.stuck.remove(&order_id)),
                Attempt::Postponed(cause) => postponed.push(cause),
                Attempt::Stuck(cause) => {
                    if self.stuck.insert(order_id, now + STUCK_RETRY).is_none() {
                        tracing::error!(%order_id, cause, "an overdue order cannot expire");
                    }
                }
            }
        }
        if expired > 0 {
            tracing::info!(count = expired, "orders expired");
            metrics::counter!(telemetry::ORDERS_EXPIRED).increment(expired.into());
        }
        postponed.first().map_or(Ok(()), |cause| {
            tracing::warn!(count = postponed.len(), cause, "overdue orders could not be expired");
            Err(Interrupted::Expiring)
        })
    }

    async fn expire(&self, order_id: OrderId) -> Attempt {
        let request = Request::new(Command::ExpireOrder(ExpireOrder { order_id }));
        let answer = match self.lanes.submit_own(request, Instant::now() + ANSWER_TIMEOUT).await {
            Ok(answer) => answer,
            Err(error) => return Attempt::Postponed(error.to_string()),
        };
        match answer {
            Ok(Answer::Decided { outcome: Ok(_), rendered: _ }) => Attempt::Expired,
            Ok(Answer::Decided { outcome: Err(rejection), rendered: _ }) => match rejection {
                Rejection::Order(OrderRejection::NotDue | OrderRejection::NotFound) => Attempt::NotDue,
                rejection => Attempt::Stuck(rejection.to_string()),
            },
            Ok(Answer::Replayed(_) | Answer::KeyReused) => {
                Attempt::Stuck("a request without a key was answered as a replay".to_owned())
            }
            Err(error @ (StoreError::Corrupt(_) | StoreError::Unexpected(_))) => Attempt::Stuck(chain(&error)),
            Err(error) => Attempt::Postponed(chain(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};

    use jangteo_domain::order::MockOrderQueries;
    use jangteo_domain::testing::fixtures::{NOON, product_details, user};
    use jangteo_domain::testing::{SequentialIds, rules};
    use jangteo_domain::transaction::MockUnitOfWorkFactory;
    use jangteo_domain::{BatchExecutor, ShopRules};
    use jangteo_domain_testing::{MemoryStore, TestShop};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::settings::LaneSettings;

    const ORDERS: u32 = PAGE + 50;

    /// All orders of a full page and of the next.
    const ORDERS_STUCK: usize = 201;

    fn lanes(shop: &TestShop) -> Lanes {
        lanes_of(&shop.executor)
    }

    fn lanes_of(executor: &BatchExecutor) -> Lanes {
        let batch_max = NonZeroUsize::new(64).expect("above zero");
        let queue_max = NonZeroUsize::new(1_000).expect("above zero");
        let write_lanes = NonZeroU32::MIN;
        // Every caller's request times out in the queue; a sweep's does not.
        let queue_wait_max = Duration::ZERO;
        // Without the drain the lanes live as long as the test.
        Lanes::start(executor, LaneSettings { batch_max, write_lanes, queue_max, queue_wait_max }).0
    }

    #[tokio::test]
    async fn one_sweep_expires_more_than_a_page_of_overdue_orders() {
        let store = MemoryStore::new();
        let shop = TestShop::with_rules(store.factory(), ShopRules { open_orders_max: ORDERS, ..rules() });
        let product = shop.product(product_details("Lamp", 100), 1_000).await.expect("a product");
        for _ in 0..ORDERS {
            shop.order(&user("kim"), &[(product, 1)]).await.expect("a store");
        }
        let mut sweeper = Sweeper::new(store.queries().orders, lanes(&shop), Duration::from_secs(1));
        assert_eq!(sweeper.sweep().await, Ok(()));
        let available = async || {
            let listing = store.queries().products.find(product).await.expect("a read");
            listing.map(|listing| listing.available)
        };
        assert_eq!(
            available().await,
            Some((1_000 - ORDERS).into()),
            "an order that can still be paid reserves its stock"
        );

        store.advance(time::Duration::minutes(10));
        assert_eq!(sweeper.sweep().await, Ok(()));
        assert_eq!(available().await, Some(1_000));
    }

    #[tokio::test]
    async fn orders_that_cannot_expire_delay_no_other() {
        let shop = TestShop::new(MemoryStore::new().factory());
        let due = |order: u32| DueOrder { expires_at: NOON, id: SequentialIds::id(order.into()).into() };
        let mut orders = MockOrderQueries::new();
        orders.expect_due().times(2).returning(move |after, limit| {
            let all: Vec<_> = (0..PAGE + 1).map(due).collect();
            let behind = all.into_iter().filter(|order| Some(*order) > after);
            Ok(behind.take(usize::try_from(limit).expect("a small number")).collect())
        });
        let mut factory = MockUnitOfWorkFactory::new();
        factory.expect_begin().returning(|_, _| Err(StoreError::unexpected("an unreadable row")));
        let executor = BatchExecutor { factory: Arc::new(factory), ..shop.executor.clone() };
        let lanes = lanes_of(&executor);
        let mut sweeper = Sweeper::new(Arc::new(orders), lanes, Duration::from_secs(1));
        assert_eq!(sweeper.sweep().await, Ok(()), "the second page is listed too");
        assert_eq!(sweeper.stuck.len(), ORDERS_STUCK);
    }

    #[tokio::test]
    async fn store_errors_are_retried_until_shutdown() {
        let shop = TestShop::new(MemoryStore::new().factory());
        let shutdown = CancellationToken::new();
        let third_query = shutdown.clone();
        let mut queries = 0;
        let mut orders = MockOrderQueries::new();
        orders.expect_due().times(3).returning(move |_, _| {
            queries += 1;
            if queries == 3 {
                third_query.cancel();
            }
            Err(StoreError::unexpected("unavailable"))
        });
        let sweeper = Sweeper::new(Arc::new(orders), lanes(&shop), Duration::from_millis(1));
        shutdown.run_until_cancelled(sweeper.run()).await;
    }

    #[tokio::test]
    async fn pauses_double_with_each_failure_up_to_a_bound() {
        let shop = TestShop::new(MemoryStore::new().factory());
        let pauses = |interval| {
            let interval = Duration::from_millis(interval);
            let sweeper = Sweeper::new(Arc::new(MockOrderQueries::new()), lanes(&shop), interval);
            [0, 1, 2, 100].map(|failures| sweeper.pause_after(failures).as_millis())
        };
        assert_eq!(pauses(200), [200, 400, 800, 1_000]);
        assert_eq!(pauses(60_000), [60_000; 4]);
    }
}
