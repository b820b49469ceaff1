//! The HTTP interface in process, on the in-memory store.

mod bulk;
mod catalogs;
mod client;
mod documented;
mod examples;
mod logs;
mod office;
mod pages;
mod problems;
mod replays;
#[cfg(feature = "otel")]
mod traces;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::http::{Method, StatusCode, header};
use actix_web::test::TestRequest;
use async_trait::async_trait;
use jangteo_domain::StoreError;
use jangteo_domain::audit::{AuditEntry, MockAuditQueries};
use jangteo_domain::id::{AuditEntryId, ProductId};
use jangteo_domain::outbox::MockEventRenderer;
use jangteo_domain::product::{MockProductQueries, Product, ProductKey, ProductListing};
use jangteo_domain::stock::MockStockQueries;
use jangteo_domain::testing::fixtures::{NOON, product_details, user};
use jangteo_domain::testing::{SequentialIds, batch_id};
use jangteo_domain::transaction::FirstKeys;
use jangteo_domain::verification::{Books, BooksCorrection, BooksFactory};
use jangteo_domain_testing::TestShop;
use rstest::rstest;
use serde_json::{Value, json};
use time::Duration;

use client::{Client, admin, by, get, kim, lee, post, send};

use crate::settings::TopUpBy;

const UNKNOWN: &str = "01900000-0000-7000-8000-00000000ffff";

/// A body of a revocation, and the place and reason of its error.
#[rstest]
#[case(json!({}), "/jti", "MISSING")]
#[case(json!({"expires_at": "2030-01-01T12:00:00Z"}), "/jti", "MISSING")]
#[case(json!({"jti": ""}), "/jti", "TOO_SHORT")]
#[case(json!({"jti": "a".repeat(256)}), "/jti", "TOO_LONG")]
#[case(json!({"jti": " a"}), "/jti", "INVALID")]
#[case(json!({"user_id": "two words"}), "/user_id", "INVALID")]
#[case(json!({"jti": "t-1", "user_id": "kim"}), "/user_id", "CONTRADICTORY")]
#[case(json!({"jti": "t-1", "issued_before": "2030-01-01T12:00:00Z"}), "/issued_before", "CONTRADICTORY")]
#[case(json!({"user_id": "kim", "expires_at": "2030-01-01T12:00:00Z"}), "/expires_at", "CONTRADICTORY")]
#[case(json!({"user_id": "kim", "issued_before": "today"}), "/issued_before", "INVALID")]
#[actix_web::test]
async fn a_revocation_names_one_token_or_one_user(#[case] body: Value, #[case] pointer: &str, #[case] reason: &str) {
    let client = Client::new().await;
    let answer = client.call(admin(post("/v1/admin/token-revocations", body))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["errors"], json!([{"pointer": pointer, "reason": reason}]));
}

#[actix_web::test]
async fn revocations_are_audited_and_of_the_back_office() {
    let client = Client::new().await;
    let revoke =
        || post("/v1/admin/token-revocations", json!({"jti": "t-1", "expires_at": "2030-01-02T21:00:00+09:00"}));
    assert_eq!(client.call(kim(revoke())).await.code(), "FORBIDDEN");
    assert_eq!(client.call(kim(get("/v1/admin/token-revocations"))).await.code(), "FORBIDDEN");
    let made = client.call(admin(revoke())).await;
    assert_eq!((made.status, made.header("location")), (StatusCode::CREATED, "/v1/admin/token-revocations"));
    let shown = ["jti", "expires_at", "user_id", "issued_before"].map(|member| made.json()[member].clone());
    assert_eq!(json!(shown), json!(["t-1", "2030-01-02T12:00:00Z", null, null]));
    let listed = client.call(admin(get("/v1/admin/token-revocations"))).await.json();
    assert_eq!(listed["data"], json!([made.json()]));
    let line = client.call(admin(get("/v1/admin/audit-log"))).await.json()["data"][0].clone();
    let shown = ["action", "subject_kind", "subject_id"].map(|member| line[member].clone());
    assert_eq!(json!(shown), json!(["revoke_tokens", "token", "t-1"]));
    let metrics = client.call(get("/metrics")).await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("jangteo_token_revocations_read_timestamp_seconds"));
}

#[actix_web::test]
async fn points_are_topped_up_and_listed() {
    let client = Client::new().await;
    let empty = client.call(kim(get("/v1/users/kim/points"))).await;
    assert_eq!(empty.json(), json!({"user_id": "kim", "balance": "0", "currency": "KRW", "updated_at": null}));

    let topped_up = client.call(kim(post("/v1/users/kim/points/top-ups", json!({"amount": 12000})))).await;
    assert_eq!(topped_up.status, StatusCode::CREATED);
    assert_eq!(topped_up.header("location"), "/v1/users/kim/points/entries");
    let top_up = topped_up.json();
    assert_eq!(
        (&top_up["amount"], &top_up["balance"], &top_up["currency"]),
        (&json!("12000"), &json!("12000"), &json!("KRW"))
    );

    let entries = client.call(kim(get("/v1/users/kim/points/entries"))).await.json();
    assert_eq!(entries["data"][0]["entry_id"], top_up["entry_id"]);
    assert_eq!(entries["data"][0]["kind"], "top_up");
    assert_eq!((&entries["currency"], &entries["next_cursor"]), (&json!("KRW"), &Value::Null));
}

#[rstest]
#[case(json!({"amount": "0"}), "AMOUNT_NOT_POSITIVE")]
#[case(json!({"amount": "-1"}), "AMOUNT_NOT_POSITIVE")]
#[case(json!({"amount": "1.5"}), "AMOUNT_TOO_PRECISE")]
#[case(json!({"amount": 1.0}), "INVALID_BODY")]
#[case(json!({"amount": "1e3"}), "INVALID_BODY")]
#[case(json!({}), "INVALID_BODY")]
#[actix_web::test]
async fn rejects_invalid_top_ups(#[case] json: Value, #[case] code: &str) {
    let client = Client::new().await;
    let answer = client.call(kim(post("/v1/users/kim/points/top-ups", json))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code.to_owned()));
    assert_eq!(answer.json()["errors"][0]["pointer"], "/amount");
}

#[actix_web::test]
async fn an_order_is_placed_paid_and_cancelled() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "책 / Book", "category": "books", "price": "12000"}), 5).await;
    client.call(kim(post("/v1/users/kim/points/top-ups", json!({"amount": "100000"})))).await;
    let campaign = client.campaign(json!({"kind": "percent", "percent": 10, "cap": "2000"})).await;
    let issued = client.call(kim(post(&format!("/v1/coupon-campaigns/{campaign}/coupons"), json!({})))).await;
    assert_eq!((issued.status, &issued.json()["status"]), (StatusCode::CREATED, &json!("usable")));

    let lines = json!({"lines": [{"product_id": product, "quantity": 2}, {"product_id": product, "quantity": 1}]});
    let placed = client.call(kim(post("/v1/orders", lines))).await;
    assert_eq!(placed.status, StatusCode::CREATED);
    let order = placed.json();
    let path = format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"));
    assert_eq!(placed.header("location"), path);
    assert_eq!(order["lines"].as_array().map(Vec::len), Some(1));
    assert_eq!((&order["total"], &order["expires_in_seconds"]), (&json!("36000"), &json!(600)));
    assert_eq!(client.call(get(&format!("/v1/products/{product}"))).await.json()["available"], 2);

    let paid = client.call(kim(post(&format!("{path}/payment"), json!({"coupon_id": "best"})))).await;
    assert_eq!(paid.status, StatusCode::CREATED);
    assert_eq!(
        (&paid.json()["discount"], &paid.json()["amount"], &paid.json()["balance"]),
        (&json!("2000"), &json!("34000"), &json!("66000"))
    );
    let used = client.call(kim(get("/v1/users/kim/coupons?status=used"))).await.json();
    assert_eq!(used["data"][0]["order_id"], order["order_id"]);
    let popular = client.call(get("/v1/products/popular")).await.json();
    assert_eq!((&popular["data"][0]["rank"], &popular["data"][0]["quantity_sold"]), (&json!(1), &json!(3)));

    let cancelled = client.call(kim(post(&format!("{path}/cancellation"), json!({})))).await;
    assert_eq!((cancelled.status, &cancelled.json()["status"]), (StatusCode::OK, &json!("refunded")));
    assert_eq!(client.call(kim(get("/v1/users/kim/points"))).await.json()["balance"], "100000");
    let orders = client.call(kim(get("/v1/users/kim/orders?status=refunded"))).await.json();
    assert_eq!(orders["data"].as_array().map(Vec::len), Some(1));
    let again = client.call(kim(post(&format!("{path}/cancellation"), json!({})))).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "ORDER_ALREADY_CANCELLED".to_owned()));
}

#[actix_web::test]
async fn a_quote_lists_the_effect_of_every_coupon() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "10000"}), 1).await;
    let mut coupons = Vec::new();
    for discount in [json!({"kind": "percent", "percent": 10}), json!({"kind": "fixed", "amount": "3000"})] {
        let campaign = client.campaign(discount).await;
        let issued = client.call(kim(send(Method::POST, &format!("/v1/coupon-campaigns/{campaign}/coupons")))).await;
        coupons.push(issued.json()["coupon_id"].as_str().expect("an id").to_owned());
    }
    let quote = |coupon: Value| {
        let lines = json!([{"product_id": product, "quantity": 2}]);
        client.call(kim(post("/v1/orders/quote", json!({"lines": lines, "coupon_id": coupon}))))
    };
    let best = quote(json!("best")).await.json();
    assert_eq!(
        (&best["total"], &best["discount"], &best["amount"]),
        (&json!("20000"), &json!("3000"), &json!("17000"))
    );
    assert_eq!(best["coupon_id"], json!(coupons[1]));
    assert_eq!((&best["coupons"][0]["discount"], &best["coupons"][1]["applied"]), (&json!("2000"), &json!(true)));
    assert_eq!(best["lines"][0]["available"], 1);
    assert_eq!(quote(Value::Null).await.json()["discount"], "0");

    let revoke = send(Method::POST, &format!("/v1/admin/coupons/{}/revocation", coupons[0]));
    client.call(admin(revoke)).await;
    let revoked = quote(json!(coupons[0])).await.json();
    assert_eq!((&revoked["amount"], revoked.get("coupon_id")), (&json!("20000"), None));
    let named = revoked["coupons"].as_array().expect("a list").iter().find(|coupon| coupon["coupon_id"] == coupons[0]);
    let named = named.expect("the named coupon");
    assert_eq!((&named["applied"], &named["reason"]), (&json!(false), &json!("REVOKED")));
    assert_eq!(quote(json!(UNKNOWN)).await.code(), "COUPON_NOT_FOUND");
}

#[rstest]
#[case(json!({"lines": []}), "EMPTY_ORDER", "/lines")]
#[case(json!({"lines": [{"product_id": UNKNOWN, "quantity": 0}]}), "INVALID_QUANTITY", "/lines/0/quantity")]
#[case(json!({"lines": [{"product_id": UNKNOWN, "quantity": 1001}]}), "INVALID_QUANTITY", "/lines/0/quantity")]
#[case(json!({"lines": [{"product_id": "7", "quantity": 1}]}), "INVALID_BODY", "/lines/0/product_id")]
#[case(json!({"lines": [{"product_id": UNKNOWN, "quantity": "1"}]}), "INVALID_BODY", "/lines/0/quantity")]
#[case(json!({"lines": [{"product_id": UNKNOWN}]}), "INVALID_BODY", "/lines/0/quantity")]
#[actix_web::test]
async fn rejects_malformed_orders(#[case] json: Value, #[case] code: &str, #[case] pointer: &str) {
    let answer = Client::new().await.call(kim(post("/v1/orders", json))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code.to_owned()));
    assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
}

#[actix_web::test]
async fn reports_all_field_errors_at_once() {
    let client = Client::new().await;
    let wrong = json!({
        "name": " ", "category": "x\u{7}", "price": "1.5",
        "options": {"": "red", "a:b": "red", "size": "L", "size ": "M"},
    });
    let answer = client.call(admin(post("/v1/admin/products", wrong))).await;
    let field_errors = answer.json()["errors"].clone();
    assert_eq!(
        field_errors,
        json!([
            {"pointer": "/name", "reason": "TOO_SHORT"},
            {"pointer": "/category", "reason": "CONTROL_CHARACTER"},
            {"pointer": "/options/", "reason": "TOO_SHORT"},
            {"pointer": "/options/a:b", "reason": "INVALID"},
            {"pointer": "/options/size ", "reason": "DUPLICATE_KEY"},
            {"pointer": "/price", "reason": "TOO_PRECISE"},
        ])
    );
}

#[actix_web::test]
async fn a_shortage_names_each_line() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 1).await;
    let lines = json!({"lines": [{"product_id": product, "quantity": 2}]});
    let answer = client.call(kim(post("/v1/orders", lines))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "OUT_OF_STOCK".to_owned()));
    assert_eq!(answer.json()["shortages"], json!([{"product_id": product, "requested": 2, "available": 1}]));
}

#[actix_web::test]
async fn a_repeated_request_has_one_effect_and_the_same_answer() {
    let client = Client::new().await;
    let top_up = |key: &str, json: &str| {
        kim(send(Method::POST, "/v1/users/kim/points/top-ups"))
            .insert_header(("Idempotency-Key", key))
            .insert_header(header::ContentType::json())
            .set_payload(json.to_owned())
    };
    let first = client.call(top_up("a", r#"{"amount":"5"}"#)).await;
    let second = client.call(top_up("\"a\"", r#"{ "amount" : "5" }"#)).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.body, second.body);
    assert_eq!((first.header("idempotent-replayed"), second.header("idempotent-replayed")), ("", "true"));
    assert_eq!(first.header("location"), second.header("location"));
    let other = client.call(top_up("a", r#"{"amount":"6"}"#)).await;
    assert_eq!((other.status, other.code()), (StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED".to_owned()));
    assert_eq!(client.call(kim(get("/v1/users/kim/points"))).await.json()["balance"], "5");
}

#[actix_web::test]
async fn a_key_is_of_one_request_however_its_path_is_spelled() {
    let client = Client::new().await;
    let keyed = |request: TestRequest| request.insert_header(("Idempotency-Key", "a"));
    let mut top_ups = Vec::new();
    for path in ["/v1/users/kim@example.com/points/top-ups", "/v1/users/kim%40example%2ecom/points/top-ups"] {
        top_ups.push(client.call(keyed(admin(post(path, json!({"amount": "5"}))))).await);
    }
    assert_eq!(top_ups[1].header("idempotent-replayed"), "true", "{}", top_ups[1].json());
    assert_eq!(top_ups[0].body, top_ups[1].body);

    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 9).await;
    for (id, available) in [(product.clone(), 10), (product.to_uppercase(), 10)] {
        let path = format!("/v1/admin/products/{id}/stock-movements");
        let moved = client.call(keyed(admin(post(&path, json!({"quantity": 1, "reason": "found"}))))).await;
        assert_eq!(moved.json()["available_after"], available);
    }

    // The case of a user id matters, also of one that looks like a UUID.
    let id = "0199b2a4-7c10-7d3e-8f21-5a6b7c8d9e01";
    for id in [id.to_owned(), id.to_uppercase()] {
        let path = format!("/v1/users/{id}/points/top-ups");
        let topped_up = client.call(keyed(admin(post(&path, json!({"amount": "5"}))))).await;
        assert_eq!((topped_up.header("idempotent-replayed"), &topped_up.json()["user_id"]), ("", &json!(id)));
    }
}

#[rstest]
#[case(get("/v1/users/kim/points?a=1"))]
#[case(get("/v1/coupon-campaigns/01900000-0000-7000-8000-00000000ffff?a="))]
#[case(get("/v1/products/01900000-0000-7000-8000-00000000ffff?a=1"))]
#[case(get("/v1/orders/01900000-0000-7000-8000-00000000ffff?a=1"))]
#[case(get("/v1/admin/verification?a=1"))]
#[case(post("/v1/orders/quote?a=1", json!({"lines": []})))]
#[case(post("/v1/users/kim/points/top-ups?a=1", json!({"amount": "5"})))]
#[actix_web::test]
async fn rejects_unknown_parameters_where_there_are_none(#[case] request: TestRequest) {
    let answer = Client::new().await.call(admin(request)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "INVALID_QUERY".to_owned()));
    assert_eq!(answer.json()["errors"], json!([{"pointer": "?a", "reason": "UNKNOWN_FIELD"}]));
}

#[actix_web::test]
async fn a_change_requires_a_body() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 1).await;
    let campaign = client.campaign(json!({"kind": "fixed", "amount": "1"})).await;
    for path in [format!("/v1/admin/products/{product}"), format!("/v1/admin/coupon-campaigns/{campaign}")] {
        let change = || admin(send(Method::PATCH, &path));
        let empty = client.call(change()).await;
        assert_eq!((empty.status, empty.code()), (StatusCode::BAD_REQUEST, "MALFORMED_JSON".to_owned()));
        assert_eq!(client.call(change().set_json(json!({}))).await.status, StatusCode::OK);
    }
}

#[actix_web::test]
async fn an_order_shows_its_refunds() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "100"}), 9).await;
    client.call(kim(post("/v1/users/kim/points/top-ups", json!({"amount": "1000"})))).await;
    let placed = client.call(kim(post("/v1/orders", json!({"lines": [{"product_id": product, "quantity": 3}]})))).await;
    let path = placed.header("location").to_owned();
    let order = placed.json()["order_id"].clone();
    let progress = |order: &Value| {
        let line = &order["lines"][0];
        json!([order["status"], order["refunded_amount"], line["refunded_quantity"], line["discount_share"]])
    };
    assert_eq!(progress(&placed.json()), json!(["pending_payment", "0", 0, "0"]));
    assert_eq!(client.call(kim(get(&format!("{path}/refunds")))).await.json()["data"], json!([]));
    client.call(kim(post(&format!("{path}/payment"), json!({})))).await;

    let refund = json!({"lines": [{"product_id": product, "quantity": 1}], "restock": false, "reason": " broken "});
    let refunds = format!("/v1/admin/orders/{}/refunds", order.as_str().expect("an id"));
    assert_eq!(client.call(admin(post(&refunds, refund))).await.status, StatusCode::CREATED);
    let shown = client.call(kim(get(&path))).await.json();
    assert_eq!(progress(&shown), json!(["partially_refunded", "100", 1, "0"]));
    let cancelled = client.call(kim(post(&format!("{path}/cancellation"), json!({})))).await.json();
    assert_eq!(progress(&cancelled), json!(["refunded", "300", 3, "0"]));

    let listed = client.call(kim(get(&format!("{path}/refunds?limit=1")))).await.json();
    let cursor = listed["next_cursor"].as_str().expect("another page");
    let rest = client.call(kim(get(&format!("{path}/refunds?limit=1&cursor={cursor}")))).await.json();
    assert_eq!(rest["next_cursor"], Value::Null);
    let members = |refund: &Value| {
        let shown = ["order_id", "sequence", "amount", "currency", "restocked", "reason", "lines"];
        json!(shown.map(|name| &refund[name]))
    };
    let line = |quantity: u32, amount: &str| json!([{"product_id": product, "quantity": quantity, "amount": amount}]);
    let [last, first] = [&listed["data"][0], &rest["data"][0]].map(members);
    assert_eq!(last, json!([order, 2, "200", "KRW", true, "cancellation", line(2, "200")]));
    assert_eq!(first, json!([order, 1, "100", "KRW", false, "broken", line(1, "100")]));
    let foreign = client.call(lee(get(&format!("{path}/refunds")))).await;
    assert_eq!((foreign.status, foreign.code()), (StatusCode::NOT_FOUND, "ORDER_NOT_FOUND".to_owned()));
}

#[actix_web::test]
async fn a_refund_is_not_limited_as_an_order_is() {
    let client = Client::new().await;
    let lines: Vec<_> =
        (0..101).map(|n| json!({"product_id": SequentialIds::id(n).to_string(), "quantity": 1_001})).collect();
    let refund = json!({"lines": lines, "restock": false, "reason": "recall"});
    let answer = client.call(admin(post(&format!("/v1/admin/orders/{UNKNOWN}/refunds"), refund))).await;
    assert_eq!(answer.code(), "ORDER_NOT_FOUND");
}

#[actix_web::test]
async fn a_replay_repeats_the_time_left_of_the_first_answer() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 9).await;
    let order = || {
        kim(post("/v1/orders", json!({"lines": [{"product_id": product, "quantity": 1}]})))
            .insert_header(("Idempotency-Key", "o"))
    };
    let first = client.call(order()).await;
    client.store.advance(Duration::minutes(5));
    assert_eq!(client.call(order()).await.body, first.body);
    let path = first.header("location").to_owned();
    assert_eq!(client.call(kim(get(&path))).await.json()["expires_in_seconds"], 300);
    client.store.advance(Duration::minutes(50));
    assert_eq!(client.call(kim(get(&path))).await.json()["expires_in_seconds"], 0);
}

#[actix_web::test]
async fn a_rejection_is_replayed_too() {
    let client = Client::new().await;
    let top_up = || {
        kim(post("/v1/users/kim/points/top-ups", json!({"amount": "1000001"}))).insert_header(("Idempotency-Key", "c"))
    };
    let (first, second) = (client.call(top_up()).await, client.call(top_up()).await);
    assert_eq!((first.status, first.code()), (StatusCode::CONFLICT, "TOP_UP_LIMIT_EXCEEDED".to_owned()));
    assert_eq!((second.status, second.code()), (first.status, first.code()));
    assert_eq!(second.header("idempotent-replayed"), "true");
}

#[actix_web::test]
async fn rejects_a_key_in_flight() {
    let client = Client::new().await;
    let top_up =
        || kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5"}))).insert_header(("Idempotency-Key", "slow"));
    let writer = client.store.factory().begin(batch_id(), &FirstKeys::default()).await.expect("the only writer");
    let first = client.call(top_up());
    let second = async {
        let answer = client.call(top_up()).await;
        drop(writer);
        answer
    };
    let (first, second) = futures_util::future::join(first, second).await;
    assert_eq!((second.status, second.code()), (StatusCode::CONFLICT, "REQUEST_IN_PROGRESS".to_owned()));
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(client.call(top_up()).await.header("idempotent-replayed"), "true");
}

#[actix_web::test]
async fn a_write_without_an_outcome_in_time_blocks_its_key() {
    let client = Client::with(|options| options.request_timeout = std::time::Duration::from_millis(50)).await;
    let top_up =
        || kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5"}))).insert_header(("Idempotency-Key", "late"));
    let writer = client.store.factory().begin(batch_id(), &FirstKeys::default()).await.expect("the only writer");
    let late = client.call(top_up()).await;
    assert_eq!((late.status, late.code()), (StatusCode::SERVICE_UNAVAILABLE, "OUTCOME_UNKNOWN".to_owned()));
    assert_eq!((&late.json()["retryable"], late.header("retry-after")), (&json!(true), "1"));
    assert_eq!(client.call(top_up()).await.code(), "REQUEST_IN_PROGRESS");
    drop(writer);
    let mut answer = client.call(top_up()).await;
    while answer.code() == "REQUEST_IN_PROGRESS" {
        tokio::task::yield_now().await;
        answer = client.call(top_up()).await;
    }
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (StatusCode::CREATED, "true"));
}

#[rstest]
#[case("\"open", "INVALID_IDEMPOTENCY_KEY")]
#[case("", "INVALID_IDEMPOTENCY_KEY")]
#[actix_web::test]
async fn rejects_malformed_keys(#[case] key: &str, #[case] code: &str) {
    let request = kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5"})));
    let answer = Client::new().await.call(request.insert_header(("Idempotency-Key", key))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code.to_owned()));
}

#[actix_web::test]
async fn keys_can_be_mandatory() {
    let client = Client::with(|options| options.require_idempotency_key = true).await;
    let top_up = || kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5"})));
    assert_eq!(client.call(top_up()).await.code(), "IDEMPOTENCY_KEY_REQUIRED");
    let with_key = client.call(top_up().insert_header(("Idempotency-Key", "k"))).await;
    assert_eq!(with_key.status, StatusCode::CREATED);
    let quote = client.call(kim(post("/v1/orders/quote", json!({"lines": []})))).await;
    assert_eq!(quote.code(), "EMPTY_ORDER", "a quote changes nothing");
}

#[rstest]
#[case(Method::GET, "/v1/users/kim/points")]
#[case(Method::POST, "/v1/users/kim/points/top-ups")]
#[case(Method::GET, "/v1/users/kim/points/entries")]
#[case(Method::GET, "/v1/users/kim/coupons")]
#[case(Method::GET, "/v1/users/kim/orders")]
#[case(Method::POST, "/v1/orders")]
#[case(Method::GET, "/v1/orders/01900000-0000-7000-8000-00000000ffff")]
#[case(Method::POST, "/v1/orders/01900000-0000-7000-8000-00000000ffff/payment")]
#[case(Method::POST, "/v1/orders/01900000-0000-7000-8000-00000000ffff/cancellation")]
#[case(Method::POST, "/v1/coupon-campaigns/01900000-0000-7000-8000-00000000ffff/coupons")]
#[case(Method::POST, "/v1/admin/products")]
#[actix_web::test]
async fn private_resources_require_a_token(#[case] method: Method, #[case] path: &str) {
    let client = Client::new().await;
    let anonymous = client.call(send(method.clone(), path)).await;
    assert_eq!((anonymous.status, anonymous.code()), (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED".to_owned()));
    assert!(anonymous.header("www-authenticate").starts_with("Bearer"));
    let forged = client.call(send(method, path).insert_header(("Authorization", "Bearer x.y.z"))).await;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
}

#[actix_web::test]
async fn public_resources_reject_invalid_tokens_only() {
    let client = Client::new().await;
    for path in ["/v1/products", "/v1/products/popular", "/v1/coupon-campaigns"] {
        assert_eq!(client.call(get(path)).await.status, StatusCode::OK, "{path}");
        for wrong in ["Bearer x.y.z", "Basic a2ltOg==", "Bearer", ""] {
            let answer = client.call(get(path).insert_header(("Authorization", wrong))).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {wrong}");
        }
    }
}

#[actix_web::test]
async fn resources_of_other_users_are_404() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 9).await;
    let placed = client.call(kim(post("/v1/orders", json!({"lines": [{"product_id": product, "quantity": 1}]})))).await;
    let order = placed.header("location").to_owned();
    for path in
        ["/v1/users/kim/points", "/v1/users/kim/points/entries", "/v1/users/kim/coupons", "/v1/users/kim/orders"]
    {
        let answer = client.call(lee(get(path))).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "USER_NOT_FOUND".to_owned()), "{path}");
        assert_eq!(client.call(admin(get(path))).await.status, StatusCode::OK, "{path}");
    }
    for request in
        [get(&order), post(&format!("{order}/payment"), json!({})), post(&format!("{order}/cancellation"), json!({}))]
    {
        let answer = client.call(lee(request)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "ORDER_NOT_FOUND".to_owned()));
    }
    assert_eq!(client.call(admin(get(&order))).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn the_back_office_requires_its_scope() {
    let client = Client::new().await;
    for request in [
        get("/v1/admin/products"),
        post("/v1/admin/products", json!({})),
        post("/v1/admin/coupon-campaigns", json!({})),
    ] {
        let answer = client.call(kim(request)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "FORBIDDEN".to_owned()));
    }
}

#[rstest]
#[case("/v1/products/nothing", "PRODUCT_NOT_FOUND")]
#[case("/v1/products/01900000-0000-7000-8000-00000000ffff", "PRODUCT_NOT_FOUND")]
#[case("/v1/coupon-campaigns/01900000-0000-7000-8000-00000000ffff", "CAMPAIGN_NOT_FOUND")]
#[case("/v1/orders/01900000-0000-7000-8000-00000000ffff", "ORDER_NOT_FOUND")]
#[case("/v1/nothing", "NOT_FOUND")]
#[case("/", "NOT_FOUND")]
#[case("/v1/products/%ff", "PRODUCT_NOT_FOUND")]
#[actix_web::test]
async fn absent_resources_are_404(#[case] path: &str, #[case] code: &str) {
    let answer = Client::new().await.call(kim(get(path))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, code.to_owned()));
    assert_eq!(answer.json()["instance"], path);
}

#[rstest]
#[case(Method::DELETE, "/v1/products", "GET, HEAD")]
#[case(Method::PUT, "/v1/orders", "POST")]
#[case(Method::GET, "/v1/orders/quote", "POST")]
#[case(Method::HEAD, "/v1/orders/quote", "POST")]
#[case(Method::POST, "/v1/products/popular", "GET, HEAD")]
#[case(Method::GET, "/v1/users/kim/points/top-ups", "POST")]
#[case(Method::DELETE, "/v1/admin/products", "GET, HEAD, POST")]
#[case(Method::POST, "/livez", "GET, HEAD")]
#[actix_web::test]
async fn a_405_lists_the_supported_methods(#[case] method: Method, #[case] path: &str, #[case] allow: &str) {
    let answer = Client::new().await.call(send(method, path)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED".to_owned()));
    assert_eq!(answer.header("allow"), allow);
}

#[rstest]
#[case("*/*", StatusCode::OK)]
#[case("application/json", StatusCode::OK)]
#[case("text/html, application/*;q=0.1", StatusCode::OK)]
#[case("text/html", StatusCode::NOT_ACCEPTABLE)]
#[case("application/json;q=0", StatusCode::NOT_ACCEPTABLE)]
#[actix_web::test]
async fn rejects_requests_that_do_not_accept_json(#[case] accept: &str, #[case] status: StatusCode) {
    let answer = Client::new().await.call(get("/v1/products").insert_header(("Accept", accept))).await;
    assert_eq!(answer.status, status);
}

#[actix_web::test]
async fn rejects_bodies_other_than_json_of_bounded_size() {
    let client = Client::new().await;
    let top_up = || kim(send(Method::POST, "/v1/users/kim/points/top-ups"));
    let plain = top_up().insert_header(("Content-Type", "text/plain")).set_payload("{}");
    assert_eq!(client.call(plain).await.code(), "UNSUPPORTED_MEDIA_TYPE");
    let zipped = top_up().insert_header(header::ContentType::json()).insert_header(("Content-Encoding", "gzip"));
    assert_eq!(client.call(zipped.set_payload("{}")).await.code(), "UNSUPPORTED_MEDIA_TYPE");
    let large = top_up().insert_header(header::ContentType::json()).set_payload(" ".repeat(256 * 1024 + 1));
    let answer = client.call(large).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE".to_owned()));
    let broken = top_up().insert_header(header::ContentType::json()).set_payload("{");
    assert_eq!(client.call(broken).await.code(), "MALFORMED_JSON");
}

#[rstest]
#[case("?limit=0", "INVALID_QUERY", "?limit")]
#[case("?limit=x", "INVALID_QUERY", "?limit")]
#[case("?limit=1&limit=2", "INVALID_QUERY", "?limit")]
#[case("?color=red", "INVALID_QUERY", "?color")]
#[case("?sort=best", "INVALID_QUERY", "?sort")]
#[case("?option=red", "INVALID_QUERY", "?option")]
#[case("?min_price=-1", "INVALID_QUERY", "?min_price")]
#[case("?max_price=1.5", "INVALID_QUERY", "?max_price")]
#[case("?in_stock=yes", "INVALID_QUERY", "?in_stock")]
#[case("?q=%07", "INVALID_QUERY", "?q")]
#[case("?color=", "INVALID_QUERY", "?color")]
#[case("/popular?days=31", "INVALID_QUERY", "?days")]
#[case("/popular?limit=0", "INVALID_QUERY", "?limit")]
#[actix_web::test]
async fn rejects_invalid_queries(#[case] rest: &str, #[case] code: &str, #[case] pointer: &str) {
    let answer = Client::new().await.call(get(&format!("/v1/products{rest}"))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code.to_owned()));
    assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
}

#[rstest]
#[case("/v1/products?category=&option=&q=&min_price=&max_price=&in_stock=&sort=&limit=&cursor=")]
#[case("/v1/products?category=%20&q=%20&limit")]
#[case("/v1/products/popular?days=&limit=")]
#[case("/v1/products/popular?limit=1000")]
#[case("/v1/users/boss/orders?status=&limit=&cursor=")]
#[case("/v1/users/boss/coupons?status=&limit=&cursor=")]
#[case("/v1/admin/orders?status=&user_id=&from=&to=&limit=&cursor=")]
#[case("/v1/admin/events?status=&limit=&cursor=")]
#[case("/v1/admin/audit-log?actor=&subject_id=&limit=&cursor=")]
#[actix_web::test]
async fn an_empty_parameter_counts_as_absent(#[case] path: &str) {
    assert_eq!(Client::new().await.call(admin(get(path))).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn paging_returns_every_product_once() {
    let client = Client::new().await;
    let shop = TestShop::new(client.store.factory());
    for number in 0..7 {
        shop.product(product_details(&format!("Lamp {number}"), 100 - number), 1).await.expect("a product");
    }
    for sort in ["newest", "price", "-price", "name", "popular"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = client.call(get(&format!("/v1/products?limit=3&sort={sort}{cursor}"))).await.json();
            let rows = page["data"].as_array().expect("rows").iter();
            seen.extend(rows.map(|row| row["product_id"].as_str().expect("an id").to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 7, "{sort}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 7, "{sort}");
    }
    let page = client.call(get("/v1/products?limit=3")).await.json();
    let cursor = page["next_cursor"].as_str().expect("more");
    let other = client.call(get(&format!("/v1/products?limit=3&in_stock=true&cursor={cursor}"))).await;
    assert_eq!((other.status, other.code()), (StatusCode::BAD_REQUEST, "INVALID_CURSOR".to_owned()));
}

#[actix_web::test]
async fn a_hidden_product_is_visible_to_admins_only() {
    let client = Client::new().await;
    let details = json!({"name": "Secret", "category": "home", "price": "1", "status": "hidden"});
    let product = client.product(details, 1).await;
    let path = format!("/v1/products/{product}");
    assert_eq!(client.call(get(&path)).await.code(), "PRODUCT_NOT_FOUND");
    assert_eq!(client.call(admin(get(&path))).await.status, StatusCode::OK);
    assert_eq!(client.call(get("/v1/products")).await.json()["data"], json!([]));
    assert_eq!(client.call(admin(get("/v1/admin/products"))).await.json()["data"][0]["status"], "hidden");
    let change = send(Method::PATCH, &format!("/v1/admin/products/{product}")).set_json(json!({"status": "on_sale"}));
    assert_eq!(client.call(admin(change)).await.json()["status"], "on_sale");
    assert_eq!(client.call(get(&path)).await.status, StatusCode::OK);
}

/// A product, identified by its price.
fn lamp(price: i64) -> Product {
    Product::create(ProductId::from(SequentialIds::id(7)), product_details("Lamp", price), NOON)
}

fn page_of(product: Product) -> Vec<(ProductListing, ProductKey)> {
    let key = ProductKey::Newest(product.id);
    vec![(ProductListing { product, available: 3 }, key)]
}

#[actix_web::test]
async fn a_page_is_cached_for_all_callers() {
    let client = Client::reading(|queries| {
        let mut products = MockProductQueries::new();
        products.expect_list().times(2).returning(|_, _| Ok(page_of(lamp(1))));
        queries.products = Arc::new(products);
    })
    .await;
    let first = client.call(get("/v1/products")).await;
    assert_eq!(first.json()["data"][0]["price"], "1");
    for again in [get("/v1/products"), kim(get("/v1/products")), admin(get("/v1/products"))] {
        assert_eq!(client.call(again).await.body, first.body);
    }
    // Another page is cached separately.
    assert_eq!(client.call(get("/v1/products?q=lamp")).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn pages_of_the_back_office_are_not_cached() {
    let client = Client::reading(|queries| {
        let mut products = MockProductQueries::new();
        products.expect_list().withf(|filter, _| filter.all_states).times(2).returning(|_, _| Ok(page_of(lamp(1))));
        products.expect_list().withf(|filter, _| !filter.all_states).times(1).returning(|_, _| Ok(vec![]));
        queries.products = Arc::new(products);
    })
    .await;
    for _ in 0..2 {
        let listed = client.call(admin(get("/v1/admin/products"))).await;
        assert_eq!(listed.json()["data"][0]["price"], "1");
        assert_eq!(listed.header("cache-control"), "no-store");
        assert_eq!(client.call(admin(get("/v1/products"))).await.json()["data"], json!([]));
    }
}

#[actix_web::test]
async fn a_failed_read_of_a_page_is_not_cached() {
    let client = Client::reading(|queries| {
        let mut products = MockProductQueries::new();
        let gone = || StoreError::Unavailable(Arc::new(std::io::Error::other("gone")));
        products.expect_list().times(1).returning(move |_, _| Err(gone()));
        products.expect_list().times(1).returning(|_, _| Ok(page_of(lamp(1))));
        queries.products = Arc::new(products);
    })
    .await;
    let failed = client.call(get("/v1/products")).await;
    assert_eq!((failed.status, failed.code()), (StatusCode::SERVICE_UNAVAILABLE, "DATABASE_UNAVAILABLE".to_owned()));
    assert_eq!((failed.header("cache-control"), failed.header("etag")), ("no-store", ""));
    assert_eq!(client.call(get("/v1/products")).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_product_is_cached_without_its_stock() {
    let client = Client::reading(|queries| {
        let mut products = MockProductQueries::new();
        let listing = ProductListing { product: lamp(1), available: 99 };
        products.expect_find().times(1).return_once(|_| Ok(Some(listing)));
        queries.products = Arc::new(products);
        let mut stocks = MockStockQueries::new();
        let left = AtomicU64::new(5);
        let one_less = move |ids: &BTreeSet<ProductId>| {
            let available = left.fetch_sub(1, Ordering::Relaxed);
            Ok(ids.iter().map(|id| (*id, available)).collect())
        };
        stocks.expect_available().times(3).returning(one_less);
        queries.stocks = Arc::new(stocks);
    })
    .await;
    for available in [5, 4, 3] {
        let shown = client.call(get(&format!("/v1/products/{}", lamp(1).id))).await;
        assert_eq!((shown.status, &shown.json()["available"]), (StatusCode::OK, &json!(available)));
    }
}

#[actix_web::test]
async fn changes_of_the_back_office_are_visible_immediately() {
    let client = Client::new().await;
    let listed = async || client.call(get("/v1/products")).await.json()["data"].clone();
    assert_eq!(listed().await, json!([]));
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 1).await;
    assert_eq!(listed().await[0]["available"], 1);
    let change = |json: Value| admin(send(Method::PATCH, &format!("/v1/admin/products/{product}")).set_json(json));
    client.call(change(json!({"price": "2"}))).await;
    assert_eq!(listed().await[0]["price"], "2");
    assert_eq!(client.call(get(&format!("/v1/products/{product}"))).await.json()["price"], "2");
    client.call(change(json!({"status": "hidden"}))).await;
    assert_eq!(listed().await, json!([]));
    assert_eq!(client.call(get(&format!("/v1/products/{product}"))).await.code(), "PRODUCT_NOT_FOUND");
}

#[rstest]
#[case("/v1/products", "public, max-age=1")]
#[case("/v1/products?sort=popular", "public, max-age=1")]
#[case("/v1/products/popular", "public, max-age=1")]
#[case("/openapi.json", "public, no-cache")]
#[actix_web::test]
async fn a_matching_etag_is_304(#[case] path: &str, #[case] cache_control: &str) {
    let client = Client::new().await;
    let first = client.call(get(path)).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    for known in [tag.as_str(), "*", &format!("\"x\", {tag}")] {
        let again = client.call(kim(get(path)).insert_header(("If-None-Match", known))).await;
        assert_eq!((again.status, &*again.body), (StatusCode::NOT_MODIFIED, &b""[..]), "{known}");
        let described = ["etag", "cache-control", "vary"].map(|name| again.header(name));
        assert_eq!(described, [&tag, cache_control, "Accept-Encoding"]);
        assert_eq!(again.header("content-type"), "");
    }
    let other = client.call(get(path).insert_header(("If-None-Match", "W/\"x\""))).await;
    assert_eq!((other.status, other.body), (StatusCode::OK, first.body));
}

#[actix_web::test]
async fn a_stock_never_falls_below_zero() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 3).await;
    let path = format!("/v1/admin/products/{product}/stock-movements");
    let removed = client.call(admin(post(&path, json!({"quantity": -2, "reason": "broken"})))).await;
    assert_eq!((removed.status, &removed.json()["available_after"]), (StatusCode::CREATED, &json!(1)));
    let too_much = client.call(admin(post(&path, json!({"quantity": -2, "reason": "broken"})))).await;
    assert_eq!(too_much.code(), "OUT_OF_STOCK");
    let listed = client.call(admin(get(&path))).await.json();
    assert_eq!((&listed["data"][0]["quantity"], &listed["data"][1]["quantity"]), (&json!(-2), &json!(3)));
    let unknown = client.call(admin(get(&format!("/v1/admin/products/{UNKNOWN}/stock-movements")))).await;
    assert_eq!(unknown.code(), "PRODUCT_NOT_FOUND");
}

#[actix_web::test]
async fn a_change_is_audited_with_its_response() {
    let client = Client::new().await;
    let product = json!({"name": "Lamp", "category": "home", "price": "1"});
    let made = client.call(admin(post("/v1/admin/products", product)).insert_header(("Accept-Language", "ko"))).await;
    let id = made.json()["product_id"].clone();
    let path = format!("/v1/admin/products/{}/stock-movements", id.as_str().expect("an id"));
    let rejected = client.call(admin(post(&path, json!({"quantity": -1, "reason": "broken"})))).await;
    assert_eq!((rejected.status, rejected.code()), (StatusCode::CONFLICT, "OUT_OF_STOCK".to_owned()));
    client.call(kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5"})))).await;

    let entries = client.call(admin(get("/v1/admin/audit-log?actor=boss"))).await.json();
    let [entry] = &entries["data"].as_array().expect("a list")[..] else { panic!("{entries}") };
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("create_product"), &json!("boss")));
    assert_eq!((&entry["subject_kind"], &entry["subject_id"]), (&json!("product"), &id));
    assert_eq!(entry["result"], made.json());
    let found = client.call(admin(get(&format!("/v1/admin/audit-log?subject_id={UNKNOWN}")))).await.json();
    assert_eq!(found["data"], json!([]));
}

#[actix_web::test]
async fn audit_entries_of_any_release_are_listed() {
    let entry = |number: u64, kind: &str, body: &str| AuditEntry {
        id: AuditEntryId::from(SequentialIds::id(number)),
        at: NOON,
        actor: user("boss"),
        action: "move_warehouse".to_owned(),
        subject_kind: kind.to_owned(),
        subject_id: "Seoul 7".to_owned(),
        reason: None,
        body: body.to_owned(),
        request_id: (number == 1).then(|| "r-1".to_owned()),
        address: (number == 1).then(|| "192.0.2.7".to_owned()),
        link: None,
    };
    let entries = vec![entry(2, "warehouse", "moved, but not in JSON"), entry(1, "warehouse", r#"{"to":["Busan"]}"#)];
    let client = Client::reading(|queries| {
        let mut audit = MockAuditQueries::new();
        audit.expect_list().return_once(|_, _| Ok(entries));
        queries.audit = Arc::new(audit);
    })
    .await;
    let listed = client.call(admin(get("/v1/admin/audit-log"))).await;
    assert_eq!(listed.status, StatusCode::OK);
    let listed = listed.json();
    assert_eq!(listed["data"][0]["result"], "moved, but not in JSON");
    assert_eq!(listed["data"][1]["result"], json!({"to": ["Busan"]}));
    assert_eq!(listed["data"][1]["subject_kind"], "warehouse");
    assert_eq!(listed["data"][1]["subject_id"], "Seoul 7");
    let origin = |at: usize| ["request_id", "address"].map(|member| listed["data"][at][member].clone());
    assert_eq!(origin(0), [Value::Null, Value::Null]);
    assert_eq!(origin(1), [json!("r-1"), json!("192.0.2.7")]);
}

#[rstest]
#[case(json!({"valid_days": 3, "valid_until": "2027-01-01T00:00:00Z"}), "/valid_days")]
#[case(json!({"valid_days": null}), "/valid_until")]
#[case(json!({"valid_days": null, "valid_until": "2026-01-01T00:00:00+09:00"}), "/valid_until")]
#[case(json!({"valid_days": 0}), "/valid_days")]
#[case(json!({"quantity": 0}), "/quantity")]
#[case(json!({"issue_closes_at": "2025-01-01T00:00:00Z"}), "/issue_closes_at")]
#[case(json!({"issue_opens_at": "tomorrow"}), "/issue_opens_at")]
#[case(json!({"discount": {"kind": "fixed"}}), "/discount/amount")]
#[case(json!({"discount": {"kind": "fixed", "amount": "0"}}), "/discount/amount")]
#[case(json!({"discount": {"kind": "fixed", "amount": "1", "percent": 3}}), "/discount/percent")]
#[case(json!({"discount": {"kind": "percent", "percent": 101}}), "/discount/percent")]
#[case(json!({"discount": {"kind": "gift"}}), "/discount/kind")]
#[case(json!({"discount": ["fixed", "1"]}), "/discount")]
#[actix_web::test]
async fn rejects_invalid_campaigns(#[case] changed: Value, #[case] pointer: &str) {
    let mut campaign = client::campaign(json!({"kind": "fixed", "amount": "1"}));
    for (name, value) in changed.as_object().expect("fields") {
        campaign[name] = value.clone();
    }
    let answer = Client::new().await.call(admin(post("/v1/admin/coupon-campaigns", campaign))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
}

#[actix_web::test]
async fn a_campaign_changes_and_its_coupons_are_revoked() {
    let client = Client::new().await;
    let campaign = client.campaign(json!({"kind": "fixed", "amount": "1000"})).await;
    let change =
        |json: Value| admin(send(Method::PATCH, &format!("/v1/admin/coupon-campaigns/{campaign}")).set_json(json));
    let changed = client.call(change(json!({"quantity": 20, "name": " 봄맞이 "}))).await.json();
    assert_eq!((&changed["remaining"], &changed["name"]), (&json!(20), &json!("봄맞이")));
    assert_eq!(client.call(change(json!({"quantity": 5}))).await.code(), "CAMPAIGN_QUANTITY_LOWERED");
    for (invalid, pointer) in [
        (json!({"quantity": 0}), "/quantity"),
        (json!({"quantity": null}), "/quantity"),
        (json!({"issue_closes_at": "2025-12-31T15:00:00Z"}), "/issue_closes_at"),
    ] {
        let rejected = client.call(change(invalid).insert_header(("Idempotency-Key", "k"))).await;
        assert_eq!((rejected.status, rejected.code()), (StatusCode::BAD_REQUEST, "INVALID_BODY".to_owned()));
        assert_eq!(rejected.json()["errors"][0]["pointer"], pointer);
    }
    let issue = || kim(send(Method::POST, &format!("/v1/coupon-campaigns/{campaign}/coupons")));
    let coupon = client.call(issue()).await.json()["coupon_id"].clone();
    assert_eq!(client.call(issue()).await.code(), "COUPON_ALREADY_ISSUED");
    let revoke =
        admin(send(Method::POST, &format!("/v1/admin/coupons/{}/revocation", coupon.as_str().expect("an id"))));
    assert_eq!(client.call(revoke).await.json()["status"], "revoked");
    let all = client.call(kim(get("/v1/users/kim/coupons?status=all"))).await.json();
    assert_eq!(all["data"][0]["status"], "revoked");
    assert_eq!(client.call(kim(get("/v1/users/kim/coupons"))).await.json()["data"], json!([]));
}

#[actix_web::test]
async fn limits_the_rate_of_each_caller() {
    let one_an_hour = governor::Quota::per_hour(std::num::NonZeroU32::MIN);
    let client = Client::limited(one_an_hour).await;
    assert_eq!(client.call(kim(get("/v1/products"))).await.status, StatusCode::OK);
    let limited = client.call(kim(get("/v1/products"))).await;
    assert_eq!((limited.status, limited.code()), (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED".to_owned()));
    let seconds: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!((3_000..=3_600).contains(&seconds), "{seconds}");
    assert_eq!(client.call(lee(get("/v1/products"))).await.status, StatusCode::OK);
}

#[rstest]
#[case("/v1/products")]
#[case("/metrics")]
#[case("/openapi.json")]
#[actix_web::test]
async fn limits_requests_without_a_token_by_address(#[case] path: &str) {
    let one_an_hour = governor::Quota::per_hour(std::num::NonZeroU32::MIN);
    let client = Client::limited(one_an_hour).await;
    let read = |address: &str| {
        let request = get(path).peer_addr(([10, 0, 0, 1], 1234).into());
        client.call(request.insert_header(("X-Forwarded-For", format!("198.51.100.1, {address}"))))
    };
    assert_eq!(read("203.0.113.9").await.status, StatusCode::OK);
    assert_eq!(read("203.0.113.9").await.code(), "RATE_LIMITED");
    assert_eq!(read("2001:db8:1:2::3").await.status, StatusCode::OK);
    assert_eq!(read("2001:db8:1:2::4").await.code(), "RATE_LIMITED");
    assert_eq!(client.call(kim(get("/v1/products"))).await.status, StatusCode::OK);
    for probe in ["/livez", "/livez", "/readyz", "/readyz"] {
        assert_eq!(client.call(get(probe)).await.status, StatusCode::OK);
    }
}

#[actix_web::test]
async fn rejected_tokens_are_limited_by_address_apart_from_other_requests() {
    let two_an_hour = governor::Quota::per_hour(std::num::NonZeroU32::MIN.saturating_add(1));
    let client = Client::limited(two_an_hour).await;
    let send = |authorization: &str| client.call(get("/v1/products").insert_header(("Authorization", authorization)));
    for rejected in ["Bearer no.valid.token", "Basic a2ltOmtpbQ=="] {
        assert_eq!(send(rejected).await.code(), "UNAUTHENTICATED");
    }
    let limited = send("Bearer no.valid.token").await;
    assert_eq!(limited.code(), "RATE_LIMITED");
    let seconds: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!((1_500..=1_800).contains(&seconds), "{seconds}");
    assert_eq!(client.call(get("/v1/products")).await.status, StatusCode::OK);
    assert_eq!(client.call(kim(get("/v1/products"))).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_large_head_is_rejected() {
    let client = Client::new().await;
    let read = |length| client.call(get("/v1/products").insert_header(("X-Large", "x".repeat(length))));
    let rejected = read(16 * 1024).await;
    assert_eq!((rejected.status.as_u16(), rejected.code()), (431, "HEADERS_TOO_LARGE".to_owned()));
    assert_eq!(read(16 * 1000).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_panic_is_an_internal_error() {
    let client = Client::panicking().await;
    let answer = client.call(kim(get("/v1/users/kim/points"))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR".to_owned()));
    assert!(!answer.header("x-request-id").is_empty());
    assert!(!String::from_utf8_lossy(&answer.body).contains("the store broke"));
}

#[actix_web::test]
async fn a_panic_in_a_decision_fails_one_command_and_is_logged_once() {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let _logged = tracing::subscriber::set_default(lines.finish());
    let mut events = MockEventRenderer::new();
    events.expect_order_paid().returning(|_, _, _| panic!("the renderer broke"));
    let client = Client::rendering(Arc::new(events)).await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 9).await;
    let placed = client.call(kim(post("/v1/orders", json!({"lines": [{"product_id": product, "quantity": 1}]})))).await;
    let top_up = || client.call(kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5"}))));
    let pay = client.call(kim(post(&format!("{}/payment", placed.header("location")), json!({}))));

    // The first request waits for the writer with its batch; the two after it share the next batch.
    let writer = client.store.factory().begin(batch_id(), &FirstKeys::default()).await.expect("the only writer");
    let release = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(writer);
    };
    let (first, paid, second, ()) = futures_util::future::join4(top_up(), pay, top_up(), release).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!((paid.status, paid.code()), (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR".to_owned()));
    assert!(!String::from_utf8_lossy(&paid.body).contains("the renderer broke"));
    assert_eq!(client.call(kim(get("/v1/users/kim/points"))).await.json()["balance"], "10");
    let logged = log.text();
    let lines: Vec<_> = logged.lines().filter(|line| line.contains("the renderer broke")).collect();
    assert!(matches!(lines[..], [line] if line.contains("ERROR") && line.contains("pay_order panicked")), "{lines:?}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic while it is locked").clone()).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic while it is locked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn every_response_has_a_request_id() {
    let client = Client::new().await;
    let given = client.call(get("/v1/nothing").insert_header(("X-Request-Id", "trace-7"))).await;
    assert_eq!((given.header("x-request-id"), &given.json()["request_id"]), ("trace-7", &json!("trace-7")));
    let made = client.call(get("/v1/products").insert_header(("X-Request-Id", "no good"))).await;
    assert_eq!(made.header("x-request-id").len(), 36);
}

#[actix_web::test]
async fn errors_are_in_korean_where_preferred() {
    let client = Client::new().await;
    let answer = client.call(get("/v1/nothing").insert_header(("Accept-Language", "ko-KR, en;q=0.5"))).await;
    assert_eq!((&answer.json()["title"], answer.code()), (&json!("찾을 수 없음"), "NOT_FOUND".to_owned()));
    assert_eq!(answer.header("content-language"), "ko");
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[actix_web::test]
async fn a_draining_server_is_not_ready() {
    let client = Client::new().await;
    assert_eq!(client.call(get("/readyz")).await.status, StatusCode::OK);
    client.readiness.drain();
    let answer = client.call(get("/readyz")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "NOT_READY".to_owned()));
    assert_eq!(client.call(get("/livez")).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn metrics_are_served() {
    let client = Client::new().await;
    client.call(kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5"})))).await;
    let metrics = client.call(get("/metrics")).await;
    let text = String::from_utf8(metrics.body).expect("text");
    for name in ["jangteo_http_request_duration_seconds_bucket", "jangteo_batch_size_bucket", "jangteo_queue_depth"] {
        assert!(text.contains(name), "{name}");
    }
    assert!(text.contains(r#"route="/v1/users/{user_id}/points/top-ups""#), "{text}");
}

#[actix_web::test]
async fn commands_are_counted_by_their_outcome() {
    let client = Client::new().await;
    let top_up = |amount: &str| kim(post("/v1/users/kim/points/top-ups", json!({"amount": amount})));
    client.call(top_up("5")).await;
    for _ in 0..2 {
        client.call(top_up("1000001").insert_header(("Idempotency-Key", "counted"))).await;
    }
    client.call(top_up("5").insert_header(("Idempotency-Key", "counted"))).await;
    let statistics = String::from_utf8(client.call(get("/metrics")).await.body).expect("text");
    for outcome in ["accepted", "TOP_UP_LIMIT_EXCEEDED", "IDEMPOTENCY_KEY_REUSED"] {
        let counter = format!(r#"jangteo_commands_total{{command="top_up_points",outcome="{outcome}"}}"#);
        assert!(statistics.contains(&counter), "{counter}");
    }
}

#[actix_web::test]
async fn responses_have_security_headers() {
    let answer = Client::new().await.call(get("/v1/coupon-campaigns")).await;
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

/// The headers of CORS in a response.
fn cors(answer: &client::Answer) -> Vec<(&str, &str)> {
    let headers = answer.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let mut headers: Vec<_> = headers.filter(|(name, _)| name.starts_with("access-control")).collect();
    headers.sort_unstable();
    headers
}

fn preflight(origin: &'static str) -> TestRequest {
    let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
    headers.into_iter().fold(send(Method::OPTIONS, "/v1/orders"), TestRequest::insert_header)
}

#[actix_web::test]
async fn pages_of_allowed_origins_may_call() {
    const ORIGIN: &str = "https://shop.example";
    let client = Client::for_pages_of(ORIGIN).await;
    let permission = client.call(preflight(ORIGIN)).await;
    assert_eq!(permission.status, StatusCode::NO_CONTENT);
    let exposed = ("access-control-expose-headers", "ETag, Idempotent-Replayed, Location, Retry-After, X-Request-Id");
    let origin = ("access-control-allow-origin", ORIGIN);
    assert_eq!(
        cors(&permission),
        [
            ("access-control-allow-headers", "Authorization, Content-Type, Idempotency-Key, If-Match"),
            ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
            origin,
            exposed,
            ("access-control-max-age", "600"),
        ]
    );
    assert!(!permission.header("x-request-id").is_empty());
    for request in [get("/v1/products"), get("/v1/users/kim/points"), get("/v1/nothing")] {
        let answer = client.call(request.insert_header(("Origin", ORIGIN))).await;
        assert_eq!(cors(&answer), [origin, exposed], "{}", answer.status);
    }
    for request in [get("/v1/products").insert_header(("Origin", "https://evil.example")), get("/v1/products")] {
        let answer = client.call(request).await;
        assert_eq!((answer.status, cors(&answer)), (StatusCode::OK, vec![]));
        assert!(answer.headers.get_all("vary").any(|vary| vary == "Origin"));
    }
    assert_eq!(client.call(preflight("https://evil.example")).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[actix_web::test]
async fn there_is_no_cors_without_origins() {
    let client = Client::new().await;
    let rejected = client.call(preflight("https://shop.example")).await;
    assert_eq!((rejected.status, cors(&rejected)), (StatusCode::METHOD_NOT_ALLOWED, vec![]));
    let answer = client.call(get("/v1/coupon-campaigns").insert_header(("Origin", "https://shop.example"))).await;
    assert_eq!((answer.status, cors(&answer), answer.header("vary")), (StatusCode::OK, vec![], ""));
}

#[actix_web::test]
async fn the_page_of_the_document_loads_nothing_from_elsewhere() {
    let client = Client::new().await;
    assert_eq!(client.call(get("/docs")).await.header("location"), "/docs/");
    let page = client.call(get("/docs/")).await;
    let html = String::from_utf8(page.body.clone()).expect("text");
    assert_eq!(page.status, StatusCode::OK);
    assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
    assert!(page.header("content-security-policy").contains("'self'"));
    let script = || get("/docs/swagger-ui-bundle.js").insert_header(("Accept-Encoding", "gzip"));
    let compressed = client.call(script()).await;
    assert_eq!((compressed.status, compressed.header("content-encoding")), (StatusCode::OK, "gzip"));
    assert_eq!(compressed.header("cache-control"), "public, no-cache");
    let again = client.call(script().insert_header(("If-None-Match", compressed.header("etag")))).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(client.call(get("/docs/nothing.js")).await.code(), "NOT_FOUND");
    let document = client.call(get("/openapi.json")).await.json();
    assert_eq!(document, serde_json::to_value(super::openapi()).expect("JSON"));
}

#[test]
fn the_document_matches_its_snapshot() {
    let mut document = super::openapi();
    document.info.version = "of the release".to_owned();
    insta::assert_json_snapshot!(document);
}

#[actix_web::test]
async fn the_books_are_verified_for_admins_only() {
    let client = Client::new().await;
    client.call(kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5000"})))).await;
    let path = "/v1/admin/verification";
    assert_eq!(client.call(kim(get(path))).await.code(), "FORBIDDEN");
    let verified = client.call(admin(get(path))).await;
    assert_eq!(verified.status, StatusCode::OK);
    let document = verified.json();
    assert_eq!(document["verified_at"], "2030-01-01T12:00:00Z");
    assert_eq!((&document["rows"], &document["findings_total"]), (&json!(2), &json!(0)));
    assert_eq!(document["parts"][0], json!({"part": "ledger", "rows": 2, "findings": 0}));
    assert_eq!(client.call(admin(get(path))).await.json(), document);
}

/// Books that never open.
struct SlowBooks;

#[async_trait]
impl BooksFactory for SlowBooks {
    async fn open(&self) -> Result<Box<dyn Books>, StoreError> {
        std::future::pending().await
    }

    async fn open_to_correct(&self) -> Result<Box<dyn BooksCorrection>, StoreError> {
        std::future::pending().await
    }
}

#[actix_web::test]
async fn a_verification_beyond_the_deadline_is_reported_as_running() {
    let timeout = std::time::Duration::from_millis(5);
    let client = Client::with_books(Arc::new(SlowBooks), |options| options.request_timeout = timeout).await;
    let answer = client.call(admin(get("/v1/admin/verification"))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "VERIFICATION_RUNNING".to_owned()));
    assert_eq!(answer.header("retry-after"), "5");
}

#[rstest]
#[case::the_user("kim", "", 201, 403)]
#[case::another_user("lee", "", 404, 404)]
#[case::the_back_office("boss", "admin", 201, 201)]
#[case::a_payment_service("payments", "points:top-up", 201, 201)]
#[case::one_of_several_scopes("payments", "profile points:top-up", 201, 201)]
#[case::a_similar_scope("payments", "points:top-up-history", 404, 404)]
#[actix_web::test]
async fn only_payment_services_top_up_where_the_shop_says_so(
    #[case] caller: &str,
    #[case] scope: &str,
    #[case] by_owner: u16,
    #[case] by_scope: u16,
) {
    for (top_up_by, expected) in [(TopUpBy::Owner, by_owner), (TopUpBy::Scope, by_scope)] {
        let client = Client::with(|options| options.top_up_by = top_up_by).await;
        let top_up = post("/v1/users/kim/points/top-ups", json!({"amount": "5"}));
        assert_eq!(client.call(by(caller, scope, top_up)).await.status.as_u16(), expected, "{top_up_by:?}");
    }
}

#[actix_web::test]
async fn a_payment_service_may_do_nothing_else() {
    let client = Client::new().await;
    for path in ["/v1/users/kim/points", "/v1/users/kim/points/entries", "/v1/users/kim/orders"] {
        let answer = client.call(by("payments", "points:top-up", get(path))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let answer = client.call(by("payments", "points:top-up", get("/v1/admin/orders"))).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
