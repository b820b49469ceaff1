use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use futures_util::future;
use time::{Date, Month};

use crate::coupon::{Coupon, CouponCampaign};
use crate::delivery::EventQueue;
use crate::id::{CampaignId, CouponId, EventId, IdSource, OrderId, ProductId, UserId};
use crate::idempotency::RequestKey;
use crate::order::Order;
use crate::outbox::OutboxEvent;
use crate::page::Page;
use crate::payment::{Payment, Refund};
use crate::point::PointAccount;
use crate::product::{Product, ProductDetails};
use crate::queries::Queries;
use crate::retention::Pruning;
use crate::stock::Stock;
use crate::store_error::StoreError;
use crate::testing::fixtures::{NOON, product_details, user};
use crate::testing::support::{SequentialIds, batch_id};
use crate::time::Timestamp;
use crate::unit_of_work::{UnitOfWork, UnitOfWorkFactory};
use crate::verification::BooksFactory;

/// A store under test: its ports, and what the suite needs to know and to do besides.
#[async_trait]
pub trait StoreHarness: Send + Sync {
    /// Begins units of work; at least four at the same time, where the store has [`Concurrency::RowLocks`]. Its lock
    /// waits should end after a second or two, so that the suite is quick.
    fn factory(&self) -> Arc<dyn UnitOfWorkFactory>;

    /// The read ports, on the same data: what was committed is seen at once.
    fn queries(&self) -> Queries;

    /// The queue of events to deliver, on the same data. Its connections are its own.
    fn event_queue(&self) -> Arc<dyn EventQueue>;

    /// Deletes what is not needed any more, of the same data.
    fn pruning(&self) -> Arc<dyn Pruning>;

    /// Opens the books, of the same data.
    fn books(&self) -> Arc<dyn BooksFactory>;

    /// How units of work keep out of each other's way.
    fn concurrency(&self) -> Concurrency;

    /// Breaks every open connection to the database, now; `false` when the store has none to break.
    async fn break_connections(&self) -> bool;

    /// All payments that are stored, read in whatever way: no port answers them.
    async fn payments(&self) -> Vec<Payment>;

    /// All refunds that are stored, with their lines.
    async fn refunds(&self) -> Vec<Refund>;

    /// All events for the data platform that are stored.
    async fn outbox_events(&self) -> Vec<StoredEvent>;
}

/// How units of work keep out of each other's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concurrency {
    /// Many at a time; each waits for the rows that another has locked, a bounded time.
    RowLocks,
    /// One at a time: a second `begin` does not give a unit of work while the first is open. It waits for the first
    /// to end, and may give up with a conflict after a bound of the store's own.
    SingleWriter,
}

/// An event for the data platform, without its body.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StoredEvent {
    /// The order that it tells of.
    pub order_id: OrderId,
    /// Its place among the events of that order.
    pub sequence: u32,
    /// The event's id.
    pub id: EventId,
    /// The CloudEvents type.
    pub event_type: String,
    /// When it happened.
    pub at: Timestamp,
}

impl From<&OutboxEvent> for StoredEvent {
    fn from(event: &OutboxEvent) -> Self {
        Self {
            order_id: event.order_id,
            sequence: event.sequence,
            id: event.id,
            event_type: event.data.event_type().to_owned(),
            at: event.at,
        }
    }
}

/// Does work in a unit of work of its own, and commits it.
pub(super) async fn write<T>(
    harness: &dyn StoreHarness,
    work: impl AsyncFnOnce(&mut dyn UnitOfWork) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut unit_of_work = harness.factory().begin(batch_id()).await?;
    let result = work(&mut *unit_of_work).await?;
    unit_of_work.commit().await?;
    Ok(result)
}

/// Does work in a unit of work of its own, and drops that.
pub(super) async fn look<T>(
    harness: &dyn StoreHarness,
    work: impl AsyncFnOnce(&mut dyn UnitOfWork) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut unit_of_work = harness.factory().begin(batch_id()).await?;
    work(&mut *unit_of_work).await
}

/// Keeps a connection busy, and gives everybody else the time to do a statement.
pub(super) async fn round_trips(unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
    let nobodys_key = set([RequestKey([0; 16])]);
    for _ in 0..200 {
        unit_of_work.idempotency().find_many(&nobodys_key).await?;
        let mut yielded = false;
        future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    Ok(())
}

/// Asserts that work failed with a conflict.
#[track_caller]
pub(super) fn assert_conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(_))), "a conflict is promised, not {result:?}");
}

/// Asserts that work failed by a constraint that says again what the domain says.
#[track_caller]
pub(super) fn assert_unexpected<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Unexpected(_))), "an unexpected error is promised, not {result:?}");
}

pub(super) fn set<Key: Ord>(keys: impl IntoIterator<Item = Key>) -> BTreeSet<Key> {
    keys.into_iter().collect()
}

pub(super) fn first_page<Key>(limit: u32) -> Page<Key> {
    Page { after: None, limit }
}

/// Walks a list to its end, so many rows at a time.
pub(super) async fn walk<Key, Row>(
    limit: u32,
    key: impl Fn(&Row) -> Key,
    read: impl AsyncFn(Page<Key>) -> Result<Vec<Row>, StoreError>,
) -> Result<Vec<Row>, StoreError> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let page = read(Page { after: rows.last().map(&key), limit }).await?;
        assert!(page.len() <= limit.try_into().expect("a small limit"), "a page is longer than its limit");
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

pub(super) fn date(year: i32, month: Month, day: u8) -> Date {
    Date::from_calendar_date(year, month, day).expect("a date")
}

/// Text of so many characters that take four bytes each.
pub(super) fn wide(characters: usize) -> String {
    "🎈".repeat(characters)
}

/// Rows that other rows point to, written straight through the ports.
pub(super) struct Seeds<'a> {
    pub harness: &'a dyn StoreHarness,
    pub ids: SequentialIds,
}

impl<'a> Seeds<'a> {
    pub fn new(harness: &'a dyn StoreHarness) -> Self {
        Self { harness, ids: SequentialIds::new() }
    }

    pub fn id<Id: From<uuid::Uuid>>(&self) -> Id {
        self.ids.next_id().into()
    }

    /// Users of these ids with empty accounts.
    pub async fn users<const N: usize>(&self, ids: [&str; N]) -> Result<[UserId; N], StoreError> {
        let users = ids.map(user);
        write(self.harness, async |unit| unit.points().ensure_many(&set(users.clone())).await).await?;
        Ok(users)
    }

    /// Products with so many pieces in stock.
    pub async fn products<const N: usize>(
        &self,
        products: [(ProductDetails, u32); N],
    ) -> Result<[Product; N], StoreError> {
        let rows = products.map(|(details, available)| {
            let product = Product::create(self.id(), details, NOON);
            let stock = Stock { product_id: product.id, available, movements: 0 };
            (product, stock)
        });
        let (products, stocks): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
        write(self.harness, async |unit| {
            unit.products().insert_many(&products).await?;
            unit.stocks().insert_many(&stocks).await
        })
        .await?;
        Ok(rows.map(|(product, _)| product))
    }

    /// Products that nothing is said about.
    pub async fn lamps<const N: usize>(&self) -> Result<[ProductId; N], StoreError> {
        let lamps = [(); N].map(|()| (product_details("lamp", 1_000), 10));
        Ok(self.products(lamps).await?.map(|product| product.id))
    }

    pub async fn orders(&self, orders: &[Order]) -> Result<(), StoreError> {
        write(self.harness, async |unit| unit.orders().insert_many(orders).await).await
    }

    pub async fn campaigns(&self, campaigns: &[CouponCampaign]) -> Result<(), StoreError> {
        write(self.harness, async |unit| unit.coupons().insert_campaigns(campaigns).await).await
    }

    pub async fn coupons(&self, coupons: &[Coupon]) -> Result<(), StoreError> {
        write(self.harness, async |unit| unit.coupons().insert_many(coupons).await).await
    }
}

pub(super) async fn account(harness: &dyn StoreHarness, id: &UserId) -> Result<PointAccount, StoreError> {
    let account = harness.queries().points.account(id).await?;
    Ok(account.unwrap_or_else(|| panic!("{id} has no account")))
}

pub(super) async fn order(harness: &dyn StoreHarness, id: OrderId) -> Result<Order, StoreError> {
    let order = harness.queries().orders.find(id).await?;
    Ok(order.value.unwrap_or_else(|| panic!("there is no order {id}")))
}

pub(super) async fn locked_orders(
    harness: &dyn StoreHarness,
    ids: impl IntoIterator<Item = OrderId>,
) -> Result<Vec<Order>, StoreError> {
    let ids = set(ids);
    look(harness, async |unit| unit.orders().lock_many(&ids).await).await
}

pub(super) async fn locked_coupons(
    harness: &dyn StoreHarness,
    ids: impl IntoIterator<Item = CouponId>,
) -> Result<Vec<Coupon>, StoreError> {
    let ids = set(ids);
    look(harness, async |unit| unit.coupons().lock_many(&ids).await).await
}

pub(super) async fn locked_campaigns(
    harness: &dyn StoreHarness,
    ids: impl IntoIterator<Item = CampaignId>,
) -> Result<Vec<CouponCampaign>, StoreError> {
    let ids = set(ids);
    look(harness, async |unit| unit.coupons().lock_campaigns(&ids).await).await
}
