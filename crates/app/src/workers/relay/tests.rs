use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::FutureExt;
use jangteo_domain::StoreError;
use jangteo_domain::command::CouponChoice;
use jangteo_domain::delivery::{DeliveryState, MockDataPlatform, MockEventQueue};
use jangteo_domain::id::OrderId;
use jangteo_domain::page::Page;
use jangteo_domain_testing::{MemoryStore, TestShop};
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::system::UuidSource;

const DELIVERY_MAX: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(20);

/// A data platform that accepts every event, but delays those of one order until the test releases them.
struct Platform {
    delayed: Option<OrderId>,
    release: Semaphore,
    received: Mutex<Vec<(OrderId, u32)>>,
}

impl Platform {
    fn new(delayed: Option<OrderId>) -> Arc<Self> {
        Arc::new(Self { delayed, release: Semaphore::new(0), received: Mutex::default() })
    }

    fn received(&self) -> Vec<(OrderId, u32)> {
        self.received.lock().expect("no panic while it is held").clone()
    }
}

#[async_trait]
impl DataPlatform for Platform {
    async fn deliver(&self, event: &StoredEvent) -> Result<(), DeliveryFailure> {
        let Delivery { order_id, sequence, .. } = event.delivery;
        if self.delayed == Some(order_id) {
            let _released = self.release.acquire().await.expect("it is never closed");
        }
        self.received.lock().expect("no panic while it is held").push((order_id, sequence));
        Ok(())
    }
}

/// Places and pays orders; the first is then refunded.
async fn paid_orders(store: &MemoryStore, count: u32) -> Vec<OrderId> {
    let shop = TestShop::new(store.factory());
    let kim = shop.user("kim", 1_000_000).await.expect("a store");
    let lamp = shop.lamp(100, 1_000).await.expect("a store");
    let mut orders = Vec::new();
    for _ in 0..count {
        let order = shop.order(&kim, &[(lamp, 1)]).await.expect("a store");
        shop.pay(order, &kim, CouponChoice::None).await.expect("a store").expect("a payment");
        orders.push(order);
    }
    shop.cancel(orders[0], &kim).await.expect("a store").expect("a refund");
    orders
}

fn relay(queue: Arc<dyn EventQueue>, platform: Arc<dyn DataPlatform>) -> RunningRelay {
    RunningRelay::start(Relay::new(queue, platform, Arc::new(UuidSource), RetryPolicy::default(), DELIVERY_MAX))
}

async fn shut_down(relay: RunningRelay) {
    relay.shutdown.cancel();
    relay.task.await.expect("the relay does not panic");
}

async fn deliveries(store: &MemoryStore, state: DeliveryState) -> Vec<Delivery> {
    let page = Page { after: None, limit: 1_000 };
    store.queries().deliveries.list(Some(state), &page).await.expect("a store in memory")
}

/// Waits until `count` events are in that state.
async fn reached(store: &MemoryStore, state: DeliveryState, count: usize) {
    let reached = async {
        while deliveries(store, state).await.len() != count {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(TIMEOUT, reached).await.unwrap_or_else(|_| panic!("not {count} events are {state:?}"));
}

#[tokio::test]
async fn more_events_than_slots_are_delivered_once_and_in_sequence_per_order() {
    let store = MemoryStore::new();
    let orders = paid_orders(&store, 3 * IN_FLIGHT_MAX).await;
    let platform = Platform::new(None);
    let relay = relay(store.event_queue(), platform.clone());
    reached(&store, DeliveryState::Delivered, orders.len() + 1).await;
    shut_down(relay).await;
    let mut received = platform.received();
    let of_first: Vec<_> = received.iter().filter(|(order, _)| *order == orders[0]).map(|(_, place)| *place).collect();
    assert_eq!(of_first, [1, 2]);
    received.sort_unstable();
    received.dedup();
    assert_eq!(received.len(), orders.len() + 1);
}

#[tokio::test]
async fn a_hanging_delivery_blocks_only_its_own_order() {
    let store = MemoryStore::new();
    let orders = paid_orders(&store, IN_FLIGHT_MAX).await;
    let platform = Platform::new(Some(orders[0]));
    let relay = relay(store.event_queue(), platform.clone());
    // All but the two events of that order are recorded during the hang.
    reached(&store, DeliveryState::Delivered, orders.len() - 1).await;
    // On shutdown the relay records the delivery in flight, and claims no further event of the order.
    relay.shutdown.cancel();
    platform.release.add_permits(1);
    shut_down(relay).await;
    let left: Vec<_> = deliveries(&store, DeliveryState::Pending).await;
    assert_eq!(left.iter().map(|left| (left.order_id, left.sequence)).collect::<Vec<_>>(), [(orders[0], 2)]);
}

#[tokio::test]
async fn a_permanent_rejection_is_dead_and_a_transient_failure_is_retried_after_its_pause() {
    let store = MemoryStore::new();
    let orders = paid_orders(&store, 2).await;
    let rejected = orders[1];
    let mut platform = MockDataPlatform::new();
    platform.expect_deliver().returning(move |event| {
        let reason = format!("attempt {}", event.delivery.attempts);
        Err(if event.delivery.order_id == rejected {
            DeliveryFailure::Permanent { reason }
        } else {
            DeliveryFailure::Transient { reason, retry_after: Some(Duration::from_secs(60)) }
        })
    });
    let relay = relay(store.event_queue(), Arc::new(platform));
    reached(&store, DeliveryState::Dead, 1).await;
    shut_down(relay).await;
    assert_eq!(deliveries(&store, DeliveryState::Dead).await[0].order_id, rejected);
    let waiting = deliveries(&store, DeliveryState::Pending).await;
    let [next, first] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!((next.sequence, next.attempts), (2, 0));
    assert_eq!(first.due_at.since(store.time()), time::Duration::minutes(1));
    assert_eq!(first.last_error.as_ref().map(|reason| reason.as_str()), Some("attempt 1"));
}

#[tokio::test]
async fn store_errors_are_retried() {
    let store = MemoryStore::new();
    paid_orders(&store, 1).await;
    let (claims, outcomes) = (Mutex::new(0), Mutex::new(0));
    let is_rejected = |calls: &Mutex<u32>| {
        let mut calls = calls.lock().expect("no panic while it is held");
        *calls += 1;
        *calls <= 2
    };
    let mut queue = MockEventQueue::new();
    let behind = store.clone();
    queue.expect_claim().returning(move |lease: Uuid, lease_for, limit| {
        if is_rejected(&claims) {
            return Err(StoreError::unexpected("unavailable"));
        }
        behind.claim(lease, lease_for, limit).now_or_never().expect("there is no other writer")
    });
    let behind = store.clone();
    queue.expect_record().returning(move |recorded| {
        if is_rejected(&outcomes) {
            return Err(StoreError::unexpected("unavailable"));
        }
        behind.record(recorded).now_or_never().expect("there is no other writer")
    });
    let platform = Platform::new(None);
    let relay = relay(Arc::new(queue), platform.clone());
    reached(&store, DeliveryState::Delivered, 2).await;
    shut_down(relay).await;
    assert_eq!(platform.received().len(), 2, "each was sent once");
}

#[tokio::test]
async fn an_unavailable_data_platform_receives_only_probes() {
    let store = MemoryStore::new();
    paid_orders(&store, 3 * IN_FLIGHT_MAX).await;
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let mut platform = MockDataPlatform::new();
    platform.expect_deliver().returning(move |_| {
        *counted.lock().expect("no panic while it is held") += 1;
        Err(DeliveryFailure::Transient { reason: "no connection".to_owned(), retry_after: None })
    });
    let relay = relay(store.event_queue(), Arc::new(platform));
    let opened = async {
        while count(&calls) < 16 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(TIMEOUT, opened).await.expect("the circuit breaker opens");
    shut_down(relay).await;
    // The first claim, and at most one more that started before its failures.
    assert!(count(&calls) <= 2 * IN_FLIGHT_MAX, "{} calls", count(&calls));
}

fn count(calls: &Mutex<u32>) -> u32 {
    *calls.lock().expect("no panic while it is held")
}

#[test]
fn pauses_grow_without_events_and_restart_with_an_event() {
    let mut pauses = Pauses::default();
    let mut after = |claimed| pauses.after(&claimed).as_millis();
    let nothing = [200, 400, 800, 1_000, 1_000];
    assert_eq!([(); 5].map(|()| after(Claimed::Nothing)), nothing);
    assert_eq!([Claimed::All, Claimed::Nothing, Claimed::Full, Claimed::Nothing].map(&mut after), [200, 400, 0, 200]);
    assert_eq!([(); 8].map(|()| after(Claimed::Failed)), [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
}
