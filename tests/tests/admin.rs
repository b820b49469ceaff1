//! The back office: products, stock and campaigns.

use jangteo_testkit::{Shop, assert_fields, now, rfc3339, scenarios, scenarios_on_sqlite};
use serde_json::{Value, json};
use time::Duration;

use crate::{assert_utc, assert_uuid_v7, ids, names};

scenarios![
    creates_a_product,
    creates_a_product_with_required_fields_only,
    accepts_values_of_maximum_length,
    changes_only_the_given_fields,
    lists_products_of_all_states,
    adjusts_stock_up_and_down,
    never_removes_more_stock_than_available,
    lists_every_movement_newest_first,
    creates_a_campaign,
    raises_the_quantity_and_closes_early,
    counts_manual_stock_removals_against_orders,
    lists_the_orders_of_all_users,
    adjusts_balances,
    lists_and_redelivers_events,
];

scenarios_on_sqlite![
    rejects_callers_without_the_admin_scope,
    rejects_invalid_products,
    rejects_invalid_changes,
    rejects_invalid_stock_movements,
    rejects_invalid_campaigns,
    rejects_invalid_adjustments,
];

const UNKNOWN: &str = "0198f1de-0000-7000-8000-000000000000";

async fn rejects_callers_without_the_admin_scope(shop: Shop) {
    let server = shop.start().await;
    let document = server.anonymous().get("/openapi.json").await.json(200);
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations: Vec<_> = paths
        .filter(|(path, _)| path.starts_with("/v1/admin/"))
        .flat_map(|(path, methods)| methods.as_object().expect("methods").keys().map(move |method| (method, path)))
        .collect();
    assert!(operations.iter().any(|(_, path)| *path == "/v1/admin/verification"), "{operations:?}");
    for (method, path) in operations {
        let method = reqwest::Method::try_from(method.to_uppercase().as_str()).expect("a method");
        let segments = path.split('/').map(|segment| if segment.starts_with('{') { UNKNOWN } else { segment });
        let path = segments.collect::<Vec<_>>().join("/");
        let call = |caller: jangteo_testkit::Caller| caller.call(method.clone(), &path).json(&json!({ "nonsense": 1 }));
        call(server.anonymous()).await.problem(401, "UNAUTHENTICATED");
        // A caller without permission learns nothing about the request's validity.
        call(server.user("kim")).await.problem(403, "FORBIDDEN");
        let other_scopes = jangteo_testkit::token("kim", Some("administrator read:admin ADMIN"));
        call(server.bearer(other_scopes)).await.problem(403, "FORBIDDEN");
    }
    let among_others = jangteo_testkit::token("kim", Some("read admin write"));
    server.bearer(among_others).get("/v1/admin/products").await.expect(200);
}

async fn creates_a_product(shop: Shop) {
    let server = shop.start().await;
    let body = json!({
        "name": "Shirt", "description": "Cotton.", "category": "clothes", "options": { "size": "L" },
        "item_group_id": "shirts", "price": "19900", "status": "hidden",
    });
    let response = server.admin().post("/v1/admin/products", body.clone()).await.expect(201);
    let location = response.header("location").expect("a Location").to_owned();
    let made = response.json(201);
    assert_uuid_v7(&made["product_id"]);
    for member in ["name", "description", "category", "options", "item_group_id", "price", "status"] {
        assert_eq!(made[member], body[member], "{member}");
    }
    assert_eq!((&made["available"], &made["currency"]), (&json!(0), &json!("KRW")));
    assert_eq!(made["created_at"], made["updated_at"]);
    assert_eq!(server.admin().get(location).await.json(200), made);
    assert_eq!((&made["version"], made.get("sku")), (&json!(1), None));
    let same = server.admin().post("/v1/admin/products", body).await.json(201);
    assert_ne!(same["product_id"], made["product_id"]);
}

async fn creates_a_product_with_required_fields_only(shop: Shop) {
    let server = shop.start().await;
    let body = json!({ "name": "x", "category": "y", "price": 0 });
    let made = server.admin().post("/v1/admin/products", body).await.json(201);
    let shown = ["description", "options", "price", "status", "item_group_id"].map(|member| made[member].clone());
    assert_eq!(json!(shown), json!(["", {}, "0", "on_sale", null]));
}

async fn rejects_invalid_products(shop: Shop) {
    let server = shop.start().await;
    let good = json!({ "name": "x", "category": "y", "price": "1" });
    let many: serde_json::Map<String, Value> = (0..21).map(|n| (format!("option{n}"), json!("x"))).collect();
    let cases = [
        ("name", json!(""), "/name"),
        ("name", json!("x".repeat(201)), "/name"),
        ("name", json!("bell\u{7}"), "/name"),
        ("name", json!(" "), "/name"),
        ("name", json!(7), "/name"),
        ("name", Value::Null, "/name"),
        ("description", json!("x".repeat(10_001)), "/description"),
        ("category", json!(""), "/category"),
        ("category", json!("x".repeat(65)), "/category"),
        ("options", json!([]), "/options"),
        ("options", json!({ "size": 7 }), "/options/size"),
        ("options", json!({ "size": "x".repeat(256) }), "/options/size"),
        ("options", json!({ "size:eu": "7" }), "/options/size:eu"),
        ("options", json!(many), "/options"),
        ("item_group_id", json!("x".repeat(65)), "/item_group_id"),
        ("price", json!("-1"), "/price"),
        ("price", json!("1000000001"), "/price"),
        ("price", json!("1.5"), "/price"),
        ("price", json!(1.5), "/price"),
        ("status", json!("for_sale"), "/status"),
        ("product_id", json!(UNKNOWN), "/product_id"),
        ("available", json!(5), "/available"),
    ];
    for (member, value, pointer) in cases {
        let mut body = good.clone();
        body[member] = value;
        server.admin().post("/v1/admin/products", body).await.invalid_field(pointer);
    }
    for member in ["name", "category", "price"] {
        let mut body = good.clone();
        body.as_object_mut().expect("an object").remove(member);
        server.admin().post("/v1/admin/products", body).await.invalid_field(&format!("/{member}"));
    }
    // All errors are reported together.
    let body = json!({ "name": "", "category": "", "price": "-1" });
    let problem = server.admin().post("/v1/admin/products", body).await.invalid_field("/price");
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(3), "{problem:?}");
    assert_eq!(server.admin().get("/v1/admin/products").await.json(200)["data"], json!([]));
}

async fn accepts_values_of_maximum_length(shop: Shop) {
    let server = shop.start().await;
    // Limits count characters, not bytes. Each of these characters has four bytes.
    let text = |length: usize| "😀".repeat(length);
    let options: serde_json::Map<String, Value> =
        (0..20).map(|n| (format!("{n:02}{}", text(30)), json!(text(255)))).collect();
    let body = json!({
        "name": text(200), "description": text(10_000), "category": text(64), "options": options,
        "item_group_id": text(64), "price": "1000000000",
    });
    let made = server.admin().post("/v1/admin/products", body.clone()).await.json(201);
    let read = server.anonymous().get(format!("/v1/products/{}", made["product_id"].as_str().expect("an id"))).await;
    let read = read.json(200);
    for member in ["name", "description", "category", "options", "item_group_id", "price"] {
        assert_eq!(read[member], body[member], "{member}");
    }
}

async fn changes_only_the_given_fields(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").with("options", json!({ "leaf": "green" })).with("item_group_id", "teas");
    let tea = tea.stock(4).create().await;
    let before = server.admin().get(tea.path()).await.json(200);
    let changes = [
        ("sku", json!("TEA-1")),
        ("name", json!("Tea")),
        ("description", json!("Hot.")),
        ("category", json!("drinks")),
        ("options", json!({ "leaf": "black", "size": "L" })),
        ("price", json!("1200")),
        ("status", json!("discontinued")),
        ("item_group_id", Value::Null),
    ];
    let mut expected = before.clone();
    for (version, (member, value)) in (2..).zip(changes) {
        let changed = server.admin().patch(tea.admin_path(), json!({ member: value.clone() })).await.json(200);
        expected[member] = value;
        expected["version"] = json!(version);
        expected["updated_at"] = changed["updated_at"].clone();
        if expected["item_group_id"].is_null() && changed.get("item_group_id").is_none() {
            expected.as_object_mut().expect("an object").remove("item_group_id");
        }
        assert_eq!(changed, expected, "after {member}");
        assert!(assert_utc(&changed["updated_at"]) > assert_utc(&before["updated_at"]));
        assert_eq!(server.admin().get(tea.path()).await.json(200), changed);
    }
}

async fn rejects_invalid_changes(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").create().await;
    let before = server.admin().get(tea.path()).await.json(200);
    let cases = [
        (json!({ "name": "" }), "/name"),
        (json!({ "name": null }), "/name"),
        (json!({ "price": "-1" }), "/price"),
        (json!({ "stock": 5 }), "/stock"),
        (json!({ "name": "new", "status": "sold" }), "/status"),
    ];
    for (body, pointer) in cases {
        server.admin().patch(tea.admin_path(), body).await.invalid_field(pointer);
    }
    assert_eq!(server.admin().get(tea.path()).await.json(200), before);
    for id in [UNKNOWN, "nonsense"] {
        let response = server.admin().patch(format!("/v1/admin/products/{id}"), json!({ "name": "x" })).await;
        response.problem(404, "PRODUCT_NOT_FOUND");
    }
}

async fn lists_products_of_all_states(shop: Shop) {
    let server = shop.start().await;
    for status in ["on_sale", "hidden", "discontinued"] {
        server.product(status).with("status", status).create().await;
    }
    let list = server.admin().get("/v1/admin/products").await.json(200);
    assert_eq!(names(&list["data"]), ["discontinued", "hidden", "on_sale"], "the newest first");
}

async fn adjusts_stock_up_and_down(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").create().await;
    let path = format!("{}/stock-movements", tea.admin_path());
    let moved = server.admin().post(&path, json!({ "quantity": 5, "reason": "delivery" })).await.json(201);
    assert_fields(
        &moved,
        &["movement_id", "product_id", "quantity", "kind", "reason", "created_at"],
        &["available_after", "available", "order_id", "sequence"],
    );
    assert_uuid_v7(&moved["movement_id"]);
    let shown = ["product_id", "quantity", "kind", "reason"].map(|member| moved[member].clone());
    assert_eq!(json!(shown), json!([tea.id, 5, "adjustment", "delivery"]));
    server.admin().post(&path, json!({ "quantity": -2, "reason": "broken" })).await.expect(201);
    assert_eq!(server.available(&tea).await, 3);
}

async fn never_removes_more_stock_than_available(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(3).create().await;
    server.order("kim", &tea, 2).await;
    let rejected = server.restock(&tea, -2).await.problem(409, "OUT_OF_STOCK");
    assert_eq!(rejected["shortages"], json!([{ "product_id": tea.id, "requested": 2, "available": 1 }]));
    server.restock(&tea, -1).await.expect(201);
    assert_eq!(server.available(&tea).await, 0);
    // The upper limit of a stock.
    for _ in 0..2 {
        server.restock(&tea, i32::MAX.into()).await.expect(201);
    }
    server.restock(&tea, 2).await.problem(409, "STOCK_LIMIT_EXCEEDED");
    assert_eq!(server.available(&tea).await, i64::from(i32::MAX) * 2);
}

async fn rejects_invalid_stock_movements(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(3).create().await;
    let path = format!("{}/stock-movements", tea.admin_path());
    let cases = [
        (json!({ "quantity": 0, "reason": "x" }), "/quantity"),
        (json!({ "quantity": "1", "reason": "x" }), "/quantity"),
        (json!({ "quantity": 1.5, "reason": "x" }), "/quantity"),
        (json!({ "quantity": i64::MAX, "reason": "x" }), "/quantity"),
        (json!({ "reason": "x" }), "/quantity"),
        (json!({ "quantity": 1 }), "/reason"),
        (json!({ "quantity": 1, "reason": "" }), "/reason"),
        (json!({ "quantity": 1, "reason": "x".repeat(201) }), "/reason"),
        (json!({ "quantity": 1, "reason": "x", "kind": "reservation" }), "/kind"),
    ];
    for (body, pointer) in cases {
        server.admin().post(&path, body).await.invalid_field(pointer);
    }
    assert_eq!(server.available(&tea).await, 3);
    let path = format!("/v1/admin/products/{UNKNOWN}/stock-movements");
    server.admin().post(&path, json!({ "quantity": 1, "reason": "x" })).await.problem(404, "PRODUCT_NOT_FOUND");
    server.admin().get(&path).await.problem(404, "PRODUCT_NOT_FOUND");
}

async fn lists_every_movement_newest_first(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(10).stock(9).create().await;
    server.top_up("kim", 1_000).await;
    let cancelled = server.order("kim", &tea, 1).await;
    server.user("kim").post(cancelled.cancellation(), json!({})).await.expect(200);
    let refunded = server.order("kim", &tea, 2).await;
    server.pay("kim", &refunded).await;
    server.user("kim").post(refunded.cancellation(), json!({})).await.expect(200);
    let list = server.admin().get(format!("{}/stock-movements", tea.admin_path())).await.json(200);
    let shown = list["data"].as_array().expect("a list").iter();
    let shown = shown.map(|movement| json!([movement["kind"], movement["quantity"], movement["order_id"]]));
    let expected = json!([
        ["refund", 2, refunded.id],
        ["reservation", -2, refunded.id],
        ["cancellation", 1, cancelled.id],
        ["reservation", -1, cancelled.id],
        ["adjustment", 9, null],
    ]);
    assert_eq!(Value::from_iter(shown), expected);
}

async fn creates_a_campaign(shop: Shop) {
    let server = shop.start().await;
    let body = server.campaign("spring").percent_capped(15, 5_000).with("min_order_amount", 10_000).document();
    let response = server.admin().post("/v1/admin/coupon-campaigns", body.clone()).await.expect(201);
    let location = response.header("location").expect("a Location").to_owned();
    let made = response.json(201);
    assert_eq!(server.anonymous().get(location).await.json(200), made);
    let shown = ["name", "discount", "min_order_amount", "quantity", "issued", "remaining", "valid_days"];
    let expected = json!([
        "spring", { "kind": "percent", "percent": 15, "cap": "5000" }, "10000", 10, 0, 10, 7,
    ]);
    assert_eq!(json!(shown.map(|member| made[member].clone())), expected);
}

async fn rejects_invalid_campaigns(shop: Shop) {
    let server = shop.start().await;
    let good = server.campaign("good").document();
    let cases = [
        ("name", json!(""), "/name"),
        ("discount", json!({ "kind": "free" }), "/discount/kind"),
        ("discount", json!({ "kind": "fixed" }), "/discount/amount"),
        ("discount", json!({ "kind": "fixed", "amount": "0" }), "/discount/amount"),
        ("discount", json!({ "kind": "percent", "percent": 0 }), "/discount/percent"),
        ("discount", json!({ "kind": "percent", "percent": 101 }), "/discount/percent"),
        ("discount", json!({ "kind": "percent", "percent": 1.5 }), "/discount/percent"),
        ("discount", json!({ "kind": "percent", "percent": 5, "cap": "0" }), "/discount/cap"),
        ("discount", json!({ "kind": "percent", "percent": 5, "amount": "1" }), "/discount/amount"),
        ("min_order_amount", json!("0"), "/min_order_amount"),
        ("quantity", json!(0), "/quantity"),
        ("quantity", json!(-1), "/quantity"),
        ("quantity", json!(4_294_967_296_i64), "/quantity"),
        ("issue_opens_at", json!("tomorrow"), "/issue_opens_at"),
        ("issue_opens_at", json!("2026-02-30T00:00:00Z"), "/issue_opens_at"),
        ("issue_closes_at", json!(1_700_000_000), "/issue_closes_at"),
        ("valid_days", json!(0), "/valid_days"),
        ("valid_days", json!(3_651), "/valid_days"),
        ("issued", json!(3), "/issued"),
    ];
    for (member, value, pointer) in cases {
        let mut body = good.clone();
        body[member] = value;
        server.admin().post("/v1/admin/coupon-campaigns", body).await.invalid_field(pointer);
    }
    let mut backwards = good.clone();
    backwards["issue_closes_at"] = good["issue_opens_at"].clone();
    let mut both = good.clone();
    both["valid_until"] = json!(rfc3339(now() + Duration::days(3)));
    let mut neither = good.clone();
    neither.as_object_mut().expect("an object").remove("valid_days");
    for body in [backwards, both, neither] {
        server.admin().post("/v1/admin/coupon-campaigns", body).await.expect(400);
    }
    assert_eq!(server.anonymous().get("/v1/coupon-campaigns").await.json(200)["data"], json!([]));
}

async fn raises_the_quantity_and_closes_early(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("changed").quantity(5).create().await;
    let before = server.anonymous().get(campaign.path()).await.json(200);
    let admin = server.admin();
    let changed = admin.patch(campaign.admin_path(), json!({ "quantity": 8 })).await.json(200);
    assert_eq!((&changed["quantity"], &changed["remaining"]), (&json!(8), &json!(8)));
    let rejected = admin.patch(campaign.admin_path(), json!({ "quantity": 7 })).await;
    assert_eq!(rejected.problem(409, "CAMPAIGN_QUANTITY_LOWERED")["quantity"], 8);
    let later = rfc3339(now() + Duration::days(2));
    let rejected = admin.patch(campaign.admin_path(), json!({ "issue_closes_at": later })).await;
    assert_eq!(rejected.problem(409, "CAMPAIGN_CLOSING_POSTPONED")["issue_closes_at"], before["issue_closes_at"]);
    let earlier = rfc3339(now() + Duration::hours(1));
    let changed = admin.patch(campaign.admin_path(), json!({ "issue_closes_at": earlier })).await.json(200);
    assert_eq!(assert_utc(&changed["issue_closes_at"]).unix_timestamp(), assert_utc(&json!(earlier)).unix_timestamp());
    admin
        .patch(campaign.admin_path(), json!({ "discount": { "kind": "fixed", "amount": "1" } }))
        .await
        .invalid_field("/discount");
    let unknown = format!("/v1/admin/coupon-campaigns/{UNKNOWN}");
    admin.patch(unknown, json!({ "quantity": 9 })).await.problem(404, "CAMPAIGN_NOT_FOUND");
}

async fn counts_manual_stock_removals_against_orders(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(2).create().await;
    server.restock(&tea, -2).await.expect(201);
    let body = json!({ "lines": [tea.line(1)] });
    server.user("kim").post("/v1/orders", body).await.problem(409, "OUT_OF_STOCK");
}

async fn lists_the_orders_of_all_users(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(9).create().await;
    server.top_up("kim", 1_000).await;
    let [first, second, third] =
        [server.order("kim", &tea, 1).await, server.order("lee", &tea, 1).await, server.order("kim", &tea, 1).await];
    server.pay("kim", &third).await;
    let placed_at = |order: &Value| order["created_at"].as_str().expect("a time").to_owned();
    let second_at = placed_at(&server.read_order(&second).await);
    let cases = [
        (String::new(), vec![&third, &second, &first]),
        ("?user_id=kim".to_owned(), vec![&third, &first]),
        ("?status=pending_payment".to_owned(), vec![&second, &first]),
        ("?status=paid&user_id=kim".to_owned(), vec![&third]),
        ("?status=paid&user_id=lee".to_owned(), vec![]),
        (format!("?from={second_at}"), vec![&third, &second]),
        (format!("?to={second_at}"), vec![&first]),
        (format!("?from={second_at}&to={second_at}"), vec![]),
        ("?from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z".to_owned(), vec![]),
    ];
    for (query, expected) in cases {
        let list = server.admin().get(format!("/v1/admin/orders{query}")).await.json(200);
        let expected: Vec<&str> = expected.into_iter().map(|order| order.id.as_str()).collect();
        assert_eq!(ids(&list["data"], "order_id"), expected, "{query}");
    }
    let page = server.admin().get("/v1/admin/orders?limit=2").await.json(200);
    assert_eq!(page["data"][0], server.read_order(&third).await);
    let cursor = page["next_cursor"].as_str().expect("a further page");
    let rest = server.admin().get(format!("/v1/admin/orders?limit=2&cursor={cursor}")).await.json(200);
    assert_eq!(ids(&rest["data"], "order_id"), [first.id.as_str()]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let other_filter = format!("/v1/admin/orders?user_id=kim&cursor={cursor}");
    server.admin().get(other_filter).await.problem(400, "INVALID_CURSOR");
    for (query, parameter) in [
        ("from=yesterday", "?from"),
        ("to=2026-11-21", "?to"),
        ("user_id=a%20b", "?user_id"),
        ("status=open", "?status"),
        ("product_id=1", "?product_id"),
    ] {
        let response = server.admin().get(format!("/v1/admin/orders?{query}")).await;
        response.problem(400, "INVALID_QUERY");
        response.invalid_field(parameter);
    }
}

async fn adjusts_balances(shop: Shop) {
    let server = shop.start().await;
    let path = "/v1/admin/users/kim/points/adjustments";
    let adjust = |amount: i64| server.admin().post(path, json!({ "amount": amount.to_string(), "reason": "정정" }));
    let adjusted = adjust(500).await.json(201);
    assert_fields(&adjusted, &["entry_id", "user_id", "amount", "balance", "currency", "reason", "created_at"], &[]);
    let shown = ["user_id", "amount", "balance", "currency", "reason"].map(|member| adjusted[member].clone());
    assert_eq!(json!(shown), json!(["kim", "500", "500", "KRW", "정정"]));
    assert_eq!(adjust(-200).await.json(201)["balance"], "300");
    let rejected = adjust(-301).await.problem(409, "INSUFFICIENT_POINTS");
    assert_eq!((&rejected["balance"], &rejected["required"]), (&json!("300"), &json!("301")));
    let rejected = adjust(10_000_000).await.problem(409, "BALANCE_LIMIT_EXCEEDED");
    assert_eq!(rejected["balance_max"], "10000000");
    assert_eq!(server.balance("kim").await, 300);
    let entries = server.user("kim").get("/v1/users/kim/points/entries").await.json(200);
    let shown = entries["data"].as_array().expect("a list").iter();
    let shown = shown.map(|entry| json!([entry["kind"], entry["amount"], entry["balance_after"]]));
    assert_eq!(Value::from_iter(shown), json!([["adjustment", "-200", "300"], ["adjustment", "500", "500"]]));
}

async fn rejects_invalid_adjustments(shop: Shop) {
    let server = shop.start().await;
    let path = "/v1/admin/users/kim/points/adjustments";
    let cases = [
        (json!({ "amount": "0", "reason": "x" }), "/amount"),
        (json!({ "amount": "1.5", "reason": "x" }), "/amount"),
        (json!({ "amount": true, "reason": "x" }), "/amount"),
        (json!({ "amount": "1" }), "/reason"),
        (json!({ "amount": "1", "reason": " " }), "/reason"),
        (json!({ "amount": "1", "reason": "x", "order_id": UNKNOWN }), "/order_id"),
    ];
    for (body, pointer) in cases {
        server.admin().post(path, body).await.invalid_field(pointer);
    }
    let invalid_user = "/v1/admin/users/not%20a%20user/points/adjustments";
    server.admin().post(invalid_user, json!({ "amount": "1", "reason": "x" })).await.problem(404, "USER_NOT_FOUND");
    assert_eq!(server.balance("kim").await, 0);
}

async fn lists_and_redelivers_events(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(9).create().await;
    server.top_up("kim", 1_000).await;
    let order = server.order("kim", &tea, 2).await;
    server.pay("kim", &order).await;
    server.user("kim").post(order.cancellation(), json!({})).await.expect(200);
    let list = server.admin().get("/v1/admin/events").await.json(200);
    let [refunded, paid] = &list["data"].as_array().expect("a list")[..] else { panic!("two events: {list}") };
    for (event, event_type, sequence) in
        [(paid, "jangteo.order.paid.v1", 1), (refunded, "jangteo.order.refunded.v1", 2)]
    {
        let required = ["event_id", "order_id", "type", "sequence", "status", "attempts", "created_at", "due_at"];
        assert_fields(event, &required, &[]);
        assert_uuid_v7(&event["event_id"]);
        let shown = ["order_id", "type", "sequence", "status", "attempts"].map(|member| event[member].clone());
        assert_eq!(json!(shown), json!([order.id, event_type, sequence, "pending", 0]));
    }
    let replay = |id: &str| server.admin().post(format!("/v1/admin/events/{id}/redelivery"), json!({}));
    let again = replay(paid["event_id"].as_str().expect("an id")).await.json(200);
    let mut expected = paid.clone();
    expected["due_at"] = again["due_at"].clone();
    assert_eq!(again, expected);
    assert!(assert_utc(&again["due_at"]) > assert_utc(&paid["due_at"]));
    for (status, count) in [("pending", 2), ("delivered", 0), ("dead", 0)] {
        let list = server.admin().get(format!("/v1/admin/events?status={status}")).await.json(200);
        assert_eq!(list["data"].as_array().map(Vec::len), Some(count), "{status}");
    }
    for id in [UNKNOWN, "nonsense"] {
        replay(id).await.problem(404, "EVENT_NOT_FOUND");
    }
    let odd = server.admin().get("/v1/admin/events?status=lost").await;
    odd.problem(400, "INVALID_QUERY");
}
