use async_trait::async_trait;

use crate::coupon::{CampaignRecord, Coupon};
use crate::id::{CampaignId, CouponId, EntryId, EventId, MovementId, OrderId, PaymentId, ProductId, RefundId, UserId};
use crate::order::OrderRecord;
use crate::payment::{Payment, Refund};
use crate::point::{PointAccountRecord, PointEntry};
use crate::retention::PruneTarget;
use crate::sales::SaleCounted;
use crate::stock::{Stock, StockMovement};
use crate::store_error::StoreError;
use crate::time::{Date, Timestamp};

/// Opens snapshots of the books.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait BooksFactory: Send + Sync {
    /// A snapshot of all tables as they are committed now; writers are not held up by it, and it lasts until it is
    /// dropped. [`StoreError::Unavailable`] when the database cannot be reached, within a bounded time.
    async fn open(&self) -> Result<Box<dyn Books>, StoreError>;

    /// A snapshot to correct the books by. Of those that overlap, of all servers and processes, only one corrects them:
    /// for another this, or [`BooksCorrection::add_sales`], is a [`StoreError::Conflict`] within a bounded time.
    async fn open_to_correct(&self) -> Result<Box<dyn BooksCorrection>, StoreError>;
}

/// A snapshot of the books, and the means to correct them.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait BooksCorrection: Send {
    /// The books as they were when it was opened.
    fn books(&mut self) -> &mut dyn Books;

    /// Adds to the daily sales, on whatever the rows hold now, in one transaction; makes the rows that do not exist.
    /// They come in order of their days and products, and each once.
    async fn add_sales(self: Box<Self>, sales: &[SaleCounted]) -> Result<(), StoreError>;
}

/// A page of rows, and those among them that make no sense at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rows<Key, Row> {
    /// The rows, in order of their key.
    pub rows: Vec<Row>,
    /// The rows that no version of this program can have written.
    pub unreadable: Vec<Unreadable>,
    /// The key of the last row of the page, readable or not; `None` when there are no more rows after it.
    pub next: Option<Key>,
}

/// A row that no version of this program can have written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// The table.
    pub table: &'static str,
    /// The row's key, as text.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

/// Lines that have lost what they are lines of: its id and the line's product.
pub type StrayLines<Id> = Rows<(Id, ProductId), (Id, ProductId)>;

/// What is checked of an event: that it is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventOutline {
    /// The event's id.
    pub id: EventId,
    /// The order that it tells of.
    pub order_id: OrderId,
    /// Its place among the events of that order.
    pub sequence: u32,
    /// The CloudEvents type.
    pub event_type: String,
}

/// One snapshot of the books. Every list comes in ascending order of its key, from the row after `after`, at most
/// `limit` rows; rows that cannot be read count towards the limit.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Books: Send {
    /// When the snapshot was taken, by the database's clock.
    async fn taken_at(&mut self) -> Result<Timestamp, StoreError>;
    /// The times from which the ages of the oldest and of the newest row are counted, of what is only kept for a while;
    /// `None` where there is none.
    async fn kept(&mut self, what: PruneTarget) -> Result<Option<(Timestamp, Timestamp)>, StoreError>;
    /// Accounts, by user.
    async fn accounts(
        &mut self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Rows<UserId, PointAccountRecord>, StoreError>;
    /// How many orders of each user wait to be paid, for users who have any; by user.
    async fn open_orders(
        &mut self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Rows<UserId, (UserId, u32)>, StoreError>;
    /// Ledger entries, by user and sequence.
    async fn entries(
        &mut self,
        after: Option<(UserId, u64)>,
        limit: u32,
    ) -> Result<Rows<(UserId, u64), PointEntry>, StoreError>;
    /// Products, by id.
    async fn products(
        &mut self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Rows<ProductId, ProductId>, StoreError>;
    /// Stocks, by product.
    async fn stocks(&mut self, after: Option<ProductId>, limit: u32) -> Result<Rows<ProductId, Stock>, StoreError>;
    /// Stock movements, by product and sequence.
    async fn movements(
        &mut self,
        after: Option<(ProductId, u64)>,
        limit: u32,
    ) -> Result<Rows<(ProductId, u64), StockMovement>, StoreError>;
    /// Orders with their lines, by id.
    async fn orders(&mut self, after: Option<OrderId>, limit: u32) -> Result<Rows<OrderId, OrderRecord>, StoreError>;
    /// Lines of orders that are not there, by order and product.
    async fn stray_order_lines(
        &mut self,
        after: Option<(OrderId, ProductId)>,
        limit: u32,
    ) -> Result<StrayLines<OrderId>, StoreError>;
    /// The orders of these ids that exist, in any order.
    async fn orders_of(&mut self, ids: &[OrderId]) -> Result<Rows<OrderId, OrderRecord>, StoreError>;
    /// Payments, by order and then by id.
    async fn payments(
        &mut self,
        after: Option<(OrderId, PaymentId)>,
        limit: u32,
    ) -> Result<Rows<(OrderId, PaymentId), Payment>, StoreError>;
    /// Refunds with their lines, by order and sequence.
    async fn refunds(
        &mut self,
        after: Option<(OrderId, u32)>,
        limit: u32,
    ) -> Result<Rows<(OrderId, u32), Refund>, StoreError>;
    /// Lines of refunds that are not there, by refund and product.
    async fn stray_refund_lines(
        &mut self,
        after: Option<(RefundId, ProductId)>,
        limit: u32,
    ) -> Result<StrayLines<RefundId>, StoreError>;
    /// Ledger entries that belong to an order, by order and id.
    async fn entries_by_order(
        &mut self,
        after: Option<(OrderId, EntryId)>,
        limit: u32,
    ) -> Result<Rows<(OrderId, EntryId), PointEntry>, StoreError>;
    /// Stock movements that belong to an order, by order and id.
    async fn movements_by_order(
        &mut self,
        after: Option<(OrderId, MovementId)>,
        limit: u32,
    ) -> Result<Rows<(OrderId, MovementId), StockMovement>, StoreError>;
    /// Events of the outbox, by order and sequence.
    async fn events(
        &mut self,
        after: Option<(OrderId, u32)>,
        limit: u32,
    ) -> Result<Rows<(OrderId, u32), EventOutline>, StoreError>;
    /// Campaigns, by id.
    async fn campaigns(
        &mut self,
        after: Option<CampaignId>,
        limit: u32,
    ) -> Result<Rows<CampaignId, CampaignRecord>, StoreError>;
    /// Coupons, by campaign and user.
    async fn coupons(
        &mut self,
        after: Option<(CampaignId, UserId)>,
        limit: u32,
    ) -> Result<Rows<(CampaignId, UserId), Coupon>, StoreError>;
    /// The coupons of these ids that exist, in any order.
    async fn coupons_of(&mut self, ids: &[CouponId]) -> Result<Rows<CouponId, Coupon>, StoreError>;
    /// Daily sales, by day and product.
    async fn daily_sales(
        &mut self,
        after: Option<(Date, ProductId)>,
        limit: u32,
    ) -> Result<Rows<(Date, ProductId), SaleCounted>, StoreError>;
}
