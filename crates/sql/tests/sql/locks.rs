//! Row locks on a real server, beyond the contract.

use std::collections::BTreeSet;

use jangteo_domain::audit::AuditChain;
use jangteo_domain::coupon::{CampaignRecord, Coupon, CouponCampaign, CouponState};
use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::{OrderId, ProductId};
use jangteo_domain::order::Order;
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::{Product, ProductDetails};
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::fixtures::{
    NOON, campaign, campaign_details, event, fixed, noon_plus, options, order_line, pending_order, product_details,
    stored_campaign, user,
};
use jangteo_domain::testing::{SequentialIds, batch_id, rules};
use jangteo_domain::transaction::{Appended, Changes, FirstKeys, LockSet, Locked, ProductDepth, RowChanges};
use jangteo_domain::{StoreError, Timestamp, UnitOfWork};

use crate::server::TestDatabase;

fn products(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<ProductId> {
    numbers.into_iter().map(|number| SequentialIds::id(number).into()).collect()
}

fn stocks_of(numbers: impl IntoIterator<Item = u64>) -> LockSet {
    LockSet { stocks: products(numbers), ..LockSet::default() }
}

fn new_stocks(numbers: impl IntoIterator<Item = u64>) -> Changes {
    let stocks = RowChanges::inserted(products(numbers).into_iter().map(Stock::empty));
    Changes { stocks, ..Changes::default() }
}

/// One item more for each locked stock.
fn added(locked: &Locked) -> Changes {
    let stocks = locked.stocks.values().flatten();
    let added = stocks.map(|stock| (stock.clone(), Stock { available: stock.available + 1, ..stock.clone() }));
    Changes { stocks: RowChanges::updated(added), ..Changes::default() }
}

fn count(locked: &Locked) -> usize {
    locked.stocks.values().flatten().count()
}

/// A table small enough for the optimizer to prefer a full scan.
const FEW: std::ops::RangeInclusive<u64> = 1..=8;

#[tokio::test(flavor = "multi_thread")]
async fn locks_on_different_rows_do_not_conflict() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    database.commit(new_stocks(FEW)).await?;
    let (mut odd, mut even) = (database.begin().await?, database.begin().await?);
    let odd_stocks = odd.lock(&stocks_of([1, 3, 5, 7])).await?;
    let even_stocks = even.lock(&stocks_of([2, 4, 6, 8])).await?;
    assert_eq!((count(&odd_stocks), count(&even_stocks)), (4, 4));
    // The writes of one do not wait for the locks of the other either.
    odd.commit(added(&odd_stocks)).await?;
    even.commit(added(&even_stocks)).await?;
    assert_eq!(database.number("SELECT COUNT(*) FROM stocks WHERE available = 1").await, 8);
    Ok(())
}

/// One row of every lockable table for each number; all coupons are of one campaign.
struct Rows {
    order: Order,
    campaign: CouponCampaign,
    coupon: Coupon,
    product: Product,
    stock: Stock,
    account: PointAccount,
    event: OutboxEvent,
}

impl Rows {
    fn numbered(number: u64) -> Self {
        let (id, owner) = (SequentialIds::id(number), user(&format!("user-{number}")));
        let campaign = campaign(id.into(), campaign_details(fixed(1), 9));
        Self {
            order: pending_order(id.into(), &owner, vec![order_line(id.into(), 1, 1)], NOON),
            coupon: Coupon {
                id: id.into(),
                campaign_id: SequentialIds::id(1).into(),
                user_id: owner.clone(),
                terms: campaign.details.terms.clone(),
                state: CouponState::Unused,
                valid_until: Timestamp::MAX,
                issued_at: NOON,
            },
            campaign,
            product: Product::create(id.into(), details("lamp", "red"), NOON),
            stock: Stock::empty(id.into()),
            account: PointAccount::empty(owner),
            event: event(id.into(), id.into(), 1),
        }
    }

    /// Of the user as an actor.
    fn audit_chain(&self) -> AuditChain {
        AuditChain::empty(self.account.user_id.clone())
    }

    async fn lock(database: &TestDatabase, rows: &[Self]) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let orders = FirstKeys { orders: rows.iter().map(|row| row.order.id).collect(), ..FirstKeys::default() };
        let (mut unit, _) = database.database.unit_of_work_factory().begin(batch_id(), &orders).await?;
        let mut keys = LockSet {
            campaigns: rows.iter().map(|row| row.campaign.id).collect(),
            coupons: rows.iter().map(|row| row.coupon.id).collect(),
            stocks: rows.iter().map(|row| row.stock.product_id).collect(),
            accounts: rows.iter().map(|row| row.account.user_id.clone()).collect(),
            events: rows.iter().map(|row| row.event.id).collect(),
            audit_chains: rows.iter().map(|row| row.account.user_id.clone()).collect(),
            ..LockSet::default()
        };
        rows.iter().for_each(|row| keys.add_product(row.product.id, ProductDepth::Whole));
        let locked = unit.lock(&keys).await?;
        assert_eq!(locked.events.values().flatten().count(), rows.len());
        Ok(unit)
    }

    fn insert(rows: &[Self]) -> Changes {
        Changes {
            orders: RowChanges::inserted(rows.iter().map(|row| row.order.clone())),
            campaigns: RowChanges::inserted(rows.iter().map(|row| row.campaign.clone())),
            coupons: RowChanges::inserted(rows.iter().map(|row| row.coupon.clone())),
            products: RowChanges::inserted(rows.iter().map(|row| row.product.clone())),
            stocks: RowChanges::inserted(rows.iter().map(|row| row.stock.clone())),
            accounts: RowChanges::inserted(rows.iter().map(|row| row.account.clone())),
            audit_chains: RowChanges::inserted(rows.iter().map(Self::audit_chain)),
            appended: Appended { outbox: rows.iter().map(|row| row.event.clone()).collect(), ..Appended::default() },
            ..Changes::default()
        }
    }

    fn update(rows: &[Self]) -> Changes {
        fn updated<T>(rows: &[Rows], change: impl Fn(&Rows) -> (T, T)) -> RowChanges<T> {
            RowChanges::updated(rows.iter().map(change))
        }
        let expire = |order: &Order| order.expire(Timestamp::MAX).expect("a deadline that has passed");
        let issue = |campaign: &CouponCampaign| {
            stored_campaign(CampaignRecord { issued: 1, ..CampaignRecord::clone(campaign) })
        };
        let revoke = |coupon: &Coupon| Coupon { state: CouponState::Revoked, ..coupon.clone() };
        let rename = |product: &Product| product.change(details("chair", "blue"), NOON);
        let open_order = |row: &Rows| row.account.open_order(&row.order, &rules()).expect("the first order");
        let redeliver = |event: &OutboxEvent| (Delivery::new(event), Delivery::new(event).redeliver(noon_plus(1)));
        Changes {
            orders: updated(rows, |row| (row.order.clone(), expire(&row.order))),
            campaigns: updated(rows, |row| (row.campaign.clone(), issue(&row.campaign))),
            coupons: updated(rows, |row| (row.coupon.clone(), revoke(&row.coupon))),
            products: updated(rows, |row| (row.product.clone(), rename(&row.product))),
            stocks: updated(rows, |row| (row.stock.clone(), Stock { available: 1, ..row.stock.clone() })),
            accounts: updated(rows, |row| (row.account.clone(), open_order(row))),
            events: updated(rows, |row| redeliver(&row.event)),
            audit_chains: updated(rows, |row| (row.audit_chain(), AuditChain { entries: 1, ..row.audit_chain() })),
            appended: Appended::default(),
        }
    }
}

fn details(name: &str, color: &str) -> ProductDetails {
    ProductDetails { options: options(&[("color", color)]), ..product_details(name, 1_000) }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_do_not_wait_for_locks_on_neighboring_rows() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let outer = [10, 30].map(Rows::numbered);
    let inner = [20].map(Rows::numbered);
    database.commit(Rows::insert(&outer)).await?;
    database.commit(Rows::insert(&inner)).await?;
    let writer = Rows::lock(&database, &outer).await?;
    let inserter = database.begin().await?;
    let neighbor = Rows::lock(&database, &inner).await?;
    // A lock in the way would end in a conflict.
    writer.commit(Rows::update(&outer)).await?;
    inserter.commit(Rows::insert(&[15, 25].map(Rows::numbered))).await?;
    neighbor.commit(Rows::update(&inner)).await?;
    assert_eq!(database.number("SELECT COUNT(*) FROM coupons WHERE state = 'revoked'").await, 3);
    assert_eq!(database.number("SELECT COUNT(*) FROM product_options WHERE value = 'blue'").await, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn locking_missing_rows_locks_no_gap() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    database.commit(new_stocks(FEW)).await?;
    let absent = OrderId::from(SequentialIds::id(9));
    let orders = FirstKeys { orders: [absent].into(), ..FirstKeys::default() };
    let (mut locker, first) = database.database.unit_of_work_factory().begin(batch_id(), &orders).await?;
    assert_eq!(first.orders[&absent], None);
    let inserter = database.begin().await?;
    assert_eq!(count(&locker.lock(&stocks_of([100, 200])).await?), 0);
    inserter.commit(new_stocks([99, 100, 150, 201])).await?;
    locker.commit(Changes::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_new_users_do_not_wait_for_each_other() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let (mut first, mut second) = (database.begin().await?, database.begin().await?);
    for (unit, names) in [(&mut first, ["a", "c"]), (&mut second, ["b", "d"])] {
        let locked = unit.lock(&LockSet { accounts: names.map(user).into(), ..LockSet::default() }).await?;
        assert_eq!(locked.accounts.values().flatten().count(), 0);
    }
    let new = |names: [&str; 2]| {
        let accounts = RowChanges::inserted(names.map(|name| PointAccount::empty(user(name))));
        Changes { accounts, ..Changes::default() }
    };
    // The first writes while the second has its rows locked.
    first.commit(new(["a", "c"])).await?;
    second.commit(new(["b", "d"])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_unit_of_work_leaves_no_transaction() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    database.commit(new_stocks([1])).await?;
    let mut dropped = database.begin().await?;
    dropped.lock(&stocks_of([1])).await?;
    drop(dropped);
    // A remaining lock would end in a conflict.
    let mut next = database.begin().await?;
    assert_eq!(count(&next.lock(&stocks_of([1])).await?), 1);
    next.commit(Changes::default()).await
}
