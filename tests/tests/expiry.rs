//! Expiry of unpaid orders.

use jangteo_testkit::{Backend, Order, Server, Shop, clock_reaches, eventually, now, scenarios};
use serde_json::json;

use crate::assert_utc;

scenarios![
    releases_stock_once_and_not_before_the_deadline,
    an_overdue_order_cannot_be_paid_or_cancelled_before_or_after_the_sweep,
    counts_down_to_the_deadline,
    does_not_expire_paid_or_cancelled_orders,
    an_expired_order_no_longer_counts_as_open,
    expires_many_orders_at_once,
    expires_once_on_two_servers,
    resumes_after_connection_loss,
    expires_orders_that_were_due_during_downtime,
];

async fn expired(server: &Server, order: &Order) {
    eventually("the order expires", async || (server.read_order(order).await["status"] == "expired").then_some(()))
        .await;
}

async fn releases_stock_once_and_not_before_the_deadline(shop: Shop) {
    let server = shop.server().settings([("ORDER_TTL", "2s"), ("ORDER_SWEEP_INTERVAL", "500ms")]).start().await;
    let tea = server.product("tea").stock(5).create().await;
    let order = server.order("kim", &tea, 3).await;
    let deadline = assert_utc(&order.document["expires_at"]);
    assert_eq!(server.available(&tea).await, 2);
    let back = eventually("the stock is released", async || (server.available(&tea).await == 5).then(now)).await;
    assert!(back >= deadline, "the stock was released before the deadline");
    assert_eq!(server.read_order(&order).await["status"], "expired");
    let movements = format!("{}/stock-movements", tea.admin_path());
    let movements = server.admin().get(movements).await.json(200);
    let kinds = crate::ids(&movements["data"], "kind");
    assert_eq!(kinds, ["expiry", "reservation", "adjustment"], "once");
}

async fn an_overdue_order_cannot_be_paid_or_cancelled_before_or_after_the_sweep(shop: Shop) {
    let server = shop.server().settings([("ORDER_TTL", "1s"), ("ORDER_SWEEP_INTERVAL", "1h")]).start().await;
    let tea = server.product("tea").price(10).stock(5).create().await;
    server.top_up("kim", 1_000).await;
    let order = server.order("kim", &tea, 1).await;
    let deadline = assert_utc(&order.document["expires_at"]);
    clock_reaches(deadline).await;
    let kim = server.user("kim");
    kim.post(order.payment(), json!({})).await.problem(409, "ORDER_EXPIRED");
    kim.post(order.cancellation(), json!({})).await.problem(409, "ORDER_EXPIRED");
    assert_eq!(server.balance("kim").await, 1_000);
    assert_eq!(server.available(&tea).await, 4, "the order is not swept yet");
    server.kill().await;
    let server = shop.server().setting("ORDER_SWEEP_INTERVAL", "100ms").start().await;
    expired(&server, &order).await;
    assert_eq!(server.available(&tea).await, 5);
    server.user("kim").post(order.payment(), json!({})).await.problem(409, "ORDER_EXPIRED");
    server.user("kim").post(order.cancellation(), json!({})).await.problem(409, "ORDER_EXPIRED");
}

async fn counts_down_to_the_deadline(shop: Shop) {
    let server = shop.server().settings([("ORDER_TTL", "3s"), ("ORDER_SWEEP_INTERVAL", "200ms")]).start().await;
    let tea = server.product("tea").stock(5).create().await;
    let order = server.order("kim", &tea, 1).await;
    assert_eq!(order.document["expires_in_seconds"], 3);
    let mut last = 3;
    eventually("the order expires", async || {
        let read = server.read_order(&order).await;
        let left = read["expires_in_seconds"].as_i64().expect("seconds");
        assert!((0..=last).contains(&left), "{left} after {last}");
        last = left;
        (read["status"] == "expired").then_some(())
    })
    .await;
    assert_eq!(server.read_order(&order).await["expires_in_seconds"], 0);
}

async fn does_not_expire_paid_or_cancelled_orders(shop: Shop) {
    let server = shop.server().settings([("ORDER_TTL", "2s"), ("ORDER_SWEEP_INTERVAL", "200ms")]).start().await;
    let tea = server.product("tea").price(10).stock(5).create().await;
    server.top_up("kim", 1_000).await;
    let paid = server.order("kim", &tea, 1).await;
    server.pay("kim", &paid).await;
    let cancelled = server.order("kim", &tea, 1).await;
    server.user("kim").post(cancelled.cancellation(), json!({})).await.expect(200);
    // Once a later order has expired, the sweeper has passed both.
    let last = server.order("kim", &tea, 1).await;
    expired(&server, &last).await;
    assert_eq!(server.read_order(&paid).await["status"], "paid");
    assert_eq!(server.read_order(&cancelled).await["status"], "cancelled");
    assert_eq!(server.available(&tea).await, 4);
    // A paid order may be cancelled long after its payment deadline.
    assert_eq!(server.user("kim").post(paid.cancellation(), json!({})).await.json(200)["status"], "refunded");
}

async fn an_expired_order_no_longer_counts_as_open(shop: Shop) {
    let settings = [("ORDER_TTL", "1s"), ("ORDER_SWEEP_INTERVAL", "200ms"), ("OPEN_ORDERS_MAX", "1")];
    let server = shop.server().settings(settings).start().await;
    let tea = server.product("tea").stock(5).create().await;
    let order = server.order("kim", &tea, 1).await;
    let body = json!({ "lines": [tea.line(1)] });
    server.user("kim").post("/v1/orders", body).await.problem(409, "TOO_MANY_OPEN_ORDERS");
    expired(&server, &order).await;
    server.order("kim", &tea, 1).await;
}

async fn expires_many_orders_at_once(shop: Shop) {
    let server = shop.server().settings([("ORDER_TTL", "3s"), ("ORDER_SWEEP_INTERVAL", "500ms")]).start().await;
    let tea = server.product("tea").stock(1_000).create().await;
    let orders = (0..400).map(|number| {
        let caller = server.user(&format!("user-{number}"));
        caller.post("/v1/orders", json!({ "lines": [tea.line(1)] })).into_future()
    });
    for response in futures_util::future::join_all(orders).await {
        response.expect(201);
    }
    // One order a sweep would take minutes.
    eventually("all stock is released", async || (server.available(&tea).await == 1_000).then_some(())).await;
}

async fn expires_once_on_two_servers(shop: Shop) {
    let settings = [("ORDER_TTL", "2s"), ("ORDER_SWEEP_INTERVAL", "50ms")];
    let one = shop.server().settings(settings).start().await;
    let other = shop.server().settings(settings).start().await;
    let tea = one.product("tea").stock(100).create().await;
    let mut orders = Vec::new();
    for number in 0..20 {
        let server = if number % 2 == 0 { &one } else { &other };
        orders.push(server.order(&format!("user-{number}"), &tea, 2).await);
    }
    for order in &orders {
        expired(&one, order).await;
    }
    assert_eq!(one.available(&tea).await, 100);
    let mut connection = shop.database().connect().await;
    assert_eq!(connection.number("COUNT(*)", "stock_movements WHERE quantity = 2").await, 20, "once each");
    connection.close().await;
}

async fn resumes_after_connection_loss(shop: Shop) {
    shop.expect_server_errors();
    let server = shop.server().settings([("ORDER_TTL", "2s"), ("ORDER_SWEEP_INTERVAL", "200ms")]).start().await;
    let tea = server.product("tea").stock(5).create().await;
    let order = server.order("kim", &tea, 1).await;
    shop.database().kill_connections().await;
    eventually("the order expires", async || {
        let read = server.admin().get(order.path()).await;
        (read.status == 200 && read.json(200)["status"] == "expired").then_some(())
    })
    .await;
    shop.database().kill_connections().await;
    let another = eventually("orders are accepted again", async || {
        let response = server.user("kim").post("/v1/orders", json!({ "lines": [tea.line(1)] })).await;
        (response.status == 201).then_some(response)
    })
    .await;
    let path = format!("/v1/orders/{}", another.json(201)["order_id"].as_str().expect("an id"));
    eventually("the next order expires as well", async || {
        let read = server.admin().get(&path).await;
        (read.status == 200 && read.json(200)["status"] == "expired").then_some(())
    })
    .await;
    assert!(server.is_running().await);
    if shop.backend() == Backend::Sqlite {
        assert_eq!(server.available(&tea).await, 5, "SQLite has no connections to lose");
    }
}

async fn expires_orders_that_were_due_during_downtime(shop: Shop) {
    let server = shop.server().setting("ORDER_TTL", "1s").start().await;
    let tea = server.product("tea").stock(5).create().await;
    let order = server.order("kim", &tea, 2).await;
    let deadline = assert_utc(&order.document["expires_at"]);
    server.kill().await;
    clock_reaches(deadline).await;
    let server = shop.server().setting("ORDER_SWEEP_INTERVAL", "1s").start().await;
    expired(&server, &order).await;
    assert_eq!(server.available(&tea).await, 5);
}
