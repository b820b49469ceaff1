//! The data and the rights of others: ids, cursors, idempotency keys, and members that a caller must not set.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::report::Report;
use crate::target::{Answer, Request, Target};

/// A user with points, orders and a coupon, whom the attacker does not know but by id.
pub struct Victim {
    pub user: String,
    pub product: String,
    campaign: String,
    coupon: String,
    order: String,
    paid_order: String,
    balance: Value,
}

impl Victim {
    /// Creates the victim with the rights of the back office. Its names are new at each run.
    pub async fn create(target: &Target) -> Result<Self> {
        let user = format!("victim-{:016x}", rand::random::<u64>());
        let (own, admin) = (target.user(&user), target.admin());
        let create = async |token: &str, path: String, body: Value, member: &str| -> Result<String> {
            let document = target.document(&Request::post(path, body.to_string()).bearer(token)).await?;
            document[member].as_str().map(str::to_owned).with_context(|| format!("no {member} in {document}"))
        };
        let day = |days: i64| {
            let time = time::OffsetDateTime::now_utc() + time::Duration::days(days);
            time.format(&time::format_description::well_known::Rfc3339).expect("a year of four digits")
        };
        let product = json!({ "name": "a cup of the victim", "category": "attack", "price": "1000" });
        let product = create(&admin, "/v1/admin/products".to_owned(), product, "product_id").await?;
        let stock = json!({ "quantity": 1_000, "reason": "attack" });
        create(&admin, format!("/v1/admin/products/{product}/stock-movements"), stock, "movement_id").await?;
        let points = json!({ "amount": "5000", "reason": "attack" });
        create(&admin, format!("/v1/admin/users/{user}/points/adjustments"), points, "entry_id").await?;
        let campaign = json!({
            "name": "attack", "discount": { "kind": "fixed", "amount": "100" }, "quantity": 10,
            "issue_opens_at": day(-1), "issue_closes_at": day(1), "valid_days": 7,
        });
        let campaign = create(&admin, "/v1/admin/coupon-campaigns".to_owned(), campaign, "campaign_id").await?;
        let coupon = create(&own, format!("/v1/coupon-campaigns/{campaign}/coupons"), json!({}), "coupon_id").await?;
        let lines = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
        let order = create(&own, "/v1/orders".to_owned(), lines.clone(), "order_id").await?;
        let paid_order = create(&own, "/v1/orders".to_owned(), lines, "order_id").await?;
        create(&own, format!("/v1/orders/{paid_order}/payment"), json!({}), "payment_id").await?;
        let mut victim = Self { user, product, campaign, coupon, order, paid_order, balance: Value::Null };
        victim.balance = victim.balance(target).await;
        Ok(victim)
    }

    /// The path of the points.
    pub fn points(&self) -> String {
        format!("/v1/users/{}/points", self.user)
    }

    async fn balance(&self, target: &Target) -> Value {
        let request = Request::get(self.points()).bearer(&target.user(&self.user));
        target.send(&request).await.document()["balance"].clone()
    }

    /// Adds rows on what the attacks have changed.
    pub async fn check(&self, target: &Target, report: &mut Report) {
        let balance = Answer::Fact(self.balance(target).await.to_string());
        report.add("afterwards: the victim's balance", &self.balance.to_string(), &balance);
        let own = target.user(&self.user);
        for (order, status) in [(&self.order, "pending_payment"), (&self.paid_order, "paid")] {
            let document = target.send(&Request::get(format!("/v1/orders/{order}")).bearer(&own)).await.document();
            // An attack of ten minutes outlives the time to pay.
            let expected = if status == "paid" { status } else { "pending_payment or expired" };
            let got = Answer::Fact(document["status"].as_str().unwrap_or_default().to_owned());
            report.add(format!("afterwards: the victim's order, {status}"), expected, &got);
        }
    }
}

pub async fn attack(target: &Target, victim: &Victim, report: &mut Report) {
    resources_of_others(target, victim, report).await;
    roles(target, victim, report).await;
    mass_assignment(target, victim, report).await;
    idempotency_keys(target, victim, report).await;
    cursors(target, victim, report).await;
}

async fn resources_of_others(target: &Target, victim: &Victim, report: &mut Report) {
    let mallory = target.user("mallory");
    let Victim { user, product, coupon, order, paid_order, .. } = victim;
    let own_order = json!({ "lines": [{ "product_id": product, "quantity": 1 }] }).to_string();
    let own_order = target.send(&Request::post("/v1/orders", own_order).bearer(&mallory)).await.document();
    let own_order = own_order["order_id"].as_str().unwrap_or_default().to_owned();
    let with_coupon = json!({ "coupon_id": coupon }).to_string();
    let quote = json!({ "lines": [{ "product_id": product, "quantity": 1 }], "coupon_id": coupon }).to_string();
    let requests = [
        ("points", Request::get(victim.points())),
        ("ledger", Request::get(format!("{}/entries", victim.points()))),
        ("coupons", Request::get(format!("/v1/users/{user}/coupons"))),
        ("orders", Request::get(format!("/v1/users/{user}/orders"))),
        ("order", Request::get(format!("/v1/orders/{order}"))),
        ("order in capitals", Request::get(format!("/v1/orders/{}", order.to_uppercase()))),
        ("refunds", Request::get(format!("/v1/orders/{paid_order}/refunds"))),
        ("payment", Request::post(format!("/v1/orders/{order}/payment"), "{}")),
        ("cancellation", Request::post(format!("/v1/orders/{order}/cancellation"), "{}")),
        ("cancellation of a paid order", Request::post(format!("/v1/orders/{paid_order}/cancellation"), "{}")),
        ("top-up", Request::post(format!("{}/top-ups", victim.points()), r#"{"amount":"1"}"#)),
        ("coupon in a payment", Request::post(format!("/v1/orders/{own_order}/payment"), with_coupon)),
        ("coupon in a quote", Request::post("/v1/orders/quote", quote)),
        ("user in capitals", Request::get(format!("/v1/users/{}/points", user.to_uppercase()))),
        ("user, percent-encoded", Request::get(format!("/v1/users/%76{}/points", &user[1..]))),
        ("user behind NUL", Request::get(format!("/v1/users/{user}%00/points"))),
        ("user behind a path", Request::get(format!("/v1/users/mallory/../{user}/points"))),
        ("user behind an encoded path", Request::get(format!("/v1/users/mallory%2f..%2f{user}/points"))),
        ("user behind a matrix", Request::get(format!("/v1/users/mallory;{user}/points"))),
        ("all users", Request::get("/v1/users/*/points")),
    ];
    for (attack, request) in requests {
        report.send(target, format!("of others: {attack}"), "404", request.bearer(&mallory)).await;
    }
    let own = Request::get("/v1/users/mallory/orders").header("x-user-id", user.clone()).bearer(&mallory);
    let listed = target.send(&own).await.document().to_string();
    report.add("of others: a list of one's own", "yes", &Answer::of(!listed.contains(user.as_str())));
}

async fn roles(target: &Target, victim: &Victim, report: &mut Report) {
    let Victim { user, product, campaign, coupon, paid_order, .. } = victim;
    let refund = json!({ "lines": [{ "product_id": product, "quantity": 1 }], "restock": true, "reason": "x" });
    let requests = [
        Request::get("/v1/admin/orders"),
        Request::get("/v1/admin/products"),
        Request::get("/v1/admin/events"),
        Request::get("/v1/admin/audit-log"),
        Request::get("/v1/admin/verification"),
        Request::get(format!("/v1/admin/products/{product}/stock-movements")),
        Request::post("/v1/admin/products", r#"{"name":"x","category":"x","price":"0"}"#),
        Request::post(format!("/v1/admin/products/{product}/stock-movements"), r#"{"quantity":1,"reason":"x"}"#),
        Request::post("/v1/admin/coupon-campaigns", "{}"),
        Request::post(format!("/v1/admin/coupons/{coupon}/revocation"), "{}"),
        Request::post(format!("/v1/admin/orders/{paid_order}/refunds"), refund.to_string()),
        Request::post(format!("/v1/admin/users/{user}/points/adjustments"), r#"{"amount":"1","reason":"x"}"#),
        Request::post(format!("/v1/admin/events/{coupon}/redelivery"), "{}"),
        patch(format!("/v1/admin/products/{product}"), r#"{"price":"0"}"#),
        patch(format!("/v1/admin/coupon-campaigns/{campaign}"), r#"{"quantity":9}"#),
    ];
    for request in requests {
        let attack = format!("back office: {} {}", request.method, request.path.split('?').next().unwrap_or_default());
        report.send(target, format!("{attack}, a user"), "403", request.clone().bearer(&target.user("mallory"))).await;
        report.send(target, format!("{attack}, anonymous"), "401", request).await;
    }
    for path in ["/v1/Admin/orders", "/v1//admin/orders", "/v1/products/../admin/orders", "/v1/%2e%2e/v1/admin/orders"]
    {
        report.send(target, format!("back office: {path}"), "404", Request::get(path)).await;
    }
    let encoded = Request::get("/v1/%61dmin/orders").bearer(&target.user("mallory"));
    report.send(target, "back office: /v1/%61dmin/orders", "403 or 404", encoded).await;
}

/// Members that belong to the server, or to another operation.
async fn mass_assignment(target: &Target, victim: &Victim, report: &mut Report) {
    let (own, admin) = (target.user(&victim.user), target.admin());
    let line = json!([{ "product_id": victim.product, "quantity": 1 }]);
    let top_ups = format!("{}/top-ups", victim.points());
    let bodies = [
        (&own, top_ups.clone(), json!({ "amount": "1", "balance": "1000000" })),
        (&own, top_ups, json!({ "amount": "1", "user_id": "mallory" })),
        (&own, "/v1/orders".to_owned(), json!({ "lines": line, "total": "0" })),
        (&own, "/v1/orders".to_owned(), json!({ "lines": line, "status": "paid" })),
        (&own, "/v1/orders".to_owned(), json!({ "lines": line, "user_id": "mallory" })),
        (
            &own,
            "/v1/orders".to_owned(),
            json!({ "lines": [{ "product_id": victim.product, "quantity": 1, "unit_price": "1" }] }),
        ),
        (&own, format!("/v1/orders/{}/payment", victim.order), json!({ "amount": "0" })),
        (&own, format!("/v1/orders/{}/cancellation", victim.paid_order), json!({ "refund": "9999" })),
        (&own, format!("/v1/coupon-campaigns/{}/coupons", victim.campaign), json!({ "user_id": "mallory" })),
        (
            &admin,
            "/v1/admin/products".to_owned(),
            json!({ "name": "x", "category": "x", "price": "1", "available": 9 }),
        ),
        (
            &admin,
            "/v1/admin/products".to_owned(),
            json!({ "name": "x", "category": "x", "price": "1", "__proto__": { "status": "on_sale" } }),
        ),
    ];
    for (token, path, body) in bodies {
        let attack = format!("unknown member: {body}").replace(&victim.product, "…");
        report.send(target, attack, "400", Request::post(path, body.to_string()).bearer(token)).await;
    }
}

async fn idempotency_keys(target: &Target, victim: &Victim, report: &mut Report) {
    let key = format!("attack-{:016x}", rand::random::<u64>());
    let order = |token: &str, quantity: u32, key: &str| {
        let lines = json!({ "lines": [{ "product_id": victim.product, "quantity": quantity }] });
        Request::post("/v1/orders", lines.to_string()).bearer(token).header("idempotency-key", key)
    };
    let (own, eve) = (target.user(&victim.user), target.user("eve"));
    let first = target.send(&order(&own, 1, &key)).await;
    report.add("key: the first request", "201", &first);
    report.send(target, "key: another body", "422", order(&own, 2, &key)).await;
    let stolen = target.send(&order(&eve, 1, &key)).await;
    report.add("key: of another user", "201", &stolen);
    let is_own = stolen.document()["user_id"] == "eve" && stolen.header("idempotent-replayed").is_none();
    report.add("key: of another user reveals nothing", "yes", &Answer::of(is_own));
    report.send(target, "key: without a token", "401", order("", 1, &key)).await;
    let again = target.send(&order(&own, 1, &key)).await;
    report.add("key: a retry has no effect", "yes", &Answer::of(again.document() == first.document()));
    for (attack, bad) in [
        ("256 characters", "k".repeat(256)),
        ("empty", String::new()),
        ("not ASCII", "키".to_owned()),
        ("half quoted", "\"k".to_owned()),
    ] {
        report.send(target, format!("key: {attack}"), "400", order(&own, 1, &bad)).await;
    }
    report.send(target, "key: two", "400", order(&own, 1, "a").header("idempotency-key", "b")).await;
}

async fn cursors(target: &Target, victim: &Victim, report: &mut Report) {
    let own = target.user(&victim.user);
    let list = |path: String| Request::get(path).bearer(&own);
    let page = target.send(&list(format!("/v1/users/{}/orders?limit=1", victim.user))).await.document();
    let cursor = page["next_cursor"].as_str().unwrap_or("there is no cursor");
    report
        .send(
            target,
            "cursor: its own list",
            "200",
            list(format!("/v1/users/{}/orders?limit=1&cursor={cursor}", victim.user)),
        )
        .await;
    let flipped = if cursor.starts_with('A') { "B" } else { "A" };
    let changed = format!("{flipped}{}", &cursor[1..]);
    let forged = [
        ("changed", format!("/v1/users/{}/orders?cursor={changed}", victim.user)),
        ("cut short", format!("/v1/users/{}/orders?cursor={}", victim.user, &cursor[..cursor.len() / 2])),
        ("of another filter", format!("/v1/users/{}/orders?status=paid&cursor={cursor}", victim.user)),
        ("of another list", format!("/v1/users/{}/coupons?cursor={cursor}", victim.user)),
        ("of another sort", format!("/v1/products?sort=price&cursor={cursor}")),
        ("made up", "/v1/products?sort=newest&cursor=eyJwcmljZSI6WyIxIiwieCJdfQ".to_owned()),
        ("huge", format!("/v1/products?cursor={}", "A".repeat(12_000))),
        ("SQL", "/v1/products?cursor=%27%20OR%201%3D1%20--".to_owned()),
        ("not UTF-8", "/v1/products?cursor=%ff%fe".to_owned()),
    ];
    for (attack, path) in forged {
        report.send(target, format!("cursor: {attack}"), "400", list(path)).await;
    }
    let of_others = Request::get(format!("/v1/users/mallory/orders?cursor={cursor}")).bearer(&target.user("mallory"));
    report.send(target, "cursor: of another user", "400", of_others).await;
}

fn patch(path: String, body: &str) -> Request {
    Request::new("PATCH", path).header("content-type", "application/json").body(body)
}
