//! The domain's writes as plain SQL text.
//!
//! A [`Script`] is a store that keeps its rows in memory and writes down what a database would have to do. The
//! domain's own executor runs on it, so the rows are honest by construction: sequences, hash chains, movements,
//! events and all. The text serves two purposes: [`Style::Replay`] has every statement of a batch, locks and marker
//! included, and measures what the database can do with no application in front of it; [`Style::Bulk`] has each row
//! once, in its last state, and fills a database with millions of orders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures_util::FutureExt;
use jangteo_domain::audit::{AuditEntry, AuditRepository};
use jangteo_domain::batch::{Answer, Backoff, BatchExecutor, Request};
use jangteo_domain::coupon::{Coupon, CouponCampaign, CouponRepository};
use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::{BatchId, CampaignId, CouponId, EventId, IdSource, OrderId, ProductId, UserId};
use jangteo_domain::idempotency::{IdempotencyRecord, IdempotencyRepository, RequestKey};
use jangteo_domain::money::{Currency, Money};
use jangteo_domain::order::{Order, OrderRepository, OrderStatus};
use jangteo_domain::outbox::{OutboxEvent, OutboxRepository};
use jangteo_domain::payment::{Payment, PaymentRepository, Refund};
use jangteo_domain::point::{PointAccount, PointEntry, PointRepository};
use jangteo_domain::product::{Product, ProductOffer, ProductRepository};
use jangteo_domain::rules::{ShopCalendar, ShopRules};
use jangteo_domain::sales::{DailySales, SaleCounted, SalesRepository};
use jangteo_domain::stock::{Stock, StockMovement, StockRepository};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::{Date, Timestamp};
use jangteo_domain::unit_of_work::{UnitOfWork, UnitOfWorkFactory};
use uuid::Uuid;

use crate::shop;
use crate::sql::{Dialect, select, select_locked};

mod rows;

/// What the text is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Every row once, in its last state; accounts, stocks, open orders and sales only with [`Script::finish`].
    Bulk,
    /// Every statement of a batch.
    Replay,
}

/// How long a server with no settings of its own keeps events that were delivered.
const EVENT_RETENTION: time::Duration = time::Duration::days(30);

/// The statements of one transaction, without its begin and its commit.
pub type Transaction = Vec<String>;

/// A shop whose writes become SQL text.
pub struct Script {
    store: Arc<Store>,
    executor: BatchExecutor,
}

impl Script {
    /// A shop with nothing in it yet.
    pub fn new(dialect: Dialect) -> Result<Self> {
        let store = Arc::new(Store { dialect, ids: Ids::default(), books: Mutex::new(Books::new(Style::Bulk)) });
        let executor = BatchExecutor {
            factory: Arc::new(Factory(Arc::clone(&store))),
            rules: Arc::new(rules()?),
            ids: Arc::clone(&store) as Arc<dyn IdSource>,
            backoff: Arc::new(NoBackoff),
        };
        Ok(Self { store, executor })
    }

    /// The rules that the shop is run by: the server's defaults.
    pub fn rules(&self) -> &ShopRules {
        &self.executor.rules
    }

    /// An id of the time of the last batch.
    pub fn next_id(&self) -> Uuid {
        self.store.next_id()
    }

    /// Says what the next batches' text is for.
    pub fn set_style(&self, style: Style) {
        self.store.books().style = style;
    }

    /// Sets the clock by which the next batches are decided.
    pub fn set_now(&self, now: Timestamp) {
        self.store.books().now = now;
        self.store.ids.set_time(now);
    }

    /// Decides a batch and writes its transaction down.
    pub fn run(&self, requests: &[Request]) -> Result<()> {
        let answers = self.executor.execute(requests).now_or_never().context("memory does not wait")?;
        for answer in answers {
            match answer? {
                Answer::Decided(Ok(_)) => {}
                other => anyhow::bail!("the shop rejected what the benchmark asked for: {other:?}"),
            }
        }
        Ok(())
    }

    /// The transactions since the last call.
    pub fn take(&self) -> Vec<Transaction> {
        std::mem::take(&mut self.store.books().transactions)
    }

    /// What [`Style::Bulk`] has put off: the last state of accounts, stocks and sales.
    pub fn finish(&self) -> Vec<String> {
        let dialect = self.store.dialect;
        let mut books = self.store.books();
        let accounts: Vec<_> = books.accounts.values().cloned().collect();
        let stocks: Vec<_> = books.stocks.values().cloned().collect();
        let sales: Vec<_> = std::mem::take(&mut books.sales).iter().collect();
        [rows::accounts(dialect, &accounts), rows::stocks(dialect, &stocks), rows::daily_sales(dialect, &sales)]
            .concat()
    }

    /// The orders that [`Style::Bulk`] has put off, as they wait to be paid.
    pub fn finish_open_orders(&self) -> Vec<String> {
        let orders: Vec<_> = std::mem::take(&mut self.store.books().orders).into_values().collect();
        rows::orders(self.store.dialect, &orders)
    }
}

/// The rules of a server with no settings of its own.
fn rules() -> Result<ShopRules> {
    let units = |units| Money::from_units(units).context("an amount in range");
    let rules = ShopRules {
        currency: Currency::from_code("KRW").context("a currency")?,
        top_up_max: units(1_000_000)?,
        balance_max: units(10_000_000)?,
        order_ttl: time::Duration::minutes(10),
        order_lines_max: 100,
        order_quantity_max: 1_000,
        open_orders_max: 20,
        calendar: Arc::new(Seoul),
    };
    rules.check()?;
    Ok(rules)
}

/// Korea has had no summer time since 1988.
struct Seoul;

impl ShopCalendar for Seoul {
    fn day_of(&self, at: Timestamp) -> Date {
        at.saturating_add(time::Duration::hours(9)).to_offset_date_time().date()
    }
}

struct NoBackoff;

#[async_trait]
impl Backoff for NoBackoff {
    async fn pause(&self, _attempt: u32, _cause: &StoreError) {}
}

/// UUIDv7 of a time that is set, each above the one before.
#[derive(Default)]
struct Ids {
    unix_milliseconds: AtomicU64,
    count: AtomicU64,
}

impl Ids {
    fn set_time(&self, now: Timestamp) {
        let milliseconds = u64::try_from(now.unix_microseconds() / 1_000).expect("times are after 1970");
        self.unix_milliseconds.store(milliseconds, Ordering::Relaxed);
    }

    fn next(&self) -> Uuid {
        let count = self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut random = [0x5a; 10];
        // The first three bytes lose bits to the version and the variant; seven are plenty for a count.
        random[3..].copy_from_slice(&count[1..]);
        uuid::Builder::from_unix_timestamp_millis(self.unix_milliseconds.load(Ordering::Relaxed), &random).into_uuid()
    }
}

struct Store {
    dialect: Dialect,
    ids: Ids,
    books: Mutex<Books>,
}

impl Store {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdSource for Store {
    fn next_id(&self) -> Uuid {
        self.ids.next()
    }
}

/// The rows that later batches build on. Orders leave it once nothing can happen to them in a script.
struct Books {
    style: Style,
    now: Timestamp,
    accounts: BTreeMap<UserId, PointAccount>,
    products: BTreeMap<ProductId, Product>,
    stocks: BTreeMap<ProductId, Stock>,
    orders: BTreeMap<OrderId, Order>,
    sales: DailySales,
    transactions: Vec<Transaction>,
}

impl Books {
    fn new(style: Style) -> Self {
        Self {
            style,
            now: Timestamp::MIN,
            accounts: BTreeMap::new(),
            products: BTreeMap::new(),
            stocks: BTreeMap::new(),
            orders: BTreeMap::new(),
            sales: DailySales::default(),
            transactions: Vec::new(),
        }
    }
}

struct Factory(Arc<Store>);

#[async_trait]
impl UnitOfWorkFactory for Factory {
    async fn begin(&self, id: BatchId) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let mut writer = Writer { style: self.0.books().style, store: Arc::clone(&self.0), statements: Vec::new() };
        if writer.is_replay() {
            let id = hex::encode(id.uuid().as_bytes());
            writer.statements.push(format!("INSERT INTO commit_markers (id) VALUES (x'{id}')"));
        }
        Ok(Box::new(writer))
    }

    async fn committed(&self, _id: BatchId) -> Result<bool, StoreError> {
        Ok(true)
    }
}

/// One transaction. It changes the books as it goes: memory does not fail half-way.
struct Writer {
    style: Style,
    store: Arc<Store>,
    statements: Transaction,
}

impl Writer {
    fn is_replay(&self) -> bool {
        self.style == Style::Replay
    }

    fn dialect(&self) -> Dialect {
        self.store.dialect
    }

    /// Writes down a SELECT by ids that locks, where every statement counts.
    fn lock_by_id(&mut self, columns: &str, table: &str, key: &str, ids: impl Iterator<Item = Uuid>) {
        if self.is_replay() {
            let statement = select_locked(self.dialect(), columns, table, key, ids, |row, id| {
                row.id(*id);
            });
            self.statements.push(statement);
        }
    }
}

#[async_trait]
impl UnitOfWork for Writer {
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
        // No statement: the time comes with the rows that are locked.
        Ok(self.store.books().now)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.store.books().transactions.push(self.statements);
        Ok(())
    }
}

#[async_trait]
impl PointRepository for Writer {
    async fn ensure_many(&mut self, ids: &BTreeSet<UserId>) -> Result<(), StoreError> {
        let missing: Vec<PointAccount> = {
            let books = self.store.books();
            let missing = ids.iter().filter(|id| !books.accounts.contains_key(*id));
            missing.cloned().map(PointAccount::empty).collect()
        };
        self.store.books().accounts.extend(missing.into_iter().map(|account| (account.user_id.clone(), account)));
        Ok(())
    }

    async fn lock_many(&mut self, ids: &BTreeSet<UserId>) -> Result<Vec<PointAccount>, StoreError> {
        if self.is_replay() {
            let columns = "user_id, balance, entries, hash, open_orders, updated_at";
            let statement = select_locked(self.dialect(), columns, "point_accounts", "user_id", ids, |row, id| {
                row.text(id.as_str());
            });
            self.statements.push(statement);
        }
        let books = self.store.books();
        Ok(ids.iter().filter_map(|id| books.accounts.get(id)).cloned().collect())
    }

    async fn save_many(&mut self, accounts: &[PointAccount]) -> Result<(), StoreError> {
        if self.is_replay() {
            self.statements.extend(rows::accounts(self.dialect(), accounts));
        }
        let rows = accounts.iter().map(|account| (account.user_id.clone(), account.clone()));
        self.store.books().accounts.extend(rows);
        Ok(())
    }

    async fn append_entries(&mut self, entries: &[PointEntry]) -> Result<(), StoreError> {
        self.statements.extend(rows::point_entries(self.dialect(), entries));
        Ok(())
    }
}

#[async_trait]
impl ProductRepository for Writer {
    async fn lock_many(&mut self, _ids: &BTreeSet<ProductId>) -> Result<Vec<Product>, StoreError> {
        Err(not_scripted("changes no product"))
    }

    async fn lock_offers(&mut self, ids: &BTreeSet<ProductId>) -> Result<Vec<ProductOffer>, StoreError> {
        self.lock_by_id("id, name, price, status", "products", "id", ids.iter().map(|id| id.uuid()));
        let books = self.store.books();
        Ok(ids.iter().filter_map(|id| books.products.get(id)).map(Product::offer).collect())
    }

    async fn insert_many(&mut self, products: &[Product]) -> Result<(), StoreError> {
        self.statements.extend(rows::products(self.dialect(), products));
        self.store.books().products.extend(products.iter().map(|product| (product.id, product.clone())));
        Ok(())
    }

    async fn save_many(&mut self, _products: &[Product]) -> Result<(), StoreError> {
        Err(not_scripted("changes no product"))
    }
}

#[async_trait]
impl StockRepository for Writer {
    async fn lock_many(&mut self, ids: &BTreeSet<ProductId>) -> Result<Vec<Stock>, StoreError> {
        self.lock_by_id("product_id, available, movements", "stocks", "product_id", ids.iter().map(|id| id.uuid()));
        let books = self.store.books();
        Ok(ids.iter().filter_map(|id| books.stocks.get(id)).cloned().collect())
    }

    async fn insert_many(&mut self, stocks: &[Stock]) -> Result<(), StoreError> {
        StockRepository::save_many(self, stocks).await
    }

    async fn save_many(&mut self, stocks: &[Stock]) -> Result<(), StoreError> {
        if self.is_replay() {
            self.statements.extend(rows::stocks(self.dialect(), stocks));
        }
        self.store.books().stocks.extend(stocks.iter().map(|stock| (stock.product_id, stock.clone())));
        Ok(())
    }

    async fn append_movements(&mut self, movements: &[StockMovement]) -> Result<(), StoreError> {
        self.statements.extend(rows::stock_movements(self.dialect(), movements));
        Ok(())
    }
}

#[async_trait]
impl OrderRepository for Writer {
    async fn lock_many(&mut self, ids: &BTreeSet<OrderId>) -> Result<Vec<Order>, StoreError> {
        let columns = "id, user_id, status, total, created_at, expires_at, payment_id, discount, paid_amount, \
                       coupon_id, paid_at, sales_day, refunded, refunds, order_id, product_id, position, name, \
                       quantity, unit_price, discount_share, refunded_quantity";
        let table = "orders LEFT JOIN order_lines ON order_id = id";
        self.lock_by_id(columns, table, "id", ids.iter().map(|id| id.uuid()));
        let books = self.store.books();
        Ok(ids.iter().filter_map(|id| books.orders.get(id)).cloned().collect())
    }

    async fn insert_many(&mut self, orders: &[Order]) -> Result<(), StoreError> {
        let (open, ended): (Vec<_>, Vec<_>) =
            orders.iter().cloned().partition(|order| order.status == OrderStatus::PendingPayment);
        let put_off: &[Order] = if self.is_replay() { &open } else { &[] };
        self.statements.extend(rows::orders(self.dialect(), &[put_off, &ended].concat()));
        self.store.books().orders.extend(open.into_iter().map(|order| (order.id, order)));
        Ok(())
    }

    async fn save_many(&mut self, orders: &[Order]) -> Result<(), StoreError> {
        let statements = match self.style {
            Style::Bulk => rows::orders(self.dialect(), orders),
            Style::Replay => rows::changed_orders(self.dialect(), orders),
        };
        self.statements.extend(statements);
        let mut books = self.store.books();
        orders.iter().for_each(|order| drop(books.orders.remove(&order.id)));
        Ok(())
    }

    async fn save_lines(&mut self, _orders: &[Order]) -> Result<(), StoreError> {
        Err(not_scripted("changes the lines of no order that is written"))
    }
}

#[async_trait]
impl PaymentRepository for Writer {
    async fn insert_many(&mut self, payments: &[Payment]) -> Result<(), StoreError> {
        self.statements.extend(rows::payments(self.dialect(), payments));
        Ok(())
    }

    async fn insert_refunds(&mut self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.statements.extend(rows::refunds(self.dialect(), refunds));
        Ok(())
    }
}

#[async_trait]
impl SalesRepository for Writer {
    async fn add_many(&mut self, sales: &[SaleCounted]) -> Result<(), StoreError> {
        match self.style {
            Style::Bulk => {
                let mut books = self.store.books();
                sales.iter().for_each(|sale| books.sales.apply(sale));
            }
            Style::Replay => self.statements.extend(rows::daily_sales(self.dialect(), sales)),
        }
        Ok(())
    }
}

#[async_trait]
impl OutboxRepository for Writer {
    async fn append_many(&mut self, events: &[OutboxEvent]) -> Result<(), StoreError> {
        if self.is_replay() {
            self.statements.extend(rows::outbox_events(self.dialect(), "pending", events));
            return Ok(());
        }
        // What was sold long ago was told long ago, and a server has pruned it since.
        let today = shop::now().map_err(|error| StoreError::unexpected(error.to_string()))?;
        let kept_since = today.saturating_add(-EVENT_RETENTION - time::Duration::hours(1));
        let kept: Vec<_> = events.iter().filter(|event| event.at >= kept_since).cloned().collect();
        self.statements.extend(rows::outbox_events(self.dialect(), "delivered", &kept));
        Ok(())
    }

    async fn lock_many(&mut self, _ids: &BTreeSet<EventId>) -> Result<Vec<Delivery>, StoreError> {
        Err(not_scripted("sends no event again"))
    }

    async fn save_many(&mut self, _deliveries: &[Delivery]) -> Result<(), StoreError> {
        Err(not_scripted("sends no event again"))
    }
}

#[async_trait]
impl AuditRepository for Writer {
    async fn append_many(&mut self, _entries: &[AuditEntry]) -> Result<(), StoreError> {
        Err(not_scripted("has no back office"))
    }
}

#[async_trait]
impl IdempotencyRepository for Writer {
    async fn find_many(&mut self, keys: &BTreeSet<RequestKey>) -> Result<Vec<IdempotencyRecord>, StoreError> {
        let columns = "request_key, fingerprint, outcome, created_at";
        let statement = select(self.dialect(), columns, "idempotency_keys", "request_key", keys, |row, key| {
            row.bytes(&key.0);
        });
        self.statements.push(statement);
        Ok(Vec::new())
    }

    async fn insert_many(&mut self, records: &[IdempotencyRecord]) -> Result<(), StoreError> {
        self.statements.extend(rows::idempotency_keys(self.dialect(), records));
        Ok(())
    }
}

#[async_trait]
impl CouponRepository for Writer {
    async fn lock_campaigns(&mut self, _ids: &BTreeSet<CampaignId>) -> Result<Vec<CouponCampaign>, StoreError> {
        Err(not_scripted("has no campaigns"))
    }

    async fn past_recipients(
        &mut self,
        _pairs: &BTreeSet<(CampaignId, UserId)>,
    ) -> Result<BTreeSet<(CampaignId, UserId)>, StoreError> {
        Err(not_scripted("has no coupons"))
    }

    async fn unused_of(&mut self, _users: &BTreeSet<UserId>) -> Result<BTreeSet<CouponId>, StoreError> {
        Err(not_scripted("has no coupons"))
    }

    async fn lock_many(&mut self, _ids: &BTreeSet<CouponId>) -> Result<Vec<Coupon>, StoreError> {
        Err(not_scripted("has no coupons"))
    }

    async fn insert_campaigns(&mut self, _campaigns: &[CouponCampaign]) -> Result<(), StoreError> {
        Err(not_scripted("has no campaigns"))
    }

    async fn save_campaigns(&mut self, _campaigns: &[CouponCampaign]) -> Result<(), StoreError> {
        Err(not_scripted("has no campaigns"))
    }

    async fn insert_many(&mut self, _coupons: &[Coupon]) -> Result<(), StoreError> {
        Err(not_scripted("has no coupons"))
    }

    async fn save_many(&mut self, _coupons: &[Coupon]) -> Result<(), StoreError> {
        Err(not_scripted("has no coupons"))
    }
}

fn not_scripted(what: &str) -> StoreError {
    StoreError::unexpected(format!("a script {what}"))
}
