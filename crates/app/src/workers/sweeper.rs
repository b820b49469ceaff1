//! Expires overdue orders, which returns their stock. The sweeper only finds candidates; the lanes decide under the
//! order's lock, so any number of servers may sweep.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use jangteo_domain::command::ExpireOrder;
use jangteo_domain::id::OrderId;
use jangteo_domain::order::{OrderQueries, OrderRejection};
use jangteo_domain::{Answer, Command, Rejection, Request};

use crate::error_chain::chain;
use crate::lanes::Lanes;
use crate::telemetry;

/// Orders per query and submission: enough to fill batches, few enough to leave the queue to callers.
const PAGE: u32 = 200;
/// Timeout of a sweep's commands. Nothing depends on it: the next sweep finds the remaining orders.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum pause while the database is unavailable.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The worker.
pub struct Sweeper {
    orders: Arc<dyn OrderQueries>,
    lanes: Lanes,
    interval: Duration,
}

/// The outcome of a sweep.
enum Swept {
    /// No overdue order remains.
    All,
    /// A full page; more orders may be overdue.
    FullPage,
    /// An error of the store or the lanes.
    Failed,
}

impl Sweeper {
    /// A sweeper with a pause of `interval` between sweeps.
    pub fn new(orders: Arc<dyn OrderQueries>, lanes: Lanes, interval: Duration) -> Self {
        Self { orders, lanes, interval }
    }

    /// Sweeps until it is dropped. Submitted commands still run.
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

    /// The interval, doubled with every consecutive failure.
    fn pause_after(&self, failures: u32) -> Duration {
        self.interval.saturating_mul(1 << failures.min(5)).min(PAUSE_MAX.max(self.interval))
    }

    /// Continues while pages are full, so that a crowd of overdue orders does not take many intervals.
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
        // A full page without an expired order would be the same again.
        if is_full && count > 0 { Swept::FullPage } else { Swept::All }
    }

    /// Whether the order expired now. It may have been paid, or expired by another server, since it was listed.
    async fn expire(&self, order_id: OrderId) -> Result<bool, String> {
        let request = Request::new(Command::ExpireOrder(ExpireOrder { order_id }));
        let answer = self.lanes.submit_own(request, Instant::now() + ANSWER_TIMEOUT).await;
        match answer.map_err(|error| error.to_string())?.map_err(|error| chain(&error))? {
            Answer::Decided { outcome, rendered: _ } => match outcome {
                Ok(_) => Ok(true),
                Err(Rejection::Order(OrderRejection::NotDue | OrderRejection::NotFound)) => Ok(false),
                Err(rejection) => Err(rejection.to_string()),
            },
            Answer::Replayed(_) | Answer::KeyReused => {
                Err("a request without a key was answered as a replay".to_owned())
            }
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
        // Every caller's request times out in the queue; a sweep's does not.
        let queue_wait_max = Duration::ZERO;
        // Without the drain the lanes live as long as the test.
        Lanes::start(&shop.executor, LaneSettings { batch_max, write_lanes, queue_max, queue_wait_max }).0
    }

    #[tokio::test]
    async fn one_sweep_expires_more_than_a_page_of_overdue_orders() {
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
        assert_eq!(available().await, Some(1_000 - ORDERS), "an order that can still be paid reserves its stock");

        store.advance(time::Duration::minutes(10));
        assert!(matches!(sweeper.sweep().await, Swept::All));
        assert_eq!(available().await, Some(1_000));
    }

    #[tokio::test]
    async fn store_errors_are_retried_until_shutdown() {
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
            Err(StoreError::unexpected("unavailable"))
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
