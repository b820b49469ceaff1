//! The number of reading and locking statements does not depend on the number of commands. MySQL gets all writes in one
//! packet; SQLite, which has no round trip, gets one statement per row.
//!
//! A process-wide instrumentation records the statements. Each test has its own runtime, whose id separates its
//! statements from other tests'.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use jangteo_domain::command::{CouponChoice, PayOrder};
use jangteo_domain::delivery::{AttemptOutcome, DeliveryOutcome, StoredEvent};
use jangteo_domain::id::ProductId;
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RequestKey};
use jangteo_domain::testing::fixtures::{campaign_details, customer, fixed};
use jangteo_domain::testing::{PlainAnswers, SequentialIds};
use jangteo_domain::{Answer, Command, Recording, Reply, Request, StoreError, UserId};
use jangteo_domain_testing::{TestShop, place};
use jangteo_sql::Dialect;
use mysql_async::Row;
use mysql_async::prelude::Queryable as _;
use rstest::rstest;
use tokio::runtime;

use crate::server::TestDatabase;

static TEXTS: Mutex<Option<HashMap<runtime::Id, Vec<String>>>> = Mutex::new(None);
static KEYS: AtomicUsize = AtomicUsize::new(0);

/// Records every statement.
struct StatementLog;

impl Instrumentation for StatementLog {
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

/// Records the statements of connections that are opened from now on.
pub fn record() {
    set_default_instrumentation(|| Some(Box::new(StatementLog))).expect("an instrumentation");
}

/// The statements since the last call.
pub fn take() -> Vec<String> {
    texts_of_this_runtime(std::mem::take)
}

/// Runs the commands as one batch, none rejected, and returns its statements and the replies.
async fn statements(shop: &TestShop, commands: Vec<Command>) -> (Vec<String>, Vec<Reply>) {
    let key = || {
        let number = KEYS.fetch_add(1, Ordering::Relaxed) as u128;
        IdempotencyKey { key: RequestKey(number.to_be_bytes()), fingerprint: Fingerprint([0; 16]) }
    };
    let recording = || Recording { idempotency: Some(key()), audited_as: None, renderer: Arc::new(PlainAnswers) };
    let request = |command| Request { command, recording: Some(recording()) };
    let requests: Vec<Request> = commands.into_iter().map(request).collect();
    take();
    let reply = |answer| match answer {
        Ok(Answer::Decided { outcome: Ok(reply), .. }) => reply,
        other => panic!("a reply is expected, not {other:?}"),
    };
    let replies = shop.executor.execute(&requests).await.into_iter().map(reply).collect();
    (take(), replies)
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

    /// Places and pays `orders` orders; returns the statements of both batches.
    async fn trade(&self, orders: usize, coupon: CouponChoice) -> (Vec<String>, Vec<String>) {
        let lines = [(self.lamps[0], 1), (self.lamps[1], 2)];
        let users = &self.users[..orders];
        let places = users.iter().map(|user| Command::PlaceOrder(place(user, &lines)));
        let (placing, placed) = statements(&self.shop, places.collect()).await;
        let pay = |(reply, user)| {
            let Reply::OrderPlaced { order, .. } = reply else { panic!("an order is expected, not {reply:?}") };
            Command::PayOrder(PayOrder { order_id: order.id, actor: customer(user), coupon })
        };
        let (paying, _) = statements(&self.shop, placed.into_iter().zip(users).map(pay).collect()).await;
        (placing, paying)
    }
}

/// Statements to begin with a marker.
fn beginning(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Mysql => 1, // The marker goes with BEGIN.
        Dialect::Sqlite => 2,
    }
}

/// Statements to write `rows` rows and commit.
fn writing(dialect: Dialect, rows: usize) -> usize {
    match dialect {
        Dialect::Mysql => 1, // They go with COMMIT.
        Dialect::Sqlite => rows + 1,
    }
}

/// Statements that only read and lock.
fn reading(texts: &[String]) -> usize {
    texts.iter().filter(|text| text.starts_with("SELECT")).count()
}

#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_any_size_reads_and_locks_by_the_same_statements(
    #[case] dialect: Dialect,
) -> Result<(), StoreError> {
    record();
    let database = TestDatabase::of(dialect).await;
    let shop = Shop::open(&database).await?;
    let count = |reads, rows| (reads, beginning(dialect) + reads + writing(dialect, rows));
    for orders in [1, 10, 100] {
        let (placing, paying) = shop.trade(orders, CouponChoice::None).await;
        // Reads: answered requests, products, stocks, accounts. Rows per order: itself, 2 lines, 2 movements, account,
        // answer; in total: 2 stocks.
        assert_eq!((reading(&placing), placing.len()), count(4, 7 * orders + 2), "{orders} orders: {placing:#?}");
        // Reads: answered requests, orders with lines, accounts. Rows per order: itself, account, entry, payment,
        // event, answer; in total: the sales of 2 products.
        assert_eq!((reading(&paying), paying.len()), count(3, 6 * orders + 2), "{orders} orders: {paying:#?}");
        // With a coupon also: candidates and their locks; per order: the coupon and the shares of 2 lines.
        if orders == 100 {
            let (_, paying) = shop.trade(orders, CouponChoice::Best).await;
            assert_eq!((reading(&paying), paying.len()), count(5, 9 * orders + 2), "{orders} orders: {paying:#?}");
        }
    }
    Ok(())
}

/// Claims and records `events` events; returns the statements of both.
async fn deliver(database: &TestDatabase, events: u32) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let (queue, lease) = (database.database.event_queue(), SequentialIds::id(u64::from(events)));
    take();
    let claimed = queue.claim(lease, Duration::from_secs(60), events).await?;
    let claiming = take();
    let recorded = |event: StoredEvent| AttemptOutcome {
        event_id: event.delivery.event_id,
        lease,
        outcome: DeliveryOutcome::Delivered,
    };
    let recorded: Vec<AttemptOutcome> = claimed.into_iter().map(recorded).collect();
    assert_eq!(recorded.len(), usize::try_from(events).expect("a small number"));
    take();
    queue.record(&recorded).await?;
    Ok((claiming, take()))
}

#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn claims_of_any_size_read_and_lock_by_the_same_statements(#[case] dialect: Dialect) -> Result<(), StoreError> {
    record();
    let database = TestDatabase::of(dialect).await;
    Shop::open(&database).await?.trade(100, CouponChoice::None).await;
    database.database.event_queue().backlog().await?; // Opens a connection.
    for events in [1_u16, 10, 80] {
        let (claiming, recording) = deliver(&database, events.into()).await?;
        let written = writing(dialect, events.into());
        // BEGIN, clock, events; leases.
        assert_eq!(claiming.len(), 3 + written, "{events} events: {claiming:#?}");
        // BEGIN, leased events; outcomes.
        assert_eq!(recording.len(), 2 + written, "{events} events: {recording:#?}");
    }
    Ok(())
}

#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn each_detail_query_is_one_statement(#[case] dialect: Dialect) -> Result<(), StoreError> {
    record();
    let database = TestDatabase::of(dialect).await;
    let shop = Shop::open(&database).await?;
    let order_id = shop.shop.order(&shop.users[0], &[(shop.lamps[0], 1), (shop.lamps[1], 2)]).await?;
    let queries = database.database.queries();
    queries.clock.now().await?; // Opens a connection.
    take();
    assert!(queries.orders.find(order_id).await?.value.is_some());
    assert_eq!(queries.stocks.available(&shop.lamps.iter().copied().collect()).await?.len(), shop.lamps.len());
    assert!(queries.products.find(shop.lamps[0]).await?.is_some());
    let texts = take();
    assert_eq!(texts.len(), 3, "{texts:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_claim_locks_only_its_events_and_is_skipped() -> Result<(), StoreError> {
    record();
    let database = TestDatabase::mysql().await;
    let shop = Shop::open(&database).await?;
    shop.trade(40, CouponChoice::None).await;
    let (claiming, _) = deliver(&database, 1).await?;
    let text = claiming.iter().find(|text| text.contains("SKIP LOCKED")).expect("the claiming statement");
    let text = text.split(" -- binds").next().expect("a text");
    let of_four = text.replacen('?', "UTC_TIMESTAMP(6)", 1).replacen('?', "4", 1);

    // Another claim, paused between its two statements.
    let mut session = database.session().await;
    session.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.expect("a statement");
    session.query_drop("START TRANSACTION").await.expect("a statement");
    let locked: Vec<Row> = session.query(&of_four).await.expect("the statement of a claim");
    assert_eq!(locked.len(), 4);
    let queue = database.database.event_queue();
    let claimed = queue.claim(SequentialIds::id(1_000), Duration::from_secs(60), 100).await?;
    assert_eq!(claimed.len(), 40 - 1 - 4, "all others, without a wait");
    // A payment does not wait for it either.
    shop.trade(1, CouponChoice::None).await;
    session.query_drop("ROLLBACK").await.expect("a statement");
    assert_eq!(queue.claim(SequentialIds::id(1_001), Duration::from_secs(60), 100).await?.len(), 4 + 1);
    Ok(())
}
