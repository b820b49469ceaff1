use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::future::{Either, join, join_all, select};

use crate::coupon::{CouponCampaign, CouponState};
use crate::id::{CampaignId, CouponId, OrderId, ProductId, UserId};
use crate::money::Money;
use crate::order::OrderStatus;
use crate::point::PointAccount;
use crate::stock::Stock;
use crate::store_error::StoreError;
use crate::testing::batch_id;
use crate::testing::contract::harness::{
    Concurrency, Seeds, StoreHarness, account, assert_conflict, assert_unexpected, look, round_trips, set, write,
};
use crate::testing::fixtures::{NOON, campaign_details, fixed, order_line, pending_order, product_details, user, won};
use crate::unit_of_work::UnitOfWork;

/// Two rows of each table that can be locked, and the id of a third that is not there.
struct Rows {
    orders: [OrderId; 3],
    campaigns: [CampaignId; 3],
    coupons: [CouponId; 3],
    products: [ProductId; 3],
    users: [UserId; 3],
}

/// A table that can be locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lockable {
    Orders,
    Campaigns,
    Coupons,
    Products,
    Offers,
    Stocks,
    Accounts,
}

const LOCKABLES: [Lockable; 7] = [
    Lockable::Orders,
    Lockable::Campaigns,
    Lockable::Coupons,
    Lockable::Products,
    Lockable::Offers,
    Lockable::Stocks,
    Lockable::Accounts,
];

impl Rows {
    async fn seed(harness: &dyn StoreHarness) -> Result<Self, StoreError> {
        let seeds = Seeds::new(harness);
        let users = ["a", "b", "c"].map(user);
        let [a, b, _] = &users;
        seeds.users(["a", "b"]).await?;
        let [lamp, chair] = seeds.products([(product_details("lamp", 1), 5), (product_details("chair", 2), 5)]).await?;
        let orders = [a, b].map(|user| pending_order(seeds.id(), user, vec![order_line(lamp.id, 1, 1)], NOON));
        seeds.orders(&orders).await?;
        let campaigns = [(); 2].map(|()| CouponCampaign::create(seeds.id(), campaign_details(fixed(1), 9), NOON));
        seeds.campaigns(&campaigns).await?;
        let coupons = campaigns.clone().map(|campaign| {
            let coupon = campaign.issue(a, false, seeds.id(), NOON).expect("an open campaign");
            assert_eq!(coupon.state, CouponState::Unused);
            coupon
        });
        seeds.coupons(&coupons).await?;
        Ok(Self {
            orders: [orders[0].id, orders[1].id, seeds.id()],
            campaigns: [campaigns[0].id, campaigns[1].id, seeds.id()],
            coupons: [coupons[0].id, coupons[1].id, seeds.id()],
            products: [lamp.id, chair.id, seeds.id()],
            users,
        })
    }

    /// Locks some rows of a table, by their places, and answers the places of those that are there.
    async fn lock(
        &self,
        unit: &mut dyn UnitOfWork,
        lockable: Lockable,
        places: &[usize],
    ) -> Result<Vec<usize>, StoreError> {
        fn ids<Id: Ord + Clone>(all: &[Id; 3], places: &[usize]) -> BTreeSet<Id> {
            set(places.iter().map(|&place| all[place].clone()))
        }
        fn places_of<Id: PartialEq>(all: &[Id; 3], found: impl IntoIterator<Item = Id>) -> Vec<usize> {
            let place = |id| all.iter().position(|of| *of == id).expect("only rows that were asked for");
            found.into_iter().map(place).collect()
        }
        Ok(match lockable {
            Lockable::Orders => {
                let rows = unit.orders().lock_many(&ids(&self.orders, places)).await?;
                assert!(rows.iter().all(|order| order.status == OrderStatus::PendingPayment && order.lines.len() == 1));
                places_of(&self.orders, rows.into_iter().map(|order| order.id))
            }
            Lockable::Campaigns => {
                let rows = unit.coupons().lock_campaigns(&ids(&self.campaigns, places)).await?;
                places_of(&self.campaigns, rows.into_iter().map(|campaign| campaign.id))
            }
            Lockable::Coupons => {
                let rows = unit.coupons().lock_many(&ids(&self.coupons, places)).await?;
                places_of(&self.coupons, rows.into_iter().map(|coupon| coupon.id))
            }
            Lockable::Products => {
                let rows = unit.products().lock_many(&ids(&self.products, places)).await?;
                places_of(&self.products, rows.into_iter().map(|product| product.id))
            }
            Lockable::Offers => {
                let rows = unit.products().lock_offers(&ids(&self.products, places)).await?;
                places_of(&self.products, rows.into_iter().map(|offer| offer.product_id))
            }
            Lockable::Stocks => {
                let rows = unit.stocks().lock_many(&ids(&self.products, places)).await?;
                places_of(&self.products, rows.into_iter().map(|stock| stock.product_id))
            }
            Lockable::Accounts => {
                let rows = unit.points().lock_many(&ids(&self.users, places)).await?;
                places_of(&self.users, rows.into_iter().map(|account| account.user_id))
            }
        })
    }
}

/// A lock answers the rows that exist, each once, in order of their ids, and no others.
pub async fn locking_answers_existing_rows_in_order(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let rows = Rows::seed(harness).await?;
    for lockable in LOCKABLES {
        look(harness, async |unit| {
            assert_eq!(rows.lock(unit, lockable, &[2, 1, 0]).await?, [0, 1], "{lockable:?}");
            assert_eq!(rows.lock(unit, lockable, &[1]).await?, [1], "{lockable:?}");
            assert!(rows.lock(unit, lockable, &[2]).await?.is_empty(), "{lockable:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// How a unit of work ends.
#[derive(Clone, Copy)]
enum End {
    Commit,
    Drop,
}

impl End {
    async fn of(self, unit_of_work: Box<dyn UnitOfWork>) -> Result<(), StoreError> {
        match self {
            Self::Commit => unit_of_work.commit().await,
            Self::Drop => Ok(()),
        }
    }
}

/// Rows that one has locked are not given to a second before the first commits; other rows are.
pub async fn a_lock_blocks_the_second_locker_of_a_row_until_commit(
    harness: &dyn StoreHarness,
) -> Result<(), StoreError> {
    a_lock_blocks_until(harness, End::Commit).await
}

/// A unit of work that is dropped lets its locks go.
pub async fn a_lock_blocks_the_second_locker_of_a_row_until_drop(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    a_lock_blocks_until(harness, End::Drop).await
}

async fn a_lock_blocks_until(harness: &dyn StoreHarness, end: End) -> Result<(), StoreError> {
    let rows = Rows::seed(harness).await?;
    let factory = harness.factory();
    for lockable in LOCKABLES {
        let mut first = factory.begin(batch_id()).await?;
        assert_eq!(rows.lock(&mut *first, lockable, &[0]).await?, [0]);
        let second = match harness.concurrency() {
            Concurrency::RowLocks => {
                let mut second = factory.begin(batch_id()).await?;
                let other_row = rows.lock(&mut *second, lockable, &[1]).await?;
                assert_eq!(other_row, [1], "{lockable:?}: nobody has locked this row");
                Some(second)
            }
            Concurrency::SingleWriter => None,
        };
        let lock = async {
            let mut second = match second {
                Some(second) => second,
                None => factory.begin(batch_id()).await?,
            };
            rows.lock(&mut *second, lockable, &[0]).await
        };
        let waiting = {
            let meanwhile = round_trips(&mut *first);
            match select(Box::pin(lock), pin!(meanwhile)).await {
                Either::Left((locked, _)) => panic!("{lockable:?}: a locked row was not waited for: {locked:?}"),
                Either::Right((done, waiting)) => {
                    done?;
                    waiting
                }
            }
        };
        let (ended, locked) = join(end.of(first), waiting).await;
        ended?;
        assert_eq!(locked?, [0], "{lockable:?}");
    }
    Ok(())
}

/// Whoever waited for a row gets it as it is then, not as it was when the waiting began.
pub async fn a_locker_sees_what_the_one_before_committed(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [id] = Seeds::new(harness).users(["kim"]).await?;
    let factory = harness.factory();
    let mut first = factory.begin(batch_id()).await?;
    first.points().lock_many(&set([id.clone()])).await?;
    let wait_and_lock = async {
        let mut second = factory.begin(batch_id()).await?;
        second.now().await?; // A snapshot, if it were taken now, would be too old.
        second.points().lock_many(&set([id.clone()])).await
    };
    let change = async {
        round_trips(&mut *first).await?;
        let changed = PointAccount { balance: won(5), ..PointAccount::empty(id.clone()) };
        first.points().save_many(&[changed]).await?;
        first.commit().await
    };
    let (seen, changed) = join(wait_and_lock, change).await;
    changed?;
    assert_eq!(seen?[0].balance, won(5));
    Ok(())
}

/// Whoever waited for an order gets its lines, too, as they are then.
pub async fn a_locker_of_an_order_sees_the_lines_that_the_one_before_committed(
    harness: &dyn StoreHarness,
) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [lamp, chair] = seeds.lamps().await?;
    let mut order = pending_order(seeds.id(), &owner, [lamp, chair].map(|id| order_line(id, 2, 100)).into(), NOON);
    seeds.orders(std::slice::from_ref(&order)).await?;
    let factory = harness.factory();
    let mut first = factory.begin(batch_id()).await?;
    first.orders().lock_many(&set([order.id])).await?;
    let wait_and_lock = async {
        let mut second = factory.begin(batch_id()).await?;
        second.orders().lock_many(&set([order.id])).await
    };
    order.lines[1].refunded_quantity = 1;
    let changed = std::slice::from_ref(&order);
    let change = async {
        round_trips(&mut *first).await?;
        first.orders().save_lines(changed).await?;
        first.commit().await
    };
    let (seen, ended) = join(wait_and_lock, change).await;
    ended?;
    assert_eq!(seen?, changed);
    Ok(())
}

/// The time that a unit of work goes by is none at which somebody else still held a row that it has locked.
pub async fn the_time_is_not_before_the_last_lock(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let rows = Rows::seed(harness).await?;
    let factory = harness.factory();
    for lockable in LOCKABLES {
        let mut first = factory.begin(batch_id()).await?;
        rows.lock(&mut *first, lockable, &[0]).await?;
        let wait_and_look = async {
            let mut second = factory.begin(batch_id()).await?;
            rows.lock(&mut *second, lockable, &[0, 2]).await?;
            second.now().await
        };
        let look_and_let_go = async {
            round_trips(&mut *first).await?;
            let last = harness.queries().clock.now().await?;
            drop(first);
            Ok::<_, StoreError>(last)
        };
        let (now, last) = join(wait_and_look, look_and_let_go).await;
        let (now, last) = (now?, last?);
        assert!(now >= last, "{lockable:?}: {now:?} is before {last:?}");
    }
    Ok(())
}

/// A row that is not there is not made by saving it; that is an error, and nothing of the unit of work is kept.
pub async fn what_is_not_there_cannot_be_saved(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let rows = Rows::seed(harness).await?;
    let users = rows.users.clone();
    let there = PointAccount { balance: won(1), ..PointAccount::empty(users[0].clone()) };
    let nowhere = PointAccount::empty(users[2].clone());
    assert_unexpected(
        write(harness, async |unit| {
            unit.points().lock_many(&set(users.clone())).await?;
            unit.points().save_many(&[there, nowhere]).await
        })
        .await,
    );
    assert_eq!(harness.queries().points.account(&users[2]).await?, None);
    assert_eq!(account(harness, &users[0]).await?.balance, Money::ZERO);

    let nowhere = Stock::empty(rows.products[2]);
    assert_unexpected(
        write(harness, async |unit| {
            unit.stocks().lock_many(&set(rows.products)).await?;
            unit.stocks().save_many(&[nowhere]).await
        })
        .await,
    );

    let lines = vec![order_line(rows.products[0], 1, 100)];
    let nowhere = pending_order(rows.orders[2], &users[0], lines, NOON);
    assert_unexpected(
        write(harness, async |unit| {
            unit.orders().lock_many(&set(rows.orders)).await?;
            unit.orders().save_many(&[nowhere]).await
        })
        .await,
    );
    assert_eq!(harness.queries().orders.find(rows.orders[2]).await?.value, None);
    Ok(())
}

/// Many who lock the same rows wait for each other, and none fails or loses another's change.
pub async fn lockers_in_one_order_never_deadlock(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let ids = set(Seeds::new(harness).users(["a", "b", "c", "d", "e"]).await?);
    let deposit = async || {
        for _ in 0..5 {
            write(harness, async |unit| {
                let mut accounts = unit.points().lock_many(&ids).await?;
                for account in &mut accounts {
                    account.balance = account.balance.checked_add(won(1)).expect("in range");
                }
                unit.points().save_many(&accounts).await
            })
            .await?;
        }
        Ok(())
    };
    join_all((0..4).map(|_| deposit())).await.into_iter().collect::<Result<(), StoreError>>()?;
    for id in &ids {
        assert_eq!(account(harness, id).await?.balance, won(20));
    }
    Ok(())
}

/// Two who lock two rows in opposite orders do not wait for ever: where they can meet at least one is told of a
/// conflict, and nothing of what failed is kept.
pub async fn a_deadlock_is_a_conflict(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [a, b] = Seeds::new(harness).users(["a", "b"]).await?;
    let begin_with = async |id: &UserId| {
        let mut unit = harness.factory().begin(batch_id()).await?;
        unit.points().lock_many(&set([id.clone()])).await?;
        Ok::<_, StoreError>(unit)
    };
    let go_on = async |unit: Result<Box<dyn UnitOfWork>, StoreError>, id: &UserId| {
        let mut unit = unit?;
        let [account] = &mut unit.points().lock_many(&set([id.clone()])).await?[..] else {
            panic!("the account is there");
        };
        account.balance = won(1);
        unit.points().save_many(std::slice::from_ref(account)).await?;
        unit.commit().await
    };
    let (first, second) = match harness.concurrency() {
        Concurrency::RowLocks => {
            let [first, second] = [begin_with(&a).await, begin_with(&b).await];
            let ends = join(go_on(first, &b), go_on(second, &a)).await;
            assert!(ends.0.is_err() || ends.1.is_err(), "one of the two was in the other's way");
            ends
        }
        // They never meet: the second begins once the first has ended.
        Concurrency::SingleWriter => {
            let both = async |first, then| go_on(begin_with(first).await, then).await;
            join(both(&a, &b), both(&b, &a)).await
        }
    };
    for (end, id) in [(&first, &b), (&second, &a)] {
        let expected = if end.is_ok() { won(1) } else { Money::ZERO };
        assert_eq!(account(harness, id).await?.balance, expected);
        assert!(matches!(end, Ok(()) | Err(StoreError::Conflict(_))), "{end:?}");
    }
    Ok(())
}

/// Whoever waits too long for a row is told of a conflict, while the one before still holds it and goes on. A single
/// writer need not give up: it may let the second wait as long as the first takes.
pub async fn a_lock_wait_that_takes_too_long_is_a_conflict(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [id] = Seeds::new(harness).users(["kim"]).await?;
    let ids = set([id]);
    let mut first = harness.factory().begin(batch_id()).await?;
    first.points().lock_many(&ids).await?;
    let second = look(harness, async |unit| unit.points().lock_many(&ids).await);
    if harness.concurrency() == Concurrency::RowLocks {
        assert_conflict(second.await);
    } else {
        let waiting = match select(Box::pin(second), Box::pin(round_trips(&mut *first))).await {
            Either::Left((locked, _)) => {
                assert_conflict(locked);
                None
            }
            Either::Right((done, waiting)) => {
                done?;
                Some(waiting)
            }
        };
        if let Some(waiting) = waiting {
            let (ended, locked) = join(first.commit(), waiting).await;
            assert_eq!(locked?.len(), 1, "once the first has ended, the second has its turn");
            return ended;
        }
    }
    assert_eq!(first.points().lock_many(&ids).await?.len(), 1, "the one who holds the lock goes on");
    first.commit().await
}

/// With a single writer no second unit of work is given while the first is open; once that has ended, one is.
/// With row locks a second is given at once.
pub async fn a_second_begin_waits_or_is_a_conflict(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let factory = harness.factory();
    let mut first = factory.begin(batch_id()).await?;
    match harness.concurrency() {
        Concurrency::RowLocks => {
            factory.begin(batch_id()).await?;
            round_trips(&mut *first).await?;
            first.commit().await
        }
        Concurrency::SingleWriter => {
            let waiting = match select(factory.begin(batch_id()), Box::pin(round_trips(&mut *first))).await {
                Either::Left((Ok(_), _)) => panic!("two writers are open at the same time"),
                Either::Left((error, _)) => {
                    assert_conflict(error.map(|_| ()));
                    factory.begin(batch_id())
                }
                Either::Right((done, waiting)) => {
                    done?;
                    waiting
                }
            };
            let (ended, second) = join(first.commit(), waiting).await;
            ended?;
            second?.commit().await
        }
    }
}
