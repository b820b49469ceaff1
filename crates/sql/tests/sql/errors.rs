//! Every kind of failure, provoked for real and classified by the server's error text.

use std::error::Error as _;

use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::BatchId;
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::payment::Payment;
use jangteo_domain::product::Product;
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::fixtures::{NOON, product_details, user, won};
use jangteo_domain::testing::{SequentialIds, batch_id};
use jangteo_domain::transaction::{Appended, Changes, FirstKeys, LockSet, ProductDepth, RowChanges};
use jangteo_domain::{Money, StoreError};
use jangteo_sql::{Database, DatabaseSettings, Dialect};
use rstest::rstest;
use time::macros::date;

use crate::server::TestDatabase;

fn stock() -> Stock {
    Stock::empty(SequentialIds::id(1).into())
}

fn new_stock() -> Changes {
    Changes { stocks: RowChanges::inserted([stock()]), ..Changes::default() }
}

/// One item more.
fn changed_stock() -> Changes {
    let changed = Stock { available: 1, ..stock() };
    Changes { stocks: RowChanges::updated([(stock(), changed)]), ..Changes::default() }
}

/// Inserts a stock twice.
async fn duplicate(database: &TestDatabase) -> Result<(), StoreError> {
    database.commit(new_stock()).await?;
    database.commit(new_stock()).await
}

/// Inserts a payment with a balance below zero.
async fn overdraft(database: &TestDatabase) -> Result<(), StoreError> {
    let payment = Payment {
        id: SequentialIds::id(1).into(),
        order_id: SequentialIds::id(2).into(),
        user_id: user("kim"),
        total: won(1),
        discount: Money::ZERO,
        amount: won(1),
        coupon_id: None,
        balance_after: won(-1),
        paid_at: NOON,
        sales_day: date!(2030 - 01 - 01),
    };
    let appended = Appended { payments: vec![payment], ..Appended::default() };
    let committed = database.commit(Changes { appended, ..new_stock() }).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks").await, 0);
    committed
}

/// Stores a product with an empty name, which the domain rejects.
async fn invalidate_product(database: &TestDatabase) -> Result<(), StoreError> {
    let products = RowChanges::inserted([Product::create(stock().product_id, product_details("lamp", 1_000), NOON)]);
    database.commit(Changes { products, ..new_stock() }).await?;
    database.execute("UPDATE products SET name = ''").await;
    Ok(())
}

/// Reads a product with an invalid name.
async fn invalid_row(database: &TestDatabase) -> Result<(), StoreError> {
    invalidate_product(database).await?;
    database.database.queries().products.find(stock().product_id).await.map(|_| ())
}

/// Locks a product with an invalid name.
async fn locked_invalid_row(database: &TestDatabase) -> Result<(), StoreError> {
    invalidate_product(database).await?;
    let mut unit = database.begin().await?;
    let mut locks = LockSet::default();
    locks.add_product(stock().product_id, ProductDepth::Offer);
    unit.lock(&locks).await.map(|_| ())
}

/// Updates a row that is not locked.
async fn unlocked(database: &TestDatabase) -> Result<(), StoreError> {
    database.commit(new_stock()).await?;
    let committed = database.commit(changed_stock()).await;
    assert_eq!(database.number("SELECT SUM(available) FROM stocks").await, 0);
    committed
}

/// Updates a row that is not stored, after an attempt to lock it.
async fn absent(database: &TestDatabase) -> Result<(), StoreError> {
    let mut unit = database.begin().await?;
    unit.lock(&LockSet { stocks: [stock().product_id].into(), ..LockSet::default() }).await?;
    let committed = unit.commit(changed_stock()).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks").await, 0);
    committed
}

/// Updates a row that a trigger deletes after the lock.
async fn vanished(database: &TestDatabase) -> Result<(), StoreError> {
    let event = OutboxEvent {
        id: SequentialIds::id(1).into(),
        order_id: SequentialIds::id(2).into(),
        sequence: 1,
        at: NOON,
        event_type: "jangteo.order.paid.v1".to_owned(),
        body: "{}".to_owned(),
    };
    let before = Delivery::new(&event);
    let appended = Appended { outbox: vec![event], ..Appended::default() };
    database.commit(Changes { appended, ..Changes::default() }).await?;
    let trigger = match database.database.dialect() {
        Dialect::Mysql => "FOR EACH ROW DELETE FROM outbox_events",
        Dialect::Sqlite => "BEGIN DELETE FROM outbox_events; END",
    };
    database.execute(&format!("CREATE TRIGGER vanishing AFTER INSERT ON stocks {trigger}")).await;

    let mut unit = database.begin().await?;
    let locked = unit.lock(&LockSet { events: [before.event_id].into(), ..LockSet::default() }).await?;
    let after = before.redeliver(locked.now);
    let committed = unit.commit(Changes { events: RowChanges::updated([(before, after)]), ..new_stock() }).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM outbox_events").await, 1, "everything is rolled back");
    committed
}

/// Uses a unit of work after a failed statement.
async fn after_a_failure(database: &TestDatabase) -> Result<(), StoreError> {
    database.execute("DROP TABLE point_accounts").await;
    let id = BatchId::from(SequentialIds::id(7));
    let factory = database.database.unit_of_work_factory();
    let (mut unit, _) = factory.begin(id, &FirstKeys::default()).await?;
    let accounts = LockSet { accounts: [user("kim")].into(), ..LockSet::default() };
    unit.lock(&accounts).await.expect_err("a missing table");
    unit.lock(&LockSet::default()).await.expect_err("nothing is sent after a failure");
    let committed = unit.commit(new_stock()).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks").await, 0);
    assert!(!factory.committed(id).await?);
    committed
}

macro_rules! provoked {
    ($($name:ident: $provoke:ident => $kind:literal;)*) => {$(
        #[rstest]
        #[case::mysql(Dialect::Mysql)]
        #[case::sqlite(Dialect::Sqlite)]
        #[tokio::test(flavor = "multi_thread")]
        async fn $name(#[case] dialect: Dialect) {
            let error = $provoke(&TestDatabase::of(dialect).await).await.expect_err("a failure");
            assert_eq!(error.kind(), $kind, "{error:?}");
        }
    )*};
}

provoked! {
    a_duplicate_key_is_a_conflict: duplicate => "conflict";
    a_broken_check_is_unexpected: overdraft => "unexpected";
    an_invalid_row_is_corrupt: invalid_row => "corrupt";
    a_locked_invalid_row_is_corrupt: locked_invalid_row => "corrupt";
    an_unlocked_row_is_unexpected: unlocked => "unexpected";
    a_missing_row_is_unexpected: absent => "unexpected";
    a_vanished_row_is_unexpected: vanished => "unexpected";
    nothing_is_sent_after_a_failed_statement: after_a_failure => "unexpected";
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_is_stored() {
    let error = duplicate(&TestDatabase::sqlite().await).await.expect_err("a duplicate");
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains("stocks.product_id"), "{cause}");
}

/// An in-memory table is full at a size limit, like a disk but sooner.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_mysql_table_is_unavailable() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    database.execute("SET SESSION max_heap_table_size = 16384; ALTER TABLE commit_markers ENGINE = MEMORY").await;
    let factory = database.database.unit_of_work_factory();
    let mut filled = Ok(());
    for _ in 0..10_000 {
        filled = match factory.begin(batch_id(), &FirstKeys::default()).await {
            Ok((unit, _)) => unit.commit(Changes::default()).await,
            Err(error) => Err(error),
        };
        if filled.is_err() {
            break;
        }
    }
    let error = filled.expect_err("a full table");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains("is full"), "{cause}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_locked_by_another_process_is_unavailable() {
    use diesel::connection::{Connection as _, SimpleConnection as _};
    let database = TestDatabase::sqlite().await;
    let mut other = diesel::SqliteConnection::establish(&database.settings.url["sqlite:".len()..]).expect("a file");
    other.batch_execute("BEGIN IMMEDIATE").expect("the lock");
    let error = database.begin().await.err().expect("no second writer");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_another_format_is_corrupt() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("letter.txt");
    std::fs::write(&path, "This is a text file and not a database, in spite of its length. ".repeat(99))
        .expect("a file");
    let settings = DatabaseSettings::new(format!("sqlite:{}", path.display()));
    let database = Database::open(settings).await.expect("valid settings");
    let error = database.migrate().await.expect_err("no database");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(matches!(database.ping().await, Err(StoreError::Corrupt(_))), "a retry would not help");
}
