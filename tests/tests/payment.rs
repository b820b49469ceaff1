//! Payment: points, coupons and the arithmetic of discounts.

use jangteo_testkit::{Order, Server, Shop, assert_fields, eventually, now, scenarios, scenarios_on_sqlite};
use serde_json::{Value, json};

use crate::{assert_utc, assert_uuid_v7, ids};

scenarios![
    pays_an_order_with_points,
    pays_an_order_once,
    rejects_insufficient_points,
    pays_with_the_exact_balance,
    rounds_to_the_unit_of_a_currency_with_decimals,
    fixes_the_share_of_each_line_by_the_largest_remainder,
    uses_a_named_coupon_once,
    rejects_coupons_that_are_not_usable_and_debits_nothing,
    does_not_find_another_users_coupon,
    picks_the_best_coupon,
    pays_the_full_price_without_an_applicable_coupon,
    pays_a_total_of_zero_with_a_coupon,
    checks_rejections_in_the_documented_order,
    the_back_office_pays_on_behalf_of_the_user,
    writes_one_event_for_the_data_platform,
];

scenarios_on_sqlite![
    discounts_a_fixed_amount_up_to_the_total,
    rounds_a_percentage_half_up_to_the_unit,
    caps_a_percentage,
    rejects_invalid_payments,
];

const UNKNOWN: &str = "0198f1de-0000-7000-8000-000000000000";

/// Places an order of one product at `price`, after a top-up of `points`.
async fn order_of(server: &Server, user_id: &str, price: i64, points: i64) -> Order {
    let product = server.product("something").price(price).stock(1).create().await;
    if points > 0 {
        server.top_up(user_id, points).await;
    }
    server.order(user_id, &product, 1).await
}

async fn pays_an_order_with_points(shop: Shop) {
    let server = shop.start().await;
    let order = order_of(&server, "kim", 12_000, 20_000).await;
    let response = server.user("kim").post(order.payment(), json!({})).await;
    let payment = response.json(201);
    let fields = ["payment_id", "order_id", "user_id", "total", "discount", "amount", "currency", "balance", "paid_at"];
    assert_fields(&payment, &fields, &["coupon_id"]);
    assert_uuid_v7(&payment["payment_id"]);
    let expected = json!({
        "payment_id": payment["payment_id"],
        "order_id": order.id,
        "user_id": "kim",
        "total": "12000",
        "discount": "0",
        "amount": "12000",
        "currency": "KRW",
        "balance": "8000",
        "paid_at": payment["paid_at"],
    });
    let mut shown = payment.clone();
    if shown["coupon_id"].is_null() {
        shown.as_object_mut().expect("an object").remove("coupon_id");
    }
    assert_eq!(shown, expected);
    let read = server.read_order(&order).await;
    let shown = ["status", "total", "discount", "paid_amount", "paid_at"].map(|member| read[member].clone());
    assert_eq!(json!(shown), json!(["paid", "12000", "0", "12000", payment["paid_at"]]));
    assert!(assert_utc(&read["created_at"]) <= assert_utc(&read["paid_at"]));
    assert_eq!(server.balance("kim").await, 8_000);
}

async fn pays_an_order_once(shop: Shop) {
    let server = shop.start().await;
    let order = order_of(&server, "kim", 100, 1_000).await;
    server.pay("kim", &order).await;
    server.user("kim").post(order.payment(), json!({})).await.problem(409, "ORDER_ALREADY_PAID");
    assert_eq!(server.balance("kim").await, 900);
}

async fn rejects_insufficient_points(shop: Shop) {
    let server = shop.start().await;
    let order = order_of(&server, "kim", 1_000, 999).await;
    let rejected = server.user("kim").post(order.payment(), json!({})).await.problem(409, "INSUFFICIENT_POINTS");
    let shown = ["balance", "required", "currency"].map(|member| rejected[member].clone());
    assert_eq!(json!(shown), json!(["999", "1000", "KRW"]));
    assert_eq!(server.read_order(&order).await["status"], "pending_payment");
    assert_eq!(server.balance("kim").await, 999);
    // A user without any top-up.
    let order = order_of(&server, "lee", 1, 0).await;
    let rejected = server.user("lee").post(order.payment(), json!({})).await.problem(409, "INSUFFICIENT_POINTS");
    assert_eq!(rejected["balance"], "0");
    server.top_up("lee", 1).await;
    server.pay("lee", &order).await;
}

async fn pays_with_the_exact_balance(shop: Shop) {
    let server = shop.start().await;
    let order = order_of(&server, "kim", 1_000, 1_000).await;
    assert_eq!(server.pay("kim", &order).await["balance"], "0");
}

/// Discount and amount of a payment with this discount and total.
async fn discount_of(server: &Server, discount: Value, total: i64) -> Value {
    let user = format!("user-{}", uuid::Uuid::now_v7().simple());
    let campaign = server.campaign("discount").with("discount", discount).create().await;
    let coupon = server.take_coupon(&user, &campaign).await;
    let order = order_of(server, &user, total, total.max(1)).await;
    let payment = server.user(&user).post(order.payment(), json!({ "coupon_id": coupon })).await.json(201);
    assert_eq!(payment["coupon_id"], coupon);
    json!([payment["discount"], payment["amount"]])
}

async fn discounts_a_fixed_amount_up_to_the_total(shop: Shop) {
    let server = shop.start().await;
    let fixed = json!({ "kind": "fixed", "amount": "1000" });
    for (total, discount, amount) in
        [(1_001, "1000", "1"), (1_000, "1000", "0"), (999, "999", "0"), (5_000, "1000", "4000")]
    {
        assert_eq!(discount_of(&server, fixed.clone(), total).await, json!([discount, amount]), "of {total}");
    }
}

async fn rounds_a_percentage_half_up_to_the_unit(shop: Shop) {
    let server = shop.start().await;
    let cases = [
        (10, 1_004, "100", "904"),
        (10, 1_005, "101", "904"),
        (33, 100, "33", "67"),
        (1, 49, "0", "49"),
        (1, 50, "1", "49"),
        (99, 1, "1", "0"),
        (100, 777, "777", "0"),
    ];
    for (percent, total, discount, amount) in cases {
        let terms = json!({ "kind": "percent", "percent": percent });
        assert_eq!(discount_of(&server, terms, total).await, json!([discount, amount]), "{percent} % of {total}");
    }
}

async fn caps_a_percentage(shop: Shop) {
    let server = shop.start().await;
    let terms = json!({ "kind": "percent", "percent": 50, "cap": "300" });
    assert_eq!(discount_of(&server, terms.clone(), 600).await, json!(["300", "300"]));
    assert_eq!(discount_of(&server, terms.clone(), 602).await, json!(["300", "302"]));
    assert_eq!(discount_of(&server, terms, 599).await, json!(["300", "299"]));
}

async fn rounds_to_the_unit_of_a_currency_with_decimals(shop: Shop) {
    let server = shop.server().setting("CURRENCY", "USD").start().await;
    let product = server.product("pen").with("price", "19.95").stock(1).create().await;
    let campaign = server.campaign("half").percent(50).create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": "10.00" })).await.expect(201);
    let order = server.order("kim", &product, 1).await;
    let payment = server.user("kim").post(order.payment(), json!({ "coupon_id": coupon })).await.json(201);
    let shown = ["total", "discount", "amount", "balance", "currency"].map(|member| payment[member].clone());
    assert_eq!(json!(shown), json!(["19.95", "9.98", "9.97", "0.03", "USD"]));
}

async fn fixes_the_share_of_each_line_by_the_largest_remainder(shop: Shop) {
    let server = shop.start().await;
    let mut lines = Vec::new();
    for (name, price) in [("a", 333), ("b", 333), ("c", 334)] {
        lines.push(server.product(name).price(price).stock(1).create().await.line(1));
    }
    let campaign = server.campaign("hundred").fixed(100).create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    server.top_up("kim", 1_000).await;
    let order = server.order_lines("kim", json!(lines)).await;
    server.user("kim").post(order.payment(), json!({ "coupon_id": coupon })).await.expect(201);
    let mut connection = shop.database().connect().await;
    let columns = [jangteo_testkit::Column::Money("unit_price"), jangteo_testkit::Column::Money("discount_share")];
    let table = "order_lines ORDER BY unit_price, discount_share";
    let shares = connection.rows(table, &columns, |row| (row.number() / 10_000, row.number() / 10_000)).await;
    // 33.3, 33.3 and 33.4: the remaining unit goes to the largest remainder.
    assert_eq!(shares, [(333, 33), (333, 33), (334, 34)]);
    connection.close().await;
}

async fn uses_a_named_coupon_once(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("once").fixed(100).create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    let body = json!({ "coupon_id": coupon });
    let first = order_of(&server, "kim", 500, 1_000).await;
    let second = order_of(&server, "kim", 500, 0).await;
    server.user("kim").post(first.payment(), body.clone()).await.expect(201);
    let rejected = server.user("kim").post(second.payment(), body).await.problem(409, "COUPON_NOT_USABLE");
    assert_eq!((&rejected["reason"], &rejected["coupon_id"]), (&json!("USED"), &json!(coupon)));
    let used = server.user("kim").get("/v1/users/kim/coupons?status=used").await.json(200);
    assert_eq!(used["data"][0]["order_id"], first.id);
    assert_eq!(used["data"][0]["used_at"], server.read_order(&first).await["paid_at"]);
    assert_eq!(server.read_order(&first).await["coupon_id"], coupon);
}

async fn rejects_coupons_that_are_not_usable_and_debits_nothing(shop: Shop) {
    let server = shop.start().await;
    let order = order_of(&server, "kim", 1_000, 5_000).await;
    let expired = server.campaign("expired").valid_for(time::Duration::seconds(2)).create().await;
    let expired = server.take_coupon("kim", &expired).await;
    let taken = now();
    let revoked = server.campaign("revoked").create().await;
    let revoked = server.take_coupon("kim", &revoked).await;
    server.admin().post(format!("/v1/admin/coupons/{revoked}/revocation"), json!({})).await.expect(200);
    let too_dear = server.campaign("dear").with("min_order_amount", "1001").create().await;
    let too_dear = server.take_coupon("kim", &too_dear).await;
    eventually("the coupon expires", async || (now() - taken > time::Duration::seconds(2)).then_some(())).await;
    for (coupon, reason) in [(expired, "EXPIRED"), (revoked, "REVOKED"), (too_dear, "MIN_ORDER_NOT_MET")] {
        let rejected = server.user("kim").post(order.payment(), json!({ "coupon_id": coupon })).await;
        assert_eq!(rejected.problem(409, "COUPON_NOT_USABLE")["reason"], reason);
    }
    assert_eq!(server.balance("kim").await, 5_000);
    assert_eq!(server.read_order(&order).await["status"], "pending_payment");
    // The coupon applies at exactly the minimum amount.
    let exact = server.campaign("exact").fixed(1).with("min_order_amount", "1000").create().await;
    let exact = server.take_coupon("kim", &exact).await;
    server.user("kim").post(order.payment(), json!({ "coupon_id": exact })).await.expect(201);
}

async fn does_not_find_another_users_coupon(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("lee's").create().await;
    let coupon = server.take_coupon("lee", &campaign).await;
    let order = order_of(&server, "kim", 1_000, 5_000).await;
    for coupon in [coupon.as_str(), UNKNOWN] {
        let body = json!({ "coupon_id": coupon });
        server.user("kim").post(order.payment(), body).await.problem(404, "COUPON_NOT_FOUND");
    }
    assert_eq!(server.balance("kim").await, 5_000);
}

async fn picks_the_best_coupon(shop: Shop) {
    let server = shop.start().await;
    let days = time::Duration::days;
    let campaigns = [
        server.campaign("small").fixed(100).valid_for(days(1)),
        server.campaign("later").fixed(300).valid_for(days(9)),
        server.campaign("sooner").percent(30).valid_for(days(2)),
        server.campaign("too dear").fixed(900).with("min_order_amount", "1001").valid_for(days(1)),
    ];
    let mut coupons = Vec::new();
    for campaign in campaigns {
        coupons.push(server.take_coupon("kim", &campaign.create().await).await);
    }
    server.top_up("kim", 10_000).await;
    // Of two equal discounts, the coupon that expires first; then the remaining ones.
    for (expected, discount) in [(Some(2), "300"), (Some(1), "300"), (Some(0), "100"), (None, "0")] {
        let order = order_of(&server, "kim", 1_000, 0).await;
        let payment = server.user("kim").post(order.payment(), json!({ "coupon_id": "best" })).await.json(201);
        assert_eq!(payment["discount"], discount);
        let expected = expected.map_or(Value::Null, |index: usize| json!(coupons[index]));
        assert_eq!(payment["coupon_id"], expected);
    }
}

async fn pays_the_full_price_without_an_applicable_coupon(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("unused").fixed(100).create().await;
    server.take_coupon("lee", &campaign).await;
    let order = order_of(&server, "kim", 1_000, 1_000).await;
    let payment = server.user("kim").post(order.payment(), json!({ "coupon_id": "best" })).await.json(201);
    assert_eq!((&payment["amount"], &payment["coupon_id"]), (&json!("1000"), &Value::Null));
    // By default no coupon is used.
    let coupon = server.take_coupon("kim", &campaign).await;
    let order = order_of(&server, "kim", 1_000, 1_000).await;
    assert_eq!(server.pay("kim", &order).await["discount"], "0");
    let usable = server.user("kim").get("/v1/users/kim/coupons").await.json(200);
    assert_eq!(ids(&usable["data"], "coupon_id"), [coupon]);
}

async fn pays_a_total_of_zero_with_a_coupon(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("everything").percent(100).create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    let order = order_of(&server, "kim", 5_000, 0).await;
    let payment = server.user("kim").post(order.payment(), json!({ "coupon_id": coupon })).await.json(201);
    let shown = ["total", "discount", "amount", "balance"].map(|member| payment[member].clone());
    assert_eq!(json!(shown), json!(["5000", "5000", "0", "0"]));
}

async fn checks_rejections_in_the_documented_order(shop: Shop) {
    let server = shop.server().settings([("ORDER_TTL", "3s"), ("ORDER_SWEEP_INTERVAL", "1h")]).start().await;
    let kim = server.user("kim");
    let bad_coupon = json!({ "coupon_id": UNKNOWN });
    kim.post(format!("/v1/orders/{UNKNOWN}/payment"), bad_coupon.clone()).await.problem(404, "ORDER_NOT_FOUND");
    kim.post("/v1/orders/nonsense/payment", bad_coupon.clone()).await.problem(404, "ORDER_NOT_FOUND");
    // Neither points nor coupon suffice: the coupon is checked first.
    let open = order_of(&server, "kim", 1_000, 0).await;
    kim.post(open.payment(), bad_coupon.clone()).await.problem(404, "COUPON_NOT_FOUND");
    kim.post(open.payment(), json!({})).await.problem(409, "INSUFFICIENT_POINTS");
    let cancelled = order_of(&server, "kim", 1_000, 0).await;
    kim.post(cancelled.cancellation(), json!({})).await.expect(200);
    let paid = order_of(&server, "kim", 0, 0).await;
    server.pay("kim", &paid).await;
    eventually("the deadline of the orders passes", async || {
        let left = server.read_order(&open).await["expires_in_seconds"].as_i64();
        (left == Some(0)).then_some(())
    })
    .await;
    // All orders are past their deadline, and the coupon is invalid as well.
    eventually("the order cannot be paid any more", async || {
        let response = kim.post(open.payment(), bad_coupon.clone()).await;
        (response.status == 409).then(|| response.problem(409, "ORDER_EXPIRED"))
    })
    .await;
    kim.post(paid.payment(), bad_coupon.clone()).await.problem(409, "ORDER_ALREADY_PAID");
    kim.post(cancelled.payment(), bad_coupon).await.problem(409, "ORDER_CANCELLED");
}

async fn the_back_office_pays_on_behalf_of_the_user(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("kim's").fixed(100).create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    let order = order_of(&server, "kim", 1_000, 1_000).await;
    let payment = server.admin().post(order.payment(), json!({ "coupon_id": coupon })).await.json(201);
    assert_eq!((&payment["user_id"], &payment["balance"]), (&json!("kim"), &json!("100")));
    assert_eq!(server.balance("kim").await, 100, "the points of the order's user are debited");
}

async fn rejects_invalid_payments(shop: Shop) {
    let server = shop.start().await;
    let order = order_of(&server, "kim", 1_000, 1_000).await;
    for coupon in [json!(7), json!("worst"), json!(""), json!("BEST"), json!([]), json!({})] {
        server.user("kim").post(order.payment(), json!({ "coupon_id": coupon })).await.invalid_field("/coupon_id");
    }
    server.user("kim").post(order.payment(), json!({ "amount": "1" })).await.invalid_field("/amount");
    server.user("kim").post(order.payment(), json!([])).await.expect(400);
    assert_eq!(server.balance("kim").await, 1_000);
}

async fn writes_one_event_for_the_data_platform(shop: Shop) {
    let server = shop.start().await;
    let order = order_of(&server, "kim", 1_000, 1_000).await;
    server.pay("kim", &order).await;
    server.user("kim").post(order.payment(), json!({})).await.problem(409, "ORDER_ALREADY_PAID");
    let mut connection = shop.database().connect().await;
    assert_eq!(connection.number("COUNT(*)", "outbox_events").await, 1);
    connection.close().await;
}
