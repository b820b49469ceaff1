use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use uuid::Uuid;

use jangteo_domain::audit::{AuditChain, AuditEntry};
use jangteo_domain::coupon::{CampaignRecord, Coupon};
use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::{
    AuditEntryId, BatchId, CampaignId, CouponId, EventId, OrderId, ProductId, RevocationId, UserId, VerificationId,
};
use jangteo_domain::idempotency::{RequestKey, StoredAnswer};
use jangteo_domain::money::Money;
use jangteo_domain::order::OrderRecord;
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::point::{PointAccountRecord, PointEntry};
use jangteo_domain::product::{Product, Sku};
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::statistics::{CountProgress, SalesTotals};
use jangteo_domain::stock::{Stock, StockMovement};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::{Date, Timestamp};
use jangteo_domain::token::Revocation;
use jangteo_domain::verification::VerificationRun;

/// A table by a unique key. It is copied on write, so a copy of all tables is cheap.
pub(crate) type Table<Key, Row> = Arc<BTreeMap<Key, Row>>;

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tables {
    pub accounts: Table<UserId, PointAccountRecord>,
    pub entries: Table<(UserId, u64), PointEntry>,
    pub products: Table<ProductId, Product>,
    pub stocks: Table<ProductId, Stock>,
    pub movements: Table<(ProductId, u64), StockMovement>,
    pub campaigns: Table<CampaignId, CampaignRecord>,
    pub coupons: Table<CouponId, Coupon>,
    pub past_recipients: Table<(CampaignId, UserId), CouponId>,
    pub orders: Table<OrderId, OrderRecord>,
    pub payments: Table<OrderId, Payment>,
    pub refunds: Table<(OrderId, u32), Refund>,
    pub sales: Table<(Date, ProductId), (i64, Money)>,
    pub outbox: Table<(OrderId, u32), OutboxEvent>,
    pub audit: Table<AuditEntryId, AuditEntry>,
    pub audit_chains: Table<UserId, AuditChain>,
    /// The entries in a chain.
    pub audit_links: Table<(UserId, u64), AuditEntryId>,
    pub revocations: Table<RevocationId, Revocation>,
    pub deliveries: Table<EventId, Delivery>,
    pub answered: Table<RequestKey, StoredAnswer>,
    pub quarters: Table<Timestamp, SalesTotals>,
    pub count: CountRow,
    pub runs: Table<VerificationId, RunRow>,
    /// The time of insertion.
    pub markers: Table<BatchId, Timestamp>,
    /// The ids of rows with another key above.
    pub ids: Arc<BTreeSet<(&'static str, Uuid)>>,
}

/// The progress of the statistics and the lease of their count.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct CountRow {
    pub holder: Option<Uuid>,
    pub leased_until: Timestamp,
    pub progress: CountProgress,
}

/// A verification, as recorded last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RunRow {
    pub run: VerificationRun,
    pub request: Option<RequestKey>,
    pub heartbeat_at: Timestamp,
}

impl Tables {
    pub fn product_of_sku(&self, sku: &Sku) -> Option<&Product> {
        self.products.values().find(|product| product.details.sku.as_ref() == Some(sku))
    }

    /// Checks that no two products have one of the SKUs.
    pub fn check_skus(&self, skus: &[(Sku, ProductId)]) -> Result<(), StoreError> {
        let has_twin = |(sku, id): &&(Sku, ProductId)| {
            self.products.values().any(|product| product.id != *id && product.details.sku.as_ref() == Some(sku))
        };
        match skus.iter().find(has_twin) {
            Some((sku, _)) => Err(conflict(format!("two products have the SKU {}", sku.as_str()))),
            None => Ok(()),
        }
    }

    /// Reserves the id of a row with another key.
    pub fn reserve_id(&mut self, table: &'static str, id: Uuid) -> Result<(), StoreError> {
        if Arc::make_mut(&mut self.ids).insert((table, id)) {
            Ok(())
        } else {
            Err(conflict(format!("{table} has a row {id}")))
        }
    }

    /// Adds to the daily sales.
    pub fn add_sales(&mut self, sales: impl Iterator<Item = SaleCounted>) -> Result<(), StoreError> {
        for sale in sales {
            require(&self.products, &sale.product_id)?;
            let (quantity, revenue) = Arc::make_mut(&mut self.sales).entry((sale.day, sale.product_id)).or_default();
            let out_of_range = || StoreError::unexpected(format!("the sales of {} are out of range", sale.day));
            *quantity = quantity.checked_add(sale.quantity).ok_or_else(out_of_range)?;
            *revenue = revenue.checked_add(sale.revenue).ok_or_else(out_of_range)?;
        }
        Ok(())
    }
}

pub(super) fn insert<Key: Ord + Clone + Debug, Row: Clone>(
    table: &mut Table<Key, Row>,
    key: Key,
    row: Row,
) -> Result<(), StoreError> {
    if table.contains_key(&key) {
        return Err(conflict(format!("a row {key:?} exists")));
    }
    Arc::make_mut(table).insert(key, row);
    Ok(())
}

/// An entry for each key.
pub(super) fn rows<Key: Ord + Clone, Row: Clone>(
    table: &Table<Key, Row>,
    keys: &BTreeSet<Key>,
) -> BTreeMap<Key, Option<Row>> {
    keys.iter().map(|key| (key.clone(), table.get(key).cloned())).collect()
}

/// Checks a foreign key.
pub(super) fn require<Key: Ord + Debug, Row>(table: &Table<Key, Row>, key: &Key) -> Result<(), StoreError> {
    check(table.contains_key(key), || format!("no row {key:?} to refer to"))
}

/// Checks a constraint that repeats a domain rule.
pub(super) fn check(holds: bool, text: impl FnOnce() -> String) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(StoreError::unexpected(text())) }
}

pub(super) fn conflict(text: impl Into<String>) -> StoreError {
    StoreError::Conflict(cause(text))
}

pub(super) fn cause(text: impl Into<String>) -> Arc<dyn Error + Send + Sync> {
    Arc::from(Box::<dyn Error + Send + Sync>::from(text.into()))
}
