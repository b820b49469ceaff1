//! Points: top-ups, balances and the ledger.

use jangteo_testkit::{Shop, assert_fields, scenarios, scenarios_on_sqlite};
use serde_json::{Value, json};

scenarios![
    returns_zero_before_the_first_top_up,
    adds_a_top_up_to_the_balance,
    tops_up_exactly_up_to_the_limit_of_one_top_up,
    tops_up_exactly_up_to_the_limit_of_a_balance,
    checks_the_limit_of_one_top_up_before_that_of_the_balance,
    shows_amounts_with_the_decimals_of_the_currency,
    lists_every_movement_of_points_newest_first,
    lists_payments_and_refunds_with_their_order,
    separates_the_points_of_users,
    accepts_every_valid_user_id,
];

scenarios_on_sqlite![
    accepts_an_amount_as_a_string_or_an_integer,
    rejects_amounts_that_are_not_positive,
    rejects_amounts_with_more_decimals_than_the_currency_has,
    rejects_malformed_amounts,
];

const TOP_UPS: &str = "/v1/users/kim/points/top-ups";
const POINTS: &str = "/v1/users/kim/points";
const ENTRIES: &str = "/v1/users/kim/points/entries";

async fn returns_zero_before_the_first_top_up(shop: Shop) {
    let server = shop.start().await;
    let points = server.user("kim").get(POINTS).await.json(200);
    assert_eq!(
        (&points["user_id"], &points["balance"], &points["currency"]),
        (&json!("kim"), &json!("0"), &json!("KRW"))
    );
    assert_fields(&points, &["user_id", "balance", "currency", "updated_at"], &[]);
    let entries = server.user("kim").get(ENTRIES).await.json(200);
    assert_eq!((&entries["data"], &entries["next_cursor"]), (&json!([]), &Value::Null));
}

async fn adds_a_top_up_to_the_balance(shop: Shop) {
    let server = shop.start().await;
    let kim = server.user("kim");
    let first = kim.post(TOP_UPS, json!({ "amount": "12000" })).await.json(201);
    assert_fields(&first, &["entry_id", "user_id", "amount", "balance", "currency", "created_at"], &[]);
    assert_eq!(first["user_id"], "kim");
    assert_eq!(first["amount"], "12000");
    assert_eq!(first["balance"], "12000");
    assert_eq!(first["currency"], "KRW");
    crate::assert_uuid_v7(&first["entry_id"]);
    crate::assert_utc(&first["created_at"]);

    let second = kim.post(TOP_UPS, json!({ "amount": "500" })).await.json(201);
    assert_eq!(second["balance"], "12500");
    assert_ne!(first["entry_id"], second["entry_id"]);
    let points = kim.get(POINTS).await.json(200);
    assert_eq!(points["balance"], "12500");
    assert_eq!(points["updated_at"], second["created_at"]);
}

async fn accepts_an_amount_as_a_string_or_an_integer(shop: Shop) {
    let server = shop.start().await;
    let topped_up = server.user("kim").post(TOP_UPS, json!({ "amount": 12_000 })).await.json(201);
    assert_eq!(topped_up["amount"], "12000");
    assert_eq!(topped_up["balance"], "12000");
}

async fn rejects_amounts_that_are_not_positive(shop: Shop) {
    let server = shop.start().await;
    for amount in [json!("0"), json!(0), json!("-1"), json!(-1), json!("-0"), json!("-1000000")] {
        let response = server.user("kim").post(TOP_UPS, json!({ "amount": amount })).await;
        response.problem(400, "AMOUNT_NOT_POSITIVE");
        response.invalid_field("/amount");
    }
    assert_eq!(server.balance("kim").await, 0);
}

async fn rejects_amounts_with_more_decimals_than_the_currency_has(shop: Shop) {
    let server = shop.start().await;
    for amount in ["0.5", "1.010", "12000.0001", "0.00000000000000000000000001"] {
        let response = server.user("kim").post(TOP_UPS, json!({ "amount": amount })).await;
        response.problem(400, "AMOUNT_TOO_PRECISE");
        response.invalid_field("/amount");
    }
    assert_eq!(server.balance("kim").await, 0);
}

async fn rejects_malformed_amounts(shop: Shop) {
    let server = shop.start().await;
    let wrong = [
        json!(""),
        json!(" 1"),
        json!("1 "),
        json!("+1"),
        json!("1e3"),
        json!("1,000"),
        json!("0x10"),
        json!("₩1000"),
        json!("١٠٠"),
        json!("NaN"),
        json!("Infinity"),
        json!("1_000"),
        json!("."),
        json!("9".repeat(40)),
        json!("1".repeat(5_000)),
        json!(1.5),
        json!(1_000.0),
        json!(1e30),
        json!(true),
        json!([1_000]),
        json!({ "value": 1_000 }),
        Value::Null,
    ];
    for amount in wrong {
        let response = server.user("kim").post(TOP_UPS, json!({ "amount": amount })).await;
        response.invalid_field("/amount");
    }
    server.user("kim").post(TOP_UPS, json!({})).await.expect(400);
    assert_eq!(server.balance("kim").await, 0);
}

async fn tops_up_exactly_up_to_the_limit_of_one_top_up(shop: Shop) {
    let server = shop.server().setting("TOP_UP_MAX", 1_000).start().await;
    let kim = server.user("kim");
    kim.post(TOP_UPS, json!({ "amount": "1001" })).await.problem(409, "TOP_UP_LIMIT_EXCEEDED");
    kim.post(TOP_UPS, json!({ "amount": "1000" })).await.expect(201);
    assert_eq!(server.balance("kim").await, 1_000);
}

async fn tops_up_exactly_up_to_the_limit_of_a_balance(shop: Shop) {
    let server = shop.server().setting("BALANCE_MAX", 2_000).start().await;
    let kim = server.user("kim");
    server.top_up("kim", 1_500).await;
    kim.post(TOP_UPS, json!({ "amount": "501" })).await.problem(409, "BALANCE_LIMIT_EXCEEDED");
    kim.post(TOP_UPS, json!({ "amount": "500" })).await.expect(201);
    kim.post(TOP_UPS, json!({ "amount": "1" })).await.problem(409, "BALANCE_LIMIT_EXCEEDED");
    assert_eq!(server.balance("kim").await, 2_000);
}

async fn checks_the_limit_of_one_top_up_before_that_of_the_balance(shop: Shop) {
    let server = shop.server().settings([("TOP_UP_MAX", "1000"), ("BALANCE_MAX", "500")]).start().await;
    let kim = server.user("kim");
    kim.post(TOP_UPS, json!({ "amount": "1001" })).await.problem(409, "TOP_UP_LIMIT_EXCEEDED");
    kim.post(TOP_UPS, json!({ "amount": "1000" })).await.problem(409, "BALANCE_LIMIT_EXCEEDED");
}

async fn shows_amounts_with_the_decimals_of_the_currency(shop: Shop) {
    let server = shop.server().setting("CURRENCY", "USD").start().await;
    let kim = server.user("kim");
    let topped_up = kim.post(TOP_UPS, json!({ "amount": "19.99" })).await.json(201);
    assert_eq!(
        (&topped_up["amount"], &topped_up["balance"], &topped_up["currency"]),
        (&json!("19.99"), &json!("19.99"), &json!("USD"))
    );
    let topped_up = kim.post(TOP_UPS, json!({ "amount": "0.01" })).await.json(201);
    assert_eq!(topped_up["balance"], "20.00");
    let topped_up = kim.post(TOP_UPS, json!({ "amount": 5 })).await.json(201);
    assert_eq!((&topped_up["amount"], &topped_up["balance"]), (&json!("5.00"), &json!("25.00")));
    kim.post(TOP_UPS, json!({ "amount": "0.001" })).await.problem(400, "AMOUNT_TOO_PRECISE");
    assert_eq!(kim.get(POINTS).await.json(200)["balance"], "25.00");
}

async fn lists_every_movement_of_points_newest_first(shop: Shop) {
    let server = shop.start().await;
    let mut topped_up = Vec::new();
    for amount in ["100", "20", "3"] {
        topped_up.push(server.user("kim").post(TOP_UPS, json!({ "amount": amount })).await.json(201));
    }
    let list = server.user("kim").get(ENTRIES).await.json(200);
    let entries = list["data"].as_array().expect("a list");
    assert_eq!(list["next_cursor"], Value::Null);
    assert_eq!(list["currency"], "KRW");
    assert_eq!(entries.len(), 3);
    for (entry, top_up) in entries.iter().zip(topped_up.iter().rev()) {
        assert_fields(entry, &["entry_id", "kind", "amount", "balance_after", "created_at"], &["order_id"]);
        assert_eq!(entry["kind"], "top_up");
        assert_eq!(entry["order_id"], Value::Null);
        assert_eq!(
            [&entry["entry_id"], &entry["amount"], &entry["balance_after"], &entry["created_at"]],
            [&top_up["entry_id"], &top_up["amount"], &top_up["balance"], &top_up["created_at"]],
        );
    }
}

async fn lists_payments_and_refunds_with_their_order(shop: Shop) {
    let server = shop.start().await;
    let product = server.product("tea").price(700).stock(1).create().await;
    server.top_up("kim", 1_000).await;
    let order = server.order("kim", &product, 1).await;
    server.pay("kim", &order).await;
    server.user("kim").post(order.cancellation(), json!({})).await.expect(200);
    let list = server.user("kim").get(ENTRIES).await.json(200);
    let entries: Vec<_> = list["data"].as_array().expect("a list").iter().collect();
    let shown = |entry: &Value| json!([entry["kind"], entry["amount"], entry["balance_after"], entry["order_id"]]);
    assert_eq!(shown(entries[0]), json!(["refund", "700", "1000", order.id]));
    assert_eq!(shown(entries[1]), json!(["payment", "-700", "300", order.id]));
    assert_eq!(shown(entries[2]), json!(["top_up", "1000", "1000", null]));
}

async fn separates_the_points_of_users(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 100).await;
    server.top_up("lee", 7).await;
    server.top_up("KIM", 1).await;
    assert_eq!(server.balance("kim").await, 100);
    assert_eq!(server.balance("lee").await, 7);
    assert_eq!(server.balance("KIM").await, 1, "user ids are case-sensitive");
}

async fn accepts_every_valid_user_id(shop: Shop) {
    let server = shop.start().await;
    let longest = "x".repeat(64);
    for (user_id, path) in [
        ("a", "a"),
        ("auth0|5f7c:A_b.c-d@example.com", "auth0%7C5f7c:A_b.c-d@example.com"),
        (longest.as_str(), longest.as_str()),
    ] {
        let points = server.user(user_id).get(format!("/v1/users/{path}/points")).await.json(200);
        assert_eq!(points["user_id"], user_id);
    }
}
