//! The books and their correction.

use async_trait::async_trait;

use crate::memory::MemoryStore;
use crate::memory::tables::{Table, Tables, conflict};
use crate::memory::transaction::MemoryUnitOfWork;
use jangteo_domain::audit::{AuditChain, AuditEntry};
use jangteo_domain::coupon::{CampaignRecord, Coupon};
use jangteo_domain::id::{
    AuditEntryId, CampaignId, CouponId, EntryId, MovementId, OrderId, PaymentId, ProductId, RefundId, UserId,
};
use jangteo_domain::order::{OrderRecord, OrderStatus};
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::point::{PointAccountRecord, PointEntry};
use jangteo_domain::retention::PruneTarget;
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::statistics::QuarterHour;
use jangteo_domain::stock::{Stock, StockMovement};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::{Date, Timestamp};
use jangteo_domain::verification::{Books, BooksCorrection, BooksFactory, EventOutline, OpenOrders, Rows, StrayLines};

type PageResult<Key, Row> = Result<Rows<Key, Row>, StoreError>;

/// The committed tables at the time of the snapshot.
struct MemoryBooks {
    tables: Tables,
    taken_at: Timestamp,
}

/// Occupies the one writer, so that nothing changes before it ends.
struct MemoryCorrection {
    books: MemoryBooks,
    unit_of_work: MemoryUnitOfWork,
}

impl MemoryStore {
    fn snapshot_of_books(&self) -> MemoryBooks {
        MemoryBooks { tables: self.committed(), taken_at: self.time() }
    }
}

#[async_trait]
impl BooksFactory for MemoryStore {
    async fn open(&self) -> Result<Box<dyn Books>, StoreError> {
        Ok(Box::new(self.snapshot_of_books()))
    }

    async fn open_to_correct(&self) -> Result<Box<dyn BooksCorrection>, StoreError> {
        let turn = self.0.writer.clone().try_lock_owned().ok_or_else(|| conflict("another unit of work is open"))?;
        let unit_of_work = MemoryUnitOfWork::new(self.clone(), turn);
        Ok(Box::new(MemoryCorrection { books: self.snapshot_of_books(), unit_of_work }))
    }
}

#[async_trait]
impl BooksCorrection for MemoryCorrection {
    fn books(&mut self) -> &mut dyn Books {
        &mut self.books
    }

    async fn add_sales(self: Box<Self>, sales: &[SaleCounted]) -> Result<(), StoreError> {
        self.unit_of_work.finish(|tables| tables.add_sales(sales.iter().cloned()))
    }
}

/// The rows after a key, in key order.
fn page<Key: Ord + Clone, Row>(
    rows: impl IntoIterator<Item = (Key, Row)>,
    after: Option<&Key>,
    limit: u32,
) -> Rows<Key, Row> {
    let mut rows: Vec<(Key, Row)> = rows.into_iter().filter(|(key, _)| after.is_none_or(|after| key > after)).collect();
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = if rows.len() > limit { rows.get(limit - 1).map(|(key, _)| key.clone()) } else { None };
    Rows { rows: rows.into_iter().take(limit).map(|(_, row)| row).collect(), unreadable: Vec::new(), next }
}

/// The rows of a table after a key.
fn page_of<Key: Ord + Clone, Row: Clone>(table: &Table<Key, Row>, after: Option<&Key>, limit: u32) -> Rows<Key, Row> {
    page(table.iter().map(|(key, row)| (key.clone(), row.clone())), after, limit)
}

/// The existing rows of these keys.
fn rows_of<Key: Ord, Row: Clone>(table: &Table<Key, Row>, keys: &[Key]) -> Rows<Key, Row> {
    Rows { rows: keys.iter().filter_map(|key| table.get(key).cloned()).collect(), unreadable: Vec::new(), next: None }
}

#[async_trait]
impl Books for MemoryBooks {
    async fn taken_at(&mut self) -> Result<Timestamp, StoreError> {
        Ok(self.taken_at)
    }

    async fn retained(&mut self, target: PruneTarget) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let tables = &self.tables;
        let times: Vec<Timestamp> = match target {
            PruneTarget::AnsweredRequests => tables.answered.values().map(|record| record.at).collect(),
            PruneTarget::CommitMarkers => tables.markers.values().copied().collect(),
            PruneTarget::DeliveredEvents => {
                tables.deliveries.values().filter_map(|delivery| delivery.delivered_at).collect()
            }
            PruneTarget::TokenRevocations => Vec::new(),
            PruneTarget::Verifications => tables.runs.values().map(|row| row.run.started_at).collect(),
        };
        Ok(times.iter().min().copied().zip(times.iter().max().copied()))
    }

    async fn accounts(&mut self, after: Option<UserId>, limit: u32) -> PageResult<UserId, PointAccountRecord> {
        Ok(page_of(&self.tables.accounts, after.as_ref(), limit))
    }

    async fn open_orders(&mut self, after: Option<UserId>, limit: u32) -> PageResult<UserId, OpenOrders> {
        let open = self.tables.orders.values().filter(|order| order.status == OrderStatus::PendingPayment);
        let mut counts = std::collections::BTreeMap::new();
        for order in open {
            let none = || OpenOrders { user_id: order.user_id.clone(), orders: 0, quantity: 0 };
            let count = counts.entry(order.user_id.clone()).or_insert_with(none);
            count.orders += 1;
            count.quantity += order.lines.iter().map(|line| u64::from(line.quantity)).sum::<u64>();
        }
        Ok(page(counts, after.as_ref(), limit))
    }

    async fn entries(&mut self, after: Option<(UserId, u64)>, limit: u32) -> PageResult<(UserId, u64), PointEntry> {
        Ok(page_of(&self.tables.entries, after.as_ref(), limit))
    }

    async fn products(&mut self, after: Option<ProductId>, limit: u32) -> PageResult<ProductId, ProductId> {
        Ok(page(self.tables.products.keys().map(|id| (*id, *id)), after.as_ref(), limit))
    }

    async fn stocks(&mut self, after: Option<ProductId>, limit: u32) -> PageResult<ProductId, Stock> {
        Ok(page_of(&self.tables.stocks, after.as_ref(), limit))
    }

    async fn movements(
        &mut self,
        after: Option<(ProductId, u64)>,
        limit: u32,
    ) -> PageResult<(ProductId, u64), StockMovement> {
        Ok(page_of(&self.tables.movements, after.as_ref(), limit))
    }

    async fn orders(&mut self, after: Option<OrderId>, limit: u32) -> PageResult<OrderId, OrderRecord> {
        Ok(page_of(&self.tables.orders, after.as_ref(), limit))
    }

    async fn stray_order_lines(
        &mut self,
        _after: Option<(OrderId, ProductId)>,
        _limit: u32,
    ) -> Result<StrayLines<OrderId>, StoreError> {
        Ok(page([], None, 0)) // Here lines are a part of their order.
    }

    async fn orders_of(&mut self, ids: &[OrderId]) -> PageResult<OrderId, OrderRecord> {
        Ok(rows_of(&self.tables.orders, ids))
    }

    async fn payments(
        &mut self,
        after: Option<(OrderId, PaymentId)>,
        limit: u32,
    ) -> PageResult<(OrderId, PaymentId), Payment> {
        let payments = self.tables.payments.values().cloned();
        Ok(page(payments.map(|payment| ((payment.order_id, payment.id), payment)), after.as_ref(), limit))
    }

    async fn refunds(&mut self, after: Option<(OrderId, u32)>, limit: u32) -> PageResult<(OrderId, u32), Refund> {
        Ok(page_of(&self.tables.refunds, after.as_ref(), limit))
    }

    async fn stray_refund_lines(
        &mut self,
        _after: Option<(RefundId, ProductId)>,
        _limit: u32,
    ) -> Result<StrayLines<RefundId>, StoreError> {
        Ok(page([], None, 0)) // Here lines are a part of their refund.
    }

    async fn entries_by_order(
        &mut self,
        after: Option<(OrderId, EntryId)>,
        limit: u32,
    ) -> PageResult<(OrderId, EntryId), PointEntry> {
        let entries = self.tables.entries.values().cloned();
        let by_order = entries.filter_map(|entry| Some(((entry.order_id?, entry.id), entry)));
        Ok(page(by_order, after.as_ref(), limit))
    }

    async fn movements_by_order(
        &mut self,
        after: Option<(OrderId, MovementId)>,
        limit: u32,
    ) -> PageResult<(OrderId, MovementId), StockMovement> {
        let movements = self.tables.movements.values().cloned();
        let by_order = movements.filter_map(|movement| Some(((movement.order_id?, movement.id), movement)));
        Ok(page(by_order, after.as_ref(), limit))
    }

    async fn events(&mut self, after: Option<(OrderId, u32)>, limit: u32) -> PageResult<(OrderId, u32), EventOutline> {
        let outline = |(key, event): (&(OrderId, u32), &jangteo_domain::outbox::OutboxEvent)| {
            let event_type = event.event_type.clone();
            (*key, EventOutline { id: event.id, order_id: event.order_id, sequence: event.sequence, event_type })
        };
        Ok(page(self.tables.outbox.iter().map(outline), after.as_ref(), limit))
    }

    async fn campaigns(&mut self, after: Option<CampaignId>, limit: u32) -> PageResult<CampaignId, CampaignRecord> {
        Ok(page_of(&self.tables.campaigns, after.as_ref(), limit))
    }

    async fn coupons(
        &mut self,
        after: Option<(CampaignId, UserId)>,
        limit: u32,
    ) -> PageResult<(CampaignId, UserId), Coupon> {
        let coupons = self.tables.coupons.values().cloned();
        let by_campaign = coupons.map(|coupon| ((coupon.campaign_id, coupon.user_id.clone()), coupon));
        Ok(page(by_campaign, after.as_ref(), limit))
    }

    async fn coupons_of(&mut self, ids: &[CouponId]) -> PageResult<CouponId, Coupon> {
        Ok(rows_of(&self.tables.coupons, ids))
    }

    async fn daily_sales(
        &mut self,
        after: Option<(Date, ProductId)>,
        limit: u32,
    ) -> PageResult<(Date, ProductId), SaleCounted> {
        let sales = self.tables.sales.iter();
        let counted = sales.map(|(&(day, product_id), &(quantity, revenue))| {
            ((day, product_id), SaleCounted { day, product_id, quantity, revenue })
        });
        Ok(page(counted, after.as_ref(), limit))
    }

    async fn audit_chains(&mut self, after: Option<UserId>, limit: u32) -> PageResult<UserId, AuditChain> {
        Ok(page_of(&self.tables.audit_chains, after.as_ref(), limit))
    }

    async fn chained_audit_entries(
        &mut self,
        after: Option<(UserId, u64)>,
        limit: u32,
    ) -> PageResult<(UserId, u64), AuditEntry> {
        let entries = self.tables.audit.values().cloned();
        let chained = entries.filter_map(|entry| Some(((entry.actor.clone(), entry.link?.sequence), entry)));
        Ok(page(chained, after.as_ref(), limit))
    }

    async fn unchained_audit_entries(
        &mut self,
        after: Option<AuditEntryId>,
        limit: u32,
    ) -> PageResult<AuditEntryId, AuditEntry> {
        let unchained = self.tables.audit.values().filter(|entry| entry.link.is_none());
        Ok(page(unchained.map(|entry| (entry.id, entry.clone())), after.as_ref(), limit))
    }

    async fn quarter_hours(&mut self, after: Option<Timestamp>, limit: u32) -> PageResult<Timestamp, QuarterHour> {
        let quarters = self.tables.quarters.iter();
        let quarters = quarters.map(|(&starts_at, &totals)| (starts_at, QuarterHour { starts_at, totals }));
        Ok(page(quarters, after.as_ref(), limit))
    }

    async fn quarter_hours_final_to(&mut self) -> Result<Timestamp, StoreError> {
        Ok(self.tables.count.progress.final_to)
    }
}
