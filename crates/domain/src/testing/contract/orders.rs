use time::{Duration, Month};
use uuid::Uuid;

use crate::coupon::CouponCampaign;
use crate::id::{OrderId, UserId, first_id_at};
use crate::money::Money;
use crate::order::{Order, OrderFilter, OrderLine, OrderStatus, PaidTerms};
use crate::page::Page;
use crate::product::Price;
use crate::store_error::StoreError;
use crate::testing::contract::harness::{
    Seeds, StoreHarness, date, first_page, locked_orders, order, set, walk, wide, write,
};
use crate::testing::fixtures::{NOON, campaign_details, fixed, noon_plus, order_line, pending_order, won};
use crate::time::Timestamp;

/// One order in each status, with everything that it can carry.
async fn orders_in_every_status(seeds: &Seeds<'_>) -> Result<Vec<Order>, StoreError> {
    let [owner] = seeds.users(["owner"]).await?;
    let [a, b, c] = seeds.lamps().await?;
    let smallest = Money::from_ten_thousandths(1).expect("in range");
    // In an order that is not that of any id: lines stay as they were asked for.
    let lines = vec![
        OrderLine {
            name: wide(200),
            unit_price: Price::MAX,
            quantity: 1_000,
            discount_share: won(5),
            refunded_quantity: 999,
            ..order_line(c, 1, 1)
        },
        OrderLine { unit_price: smallest, ..order_line(a, 1, 1) },
        OrderLine { name: "두 번째 'line'".to_owned(), ..order_line(b, 1, 0) },
    ];
    let campaign = CouponCampaign::create(seeds.id(), campaign_details(fixed(5), 1), NOON);
    seeds.campaigns(std::slice::from_ref(&campaign)).await?;
    let coupon = campaign.issue(&owner, false, seeds.id(), NOON).expect("an open campaign");
    seeds.coupons(std::slice::from_ref(&coupon)).await?;

    let order = || pending_order(seeds.id(), &owner, lines.clone(), NOON);
    let total = order().total;
    let paid = |discount: Money, sales_day| {
        Some(PaidTerms {
            payment_id: seeds.id(),
            discount,
            amount: total.checked_sub(discount).expect("in range"),
            coupon_id: (!discount.is_zero()).then_some(coupon.id),
            at: noon_plus(1),
            sales_day,
        })
    };
    let [first_day, last_day] = [date(1970, Month::January, 1), date(9999, Month::December, 31)];
    let day = date(2030, Month::February, 28);
    Ok(vec![
        Order { created_at: Timestamp::MIN, expires_at: Timestamp::MAX, ..order() },
        Order { status: OrderStatus::Expired, ..order() },
        Order { status: OrderStatus::Cancelled, ..order() },
        Order { status: OrderStatus::Paid, paid: paid(Money::ZERO, first_day), ..order() },
        Order {
            status: OrderStatus::PartiallyRefunded,
            paid: paid(won(5), last_day),
            refunded: smallest,
            refunds: 3,
            ..order()
        },
        Order { status: OrderStatus::Refunded, paid: paid(total, day), refunded: Money::ZERO, refunds: 1, ..order() },
    ])
}

fn ids(orders: &[Order]) -> impl Iterator<Item = OrderId> {
    orders.iter().map(|order| order.id)
}

async fn assert_orders(harness: &dyn StoreHarness, expected: &[Order]) -> Result<(), StoreError> {
    assert_eq!(locked_orders(harness, ids(expected)).await?, expected);
    for expected in expected {
        assert_eq!(order(harness, expected.id).await?, *expected);
    }
    Ok(())
}

/// Every field of an order comes back, its lines in their order, by lock and by query.
pub async fn orders_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let orders = orders_in_every_status(&seeds).await?;
    seeds.orders(&orders).await?;
    assert_orders(harness, &orders).await?;
    assert_eq!(harness.queries().orders.find(seeds.id()).await?.value, None);
    Ok(())
}

/// How far an order has come is written, a coupon with it; the lines stay as they are.
pub async fn saving_orders_keeps_every_field_and_no_line(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let mut orders = orders_in_every_status(&seeds).await?;
    let progress = orders.clone();
    for order in &mut orders {
        let pending = pending_order(order.id, &order.user_id, order.lines.clone(), NOON);
        *order = pending;
    }
    seeds.orders(&orders).await?;

    for (order, progress) in orders.iter_mut().zip(&progress) {
        order.status = progress.status;
        order.paid.clone_from(&progress.paid);
        order.refunded = progress.refunded;
        order.refunds = progress.refunds;
    }
    let with_other_lines: Vec<_> = orders.iter().map(|order| with_progress_of_lines(order, won(1), 1)).collect();
    write(harness, async |unit| {
        unit.orders().lock_many(&set(ids(&orders))).await?;
        unit.orders().save_many(&with_other_lines).await
    })
    .await?;
    assert_orders(harness, &orders).await
}

fn with_progress_of_lines(order: &Order, discount_share: Money, refunded_quantity: u32) -> Order {
    let mut order = order.clone();
    for line in &mut order.lines {
        line.discount_share = discount_share;
        line.refunded_quantity = refunded_quantity;
    }
    order
}

/// Shares and refunded pieces of the lines are written, those of other orders stay.
pub async fn saving_lines_keeps_shares_and_refunded_pieces(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [a, b] = seeds.lamps().await?;
    let order = || pending_order(seeds.id(), &owner, vec![order_line(b, 5, 1_000), order_line(a, 7, 100)], NOON);
    let [mut first, mut second, untouched] = [order(), order(), order()];
    seeds.orders(&[first.clone(), second.clone(), untouched.clone()]).await?;

    first = with_progress_of_lines(&first, won(3), 2);
    first.lines[1].discount_share = Money::from_ten_thousandths(1).expect("in range");
    second.lines[0].refunded_quantity = 5;
    let changed = [first, second];
    write(harness, async |unit| {
        unit.orders().lock_many(&set(ids(&changed))).await?;
        unit.orders().save_lines(&changed).await
    })
    .await?;
    assert_orders(harness, &changed).await?;
    assert_orders(harness, &[untouched]).await
}

/// A list holds one user's orders, in all or in one status, the newest first.
pub async fn order_lists_are_one_users_and_by_status(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let mut orders = orders_in_every_status(&seeds).await?;
    let [other] = seeds.users(["Owner"]).await?;
    seeds.orders(&orders).await?;
    seeds.orders(&[Order { id: seeds.id(), user_id: other.clone(), ..orders[0].clone() }]).await?;
    orders.reverse();
    let orders_listed = orders.len();

    let owner = orders[0].user_id.clone();
    let queries = harness.queries().orders;
    assert_eq!(queries.list(&OrderFilter::of_user(&owner), &first_page(100)).await?.value, orders);
    for order in orders {
        let filter = OrderFilter { status: Some(order.status), ..OrderFilter::of_user(&owner) };
        assert_eq!(queries.list(&filter, &first_page(100)).await?.value, [order]);
    }
    assert_eq!(queries.list(&OrderFilter::of_user(&other), &first_page(100)).await?.value.len(), 1);
    let paid = OrderFilter { status: Some(OrderStatus::Paid), ..OrderFilter::default() };
    assert_eq!(queries.list(&OrderFilter { user_id: Some(other), ..paid.clone() }, &first_page(100)).await?.value, []);
    assert_eq!(queries.list(&paid, &first_page(100)).await?.value.len(), 1);
    assert_eq!(queries.list(&OrderFilter::default(), &first_page(100)).await?.value.len(), orders_listed + 1);
    Ok(())
}

/// The time of an order is the database's, and may be an hour off the one that its id was made by.
pub async fn order_lists_are_of_the_time_that_is_asked_for(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [lamp] = seeds.lamps().await?;
    let hour = 60 * 60;
    let order = |(nth, placed_at): (u128, Timestamp)| {
        let id_made_at = placed_at.saturating_add(Duration::hours(if nth % 2 == 0 { 1 } else { -1 }));
        let id = Uuid::from_u128(first_id_at(id_made_at).as_u128() | nth);
        pending_order(id.into(), &owner, vec![order_line(lamp, 1, 1_000)], placed_at)
    };
    let orders: Vec<_> = (0..).zip([0, 48, 96].map(|hours| noon_plus(hours * hour))).map(order).collect();
    seeds.orders(&orders).await?;
    let between = async |from: Option<i64>, to: Option<i64>| {
        let filter = OrderFilter { from: from.map(noon_plus), to: to.map(noon_plus), ..OrderFilter::default() };
        let mut listed = harness.queries().orders.list(&filter, &first_page(100)).await?.value;
        listed.reverse();
        Ok::<_, StoreError>(listed)
    };
    assert_eq!(between(None, None).await?, orders);
    assert_eq!(between(Some(0), None).await?, orders);
    assert_eq!(between(Some(1), None).await?, orders[1..]);
    assert_eq!(between(None, Some(96 * hour)).await?, orders[..2]);
    assert_eq!(between(Some(48 * hour), Some(48 * hour + 1)).await?, orders[1..2]);
    assert_eq!(between(Some(48 * hour), Some(48 * hour)).await?, []);
    Ok(())
}

/// So many unpaid orders, the oldest first.
async fn unpaid_orders(seeds: &Seeds<'_>, owner: &UserId, count: usize) -> Result<Vec<Order>, StoreError> {
    let [lamp] = seeds.lamps().await?;
    let order = |_| pending_order(seeds.id(), owner, vec![order_line(lamp, 1, 1_000)], NOON);
    let orders: Vec<_> = (0..count).map(order).collect();
    seeds.orders(&orders).await?;
    Ok(orders)
}

/// A walk through a user's orders gives each once, whatever is added meanwhile.
pub async fn order_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let mut orders = unpaid_orders(&seeds, &owner, 7).await?;
    orders.reverse();
    let queries = harness.queries().orders;
    for (limit, status) in [(1, None), (2, Some(OrderStatus::PendingPayment)), (100, None)] {
        let filter = OrderFilter { status, ..OrderFilter::of_user(&owner) };
        let read = async |page| Ok(queries.list(&filter, &page).await?.value);
        assert_eq!(walk(limit, |order: &Order| order.id, read).await?, orders);
    }

    let newest = queries.list(&OrderFilter::of_user(&owner), &first_page(3)).await?.value;
    unpaid_orders(&seeds, &owner, 2).await?;
    let rest = Page { after: newest.last().map(|order| order.id), limit: 100 };
    let rest = queries.list(&OrderFilter::of_user(&owner), &rest).await?.value;
    assert_eq!([newest, rest].concat(), orders);
    Ok(())
}

/// Due are the unpaid orders whose time is over, at this very time too; the longest overdue first.
pub async fn due_orders_are_unpaid_and_longest_overdue_first(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [lamp] = seeds.lamps().await?;
    let now = harness.queries().clock.now().await?;
    let order = |status, seconds| Order {
        status,
        created_at: Timestamp::MIN,
        expires_at: now.saturating_add(Duration::seconds(seconds)),
        ..pending_order(seeds.id(), &owner, vec![order_line(lamp, 1, 1_000)], NOON)
    };
    let orders = [
        order(OrderStatus::PendingPayment, 0),
        order(OrderStatus::PendingPayment, -60),
        order(OrderStatus::PendingPayment, 86_400),
        order(OrderStatus::Expired, -60),
        order(OrderStatus::Cancelled, -60),
        order(OrderStatus::PendingPayment, -30),
    ];
    seeds.orders(&orders).await?;

    let queries = harness.queries().orders;
    let overdue = [orders[1].id, orders[5].id, orders[0].id];
    assert_eq!(queries.due(100).await?, overdue);
    assert_eq!(queries.due(2).await?, overdue[..2]);
    Ok(())
}
