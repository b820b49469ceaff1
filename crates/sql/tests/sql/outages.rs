//! Servers that go away in the middle.

use std::time::Duration;

use jangteo_domain::StoreError;
use jangteo_domain::id::BatchId;
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::testing::fixtures::user;

use crate::server::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_in_the_pool_are_replaced_unseen() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let factory = database.database.unit_of_work_factory();
    // As many as there can be, all idle, all killed: as after a restart of the server.
    let mut units = Vec::new();
    for _ in 0..6 {
        units.push(factory.begin().await?);
    }
    for unit in units {
        unit.commit().await?;
    }
    database.database.ping().await?;
    assert!(database.kill_connections().await);

    for number in 1..=6 {
        let mut unit = factory.begin().await?;
        unit.stocks().insert_many(&[Stock::empty(SequentialIds::id(number).into())]).await?;
        unit.commit().await?;
        database.database.ping().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_before_the_commit_is_unavailable() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let mut unit = database.database.unit_of_work_factory().begin().await?;
    unit.stocks().insert_many(&[Stock::empty(SequentialIds::id(1).into())]).await?;
    assert!(database.kill_connections().await);
    let error = unit.now().await.expect_err("a dead connection");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    drop(unit);
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks").await, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_in_the_commit_leaves_it_unknown_and_the_marker_tells() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let factory = database.database.unit_of_work_factory();
    let id = BatchId::from(SequentialIds::id(7));
    let mut unit = factory.begin().await?;
    unit.mark(id).await?;
    assert!(database.kill_connections().await);
    let error = unit.commit().await.expect_err("a dead connection");
    assert!(matches!(error, StoreError::CommitUnknown(_)), "{error:?}");
    assert!(!factory.committed(id).await?);

    let mut unit = factory.begin().await?;
    unit.mark(id).await?;
    unit.commit().await?;
    assert!(factory.committed(id).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_killed_is_unavailable() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let factory = database.database.unit_of_work_factory();
    let users = [user("kim")].into();
    let mut holder = factory.begin().await?;
    holder.points().ensure_many(&users).await?;
    let mut waiter = factory.begin().await?;
    let waiting = tokio::spawn(async move { waiter.points().ensure_many(&users).await });

    let waiters = "SELECT COALESCE(MAX(id), 0) FROM information_schema.processlist \
                   WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%point_accounts%'";
    let id = async {
        loop {
            match database.number(waiters).await {
                0 => tokio::task::yield_now().await,
                id => break id,
            }
        }
    };
    let id = tokio::time::timeout(Duration::from_secs(3), id).await.expect("it waits for the holder's lock");
    database.execute(&format!("KILL QUERY {id}")).await;
    let error = waiting.await.expect("no panic").expect_err("a killed statement");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    holder.commit().await
}
