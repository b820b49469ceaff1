use time::Duration;

use jangteo_domain::id::{UserId, uuid_at};
use jangteo_domain::order::{DueOrder, Order, OrderFilter, OrderStatus};
use jangteo_domain::page::Page;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{NOON, order_line, order_with, pending_order};
use jangteo_domain::time::Timestamp;

use crate::contract::harness::{Seeds, StoreHarness, TestResult, commit, first_page, insert, update, walk};
use crate::contract::samples;

/// Every field of an order is returned, as inserted and as updated, with its lines in their order.
pub async fn every_field_of_orders_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let orders = samples::orders_in_every_status(&seeds).await?;
    let unpaid: Vec<_> = orders.iter().map(samples::unpaid).collect();
    let queries = harness.queries().orders;
    let updated = update(orders.clone().into_iter().zip(unpaid.clone()));
    for (changes, expected) in [(insert(orders.clone()), orders), (updated, unpaid)] {
        commit(harness, changes).await?;
        for order in expected {
            assert_eq!(queries.find(order.id).await?.value, Some(order));
        }
    }
    assert_eq!(queries.find(seeds.id()).await?.value, None);
    Ok(())
}

/// Order lists filter by user and by status, the newest first.
pub async fn order_lists_are_filtered_by_user_and_status(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let mut orders = samples::orders_in_every_status(&seeds).await?;
    let [other] = seeds.users(["Owner"]).await?;
    commit(harness, insert(orders.clone())).await?;
    let of_other = order_with(&orders[0], |record| {
        record.id = seeds.id();
        record.user_id = other.clone();
    });
    commit(harness, insert([of_other])).await?;
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

/// The ends of the range are exact, between orders of one millisecond too.
pub async fn order_lists_are_filtered_by_time(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [lamp] = seeds.lamps().await?;
    let at = |microseconds| NOON.saturating_add(Duration::microseconds(microseconds));
    let order = |(nth, placed_at)| {
        pending_order(uuid_at(placed_at, nth).into(), &owner, vec![order_line(lamp, 1, 1_000)], placed_at)
    };
    let day = 24 * 60 * 60 * 1_000_000;
    let orders: Vec<_> = (0..).zip([0, 998, 999, 1_000, day].map(at)).map(order).collect();
    commit(harness, insert(orders.clone())).await?;
    let between = async |from: Option<i64>, to: Option<i64>| {
        let filter = OrderFilter { from: from.map(at), to: to.map(at), ..OrderFilter::default() };
        let mut listed = harness.queries().orders.list(&filter, &first_page(100)).await?.value;
        listed.reverse();
        Ok::<_, StoreError>(listed)
    };
    assert_eq!(between(None, None).await?, orders);
    assert_eq!(between(Some(0), Some(day + 1)).await?, orders);
    assert_eq!(between(Some(1), None).await?, orders[1..]);
    assert_eq!(between(None, Some(day)).await?, orders[..4]);
    assert_eq!(between(Some(998), Some(999)).await?, orders[1..2]);
    assert_eq!(between(Some(999), Some(1_001)).await?, orders[2..4]);
    assert_eq!(between(Some(1_000), Some(1_000)).await?, []);
    Ok(())
}

/// A walk through a user's orders returns each once despite concurrent inserts.
pub async fn order_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner]: [UserId; 1] = seeds.users(["owner"]).await?;
    let mut orders = seeds.orders_of::<7>(&owner).await?;
    orders.reverse();
    let queries = harness.queries().orders;
    for (limit, status) in [(1, None), (2, Some(OrderStatus::PendingPayment)), (100, None)] {
        let filter = OrderFilter { status, ..OrderFilter::of_user(&owner) };
        let read = async |page| Ok(queries.list(&filter, &page).await?.value);
        assert_eq!(walk(limit, |order: &Order| order.id, read).await?, orders);
    }

    let newest = queries.list(&OrderFilter::of_user(&owner), &first_page(3)).await?.value;
    seeds.orders_of::<2>(&owner).await?;
    let rest = Page { after: newest.last().map(|order| order.id), limit: 100 };
    let rest = queries.list(&OrderFilter::of_user(&owner), &rest).await?.value;
    assert_eq!([newest, rest].concat(), orders);
    Ok(())
}

/// Due orders are unpaid and at or past their deadline, the longest overdue first.
pub async fn due_orders_are_unpaid_and_longest_overdue_first(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [lamp] = seeds.lamps().await?;
    let now = harness.queries().clock.now().await?;
    let order = |status, seconds| {
        order_with(&pending_order(seeds.id(), &owner, vec![order_line(lamp, 1, 1_000)], NOON), |record| {
            record.status = status;
            record.created_at = Timestamp::MIN;
            record.expires_at = now.saturating_add(Duration::seconds(seconds));
        })
    };
    let orders = [
        order(OrderStatus::PendingPayment, 0),
        order(OrderStatus::PendingPayment, -60),
        order(OrderStatus::PendingPayment, 86_400),
        order(OrderStatus::Expired, -60),
        order(OrderStatus::Cancelled, -60),
        order(OrderStatus::PendingPayment, -30),
        order(OrderStatus::PendingPayment, -60),
    ];
    commit(harness, insert(orders.clone())).await?;

    let queries = harness.queries().orders;
    let due = |order: &Order| DueOrder { expires_at: order.expires_at, id: order.id };
    let overdue = [&orders[1], &orders[6], &orders[5], &orders[0]].map(due);
    assert_eq!(queries.due(None, 100).await?, overdue);
    assert_eq!(queries.due(None, 2).await?, overdue[..2]);
    for (place, after) in overdue.into_iter().enumerate() {
        assert_eq!(queries.due(Some(after), 100).await?, overdue[place + 1..]);
    }
    Ok(())
}
