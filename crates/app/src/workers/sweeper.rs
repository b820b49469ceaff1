//! Gives the stock of overdue orders back. It only finds candidates; whether an order expires is decided in the lanes,
//! under the order's lock, so that any number of servers may sweep.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use jangteo_domain::command::ExpireOrder;
use jangteo_domain::id::OrderId;
use jangteo_domain::order::{OrderQueries, OrderRejection};
use jangteo_domain::{Answer, Command, Rejection, Request};

use crate::lanes::Lanes;
use crate::telemetry;
use crate::telemetry::chain;

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

    /// Sweeps until it is dropped. Commands that were submitted by then still run.
    pub async fn run(self) {
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
            sleep(self.pause_after(failures)).await;
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
                Swept::All => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    metrics::gauge!(telemetry::ORDERS_SWEPT_TIMESTAMP).set(now);
                    return Swept::All;
                }
                Swept::Failed => return Swept::Failed,
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
        let request = Request::new(Command::ExpireOrder(ExpireOrder { order_id }));
        let answer = self.lanes.submit_own(request, Instant::now() + ANSWER_TIMEOUT).await;
        match answer.map_err(|error| error.to_string())?.map_err(|error| chain(&error))? {
            Answer::Decided { outcome, rendered: _ } => match outcome {
                Ok(_) => Ok(true),
                Err(Rejection::Order(OrderRejection::NotDue | OrderRejection::NotFound)) => Ok(false),
                Err(rejection) => Err(rejection.to_string()),
            },
            Answer::Replayed(_) | Answer::KeyReused => Err("a request without a key was taken for another".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};

    use jangteo_domain::order::MockOrderQueries;
    use jangteo_domain::testing::fixtures::{product_details, user};
    use jangteo_domain::testing::rules;
    use jangteo_domain::{ShopRules, StoreError};
    use jangteo_domain_testing::{MemoryStore, TestShop};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::settings::LaneSettings;

    const ORDERS: u32 = PAGE + 50;

    fn lanes(shop: &TestShop) -> Lanes {
        let batch_max = NonZeroUsize::new(64).expect("above zero");
        let queue_max = NonZeroUsize::new(1_000).expect("above zero");
        let write_lanes = NonZeroU32::MIN;
        // No caller's request ever gets a turn; a sweep does.
        let queue_wait_max = Duration::ZERO;
        // Dropped, the drain leaves the lanes to live as long as the test.
        Lanes::start(&shop.executor, LaneSettings { batch_max, write_lanes, queue_max, queue_wait_max }).0
    }

    #[tokio::test]
    async fn more_than_a_page_of_overdue_orders_gives_its_stock_back_at_once() {
        let store = MemoryStore::new();
        let shop = TestShop::with_rules(store.factory(), ShopRules { open_orders_max: ORDERS, ..rules() });
        let product = shop.product(product_details("Lamp", 100), 1_000).await.expect("a product");
        for _ in 0..ORDERS {
            let order = shop.place(&user("kim"), &[(product, 1)]);
            shop.run(Command::PlaceOrder(order)).await.expect("a store").expect("an order");
        }
        let sweeper = Sweeper::new(store.queries().orders, lanes(&shop), Duration::from_secs(1));
        assert!(matches!(sweeper.sweep().await, Swept::All));
        let available = async || {
            let listing = store.queries().products.find(product).await.expect("a read");
            listing.map(|listing| listing.available)
        };
        assert_eq!(available().await, Some(1_000 - ORDERS), "an order that can still be paid keeps its stock");

        store.advance(time::Duration::minutes(10));
        assert!(matches!(sweeper.sweep().await, Swept::All));
        assert_eq!(available().await, Some(1_000));
    }

    #[tokio::test]
    async fn a_store_that_fails_is_asked_again_until_the_end() {
        let shop = TestShop::new(MemoryStore::new().factory());
        let shutdown = CancellationToken::new();
        let third_query = shutdown.clone();
        let mut queries = 0;
        let mut orders = MockOrderQueries::new();
        orders.expect_due().times(3).returning(move |_| {
            queries += 1;
            if queries == 3 {
                third_query.cancel();
            }
            Err(StoreError::unexpected("away"))
        });
        let sweeper = Sweeper::new(Arc::new(orders), lanes(&shop), Duration::from_millis(1));
        shutdown.run_until_cancelled(sweeper.run()).await;
    }

    #[tokio::test]
    async fn pauses_double_with_each_failure_up_to_a_bound() {
        let shop = TestShop::new(MemoryStore::new().factory());
        let pauses = |interval| {
            let sweeper = Sweeper::new(Arc::new(MockOrderQueries::new()), lanes(&shop), Duration::from_secs(interval));
            [0, 1, 2, 100].map(|failures| sweeper.pause_after(failures).as_secs())
        };
        assert_eq!(pauses(1), [1, 2, 4, 30]);
        assert_eq!(pauses(60), [60, 60, 60, 60]);
    }
}
