//! Row locks on a real server, beyond what the contract says of them.

use std::collections::BTreeSet;

use jangteo_domain::id::{OrderId, ProductId};
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::fixtures::user;
use jangteo_domain::testing::{SequentialIds, batch_id};
use jangteo_domain::{StoreError, UserId};

use crate::server::TestDatabase;

fn products(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<ProductId> {
    numbers.into_iter().map(|number| SequentialIds::id(number).into()).collect()
}

/// A table so small that any optimizer would rather read all of it.
async fn stocks(database: &TestDatabase, count: u64) -> Result<(), StoreError> {
    let stocks: Vec<Stock> = products(1..=count).into_iter().map(Stock::empty).collect();
    let mut unit = database.database.unit_of_work_factory().begin(batch_id()).await?;
    unit.stocks().insert_many(&stocks).await?;
    unit.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn lockers_of_other_rows_do_not_wait_for_each_other() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    stocks(&database, 8).await?;
    let factory = database.database.unit_of_work_factory();
    let (mut odd, mut even) = (factory.begin(batch_id()).await?, factory.begin(batch_id()).await?);
    assert_eq!(odd.stocks().lock_many(&products([1, 3, 5, 7])).await?.len(), 4);
    assert_eq!(even.stocks().lock_many(&products([2, 4, 6, 8])).await?.len(), 4);
    // Nor do their writes.
    odd.stocks().save_many(&products([1, 3, 5, 7]).into_iter().map(Stock::empty).collect::<Vec<_>>()).await?;
    even.stocks().save_many(&products([2, 4, 6, 8]).into_iter().map(Stock::empty).collect::<Vec<_>>()).await?;
    odd.commit().await?;
    even.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn locking_what_is_not_there_locks_no_gap() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    stocks(&database, 8).await?;
    let factory = database.database.unit_of_work_factory();
    let (mut locker, mut inserter) = (factory.begin(batch_id()).await?, factory.begin(batch_id()).await?);
    assert!(locker.stocks().lock_many(&products([100, 200])).await?.is_empty());
    assert!(locker.orders().lock_many(&[OrderId::from(SequentialIds::id(9))].into()).await?.is_empty());
    let new: Vec<Stock> = products([99, 100, 150, 201]).into_iter().map(Stock::empty).collect();
    inserter.stocks().insert_many(&new).await?;
    inserter.commit().await?;
    locker.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_come_at_the_same_time_do_not_wait_for_each_other() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let factory = database.database.unit_of_work_factory();
    let users = |names: [&str; 2]| -> BTreeSet<UserId> { names.map(user).into() };
    let (mut first, mut second) = (factory.begin(batch_id()).await?, factory.begin(batch_id()).await?);
    for (unit, names) in [(&mut first, ["a", "c"]), (&mut second, ["b", "d"])] {
        unit.points().ensure_many(&users(names)).await?;
        assert_eq!(unit.points().lock_many(&users(names)).await?.len(), 2);
    }
    first.commit().await?;
    second.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_of_work_that_is_dropped_leaves_no_transaction() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    stocks(&database, 1).await?;
    let factory = database.database.unit_of_work_factory();
    let mut dropped = factory.begin(batch_id()).await?;
    dropped.stocks().lock_many(&products([1])).await?;
    drop(dropped);
    // Were the lock still there, this would wait and then be a conflict.
    let mut next = factory.begin(batch_id()).await?;
    assert_eq!(next.stocks().lock_many(&products([1])).await?.len(), 1);
    next.commit().await
}
