use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_util::lock::OwnedMutexGuard;

use crate::audit::AuditRepository;
use crate::coupon::CouponRepository;
use crate::id::{BatchId, CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::idempotency::IdempotencyRepository;
use crate::order::OrderRepository;
use crate::outbox::OutboxRepository;
use crate::payment::PaymentRepository;
use crate::point::PointRepository;
use crate::product::ProductRepository;
use crate::sales::SalesRepository;
use crate::stock::StockRepository;
use crate::store_error::StoreError;
use crate::testing::memory::tables::{Tables, check};
use crate::testing::memory::{Complaint, MemoryStore, conflict, locked};
use crate::time::Timestamp;
use crate::unit_of_work::UnitOfWork;

/// The one open transaction of a [`MemoryStore`].
pub(super) struct MemoryUnitOfWork {
    store: MemoryStore,
    tables: Tables,
    held: BTreeSet<RowKey>,
    breaks_at_begin: u64,
    is_over: bool,
    _turn: OwnedMutexGuard<()>,
}

/// A row that can be locked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum RowKey {
    Order(OrderId),
    Campaign(CampaignId),
    Coupon(CouponId),
    Product(ProductId),
    Stock(ProductId),
    Account(UserId),
    Event(EventId),
}

impl MemoryUnitOfWork {
    pub fn new(store: MemoryStore, turn: OwnedMutexGuard<()>) -> Self {
        let tables = store.committed();
        let breaks_at_begin = store.0.breaks.load(Ordering::SeqCst);
        Self { store, tables, held: BTreeSet::new(), breaks_at_begin, is_over: false, _turn: turn }
    }

    /// Leaves the marker by which it is known.
    pub fn mark(&mut self, id: BatchId) -> Result<(), StoreError> {
        self.run(|tables, _| {
            let is_new = Arc::make_mut(&mut tables.markers).insert(id);
            if is_new { Ok(()) } else { Err(conflict(format!("{id} is committed"))) }
        })
    }

    /// Does a statement: on a whole connection, and only while none failed before.
    pub fn run<T>(
        &mut self,
        statement: impl FnOnce(&mut Tables, &mut BTreeSet<RowKey>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_usable()?;
        let result = statement(&mut self.tables, &mut self.held);
        self.is_over = result.is_err();
        result
    }

    fn check_usable(&self) -> Result<(), StoreError> {
        if self.store.0.breaks.load(Ordering::SeqCst) != self.breaks_at_begin {
            return Err(StoreError::Unavailable(Arc::new(Complaint("the connection is broken".to_owned()))));
        }
        check(!self.is_over, || "a unit of work is used after an error".to_owned())
    }
}

/// A row that is written must be locked.
pub(super) fn require_held(held: &BTreeSet<RowKey>, key: RowKey) -> Result<(), StoreError> {
    check(held.contains(&key), || format!("{key:?} is written, but not locked"))
}

#[async_trait]
impl UnitOfWork for MemoryUnitOfWork {
    fn points(&mut self) -> &mut dyn PointRepository {
        self
    }

    fn products(&mut self) -> &mut dyn ProductRepository {
        self
    }

    fn stocks(&mut self) -> &mut dyn StockRepository {
        self
    }

    fn coupons(&mut self) -> &mut dyn CouponRepository {
        self
    }

    fn orders(&mut self) -> &mut dyn OrderRepository {
        self
    }

    fn payments(&mut self) -> &mut dyn PaymentRepository {
        self
    }

    fn sales(&mut self) -> &mut dyn SalesRepository {
        self
    }

    fn outbox(&mut self) -> &mut dyn OutboxRepository {
        self
    }

    fn audit(&mut self) -> &mut dyn AuditRepository {
        self
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository {
        self
    }

    async fn now(&mut self) -> Result<Timestamp, StoreError> {
        let now = self.store.time();
        self.run(|_, _| Ok(now))
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.check_usable()?;
        *locked(&self.store.0.committed) = self.tables.clone();
        self.store.0.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
