//! Orders: placement, prices, queries and cancellation.

use jangteo_testkit::{Server, Shop, assert_fields, scenarios, scenarios_on_sqlite};
use serde_json::{Value, json};

use crate::{assert_utc, assert_uuid_v7, ids};

scenarios![
    places_an_order_and_reserves_its_stock,
    adds_up_lines_of_one_product,
    an_order_retains_product_names_and_prices,
    accepts_all_lines_or_none,
    names_every_short_line,
    sells_the_last_item_once,
    rejects_unknown_products,
    rejects_products_that_are_not_on_sale,
    rejects_an_unexpected_total,
    limits_the_open_orders_of_a_user,
    checks_rejections_in_the_documented_order,
    orders_free_products,
    shows_an_order_to_its_user_and_the_back_office,
    lists_a_users_orders_by_status,
    cancels_an_unpaid_order_and_restores_its_stock,
    cancels_and_refunds_a_paid_order,
    does_not_restore_an_expired_coupon,
    quotes_without_changing_anything,
    quotes_each_coupon_with_the_reason_if_not_applicable,
    rejects_a_quote_like_an_order,
];

scenarios_on_sqlite![rejects_an_empty_order, rejects_wrong_quantities, rejects_too_many_lines, rejects_invalid_orders,];

const FIELDS: [&str; 11] = [
    "order_id",
    "user_id",
    "status",
    "lines",
    "total",
    "discount",
    "paid_amount",
    "currency",
    "created_at",
    "expires_at",
    "expires_in_seconds",
];
const LINE: [&str; 5] = ["product_id", "name", "quantity", "unit_price", "line_total"];
const UNKNOWN: &str = "0198f1de-0000-7000-8000-000000000000";

async fn places_an_order_and_reserves_its_stock(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("녹차").price(1_500).stock(10).create().await;
    let mug = server.product("mug").price(700).stock(2).create().await;
    let kim = server.user("kim");
    let response = kim.post("/v1/orders", json!({ "lines": [tea.line(3), mug.line(1)] })).await.expect(201);
    let location = response.header("location").expect("a Location").to_owned();
    let order = response.json(201);
    assert_fields(&order, &FIELDS, &["paid_at", "coupon_id", "refunded_amount"]);
    assert_uuid_v7(&order["order_id"]);
    let line = |product: &str, name: &str, quantity: u32, price: &str, total: &str| {
        json!([product, name, quantity, price, total])
    };
    let lines: Vec<Value> = order["lines"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| {
            assert_fields(line, &LINE, &["discount_share", "refunded_quantity"]);
            json!(LINE.map(|member| line[member].clone()))
        })
        .collect();
    assert_eq!(lines, [line(&tea.id, "녹차", 3, "1500", "4500"), line(&mug.id, "mug", 1, "700", "700")]);
    let shown = ["user_id", "status", "total", "discount", "paid_amount", "currency", "paid_at", "coupon_id"];
    let expected = json!(["kim", "pending_payment", "5200", "0", "0", "KRW", null, null]);
    assert_eq!(json!(shown.map(|member| order[member].clone())), expected);
    let payable_for = assert_utc(&order["expires_at"]) - assert_utc(&order["created_at"]);
    assert_eq!(payable_for, time::Duration::minutes(10));
    assert_eq!(order["expires_in_seconds"], 600);
    assert_eq!(location, format!("/v1/orders/{}", order["order_id"].as_str().expect("an id")));
    let mut read = kim.get(&location).await.json(200);
    assert!(read["expires_in_seconds"].as_i64().is_some_and(|seconds| (540..=600).contains(&seconds)), "{read}");
    read["expires_in_seconds"] = json!(600);
    assert_eq!(read, order);
    assert_eq!((server.available(&tea).await, server.available(&mug).await), (7, 1));
}

async fn adds_up_lines_of_one_product(shop: Shop) {
    let server = shop.server().setting("ORDER_QUANTITY_MAX", 5).start().await;
    let tea = server.product("tea").price(10).stock(10).create().await;
    let mug = server.product("mug").price(1).stock(10).create().await;
    let order = server.order_lines("kim", json!([tea.line(2), mug.line(1), tea.line(3)])).await.document;
    assert_eq!(
        ids(&order["lines"], "product_id"),
        [tea.id.as_str(), mug.id.as_str()],
        "in the order of the first lines"
    );
    assert_eq!((&order["lines"][0]["quantity"], &order["total"]), (&json!(5), &json!("51")));
    assert_eq!(server.available(&tea).await, 5);
    // Each line is within the limit, but not their sum.
    let body = json!({ "lines": [tea.line(3), tea.line(3)] });
    server.user("kim").post("/v1/orders", body).await.problem(400, "INVALID_QUANTITY");
}

async fn an_order_retains_product_names_and_prices(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(1).create().await;
    let order = server.order("kim", &tea, 1).await;
    let change = json!({ "name": "dear tea", "price": "999", "status": "discontinued" });
    server.admin().patch(tea.admin_path(), change).await.expect(200);
    let read = server.read_order(&order).await;
    assert_eq!((&read["lines"][0]["name"], &read["total"]), (&json!("tea"), &json!("100")));
    server.top_up("kim", 100).await;
    assert_eq!(server.pay("kim", &order).await["amount"], "100", "the order's own price, though no longer on sale");
}

async fn accepts_all_lines_or_none(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(5).create().await;
    let mug = server.product("mug").stock(1).create().await;
    let body = json!({ "lines": [tea.line(5), mug.line(2)] });
    server.user("kim").post("/v1/orders", body).await.problem(409, "OUT_OF_STOCK");
    assert_eq!((server.available(&tea).await, server.available(&mug).await), (5, 1));
    let orders = server.user("kim").get("/v1/users/kim/orders").await.json(200);
    assert_eq!(orders["data"], json!([]));
}

async fn names_every_short_line(shop: Shop) {
    let server = shop.start().await;
    let none = server.product("none").create().await;
    let enough = server.product("enough").stock(9).create().await;
    let few = server.product("few").stock(2).create().await;
    let body = json!({ "lines": [none.line(1), enough.line(9), few.line(2), few.line(1)] });
    let problem = server.user("kim").post("/v1/orders", body).await.problem(409, "OUT_OF_STOCK");
    let expected = json!([
        { "product_id": none.id, "requested": 1, "available": 0 },
        { "product_id": few.id, "requested": 3, "available": 2 },
    ]);
    assert_eq!(problem["shortages"], expected);
}

async fn sells_the_last_item_once(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(2).create().await;
    server.order("kim", &tea, 2).await;
    let body = json!({ "lines": [tea.line(1)] });
    server.user("lee").post("/v1/orders", body).await.problem(409, "OUT_OF_STOCK");
    assert_eq!(server.available(&tea).await, 0);
}

async fn rejects_an_empty_order(shop: Shop) {
    let server = shop.start().await;
    server.user("kim").post("/v1/orders", json!({ "lines": [] })).await.problem(400, "EMPTY_ORDER");
}

async fn rejects_wrong_quantities(shop: Shop) {
    let server = shop.server().setting("ORDER_QUANTITY_MAX", 7).start().await;
    let tea = server.product("tea").stock(100).create().await;
    let kim = server.user("kim");
    let body = |quantity: Value| json!({ "lines": [tea.line(1), { "product_id": tea.id, "quantity": quantity }] });
    for quantity in [json!(0), json!(-1), json!(8), json!(i64::MAX), json!(i64::MIN), json!(4_294_967_297_i64)] {
        let response = kim.post("/v1/orders", body(quantity)).await;
        response.problem(400, "INVALID_QUANTITY");
        response.invalid_field("/lines/1/quantity");
    }
    for quantity in [json!("1"), json!(1.5), json!(null), json!([1]), json!(u64::MAX)] {
        kim.post("/v1/orders", body(quantity)).await.invalid_field("/lines/1/quantity");
    }
    server.order("kim", &tea, 7).await;
    assert_eq!(server.available(&tea).await, 93);
}

async fn rejects_too_many_lines(shop: Shop) {
    let server = shop.server().setting("ORDER_LINES_MAX", 2).start().await;
    let mut lines = Vec::new();
    for name in ["a", "b", "c"] {
        lines.push(server.product(name).stock(1).create().await.line(1));
    }
    server.user("kim").post("/v1/orders", json!({ "lines": lines })).await.problem(400, "INVALID_QUANTITY");
    lines.pop();
    server.order_lines("kim", json!(lines)).await;
}

async fn rejects_invalid_orders(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(1).create().await;
    let kim = server.user("kim");
    let cases = [
        (json!({}), "/lines"),
        (json!({ "lines": {} }), "/lines"),
        (json!({ "lines": [7] }), "/lines/0"),
        (json!({ "lines": [{}] }), "/lines/0/product_id"),
        (json!({ "lines": [{ "product_id": tea.id }] }), "/lines/0/quantity"),
        (json!({ "lines": [{ "product_id": 7, "quantity": 1 }] }), "/lines/0/product_id"),
        (json!({ "lines": [tea.line(1)], "total": "1" }), "/total"),
        (json!({ "lines": [tea.line(1)], "expected_total": "1.5" }), "/expected_total"),
        (json!({ "lines": [{ "product_id": tea.id, "quantity": 1, "price": "1" }] }), "/lines/0/price"),
    ];
    for (body, pointer) in cases {
        kim.post("/v1/orders", body).await.invalid_field(pointer);
    }
    kim.post("/v1/orders", json!([])).await.expect(400);
    assert_eq!(server.available(&tea).await, 1);
}

async fn rejects_unknown_products(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(1).create().await;
    let body = json!({ "lines": [tea.line(1), { "product_id": UNKNOWN, "quantity": 1 }] });
    server.user("kim").post("/v1/orders", body).await.problem(404, "PRODUCT_NOT_FOUND");
    assert_eq!(server.available(&tea).await, 1);
}

async fn rejects_products_that_are_not_on_sale(shop: Shop) {
    let server = shop.start().await;
    for status in ["hidden", "discontinued"] {
        let product = server.product(status).with("status", status).stock(1).create().await;
        let response = server.user("kim").post("/v1/orders", json!({ "lines": [product.line(1)] })).await;
        response.problem(409, "PRODUCT_NOT_ON_SALE");
        assert_eq!(server.available(&product).await, 1);
    }
}

async fn rejects_an_unexpected_total(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(10).create().await;
    let kim = server.user("kim");
    let body = |expected: Value| json!({ "lines": [tea.line(3)], "expected_total": expected });
    let problem = kim.post("/v1/orders", body(json!("299"))).await.problem(409, "PRICE_CHANGED");
    assert_eq!((&problem["expected_total"], &problem["total"]), (&json!("299"), &json!("300")));
    assert_eq!(server.available(&tea).await, 10);
    for expected in [json!("300"), json!(300)] {
        kim.post("/v1/orders", body(expected)).await.expect(201);
    }
}

async fn limits_the_open_orders_of_a_user(shop: Shop) {
    let server = shop.server().setting("OPEN_ORDERS_MAX", 2).start().await;
    let tea = server.product("tea").price(10).stock(10).create().await;
    server.top_up("kim", 1_000).await;
    let body = json!({ "lines": [tea.line(1)] });
    let first = server.order("kim", &tea, 1).await;
    let second = server.order("kim", &tea, 1).await;
    let rejected = server.user("kim").post("/v1/orders", body.clone()).await.problem(409, "TOO_MANY_OPEN_ORDERS");
    assert_eq!(rejected["open_orders_max"], 2);
    server.order("lee", &tea, 1).await;
    server.pay("kim", &first).await;
    server.order("kim", &tea, 1).await;
    server.user("kim").post("/v1/orders", body.clone()).await.problem(409, "TOO_MANY_OPEN_ORDERS");
    server.user("kim").post(second.cancellation(), json!({})).await.expect(200);
    server.order("kim", &tea, 1).await;
    server.user("kim").post("/v1/orders", body).await.problem(409, "TOO_MANY_OPEN_ORDERS");
    assert_eq!(server.available(&tea).await, 6);
}

async fn checks_rejections_in_the_documented_order(shop: Shop) {
    let server = shop.server().settings([("OPEN_ORDERS_MAX", "1"), ("ORDER_QUANTITY_MAX", "9")]).start().await;
    let tea = server.product("tea").price(10).stock(2).create().await;
    let hidden = server.product("hidden").with("status", "hidden").create().await;
    server.order("kim", &tea, 1).await;
    let kim = server.user("kim");
    // Each order violates all rules from its own on; the first violated rule is reported.
    let unknown = json!({ "product_id": UNKNOWN, "quantity": 9 });
    let wrong_quantity = json!({ "product_id": UNKNOWN, "quantity": 0 });
    let cases = [
        (json!([]), 400, "EMPTY_ORDER"),
        (json!([wrong_quantity, unknown, hidden.line(9), tea.line(9)]), 400, "INVALID_QUANTITY"),
        (json!([hidden.line(9), tea.line(9), unknown]), 404, "PRODUCT_NOT_FOUND"),
        (json!([tea.line(9), hidden.line(9)]), 409, "PRODUCT_NOT_ON_SALE"),
        (json!([tea.line(9)]), 409, "OUT_OF_STOCK"),
        (json!([tea.line(1)]), 409, "PRICE_CHANGED"),
    ];
    for (lines, status, code) in cases {
        kim.post("/v1/orders", json!({ "lines": lines, "expected_total": "1" })).await.problem(status, code);
    }
    kim.post("/v1/orders", json!({ "lines": [tea.line(1)] })).await.problem(409, "TOO_MANY_OPEN_ORDERS");
}

async fn orders_free_products(shop: Shop) {
    let server = shop.start().await;
    let sample = server.product("sample").price(0).stock(1).create().await;
    let order = server.order("kim", &sample, 1).await;
    assert_eq!(order.document["total"], "0");
    let payment = server.pay("kim", &order).await;
    assert_eq!((&payment["amount"], &payment["balance"]), (&json!("0"), &json!("0")));
}

async fn shows_an_order_to_its_user_and_the_back_office(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(1).create().await;
    let order = server.order("kim", &tea, 1).await;
    server.user("kim").get(order.path()).await.expect(200);
    server.admin().get(order.path()).await.expect(200);
    server.user("lee").get(order.path()).await.problem(404, "ORDER_NOT_FOUND");
    server.anonymous().get(order.path()).await.problem(401, "UNAUTHENTICATED");
    server.user("kim").get(format!("/v1/orders/{UNKNOWN}")).await.problem(404, "ORDER_NOT_FOUND");
    server.user("kim").get("/v1/orders/nonsense").await.problem(404, "ORDER_NOT_FOUND");
    server.user("lee").post(order.cancellation(), json!({})).await.problem(404, "ORDER_NOT_FOUND");
    server.user("lee").post(order.payment(), json!({})).await.problem(404, "ORDER_NOT_FOUND");
}

async fn lists_a_users_orders_by_status(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(10).stock(10).create().await;
    server.top_up("kim", 1_000).await;
    let paid = server.order("kim", &tea, 1).await;
    server.pay("kim", &paid).await;
    let cancelled = server.order("kim", &tea, 1).await;
    server.user("kim").post(cancelled.cancellation(), json!({})).await.expect(200);
    let refunded = server.order("kim", &tea, 1).await;
    server.pay("kim", &refunded).await;
    server.user("kim").post(refunded.cancellation(), json!({})).await.expect(200);
    let open = server.order("kim", &tea, 1).await;
    server.order("lee", &tea, 1).await;
    let kim = server.user("kim");
    let cases: [(&str, &[&jangteo_testkit::Order]); 6] = [
        ("", &[&open, &refunded, &cancelled, &paid]),
        ("?status=pending_payment", &[&open]),
        ("?status=paid", &[&paid]),
        ("?status=cancelled", &[&cancelled]),
        ("?status=refunded", &[&refunded]),
        ("?status=expired", &[]),
    ];
    for (query, expected) in cases {
        let list = kim.get(format!("/v1/users/kim/orders{query}")).await.json(200);
        let expected: Vec<&str> = expected.iter().map(|order| order.id.as_str()).collect();
        assert_eq!(ids(&list["data"], "order_id"), expected, "{query}");
    }
    let list = kim.get("/v1/users/kim/orders?status=paid").await.json(200);
    assert_eq!(list["data"], json!([server.read_order(&paid).await]), "a list shows the same document");
    for query in ["status=lost", "state=paid", "status=paid&status=expired"] {
        kim.get(format!("/v1/users/kim/orders?{query}")).await.problem(400, "INVALID_QUERY");
    }
}

async fn cancels_an_unpaid_order_and_restores_its_stock(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(5).create().await;
    let mug = server.product("mug").stock(5).create().await;
    let order = server.order_lines("kim", json!([tea.line(2), mug.line(5)])).await;
    let cancelled = server.user("kim").post(order.cancellation(), json!({})).await.json(200);
    assert_fields(&cancelled, &FIELDS, &["paid_at", "coupon_id", "refunded_amount"]);
    assert_eq!((&cancelled["status"], &cancelled["order_id"]), (&json!("cancelled"), &json!(order.id)));
    assert_eq!((server.available(&tea).await, server.available(&mug).await), (5, 5));
    let again = server.user("kim").post(order.cancellation(), json!({})).await;
    again.problem(409, "ORDER_ALREADY_CANCELLED");
    server.user("kim").post(order.payment(), json!({})).await.problem(409, "ORDER_CANCELLED");
    assert_eq!((server.available(&tea).await, server.available(&mug).await), (5, 5), "once");
    // An admin may cancel on behalf of the user.
    let order = server.order("kim", &tea, 1).await;
    assert_eq!(server.admin().post(order.cancellation(), json!({})).await.json(200)["status"], "cancelled");
}

async fn cancels_and_refunds_a_paid_order(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(1_000).stock(5).create().await;
    let campaign = server.campaign("ten percent").percent(10).create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    server.top_up("kim", 5_000).await;
    let order = server.order("kim", &tea, 3).await;
    let body = json!({ "coupon_id": coupon });
    server.user("kim").post(order.payment(), body.clone()).await.expect(201);
    assert_eq!((server.balance("kim").await, server.available(&tea).await), (2_300, 2));

    let cancelled = server.user("kim").post(order.cancellation(), json!({})).await.json(200);
    let shown = ["status", "total", "discount", "paid_amount", "coupon_id"].map(|member| cancelled[member].clone());
    assert_eq!(json!(shown), json!(["refunded", "3000", "300", "2700", coupon]));
    assert_eq!((server.balance("kim").await, server.available(&tea).await), (5_000, 5));
    let usable = server.user("kim").get("/v1/users/kim/coupons?status=usable").await.json(200);
    assert_eq!(ids(&usable["data"], "coupon_id"), [coupon]);
    server.user("kim").post(order.cancellation(), json!({})).await.problem(409, "ORDER_ALREADY_CANCELLED");
    server.user("kim").post(order.payment(), json!({})).await.problem(409, "ORDER_ALREADY_PAID");
    assert_eq!(server.balance("kim").await, 5_000, "once");

    // The coupon is usable for another order.
    let another = server.order("kim", &tea, 1).await;
    let payment = server.user("kim").post(another.payment(), body).await.json(201);
    assert_eq!((&payment["discount"], &payment["balance"]), (&json!("100"), &json!("4100")));
}

async fn does_not_restore_an_expired_coupon(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(1_000).stock(5).create().await;
    let until = jangteo_testkit::now() + time::Duration::seconds(3);
    let campaign = server.campaign("short").fixed(100).without("valid_days");
    let campaign = campaign.with("valid_until", jangteo_testkit::rfc3339(until)).create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    server.top_up("kim", 5_000).await;
    let order = server.order("kim", &tea, 1).await;
    server.user("kim").post(order.payment(), json!({ "coupon_id": coupon })).await.expect(201);
    jangteo_testkit::clock_reaches(until).await;
    server.user("kim").post(order.cancellation(), json!({})).await.expect(200);
    assert_eq!(server.balance("kim").await, 5_000);
    let all = server.user("kim").get("/v1/users/kim/coupons?status=all").await.json(200);
    assert_ne!(all["data"][0]["status"], "usable", "{all}");
}

async fn quote(server: &Server, body: Value) -> Value {
    server.user("kim").post("/v1/orders/quote", body).await.json(200)
}

async fn quotes_without_changing_anything(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(1_000).stock(5).create().await;
    let quoted = quote(&server, json!({ "lines": [tea.line(2), tea.line(1)] })).await;
    assert_eq!((&quoted["total"], &quoted["discount"]), (&json!("3000"), &json!("0")));
    assert_eq!(quoted["currency"], "KRW");
    let line = &quoted["lines"][0];
    let shown = LINE.map(|member| line[member].clone());
    assert_eq!(json!(shown), json!([tea.id, "tea", 3, "1000", "3000"]));
    assert_eq!(server.available(&tea).await, 5);
    let orders = server.user("kim").get("/v1/users/kim/orders").await.json(200);
    assert_eq!(orders["data"], json!([]));
    server
        .anonymous()
        .post("/v1/orders/quote", json!({ "lines": [tea.line(1)] }))
        .await
        .problem(401, "UNAUTHENTICATED");
}

async fn quotes_each_coupon_with_the_reason_if_not_applicable(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(1_000).stock(5).create().await;
    let small = server.campaign("small").fixed(100).create().await;
    let large = server.campaign("large").percent(50).create().await;
    let dear = server.campaign("dear").fixed(900).with("min_order_amount", "1001").create().await;
    let small = server.take_coupon("kim", &small).await;
    let large = server.take_coupon("kim", &large).await;
    let dear = server.take_coupon("kim", &dear).await;
    let lines = json!([tea.line(1)]);

    let quoted = quote(&server, json!({ "lines": lines, "coupon_id": "best" })).await;
    assert_eq!((&quoted["total"], &quoted["discount"]), (&json!("1000"), &json!("500")));
    assert_eq!(quoted["coupon_id"], large);
    let coupons = quoted["coupons"].as_array().expect("each of the caller's coupons");
    assert_eq!(coupons.len(), 3, "{quoted}");
    let of = |id: &str| coupons.iter().find(|coupon| coupon["coupon_id"] == *id).expect("each coupon is listed");
    assert_eq!(of(&dear)["reason"], "MIN_ORDER_NOT_MET", "{quoted}");
    assert_eq!(of(&small)["reason"], Value::Null, "{quoted}");
    let quoted = quote(&server, json!({ "lines": lines, "coupon_id": small })).await;
    assert_eq!((&quoted["discount"], &quoted["coupon_id"]), (&json!("100"), &json!(small)));
    let quoted = quote(&server, json!({ "lines": lines })).await;
    assert_eq!(quoted["discount"], "0");
    server
        .user("kim")
        .post("/v1/orders/quote", json!({ "lines": lines, "coupon_id": UNKNOWN }))
        .await
        .problem(404, "COUPON_NOT_FOUND");
    let usable = server.user("kim").get("/v1/users/kim/coupons").await.json(200);
    assert_eq!(usable["data"].as_array().map(Vec::len), Some(3), "a quote uses no coupon");
}

async fn rejects_a_quote_like_an_order(shop: Shop) {
    let server = shop.start().await;
    let hidden = server.product("hidden").with("status", "hidden").create().await;
    let kim = server.user("kim");
    let quote = async |lines: Value| kim.post("/v1/orders/quote", json!({ "lines": lines })).await;
    quote(json!([])).await.problem(400, "EMPTY_ORDER");
    quote(json!([{ "product_id": UNKNOWN, "quantity": 0 }])).await.problem(400, "INVALID_QUANTITY");
    quote(json!([{ "product_id": UNKNOWN, "quantity": 1 }])).await.problem(404, "PRODUCT_NOT_FOUND");
    quote(json!([hidden.line(1)])).await.problem(409, "PRODUCT_NOT_ON_SALE");
}
