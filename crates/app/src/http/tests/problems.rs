//! Every problem that an operation declares occurs.

use std::collections::BTreeSet;

use actix_web::test::TestRequest;
use uuid::Uuid;

use super::client::campaign;
use super::documented::OPERATIONS;
use super::*;

/// A shop with an order, a coupon and a campaign in each state.
struct Scene {
    client: Client,
    lamp: String,
    hidden: String,
}

impl Scene {
    async fn new() -> Self {
        let client = Client::new().await;
        let lamp = client.product(json!({"name": "Lamp", "category": "home", "price": "100"}), 50).await;
        let details = json!({"name": "Secret", "category": "home", "price": "1", "status": "hidden"});
        let hidden = client.product(details, 1).await;
        Self { client, lamp, hidden }
    }

    /// Asserts the code of each response.
    async fn expect(&self, cases: impl IntoIterator<Item = (TestRequest, &str)>) {
        for (request, code) in cases {
            let answer = self.client.call(request).await;
            assert_eq!(answer.code(), code, "{}", answer.json());
        }
    }

    /// Sends requests that succeed; returns the response to the last one.
    async fn succeed(&self, request: TestRequest) -> Value {
        let answer = self.client.call(request).await;
        assert!(answer.status.is_success(), "{}", answer.json());
        answer.json()
    }

    /// Places an order for a lamp; returns its path below `/v1`.
    async fn order(&self) -> String {
        let order = self.succeed(kim(post("/v1/orders", lines(&self.lamp, 1)))).await;
        format!("orders/{}", order["order_id"].as_str().expect("an id"))
    }

    /// Creates a campaign with the changes; returns the path of its coupons.
    async fn campaign(&self, changes: Value) -> String {
        let mut request = campaign(json!({"kind": "fixed", "amount": "10"}));
        for (name, value) in changes.as_object().expect("fields") {
            request[name] = value.clone();
        }
        let created = self.succeed(admin(post("/v1/admin/coupon-campaigns", request))).await;
        format!("/v1/coupon-campaigns/{}/coupons", created["campaign_id"].as_str().expect("an id"))
    }

    async fn coupon(&self, changes: Value) -> String {
        let coupon = self.succeed(kim(send(Method::POST, &self.campaign(changes).await))).await;
        coupon["coupon_id"].as_str().expect("an id").to_owned()
    }
}

fn lines(product: &str, quantity: i64) -> Value {
    json!({"lines": [{"product_id": product, "quantity": quantity}]})
}

fn refund(product: &str, quantity: i64, restock: bool) -> Value {
    let mut refund = lines(product, quantity);
    refund["restock"] = restock.into();
    refund["reason"] = "damaged".into();
    refund
}

fn patch(path: &str, json: Value) -> TestRequest {
    admin(send(Method::PATCH, path).set_json(json))
}

async fn points(scene: &Scene) {
    let top_up = |amount: &str| kim(post("/v1/users/kim/points/top-ups", json!({"amount": amount})));
    let adjust = |user: &str, amount: &str| {
        admin(post(&format!("/v1/admin/users/{user}/points/adjustments"), json!({"amount": amount, "reason": "test"})))
    };
    scene
        .expect([
            (lee(get("/v1/users/kim/points")), "USER_NOT_FOUND"),
            (lee(get("/v1/users/kim/points/entries")), "USER_NOT_FOUND"),
            (lee(post("/v1/users/kim/points/top-ups", json!({"amount": "1"}))), "USER_NOT_FOUND"),
            (top_up("0"), "AMOUNT_NOT_POSITIVE"),
            (top_up("0.5"), "AMOUNT_TOO_PRECISE"),
            (top_up("1000001"), "TOP_UP_LIMIT_EXCEEDED"),
            (adjust("not%20a%20user", "1"), "USER_NOT_FOUND"),
            (adjust("kim", "0.5"), "AMOUNT_TOO_PRECISE"),
            (adjust("kim", "-1"), "INSUFFICIENT_POINTS"),
            (adjust("kim", "10000001"), "BALANCE_LIMIT_EXCEEDED"),
        ])
        .await;
    scene.succeed(adjust("kim", "10000000")).await;
    scene.expect([(top_up("1"), "BALANCE_LIMIT_EXCEEDED")]).await;
    scene.succeed(adjust("kim", "-10000000")).await;
}

async fn products(scene: &Scene) {
    let price = json!({"name": "Lamp", "category": "home", "price": "0.5"});
    let lamp = format!("/v1/admin/products/{}", scene.lamp);
    let unknown = format!("/v1/admin/products/{UNKNOWN}");
    let put = |sku: &str, price: &str| {
        let body = json!({"name": "Lamp", "category": "home", "price": price});
        admin(send(Method::PUT, &format!("/v1/admin/products/by-sku/{sku}")).set_json(body))
    };
    let adjust = |product: &str, quantity: i64| {
        admin(post(&format!("{product}/stock-movements"), json!({"quantity": quantity, "reason": "test"})))
    };
    scene
        .expect([
            (get(&format!("/v1/products/{UNKNOWN}")), "PRODUCT_NOT_FOUND"),
            (admin(post("/v1/admin/products", price)), "AMOUNT_TOO_PRECISE"),
            (patch(&lamp, json!({"price": "0.5"})), "AMOUNT_TOO_PRECISE"),
            (patch(&unknown, json!({"price": "5"})), "PRODUCT_NOT_FOUND"),
            (adjust(&unknown, 1), "PRODUCT_NOT_FOUND"),
            (admin(get(&format!("{unknown}/stock-movements"))), "PRODUCT_NOT_FOUND"),
            (adjust(&lamp, -1_000), "OUT_OF_STOCK"),
            (patch(&lamp, json!({})).insert_header(("If-Match", "1")), "INVALID_IF_MATCH"),
            (patch(&lamp, json!({})).insert_header(("If-Match", "\"2\"")), "PRECONDITION_FAILED"),
            (put("TAKEN", "0.5"), "AMOUNT_TOO_PRECISE"),
        ])
        .await;
    scene.succeed(put("TAKEN", "5")).await;
    let taken = json!({"sku": "TAKEN", "name": "Lamp", "category": "home", "price": "1"});
    scene
        .expect([
            (admin(post("/v1/admin/products", taken)), "SKU_TAKEN"),
            (patch(&lamp, json!({"sku": "TAKEN"})), "SKU_TAKEN"),
        ])
        .await;
}

async fn campaigns(scene: &Scene) {
    let unknown = format!("/v1/coupon-campaigns/{UNKNOWN}");
    let issue = |path: &str| kim(send(Method::POST, path));
    let issue_to = |path: &str, user: &str| admin(post(&path.replace("/v1/", "/v1/admin/"), json!({"user_id": user})));
    let create =
        |amount: &str| admin(post("/v1/admin/coupon-campaigns", campaign(json!({"kind": "fixed", "amount": amount}))));
    scene
        .expect([
            (get(&unknown), "CAMPAIGN_NOT_FOUND"),
            (issue(&format!("{unknown}/coupons")), "CAMPAIGN_NOT_FOUND"),
            (lee(get("/v1/users/kim/coupons")), "USER_NOT_FOUND"),
            (create("0"), "AMOUNT_NOT_POSITIVE"),
            (create("0.5"), "AMOUNT_TOO_PRECISE"),
            (patch(&format!("/v1/admin/coupon-campaigns/{UNKNOWN}"), json!({"quantity": 20})), "CAMPAIGN_NOT_FOUND"),
            (admin(get(&format!("/v1/admin/coupon-campaigns/{UNKNOWN}/coupons"))), "CAMPAIGN_NOT_FOUND"),
            (issue_to(&format!("{unknown}/coupons"), "kim"), "CAMPAIGN_NOT_FOUND"),
        ])
        .await;
    let early = scene.campaign(json!({"issue_opens_at": "2035-01-01T00:00:00Z"})).await;
    let late = scene.campaign(json!({"issue_closes_at": "2029-01-01T00:00:00Z"})).await;
    let single = scene.campaign(json!({"quantity": 1})).await;
    scene.succeed(issue(&single)).await;
    let change = |json: Value| patch(&late.replace("/v1/", "/v1/admin/").replace("/coupons", ""), json);
    scene
        .expect([
            (issue(&early), "CAMPAIGN_NOT_OPEN"),
            (issue(&late), "CAMPAIGN_CLOSED"),
            (issue(&single), "COUPON_ALREADY_ISSUED"),
            (lee(send(Method::POST, &single)), "COUPON_SOLD_OUT"),
            (issue_to(&early, "kim"), "CAMPAIGN_NOT_OPEN"),
            (issue_to(&late, "kim"), "CAMPAIGN_CLOSED"),
            (issue_to(&single, "kim"), "COUPON_ALREADY_ISSUED"),
            (issue_to(&single, "lee"), "COUPON_SOLD_OUT"),
            (change(json!({"quantity": 9})), "CAMPAIGN_QUANTITY_LOWERED"),
            (change(json!({"issue_closes_at": "2037-01-01T00:00:00Z"})), "CAMPAIGN_CLOSING_POSTPONED"),
        ])
        .await;
}

async fn orders(scene: &Scene) {
    let (lamp, hidden) = (scene.lamp.as_str(), scene.hidden.as_str());
    let place = |json: Value| kim(post("/v1/orders", json));
    let expecting = |total: &str| {
        let mut order = lines(lamp, 1);
        order["expected_total"] = total.into();
        order
    };
    let quote = |json: Value| kim(post("/v1/orders/quote", json));
    scene
        .expect([
            (place(json!({"lines": []})), "EMPTY_ORDER"),
            (place(lines(lamp, 0)), "INVALID_QUANTITY"),
            (place(expecting("0.5")), "AMOUNT_TOO_PRECISE"),
            (place(lines(UNKNOWN, 1)), "PRODUCT_NOT_FOUND"),
            (place(lines(hidden, 1)), "PRODUCT_NOT_ON_SALE"),
            (place(lines(lamp, 100)), "OUT_OF_STOCK"),
            (place(expecting("99")), "PRICE_CHANGED"),
            (quote(json!({"lines": []})), "EMPTY_ORDER"),
            (quote(lines(lamp, 0)), "INVALID_QUANTITY"),
            (quote(lines(UNKNOWN, 1)), "PRODUCT_NOT_FOUND"),
            (quote(lines(hidden, 1)), "PRODUCT_NOT_ON_SALE"),
            (kim(get(&format!("/v1/orders/{UNKNOWN}"))), "ORDER_NOT_FOUND"),
            (kim(get(&format!("/v1/orders/{UNKNOWN}/refunds"))), "ORDER_NOT_FOUND"),
            (lee(get("/v1/users/kim/orders")), "USER_NOT_FOUND"),
            (admin(get(&format!("/v1/admin/orders/{UNKNOWN}/timeline"))), "ORDER_NOT_FOUND"),
        ])
        .await;
    for _ in 0..20 {
        scene.succeed(lee(post("/v1/orders", lines(lamp, 1)))).await;
    }
    scene.expect([(lee(post("/v1/orders", lines(lamp, 1))), "TOO_MANY_OPEN_ORDERS")]).await;

    let delivery = json!({"quantity": 1_000, "reason": "delivery"});
    scene.succeed(admin(post(&format!("/v1/admin/products/{lamp}/stock-movements"), delivery))).await;
    let cancel = |order: &Value| {
        let id = order["order_id"].as_str().expect("an id");
        kim(post(&format!("/v1/orders/{id}/cancellation"), json!({})))
    };
    let order = scene.succeed(place(lines(lamp, 1_000))).await;
    scene.expect([(place(lines(lamp, 1)), "RESERVATION_LIMIT_EXCEEDED")]).await;
    scene.succeed(cancel(&order)).await;
    for _ in 1..500 {
        let order = scene.succeed(place(lines(lamp, 1))).await;
        scene.succeed(cancel(&order)).await;
    }
    scene.expect([(place(lines(lamp, 1)), "TOO_MANY_UNPAID_ORDERS")]).await;
    scene.client.store.advance(Duration::days(1));
}

async fn payments(scene: &Scene) {
    let quote = |coupon: &str| {
        let mut quote = lines(&scene.lamp, 1);
        quote["coupon_id"] = coupon.into();
        kim(post("/v1/orders/quote", quote))
    };
    let pay = |order: &str, body: Value| kim(post(&format!("/v1/{order}/payment"), body));
    let cancel = |order: &str| kim(post(&format!("/v1/{order}/cancellation"), json!({})));
    let give_back = |order: &str, refund: Value| admin(post(&format!("/v1/admin/{order}/refunds"), refund));
    let revoke = |coupon: &str| admin(send(Method::POST, &format!("/v1/admin/coupons/{coupon}/revocation")));
    let (expired, unpaid) = (scene.order().await, format!("orders/{UNKNOWN}"));
    scene.client.store.advance(Duration::minutes(11));
    let (paid, cancelled, open) = (scene.order().await, scene.order().await, scene.order().await);
    let minimum = scene.coupon(json!({"min_order_amount": "1000"})).await;
    scene.succeed(cancel(&cancelled)).await;
    scene.expect([(pay(&open, json!({})), "INSUFFICIENT_POINTS")]).await;
    scene.succeed(kim(post("/v1/users/kim/points/top-ups", json!({"amount": "1000"})))).await;
    scene.succeed(pay(&paid, json!({}))).await;
    scene
        .expect([
            (pay(&unpaid, json!({})), "ORDER_NOT_FOUND"),
            (pay(&paid, json!({})), "ORDER_ALREADY_PAID"),
            (pay(&cancelled, json!({})), "ORDER_CANCELLED"),
            (pay(&expired, json!({})), "ORDER_EXPIRED"),
            (pay(&open, json!({"coupon_id": UNKNOWN})), "COUPON_NOT_FOUND"),
            (pay(&open, json!({"coupon_id": minimum})), "COUPON_NOT_USABLE"),
            (quote(UNKNOWN), "COUPON_NOT_FOUND"),
            (revoke(UNKNOWN), "COUPON_NOT_FOUND"),
            (cancel(&unpaid), "ORDER_NOT_FOUND"),
            (cancel(&expired), "ORDER_EXPIRED"),
            (cancel(&cancelled), "ORDER_ALREADY_CANCELLED"),
            (give_back(&paid, json!({"lines": [], "restock": true, "reason": "damaged"})), "EMPTY_ORDER"),
            (give_back(&paid, refund(&scene.lamp, 0, true)), "INVALID_QUANTITY"),
            (give_back(&unpaid, refund(&scene.lamp, 1, true)), "ORDER_NOT_FOUND"),
            (give_back(&open, refund(&scene.lamp, 1, true)), "ORDER_NOT_PAID"),
            (give_back(&paid, refund(&scene.lamp, 2, true)), "REFUND_TOO_LARGE"),
        ])
        .await;
    scene.succeed(revoke(&minimum)).await;
    scene.expect([(revoke(&minimum), "COUPON_NOT_USABLE")]).await;

    // Adjustments have an upper limit; an order always returns its items.
    let adjust = |quantity: i64| {
        let path = format!("/v1/admin/products/{}/stock-movements", scene.lamp);
        admin(post(&path, json!({"quantity": quantity, "reason": "test"})))
    };
    let half = scene.succeed(adjust(i32::MAX.into())).await;
    let available = half["available_after"].as_i64().expect("a number");
    scene.succeed(adjust(i64::from(u32::MAX) - available)).await;
    scene.expect([(adjust(1), "STOCK_LIMIT_EXCEEDED")]).await;
    scene.succeed(cancel(&open)).await;
    scene.succeed(give_back(&paid, refund(&scene.lamp, 1, true))).await;
    scene.expect([(adjust(1), "STOCK_LIMIT_EXCEEDED")]).await;
}

async fn operation(scene: &Scene) {
    let redeliver = admin(send(Method::POST, &format!("/v1/admin/events/{UNKNOWN}/redelivery")));
    let runs = scene.client.store.verification_runs();
    runs.begin(Uuid::nil().into(), None, "another:1").await.expect("a store");
    scene
        .expect([
            (redeliver, "EVENT_NOT_FOUND"),
            (admin(get(&format!("/v1/admin/verifications/{UNKNOWN}"))), "VERIFICATION_NOT_FOUND"),
            (admin(send(Method::POST, "/v1/admin/verifications")), "VERIFICATION_ALREADY_RUNNING"),
        ])
        .await;
    scene.client.readiness.drain();
    scene.expect([(get("/readyz"), "NOT_READY")]).await;
}

#[actix_web::test]
async fn every_declared_problem_occurs() {
    let scene = Scene::new().await;
    points(&scene).await;
    products(&scene).await;
    campaigns(&scene).await;
    orders(&scene).await;
    payments(&scene).await;
    operation(&scene).await;
    let mut received = scene.client.problems.into_inner();
    // See `only_payment_services_top_up_where_the_shop_says_so`.
    received.insert(("topUpPoints".to_owned(), "FORBIDDEN".to_owned()));
    // Its books never open: see `a_verification_beyond_the_deadline_is_reported_as_running`.
    received.insert(("verifyBooks".to_owned(), "VERIFICATION_RUNNING".to_owned()));

    let declared = OPERATIONS.iter().flat_map(|one| one.own_codes.iter().map(|code| (one.id.clone(), code.clone())));
    let missing: BTreeSet<_> = declared.filter(|problem| !received.contains(problem)).collect();
    assert!(missing.is_empty(), "declared, but not provoked: {missing:?}");
}
