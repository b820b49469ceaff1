//! The audit log: every change by the back office has an entry, and nothing else does.

use jangteo_testkit::{Call, Server, Shop, assert_fields, scenarios};
use serde_json::{Value, json};

use crate::{assert_utc, assert_uuid_v7, ids};

scenarios![
    records_every_change_of_the_back_office,
    records_back_office_actions_on_behalf_of_users,
    records_neither_rejections_nor_replays,
    is_filtered_and_paged,
    records_operations_at_the_command_line,
    chains_changes_of_all_servers,
    accepts_lines_of_servers_of_the_previous_version,
];

const LOG: &str = "/v1/admin/audit-log";

async fn log(server: &Server) -> Vec<Value> {
    let list = server.admin().get(format!("{LOG}?limit=100")).await.json(200);
    list["data"].as_array().expect("a list").clone()
}

async fn records_every_change_of_the_back_office(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(9).create().await;
    let campaign = server.campaign("all").create().await;
    server.top_up("kim", 1_000).await;
    let coupon = server.take_coupon("kim", &campaign).await;
    let order = server.order("kim", &tea, 2).await;
    server.pay("kim", &order).await;
    let events = server.admin().get("/v1/admin/events").await.json(200);
    let event = events["data"][0]["event_id"].as_str().expect("an event").to_owned();
    let prepared = log(&server).await.len();
    let admin = server.admin();
    let refund = json!({ "lines": [tea.line(1)], "restock": true, "reason": "broken" });
    let changes: [(Call, &str, &str, &str, Value); 7] = [
        (admin.patch(tea.admin_path(), json!({ "price": "120" })), "change_product", "product", &tea.id, Value::Null),
        (
            admin.post(format!("/v1/admin/events/{event}/redelivery"), json!({})),
            "redeliver_event",
            "event",
            &event,
            Value::Null,
        ),
        (server.restock(&tea, 5), "adjust_stock", "product", &tea.id, json!("a test")),
        (
            admin.patch(campaign.admin_path(), json!({ "quantity": 11 })),
            "change_campaign",
            "campaign",
            &campaign.id,
            Value::Null,
        ),
        (
            admin.post(format!("/v1/admin/coupons/{coupon}/revocation"), json!({})),
            "revoke_coupon",
            "coupon",
            &coupon,
            Value::Null,
        ),
        (
            admin.post(format!("/v1/admin/orders/{}/refunds", order.id), refund),
            "refund_order",
            "order",
            &order.id,
            json!("broken"),
        ),
        (
            admin.post("/v1/admin/users/kim/points/adjustments", json!({ "amount": "-5", "reason": "정정" })),
            "adjust_points",
            "user",
            "kim",
            json!("정정"),
        ),
    ];
    for (nth, (call, action, kind, id, reason)) in changes.into_iter().enumerate() {
        let response = call.await;
        assert!((200..300).contains(&response.status), "{response}");
        let result: Value = serde_json::from_slice(&response.body).expect("JSON");
        let log = log(&server).await;
        assert_eq!(log.len(), prepared + nth + 1, "one more entry");
        let line = &log[0];
        assert_fields(
            line,
            &[
                "audit_entry_id",
                "actor",
                "action",
                "subject_kind",
                "subject_id",
                "result",
                "created_at",
                "request_id",
                "address",
            ],
            &["reason"],
        );
        assert_uuid_v7(&line["audit_entry_id"]);
        assert_utc(&line["created_at"]);
        let shown = ["actor", "action", "subject_kind", "subject_id", "reason"].map(|member| line[member].clone());
        assert_eq!(json!(shown), json!(["back-office", action, kind, id, reason]));
        assert_eq!(line["result"], result, "{action}");
        assert_eq!(
            (line["request_id"].as_str(), &line["address"]),
            (response.header("x-request-id"), &json!("127.0.0.1"))
        );
    }
}

/// An action of an admin on behalf of a user is a back office change, even on a customer path.
async fn records_back_office_actions_on_behalf_of_users(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(9).create().await;
    let order = server.order("kim", &tea, 1).await;
    server.admin().post(order.cancellation(), json!({})).await.expect(200);
    let log = log(&server).await;
    assert_eq!((&log[0]["action"], &log[0]["subject_id"]), (&json!("cancel_order"), &json!(order.id)));
    // Customers' own actions are not logged.
    assert!(log.iter().all(|line| line["actor"] == "back-office" && line["action"] != "place_order"), "{log:?}");
}

async fn records_neither_rejections_nor_replays(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(9).create().await;
    let prepared = log(&server).await.len();
    server.restock(&tea, -10).await.problem(409, "OUT_OF_STOCK");
    server.restock(&tea, 0).await.expect(400);
    server.restock(&tea, -10).key("rejected").await.problem(409, "OUT_OF_STOCK");
    server.restock(&tea, 1).key("once").await.expect(201);
    server.restock(&tea, 1).key("once").await.expect(201);
    assert_eq!(log(&server).await.len(), prepared + 1);
}

async fn is_filtered_and_paged(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(9).create().await;
    let other = server.bearer(jangteo_testkit::token("park", Some("admin")));
    other.patch(tea.admin_path(), json!({ "price": "120" })).await.expect(200);
    let of = async |query: &str| {
        let list = server.admin().get(format!("{LOG}?{query}")).await.json(200);
        ids(&list["data"], "action")
    };
    assert_eq!(of("actor=park").await, ["change_product"]);
    assert_eq!(of("actor=Park").await, [""; 0]);
    let all = ["change_product", "adjust_stock", "create_product"];
    assert_eq!(of(&format!("subject_id={}", tea.id)).await, all);
    assert_eq!(of(&format!("subject_id={}&actor=back-office", tea.id)).await, all[1..]);

    let first = server.admin().get(format!("{LOG}?limit=2")).await.json(200);
    assert_eq!(ids(&first["data"], "action"), all[..2]);
    let cursor = first["next_cursor"].as_str().expect("a further page");
    assert_eq!(of(&format!("limit=2&cursor={cursor}")).await, all[2..]);
    server.admin().get(format!("{LOG}?actor=park&cursor={cursor}")).await.problem(400, "INVALID_CURSOR");
    for query in ["actor=a%20b", "subject_id=%C3%A9", "since=1"] {
        server.admin().get(format!("{LOG}?{query}")).await.problem(400, "INVALID_QUERY");
    }
}

async fn assert_books_agree(shop: &Shop) {
    let verified = shop.server().run(["verify"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

async fn records_operations_at_the_command_line(shop: Shop) {
    let server = shop.start().await;
    let seeded = shop.server().run(["seed"]).await;
    let rebuilt = shop.server().run(["rebuild", "daily-sales"]).await;
    let issued = shop.server().run(["token", "--user", "kim", "--scope", "admin", "--ttl", "5m"]).await;
    for output in [&seeded, &rebuilt, &issued] {
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    }
    assert_eq!(issued.stdout.lines().count(), 1, "nothing but the token: {issued:?}");
    let log = log(&server).await;
    let shown = |line: &Value| ["action", "subject_kind", "subject_id"].map(|member| line[member].clone());
    assert_eq!(json!(shown(&log[0])), json!(["issue_token", "user", "kim"]));
    assert_eq!(log[0]["result"], json!({ "user_id": "kim", "scope": "admin", "expires_in_seconds": 300 }));
    assert_eq!(json!(shown(&log[1])), json!(["rebuild_daily_sales", "table", "daily_sales"]));
    let seeded = log[2..].iter().filter(|line| line["action"] == "create_product").count();
    assert!(seeded > 0 && log[2..].iter().any(|line| line["action"] == "create_campaign"), "{log:?}");
    for line in &log {
        assert!(line["actor"].as_str().is_some_and(|actor| actor.starts_with("cli:")), "{line}");
        assert_eq!((&line["request_id"], &line["address"]), (&Value::Null, &Value::Null));
    }
    assert_books_agree(&shop).await;
}

/// Concurrent changes of one actor, on different rows and two servers, have one chain without gaps.
async fn chains_changes_of_all_servers(shop: Shop) {
    let [one, two] = [shop.start().await, shop.start().await];
    let mut products = Vec::new();
    for number in 0..4 {
        products.push(one.product(&format!("tea {number}")).price(100).stock(9).create().await);
    }
    let changes = (0..40).map(|nth| {
        let (server, tea) = (if nth % 2 == 0 { &one } else { &two }, &products[nth % 4]);
        let points = server
            .admin()
            .post(format!("/v1/admin/users/user-{nth}/points/adjustments"), json!({ "amount": "5", "reason": "gift" }));
        async move {
            server.restock(tea, 1).await.expect(201);
            points.await.expect(201);
        }
    });
    futures_util::future::join_all(changes).await;
    let mut connection = shop.database().connect().await;
    let entries = connection.number("COUNT(*)", "audit_log WHERE sequence IS NOT NULL").await;
    assert_eq!(connection.number("entries", "audit_chains").await, entries);
    assert!(entries >= 88, "{entries}");
    connection.close().await;
    assert_books_agree(&shop).await;
}

/// During a rollout, servers of 0.2.0 write lines without a place in a chain.
async fn accepts_lines_of_servers_of_the_previous_version(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(100).stock(9).create().await;
    let mut connection = shop.database().connect().await;
    let insert = |number: u8| {
        format!(
            "INSERT INTO audit_log (id, created_at, actor, action, subject_kind, subject_id, reason, body) \
             SELECT X'0190{number:028x}', created_at, actor, action, subject_kind, subject_id, reason, body \
             FROM audit_log WHERE sequence = 1"
        )
    };
    connection.execute(&insert(1)).await;
    server.restock(&tea, 1).await.expect(201);
    connection.execute(&insert(2)).await;
    connection.close().await;
    assert_eq!(log(&server).await.len(), 5);
    assert_books_agree(&shop).await;
}
