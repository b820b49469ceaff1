//! The transaction as data: rows to lock, rows found, changes to write.
//!
//! A store implements three calls: [`begin`](UnitOfWorkFactory::begin) opens a transaction, reads stored answers and
//! locks orders; [`lock`](UnitOfWork::lock) locks all other rows at once; [`commit`](UnitOfWork::commit) writes all
//! changes and makes them durable.
//!
//! Every transaction locks rows in this order, and within a table in ascending key order: orders, campaigns, coupons,
//! products, stocks, point accounts, events, audit chains. Transactions that follow it cannot deadlock on these rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;

use crate::audit::{AuditChain, AuditEntry};
use crate::coupon::{Coupon, CouponCampaign};
use crate::delivery::Delivery;
use crate::id::{BatchId, CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::idempotency::{RequestKey, StoredAnswer};
use crate::order::Order;
use crate::outbox::OutboxEvent;
use crate::payment::{Payment, Refund};
use crate::point::{PointAccount, PointEntry};
use crate::product::{Product, ProductOffer, Sku};
use crate::sales::DailySales;
use crate::stock::{Stock, StockMovement};
use crate::store_error::StoreError;
use crate::time::Timestamp;
use crate::token::Revocation;

/// Opens transactions and reads commit markers.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait UnitOfWorkFactory: Send + Sync {
    /// Begins a transaction at READ COMMITTED or stronger, writes a marker row with this id, which must be new, reads
    /// the stored answers of these requests, and locks these orders with their lines.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached within a bounded time, lock waits excluded;
    /// [`StoreError::Conflict`] when a lock wait times out. Neither has any effect.
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError>;

    /// Whether the marker of this unit of work is committed. Waits, for a bounded time, for a commit in progress. After
    /// this has returned `false`, the commit never takes effect.
    ///
    /// # Errors
    /// Any failure to read the marker; the outcome stays unknown.
    async fn committed(&self, id: BatchId) -> Result<bool, StoreError>;
}

/// An open transaction. Dropped without [`commit`](UnitOfWork::commit), it rolls back and releases its locks. After
/// an error it must be dropped.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait UnitOfWork: Send {
    /// Locks all other rows, once, in the order of the module's documentation. Returns the database's time after the
    /// last lock, also for an empty set: unless that clock goes backwards, never earlier than the time seen by an
    /// earlier transaction that locked one of the rows.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on a deadlock or a lock wait timeout.
    async fn lock(&mut self, keys: &LockSet) -> Result<Locked, StoreError>;

    /// Writes the changes and commits. Updated rows must be locked by this unit of work; an update of any other row
    /// fails with [`StoreError::Unexpected`].
    ///
    /// # Errors
    /// Any error of the store. None proves that nothing was committed: the caller reads the marker
    /// ([`UnitOfWorkFactory::committed`]) before it responds or retries.
    async fn commit(self: Box<Self>, changes: Changes) -> Result<(), StoreError>;
}

/// The keys that a transaction reads and locks first.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct FirstKeys {
    /// Requests whose stored answers are read.
    pub answers: BTreeSet<RequestKey>,
    /// Orders to lock, with their lines.
    pub orders: BTreeSet<OrderId>,
}

/// The rows found for [`FirstKeys`]: an entry for each key, `None` where there is no row.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of FirstKeys")]
pub struct First {
    pub answers: BTreeMap<RequestKey, Option<StoredAnswer>>,
    pub orders: BTreeMap<OrderId, Option<Order>>,
}

/// The rows to lock after the orders.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub struct LockSet {
    pub campaigns: BTreeSet<CampaignId>,
    /// Pairs to check for an issued coupon: a plain read, protected by the lock of the campaign, which must be in
    /// `campaigns` too.
    pub past_recipients: BTreeSet<(CampaignId, UserId)>,
    /// Users whose unused coupons are candidates: the ids are a plain read, then locked with the coupons.
    pub unused_coupons_of: BTreeSet<UserId>,
    pub coupons: BTreeSet<CouponId>,
    /// Products, and the depth of each. Where one is needed whole, a single statement locks all of them whole, so that
    /// the lock order holds.
    pub products: BTreeMap<ProductId, ProductDepth>,
    /// SKUs to look up: the ids are a plain read, then locked with the products, whole, and with the stocks. A product
    /// that has another SKU once it is locked is a [`StoreError::Conflict`].
    pub skus: BTreeSet<Sku>,
    pub stocks: BTreeSet<ProductId>,
    pub accounts: BTreeSet<UserId>,
    pub events: BTreeSet<EventId>,
    /// The actors of audited commands.
    pub audit_chains: BTreeSet<UserId>,
}

/// How much of a product is read: the columns of an offer, or the whole row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub enum ProductDepth {
    Offer,
    Whole,
}

impl LockSet {
    /// Adds a product, at the greatest depth that any command needs.
    pub fn add_product(&mut self, id: ProductId, depth: ProductDepth) {
        let depth_so_far = self.products.entry(id).or_insert(depth);
        *depth_so_far = depth.max(*depth_so_far);
    }
}

/// The rows found for a [`LockSet`]: an entry for each key, `None` where there is no row.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of LockSet")]
pub struct Locked {
    pub campaigns: BTreeMap<CampaignId, Option<CouponCampaign>>,
    /// Whether each user has received a coupon of the campaign.
    pub past_recipients: BTreeMap<(CampaignId, UserId), bool>,
    /// The ids of each user's candidates, some of which may be used by the time they are locked.
    pub unused_coupons_of: BTreeMap<UserId, BTreeSet<CouponId>>,
    /// Includes the candidates.
    pub coupons: BTreeMap<CouponId, Option<Coupon>>,
    /// Each at least as deep as requested. Includes those of the SKUs.
    pub products: BTreeMap<ProductId, Option<LockedProduct>>,
    /// The product of each SKU.
    pub skus: BTreeMap<Sku, Option<ProductId>>,
    /// Includes those of the SKUs.
    pub stocks: BTreeMap<ProductId, Option<Stock>>,
    /// `None` for a user without points or orders so far.
    pub accounts: BTreeMap<UserId, Option<PointAccount>>,
    pub events: BTreeMap<EventId, Option<Delivery>>,
    /// `None` for an actor without entries so far.
    pub audit_chains: BTreeMap<UserId, Option<AuditChain>>,
    /// The database's time after the last lock.
    pub now: Timestamp,
}

impl Locked {
    /// An empty set, locked at that time.
    pub fn nothing(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }
}

/// A locked product, at the depth of the read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of ProductDepth")]
pub enum LockedProduct {
    Offer(ProductOffer),
    Whole(Product),
}

impl LockedProduct {
    /// The offer, also out of a whole product.
    pub fn offer(&self) -> ProductOffer {
        match self {
            Self::Offer(offer) => offer.clone(),
            Self::Whole(product) => product.offer(),
        }
    }
}

/// The keys of the rows that a unit of work has locked and may update. An update of another row could overwrite another
/// transaction's change.
#[derive(Clone, Default, Debug)]
#[expect(missing_docs, reason = "the names are those of Changes")]
pub struct LockedKeys {
    pub orders: BTreeSet<OrderId>,
    pub campaigns: BTreeSet<CampaignId>,
    pub coupons: BTreeSet<CouponId>,
    pub products: BTreeSet<ProductId>,
    pub stocks: BTreeSet<ProductId>,
    pub accounts: BTreeSet<UserId>,
    pub events: BTreeSet<EventId>,
    pub audit_chains: BTreeSet<UserId>,
}

impl LockedKeys {
    /// The orders found.
    pub fn of(first: &First) -> Self {
        Self { orders: found(&first.orders).collect(), ..Self::default() }
    }

    /// Adds the rows found, of the products only those locked whole.
    pub fn add(&mut self, locked: &Locked) {
        let Locked {
            campaigns,
            past_recipients: _,
            unused_coupons_of: _,
            coupons,
            products,
            skus: _,
            stocks,
            accounts,
            events,
            audit_chains,
            now: _,
        } = locked;
        self.campaigns.extend(found(campaigns));
        self.coupons.extend(found(coupons));
        let whole = products.iter().filter(|(_, product)| matches!(product, Some(LockedProduct::Whole(_))));
        self.products.extend(whole.map(|(id, _)| *id));
        self.stocks.extend(found(stocks));
        self.accounts.extend(found(accounts));
        self.events.extend(found(events));
        self.audit_chains.extend(found(audit_chains));
    }
}

fn found<Key: Clone, Row>(rows: &BTreeMap<Key, Option<Row>>) -> impl Iterator<Item = Key> {
    rows.iter().filter(|(_, row)| row.is_some()).map(|(key, _)| key.clone())
}

/// New states of rows, by table.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their rows")]
pub struct States {
    pub orders: Vec<Order>,
    pub campaigns: Vec<CouponCampaign>,
    pub coupons: Vec<Coupon>,
    pub products: Vec<Product>,
    pub stocks: Vec<Stock>,
    pub accounts: Vec<PointAccount>,
    pub events: Vec<Delivery>,
    pub audit_chains: Vec<AuditChain>,
}

/// All changes of a transaction. Adapters destructure it without `..`, so that a forgotten table does not compile.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub struct Changes {
    /// Orders with their lines.
    pub orders: RowChanges<Order>,
    pub campaigns: RowChanges<CouponCampaign>,
    pub coupons: RowChanges<Coupon>,
    /// Products with their options. A SKU that another product has, before the changes or after, is a
    /// [`StoreError::Conflict`]; one that its product gives up in the same changes is not.
    pub products: RowChanges<Product>,
    pub stocks: RowChanges<Stock>,
    pub accounts: RowChanges<PointAccount>,
    /// Deliveries of stored events; events are inserted with [`Appended::outbox`].
    pub events: RowChanges<Delivery>,
    pub audit_chains: RowChanges<AuditChain>,
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

/// A locked row that changed: as it was locked, and as it is to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub struct Update<Row> {
    pub before: Row,
    pub after: Row,
}

impl<Row> Default for RowChanges<Row> {
    fn default() -> Self {
        Self { inserted: Vec::new(), updated: Vec::new() }
    }
}

impl<Row> RowChanges<Row> {
    /// Only new rows.
    pub fn inserted(rows: impl IntoIterator<Item = Row>) -> Self {
        Self { inserted: rows.into_iter().collect(), updated: Vec::new() }
    }

    /// Only changed rows, each before and after.
    pub fn updated(rows: impl IntoIterator<Item = (Row, Row)>) -> Self {
        let updated = rows.into_iter().map(|(before, after)| Update { before, after });
        Self { inserted: Vec::new(), updated: updated.collect() }
    }
}

/// Rows that are written once and never changed, in order of decision.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub struct Appended {
    pub point_entries: Vec<PointEntry>,
    pub stock_movements: Vec<StockMovement>,
    /// Payments. A second payment of an order is a [`StoreError::Conflict`].
    pub payments: Vec<Payment>,
    /// Refunds with their lines.
    pub refunds: Vec<Refund>,
    /// Increments of the daily sales, added in the database to the current rows.
    pub sales: DailySales,
    /// Due for delivery at once.
    pub outbox: Vec<OutboxEvent>,
    pub audit: Vec<AuditEntry>,
    pub revocations: Vec<Revocation>,
    /// Answers of keyed requests, in ascending key order. An existing key is a [`StoreError::Conflict`].
    pub answers: Vec<StoredAnswer>,
}

impl Appended {
    /// Adds the rows of a later decision.
    pub fn extend(&mut self, later: Self) {
        let Self { point_entries, stock_movements, payments, refunds, sales, outbox, audit, revocations, answers } =
            later;
        self.point_entries.extend(point_entries);
        self.stock_movements.extend(stock_movements);
        self.payments.extend(payments);
        self.refunds.extend(refunds);
        self.sales.extend(&sales);
        self.outbox.extend(outbox);
        self.audit.extend(audit);
        self.revocations.extend(revocations);
        self.answers.extend(answers);
    }
}

/// A row with the key by which it is locked.
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub trait Keyed {
    type Key: Ord + Clone + fmt::Debug;

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
    AuditChain => UserId: |chain| chain.actor.clone();
}
