//! Servers that fail during a call.

use std::time::Duration;

use futures_util::future::try_join_all;
use jangteo_domain::StoreError;
use jangteo_domain::id::BatchId;
use jangteo_domain::point::PointAccount;
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::testing::fixtures::user;
use jangteo_domain::transaction::{Changes, FirstKeys, LockSet, RowChanges};
use mysql_async::prelude::Queryable as _;

use crate::server::{Process, TestDatabase};

fn new_stock(number: u64) -> Changes {
    let stock = Stock::empty(SequentialIds::id(number).into());
    Changes { stocks: RowChanges::inserted([stock]), ..Changes::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_pool_connections_are_replaced() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    // All connections of the pool, idle and then killed, like a restart of the server.
    let mut units = Vec::new();
    for _ in 0..6 {
        units.push(database.begin().await?);
    }
    for unit in units {
        unit.commit(Changes::default()).await?;
    }
    database.database.ping().await?;
    assert!(database.kill_connections().await);

    for number in 1..=6 {
        database.commit(new_stock(number)).await?;
        database.database.ping().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_reads_survive_dead_connections() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let queries = database.database.queries();
    let readers_max = 4;
    for round in 0..3 {
        // More reads than connections, so that the pool is full.
        while database.database.pool_statistics().read.connections < readers_max {
            try_join_all((0..100).map(|_| queries.clock.now())).await?;
        }
        assert!(database.kill_connections().await);
        let absent = SequentialIds::id(round).into();
        let answers = try_join_all((0..100).map(|_| queries.products.find(absent))).await?;
        assert!(answers.iter().all(Option::is_none));
    }
    Ok(())
}

/// Blocks reads of products, kills one, and unblocks them.
async fn read_and_kill(database: &TestDatabase, kill: &str) -> Result<bool, StoreError> {
    let queries = database.database.queries();
    let mut session = database.session().await;
    session.query_drop("LOCK TABLES products WRITE, stocks WRITE").await.expect("a lock");
    let reading = tokio::spawn(async move { queries.products.find(SequentialIds::id(1).into()).await });
    let id = waiting_statement(database, "products").await;
    database.execute(&format!("{kill} {id}")).await;
    session.query_drop("UNLOCK TABLES").await.expect("no lock");
    reading.await.expect("no panic").map(|found| found.is_none())
}

/// The connection with a waiting statement that contains the word.
async fn waiting_statement(database: &TestDatabase, word: &str) -> u64 {
    // A statement killed while it is prepared would still be executed.
    let waits = |process: &Process| {
        let is_own = process.statement.starts_with("LOCK TABLES");
        process.statement.contains(word) && !process.is_preparing && !is_own
    };
    let id = async {
        loop {
            match database.processes().await.into_iter().find(waits) {
                Some(process) => break process.id,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3), id).await.expect("a waiting statement")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_on_a_dead_connection_is_retried() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    assert!(read_and_kill(&database, "KILL").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_killed_by_the_server_is_unavailable_and_leaves_nothing_behind() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let error = read_and_kill(&database, "KILL QUERY").await.expect_err("a killed statement");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let queries = database.database.queries();
    assert_eq!(queries.products.find(SequentialIds::id(1).into()).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_the_commit_is_unavailable() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let mut unit = database.begin().await?;
    assert!(database.kill_connections().await);
    let error = unit.lock(&LockSet::default()).await.expect_err("a dead connection");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = unit.commit(new_stock(1)).await.expect_err("nothing is sent after a failure");
    assert!(matches!(error, StoreError::Unexpected(_)), "{error:?}");
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks").await, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_in_the_commit_is_unavailable_and_leaves_no_marker() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let factory = database.database.unit_of_work_factory();
    let id = BatchId::from(SequentialIds::id(7));
    let (unit, _) = factory.begin(id, &FirstKeys::default()).await?;
    assert!(database.kill_connections().await);
    let error = unit.commit(new_stock(1)).await.expect_err("a dead connection");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!factory.committed(id).await?);
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks").await, 0);

    let (unit, _) = factory.begin(id, &FirstKeys::default()).await?;
    unit.commit(new_stock(1)).await?;
    assert!(factory.committed(id).await?);
    Ok(())
}

/// A connection dies between the arrival and the execution of the `COMMIT` packet.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_killed_in_a_lock_wait_stores_nothing_and_leaves_no_marker() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let factory = database.database.unit_of_work_factory();
    let id = BatchId::from(SequentialIds::id(7));
    let mut blocker = database.session().await;
    let hexadecimal = SequentialIds::id(1).simple().to_string();
    let insert = format!("BEGIN; INSERT INTO stocks VALUES (x'{hexadecimal}', 0, 0)");
    blocker.query_drop(insert).await.expect("a row of the same key");
    let (unit, _) = factory.begin(id, &FirstKeys::default()).await?;
    let committing = tokio::spawn(unit.commit(new_stock(1)));

    let waiting = waiting_statement(&database, "stocks").await;
    database.execute(&format!("KILL {waiting}")).await;
    let error = committing.await.expect("no panic").expect_err("a dead connection");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    blocker.query_drop("ROLLBACK").await.expect("no row");
    assert!(!factory.committed(id).await?);
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks").await, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_statement_is_unavailable() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let accounts = RowChanges::inserted([PointAccount::empty(user("kim"))]);
    database.commit(Changes { accounts, ..Changes::default() }).await?;
    let locks = LockSet { accounts: [user("kim")].into(), ..LockSet::default() };
    let mut blocker = database.begin().await?;
    blocker.lock(&locks).await?;
    let mut waiter = database.begin().await?;
    let waiting = tokio::spawn(async move { waiter.lock(&locks).await });

    let id = waiting_statement(&database, "point_accounts").await;
    database.execute(&format!("KILL QUERY {id}")).await;
    let error = waiting.await.expect("no panic").expect_err("a killed statement");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    blocker.commit(Changes::default()).await
}
