use futures_util::future::{Either, join, join_all, select};

use jangteo_domain::coupon::CouponState;
use jangteo_domain::order::Order;
use jangteo_domain::point::{PointAccount, PointAccountRecord};
use jangteo_domain::product::Product;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::batch_id;
use jangteo_domain::testing::fixtures::{NOON, order_line, order_with, pending_order, stored_account, won};
use jangteo_domain::transaction::{Changes, First, Keyed, LockSet, Locked, UnitOfWork};
use uuid::Uuid;

use crate::contract::harness::{
    Concurrency, Keys, TestResult, TransactionHarness, View, answer, append, assert_conflict, begin, commit, insert,
    lock, locked, pause, row, rows, update, view,
};
use crate::contract::lockable::{Lockable, Rows, count, timeless};

/// Every key of [`FirstKeys`](jangteo_domain::transaction::FirstKeys) and of [`LockSet`] has an entry, `None` without a
/// row; no other row is returned.
pub async fn each_named_key_has_an_entry(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    for Lockable { name, keys: [a, b, absent], .. } in sample.lockables() {
        assert_eq!([count(&view(harness, &a).await?), count(&view(harness, &b).await?)], [1, 1], "{name}");
        assert_eq!(count(&view(harness, &absent).await?), 0, "{name}");
    }
    // All tables in one unit of work, two rows each.
    assert_eq!(count(&view(harness, &sample.all()).await?), 2 * 8);
    let (first, locked) = view(harness, &Keys::default()).await?;
    assert_eq!((first, locked.clone()), (First::default(), Locked::nothing(locked.now)));
    Ok(())
}

/// A second unit of work gets a locked row only after the first commits; it gets other rows at once.
pub async fn a_lock_blocks_the_second_locker_until_commit(harness: &dyn TransactionHarness) -> TestResult {
    a_lock_blocks_until(harness, async |first, number| first.commit(append([answer(number)])).await).await
}

/// A dropped unit of work releases its locks.
pub async fn a_lock_blocks_the_second_locker_until_drop(harness: &dyn TransactionHarness) -> TestResult {
    a_lock_blocks_until(harness, async |_, _| Ok(())).await
}

async fn a_lock_blocks_until(
    harness: &dyn TransactionHarness,
    end: impl AsyncFn(Box<dyn UnitOfWork>, u8) -> TestResult,
) -> TestResult {
    let sample = Rows::seed(harness).await?;
    for (number, Lockable { name, keys: [own, other, _], .. }) in (0..).zip(sample.lockables()) {
        let (first, found) = lock(harness, &own).await?;
        assert_eq!(count(&found), 1, "{name}");
        if harness.concurrency() == Concurrency::RowLocks {
            assert_eq!(count(&view(harness, &other).await?), 1, "{name}: the other row is not locked");
        }
        let waiting = match select(Box::pin(view(harness, &own)), Box::pin(pause())).await {
            Either::Left((found, _)) => panic!("{name}: a locked row was returned: {found:?}"),
            Either::Right(((), waiting)) => waiting,
        };
        let (ended, found) = join(end(first, number), waiting).await;
        ended?;
        assert_eq!(count(&found?), 1, "{name}");
    }
    Ok(())
}

/// After a lock wait a unit of work sees the latest version of the row, of an order with its lines.
pub async fn a_locker_sees_the_latest_commit(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    for Lockable { name, keys: [keys, ..], change } in sample.lockables() {
        let before = timeless(view(harness, &keys).await?);
        let seen = change_while_one_waits(harness, change, &keys).await?;
        let after = timeless(view(harness, &keys).await?);
        if name == "candidates" {
            // Candidates come from a plain read; their lock reveals a change since.
            assert_eq!([count(&before), count(&after)], [1, 0]);
            assert!(seen.1.coupons.values().flatten().all(|coupon| coupon.state == CouponState::Revoked), "{seen:?}");
            continue;
        }
        assert_eq!(seen, after, "{name}");
        assert_ne!(seen, before, "{name}");
    }

    let [lamp, chair] = sample.products.stored.each_ref().map(Keyed::key);
    let lines = [lamp, chair].map(|id| order_line(id, 2, 100)).into();
    let order = pending_order(Uuid::max().into(), &sample.users()[0], lines, NOON);
    commit(harness, insert([order.clone()])).await?;
    let changed = order_with(&order, |record| record.lines[1].refunded_quantity = 1);
    let keys = Keys::of::<Order>([order.id]);
    let (first, _) = change_while_one_waits(harness, update([(order.clone(), changed.clone())]), &keys).await?;
    assert_eq!(first.orders[&order.id].as_ref(), Some(&changed));
    Ok(())
}

/// Locks rows while another unit of work changes them; returns the rows found before and after.
async fn change_while_one_waits(
    harness: &dyn TransactionHarness,
    mut change: Changes,
    keys: &Keys,
) -> Result<View, StoreError> {
    let (first, _) = lock(harness, &Keys::updated_by(&mut change)).await?;
    let change = async {
        pause().await;
        first.commit(change).await
    };
    let (seen, changed) = join(view(harness, keys), change).await;
    changed?;
    Ok(timeless(seen?))
}

/// A unit of work's time is not before the release of any of its locks, also if it locks orders alone.
pub async fn the_time_is_not_before_the_last_lock(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    for Lockable { name, keys: [keys, ..], .. } in sample.lockables() {
        let (mut first, _) = harness.factory().begin(batch_id(), &keys.first).await?;
        let has_row_locks = harness.concurrency() == Concurrency::RowLocks;
        if has_row_locks {
            first.lock(&keys.locks).await?;
        }
        let release = async {
            pause().await;
            let last = match has_row_locks {
                true => locked(harness, LockSet::default()).await?.now,
                false => first.lock(&keys.locks).await?.now,
            };
            drop(first);
            Ok::<_, StoreError>(last)
        };
        let (seen, last) = join(view(harness, &keys), release).await;
        let ((_, seen), last) = (seen?, last?);
        assert!(seen.now >= last, "{name}: {:?} is before {last:?}", seen.now);
    }
    Ok(())
}

/// The time increases from one unit of work to the next.
pub async fn the_time_does_not_go_backwards(harness: &dyn TransactionHarness) -> TestResult {
    let mut times = Vec::new();
    for number in 0..20 {
        let mut unit_of_work = begin(harness, batch_id()).await?;
        times.push(unit_of_work.lock(&LockSet::default()).await?.now);
        unit_of_work.commit(append([answer(number)])).await?;
    }
    assert!(times.is_sorted(), "{times:?}");
    Ok(())
}

/// Units of work that lock the same rows of all tables wait for each other: none fails, and no change is lost.
pub async fn lockers_in_one_order_never_deadlock(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    let keys = sample.all();
    let deposit = async || {
        for _ in 0..5 {
            let (unit_of_work, (_, locked)) = lock(harness, &keys).await?;
            let deposit = |account: PointAccount| {
                let balance = account.balance.checked_add(won(1)).expect("in range");
                let after = PointAccountRecord { balance, ..PointAccountRecord::clone(&account) };
                (account, stored_account(after))
            };
            unit_of_work.commit(update(locked.accounts.into_values().flatten().map(deposit))).await?;
        }
        Ok(())
    };
    join_all((0..4).map(|_| deposit())).await.into_iter().collect::<TestResult>()?;
    for account in rows::<PointAccount>(harness, keys.locks.accounts.clone()).await? {
        assert_eq!(account.balance, won(20));
    }
    Ok(())
}

/// Two units of work that wait for each other at their commits do not wait forever: each succeeds, or is a conflict and
/// stores nothing.
pub async fn a_deadlock_is_a_conflict(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    let owner = &sample.users()[0];
    let [lamp, chair] = sample.products.stored.each_ref().map(Keyed::key);
    // The foreign key of an order may wait for its locked product.
    let order = |number: u128, product_id| {
        pending_order(Uuid::from_u128(u128::MAX - number).into(), owner, vec![order_line(product_id, 1, 1)], NOON)
    };
    let orders = [order(0, chair), order(1, lamp)];
    let [own_lamp, own_chair] = [lamp, chair].map(|id| Keys::of::<Product>([id]));
    let commit_order = async |unit_of_work: Result<_, StoreError>, order: &Order| {
        let (unit_of_work, _): (Box<dyn UnitOfWork>, _) = unit_of_work?;
        unit_of_work.commit(insert([order.clone()])).await
    };
    let (first, second) = match harness.concurrency() {
        Concurrency::RowLocks => {
            let [first, second] = [lock(harness, &own_lamp).await, lock(harness, &own_chair).await];
            join(commit_order(first, &orders[0]), commit_order(second, &orders[1])).await
        }
        // They never meet: the second begins after the first has ended.
        Concurrency::SingleWriter => {
            let both = async |keys, order| commit_order(lock(harness, keys).await, order).await;
            join(both(&own_lamp, &orders[0]), both(&own_chair, &orders[1])).await
        }
    };
    for (end, order) in [(first, &orders[0]), (second, &orders[1])] {
        assert_eq!(rows::<Order>(harness, [order.id]).await?.len(), usize::from(end.is_ok()));
        assert!(matches!(end, Ok(()) | Err(StoreError::Conflict(_))), "{end:?}");
    }
    Ok(())
}

/// A lock wait above the timeout is a conflict, and the first unit of work continues. A single writer has no timeout.
pub async fn a_lock_wait_that_takes_too_long_is_a_conflict(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    let [account, _] = &sample.accounts.stored;
    let keys = Keys::of::<PointAccount>([account.user_id.clone()]);
    let change = sample.accounts.update(0);
    let (first, _) = lock(harness, &keys).await?;
    let second = view(harness, &keys);
    if harness.concurrency() == Concurrency::RowLocks {
        assert_conflict(second.await);
        first.commit(change).await?;
    } else {
        match select(Box::pin(second), Box::pin(pause())).await {
            Either::Left((found, _)) => {
                assert_conflict(found);
                first.commit(change).await?;
            }
            Either::Right(((), waiting)) => {
                let (ended, found) = join(first.commit(change), waiting).await;
                ended?;
                assert_eq!(count(&found?), 1, "the second is next, after the end of the first");
            }
        }
    }
    assert_eq!(row::<PointAccount>(harness, account.user_id.clone()).await?.balance, won(5));
    Ok(())
}

/// With a single writer a second `begin` waits for the first unit of work. With row locks it returns at once.
pub async fn a_second_begin_waits_or_is_a_conflict(harness: &dyn TransactionHarness) -> TestResult {
    let first = begin(harness, batch_id()).await?;
    match harness.concurrency() {
        Concurrency::RowLocks => {
            drop(begin(harness, batch_id()).await?);
            first.commit(append([answer(1)])).await
        }
        Concurrency::SingleWriter => {
            let second = Box::pin(begin(harness, batch_id()));
            let waiting = match select(second, Box::pin(pause())).await {
                Either::Left((Ok(_), _)) => panic!("two open writers"),
                Either::Left((error, _)) => {
                    assert_conflict(error.map(|_| ()));
                    Box::pin(begin(harness, batch_id()))
                }
                Either::Right(((), waiting)) => waiting,
            };
            let (ended, second) = join(first.commit(append([answer(1)])), waiting).await;
            ended?;
            second?.commit(append([answer(2)])).await
        }
    }
}
