//! Concurrency: nothing is oversold, and every order ends exactly once.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jangteo_testkit::{Call, Order, Response, Server, Shop, clock_reaches, eventually, scenarios};
use serde_json::{Value, json};

use crate::assert_utc;

scenarios![
    sells_exactly_the_stock_to_many_buyers,
    issues_exactly_the_quantity_of_coupons,
    one_key_has_one_effect_and_one_response,
    pays_only_up_to_the_balance,
    uses_a_coupon_for_one_of_many_orders,
    each_order_is_paid_or_expires_at_its_deadline_on_two_servers,
    each_order_ends_once_under_concurrent_payment_and_cancellation,
    refunds_exactly_the_paid_amount_under_concurrent_cancellation,
    limits_open_orders_exactly,
    sells_overlapping_baskets_without_a_deadlock,
    chains_the_entries_of_a_busy_ledger,
    raises_the_quantity_of_a_campaign_under_load,
];

/// Concurrent calls: enough to fill batches, and few enough for one machine.
const CONCURRENCY: usize = 64;

/// Sends the calls concurrently.
async fn storm(calls: impl IntoIterator<Item = Call>) -> Vec<Response> {
    iter(calls).map(Call::into_future).buffer_unordered(CONCURRENCY).collect().await
}

/// Counts the responses by status, or by the code of a problem.
fn tally<'a>(responses: impl IntoIterator<Item = &'a Response>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for response in responses {
        let ending = if response.status < 400 {
            response.status.to_string()
        } else {
            let problem: Value = serde_json::from_slice(&response.body).expect("a problem document");
            problem["code"].as_str().expect("a code").to_owned()
        };
        *tally.entry(ending).or_default() += 1;
    }
    tally
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(ending, count)| (ending.to_owned(), count)).collect()
}

async fn sells_exactly_the_stock_to_many_buyers(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let tea = one.product("tea").stock(100).create().await;
    let calls = (0..500).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user(&format!("user-{number}")).post("/v1/orders", json!({ "lines": [tea.line(1)] }))
    });
    let responses = storm(calls).await;
    assert_eq!(tally(&responses), counts([("201", 100), ("OUT_OF_STOCK", 400)]));
    assert_eq!(one.available(&tea).await, 0);
}

async fn issues_exactly_the_quantity_of_coupons(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let campaign = one.campaign("first come").quantity(100).create().await;
    let path = format!("{}/coupons", campaign.path());
    // A thousand users; every tenth of them sends two requests.
    let users = (0..1_000).flat_map(|number| std::iter::repeat_n(number, if number % 10 == 0 { 2 } else { 1 }));
    let calls = users.map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user(&format!("user-{number}")).post(&path, json!({}))
    });
    let responses = storm(calls).await;
    let ended = tally(&responses);
    assert_eq!(ended.get("201"), Some(&100), "{ended:?}");
    assert_eq!(ended.values().sum::<usize>(), 1_100);
    let rejected =
        ["COUPON_SOLD_OUT", "COUPON_ALREADY_ISSUED"].iter().filter_map(|code| ended.get(*code)).sum::<usize>();
    assert_eq!(rejected, 1_000, "{ended:?}");
    let mut winners: Vec<String> = responses
        .into_iter()
        .filter(|response| response.status == 201)
        .map(|response| response.json(201)["user_id"].as_str().expect("a user").to_owned())
        .collect();
    winners.sort();
    winners.dedup();
    assert_eq!(winners.len(), 100, "one per user");
    assert_eq!(one.anonymous().get(campaign.path()).await.json(200)["remaining"], 0);
}

async fn one_key_has_one_effect_and_one_response(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let tea = one.product("tea").price(100).stock(100).create().await;
    one.top_up("kim", 1_000).await;
    let order = one.order("kim", &tea, 1).await;
    let requests = [
        ("/v1/users/kim/points/top-ups".to_owned(), json!({ "amount": "50" })),
        ("/v1/orders".to_owned(), json!({ "lines": [tea.line(3)] })),
        (order.payment(), json!({})),
    ];
    for (path, body) in requests {
        let calls = (0..64).map(|number| {
            let server = if number % 2 == 0 { &one } else { &other };
            server.user("kim").post(&path, body.clone()).key("one key")
        });
        let responses = storm(calls).await;
        let created: Vec<&Response> = responses.iter().filter(|response| response.status == 201).collect();
        assert!(!created.is_empty(), "{path}: {:?}", tally(&responses));
        assert!(created.iter().all(|response| response.body == created[0].body), "{path} has different responses");
        let first = created.iter().filter(|response| response.header("idempotent-replayed").is_none()).count();
        assert!(first <= 1, "{path} has {first} original responses");
        for response in responses.iter().filter(|response| response.status != 201) {
            response.problem(409, "REQUEST_IN_PROGRESS");
            assert!(response.header("retry-after").is_some(), "{response}");
        }
    }
    assert_eq!(one.balance("kim").await, 1_000 + 50 - 100);
    assert_eq!(one.available(&tea).await, 100 - 1 - 3);
}

/// Places `count` orders of one item each.
async fn orders(server: &Server, user_id: &str, count: usize, price: i64) -> Vec<Order> {
    let product = server.product("something").price(price).stock(10_000).create().await;
    let calls = (0..count).map(|_| server.user(user_id).post("/v1/orders", json!({ "lines": [product.line(1)] })));
    let responses = storm(calls).await;
    let order = |response: Response| {
        let document = response.json(201);
        Order { id: document["order_id"].as_str().expect("an id").to_owned(), document }
    };
    responses.into_iter().map(order).collect()
}

async fn pays_only_up_to_the_balance(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let orders = orders(&one, "kim", 20, 100).await;
    one.top_up("kim", 1_000).await;
    let calls = orders.iter().zip(0..).map(|(order, number)| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user("kim").post(order.payment(), json!({}))
    });
    let responses = storm(calls).await;
    assert_eq!(tally(&responses), counts([("201", 10), ("INSUFFICIENT_POINTS", 10)]));
    assert_eq!(one.balance("kim").await, 0);
}

async fn uses_a_coupon_for_one_of_many_orders(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let campaign = one.campaign("once").fixed(50).create().await;
    let coupon = one.take_coupon("kim", &campaign).await;
    let orders = orders(&one, "kim", 20, 100).await;
    one.top_up("kim", 100_000).await;
    let calls = orders.iter().zip(0..).map(|(order, number)| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user("kim").post(order.payment(), json!({ "coupon_id": coupon }))
    });
    assert_eq!(tally(&storm(calls).await), counts([("201", 1), ("COUPON_NOT_USABLE", 19)]));
    assert_eq!(one.balance("kim").await, 100_000 - 50);
}

/// Waits until an order is no longer pending, and returns its status.
async fn ending(server: &Server, order: &Order) -> String {
    eventually("the order ends", async || {
        let status = server.read_order(order).await["status"].as_str().expect("a status").to_owned();
        (status != "pending_payment").then_some(status)
    })
    .await
}

async fn each_order_is_paid_or_expires_at_its_deadline_on_two_servers(shop: Shop) {
    let settings = [("ORDER_TTL", "4s"), ("ORDER_SWEEP_INTERVAL", "20ms")];
    let one = shop.server().settings(settings).start().await;
    let other = shop.server().settings(settings).start().await;
    let tea = one.product("tea").price(10).stock(500).create().await;
    let users: Vec<String> = (0..100).map(|number| format!("user-{number}")).collect();
    for user in &users {
        one.top_up(user, 1_000).await;
    }
    // Five orders of each of a hundred users, so that none reaches the limit of open orders. They are placed one after
    // another, so that their deadlines differ.
    let mut attempts = Vec::new();
    for number in 0..500_u64 {
        let user = users[number as usize % users.len()].clone();
        let server = if number.is_multiple_of(2) { one.clone() } else { other.clone() };
        let order = one.order(&user, &tea, 1).await;
        // Up to 50 ms before or after the deadline.
        let aim =
            assert_utc(&order.document["expires_at"]) + time::Duration::milliseconds((number * 7 % 101) as i64 - 50);
        attempts.push(tokio::spawn(async move {
            clock_reaches(aim).await;
            let response = server.user(&user).post(order.payment(), json!({})).await;
            (order, response)
        }));
    }
    let mut paid = 0;
    for attempt in attempts {
        let (order, response) = attempt.await.expect("no panic");
        let ended = ending(&one, &order).await;
        if response.status == 201 {
            let payment = response.json(201);
            assert!(assert_utc(&payment["paid_at"]) < assert_utc(&order.document["expires_at"]), "{payment}");
            assert_eq!(ended, "paid");
            paid += 1;
        } else {
            response.problem(409, "ORDER_EXPIRED");
            assert_eq!(ended, "expired");
        }
    }
    // Both outcomes occurred; otherwise the test has no significance.
    assert!((1..500).contains(&paid), "{paid} of 500 were paid");
    assert_eq!(one.available(&tea).await, 500 - paid);
}

async fn each_order_ends_once_under_concurrent_payment_and_cancellation(shop: Shop) {
    let settings = [("ORDER_TTL", "3s"), ("ORDER_SWEEP_INTERVAL", "20ms"), ("OPEN_ORDERS_MAX", "1000")];
    let one = shop.server().settings(settings).start().await;
    let other = shop.server().settings(settings).start().await;
    one.top_up("kim", 100_000).await;
    let orders = orders(&one, "kim", 60, 10).await;
    // A third of the orders is contended immediately, a third at the deadline, and a third only expires.
    let deadline =
        orders.iter().map(|order| assert_utc(&order.document["expires_at"])).max().expect("at least one order");
    let contend = |orders: Vec<Order>| {
        let calls = orders.into_iter().flat_map(|order| {
            let cancel = |server: &Server| server.user("kim").post(order.cancellation(), json!({}));
            let pay = |server: &Server| server.user("kim").post(order.payment(), json!({}));
            [pay(&one), cancel(&other), pay(&other), cancel(&one)]
        });
        storm(calls.collect::<Vec<_>>())
    };
    let (immediately, rest) = orders.split_at(20);
    let (at_the_deadline, abandoned) = rest.split_at(20);
    for response in contend(immediately.to_vec()).await {
        assert!(matches!(response.status, 200 | 201 | 409), "{response}");
    }
    clock_reaches(deadline - time::Duration::milliseconds(30)).await;
    for response in contend(at_the_deadline.to_vec()).await {
        assert!(matches!(response.status, 200 | 201 | 409), "{response}");
    }
    for order in immediately {
        let ended = ending(&one, order).await;
        assert!(matches!(ended.as_str(), "cancelled" | "paid" | "refunded" | "expired"), "{ended}");
    }
    for order in at_the_deadline {
        ending(&one, order).await;
    }
    for order in abandoned {
        assert_eq!(ending(&one, order).await, "expired");
    }
    // The verification of the books checks stock, points and ledger of each order.
}

/// The back office refunds items one by one while the customer cancels, on two servers. In any order of events, the
/// paid amount and each item are returned once.
async fn refunds_exactly_the_paid_amount_under_concurrent_cancellation(shop: Shop) {
    let one = shop.start().await;
    let other = shop.start().await;
    let tea = one.product("tea").price(333).stock(200).create().await;
    let mug = one.product("mug").price(1_000).stock(200).create().await;
    let campaign = one.campaign("seventh").percent(7).quantity(100).create().await;
    let mut orders = Vec::new();
    for number in 0..30 {
        let user = format!("user-{number}");
        one.top_up(&user, 10_000).await;
        one.take_coupon(&user, &campaign).await;
        let order = one.order_lines(&user, json!([tea.line(3), mug.line(2)])).await;
        one.user(&user).post(order.payment(), json!({ "coupon_id": "best" })).await.expect(201);
        orders.push((user, order));
    }
    let calls = orders.iter().flat_map(|(user, order)| {
        let refunds = format!("/v1/admin/orders/{}/refunds", order.id);
        let refund = |server: &Server, line: Value| {
            server.admin().post(&refunds, json!({ "lines": [line], "restock": true, "reason": "broken" }))
        };
        let cancel = |server: &Server| server.user(user).post(order.cancellation(), json!({}));
        [
            refund(&one, tea.line(1)),
            refund(&other, tea.line(1)),
            cancel(&one),
            refund(&other, mug.line(2)),
            cancel(&other),
            refund(&one, tea.line(2)),
        ]
    });
    for response in storm(calls.collect::<Vec<_>>()).await {
        assert!(matches!(response.status, 200 | 201 | 409), "{response}");
    }
    for (user, order) in &orders {
        // Everything is refunded or the order is cancelled, so nothing more can be refunded.
        let again = one.user(user).post(order.cancellation(), json!({})).await;
        again.problem(409, "ORDER_ALREADY_CANCELLED");
        assert_eq!(one.read_order(order).await["status"], "refunded");
        assert_eq!(one.balance(user).await, 10_000);
    }
    assert_eq!((one.available(&tea).await, one.available(&mug).await), (200, 200));
}

async fn limits_open_orders_exactly(shop: Shop) {
    let settings = [("OPEN_ORDERS_MAX", "7")];
    let one = shop.server().settings(settings).start().await;
    let other = shop.server().settings(settings).start().await;
    let tea = one.product("tea").stock(1_000).create().await;
    let calls = (0..64).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user("kim").post("/v1/orders", json!({ "lines": [tea.line(1)] }))
    });
    assert_eq!(tally(&storm(calls).await), counts([("201", 7), ("TOO_MANY_OPEN_ORDERS", 57)]));
    assert_eq!(one.available(&tea).await, 993);
}

async fn sells_overlapping_baskets_without_a_deadlock(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let mut products = Vec::new();
    for number in 0..8 {
        products.push(one.product(&format!("{number}")).price(10).stock(60).create().await);
    }
    // All users order the same four products in different orders.
    let calls = (0..240).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        let mut lines: Vec<Value> =
            (0..4).map(|step| products[(number + step * (1 + number % 3 * 2)) % 8].line(1)).collect();
        if number % 2 == 0 {
            lines.reverse();
        }
        server.user(&format!("user-{number}")).post("/v1/orders", json!({ "lines": lines }))
    });
    let responses = storm(calls).await;
    let ended = tally(&responses);
    assert!(ended.keys().all(|ending| matches!(ending.as_str(), "201" | "OUT_OF_STOCK")), "{ended:?}");
    assert!(ended.get("201").is_some_and(|sold| *sold >= 100), "{ended:?}");
}

async fn chains_the_entries_of_a_busy_ledger(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let calls = (1..=200).map(|number: usize| {
        let server = if number.is_multiple_of(2) { &one } else { &other };
        server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": number.to_string() }))
    });
    let responses = storm(calls).await;
    assert_eq!(tally(&responses), counts([("201", 200)]));
    let sum = 200 * 201 / 2;
    assert_eq!(one.balance("kim").await, sum);
    let mut balances: Vec<i64> = responses
        .into_iter()
        .map(|response| response.json(201)["balance"].as_str().and_then(|text| text.parse().ok()).expect("an amount"))
        .collect();
    balances.sort_unstable();
    balances.dedup();
    assert_eq!((balances.len(), balances.last()), (200, Some(&sum)), "each top-up follows the one before it");
}

async fn raises_the_quantity_of_a_campaign_under_load(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let campaign = one.campaign("raised").quantity(10).create().await;
    let path = format!("{}/coupons", campaign.path());
    let takes = (0..200).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user(&format!("user-{number}")).post(&path, json!({}))
    });
    let mut calls: Vec<Call> = takes.collect();
    for (index, quantity) in [(50, 30), (100, 60)] {
        calls.insert(index, one.admin().patch(campaign.admin_path(), json!({ "quantity": quantity })));
    }
    let responses = storm(calls).await;
    let ended = tally(&responses);
    let issued = one.anonymous().get(campaign.path()).await.json(200);
    assert_eq!(json!(ended.get("201").copied().unwrap_or_default()), issued["issued"], "{ended:?}");
    assert_eq!(issued["quantity"], 60);
}
