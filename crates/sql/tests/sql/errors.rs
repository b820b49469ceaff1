//! Every kind of failure is provoked for real, as the adapter reads it from the server's words.

use std::error::Error as _;

use jangteo_domain::StoreError;
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::Product;
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::fixtures::{NOON, product_details, user, won};
use jangteo_domain::testing::{SequentialIds, batch_id};

use jangteo_sql::{Database, DatabaseSettings};

use crate::server::TestDatabase;

/// Tries to store a stock of a product that has one.
async fn duplicate(database: &TestDatabase) -> Result<(), StoreError> {
    let stock = Stock::empty(SequentialIds::id(1).into());
    let mut unit = database.database.unit_of_work_factory().begin(batch_id()).await?;
    unit.stocks().insert_many(std::slice::from_ref(&stock)).await?;
    unit.stocks().insert_many(&[stock]).await?;
    unit.commit().await
}

/// Tries to store a balance below zero.
async fn overdraft(database: &TestDatabase) -> Result<(), StoreError> {
    let users = [user("kim")].into();
    let mut unit = database.database.unit_of_work_factory().begin(batch_id()).await?;
    unit.points().ensure_many(&users).await?;
    let overdrawn = PointAccount { balance: won(-1), ..PointAccount::empty(user("kim")) };
    unit.points().save_many(&[overdrawn]).await?;
    unit.commit().await
}

/// Reads a product with a name that no product can have.
async fn nonsense(database: &TestDatabase) -> Result<(), StoreError> {
    let id = SequentialIds::id(1);
    let product = Product::create(id.into(), product_details("lamp", 1_000), NOON);
    let mut unit = database.database.unit_of_work_factory().begin(batch_id()).await?;
    unit.products().insert_many(&[product]).await?;
    unit.stocks().insert_many(&[Stock::empty(id.into())]).await?;
    unit.commit().await?;
    database.execute("UPDATE products SET name = ''").await;
    database.database.queries().products.find(id.into()).await.map(|_| ())
}

/// Writes a row that is not there.
async fn vanished(database: &TestDatabase) -> Result<(), StoreError> {
    let mut unit = database.database.unit_of_work_factory().begin(batch_id()).await?;
    unit.stocks().save_many(&[Stock::empty(SequentialIds::id(1).into())]).await?;
    unit.commit().await
}

/// Does something after a statement that failed.
async fn after_a_failure(database: &TestDatabase) -> Result<(), StoreError> {
    let stock = Stock::empty(SequentialIds::id(1).into());
    let mut unit = database.database.unit_of_work_factory().begin(batch_id()).await?;
    unit.stocks().insert_many(std::slice::from_ref(&stock)).await?;
    unit.stocks().insert_many(std::slice::from_ref(&stock)).await?;
    unit.stocks().lock_many(&[stock.product_id].into()).await.expect_err("a duplicate");
    unit.now().await.expect_err("nothing is sent after a failure");
    let committed = unit.commit().await;
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks").await, 0);
    committed
}

macro_rules! provoked {
    ($($name:ident: $provoke:ident => $kind:literal;)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let error = super::$provoke(&super::TestDatabase::sqlite().await).await.expect_err("a failure");
                assert_eq!(error.kind(), $kind, "{error:?}");
            })*
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let error = super::$provoke(&super::TestDatabase::mysql().await).await.expect_err("a failure");
                assert_eq!(error.kind(), $kind, "{error:?}");
            })*
        }
    };
}

provoked! {
    a_duplicate_key_is_a_conflict: duplicate => "conflict";
    a_broken_check_is_unexpected: overdraft => "unexpected";
    a_row_that_makes_no_sense_is_corrupt: nonsense => "corrupt";
    a_row_that_is_not_there_is_unexpected: vanished => "unexpected";
    nothing_is_sent_after_a_statement_that_failed: after_a_failure => "unexpected";
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_is_stored() {
    let error = duplicate(&TestDatabase::sqlite().await).await.expect_err("a duplicate");
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains("stocks.product_id"), "{cause}");
}

/// A table in memory is full as a disk is, only sooner.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_mysql_table_is_unavailable() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    database.execute("SET SESSION max_heap_table_size = 16384; ALTER TABLE commit_markers ENGINE = MEMORY").await;
    let factory = database.database.unit_of_work_factory();
    let mut filled = Ok(());
    for _ in 0..10_000 {
        filled = match factory.begin(batch_id()).await {
            Ok(unit) => unit.commit().await,
            Err(error) => Err(error),
        };
        if filled.is_err() {
            break;
        }
    }
    let error = filled.expect_err("it is full");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains("is full"), "{cause}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_that_holds_the_sqlite_file_is_a_conflict() {
    use diesel::connection::{Connection as _, SimpleConnection as _};
    let database = TestDatabase::sqlite().await;
    let mut other = diesel::SqliteConnection::establish(&database.settings.url["sqlite:".len()..]).expect("a file");
    other.batch_execute("BEGIN IMMEDIATE").expect("the lock");
    let error = database.database.unit_of_work_factory().begin(batch_id()).await.err().expect("no second writer");
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_that_is_none_is_corrupt() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("letter.txt");
    std::fs::write(&path, "Dear reader, this is no database, however long it may go on like this.".repeat(99))
        .expect("a file");
    let settings = DatabaseSettings {
        url: format!("sqlite:{}", path.display()),
        read_url: None,
        pool_max: 1,
        write_connections: 1,
    };
    let database = Database::open(settings).await.expect("valid settings");
    let error = database.migrate().await.expect_err("no database");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(matches!(database.ping().await, Err(StoreError::Corrupt(_))), "there is nothing to wait for");
}
