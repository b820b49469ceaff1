//! The write port, with every constraint of the databases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_util::lock::OwnedMutexGuard;

use jangteo_domain::audit::AuditChain;
use jangteo_domain::coupon::{CampaignRecord, Coupon, CouponCampaign, CouponState};
use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::{BatchId, CouponId, ProductId};
use jangteo_domain::order::{Order, OrderRecord};
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::point::{PointAccount, PointAccountRecord};
use jangteo_domain::product::{Product, Sku};
use jangteo_domain::stock::Stock;
use jangteo_domain::store_error::InvalidRecord;
use jangteo_domain::transaction::{
    Appended, Changes, First, FirstKeys, Keyed, LockSet, Locked, LockedKeys, LockedProduct, ProductDepth, RowChanges,
    Update,
};
use jangteo_domain::{StoreError, UnitOfWork, UnitOfWorkFactory, UserId};

use crate::memory::tables::{Table, Tables, cause, check, insert, require, rows};
use crate::memory::{MemoryStore, locked};

#[async_trait]
impl UnitOfWorkFactory for MemoryStore {
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError> {
        let turn = Arc::clone(&self.0.writer).lock_owned().await;
        let mut unit_of_work = MemoryUnitOfWork::new(self.clone(), turn);
        let first = unit_of_work.begin(id, keys)?;
        Ok((Box::new(unit_of_work), first))
    }

    async fn committed(&self, id: BatchId) -> Result<bool, StoreError> {
        let _turn = self.0.writer.lock().await;
        Ok(self.committed().markers.contains_key(&id))
    }
}

/// The open transaction of a [`MemoryStore`].
pub(super) struct MemoryUnitOfWork {
    store: MemoryStore,
    tables: Tables,
    locked: LockedKeys,
    breaks_at_begin: u64,
    _turn: OwnedMutexGuard<()>,
}

impl MemoryUnitOfWork {
    pub fn new(store: MemoryStore, turn: OwnedMutexGuard<()>) -> Self {
        let tables = store.committed();
        let breaks_at_begin = store.0.breaks.load(Ordering::SeqCst);
        Self { store, tables, locked: LockedKeys::default(), breaks_at_begin, _turn: turn }
    }

    /// Inserts the marker and reads answers and orders.
    pub fn begin(&mut self, id: BatchId, keys: &FirstKeys) -> Result<First, StoreError> {
        insert(&mut self.tables.markers, id, self.store.time())?;
        let FirstKeys { answers, orders } = keys;
        let first = First {
            answers: rows(&self.tables.answered, answers),
            orders: aggregates(rows(&self.tables.orders, orders), Order::from_stored)?,
        };
        self.locked = LockedKeys::of(&first);
        Ok(first)
    }

    /// Changes the tables and commits.
    pub fn finish(mut self, change: impl FnOnce(&mut Tables) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.check_connection()?;
        change(&mut self.tables)?;
        *locked(&self.store.0.committed) = self.tables;
        self.store.0.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn check_connection(&self) -> Result<(), StoreError> {
        if self.store.0.breaks.load(Ordering::SeqCst) == self.breaks_at_begin {
            return Ok(());
        }
        Err(StoreError::Unavailable(cause("the connection is broken")))
    }
}

#[async_trait]
impl UnitOfWork for MemoryUnitOfWork {
    async fn lock(&mut self, keys: &LockSet) -> Result<Locked, StoreError> {
        self.check_connection()?;
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
        let tables = &self.tables;
        let mut unused: BTreeMap<UserId, BTreeSet<CouponId>> =
            unused_coupons_of.iter().map(|user_id| (user_id.clone(), BTreeSet::new())).collect();
        for coupon in tables.coupons.values().filter(|coupon| coupon.state == CouponState::Unused) {
            if let Some(ids) = unused.get_mut(&coupon.user_id) {
                ids.insert(coupon.id);
            }
        }
        let coupons: BTreeSet<CouponId> = coupons.iter().chain(unused.values().flatten()).copied().collect();
        let skus: BTreeMap<Sku, Option<ProductId>> =
            skus.iter().map(|sku| (sku.clone(), tables.product_of_sku(sku).map(|product| product.id))).collect();
        let of_skus = || skus.values().flatten().copied();
        let is_whole = of_skus().next().is_some() || products.values().any(|depth| *depth == ProductDepth::Whole);
        let product = |product: Product| match is_whole {
            true => LockedProduct::Whole(product),
            false => LockedProduct::Offer(product.offer()),
        };
        let product_ids: BTreeSet<ProductId> = products.keys().copied().chain(of_skus()).collect();
        let stocks = stocks.iter().copied().chain(of_skus()).collect();
        let locked = Locked {
            campaigns: aggregates(rows(&tables.campaigns, campaigns), CouponCampaign::from_stored)?,
            past_recipients: past_recipients
                .iter()
                .map(|pair| (pair.clone(), tables.past_recipients.contains_key(pair)))
                .collect(),
            unused_coupons_of: unused,
            coupons: rows(&tables.coupons, &coupons),
            products: rows(&tables.products, &product_ids)
                .into_iter()
                .map(|(id, row)| (id, row.map(product)))
                .collect(),
            skus,
            stocks: rows(&tables.stocks, &stocks),
            accounts: aggregates(rows(&tables.accounts, accounts), PointAccount::from_stored)?,
            events: rows(&tables.deliveries, events),
            audit_chains: rows(&tables.audit_chains, audit_chains),
            now: self.store.time(),
        };
        self.locked.add(&locked);
        Ok(locked)
    }

    async fn commit(mut self: Box<Self>, changes: Changes) -> Result<(), StoreError> {
        let locked = std::mem::take(&mut self.locked);
        self.finish(|tables| write(tables, &locked, changes))
    }
}

fn write(tables: &mut Tables, locked: &LockedKeys, changes: Changes) -> Result<(), StoreError> {
    let Changes { orders, campaigns, coupons, products, stocks, accounts, events, audit_chains, appended } = changes;
    for coupon in &coupons.inserted {
        insert(&mut tables.past_recipients, (coupon.campaign_id, coupon.user_id.clone()), coupon.id)?;
    }
    let changed = products.inserted.iter().chain(products.updated.iter().map(|update| &update.after));
    let skus: Vec<(Sku, ProductId)> = changed.filter_map(|row| Some((row.details.sku.clone()?, row.id))).collect();
    save(&mut tables.products, &locked.products, products, Product::clone)?;
    tables.check_skus(&skus)?;
    save(&mut tables.stocks, &locked.stocks, stocks, Stock::clone)?;
    save(&mut tables.campaigns, &locked.campaigns, campaigns, |campaign| CampaignRecord::clone(campaign))?;
    save(&mut tables.accounts, &locked.accounts, accounts, |account| PointAccountRecord::clone(account))?;
    let ordered = orders.inserted.iter().flat_map(|order| &order.lines);
    ordered.map(|line| line.product_id).try_for_each(|id| require(&tables.products, &id))?;
    save(&mut tables.orders, &locked.orders, orders, |order| OrderRecord::clone(order))?;
    coupons.inserted.iter().try_for_each(|coupon| require(&tables.campaigns, &coupon.campaign_id))?;
    let used = coupons.inserted.iter().chain(coupons.updated.iter().map(|update| &update.after));
    used.filter_map(Coupon::order_id).try_for_each(|id| require(&tables.orders, &id))?;
    save(&mut tables.coupons, &locked.coupons, coupons, Coupon::clone)?;
    save(&mut tables.deliveries, &locked.events, events, Delivery::clone)?;
    save(&mut tables.audit_chains, &locked.audit_chains, audit_chains, AuditChain::clone)?;
    append(tables, appended)
}

/// Inserts new rows and updates locked ones.
fn save<Row: Keyed, Record: Clone + PartialEq>(
    table: &mut Table<Row::Key, Record>,
    locked: &BTreeSet<Row::Key>,
    changes: RowChanges<Row>,
    record: impl Fn(&Row) -> Record,
) -> Result<(), StoreError> {
    let RowChanges { inserted, updated } = changes;
    for row in inserted {
        insert(table, row.key(), record(&row))?;
    }
    for Update { before, after } in updated {
        check(locked.contains(&before.key()), || format!("{:?} is updated, but not locked", before.key()))?;
        let is_as_locked = before.key() == after.key() && table.get(&before.key()) == Some(&record(&before));
        check(is_as_locked, || format!("{:?} is updated from a version that was not locked", before.key()))?;
        Arc::make_mut(table).insert(after.key(), record(&after));
    }
    Ok(())
}

fn append(tables: &mut Tables, appended: Appended) -> Result<(), StoreError> {
    let Appended { point_entries, stock_movements, payments, refunds, sales, outbox, audit, revocations, answers } =
        appended;
    for entry in point_entries {
        check(!entry.balance_after.is_negative(), || format!("{:?} has a balance below zero", entry.id))?;
        require(&tables.accounts, &entry.user_id)?;
        entry.order_id.map_or(Ok(()), |id| require(&tables.orders, &id))?;
        tables.reserve_id("point entries", entry.id.uuid())?;
        insert(&mut tables.entries, (entry.user_id.clone(), entry.sequence), entry)?;
    }
    for movement in stock_movements {
        require(&tables.stocks, &movement.product_id)?;
        movement.order_id.map_or(Ok(()), |id| require(&tables.orders, &id))?;
        tables.reserve_id("stock movements", movement.id.uuid())?;
        insert(&mut tables.movements, (movement.product_id, movement.sequence), movement)?;
    }
    for payment in payments {
        require(&tables.orders, &payment.order_id)?;
        tables.reserve_id("payments", payment.id.uuid())?;
        insert(&mut tables.payments, payment.order_id, payment)?;
    }
    for refund in refunds {
        require(&tables.orders, &refund.order_id)?;
        tables.reserve_id("refunds", refund.id.uuid())?;
        insert(&mut tables.refunds, (refund.order_id, refund.sequence), refund)?;
    }
    tables.add_sales(sales.iter())?;
    for event in outbox {
        insert_event(tables, event)?;
    }
    for entry in audit {
        if let Some(link) = entry.link {
            let key = (entry.actor.clone(), link.sequence);
            insert(&mut tables.audit_links, key, entry.id)?;
        }
        insert(&mut tables.audit, entry.id, entry)?;
    }
    for revocation in revocations {
        insert(&mut tables.revocations, revocation.id, revocation)?;
    }
    for answer in answers {
        insert(&mut tables.answered, answer.request.key, answer)?;
    }
    Ok(())
}

/// Maps records to aggregates.
fn aggregates<Key: Ord, Record, Aggregate>(
    records: BTreeMap<Key, Option<Record>>,
    from_stored: impl Fn(Record) -> Result<Aggregate, InvalidRecord>,
) -> Result<BTreeMap<Key, Option<Aggregate>>, StoreError> {
    records.into_iter().map(|(key, record)| Ok((key, record.map(&from_stored).transpose()?))).collect()
}

fn insert_event(tables: &mut Tables, event: OutboxEvent) -> Result<(), StoreError> {
    require(&tables.orders, &event.order_id)?;
    insert(&mut tables.deliveries, event.id, Delivery::new(&event))?;
    insert(&mut tables.outbox, (event.order_id, event.sequence), event)
}
