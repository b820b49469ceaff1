use std::collections::VecDeque;

use crate::audit::{AuditChain, AuditEntry};
use crate::coupon::{CampaignRecord, Coupon};
use crate::id::{AuditEntryId, CampaignId, EntryId, MovementId, OrderId, PaymentId, ProductId, RefundId, UserId};
use crate::order::OrderRecord;
use crate::payment::{Payment, Refund};
use crate::point::{PointAccountRecord, PointEntry};
use crate::sales::SaleCounted;
use crate::statistics::QuarterHour;
use crate::stock::{Stock, StockMovement};
use crate::store_error::StoreError;
use crate::time::{Date, Timestamp};
use crate::verification::books::{Books, EventOutline, OpenOrders, Rows};
use crate::verification::run::Verification;

/// Rows per query: large against the cost of a round trip, small against memory.
const PAGE: u32 = 1_000;

/// A list of the books, read by page.
pub(super) trait List {
    type Key: Clone;
    type Row;

    async fn page(books: &mut dyn Books, after: Option<Self::Key>) -> Result<Rows<Self::Key, Self::Row>, StoreError>;
}

macro_rules! lists {
    ($($name:ident: $key:ty => $row:ty, $method:ident;)*) => {$(
        pub(super) struct $name;

        impl List for $name {
            type Key = $key;
            type Row = $row;

            async fn page(books: &mut dyn Books, after: Option<$key>) -> Result<Rows<$key, $row>, StoreError> {
                books.$method(after, PAGE).await
            }
        }
    )*};
}

lists! {
    Accounts: UserId => PointAccountRecord, accounts;
    OrdersOfUsers: UserId => OpenOrders, open_orders;
    Entries: (UserId, u64) => PointEntry, entries;
    Products: ProductId => ProductId, products;
    Stocks: ProductId => Stock, stocks;
    Movements: (ProductId, u64) => StockMovement, movements;
    Orders: OrderId => OrderRecord, orders;
    StrayOrderLines: (OrderId, ProductId) => (OrderId, ProductId), stray_order_lines;
    Payments: (OrderId, PaymentId) => Payment, payments;
    Refunds: (OrderId, u32) => Refund, refunds;
    StrayRefundLines: (RefundId, ProductId) => (RefundId, ProductId), stray_refund_lines;
    EntriesByOrder: (OrderId, EntryId) => PointEntry, entries_by_order;
    MovementsByOrder: (OrderId, MovementId) => StockMovement, movements_by_order;
    Events: (OrderId, u32) => EventOutline, events;
    Campaigns: CampaignId => CampaignRecord, campaigns;
    Coupons: (CampaignId, UserId) => Coupon, coupons;
    Sales: (Date, ProductId) => SaleCounted, daily_sales;
    AuditChains: UserId => AuditChain, audit_chains;
    ChainedAuditEntries: (UserId, u64) => AuditEntry, chained_audit_entries;
    UnchainedAuditEntries: AuditEntryId => AuditEntry, unchained_audit_entries;
    Quarters: Timestamp => QuarterHour, quarter_hours;
}

/// A cursor over a list.
pub(super) struct Walk<L: List> {
    buffer: VecDeque<L::Row>,
    place: Place<L::Key>,
    /// Another walk has reported the unreadable rows.
    again: bool,
}

enum Place<Key> {
    Start,
    After(Key),
    End,
}

impl<L: List> Default for Walk<L> {
    fn default() -> Self {
        Self { buffer: VecDeque::new(), place: Place::Start, again: false }
    }
}

impl<L: List> Walk<L> {
    /// The start of a list for a second walk, which reports no unreadable rows.
    pub(super) fn again() -> Self {
        Self { again: true, ..Self::default() }
    }

    /// The next row; `None` at the end.
    pub(super) async fn next(&mut self, audit: &mut Verification<'_>) -> Result<Option<L::Row>, StoreError> {
        self.next_if(audit, |_| true).await
    }

    /// The next row if it matches; otherwise the cursor does not move.
    pub(super) async fn next_if(
        &mut self,
        audit: &mut Verification<'_>,
        wanted: impl FnOnce(&L::Row) -> bool,
    ) -> Result<Option<L::Row>, StoreError> {
        while self.buffer.is_empty() {
            let after = match &self.place {
                Place::Start => None,
                Place::After(key) => Some(key.clone()),
                Place::End => return Ok(None),
            };
            let mut page = L::page(audit.books, after).await?;
            self.place = page.next.take().map_or(Place::End, Place::After);
            self.buffer.extend(if self.again { audit.take_again(page) } else { audit.take(page) });
        }
        Ok(self.buffer.pop_front_if(|row| wanted(row)))
    }

    /// All rows up to the first that does not match.
    pub(super) async fn take_while(
        &mut self,
        audit: &mut Verification<'_>,
        wanted: impl Fn(&L::Row) -> bool,
    ) -> Result<Vec<L::Row>, StoreError> {
        let mut rows = Vec::new();
        while let Some(row) = self.next_if(audit, &wanted).await? {
            rows.push(row);
        }
        Ok(rows)
    }
}

/// The refunds of an order; skips the refunds of earlier orders.
pub(super) async fn refunds_of(
    audit: &mut Verification<'_>,
    refunds: &mut Walk<Refunds>,
    order_id: OrderId,
) -> Result<Vec<Refund>, StoreError> {
    while refunds.next_if(audit, |refund| refund.order_id < order_id).await?.is_some() {}
    refunds.take_while(audit, |refund| refund.order_id == order_id).await
}
