use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use uuid::Uuid;

use crate::audit::AuditEntry;
use crate::coupon::{Coupon, CouponCampaign};
use crate::id::{AuditEntryId, BatchId, CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::idempotency::{IdempotencyRecord, RequestKey};
use crate::money::Money;
use crate::order::Order;
use crate::outbox::OutboxEvent;
use crate::payment::{Payment, Refund};
use crate::point::{PointAccount, PointEntry};
use crate::product::Product;
use crate::stock::{Stock, StockMovement};
use crate::store_error::StoreError;
use crate::testing::memory::conflict;
use crate::testing::memory::delivery::DeliveryRow;
use crate::time::Date;

/// A table by a unique key, shared until it is written: a copy of all tables costs nothing.
pub(crate) type Table<Key, Row> = Arc<BTreeMap<Key, Row>>;

/// Everything that is stored.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tables {
    pub accounts: Table<UserId, PointAccount>,
    pub entries: Table<(UserId, u64), PointEntry>,
    pub products: Table<ProductId, Product>,
    pub stocks: Table<ProductId, Stock>,
    pub movements: Table<(ProductId, u64), StockMovement>,
    pub campaigns: Table<CampaignId, CouponCampaign>,
    pub coupons: Table<CouponId, Coupon>,
    pub past_recipients: Table<(CampaignId, UserId), CouponId>,
    pub orders: Table<OrderId, Order>,
    pub payments: Table<OrderId, Payment>,
    pub refunds: Table<(OrderId, u32), Refund>,
    pub sales: Table<(Date, ProductId), (i64, Money)>,
    pub outbox: Table<(OrderId, u32), OutboxEvent>,
    pub audit: Table<AuditEntryId, AuditEntry>,
    pub deliveries: Table<EventId, DeliveryRow>,
    pub answered: Table<RequestKey, IdempotencyRecord>,
    pub markers: Arc<BTreeSet<BatchId>>,
    /// The ids of the rows above that are stored by another key.
    pub ids: Arc<BTreeSet<(&'static str, Uuid)>>,
}

impl Tables {
    /// Takes the id of a row that is stored by another key.
    pub fn claim_id(&mut self, table: &'static str, id: Uuid) -> Result<(), StoreError> {
        if Arc::make_mut(&mut self.ids).insert((table, id)) {
            Ok(())
        } else {
            Err(conflict(format!("{table} has a row {id}")))
        }
    }
}

/// Adds a row with a new key.
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

/// The rows of these keys that exist, in order of the keys.
pub(super) fn rows<Key: Ord, Row: Clone>(table: &Table<Key, Row>, keys: &BTreeSet<Key>) -> Vec<Row> {
    keys.iter().filter_map(|key| table.get(key).cloned()).collect()
}

/// A row that a foreign key points to.
pub(super) fn require<Key: Ord + Debug, Row>(table: &Table<Key, Row>, key: &Key) -> Result<(), StoreError> {
    check(table.contains_key(key), || format!("no row {key:?} to refer to"))
}

/// A constraint that says again what the domain says.
pub(super) fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(StoreError::unexpected(what())) }
}
