//! The transaction, as the domain sees it.

use async_trait::async_trait;

use crate::audit::AuditRepository;
use crate::coupon::CouponRepository;
use crate::id::BatchId;
use crate::idempotency::IdempotencyRepository;
use crate::order::OrderRepository;
use crate::outbox::OutboxRepository;
use crate::payment::PaymentRepository;
use crate::point::PointRepository;
use crate::product::ProductRepository;
use crate::sales::SalesRepository;
use crate::stock::StockRepository;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// One transaction at READ COMMITTED or stronger, and the repositories that write in it.
///
/// Dropped without [`commit`](UnitOfWork::commit) it rolls back and leaves no lock. After any error it must be
/// dropped: the only thing that an implementation promises then is that nothing of it is kept.
///
/// What a repository is given to write may be put off until rows are locked or read again or until
/// [`commit`](UnitOfWork::commit), so that it goes out together; what is wrong with it may be told only there.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait UnitOfWork: Send {
    /// Point accounts and their ledgers.
    fn points(&mut self) -> &mut dyn PointRepository;
    /// Products.
    fn products(&mut self) -> &mut dyn ProductRepository;
    /// Stocks and their movements.
    fn stocks(&mut self) -> &mut dyn StockRepository;
    /// Campaigns and coupons.
    fn coupons(&mut self) -> &mut dyn CouponRepository;
    /// Orders.
    fn orders(&mut self) -> &mut dyn OrderRepository;
    /// Payments and refunds.
    fn payments(&mut self) -> &mut dyn PaymentRepository;
    /// Daily sales.
    fn sales(&mut self) -> &mut dyn SalesRepository;
    /// Events for the data platform.
    fn outbox(&mut self) -> &mut dyn OutboxRepository;
    /// The audit log.
    fn audit(&mut self) -> &mut dyn AuditRepository;
    /// Requests that were answered.
    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository;

    /// The database's clock at a moment when every row that was locked so far was held; never earlier than what an
    /// earlier transaction that held one of them saw, as far as that clock does not go backwards.
    async fn now(&mut self) -> Result<Timestamp, StoreError>;

    /// Writes what is left to be written and makes all of it durable. [`StoreError::CommitUnknown`] when the connection
    /// broke before the answer came; any other error means that nothing of it is kept.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Begins units of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait UnitOfWorkFactory: Send + Sync {
    /// Begins one, and leaves a row in it by which [`committed`](UnitOfWorkFactory::committed) knows it. The id must be
    /// new. [`StoreError::Unavailable`] when the database cannot be reached, within a bounded time.
    async fn begin(&self, id: BatchId) -> Result<Box<dyn UnitOfWork>, StoreError>;

    /// Whether the unit of work of that id was committed; waits for one that is still under way.
    async fn committed(&self, id: BatchId) -> Result<bool, StoreError>;
}
