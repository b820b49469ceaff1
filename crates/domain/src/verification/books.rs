use async_trait::async_trait;

use crate::audit::{AuditChain, AuditEntry};
use crate::coupon::{CampaignRecord, Coupon};
use crate::id::{
    AuditEntryId, CampaignId, CouponId, EntryId, EventId, MovementId, OrderId, PaymentId, ProductId, RefundId, UserId,
};
use crate::order::OrderRecord;
use crate::payment::{Payment, Refund};
use crate::point::{PointAccountRecord, PointEntry};
use crate::retention::PruneTarget;
use crate::sales::SaleCounted;
use crate::statistics::QuarterHour;
use crate::stock::{Stock, StockMovement};
use crate::store_error::StoreError;
use crate::time::{Date, Timestamp};

/// Opens snapshots of the books.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait BooksFactory: Send + Sync {
    /// A snapshot of all committed tables, open until dropped; it blocks no writer. [`StoreError::Unavailable`] within
    /// a bounded time when the database cannot be reached.
    async fn open(&self) -> Result<Box<dyn Books>, StoreError>;

    /// A snapshot for a correction. Of overlapping corrections, on all servers and processes, only one succeeds: for
    /// the others this or [`BooksCorrection::add_sales`] returns [`StoreError::Conflict`] within a bounded time.
    async fn open_to_correct(&self) -> Result<Box<dyn BooksCorrection>, StoreError>;
}

/// A snapshot of the books with write access for a correction.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait BooksCorrection: Send {
    /// The snapshot.
    fn books(&mut self) -> &mut dyn Books;

    /// Adds to the current daily sales in one transaction and inserts missing rows. `sales` is sorted by day and
    /// product, without duplicates.
    async fn add_sales(self: Box<Self>, sales: &[SaleCounted]) -> Result<(), StoreError>;
}

/// A page of rows, with its unreadable rows apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rows<Key, Row> {
    /// In key order.
    pub rows: Vec<Row>,
    /// Rows with invalid values.
    pub unreadable: Vec<Unreadable>,
    /// The key of the last row of the page, readable or not; `None` on the last page.
    pub next: Option<Key>,
}

/// A row with invalid values, which no version of this program writes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the table and key of the row, and a description")]
pub struct Unreadable {
    pub table: &'static str,
    pub key: String,
    pub what: String,
}

/// Lines without a parent row: the id of the parent and the product of the line.
pub type StrayLines<Id> = Rows<(Id, ProductId), (Id, ProductId)>;

/// An event of the outbox without its body.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are those of OutboxEvent")]
pub struct EventOutline {
    pub id: EventId,
    pub order_id: OrderId,
    pub sequence: u32,
    pub event_type: String,
}

/// The open orders of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct OpenOrders {
    pub user_id: UserId,
    pub orders: u32,
    /// The items of all their lines.
    pub quantity: u64,
}

/// One snapshot of the books. Every list returns at most `limit` rows after the key `after`, in ascending key order;
/// unreadable rows count towards the limit.
#[expect(missing_docs, reason = "the lists are named after their rows, and the type of `after` is the key")]
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Books: Send {
    /// Time of the snapshot, by the database's clock.
    async fn taken_at(&mut self) -> Result<Timestamp, StoreError>;
    /// The retention times of the oldest and the newest row; `None` without rows, and for revocations, whose end is not a
    /// matter of their age.
    async fn retained(&mut self, target: PruneTarget) -> Result<Option<(Timestamp, Timestamp)>, StoreError>;
    async fn accounts(
        &mut self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Rows<UserId, PointAccountRecord>, StoreError>;
    /// The open orders of each user with any, by user.
    async fn open_orders(&mut self, after: Option<UserId>, limit: u32) -> Result<Rows<UserId, OpenOrders>, StoreError>;
    async fn entries(
        &mut self,
        after: Option<(UserId, u64)>,
        limit: u32,
    ) -> Result<Rows<(UserId, u64), PointEntry>, StoreError>;
    async fn products(
        &mut self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Rows<ProductId, ProductId>, StoreError>;
    async fn stocks(&mut self, after: Option<ProductId>, limit: u32) -> Result<Rows<ProductId, Stock>, StoreError>;
    async fn movements(
        &mut self,
        after: Option<(ProductId, u64)>,
        limit: u32,
    ) -> Result<Rows<(ProductId, u64), StockMovement>, StoreError>;
    /// Orders with their lines, by id.
    async fn orders(&mut self, after: Option<OrderId>, limit: u32) -> Result<Rows<OrderId, OrderRecord>, StoreError>;
    /// Lines without an order, by order and product.
    async fn stray_order_lines(
        &mut self,
        after: Option<(OrderId, ProductId)>,
        limit: u32,
    ) -> Result<StrayLines<OrderId>, StoreError>;
    /// The existing orders of these ids, in any order.
    async fn orders_of(&mut self, ids: &[OrderId]) -> Result<Rows<OrderId, OrderRecord>, StoreError>;
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
    /// Lines without a refund, by refund and product.
    async fn stray_refund_lines(
        &mut self,
        after: Option<(RefundId, ProductId)>,
        limit: u32,
    ) -> Result<StrayLines<RefundId>, StoreError>;
    /// Ledger entries of orders, by order and id.
    async fn entries_by_order(
        &mut self,
        after: Option<(OrderId, EntryId)>,
        limit: u32,
    ) -> Result<Rows<(OrderId, EntryId), PointEntry>, StoreError>;
    /// Stock movements of orders, by order and id.
    async fn movements_by_order(
        &mut self,
        after: Option<(OrderId, MovementId)>,
        limit: u32,
    ) -> Result<Rows<(OrderId, MovementId), StockMovement>, StoreError>;
    async fn events(
        &mut self,
        after: Option<(OrderId, u32)>,
        limit: u32,
    ) -> Result<Rows<(OrderId, u32), EventOutline>, StoreError>;
    async fn campaigns(
        &mut self,
        after: Option<CampaignId>,
        limit: u32,
    ) -> Result<Rows<CampaignId, CampaignRecord>, StoreError>;
    async fn coupons(
        &mut self,
        after: Option<(CampaignId, UserId)>,
        limit: u32,
    ) -> Result<Rows<(CampaignId, UserId), Coupon>, StoreError>;
    /// The existing coupons of these ids, in any order.
    async fn coupons_of(&mut self, ids: &[CouponId]) -> Result<Rows<CouponId, Coupon>, StoreError>;
    async fn daily_sales(
        &mut self,
        after: Option<(Date, ProductId)>,
        limit: u32,
    ) -> Result<Rows<(Date, ProductId), SaleCounted>, StoreError>;
    /// The chains of the audit log, by actor.
    async fn audit_chains(&mut self, after: Option<UserId>, limit: u32)
    -> Result<Rows<UserId, AuditChain>, StoreError>;
    /// The entries in a chain, by actor and sequence.
    async fn chained_audit_entries(
        &mut self,
        after: Option<(UserId, u64)>,
        limit: u32,
    ) -> Result<Rows<(UserId, u64), AuditEntry>, StoreError>;
    /// The entries without a link.
    async fn unchained_audit_entries(
        &mut self,
        after: Option<AuditEntryId>,
        limit: u32,
    ) -> Result<Rows<AuditEntryId, AuditEntry>, StoreError>;
    async fn quarter_hours(
        &mut self,
        after: Option<Timestamp>,
        limit: u32,
    ) -> Result<Rows<Timestamp, QuarterHour>, StoreError>;
    /// Quarters that begin earlier are final.
    async fn quarter_hours_final_to(&mut self) -> Result<Timestamp, StoreError>;
}
