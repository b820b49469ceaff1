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
const PATIENCE: Duration = Duration::from_secs(20);

/// A data platform that takes everything, but for those events that the test holds back.
struct Platform {
    held_back: Option<OrderId>,
    release: Semaphore,
    received: Mutex<Vec<(OrderId, u32)>>,
}

impl Platform {
    fn new(held_back: Option<OrderId>) -> Arc<Self> {
        Arc::new(Self { held_back, release: Semaphore::new(0), received: Mutex::default() })
    }

    fn received(&self) -> Vec<(OrderId, u32)> {
        self.received.lock().expect("no panic while it is held").clone()
    }
}

#[async_trait]
impl DataPlatform for Platform {
    async fn deliver(&self, event: &StoredEvent) -> Result<(), DeliveryFailure> {
        let Delivery { order_id, sequence, .. } = event.delivery;
        if self.held_back == Some(order_id) {
            let _released = self.release.acquire().await.expect("nobody closes it");
        }
        self.received.lock().expect("no panic while it is held").push((order_id, sequence));
        Ok(())
    }
}

/// Pays so many orders.
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

/// Waits until so many events are in that state.
async fn reached(store: &MemoryStore, state: DeliveryState, count: usize) {
    let reached = async {
        while deliveries(store, state).await.len() != count {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("not {count} events are {state:?}"));
}

#[tokio::test]
async fn more_events_than_slots_are_delivered_each_once_and_in_order_of_each_order() {
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
async fn a_delivery_that_hangs_holds_back_its_own_order_and_nothing_else() {
    let store = MemoryStore::new();
    let orders = paid_orders(&store, IN_FLIGHT_MAX).await;
    let platform = Platform::new(Some(orders[0]));
    let relay = relay(store.event_queue(), platform.clone());
    // All but the two events of that order are recorded while it hangs.
    reached(&store, DeliveryState::Delivered, orders.len() - 1).await;
    // Told to end, the relay waits for what is under way, and records it; the next event of the order is left alone.
    relay.shutdown.cancel();
    platform.release.add_permits(1);
    shut_down(relay).await;
    let left: Vec<_> = deliveries(&store, DeliveryState::Pending).await;
    assert_eq!(left.iter().map(|left| (left.order_id, left.sequence)).collect::<Vec<_>>(), [(orders[0], 2)]);
}

#[tokio::test]
async fn what_is_rejected_for_good_is_put_aside_and_what_fails_waits_for_its_pause() {
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
async fn a_store_that_fails_is_asked_again() {
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
            return Err(StoreError::unexpected("away"));
        }
        behind.claim(lease, lease_for, limit).now_or_never().expect("nobody else writes")
    });
    let behind = store.clone();
    queue.expect_record().returning(move |recorded| {
        if is_rejected(&outcomes) {
            return Err(StoreError::unexpected("away"));
        }
        behind.record(recorded).now_or_never().expect("nobody else writes")
    });
    let platform = Platform::new(None);
    let relay = relay(Arc::new(queue), platform.clone());
    reached(&store, DeliveryState::Delivered, 2).await;
    shut_down(relay).await;
    assert_eq!(platform.received().len(), 2, "each was sent once all the same");
}

#[tokio::test]
async fn a_data_platform_that_is_away_gets_probes_only() {
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
    timeout(PATIENCE, opened).await.expect("the circuit_breaker opens");
    shut_down(relay).await;
    // The first claim is all that got through: at most one more claim was begun before its failures were known.
    assert!(count(&calls) <= 2 * IN_FLIGHT_MAX, "{} calls", count(&calls));
}

fn count(calls: &Mutex<u32>) -> u32 {
    *calls.lock().expect("no panic while it is held")
}

#[test]
fn pauses_grow_while_nothing_comes_and_begin_anew_with_an_event() {
    let mut pauses = Pauses::default();
    let mut after = |claimed| pauses.after(&claimed).as_millis();
    let nothing = [200, 400, 800, 1_000, 1_000];
    assert_eq!([(); 5].map(|()| after(Claimed::Nothing)), nothing);
    assert_eq!([Claimed::All, Claimed::Nothing, Claimed::Full, Claimed::Nothing].map(&mut after), [200, 400, 0, 200]);
    assert_eq!([(); 8].map(|()| after(Claimed::Failed)), [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
}
