//! Repeated requests with an idempotency key: one effect, one response.

use jangteo_testkit::{Call, Response, Server, Shop, scenarios, scenarios_on_sqlite};
use serde_json::json;

scenarios![
    replays_the_first_response_byte_for_byte,
    replays_every_write,
    replays_the_first_response_after_later_changes,
    replays_after_a_restart,
    replays_on_another_server,
    rejects_a_key_that_was_used_for_another_request,
    scopes_a_key_to_caller_method_and_path,
    replays_rejections_by_state,
    does_not_store_responses_400_to_404,
    executes_each_request_without_a_key,
];

scenarios_on_sqlite![
    accepts_a_bare_or_quoted_key,
    rejects_invalid_keys,
    requires_a_key_only_if_configured,
    ignores_a_key_on_a_read,
];

const TOP_UPS: &str = "/v1/users/kim/points/top-ups";

fn top_up(server: &Server, amount: i64) -> Call {
    server.user("kim").post(TOP_UPS, json!({ "amount": amount.to_string() }))
}

#[track_caller]
fn assert_replay(again: &Response, first: &Response) {
    assert_eq!(first.header("idempotent-replayed"), None, "the first response is a replay: {first}");
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "not a replay: {again}");
    assert_eq!((again.status, &again.body), (first.status, &first.body), "{again} after {first}");
    for name in ["content-type", "location"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
}

async fn replays_the_first_response_byte_for_byte(shop: Shop) {
    let server = shop.start().await;
    let first = top_up(&server, 500).key("a").await.expect(201);
    for _ in 0..3 {
        assert_replay(&top_up(&server, 500).key("a").await, &first);
    }
    assert_eq!(server.balance("kim").await, 500);
    let other = top_up(&server, 500).key("b").await.expect(201);
    assert_eq!(other.header("idempotent-replayed"), None);
    assert_eq!(server.balance("kim").await, 1_000);
}

async fn replays_every_write(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(50).create().await;
    let campaign = server.campaign("all").create().await;
    server.top_up("kim", 10_000).await;
    let kim = server.user("kim");
    let admin = server.admin();
    let open = server.order("kim", &tea, 1).await;
    let to_cancel = server.order("kim", &tea, 1).await;
    let revoked = server.take_coupon("lee", &campaign).await;
    let calls = [
        kim.post("/v1/orders", json!({ "lines": [tea.line(2)] })),
        kim.post(open.payment(), json!({})),
        kim.post(to_cancel.cancellation(), json!({})),
        kim.post(open.cancellation(), json!({})),
        kim.post(format!("{}/coupons", campaign.path()), json!({})),
        admin.post("/v1/admin/products", json!({ "name": "x", "category": "y", "price": "1" })),
        admin.patch(tea.admin_path(), json!({ "name": "green tea" })),
        server.restock(&tea, 5),
        admin.post("/v1/admin/coupon-campaigns", server.campaign("another").document()),
        admin.patch(campaign.admin_path(), json!({ "quantity": 11 })),
        admin.post(format!("/v1/admin/coupons/{revoked}/revocation"), json!({})),
        admin.post("/v1/admin/users/lee/points/adjustments", json!({ "amount": "5", "reason": "a gift" })),
    ];
    for call in calls {
        let first = call.clone().key("the same everywhere").await;
        assert!((200..300).contains(&first.status), "{first}");
        assert_replay(&call.key("the same everywhere").await, &first);
    }
    assert_eq!(server.available(&tea).await, 50 - 2 + 5);
    let products = admin.get("/v1/admin/products").await.json(200);
    assert_eq!(products["data"].as_array().map(Vec::len), Some(2));
}

async fn replays_the_first_response_after_later_changes(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(5).create().await;
    let kim = server.user("kim");
    let topped_up = top_up(&server, 500).key("top_up").await.expect(201);
    let body = json!({ "lines": [tea.line(1)] });
    let ordered = kim.post("/v1/orders", body.clone()).key("order").await.expect(201);
    let id = ordered.clone().json(201)["order_id"].as_str().expect("an id").to_owned();
    let paid = kim.post(format!("/v1/orders/{id}/payment"), json!({})).key("payment").await.expect(201);
    let cancelled = kim.post(format!("/v1/orders/{id}/cancellation"), json!({})).key("cancel").await.expect(200);
    top_up(&server, 7).await.expect(201);
    server.admin().patch(tea.admin_path(), json!({ "price": "999", "status": "hidden" })).await.expect(200);

    assert_replay(&top_up(&server, 500).key("top_up").await, &topped_up);
    assert_replay(&kim.post("/v1/orders", body).key("order").await, &ordered);
    assert_replay(&kim.post(format!("/v1/orders/{id}/payment"), json!({})).key("payment").await, &paid);
    // A new cancellation would be rejected.
    assert_replay(&kim.post(format!("/v1/orders/{id}/cancellation"), json!({})).key("cancel").await, &cancelled);
    assert_eq!(server.balance("kim").await, 507);
    assert_eq!(server.available(&tea).await, 5);
}

async fn replays_after_a_restart(shop: Shop) {
    let server = shop.start().await;
    let first = top_up(&server, 500).key("a").await.expect(201);
    // A crash: acknowledged writes are in the database.
    server.kill().await;
    let server = shop.start().await;
    assert_replay(&top_up(&server, 500).key("a").await, &first);
    assert_eq!(server.balance("kim").await, 500);
}

async fn replays_on_another_server(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let first = top_up(&one, 500).key("a").await.expect(201);
    assert_replay(&top_up(&other, 500).key("a").await, &first);
    top_up(&other, 501).key("a").await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(one.balance("kim").await, 500);
}

async fn rejects_a_key_that_was_used_for_another_request(shop: Shop) {
    let server = shop.start().await;
    let first = top_up(&server, 500).key("a").await.expect(201);
    top_up(&server, 501).key("a").await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_replay(&top_up(&server, 500).key("a").await, &first);
    assert_eq!(server.balance("kim").await, 500);
}

async fn accepts_a_bare_or_quoted_key(shop: Shop) {
    let server = shop.start().await;
    let first = top_up(&server, 500).key("key-1").await.expect(201);
    assert_replay(&top_up(&server, 500).key("\"key-1\"").await, &first);
    let longest = "k".repeat(255);
    for key in [longest.as_str(), "!", "with space", "{\"a\":1}", "~"] {
        let first = top_up(&server, 1).key(key).await.expect(201);
        assert_replay(&top_up(&server, 1).key(key).await, &first);
    }
    assert_eq!(server.balance("kim").await, 505);
    top_up(&server, 1).key("KEY-1").await.expect(201);
    assert_eq!(server.balance("kim").await, 506, "upper and lower case are different keys");
}

async fn rejects_invalid_keys(shop: Shop) {
    let server = shop.start().await;
    let too_long = "k".repeat(256);
    for key in ["", "\"\"", "\"open", &too_long, "\"a\"b\""] {
        top_up(&server, 500).key(key).await.problem(400, "INVALID_IDEMPOTENCY_KEY");
    }
    for key in ["키".as_bytes(), b"\xff", b"a\tb"] {
        top_up(&server, 500).header("idempotency-key", key).await.problem(400, "INVALID_IDEMPOTENCY_KEY");
    }
    top_up(&server, 500).key("a").also_header("idempotency-key", "b").await.problem(400, "INVALID_IDEMPOTENCY_KEY");
    assert_eq!(server.balance("kim").await, 0);
}

async fn scopes_a_key_to_caller_method_and_path(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(5).create().await;
    top_up(&server, 500).key("a").await.expect(201);
    // Another caller on the same path, the same caller on another path.
    let by_admin = server.admin().post(TOP_UPS, json!({ "amount": "500" })).key("a").await.expect(201);
    assert_eq!(by_admin.header("idempotent-replayed"), None);
    server.user("lee").post("/v1/users/lee/points/top-ups", json!({ "amount": "500" })).key("a").await.expect(201);
    let ordered = server.user("kim").post("/v1/orders", json!({ "lines": [tea.line(1)] })).key("a").await.expect(201);
    assert_eq!(ordered.header("idempotent-replayed"), None);
    assert_eq!((server.balance("kim").await, server.balance("lee").await), (1_000, 500));
}

async fn replays_rejections_by_state(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(1).create().await;
    let order = server.order("kim", &tea, 1).await;
    let kim = server.user("kim");
    let rejected = kim.post(order.payment(), json!({})).key("a").language("ko").await;
    rejected.problem(409, "INSUFFICIENT_POINTS");
    server.top_up("kim", 100).await;
    // Byte for byte, regardless of the second request's language and id; only the header has the second id.
    let again = kim.post(order.payment(), json!({})).key("a").language("en").header("x-request-id", "second").await;
    assert_replay(&again, &rejected);
    assert_eq!(again.header("content-language"), Some("ko"));
    assert_eq!(again.header("x-request-id"), Some("second"));
    kim.post(order.payment(), json!({})).key("b").await.expect(201);

    let body = json!({ "lines": [tea.line(1)] });
    let rejected = kim.post("/v1/orders", body.clone()).key("c").await;
    server.restock(&tea, 5).await.expect(201);
    let again = kim.post("/v1/orders", body).key("c").await;
    rejected.problem(409, "OUT_OF_STOCK");
    assert_replay(&again, &rejected);
}

async fn does_not_store_responses_400_to_404(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(5).create().await;
    let kim = server.user("kim");
    let unknown = json!({ "lines": [{ "product_id": "0198f1de-0000-7000-8000-000000000000", "quantity": 1 }] });
    for _ in 0..2 {
        let missing = kim.post("/v1/orders", unknown.clone()).key("a").await;
        missing.problem(404, "PRODUCT_NOT_FOUND");
        assert_eq!(missing.header("idempotent-replayed"), None);
    }
    kim.post("/v1/orders", json!({ "lines": [] })).key("a").await.problem(400, "EMPTY_ORDER");
    server.anonymous().post("/v1/orders", unknown).key("a").await.problem(401, "UNAUTHENTICATED");
    // The key is still unused.
    let placed = kim.post("/v1/orders", json!({ "lines": [tea.line(1)] })).key("a").await.expect(201);
    assert_eq!(placed.header("idempotent-replayed"), None);
    kim.post("/v1/admin/products", json!({})).key("b").await.problem(403, "FORBIDDEN");
}

async fn requires_a_key_only_if_configured(shop: Shop) {
    let server = shop.start().await;
    top_up(&server, 500).await.expect(201);
    server.kill().await;
    let server = shop.server().setting("REQUIRE_IDEMPOTENCY_KEY", true).start().await;
    top_up(&server, 500).await.problem(400, "IDEMPOTENCY_KEY_REQUIRED");
    let product = json!({ "name": "x", "category": "y", "price": "1" });
    server.admin().post("/v1/admin/products", product.clone()).await.problem(400, "IDEMPOTENCY_KEY_REQUIRED");
    let made = server.admin().post("/v1/admin/products", product).key("a").await.json(201);
    let path = format!("/v1/admin/products/{}", made["product_id"].as_str().expect("an id"));
    server.admin().patch(&path, json!({ "name": "z" })).await.problem(400, "IDEMPOTENCY_KEY_REQUIRED");
    top_up(&server, 500).key("a").await.expect(201);
    // Reads require no key.
    assert_eq!(server.balance("kim").await, 1_000);
}

async fn ignores_a_key_on_a_read(shop: Shop) {
    let server = shop.start().await;
    top_up(&server, 500).await.expect(201);
    let read = async || server.user("kim").get("/v1/users/kim/points").key("a").await.json(200)["balance"].clone();
    assert_eq!(read().await, "500");
    top_up(&server, 1).await.expect(201);
    assert_eq!(read().await, "501", "a read is never replayed");
}

async fn executes_each_request_without_a_key(shop: Shop) {
    let server = shop.start().await;
    for expected in ["500", "1000"] {
        let topped_up = top_up(&server, 500).await;
        assert_eq!(topped_up.header("idempotent-replayed"), None);
        assert_eq!(topped_up.json(201)["balance"], expected);
    }
}
