//! The transaction, as data: which rows it locks, which it found, and what it writes.
//!
//! A store implements two steps. [`begin`](UnitOfWorkFactory::begin) opens a transaction, reads stored answers and locks
//! orders; what commands learn from their orders and what they name from the start is then locked by one call of
//! [`lock`](UnitOfWork::lock); [`commit`](UnitOfWork::commit) writes all changes and makes them durable.
//!
//! Every transaction locks rows in this order, and within a table in ascending order of the keys: orders, campaigns,
//! coupons, products, stocks, point accounts, events. Two transactions that follow it never wait for each other in a
//! circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;

use crate::audit::AuditEntry;
use crate::coupon::{Coupon, CouponCampaign};
use crate::delivery::Delivery;
use crate::id::{BatchId, CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::idempotency::{RequestKey, StoredAnswer};
use crate::order::Order;
use crate::outbox::OutboxEvent;
use crate::payment::{Payment, Refund};
use crate::point::{PointAccount, PointEntry};
use crate::product::{Product, ProductOffer};
use crate::sales::DailySales;
use crate::stock::{Stock, StockMovement};
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// Begins units of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait UnitOfWorkFactory: Send + Sync {
    /// Begins a transaction at READ COMMITTED or stronger, writes a marker row with this id, which must be new, reads the
    /// stored answers of these requests, and locks these orders with their lines.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached within a bounded time; waiting for locks is not
    /// part of that bound. [`StoreError::Conflict`] when a lock was waited for too long. Nothing happened then.
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError>;

    /// Whether the marker shows that this unit of work was committed. Waits, a bounded time, for one whose commit is
    /// still under way; once this has returned `false`, it never takes effect.
    ///
    /// # Errors
    /// Whatever kept the store from knowing; nothing is known then.
    async fn committed(&self, id: BatchId) -> Result<bool, StoreError>;
}

/// An open transaction. Dropped without [`commit`](UnitOfWork::commit) it rolls back and releases its locks. After an
/// error it must be dropped.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait UnitOfWork: Send {
    /// Locks everything else, once, in the order of the module's documentation, and returns the database's time after
    /// the last lock, also for an empty set: never earlier than what a transaction that held one of the rows before
    /// saw, as far as that clock does not go backwards.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on a deadlock or when a lock was waited for too long.
    async fn lock(&mut self, keys: &LockSet) -> Result<Locked, StoreError>;

    /// Writes the changes and commits. Updated rows must have been locked by this unit of work; an update of any other is
    /// [`StoreError::Unexpected`].
    ///
    /// # Errors
    /// What the store answered. No error proves that nothing was committed: the caller queries the marker
    /// ([`UnitOfWorkFactory::committed`]) before it says so or runs anything again.
    async fn commit(self: Box<Self>, changes: Changes) -> Result<(), StoreError>;
}

/// What a transaction reads and locks as it begins.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct FirstKeys {
    /// Requests whose stored answers are read.
    pub answers: BTreeSet<RequestKey>,
    /// Orders to lock, with their lines.
    pub orders: BTreeSet<OrderId>,
}

/// What was found for [`FirstKeys`]: an entry for each key, `None` where there is no row.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct First {
    /// The stored answers.
    pub answers: BTreeMap<RequestKey, Option<StoredAnswer>>,
    /// The orders, locked.
    pub orders: BTreeMap<OrderId, Option<Order>>,
}

/// The rows to lock after the orders.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct LockSet {
    /// Campaigns.
    pub campaigns: BTreeSet<CampaignId>,
    /// Users who may have received a coupon of a campaign. A plain read, protected by the campaign's lock, which must be
    /// named too.
    pub past_recipients: BTreeSet<(CampaignId, UserId)>,
    /// Users whose unused coupons are candidates: their ids are a plain read, and each is locked with the coupons.
    pub unused_coupons_of: BTreeSet<UserId>,
    /// Coupons.
    pub coupons: BTreeSet<CouponId>,
    /// Products, and how much of each is needed. Where one is needed whole, all are locked by the statement that reads
    /// them whole, so that they are locked in one order.
    pub products: BTreeMap<ProductId, ProductDepth>,
    /// Stocks.
    pub stocks: BTreeSet<ProductId>,
    /// Point accounts.
    pub accounts: BTreeSet<UserId>,
    /// Events, as deliveries.
    pub events: BTreeSet<EventId>,
}

/// How much of a product is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ProductDepth {
    /// What an order needs.
    Offer,
    /// All of it.
    Whole,
}

impl LockSet {
    /// Adds a product, as deep as it is needed by any caller.
    pub fn add_product(&mut self, id: ProductId, depth: ProductDepth) {
        let needed = self.products.entry(id).or_insert(depth);
        *needed = depth.max(*needed);
    }
}

/// The rows found for a [`LockSet`]: an entry for each key, `None` where there is no row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Locked {
    /// The campaigns.
    pub campaigns: BTreeMap<CampaignId, Option<CouponCampaign>>,
    /// Whether each user has received a coupon of the campaign.
    pub past_recipients: BTreeMap<(CampaignId, UserId), bool>,
    /// The ids of each user's candidates, which may have been used by the time that they were locked.
    pub unused_coupons_of: BTreeMap<UserId, BTreeSet<CouponId>>,
    /// The coupons, the candidates among them.
    pub coupons: BTreeMap<CouponId, Option<Coupon>>,
    /// The products, each at least as deep as it was asked for.
    pub products: BTreeMap<ProductId, Option<LockedProduct>>,
    /// The stocks.
    pub stocks: BTreeMap<ProductId, Option<Stock>>,
    /// The point accounts; a user who never had points or orders has none.
    pub accounts: BTreeMap<UserId, Option<PointAccount>>,
    /// The deliveries of the events.
    pub events: BTreeMap<EventId, Option<Delivery>>,
    /// The database's time after the last lock.
    pub now: Timestamp,
}

impl Locked {
    /// Nothing locked, at that time.
    pub fn nothing(now: Timestamp) -> Self {
        Self {
            campaigns: BTreeMap::new(),
            past_recipients: BTreeMap::new(),
            unused_coupons_of: BTreeMap::new(),
            coupons: BTreeMap::new(),
            products: BTreeMap::new(),
            stocks: BTreeMap::new(),
            accounts: BTreeMap::new(),
            events: BTreeMap::new(),
            now,
        }
    }
}

/// A locked product.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LockedProduct {
    /// What an order needs of it.
    Offer(ProductOffer),
    /// All of it.
    Whole(Product),
}

impl LockedProduct {
    /// What an order needs of it.
    pub fn offer(&self) -> ProductOffer {
        match self {
            Self::Offer(offer) => offer.clone(),
            Self::Whole(product) => product.offer(),
        }
    }
}

/// Everything that a transaction writes. An adapter destructures it without `..`, so that a table which it forgets does
/// not compile.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Changes {
    /// Orders with their lines.
    pub orders: RowChanges<Order>,
    /// Campaigns.
    pub campaigns: RowChanges<CouponCampaign>,
    /// Coupons.
    pub coupons: RowChanges<Coupon>,
    /// Products with their options.
    pub products: RowChanges<Product>,
    /// Stocks.
    pub stocks: RowChanges<Stock>,
    /// Point accounts.
    pub accounts: RowChanges<PointAccount>,
    /// Deliveries of stored events; events are inserted with [`Appended::outbox`].
    pub events: RowChanges<Delivery>,
    /// Rows that are written once.
    pub appended: Appended,
}

/// The changes of one table, in ascending order of the keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowChanges<Row> {
    /// New rows. A row whose key exists is a [`StoreError::Conflict`].
    pub inserted: Vec<Row>,
    /// Rows that were locked, before and after.
    pub updated: Vec<Update<Row>>,
}

/// A locked row that changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Update<Row> {
    /// As it was locked.
    pub before: Row,
    /// As it is to be stored.
    pub after: Row,
}

impl<Row> Default for RowChanges<Row> {
    fn default() -> Self {
        Self { inserted: Vec::new(), updated: Vec::new() }
    }
}

impl<Row> RowChanges<Row> {
    /// New rows only.
    pub fn inserted(rows: impl IntoIterator<Item = Row>) -> Self {
        Self { inserted: rows.into_iter().collect(), updated: Vec::new() }
    }

    /// Changed rows only, each before and after.
    pub fn updated(rows: impl IntoIterator<Item = (Row, Row)>) -> Self {
        let updated = rows.into_iter().map(|(before, after)| Update { before, after });
        Self { inserted: Vec::new(), updated: updated.collect() }
    }
}

/// Rows that are written once and never changed, in the order in which they were decided.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Entries of point ledgers.
    pub point_entries: Vec<PointEntry>,
    /// Stock movements.
    pub stock_movements: Vec<StockMovement>,
    /// Payments. A second payment of an order is a [`StoreError::Conflict`].
    pub payments: Vec<Payment>,
    /// Refunds with their lines.
    pub refunds: Vec<Refund>,
    /// What is added to the daily sales, in the database, to whatever the rows hold.
    pub sales: DailySales,
    /// Events for the data platform, due at once.
    pub outbox: Vec<OutboxEvent>,
    /// Lines of the audit log.
    pub audit: Vec<AuditEntry>,
    /// Answers of keyed requests, in ascending order of the keys. A key that exists is a [`StoreError::Conflict`].
    pub answers: Vec<StoredAnswer>,
}

impl Appended {
    /// Adds the rows of a later decision.
    pub fn extend(&mut self, later: Self) {
        let Self { point_entries, stock_movements, payments, refunds, sales, outbox, audit, answers } = later;
        self.point_entries.extend(point_entries);
        self.stock_movements.extend(stock_movements);
        self.payments.extend(payments);
        self.refunds.extend(refunds);
        self.sales.extend(&sales);
        self.outbox.extend(outbox);
        self.audit.extend(audit);
        self.answers.extend(answers);
    }
}

/// A row that is locked and found by a key.
pub trait Keyed {
    /// The key.
    type Key: Ord + Clone + fmt::Debug;

    /// The row's key.
    fn key(&self) -> Self::Key;
}

macro_rules! keyed {
    ($($row:ty => $key:ty: $expression:expr;)*) => {$(
        impl Keyed for $row {
            type Key = $key;

            fn key(&self) -> $key {
                let key: fn(&Self) -> $key = $expression;
                key(self)
            }
        }
    )*};
}

keyed! {
    Order => OrderId: |order| order.id;
    CouponCampaign => CampaignId: |campaign| campaign.id;
    Coupon => CouponId: |coupon| coupon.id;
    Product => ProductId: |product| product.id;
    Stock => ProductId: |stock| stock.product_id;
    PointAccount => UserId: |account| account.user_id.clone();
    Delivery => EventId: |delivery| delivery.event_id;
}
