//! A transaction: one connection, from `BEGIN` to `COMMIT` or rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diesel::QueryResult;
use diesel_async::RunQueryDsl as _;
use diesel_async::methods::LoadQuery;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangteo_domain::audit::AuditChain;
use jangteo_domain::coupon::{Coupon, CouponCampaign};
use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::{BatchId, CampaignId, CouponId, EventId, OrderId, ProductId};
use jangteo_domain::idempotency::StoredAnswer;
use jangteo_domain::order::Order;
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::{Product, ProductOffer, Sku};
use jangteo_domain::stock::Stock;
use jangteo_domain::transaction::{
    Appended, Changes, First, FirstKeys, Keyed, LockSet, Locked, LockedKeys, LockedProduct, ProductDepth, RowChanges,
    Update,
};
use jangteo_domain::{StoreError, Timestamp, UnitOfWork, UnitOfWorkFactory, UserId};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::in_doubt::InDoubt;
use super::search_index::put_search;
use super::store::{Now, Pool, PooledSession, Store, discard};
use super::writes::{Writes, begin, rule_out};
use super::{Conn, bounded, explain, explain_begin, is_connection_lost};
use crate::bulk::{Find, Lock, Lookup, Row, chunks};
use crate::error::{OtherHistory, SkuMoved, Timeout};
use crate::rows::audit::{AuditChainOf, AuditChainRow, AuditEntryRow};
use crate::rows::coupon::{CampaignById, CampaignRow, CandidatesOf, CouponById, CouponRow, PastRecipientOf, StateCode};
use crate::rows::idempotency::{AnsweredRequest, CommitMarkerRow, IdempotencyKeyRow, MarkerOf};
use crate::rows::order::{LockOrders, LockedOrderRow, OrderById, OrderLineRow, OrderRow, assemble};
use crate::rows::outbox::{DeliveryOf, DeliveryProgressRow, OutboxEventRow};
use crate::rows::payment::{PaymentRow, RefundLineRow, RefundRow};
use crate::rows::point::{AccountOf, PointAccountRow, PointEntryRow};
use crate::rows::product::{OfferOf, OptionsOf, ProductById, ProductOfSku, ProductOptionRow, ProductRow};
use crate::rows::product_search::{ProductSearchGramsRow, ProductSearchTextRow};
use crate::rows::sales::DailySaleRow;
use crate::rows::stock::{StockMovementRow, StockOf, StockRow};
use crate::rows::token::RevocationRow;
use crate::types::{At, Bytes, Id, Varchar};

/// Upper bound of connection and `BEGIN`, retries included. Lock waits come later.
const BEGIN_MAX: Duration = Duration::from_millis(2_500);

/// An open transaction. When dropped, its connection returns to the pool, which closes it because it is in a
/// transaction; the server rolls back and releases the locks.
pub(super) struct Transaction {
    session: PooledSession,
    /// Whether a statement failed or was interrupted. Nothing is sent after that: after a deadlock the next statement
    /// would run outside of the transaction, after a lock wait timeout the transaction would be committed in part.
    failed: bool,
    pub(super) locked: LockedKeys,
    /// The database's time at the last lock.
    locked_at: Option<Timestamp>,
    /// With a marker: its id, and where to record the server of a commit that failed.
    marker: Option<(BatchId, InDoubt)>,
}

impl Transaction {
    /// Runs one statement, within the timeout of statements; none after a failed one.
    pub(super) async fn run<T: Send>(
        &mut self,
        statement: impl for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, QueryResult<T>> + Send,
    ) -> Result<T, StoreError> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(StoreError::unexpected("a statement after a failed one"));
        }
        let session = &mut *self.session;
        let connection = &mut session.connection;
        let answered = bounded(&session.server, statement(connection)).await;
        self.failed = answered.is_err();
        match answered {
            Ok(answer) => Ok(answer),
            Err(error) => Err(explain(error, session).await),
        }
    }

    pub(super) async fn query<Q, T>(&mut self, query: Q) -> Result<Vec<T>, StoreError>
    where
        Q: for<'q> LoadQuery<'q, Conn, T> + Send + 'static,
        T: Send + 'static,
    {
        self.run(|connection| query.load(connection).boxed()).await
    }

    /// Finds rows, in no order.
    async fn find<L: Lookup + 'static>(
        &mut self,
        keys: impl IntoIterator<Item = L> + Send,
    ) -> Result<Vec<L::Row>, StoreError>
    where
        L::Row: Send + 'static,
        Find<L>: for<'q> LoadQuery<'q, Conn, L::Row>,
    {
        let mut found = Vec::new();
        for chunk in chunks(keys, self.session.server.bind_bytes_max()) {
            found.append(&mut self.query(Find::<L>::new(chunk)).await?);
        }
        Ok(found)
    }

    /// Locks rows in the order given, and returns them in no order.
    async fn lock_found<L: Lookup + 'static>(
        &mut self,
        keys: impl IntoIterator<Item = L> + Send,
    ) -> Result<Vec<L::Row>, StoreError>
    where
        L::Row: Send + 'static,
        Lock<L>: for<'q> LoadQuery<'q, Conn, (At, L::Row)>,
    {
        let mut locked = Vec::new();
        for chunk in chunks(keys, self.session.server.bind_bytes_max()) {
            for (at, row) in self.query(Lock::<L>::new(chunk)).await? {
                self.record_lock_time(at);
                locked.push(row);
            }
        }
        Ok(locked)
    }

    /// Locks rows in key order: an entry for each key.
    async fn lock_keys<K, L, T>(
        &mut self,
        keys: &BTreeSet<K>,
        lookup: impl Fn(&K) -> L + Send,
        make: impl Fn(L::Row) -> Result<T, StoreError> + Send,
    ) -> Result<BTreeMap<K, Option<T>>, StoreError>
    where
        K: Ord + Clone + Send + Sync,
        L: Lookup<Row: Send + 'static> + Send + 'static,
        T: Keyed<Key = K> + Send,
        Lock<L>: for<'q> LoadQuery<'q, Conn, (At, L::Row)>,
    {
        let lookups: Vec<L> = keys.iter().map(lookup).collect();
        let rows = self.lock_found(lookups).await?.into_iter();
        let found = rows.map(|row| make(row).map(|made| (made.key(), made)));
        entries(keys, found)
    }

    async fn lock_orders(&mut self, ids: &BTreeSet<OrderId>) -> Result<BTreeMap<OrderId, Option<Order>>, StoreError> {
        let keys = ids.iter().map(|id| OrderById { id: Id(*id) });
        let (mut orders, mut lines) = (BTreeMap::new(), Vec::new());
        for chunk in chunks(keys, self.session.server.bind_bytes_max()) {
            let rows: Vec<LockedOrderRow> = self.query(LockOrders::new(chunk)).await?;
            for (at, order, line) in rows {
                self.record_lock_time(at);
                orders.entry(order.id.0).or_insert(order);
                lines.extend(line);
            }
        }
        let orders = assemble(orders.into_values().collect(), lines)?;
        entries(ids, orders.into_iter().map(|order| Ok((order.id, order))))
    }

    pub(super) async fn lock_products(
        &mut self,
        depths: &BTreeMap<ProductId, ProductDepth>,
    ) -> Result<BTreeMap<ProductId, Option<LockedProduct>>, StoreError> {
        let keys = depths.keys().copied().collect();
        if depths.values().all(|depth| *depth == ProductDepth::Offer) {
            let rows = self.lock_found(depths.keys().map(|id| OfferOf { id: Id(*id) })).await?;
            let offer = |row| ProductOffer::try_from(row).map(|offer| (offer.product_id, LockedProduct::Offer(offer)));
            return entries(&keys, rows.into_iter().map(offer));
        }
        let products = self.lock_keys(&keys, |id| ProductById { id: Id(*id) }, Product::try_from).await?;
        Ok(products.into_iter().map(|(id, product)| (id, product.map(LockedProduct::Whole))).collect())
    }

    async fn products_of(&mut self, skus: &BTreeSet<Sku>) -> Result<BTreeMap<Sku, Option<ProductId>>, StoreError> {
        let rows = self.find(skus.iter().map(|sku| ProductOfSku { sku: Varchar(sku.clone()) })).await?;
        let found = rows.into_iter().filter_map(|row| Some(Ok((row.sku?.0, row.id.0))));
        entries(skus, found)
    }

    async fn past_recipients(
        &mut self,
        pairs: &BTreeSet<(CampaignId, UserId)>,
    ) -> Result<BTreeMap<(CampaignId, UserId), bool>, StoreError> {
        let past_recipient_of = |(campaign_id, user_id): &(CampaignId, UserId)| PastRecipientOf {
            campaign_id: Id(*campaign_id),
            user_id: Varchar(user_id.clone()),
        };
        let rows = self.find(pairs.iter().map(past_recipient_of)).await?;
        let mut answers: BTreeMap<_, _> = pairs.iter().map(|pair| (pair.clone(), false)).collect();
        answers.extend(rows.into_iter().map(|row| ((row.campaign_id.0, row.user_id.0), true)));
        Ok(answers)
    }

    async fn unused_coupons_of(
        &mut self,
        users: &BTreeSet<UserId>,
    ) -> Result<BTreeMap<UserId, BTreeSet<CouponId>>, StoreError> {
        let rows = self.find(users.iter().map(|user_id| CandidatesOf { user_id: Varchar(user_id.clone()) })).await?;
        let mut unused: BTreeMap<_, BTreeSet<_>> = users.iter().map(|user| (user.clone(), BTreeSet::new())).collect();
        for row in rows.into_iter().filter(|row| row.state.0 == StateCode::Unused) {
            unused.entry(row.user_id.0).or_default().insert(row.id.0);
        }
        Ok(unused)
    }

    fn record_lock_time(&mut self, At(at): At) {
        self.locked_at = self.locked_at.max(Some(at));
    }

    /// The database's time after the last lock, or the current time without locks.
    pub(super) async fn now(&mut self) -> Result<Timestamp, StoreError> {
        if let Some(locked_at) = self.locked_at {
            return Ok(locked_at);
        }
        let At(now) = self.run(|connection| diesel::select(Now).get_result(connection).boxed()).await?;
        Ok(now)
    }

    /// Begins a transaction, with a marker if it has an id. A connection that died in the pool, as all do at a restart
    /// of the server, is dropped and the next one used: after `connections_max` of them the next is new.
    async fn begin(pool: &Pool, marker: Option<(BatchId, InDoubt)>) -> Result<Self, StoreError> {
        let mut dead = 0;
        loop {
            let mut session = pool.get().await?;
            let row = marker.as_ref().map(|(id, _)| CommitMarkerRow::new(*id));
            let server = session.server.clone();
            let Err(error) = bounded(&server, begin(&mut session, row)).await else {
                return Ok(Self { session, failed: false, locked: LockedKeys::default(), locked_at: None, marker });
            };
            if dead == pool.connections_max() || !is_connection_lost(&error) {
                let error = explain_begin(error, &mut session).await;
                discard(&mut session);
                return Err(error);
            }
            discard(&mut session);
            dead += 1;
        }
    }

    async fn read_first(&mut self, keys: &FirstKeys) -> Result<First, StoreError> {
        let answered = keys.answers.iter().map(|key| AnsweredRequest { request_key: Bytes(key.0) });
        let answers = self.find(answered).await?.into_iter().map(StoredAnswer::from);
        let answers = entries(&keys.answers, answers.map(|stored| Ok((stored.request.key, stored))))?;
        let orders = self.lock_orders(&keys.orders).await?;
        let first = First { answers, orders };
        self.locked = LockedKeys::of(&first);
        Ok(first)
    }
}

/// Checks that the products still have the SKUs by which they were found.
fn check_skus(
    skus: &BTreeMap<Sku, Option<ProductId>>,
    products: &BTreeMap<ProductId, Option<LockedProduct>>,
) -> Result<(), StoreError> {
    let has_lost = |(sku, id): &(&Sku, &Option<ProductId>)| {
        id.is_some_and(|id| match products.get(&id) {
            Some(Some(LockedProduct::Whole(product))) => product.details.sku.as_ref() != Some(*sku),
            Some(Some(LockedProduct::Offer(_)) | None) | None => true,
        })
    };
    match skus.iter().find(has_lost) {
        Some((sku, _)) => Err(StoreError::Conflict(Arc::new(SkuMoved(sku.as_str().to_owned())))),
        None => Ok(()),
    }
}

/// An entry for each key, `None` without a row.
fn entries<K: Ord + Clone, T>(
    keys: &BTreeSet<K>,
    found: impl Iterator<Item = Result<(K, T), StoreError>>,
) -> Result<BTreeMap<K, Option<T>>, StoreError> {
    let mut entries: BTreeMap<K, Option<T>> = keys.iter().map(|key| (key.clone(), None)).collect();
    for found in found {
        let (key, row) = found?;
        entries.insert(key, Some(row));
    }
    Ok(entries)
}

#[async_trait]
impl UnitOfWork for Transaction {
    async fn lock(&mut self, keys: &LockSet) -> Result<Locked, StoreError> {
        let locked = self.lock_all(keys).await;
        self.failed |= locked.is_err(); // An unreadable row also ends the unit of work.
        locked
    }

    async fn commit(mut self: Box<Self>, changes: Changes) -> Result<(), StoreError> {
        let writes = self.writes_of(changes)?;
        self.commit_writes(writes).await
    }
}

impl Transaction {
    /// No writes yet.
    pub(super) fn writes(&self) -> Writes {
        Writes::new(&self.session)
    }

    fn writes_of(&self, changes: Changes) -> Result<Writes, StoreError> {
        let mut writes = self.writes();
        put_all(&mut writes, changes, &self.locked)?;
        Ok(writes)
    }

    async fn commit_writes(&mut self, writes: Writes) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::unexpected("a commit after a failed statement"));
        }
        let committed = writes.commit(&mut self.session).await;
        if committed.is_err() {
            if let Some((id, in_doubt)) = &self.marker {
                in_doubt.record(*id, self.session.server.clone());
            }
            discard(&mut self.session);
        }
        committed
    }

    async fn lock_all(&mut self, keys: &LockSet) -> Result<Locked, StoreError> {
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
        let campaigns = self.lock_keys(campaigns, |id| CampaignById { id: Id(*id) }, CouponCampaign::try_from).await?;
        let past_recipients = self.past_recipients(past_recipients).await?;
        let unused_coupons_of = self.unused_coupons_of(unused_coupons_of).await?;
        let coupons: BTreeSet<CouponId> = coupons.iter().chain(unused_coupons_of.values().flatten()).copied().collect();
        let coupons = self.lock_keys(&coupons, |id| CouponById { id: Id(*id) }, Coupon::try_from).await?;
        let skus = self.products_of(skus).await?;
        let of_skus = || skus.values().flatten().copied();
        let mut depths = products.clone();
        depths.extend(of_skus().map(|id| (id, ProductDepth::Whole)));
        let products = self.lock_products(&depths).await?;
        check_skus(&skus, &products)?;
        let stocks: BTreeSet<ProductId> = stocks.iter().copied().chain(of_skus()).collect();
        let stocks = self.lock_keys(&stocks, |id| StockOf { product_id: Id(*id) }, |row| Ok(Stock::from(row))).await?;
        let account_of = |id: &UserId| AccountOf { user_id: Varchar(id.clone()) };
        let accounts = self.lock_keys(accounts, account_of, PointAccount::try_from).await?;
        let events = self.lock_keys(events, |id| DeliveryOf { id: Id(*id) }, |row| Ok(Delivery::from(row))).await?;
        let chain_of = |actor: &UserId| AuditChainOf { actor: Varchar(actor.clone()) };
        let audit_chains = self.lock_keys(audit_chains, chain_of, |row| Ok(AuditChain::from(row))).await?;
        let now = self.now().await?;
        let locked = Locked {
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
            now,
        };
        self.locked.add(&locked);
        Ok(locked)
    }
}

/// Adds the writes of all changes.
fn put_all(writes: &mut Writes, changes: Changes, locked: &LockedKeys) -> Result<(), StoreError> {
    let Changes { orders, campaigns, coupons, products, stocks, accounts, events, audit_chains, appended } = changes;
    put_products(writes, &products, &locked.products)?;
    put::<_, StockRow>(writes, &stocks, &locked.stocks)?;
    put::<_, CampaignRow>(writes, &campaigns, &locked.campaigns)?;
    put::<_, PointAccountRow>(writes, &accounts, &locked.accounts)?;
    put::<_, OrderRow>(writes, &orders, &locked.orders)?;
    writes.insert(orders.inserted.iter().flat_map(OrderLineRow::of));
    writes.save(orders.updated.iter().flat_map(OrderLineRow::changed));
    put::<_, CouponRow>(writes, &coupons, &locked.coupons)?;
    put_deliveries(writes, &events, &locked.events)?;
    put::<_, AuditChainRow>(writes, &audit_chains, &locked.audit_chains)?;
    put_appended(writes, &appended);
    Ok(())
}

/// Adds the changes of a table whose rows are written as a whole.
fn put<T: Keyed, R>(writes: &mut Writes, changes: &RowChanges<T>, locked: &BTreeSet<T::Key>) -> Result<(), StoreError>
where
    R: Row + for<'row> From<&'row T> + 'static,
{
    check_locked(R::TABLE, &changes.updated, locked)?;
    writes.insert(changes.inserted.iter().map(R::from));
    writes.save(changes.updated.iter().map(|update| R::from(&update.after)));
    Ok(())
}

fn check_locked<T: Keyed>(table: &str, updated: &[Update<T>], locked: &BTreeSet<T::Key>) -> Result<(), StoreError> {
    match updated.iter().map(|update| update.after.key()).find(|key| !locked.contains(key)) {
        Some(key) => Err(StoreError::unexpected(format!("row {key:?} of {table} is updated, but not locked"))),
        None => Ok(()),
    }
}

/// Adds products with their search texts and options.
fn put_products(
    writes: &mut Writes,
    products: &RowChanges<Product>,
    locked: &BTreeSet<ProductId>,
) -> Result<(), StoreError> {
    let RowChanges { inserted, updated } = products;
    check_locked(ProductRow::TABLE, updated, locked)?;
    // A SKU is free for another product only once its row has given it up.
    let gives_up = |update: &&Update<Product>| {
        let [before, after] = [&update.before, &update.after].map(|product| product.details.sku.as_ref());
        before.is_some() && before != after
    };
    let without_sku = |update: &Update<Product>| ProductRow { sku: None, ..ProductRow::from(&update.after) };
    writes.save(updated.iter().filter(gives_up).map(without_sku));
    writes.insert(inserted.iter().map(ProductRow::from));
    writes.insert(inserted.iter().map(ProductSearchTextRow::from));
    writes.insert(inserted.iter().map(ProductSearchGramsRow::from));
    writes.insert(inserted.iter().flat_map(ProductOptionRow::of));
    writes.save(updated.iter().map(|update| ProductRow::from(&update.after)));
    let is_searched_otherwise = |update: &&Update<Product>| {
        let [before, after] = [&update.before.details, &update.after.details];
        before.name != after.name || before.description != after.description
    };
    let renamed = updated.iter().filter(is_searched_otherwise);
    put_search(writes, renamed.map(|update| &update.after));
    let options = updated.iter().filter(|update| update.before.details.options != update.after.details.options);
    writes.delete(options.clone().map(|update| OptionsOf { product_id: Id(update.after.id) }));
    writes.insert(options.flat_map(|update| ProductOptionRow::of(&update.after)));
    Ok(())
}

/// Adds the mutable columns of deliveries; event bodies never change.
fn put_deliveries(
    writes: &mut Writes,
    deliveries: &RowChanges<Delivery>,
    locked: &BTreeSet<EventId>,
) -> Result<(), StoreError> {
    let RowChanges { inserted, updated } = deliveries;
    check_locked(DeliveryProgressRow::TABLE, updated, locked)?;
    if !inserted.is_empty() {
        return Err(StoreError::unexpected("a delivery is inserted without its event"));
    }
    writes.update(updated.iter().map(|update| DeliveryProgressRow::from(&update.after)));
    Ok(())
}

fn put_appended(writes: &mut Writes, appended: &Appended) {
    let Appended { point_entries, stock_movements, payments, refunds, sales, outbox, audit, revocations, answers } =
        appended;
    writes.insert(point_entries.iter().map(PointEntryRow::from));
    writes.insert(stock_movements.iter().map(StockMovementRow::from));
    writes.insert(payments.iter().map(PaymentRow::from));
    writes.insert(refunds.iter().map(RefundRow::from));
    writes.insert(refunds.iter().flat_map(RefundLineRow::of));
    writes.accumulate(sales.iter().map(|sale| DailySaleRow::from(&sale)));
    writes.insert(outbox.iter().map(OutboxEventRow::from));
    writes.insert(audit.iter().map(AuditEntryRow::from));
    writes.insert(revocations.iter().map(RevocationRow::from));
    writes.insert(answers.iter().map(IdempotencyKeyRow::from));
}

impl Store {
    /// Begins a transaction in a separate task, so that a dropped caller cannot leave it half begun.
    async fn begin_transaction(&self, pool: &Pool, id: Option<BatchId>) -> Result<Transaction, StoreError> {
        let (pool, marker) = (pool.clone(), id.map(|id| (id, self.in_doubt.clone())));
        let beginning = self.runtime.spawn(async move { Transaction::begin(&pool, marker).await }.in_current_span());
        match timeout(BEGIN_MAX, beginning).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(panicked)) => Err(StoreError::Unexpected(Arc::new(panicked))),
            Err(_) => Err(Timeout { operation: "the beginning of a transaction", limit: BEGIN_MAX }.into()),
        }
    }

    /// Runs background work in a transaction and commits its changes.
    pub(super) async fn in_background<T: Send + 'static, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Transaction) -> BoxFuture<'t, Result<(T, Changes), StoreError>> + Send + 'static,
    {
        let working = self.in_background_writing(|transaction| {
            async move {
                let (answer, changes) = work(transaction).await?;
                Ok((answer, transaction.writes_of(changes)?))
            }
            .boxed()
        });
        working.await
    }

    /// Runs background work in a transaction and commits its writes. It runs in a separate task: a dropped caller does
    /// not interrupt a statement.
    pub(super) async fn in_background_writing<T: Send + 'static, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Transaction) -> BoxFuture<'t, Result<(T, Writes), StoreError>> + Send + 'static,
    {
        let store = self.clone();
        let working = async move {
            let mut transaction = store.begin_transaction(store.background_pool(), None).await?;
            let (answer, writes) = work(&mut transaction).await?;
            transaction.commit_writes(writes).await?;
            Ok(answer)
        };
        let working = self.runtime.spawn(working.in_current_span());
        working.await.unwrap_or_else(|panicked| Err(StoreError::Unexpected(Arc::new(panicked))))
    }
}

#[async_trait]
impl UnitOfWorkFactory for Store {
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError> {
        let mut transaction = self.begin_transaction(&self.writers, Some(id)).await?;
        let first = transaction.read_first(keys).await?;
        Ok((Box::new(transaction), first))
    }

    async fn committed(&self, id: BatchId) -> Result<bool, StoreError> {
        let mut transaction = self.begin_transaction(&self.writers, None).await?;
        let marker = transaction.lock_found([MarkerOf { id: Id(id) }]).await?.pop();
        let is_committed = marker.as_ref().is_some_and(|marker| marker.is_tombstone.0 == 0);
        if marker.is_none() {
            if self.in_doubt.is_out_of_reach(id, &transaction.session.server) {
                return Err(StoreError::Unavailable(Arc::new(OtherHistory)));
            }
            let ruled_out = rule_out(&mut transaction.session, id).await;
            if ruled_out.is_err() {
                discard(&mut transaction.session);
            }
            ruled_out?;
        }
        self.in_doubt.forget(id);
        Ok(is_committed)
    }
}
