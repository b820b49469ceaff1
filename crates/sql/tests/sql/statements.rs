//! The number of statements that read and lock does not depend on the number of commands. To MySQL all that is written
//! goes in one packet; to SQLite, which is no round trip away, each row by a statement of its own.
//!
//! Statements are noted down by an instrumentation that every connection of this process gets from then on; as every
//! test has a runtime of its own, the runtime tells whose they are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use jangteo_domain::command::{CouponChoice, PayOrder};
use jangteo_domain::delivery::{AttemptOutcome, DeliveryOutcome, StoredEvent};
use jangteo_domain::id::{OrderId, ProductId};
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RequestKey};
use jangteo_domain::testing::fixtures::{campaign_details, customer, fixed};
use jangteo_domain::testing::{PlainAnswers, SequentialIds};
use jangteo_domain::{Answer, Command, Recording, Request, StoreError, UserId};
use jangteo_domain_testing::TestShop;
use jangteo_sql::Dialect;
use mysql_async::Row;
use mysql_async::prelude::Queryable as _;
use tokio::runtime;

use crate::server::TestDatabase;

static TEXTS: Mutex<Option<HashMap<runtime::Id, Vec<String>>>> = Mutex::new(None);
static KEYS: AtomicUsize = AtomicUsize::new(0);

/// Notes every statement down.
struct Notes;

impl Instrumentation for Notes {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            texts_of_this_runtime(|texts| texts.push(query.to_string()));
        }
    }
}

fn texts_of_this_runtime<T>(use_them: impl FnOnce(&mut Vec<String>) -> T) -> T {
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    use_them(texts.get_or_insert_default().entry(runtime::Handle::current().id()).or_default())
}

/// Runs the commands as one batch, none of which may be rejected, and answers the statements that it took.
async fn statements(shop: &TestShop, commands: Vec<Command>) -> Vec<String> {
    let claim = || {
        let number = KEYS.fetch_add(1, Ordering::Relaxed) as u128;
        IdempotencyKey { key: RequestKey(number.to_be_bytes()), fingerprint: Fingerprint([0; 16]) }
    };
    let recording = || Recording { idempotency: Some(claim()), audited_as: None, renderer: Arc::new(PlainAnswers) };
    let request = |command| Request { command, recording: Some(recording()) };
    let requests: Vec<Request> = commands.into_iter().map(request).collect();
    texts_of_this_runtime(Vec::clear);
    for answer in shop.executor.execute(&requests).await {
        assert!(matches!(answer, Ok(Answer::Decided { outcome: Ok(_), .. })), "{answer:?}");
    }
    texts_of_this_runtime(std::mem::take)
}

struct Shop {
    shop: TestShop,
    lamps: Vec<ProductId>,
    users: Vec<UserId>,
}

impl Shop {
    async fn open(database: &TestDatabase) -> Result<Self, StoreError> {
        let shop = TestShop::new(database.database.unit_of_work_factory());
        let mut lamps = Vec::new();
        for _ in 0..5 {
            lamps.push(shop.lamp(1_000, 1_000_000).await?);
        }
        let campaign = shop.campaign(campaign_details(fixed(100), 1_000)).await?;
        let mut users = Vec::new();
        for number in 0..100 {
            let user = shop.user(&format!("user-{number:03}"), 1_000_000).await?;
            shop.coupon(campaign, &user).await?;
            users.push(user);
        }
        Ok(Self { shop, lamps, users })
    }

    /// Places so many orders and pays them; answers the statements of both.
    async fn trade(&self, orders: usize, coupon: CouponChoice) -> (Vec<String>, Vec<String>) {
        let lines = [(self.lamps[0], 1), (self.lamps[1], 2)];
        let placed: Vec<_> = self.users.iter().take(orders).map(|user| self.shop.place(user, &lines)).collect();
        let ids: Vec<(OrderId, UserId)> =
            placed.iter().map(|command| (command.order_id, command.user_id.clone())).collect();
        let placing = statements(&self.shop, placed.into_iter().map(Command::PlaceOrder).collect()).await;
        let pay = |(order_id, user): (OrderId, UserId)| {
            Command::PayOrder(PayOrder { order_id, actor: customer(&user), coupon })
        };
        let paying = statements(&self.shop, ids.into_iter().map(pay).collect()).await;
        (placing, paying)
    }
}

/// How many statements it takes to begin with a marker.
fn beginning(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Mysql => 1, // The marker goes with BEGIN.
        Dialect::Sqlite => 2,
    }
}

/// How many statements it takes to write so many rows and commit.
fn writing(dialect: Dialect, rows: usize) -> usize {
    match dialect {
        Dialect::Mysql => 1, // They go with COMMIT.
        Dialect::Sqlite => rows + 1,
    }
}

/// How many of the statements only read and lock.
fn reading(texts: &[String]) -> usize {
    texts.iter().filter(|text| text.starts_with("SELECT")).count()
}

async fn batches_of_every_size_read_and_lock_by_the_same_statements(dialect: Dialect) -> Result<(), StoreError> {
    set_default_instrumentation(|| Some(Box::new(Notes))).expect("an instrumentation");
    let database = TestDatabase::of(dialect).await;
    let shop = Shop::open(&database).await?;
    let count = |reads, rows| (reads, beginning(dialect) + reads + writing(dialect, rows));
    for orders in [1, 10, 100] {
        let (placing, paying) = shop.trade(orders, CouponChoice::None).await;
        // Answered requests, products, stocks, accounts. Of each order: itself, 2 lines, 2 movements, an account, an
        // answer; of all: 2 stocks.
        assert_eq!((reading(&placing), placing.len()), count(4, 7 * orders + 2), "{orders} orders: {placing:#?}");
        // Answered requests, orders with their lines, accounts. Of each order: itself, an account, an entry, a payment,
        // an event, an answer; of all: the sales of 2 products.
        assert_eq!((reading(&paying), paying.len()), count(3, 6 * orders + 2), "{orders} orders: {paying:#?}");
        // With a coupon besides: the candidates, their locks; of each order: its coupon, and the shares of its 2 lines.
        if orders == 100 {
            let (_, paying) = shop.trade(orders, CouponChoice::Best).await;
            assert_eq!((reading(&paying), paying.len()), count(5, 9 * orders + 2), "{orders} orders: {paying:#?}");
        }
    }
    Ok(())
}

/// Claims and records so many events; answers the statements of both.
async fn deliver(database: &TestDatabase, events: u32) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let (queue, lease) = (database.database.event_queue(), SequentialIds::id(u64::from(events)));
    texts_of_this_runtime(Vec::clear);
    let claimed = queue.claim(lease, Duration::from_secs(60), events).await?;
    let claiming = texts_of_this_runtime(std::mem::take);
    let recorded = |event: StoredEvent| AttemptOutcome {
        event_id: event.delivery.event_id,
        lease,
        outcome: DeliveryOutcome::Delivered,
    };
    let recorded: Vec<AttemptOutcome> = claimed.into_iter().map(recorded).collect();
    assert_eq!(recorded.len(), usize::try_from(events).expect("a small number"));
    texts_of_this_runtime(Vec::clear);
    queue.record(&recorded).await?;
    Ok((claiming, texts_of_this_runtime(std::mem::take)))
}

async fn claims_of_every_size_read_and_lock_by_the_same_statements(dialect: Dialect) -> Result<(), StoreError> {
    set_default_instrumentation(|| Some(Box::new(Notes))).expect("an instrumentation");
    let database = TestDatabase::of(dialect).await;
    Shop::open(&database).await?.trade(100, CouponChoice::None).await;
    database.database.event_queue().backlog().await?; // From here on there is a connection.
    for events in [1_u16, 10, 80] {
        let (claiming, recording) = deliver(&database, events.into()).await?;
        let written = writing(dialect, events.into());
        // BEGIN, the clock, the events; their leases.
        assert_eq!(claiming.len(), 3 + written, "{events} events: {claiming:#?}");
        // BEGIN, the events still held; what became of them.
        assert_eq!(recording.len(), 2 + written, "{events} events: {recording:#?}");
    }
    Ok(())
}

async fn what_is_shown_is_read_in_one_statement(dialect: Dialect) -> Result<(), StoreError> {
    set_default_instrumentation(|| Some(Box::new(Notes))).expect("an instrumentation");
    let database = TestDatabase::of(dialect).await;
    let shop = Shop::open(&database).await?;
    let order_id = shop.shop.order(&shop.users[0], &[(shop.lamps[0], 1), (shop.lamps[1], 2)]).await?;
    let queries = database.database.queries();
    queries.clock.now().await?; // From here on there is a connection.
    texts_of_this_runtime(Vec::clear);
    assert!(queries.orders.find(order_id).await?.value.is_some());
    assert_eq!(queries.stocks.available(&shop.lamps.iter().copied().collect()).await?.len(), shop.lamps.len());
    assert!(queries.products.find(shop.lamps[0]).await?.is_some());
    let texts = texts_of_this_runtime(std::mem::take);
    assert_eq!(texts.len(), 3, "{texts:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_of_sqlite_is_read_in_one_statement() -> Result<(), StoreError> {
    what_is_shown_is_read_in_one_statement(Dialect::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_of_mysql_is_read_in_one_statement() -> Result<(), StoreError> {
    what_is_shown_is_read_in_one_statement(Dialect::Mysql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_of_sqlite_are_read_and_locked_by_the_statements_of_one() -> Result<(), StoreError> {
    claims_of_every_size_read_and_lock_by_the_same_statements(Dialect::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_of_mysql_are_read_and_locked_by_the_statements_of_one() -> Result<(), StoreError> {
    claims_of_every_size_read_and_lock_by_the_same_statements(Dialect::Mysql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_under_way_locks_no_more_than_it_takes_and_is_passed_over() -> Result<(), StoreError> {
    set_default_instrumentation(|| Some(Box::new(Notes))).expect("an instrumentation");
    let database = TestDatabase::mysql().await;
    let shop = Shop::open(&database).await?;
    shop.trade(40, CouponChoice::None).await;
    let (claiming, _) = deliver(&database, 1).await?;
    let text = claiming.iter().find(|text| text.contains("SKIP LOCKED")).expect("the statement that claims");
    let text = text.split(" -- binds").next().expect("a text");
    let of_four = text.replacen('?', "UTC_TIMESTAMP(6)", 1).replacen('?', "4", 1);

    // Another claim, stopped between its two statements.
    let mut session = database.session().await;
    session.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.expect("a statement");
    session.query_drop("START TRANSACTION").await.expect("a statement");
    let held: Vec<Row> = session.query(&of_four).await.expect("the statement of a claim");
    assert_eq!(held.len(), 4);
    let queue = database.database.event_queue();
    let claimed = queue.claim(SequentialIds::id(1_000), Duration::from_secs(60), 100).await?;
    assert_eq!(claimed.len(), 40 - 1 - 4, "all the others, without a wait");
    // Nor does a payment wait for it.
    shop.trade(1, CouponChoice::None).await;
    session.query_drop("ROLLBACK").await.expect("a statement");
    assert_eq!(queue.claim(SequentialIds::id(1_001), Duration::from_secs(60), 100).await?.len(), 4 + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reads_and_locks_in_sqlite_by_the_statements_of_one_command() -> Result<(), StoreError> {
    batches_of_every_size_read_and_lock_by_the_same_statements(Dialect::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reads_and_locks_in_mysql_by_the_statements_of_one_command() -> Result<(), StoreError> {
    batches_of_every_size_read_and_lock_by_the_same_statements(Dialect::Mysql).await
}
