//! Harness traits, and helpers to write and read rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use time::{Date, Month};
use uuid::Uuid;

use jangteo_domain::audit::{AuditChain, AuditEntry};
use jangteo_domain::coupon::{Coupon, CouponCampaign};
use jangteo_domain::delivery::{Delivery, EventQueue};
use jangteo_domain::id::{BatchId, IdSource, ProductId, UserId};
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RenderedAnswer, RequestKey, StoredAnswer};
use jangteo_domain::money::Money;
use jangteo_domain::order::Order;
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::page::Page;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::point::{PointAccount, PointEntry};
use jangteo_domain::product::{Product, ProductDetails};
use jangteo_domain::queries::Queries;
use jangteo_domain::retention::Pruning;
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::statistics::StatisticsCount;
use jangteo_domain::stock::{Stock, StockMovement};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{NOON, order_line, pending_order, product_details, user};
use jangteo_domain::testing::{SequentialIds, batch_id};
use jangteo_domain::token::Revocation;
use jangteo_domain::transaction::{
    Appended, Changes, First, FirstKeys, Keyed, LockSet, Locked, LockedProduct, ProductDepth, RowChanges, UnitOfWork,
    UnitOfWorkFactory,
};
use jangteo_domain::verification::{BooksFactory, VerificationRuns};

/// Ok, or an unexpected store error. A broken promise panics.
pub type TestResult = Result<(), StoreError>;

/// A store under test with the write port.
#[async_trait]
pub trait TransactionHarness: Send + Sync {
    /// Begins units of work: at least four concurrent ones with [`Concurrency::RowLocks`]. A lock wait timeout of at
    /// most 2 s makes the suite quick.
    fn factory(&self) -> Arc<dyn UnitOfWorkFactory>;

    /// The exclusion between units of work.
    fn concurrency(&self) -> Concurrency;

    /// Breaks every open database connection; `false` for a store without connections.
    async fn break_connections(&self) -> bool;
}

/// A store under test with all ports.
#[async_trait]
pub trait StoreHarness: TransactionHarness {
    /// The read ports; committed rows are visible at once.
    fn queries(&self) -> Queries;

    /// The outbox queue, on its own connections.
    fn event_queue(&self) -> Arc<dyn EventQueue>;

    /// The port that deletes expired rows.
    fn pruning(&self) -> Arc<dyn Pruning>;

    /// The port that opens the books.
    fn books(&self) -> Arc<dyn BooksFactory>;

    /// The port that stores verifications.
    fn verification_runs(&self) -> Arc<dyn VerificationRuns>;

    /// The port that counts payments and refunds.
    fn statistics_count(&self) -> Arc<dyn StatisticsCount>;

    /// All payments, read past the ports.
    async fn payments(&self) -> Vec<Payment>;

    /// All refunds with their lines, read past the ports.
    async fn refunds(&self) -> Vec<Refund>;

    /// All outbox events with their bodies, read past the ports.
    async fn outbox_events(&self) -> Vec<OutboxEvent>;
}

/// The exclusion between units of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concurrency {
    /// Many are open; each waits, with a timeout, for rows locked by another.
    RowLocks,
    /// One is open: `begin` waits for its end, or returns a conflict after the store's own timeout.
    SingleWriter,
}

/// A row that units of work lock, insert and update.
pub(super) trait LockableRow: Keyed + Clone + Debug + PartialEq {
    fn table(changes: &mut Changes) -> &mut RowChanges<Self>;
    fn declare(keys: BTreeSet<Self::Key>, to: &mut Keys);
    fn found(rows: View) -> BTreeMap<Self::Key, Option<Self>>;
}

/// An append-only row.
pub(super) trait AppendedRow {
    fn append(self, to: &mut Appended);
}

macro_rules! lockable_rows {
    ($($row:ty: $table:ident in $step:ident, $found:expr;)*) => {$(
        impl LockableRow for $row {
            fn table(changes: &mut Changes) -> &mut RowChanges<Self> {
                &mut changes.$table
            }

            fn declare(keys: BTreeSet<Self::Key>, to: &mut Keys) {
                to.$step.$table.extend(keys);
            }

            fn found(rows: View) -> BTreeMap<Self::Key, Option<Self>> {
                let found: fn(View) -> BTreeMap<Self::Key, Option<Self>> = $found;
                found(rows)
            }
        }
    )*};
}

lockable_rows! {
    Order: orders in first, |(first, _)| first.orders;
    CouponCampaign: campaigns in locks, |(_, locked)| locked.campaigns;
    Coupon: coupons in locks, |(_, locked)| locked.coupons;
    Stock: stocks in locks, |(_, locked)| locked.stocks;
    PointAccount: accounts in locks, |(_, locked)| locked.accounts;
    Delivery: events in locks, |(_, locked)| locked.events;
    AuditChain: audit_chains in locks, |(_, locked)| locked.audit_chains;
}

impl LockableRow for Product {
    fn table(changes: &mut Changes) -> &mut RowChanges<Self> {
        &mut changes.products
    }

    fn declare(keys: BTreeSet<ProductId>, to: &mut Keys) {
        keys.into_iter().for_each(|id| to.locks.add_product(id, ProductDepth::Whole));
    }

    fn found((_, locked): View) -> BTreeMap<ProductId, Option<Self>> {
        let whole = |product| match product {
            LockedProduct::Whole(product) => product,
            LockedProduct::Offer(offer) => panic!("a whole product, not {offer:?}"),
        };
        locked.products.into_iter().map(|(id, product)| (id, product.map(whole))).collect()
    }
}

macro_rules! appended_rows {
    ($($row:ty: $table:ident;)*) => {$(
        impl AppendedRow for $row {
            fn append(self, to: &mut Appended) {
                to.$table.push(self);
            }
        }
    )*};
}

appended_rows! {
    PointEntry: point_entries;
    StockMovement: stock_movements;
    Payment: payments;
    Refund: refunds;
    OutboxEvent: outbox;
    AuditEntry: audit;
    Revocation: revocations;
    StoredAnswer: answers;
}

impl AppendedRow for SaleCounted {
    fn append(self, to: &mut Appended) {
        to.sales.add(&self);
    }
}

/// Changes that insert rows of one table.
pub(super) fn insert<Row: LockableRow>(rows: impl IntoIterator<Item = Row>) -> Changes {
    let mut rows: Vec<Row> = rows.into_iter().collect();
    rows.sort_by_key(Row::key);
    let mut changes = Changes::default();
    Row::table(&mut changes).inserted = rows;
    changes
}

/// Changes that update rows of one table, from pairs of before and after; equal pairs are dropped.
pub(super) fn update<Row: LockableRow>(rows: impl IntoIterator<Item = (Row, Row)>) -> Changes {
    let mut rows: Vec<(Row, Row)> = rows.into_iter().filter(|(before, after)| before != after).collect();
    rows.sort_by_key(|(before, _)| before.key());
    let mut changes = Changes::default();
    *Row::table(&mut changes) = RowChanges::updated(rows);
    changes
}

pub(super) fn append<Row: AppendedRow>(rows: impl IntoIterator<Item = Row>) -> Changes {
    Changes { appended: appended(rows), ..Changes::default() }
}

pub(super) fn appended<Row: AppendedRow>(rows: impl IntoIterator<Item = Row>) -> Appended {
    let mut appended = Appended::default();
    rows.into_iter().for_each(|row| row.append(&mut appended));
    appended
}

/// The keys of a whole transaction.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Keys {
    pub first: FirstKeys,
    pub locks: LockSet,
}

/// The rows of [`Keys`].
pub(super) type View = (First, Locked);

impl Keys {
    pub fn of<Row: LockableRow>(keys: impl IntoIterator<Item = Row::Key>) -> Self {
        let mut all = Self::default();
        Row::declare(set(keys), &mut all);
        all
    }

    /// The keys of all updated rows.
    pub fn updated_by(changes: &mut Changes) -> Self {
        fn declare<Row: LockableRow>(changes: &mut Changes, keys: &mut Keys) {
            Row::declare(Row::table(changes).updated.iter().map(|update| update.before.key()).collect(), keys);
        }
        let mut keys = Self::default();
        declare::<Order>(changes, &mut keys);
        declare::<CouponCampaign>(changes, &mut keys);
        declare::<Coupon>(changes, &mut keys);
        declare::<Product>(changes, &mut keys);
        declare::<Stock>(changes, &mut keys);
        declare::<PointAccount>(changes, &mut keys);
        declare::<Delivery>(changes, &mut keys);
        declare::<AuditChain>(changes, &mut keys);
        keys
    }
}

/// Begins a unit of work without keys.
pub(super) async fn begin(harness: &dyn TransactionHarness, id: BatchId) -> Result<Box<dyn UnitOfWork>, StoreError> {
    Ok(harness.factory().begin(id, &FirstKeys::default()).await?.0)
}

/// Begins a unit of work and locks these rows.
pub(super) async fn lock(
    harness: &dyn TransactionHarness,
    keys: &Keys,
) -> Result<(Box<dyn UnitOfWork>, View), StoreError> {
    let (mut unit_of_work, first) = harness.factory().begin(batch_id(), &keys.first).await?;
    let locked = unit_of_work.lock(&keys.locks).await?;
    assert!(first.answers.keys().eq(&keys.first.answers), "an entry for each answer: {first:?}");
    assert!(first.orders.keys().eq(&keys.first.orders), "an entry for each order: {first:?}");
    assert!(locked.campaigns.keys().eq(&keys.locks.campaigns), "an entry for each campaign: {locked:?}");
    assert!(
        keys.locks.coupons.iter().all(|id| locked.coupons.contains_key(id)),
        "an entry for each coupon: {locked:?}"
    );
    assert!(locked.products.keys().eq(keys.locks.products.keys()), "an entry for each product");
    assert!(locked.stocks.keys().eq(&keys.locks.stocks), "an entry for each stock: {locked:?}");
    assert!(locked.accounts.keys().eq(&keys.locks.accounts), "an entry for each account: {locked:?}");
    assert!(locked.events.keys().eq(&keys.locks.events), "an entry for each event: {locked:?}");
    assert!(locked.audit_chains.keys().eq(&keys.locks.audit_chains), "an entry for each chain: {locked:?}");
    Ok((unit_of_work, (first, locked)))
}

/// Reads rows in a dropped unit of work.
pub(super) async fn view(harness: &dyn TransactionHarness, keys: &Keys) -> Result<View, StoreError> {
    Ok(lock(harness, keys).await?.1)
}

/// Reads rows, except orders and answers, in a dropped unit of work.
pub(super) async fn locked(harness: &dyn TransactionHarness, locks: LockSet) -> Result<Locked, StoreError> {
    Ok(view(harness, &Keys { locks, ..Keys::default() }).await?.1)
}

/// The existing rows of these keys, in key order.
pub(super) async fn rows<Row: LockableRow>(
    harness: &dyn TransactionHarness,
    keys: impl IntoIterator<Item = Row::Key>,
) -> Result<Vec<Row>, StoreError> {
    Ok(Row::found(view(harness, &Keys::of::<Row>(keys)).await?).into_values().flatten().collect())
}

pub(super) async fn row<Row: LockableRow>(harness: &dyn TransactionHarness, key: Row::Key) -> Result<Row, StoreError> {
    let [row] = <[Row; 1]>::try_from(rows(harness, [key.clone()]).await?)
        .unwrap_or_else(|found| panic!("one row {key:?}, not {found:?}"));
    Ok(row)
}

/// The stored answers of these keys, in key order.
pub(super) async fn answers(
    harness: &dyn TransactionHarness,
    keys: impl IntoIterator<Item = RequestKey>,
) -> Result<Vec<StoredAnswer>, StoreError> {
    let first = FirstKeys { answers: set(keys), ..FirstKeys::default() };
    let (first, _) = view(harness, &Keys { first, ..Keys::default() }).await?;
    Ok(first.answers.into_values().flatten().collect())
}

/// Commits changes after locking the updated rows.
pub(super) async fn commit(harness: &dyn TransactionHarness, changes: Changes) -> TestResult {
    commit_as(harness, batch_id(), changes).await
}

/// Commits changes under an id, after locking the updated rows.
pub(super) async fn commit_as(harness: &dyn TransactionHarness, id: BatchId, mut changes: Changes) -> TestResult {
    let keys = Keys::updated_by(&mut changes);
    let (mut unit_of_work, _) = harness.factory().begin(id, &keys.first).await?;
    unit_of_work.lock(&keys.locks).await?;
    unit_of_work.commit(changes).await
}

pub(super) async fn assert_stored<Row: LockableRow>(harness: &dyn TransactionHarness, expected: &[Row]) -> TestResult {
    let mut expected = expected.to_vec();
    expected.sort_by_key(Row::key);
    assert_eq!(rows::<Row>(harness, expected.iter().map(Row::key)).await?, expected);
    Ok(())
}

#[track_caller]
pub(super) fn assert_conflict<T: Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(_))), "a conflict, not {result:?}");
}

/// Asserts that the work failed with a permanent error.
#[track_caller]
pub(super) fn assert_unexpected<T: Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Unexpected(_))), "an unexpected error, not {result:?}");
}

/// Yields to all other tasks for about two statements. It bounds checks that something does not happen; it cannot make
/// a promise fail by being too short.
pub(super) async fn pause() {
    let end = Instant::now() + Duration::from_millis(20);
    poll_fn(|context| {
        if Instant::now() >= end {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(super) fn set<Key: Ord>(keys: impl IntoIterator<Item = Key>) -> BTreeSet<Key> {
    keys.into_iter().collect()
}

pub(super) fn first_page<Key>(limit: u32) -> Page<Key> {
    Page { after: None, limit }
}

/// Walks a list to its end by pages of a given size.
pub(super) async fn walk<Key, Row>(
    limit: u32,
    key: impl Fn(&Row) -> Key,
    read: impl AsyncFn(Page<Key>) -> Result<Vec<Row>, StoreError>,
) -> Result<Vec<Row>, StoreError> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let page = read(Page { after: rows.last().map(&key), limit }).await?;
        assert!(page.len() <= limit.try_into().expect("a small limit"), "a page is longer than its limit");
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

pub(super) fn date(year: i32, month: Month, day: u8) -> Date {
    Date::from_calendar_date(year, month, day).expect("a date")
}

/// Text of four-byte characters.
pub(super) fn wide(characters: usize) -> String {
    "🎈".repeat(characters)
}

pub(super) fn ten_thousandths(amount: i64) -> Money {
    Money::from_ten_thousandths(amount).expect("in range")
}

pub(super) fn request(key: u8, fingerprint: u8) -> IdempotencyKey {
    IdempotencyKey { key: RequestKey([key; 16]), fingerprint: Fingerprint([fingerprint; 16]) }
}

pub(super) fn answer(key: u8) -> StoredAnswer {
    let rendered = RenderedAnswer { head: "200".to_owned(), body: format!("{{\"answer\":{key}}}") };
    StoredAnswer { request: request(key, 1), answer: rendered, at: NOON }
}

/// Inserts rows that other rows refer to.
pub(super) struct Seeds<'a> {
    pub harness: &'a dyn TransactionHarness,
    pub ids: SequentialIds,
}

impl<'a> Seeds<'a> {
    pub fn new(harness: &'a dyn TransactionHarness) -> Self {
        Self { harness, ids: SequentialIds::new() }
    }

    pub fn id<Id: From<Uuid>>(&self) -> Id {
        self.ids.next_id().into()
    }

    /// Users with empty accounts.
    pub async fn users<const N: usize>(&self, ids: [&str; N]) -> Result<[UserId; N], StoreError> {
        let users = ids.map(user);
        commit(self.harness, insert(users.iter().cloned().map(PointAccount::empty))).await?;
        Ok(users)
    }

    /// Products with the given stocks.
    pub async fn products<const N: usize>(
        &self,
        products: [(ProductDetails, u64); N],
    ) -> Result<[Product; N], StoreError> {
        let rows = products.map(|(details, available)| (Product::create(self.id(), details, NOON), available));
        let stock = |(product, available): &(Product, u64)| Stock { available: *available, ..Stock::empty(product.id) };
        let changes = Changes {
            products: RowChanges::inserted(rows.iter().map(|(product, _)| product.clone())),
            stocks: RowChanges::inserted(rows.iter().map(stock)),
            ..Changes::default()
        };
        commit(self.harness, changes).await?;
        Ok(rows.map(|(product, _)| product))
    }

    /// Products with default details.
    pub async fn lamps<const N: usize>(&self) -> Result<[ProductId; N], StoreError> {
        let lamps = [(); N].map(|()| (product_details("lamp", 1_000), 10));
        Ok(self.products(lamps).await?.map(|product| product.id))
    }

    /// Unpaid orders of the user `owner`, each of two products.
    pub async fn orders<const N: usize>(&self) -> Result<[Order; N], StoreError> {
        let [owner] = self.users(["owner"]).await?;
        self.orders_of(&owner).await
    }

    /// Unpaid orders of a user, each of two products. The lines are not sorted by product.
    pub async fn orders_of<const N: usize>(&self, owner: &UserId) -> Result<[Order; N], StoreError> {
        let [a, b] = self.lamps().await?;
        let order = |()| pending_order(self.id(), owner, vec![order_line(b, 2, 1_000), order_line(a, 1, 500)], NOON);
        let orders = [(); N].map(order);
        commit(self.harness, insert(orders.clone())).await?;
        Ok(orders)
    }
}
