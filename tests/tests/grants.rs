//! `jangteo grants`: a user with exactly the printed privileges serves a shop, and cannot change its history.

use jangteo_testkit::{Backend, Column, Connection, Receiver, Row, ServerBuilder, Shop, eventually, scenarios};
use serde_json::json;

scenarios![a_user_with_the_printed_privileges_serves_a_shop];

/// A user of the test's database.
struct User {
    name: String,
    administrator: Connection,
}

impl User {
    /// Executes the printed statements.
    async fn create(shop: &Shop, statements: &str) -> Self {
        let mut administrator = shop.database().connect().await;
        let name = shop.database().mysql_name().replace("jangteo_test", "serve");
        administrator.execute(&format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'hush'")).await;
        for statement in statements.lines().filter(|line| !line.starts_with("--")) {
            administrator.execute(statement).await;
        }
        Self { name, administrator }
    }

    fn server(&self, shop: &Shop) -> ServerBuilder {
        let url = self.url(shop);
        shop.server().setting("DATABASE_URL", &url).setting("AUTO_MIGRATE", "false")
    }

    fn url(&self, shop: &Shop) -> String {
        let url = shop.database().url();
        format!("mysql://{}:hush@{}", self.name, url.split_once('@').expect("a login").1)
    }

    async fn remove(mut self) {
        self.administrator.execute(&format!("DROP USER '{}'@'%'", self.name)).await;
        self.administrator.close().await;
    }
}

async fn a_user_with_the_printed_privileges_serves_a_shop(shop: Shop) {
    let migrated = shop.server().run(["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    if shop.backend() == Backend::Sqlite {
        let refused = shop.server().run(["grants", "serve"]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("SQLite has no users"), "{refused:?}");
        return;
    }
    let name = shop.database().mysql_name().replace("jangteo_test", "serve");
    let printed = shop.server().run(["grants", &name]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{printed:?}");
    let mut user = User::create(&shop, &printed.stdout).await;
    let tables = "information_schema.tables WHERE table_schema = DATABASE() AND table_name <> 'migration_lease'";
    for table in user.administrator.rows(tables, &[Column::Plain("table_name")], Row::text).await {
        assert!(printed.stdout.contains(&format!(".`{table}` TO ")), "no grant on {table}");
    }

    run_every_command(&shop, &user).await;
    for arguments in [["verify"].as_slice(), &["seed"], &["rebuild", "daily-sales"], &["token", "--user", "kim"]] {
        let server = user.server(&shop);
        let output = match arguments {
            [one] => server.run([one]).await,
            [one, two] => server.run([one, two]).await,
            [one, two, three] => server.run([one, two, three]).await,
            _ => unreachable!("at most three"),
        };
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{arguments:?}: {output:?}");
    }
    let examined = user.server(&shop).run(["doctor"]).await;
    assert_eq!(examined.code, Some(0), "{examined:?}");
    for check in ["privileges: those of `jangteo grants`, by table", "privileges to migrate: none"] {
        assert!(examined.stdout.lines().any(|line| line.starts_with("ok ") && line.contains(check)), "{examined:?}");
    }

    history_cannot_be_changed(&shop, &user).await;
    user.remove().await;
}

async fn all_delivered(shop: &Shop) {
    let mut connection = shop.database().connect().await;
    eventually("all events are delivered", async || {
        let left = connection.number("COUNT(*)", "outbox_events WHERE state <> 'delivered'").await;
        (left == 0).then_some(())
    })
    .await;
    connection.close().await;
}

/// Every kind of command, with the sweeper, the relay and the pruner.
async fn run_every_command(shop: &Shop, user: &User) {
    let receiver = Receiver::start(shop, []).await;
    let server = user.server(shop).setting("ORDER_TTL", "5s").delivering_to(receiver.url()).start().await;
    server.anonymous().get("/readyz").await.expect(200);
    let tea = server.product("tea").price(100).stock(50).create().await;
    let colors = json!({ "options": { "color": "red" }, "price": "120" });
    server.admin().patch(tea.admin_path(), colors).await.expect(200);
    server.admin().patch(tea.admin_path(), json!({ "options": { "size": "L" }, "price": "100" })).await.expect(200);
    let campaign = server.campaign("all").fixed(10).create().await;
    server.admin().patch(campaign.admin_path(), json!({ "quantity": 11 })).await.expect(200);
    server.top_up("kim", 1_000).await;
    let [used, revoked] = [server.take_coupon("kim", &campaign).await, server.take_coupon("lee", &campaign).await];
    server.admin().post(format!("/v1/admin/coupons/{revoked}/revocation"), json!({})).await.expect(200);
    let expiring = server.order("kim", &tea, 1).await;
    let [paid, cancelled] = [server.order("kim", &tea, 2).await, server.order("kim", &tea, 1).await];
    let payment = json!({ "coupon_id": used });
    server.user("kim").post(paid.payment(), payment).key("payment").await.expect(201);
    server.user("kim").post(cancelled.cancellation(), json!({})).await.expect(200);
    let refund = json!({ "lines": [tea.line(1)], "restock": true, "reason": "broken" });
    server.admin().post(format!("/v1/admin/orders/{}/refunds", paid.id), refund).await.expect(201);
    let points = "/v1/admin/users/kim/points/adjustments";
    server.admin().post(points, json!({ "amount": "5", "reason": "gift" })).await.expect(201);
    let past = json!({ "jti": "t-1", "expires_at": "2020-01-01T00:00:00Z" });
    server.admin().post("/v1/admin/token-revocations", past).await.expect(201);
    all_delivered(shop).await;
    let events = server.admin().get("/v1/admin/events").await.json(200);
    let event = events["data"][0]["event_id"].as_str().expect("an event").to_owned();
    server.admin().post(format!("/v1/admin/events/{event}/redelivery"), json!({})).await.expect(200);
    all_delivered(shop).await;
    eventually("the order expires", async || (server.read_order(&expiring).await["status"] == "expired").then_some(()))
        .await;

    let mut connection = shop.database().connect().await;
    for table in ["commit_markers", "idempotency_keys"] {
        connection.execute(&format!("UPDATE {table} SET created_at = '2020-01-01' LIMIT 1")).await;
    }
    // Another event, as the books of an order need its own.
    for statement in [
        "CREATE TEMPORARY TABLE copied AS SELECT * FROM outbox_events WHERE state = 'delivered' LIMIT 1",
        "UPDATE copied SET id = X'01900000000070008000000000000001', sequence = 99, due_at = '2020-01-01'",
        "INSERT INTO outbox_events SELECT * FROM copied",
    ] {
        connection.execute(statement).await;
    }
    eventually("old rows are deleted", async || {
        let mut old = connection.number("COUNT(*)", "token_revocations").await;
        for rows in [
            "commit_markers WHERE created_at < '2021-01-01'",
            "idempotency_keys WHERE created_at < '2021-01-01'",
            "outbox_events WHERE due_at < '2021-01-01'",
        ] {
            old += connection.number("COUNT(*)", rows).await;
        }
        (old == 0).then_some(())
    })
    .await;
    connection.close().await;
    server.kill().await;
}

async fn history_cannot_be_changed(shop: &Shop, user: &User) {
    let mut connection = Connection::open(&user.url(shop)).await;
    connection.execute(&format!("USE {}", shop.database().mysql_name())).await;
    let appended = ["audit_log", "payments", "point_entries", "refunds", "refund_lines", "stock_movements"];
    let kept = ["orders", "point_accounts", "stocks", "coupons", "audit_chains"];
    let deletions = appended.iter().chain(&kept).map(|table| format!("DELETE FROM {table}"));
    let updates = appended.map(|table| format!("UPDATE {table} SET created_at = created_at"));
    let definitions = ["CREATE TABLE t (id INT)", "DROP TABLE payments", "ALTER TABLE payments ADD COLUMN c INT"];
    for statement in deletions.chain(updates).chain(definitions.map(str::to_owned)) {
        let denied = connection.try_execute(&statement).await.expect_err(&statement);
        assert!(denied.to_string().contains(" command denied"), "{statement}: {denied}");
    }
    connection.close().await;
}
