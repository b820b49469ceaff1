//! The number of statements does not depend on the number of commands.
//!
//! Statements are noted down by an instrumentation that every connection of this process gets from then on; as every
//! test has a runtime of its own, the runtime tells whose they are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use jangteo_domain::command::{CouponChoice, PayOrder};
use jangteo_domain::delivery::{AttemptOutcome, DeliveryOutcome, StoredEvent};
use jangteo_domain::id::{OrderId, ProductId};
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RequestKey};
use jangteo_domain::testing::fixtures::{campaign_details, customer, fixed};
use jangteo_domain::testing::{SequentialIds, TestShop};
use jangteo_domain::{Answer, Command, Request, StoreError, UserId};
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
    let request = |command| Request { idempotency: Some(claim()), ..Request::new(command) };
    let requests: Vec<Request> = commands.into_iter().map(request).collect();
    texts_of_this_runtime(Vec::clear);
    for answer in shop.executor.execute(&requests).await {
        assert!(matches!(answer, Ok(Answer::Decided(Ok(_)))), "{answer:?}");
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

async fn batches_of_every_size_take_the_same_statements(dialect: Dialect) -> Result<(), StoreError> {
    set_default_instrumentation(|| Some(Box::new(Notes))).expect("an instrumentation");
    let database = TestDatabase::of(dialect).await;
    let shop = Shop::open(&database).await?;
    let (place_1, pay_1) = shop.trade(1, CouponChoice::None).await;
    let (place_10, pay_10) = shop.trade(10, CouponChoice::None).await;
    let (place_100, pay_100) = shop.trade(100, CouponChoice::None).await;
    assert_eq!((place_1.len(), place_10.len()), (place_100.len(), place_100.len()), "{place_1:#?}");
    assert_eq!((pay_1.len(), pay_10.len()), (pay_100.len(), pay_100.len()), "{pay_1:#?}");
    // To MySQL all that is written goes in one packet: the marker with BEGIN, the rest with COMMIT.
    let sent = |written| match dialect {
        Dialect::Mysql => 0,
        Dialect::Sqlite => written,
    };
    // BEGIN, answered requests, products, stocks, accounts; the marker, orders, their lines, stocks, movements, accounts,
    // answers; COMMIT.
    assert_eq!(place_100.len(), 5 + sent(7) + 1, "{place_100:#?}");
    // BEGIN, answered requests, orders with their lines, accounts; the marker, orders, accounts, entries, payments, daily
    // sales, events, answers; COMMIT.
    assert_eq!(pay_100.len(), 4 + sent(8) + 1, "{pay_100:#?}");
    // With a coupon besides: the candidates, their locks; their states, and the shares of the orders' lines.
    let (_, with_coupons) = shop.trade(100, CouponChoice::Best).await;
    assert_eq!(with_coupons.len(), 6 + sent(10) + 1, "{with_coupons:#?}");
    Ok(())
}

/// Claims and records so many events; answers the statements of both.
async fn deliver(database: &TestDatabase, events: u32) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let (queue, lease) = (database.database.event_queue(), SequentialIds::id(u64::from(events)));
    texts_of_this_runtime(Vec::clear);
    let claimed = queue.claim(lease, Duration::from_secs(60), events).await?;
    let claiming = texts_of_this_runtime(std::mem::take);
    let recorded =
        |event: StoredEvent| AttemptOutcome { event_id: event.id, lease, outcome: DeliveryOutcome::Delivered };
    let recorded: Vec<AttemptOutcome> = claimed.into_iter().map(recorded).collect();
    assert_eq!(recorded.len(), usize::try_from(events).expect("a small number"));
    texts_of_this_runtime(Vec::clear);
    queue.record(&recorded).await?;
    Ok((claiming, texts_of_this_runtime(std::mem::take)))
}

async fn claims_of_every_size_take_the_same_statements(dialect: Dialect) -> Result<(), StoreError> {
    set_default_instrumentation(|| Some(Box::new(Notes))).expect("an instrumentation");
    let database = TestDatabase::of(dialect).await;
    Shop::open(&database).await?.trade(100, CouponChoice::None).await;
    database.database.event_queue().backlog().await?; // From here on there is a connection.
    let (claim_1, record_1) = deliver(&database, 1).await?;
    let (claim_10, record_10) = deliver(&database, 10).await?;
    let (claim_80, record_80) = deliver(&database, 80).await?;
    assert_eq!((claim_1.len(), claim_10.len()), (claim_80.len(), claim_80.len()), "{claim_1:#?}");
    assert_eq!((record_1.len(), record_10.len()), (record_80.len(), record_80.len()), "{record_1:#?}");
    let sent = match dialect {
        Dialect::Mysql => 0, // It goes with the COMMIT.
        Dialect::Sqlite => 1,
    };
    // BEGIN, the clock, the events; their leases; COMMIT.
    assert_eq!(claim_80.len(), 3 + sent + 1, "{claim_80:#?}");
    // BEGIN, the events still held; what became of them; COMMIT.
    assert_eq!(record_80.len(), 2 + sent + 1, "{record_80:#?}");
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
async fn a_claim_takes_as_many_statements_of_sqlite_for_many_events_as_for_one() -> Result<(), StoreError> {
    claims_of_every_size_take_the_same_statements(Dialect::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_as_many_statements_of_mysql_for_many_events_as_for_one() -> Result<(), StoreError> {
    claims_of_every_size_take_the_same_statements(Dialect::Mysql).await
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
async fn a_batch_takes_as_many_statements_of_sqlite_as_a_command() -> Result<(), StoreError> {
    batches_of_every_size_take_the_same_statements(Dialect::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_as_many_statements_of_mysql_as_a_command() -> Result<(), StoreError> {
    batches_of_every_size_take_the_same_statements(Dialect::Mysql).await
}
