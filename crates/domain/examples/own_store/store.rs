//! Two steps of a transaction and a commit, on plain maps. The store has a single writer, and a transaction works on a
//! copy of the tables, which replaces the originals at commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use jangteo_domain::audit::AuditChain;
use jangteo_domain::coupon::{Coupon, CouponCampaign, CouponState};
use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::{BatchId, CampaignId, ProductId, UserId};
use jangteo_domain::idempotency::{RequestKey, StoredAnswer};
use jangteo_domain::order::Order;
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::{Product, Sku};
use jangteo_domain::stock::Stock;
use jangteo_domain::transaction::{
    Appended, Changes, First, FirstKeys, Keyed, LockSet, Locked, LockedProduct, RowChanges, Update,
};
use jangteo_domain::{StoreError, Timestamp, UnitOfWork, UnitOfWorkFactory};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The store; clones share its tables.
#[derive(Clone, Default)]
pub struct OwnStore(Arc<Mutex<Tables>>);

#[derive(Clone, Default)]
struct Tables {
    orders: Table<Order>,
    campaigns: Table<CouponCampaign>,
    coupons: Table<Coupon>,
    products: Table<Product>,
    stocks: Table<Stock>,
    accounts: Table<PointAccount>,
    events: Table<Delivery>,
    audit_chains: Table<AuditChain>,
    answers: BTreeMap<RequestKey, StoredAnswer>,
    recipients: BTreeSet<(CampaignId, UserId)>,
    appended: Appended,
    /// The unique keys of appended rows.
    taken: BTreeSet<(&'static str, String)>,
    markers: BTreeSet<BatchId>,
    last_time: Option<Timestamp>,
}

/// The rows of one table, and the keys locked by the transaction.
#[derive(Clone)]
struct Table<Row: Keyed> {
    rows: BTreeMap<Row::Key, Row>,
    locked: BTreeSet<Row::Key>,
}

impl<Row: Keyed> Default for Table<Row> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), locked: BTreeSet::new() }
    }
}

struct OwnUnitOfWork {
    tables: Tables,
    /// The single writer's lock, released on drop.
    committed: OwnedMutexGuard<Tables>,
}

#[async_trait]
impl UnitOfWorkFactory for OwnStore {
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError> {
        let committed = Arc::clone(&self.0).lock_owned().await;
        let mut tables = committed.clone();
        if !tables.markers.insert(id) {
            return Err(conflict(format!("the marker {id:?} exists")));
        }
        let FirstKeys { answers, orders } = keys;
        let first = First {
            answers: answers.iter().map(|key| (*key, tables.answers.get(key).cloned())).collect(),
            orders: tables.orders.lock(orders),
        };
        Ok((Box::new(OwnUnitOfWork { tables, committed }), first))
    }

    async fn committed(&self, id: BatchId) -> Result<bool, StoreError> {
        Ok(self.0.lock().await.markers.contains(&id)) // Waits for the writer.
    }
}

#[async_trait]
impl UnitOfWork for OwnUnitOfWork {
    async fn lock(&mut self, keys: &LockSet) -> Result<Locked, StoreError> {
        let LockSet {
            campaigns,
            past_recipients,
            unused_coupons_of,
            coupons,
            products,
            skus,
            stocks,
            accounts,
            events,
            audit_chains,
        } = keys;
        let tables = &mut self.tables;
        let now = tables.last_time.max(Some(clock())).expect("a time");
        tables.last_time = Some(now);
        let mut unused: BTreeMap<_, BTreeSet<_>> =
            unused_coupons_of.iter().map(|id| (id.clone(), BTreeSet::new())).collect();
        for coupon in tables.coupons.rows.values().filter(|coupon| coupon.state == CouponState::Unused) {
            if let Some(ids) = unused.get_mut(&coupon.user_id) {
                ids.insert(coupon.id);
            }
        }
        let coupons = coupons.iter().chain(unused.values().flatten()).copied().collect();
        let skus: BTreeMap<_, _> = skus.iter().map(|sku| (sku.clone(), tables.product_of(sku))).collect();
        let of_skus = || skus.values().flatten().copied();
        let products = tables.products.lock(&products.keys().copied().chain(of_skus()).collect());
        let stocks = stocks.iter().copied().chain(of_skus()).collect();
        Ok(Locked {
            campaigns: tables.campaigns.lock(campaigns),
            past_recipients: past_recipients.iter().map(|k| (k.clone(), tables.recipients.contains(k))).collect(),
            unused_coupons_of: unused,
            coupons: tables.coupons.lock(&coupons),
            // A whole product is allowed where an offer is requested.
            products: products.into_iter().map(|(id, row)| (id, row.map(LockedProduct::Whole))).collect(),
            skus,
            stocks: tables.stocks.lock(&stocks),
            accounts: tables.accounts.lock(accounts),
            events: tables.events.lock(events),
            audit_chains: tables.audit_chains.lock(audit_chains),
            now,
        })
    }

    async fn commit(mut self: Box<Self>, changes: Changes) -> Result<(), StoreError> {
        let Changes { orders, campaigns, coupons, products, stocks, accounts, events, audit_chains, appended } =
            changes;
        let tables = &mut self.tables;
        for Coupon { campaign_id, user_id, .. } in &coupons.inserted {
            if !tables.recipients.insert((*campaign_id, user_id.clone())) {
                return Err(conflict(format!("{user_id} has a coupon of {campaign_id}")));
            }
        }
        tables.orders.write(orders)?;
        tables.campaigns.write(campaigns)?;
        tables.coupons.write(coupons)?;
        tables.products.write(products)?;
        let mut skus = BTreeSet::new();
        let mut with_sku = tables.products.rows.values().filter_map(|product| product.details.sku.as_ref());
        if let Some(sku) = with_sku.find(|sku| !skus.insert(*sku)) {
            return Err(conflict(format!("two products have the SKU {sku:?}")));
        }
        tables.stocks.write(stocks)?;
        tables.accounts.write(accounts)?;
        tables.events.write(events)?;
        tables.audit_chains.write(audit_chains)?;
        tables.append(appended)?;
        let Self { tables, mut committed } = *self;
        *committed = tables;
        Ok(())
    }
}

impl<Row: Keyed + Clone + PartialEq> Table<Row> {
    fn lock(&mut self, keys: &BTreeSet<Row::Key>) -> BTreeMap<Row::Key, Option<Row>> {
        self.locked.extend(keys.iter().cloned());
        keys.iter().map(|key| (key.clone(), self.rows.get(key).cloned())).collect()
    }

    fn write(&mut self, changes: RowChanges<Row>) -> Result<(), StoreError> {
        let RowChanges { inserted, updated } = changes;
        for row in inserted {
            if self.rows.contains_key(&row.key()) {
                return Err(conflict(format!("a row {:?} exists", row.key())));
            }
            self.rows.insert(row.key(), row);
        }
        for Update { before, after } in updated {
            if !self.locked.contains(&before.key()) || self.rows.get(&after.key()) != Some(&before) {
                return Err(StoreError::unexpected(format!("the row {:?} is not locked", before.key())));
            }
            self.rows.insert(after.key(), after);
        }
        self.locked.clear();
        Ok(())
    }
}

impl Tables {
    fn product_of(&self, sku: &Sku) -> Option<ProductId> {
        self.products.rows.values().find(|product| product.details.sku.as_ref() == Some(sku)).map(|found| found.id)
    }

    fn append(&mut self, appended: Appended) -> Result<(), StoreError> {
        let Appended {
            point_entries,
            stock_movements,
            payments,
            refunds,
            sales: _,
            outbox,
            audit: _,
            revocations: _,
            answers,
        } = &appended;
        point_entries.iter().try_for_each(|entry| self.take("entry", (&entry.user_id, entry.sequence)))?;
        stock_movements.iter().try_for_each(|moved| self.take("movement", (moved.product_id, moved.sequence)))?;
        payments.iter().try_for_each(|payment| self.take("payment", payment.order_id))?;
        refunds.iter().try_for_each(|refund| self.take("refund", (refund.order_id, refund.sequence)))?;
        outbox.iter().try_for_each(|event| self.take("event", (event.order_id, event.sequence)))?;
        answers.iter().try_for_each(|answer| self.take("answer", answer.request.key))?;
        self.events.rows.extend(outbox.iter().map(|event| (event.id, Delivery::new(event))));
        self.answers.extend(answers.iter().map(|answer| (answer.request.key, answer.clone())));
        self.appended.extend(appended);
        Ok(())
    }

    fn take(&mut self, constraint: &'static str, key: impl Debug) -> Result<(), StoreError> {
        let key = format!("{key:?}");
        let is_new = self.taken.insert((constraint, key.clone()));
        if is_new { Ok(()) } else { Err(conflict(format!("{constraint} {key} exists"))) }
    }
}

fn conflict(detail: String) -> StoreError {
    StoreError::Conflict(Arc::new(std::io::Error::other(detail)))
}

#[expect(clippy::disallowed_methods, reason = "this clock is the database's")]
fn clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    let microseconds = since_epoch.as_micros().try_into().expect("a clock before the year 294,000");
    Timestamp::from_unix_microseconds(microseconds).expect("a clock before the year 10,000")
}
