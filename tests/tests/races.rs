//! Many at once: what is there once is sold once, and every story ends once.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jangteo_tests::{Answer, Call, Order, Server, Shop, eventually, now, scenarios};
use serde_json::{Value, json};

use crate::assert_utc;

scenarios![
    sells_exactly_what_is_there_to_many_buyers,
    issues_exactly_as_many_coupons_as_there_are,
    has_one_effect_and_tells_one_story_under_one_key,
    pays_for_as_much_as_the_points_cover,
    uses_a_coupon_for_one_of_many_orders,
    ends_each_order_once_at_its_deadline_on_two_servers,
    ends_each_order_once_when_it_is_cancelled_and_paid_at_once,
    refunds_what_was_paid_and_no_more_when_it_is_cancelled_at_once,
    bounds_open_orders_exactly,
    sells_baskets_that_cross_without_a_deadlock,
    keeps_a_busy_ledger_in_order,
    raises_a_campaign_while_it_is_stormed,
];

/// How many calls are on their way at a time: enough to fill batches, few enough for one machine.
const AT_ONCE: usize = 64;

/// Sends the calls, many at once, and counts how they ended: the status, and the code of a problem.
async fn storm(calls: impl IntoIterator<Item = Call>) -> Vec<Answer> {
    iter(calls).map(Call::into_future).buffer_unordered(AT_ONCE).collect().await
}

fn tally<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for answer in answers {
        let ending = if answer.status < 400 {
            answer.status.to_string()
        } else {
            let problem: Value = serde_json::from_slice(&answer.body).expect("a problem document");
            problem["code"].as_str().expect("a code").to_owned()
        };
        *tally.entry(ending).or_default() += 1;
    }
    tally
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(ending, count)| (ending.to_owned(), count)).collect()
}

async fn sells_exactly_what_is_there_to_many_buyers(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let tea = one.product("tea").stock(100).create().await;
    let calls = (0..500).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user(&format!("user-{number}")).post("/v1/orders", json!({ "lines": [tea.line(1)] }))
    });
    let answers = storm(calls).await;
    assert_eq!(tally(&answers), counts([("201", 100), ("OUT_OF_STOCK", 400)]));
    assert_eq!(one.available(&tea).await, 0);
}

async fn issues_exactly_as_many_coupons_as_there_are(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let campaign = one.campaign("first come").quantity(100).create().await;
    let path = format!("{}/coupons", campaign.path());
    // A thousand users, and every tenth of them asks twice.
    let users = (0..1_000).flat_map(|number| std::iter::repeat_n(number, if number % 10 == 0 { 2 } else { 1 }));
    let calls = users.map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user(&format!("user-{number}")).post(&path, json!({}))
    });
    let answers = storm(calls).await;
    let ended = tally(&answers);
    assert_eq!(ended.get("201"), Some(&100), "{ended:?}");
    assert_eq!(ended.values().sum::<usize>(), 1_100);
    let rejected =
        ["COUPON_SOLD_OUT", "COUPON_ALREADY_ISSUED"].iter().filter_map(|code| ended.get(*code)).sum::<usize>();
    assert_eq!(rejected, 1_000, "{ended:?}");
    let mut winners: Vec<String> = answers
        .into_iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| answer.json(201)["user_id"].as_str().expect("a user").to_owned())
        .collect();
    winners.sort();
    winners.dedup();
    assert_eq!(winners.len(), 100, "one each");
    assert_eq!(one.anonymous().get(campaign.path()).await.json(200)["remaining"], 0);
}

async fn has_one_effect_and_tells_one_story_under_one_key(shop: Shop) {
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
        let answers = storm(calls).await;
        let told: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert!(!told.is_empty(), "{path}: {:?}", tally(&answers));
        assert!(told.iter().all(|answer| answer.body == told[0].body), "{path} tells two stories");
        let first = told.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count();
        assert!(first <= 1, "{path} has {first} first answers");
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            answer.problem(409, "REQUEST_IN_PROGRESS");
            assert!(answer.header("retry-after").is_some(), "{answer}");
        }
    }
    assert_eq!(one.balance("kim").await, 1_000 + 50 - 100);
    assert_eq!(one.available(&tea).await, 100 - 1 - 3);
}

/// So many orders of one piece each, of that user.
async fn orders(server: &Server, user_id: &str, count: usize, price: i64) -> Vec<Order> {
    let product = server.product("something").price(price).stock(10_000).create().await;
    let calls = (0..count).map(|_| server.user(user_id).post("/v1/orders", json!({ "lines": [product.line(1)] })));
    let answers = storm(calls).await;
    let order = |answer: Answer| {
        let document = answer.json(201);
        Order { id: document["order_id"].as_str().expect("an id").to_owned(), document }
    };
    answers.into_iter().map(order).collect()
}

async fn pays_for_as_much_as_the_points_cover(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let orders = orders(&one, "kim", 20, 100).await;
    one.top_up("kim", 1_000).await;
    let calls = orders.iter().zip(0..).map(|(order, number)| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user("kim").post(order.payment(), json!({}))
    });
    let answers = storm(calls).await;
    assert_eq!(tally(&answers), counts([("201", 10), ("INSUFFICIENT_POINTS", 10)]));
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

/// How an order ended, once all that could end it has passed.
async fn ending(server: &Server, order: &Order) -> String {
    eventually("the order ends", async || {
        let status = server.read_order(order).await["status"].as_str().expect("a status").to_owned();
        (status != "pending_payment").then_some(status)
    })
    .await
}

async fn ends_each_order_once_at_its_deadline_on_two_servers(shop: Shop) {
    let settings = [("ORDER_TTL", "4s"), ("ORDER_SWEEP_INTERVAL", "20ms")];
    let one = shop.server().settings(settings).start().await;
    let other = shop.server().settings(settings).start().await;
    let tea = one.product("tea").price(10).stock(500).create().await;
    let users: Vec<String> = (0..100).map(|number| format!("user-{number}")).collect();
    for user in &users {
        one.top_up(user, 1_000).await;
    }
    // Five orders of a hundred users, so that no allowance is in the way; as they are placed one after the other, their
    // deadlines are spread over a while.
    let mut attempts = Vec::new();
    for number in 0..500_u64 {
        let user = users[number as usize % users.len()].clone();
        let server = if number.is_multiple_of(2) { one.clone() } else { other.clone() };
        let order = one.order(&user, &tea, 1).await;
        // From 50 ms before the deadline to 50 ms after it.
        let aim =
            assert_utc(&order.document["expires_at"]) + time::Duration::milliseconds((number * 7 % 101) as i64 - 50);
        attempts.push(tokio::spawn(async move {
            let wait = Duration::try_from(aim - now()).unwrap_or_default();
            tokio::time::sleep(wait).await;
            let answer = server.user(&user).post(order.payment(), json!({})).await;
            (order, answer)
        }));
    }
    let mut paid = 0;
    for attempt in attempts {
        let (order, answer) = attempt.await.expect("no panic");
        let ended = ending(&one, &order).await;
        if answer.status == 201 {
            let payment = answer.json(201);
            assert!(assert_utc(&payment["paid_at"]) < assert_utc(&order.document["expires_at"]), "{payment}");
            assert_eq!(ended, "paid");
            paid += 1;
        } else {
            answer.problem(409, "ORDER_EXPIRED");
            assert_eq!(ended, "expired");
        }
    }
    // Both endings happened, or this test proved nothing.
    assert!((1..500).contains(&paid), "{paid} of 500 were paid");
    assert_eq!(one.available(&tea).await, 500 - paid);
}

async fn ends_each_order_once_when_it_is_cancelled_and_paid_at_once(shop: Shop) {
    let settings = [("ORDER_TTL", "3s"), ("ORDER_SWEEP_INTERVAL", "20ms"), ("OPEN_ORDERS_MAX", "1000")];
    let one = shop.server().settings(settings).start().await;
    let other = shop.server().settings(settings).start().await;
    one.top_up("kim", 100_000).await;
    let orders = orders(&one, "kim", 60, 10).await;
    // A third is fought over at once, a third at the deadline, and a third is only left to expire.
    let deadline =
        orders.iter().map(|order| assert_utc(&order.document["expires_at"])).max().expect("there are orders");
    let fight = |orders: Vec<Order>| {
        let calls = orders.into_iter().flat_map(|order| {
            let cancel = |server: &Server| server.user("kim").post(order.cancellation(), json!({}));
            let pay = |server: &Server| server.user("kim").post(order.payment(), json!({}));
            [pay(&one), cancel(&other), pay(&other), cancel(&one)]
        });
        storm(calls.collect::<Vec<_>>())
    };
    let (now_or_never, rest) = orders.split_at(20);
    let (at_the_end, left_alone) = rest.split_at(20);
    for answer in fight(now_or_never.to_vec()).await {
        assert!(matches!(answer.status, 200 | 201 | 409), "{answer}");
    }
    let wait = Duration::try_from(deadline - now()).unwrap_or_default();
    tokio::time::sleep(wait.saturating_sub(Duration::from_millis(30))).await;
    for answer in fight(at_the_end.to_vec()).await {
        assert!(matches!(answer.status, 200 | 201 | 409), "{answer}");
    }
    for order in now_or_never {
        let ended = ending(&one, order).await;
        assert!(matches!(ended.as_str(), "cancelled" | "paid" | "refunded" | "expired"), "{ended}");
    }
    for order in at_the_end {
        ending(&one, order).await;
    }
    for order in left_alone {
        assert_eq!(ending(&one, order).await, "expired");
    }
    // That the stock, the points and the ledger fit what each of them ended as is what the books are checked for.
}

/// The back office refunds piece by piece while the customer cancels, on two servers: whoever comes first, what comes
/// back is what was paid, and each piece comes back once.
async fn refunds_what_was_paid_and_no_more_when_it_is_cancelled_at_once(shop: Shop) {
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
    for answer in storm(calls.collect::<Vec<_>>()).await {
        assert!(matches!(answer.status, 200 | 201 | 409), "{answer}");
    }
    for (user, order) in &orders {
        // Nothing is left to give back, or the customer has given up: either way nothing more can come back.
        let again = one.user(user).post(order.cancellation(), json!({})).await;
        again.problem(409, "ORDER_ALREADY_CANCELLED");
        assert_eq!(one.read_order(order).await["status"], "refunded");
        assert_eq!(one.balance(user).await, 10_000);
    }
    assert_eq!((one.available(&tea).await, one.available(&mug).await), (200, 200));
}

async fn bounds_open_orders_exactly(shop: Shop) {
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

async fn sells_baskets_that_cross_without_a_deadlock(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let mut products = Vec::new();
    for number in 0..8 {
        products.push(one.product(&format!("{number}")).price(10).stock(60).create().await);
    }
    // Everybody wants the same four in another order.
    let calls = (0..240).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        let mut lines: Vec<Value> =
            (0..4).map(|step| products[(number + step * (1 + number % 3 * 2)) % 8].line(1)).collect();
        if number % 2 == 0 {
            lines.reverse();
        }
        server.user(&format!("user-{number}")).post("/v1/orders", json!({ "lines": lines }))
    });
    let answers = storm(calls).await;
    let ended = tally(&answers);
    assert!(ended.keys().all(|ending| matches!(ending.as_str(), "201" | "OUT_OF_STOCK")), "{ended:?}");
    assert!(ended.get("201").is_some_and(|sold| *sold >= 100), "{ended:?}");
}

async fn keeps_a_busy_ledger_in_order(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let calls = (1..=200).map(|number: usize| {
        let server = if number.is_multiple_of(2) { &one } else { &other };
        server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": number.to_string() }))
    });
    let answers = storm(calls).await;
    assert_eq!(tally(&answers), counts([("201", 200)]));
    let sum = 200 * 201 / 2;
    assert_eq!(one.balance("kim").await, sum);
    let mut balances: Vec<i64> = answers
        .into_iter()
        .map(|answer| answer.json(201)["balance"].as_str().and_then(|text| text.parse().ok()).expect("an amount"))
        .collect();
    balances.sort_unstable();
    balances.dedup();
    assert_eq!((balances.len(), balances.last()), (200, Some(&sum)), "each top-up saw the one before it");
}

async fn raises_a_campaign_while_it_is_stormed(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let campaign = one.campaign("raised").quantity(10).create().await;
    let path = format!("{}/coupons", campaign.path());
    let takes = (0..200).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.user(&format!("user-{number}")).post(&path, json!({}))
    });
    let mut calls: Vec<Call> = takes.collect();
    for (place, quantity) in [(50, 30), (100, 60)] {
        calls.insert(place, one.admin().patch(campaign.admin_path(), json!({ "quantity": quantity })));
    }
    let answers = storm(calls).await;
    let ended = tally(&answers);
    let issued = one.anonymous().get(campaign.path()).await.json(200);
    assert_eq!(json!(ended.get("201").copied().unwrap_or_default()), issued["issued"], "{ended:?}");
    assert_eq!(issued["quantity"], 60);
}
