//! Verification of the books: valid books have no findings, in any state and under load; every kind of corruption is
//! found, with the affected row.

use jangteo_testkit::{
    Backend, Column, CommandOutput, Connection, Order, Product, Server, ServerBuilder, Shop, assert_fields, eventually,
    scenarios,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::assert_utc;

scenarios![
    agrees_after_all_kinds_of_operations,
    detects_every_kind_of_corruption,
    names_rows_with_unreadable_keys,
    has_no_findings_under_load,
    serves_the_result_to_the_back_office,
    continues_after_a_request_timeout,
    reports_why_it_cannot_run,
    requires_an_up_to_date_schema,
    rebuilds_daily_sales,
    rebuilds_daily_sales_under_load,
];

/// A shop with orders in all states, and ids by name for the corruptions.
struct BusyShop {
    names: Vec<(&'static str, String)>,
    tea: Product,
}

impl BusyShop {
    /// Creates orders in all states and coupons that are used, restored and revoked.
    async fn new(shop: &Shop, server: &Server) -> Self {
        let tea = server.product("tea").price(1_000).stock(50).create().await;
        let mug = server.product("mug").price(333).stock(50).create().await;
        let campaign = server.campaign("tenth").percent(10).create().await;
        let other_campaign = server.campaign("fixed").fixed(100).create().await;
        let revoked = server.take_coupon("kim", &other_campaign).await;
        server.admin().post(format!("/v1/admin/coupons/{revoked}/revocation"), json!({})).await.expect(200);
        let lines = || json!([tea.line(2), mug.line(3)]);
        let pay_with = async |user: &str, order: &Order, coupon: &str| {
            server.user(user).post(order.payment(), json!({ "coupon_id": coupon })).await.expect(201);
        };
        let cancel = async |user: &str, order: &Order| {
            server.user(user).post(order.cancellation(), json!({})).await.expect(200);
        };
        for user in ["kim", "lee"] {
            let top_ups = format!("/v1/users/{user}/points/top-ups");
            server.user(user).post(top_ups, json!({ "amount": "50000" })).key("top_up").await.expect(201);
        }
        let [used, given_back] =
            [server.take_coupon("kim", &campaign).await, server.take_coupon("lee", &campaign).await];
        let [paid, partly] = [server.order_lines("kim", lines()).await, server.order_lines("kim", lines()).await];
        let [refunded, cancelled] =
            [server.order_lines("lee", lines()).await, server.order_lines("lee", lines()).await];
        pay_with("kim", &paid, &used).await;
        server.pay("kim", &partly).await;
        pay_with("lee", &refunded, &given_back).await;
        for (line, restock) in [(tea.line(1), true), (mug.line(2), false)] {
            let refund = json!({ "lines": [line], "restock": restock, "reason": "broken" });
            server.admin().post(format!("/v1/admin/orders/{}/refunds", partly.id), refund).await.expect(201);
        }
        cancel("lee", &refunded).await;
        cancel("lee", &cancelled).await;
        let impatient = shop.server().setting("ORDER_TTL", "1s").start().await;
        let expired = impatient.order("kim", &tea, 1).await;
        eventually("the order expires", async || {
            (impatient.read_order(&expired).await["status"] == "expired").then_some(())
        })
        .await;
        impatient.kill().await;
        let open = server.order("kim", &mug, 1).await;
        let ids = [
            ("tea", &tea.id),
            ("mug", &mug.id),
            ("campaign", &campaign.id),
            ("used", &used),
            ("given_back", &given_back),
            ("paid", &paid.id),
            ("partly", &partly.id),
            ("refunded", &refunded.id),
            ("cancelled", &cancelled.id),
            ("expired", &expired.id),
            ("open", &open.id),
        ];
        let mut names: Vec<_> = ids.map(|(name, id)| (name, id.clone())).into();
        names.push(("unknown", "0190ffff-0000-7000-8000-000000000000".to_owned()));
        Self { names, tea }
    }

    /// Replaces names in braces with ids.
    fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id))
    }

    /// Replaces names in braces with binary ids in SQL.
    fn statement(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, id)| {
            text.replace(&format!("{{{name}}}"), &format!("X'{}'", id.replace('-', "")))
        })
    }
}

/// The start of 2020 in the format of the database.
fn long_ago(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "1577836800000000",
        Backend::Mysql => "'2020-01-01 00:00:00'",
    }
}

async fn verify(builder: ServerBuilder) -> CommandOutput {
    builder.run(["verify"]).await
}

/// Disables the check constraints of the schema, so that corrupt rows can be written.
async fn without_constraints(shop: &Shop) -> Connection {
    let mut connection = shop.database().connect().await;
    match shop.backend() {
        Backend::Sqlite => connection.execute("PRAGMA ignore_check_constraints = ON").await,
        Backend::Mysql => {
            // MariaDB can disable them for a session. MySQL must disable each one.
            if connection.try_execute("SET SESSION check_constraint_checks = 0").await.is_err() {
                let checks = "information_schema.TABLE_CONSTRAINTS \
                              WHERE CONSTRAINT_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'CHECK'";
                let columns = [Column::Plain("TABLE_NAME"), Column::Plain("CONSTRAINT_NAME")];
                for (table, check) in connection.rows(checks, &columns, |row| (row.text(), row.text())).await {
                    connection.execute(&format!("ALTER TABLE {table} ALTER CHECK {check} NOT ENFORCED")).await;
                }
            }
        }
    }
    connection
}

/// Corrupts a table, runs `inspect` and restores the table.
async fn damaged<T>(connection: &mut Connection, table: &str, damage: &str, inspect: impl AsyncFnOnce() -> T) -> T {
    connection.execute(&format!("CREATE TABLE backup_copy AS SELECT * FROM {table}")).await;
    connection.execute(damage).await;
    let result = inspect().await;
    connection.execute(&format!("DELETE FROM {table}")).await;
    connection.execute(&format!("INSERT INTO {table} SELECT * FROM backup_copy")).await;
    connection.execute("DROP TABLE backup_copy").await;
    result
}

async fn agrees_after_all_kinds_of_operations(shop: Shop) {
    let server = shop.start().await;
    BusyShop::new(&shop, &server).await;
    let verified = verify(shop.server()).await;
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""), "{verified:?}");
    let lines: Vec<&str> = verified.stdout.lines().collect();
    let parts: Vec<&str> = lines.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        parts,
        ["ledger", "stock", "orders", "coupons", "sales", "audit_log", "statistics", "retention", "The"],
        "{verified:?}"
    );
    assert_eq!(lines.last(), Some(&"The books agree."));

    let verified = shop.server().run(["verify", "--json"]).await;
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""), "{verified:?}");
    let document: Value = serde_json::from_str(&verified.stdout).expect("one JSON document");
    assert_fields(&document, &["verified_at", "rows", "findings_total", "parts", "findings"], &[]);
    assert_utc(&document["verified_at"]);
    assert_eq!((&document["findings_total"], &document["findings"]), (&json!(0), &json!([])));
    let parts = document["parts"].as_array().expect("a list");
    let names: Vec<&Value> = parts.iter().map(|part| &part["part"]).collect();
    assert_eq!(names, ["ledger", "stock", "orders", "coupons", "sales", "audit_log", "statistics", "retention"]);
    let rows: i64 = parts.iter().map(|part| part["rows"].as_i64().expect("a number")).sum();
    assert!(rows > 50 && document["rows"] == rows, "{document}");
}

/// Table, corruption, and the beginning of the expected finding.
const CORRUPTIONS: &[(&str, &str, &str)] = &[
    ("point_accounts", "SET balance = balance + 1 WHERE user_id = 'kim'", "account kim: the balance is"),
    ("point_accounts", "SET balance = -1 WHERE user_id = 'kim'", "account kim: the balance is -"),
    ("point_accounts", "SET entries = entries + 1 WHERE user_id = 'kim'", "account kim: counts"),
    ("point_accounts", "SET open_orders = open_orders + 1 WHERE user_id = 'kim'", "account kim: counts 2 open orders"),
    (
        "point_accounts",
        "SET reserved_quantity = reserved_quantity + 9 WHERE user_id = 'kim'",
        "account kim: counts 10 reserved items",
    ),
    ("point_accounts", "SET hash = {zeros} WHERE user_id = 'kim'", "account kim: its hash is not"),
    ("point_accounts", "SET updated_at = NULL WHERE user_id = 'kim'", "account kim: was changed at none"),
    ("point_accounts", "DELETE WHERE user_id = 'kim'", "account kim: entry 1 has no account"),
    (
        "point_entries",
        "SET amount = amount + 1 WHERE user_id = 'kim' AND sequence = 1",
        "account kim: entry 1: the balance",
    ),
    (
        "point_entries",
        "SET balance_after = balance_after + 1 WHERE user_id = 'kim' AND sequence = 1",
        "account kim: entry 2: the balance",
    ),
    ("point_entries", "SET sequence = 7 WHERE user_id = 'kim' AND sequence = 2", "account kim: entry 7: follows entry"),
    (
        "point_entries",
        "SET kind = 'adjustment' WHERE user_id = 'kim' AND sequence = 1",
        "account kim: entry 1: its hash",
    ),
    (
        "point_entries",
        "SET user_id = 'park' WHERE user_id = 'kim' AND sequence = 1",
        "account park: entry 1 has no account",
    ),
    (
        "point_entries",
        "SET order_id = NULL WHERE order_id = {paid}",
        "account kim: entry 2: the order of the payment is none",
    ),
    ("point_entries", "SET order_id = {unknown} WHERE order_id = {paid}", "order {unknown}: a ledger entry names it"),
    ("point_entries", "DELETE WHERE order_id = {paid}", "order {paid}: the ledger entries are none"),
    ("stocks", "SET available = available + 1 WHERE product_id = {tea}", "stock {tea}: "),
    ("stocks", "SET available = -1 WHERE product_id = {tea}", "unreadable stocks {tea}: "),
    ("stocks", "SET movements = movements + 1 WHERE product_id = {tea}", "stock {tea}: counts"),
    ("stocks", "DELETE WHERE product_id = {tea}", "stock {tea}: the product has no stock"),
    ("products", "DELETE WHERE id = {tea}", "stock {tea}: there is no such product"),
    (
        "stock_movements",
        "SET quantity = quantity + 1 WHERE product_id = {tea} AND sequence = 1",
        "stock {tea}: movement 1: 0",
    ),
    (
        "stock_movements",
        "SET available_after = available_after + 1 WHERE product_id = {tea} AND sequence = 1",
        "stock {tea}: movement 1: 0",
    ),
    (
        "stock_movements",
        "SET kind = 'refund' WHERE product_id = {tea} AND sequence = 2",
        "stock {tea}: movement 2: the refund",
    ),
    ("stock_movements", "SET order_id = NULL WHERE order_id = {open}", "stock {mug}: movement"),
    (
        "stock_movements",
        "SET order_id = {unknown} WHERE order_id = {open}",
        "order {unknown}: a stock movement names it",
    ),
    ("stock_movements", "DELETE WHERE order_id = {open}", "order {open}: the reservation movements are none"),
    ("orders", "SET total = total + 1 WHERE id = {open}", "order {open}: costs"),
    ("orders", "SET user_id = 'lee' WHERE id = {paid}", "order {paid}: another user's ledger"),
    ("orders", "SET status = 'pending_payment' WHERE id = {paid}", "order {paid}: is pending_payment, but has payment"),
    ("orders", "SET status = 'paid' WHERE id = {open}", "order {open}: is paid, but has no payment"),
    ("orders", "SET status = 'expired' WHERE id = {open}", "order {open}: the expiry movements are none"),
    ("orders", "SET status = 'expired' WHERE id = {cancelled}", "order {cancelled}: the cancellation movements are"),
    ("orders", "SET status = 'pending_payment' WHERE id = {expired}", "order {expired}: the expiry movements are"),
    ("orders", "SET status = 'refunded' WHERE id = {partly}", "order {partly}: is refunded with 2 refunds"),
    ("orders", "SET status = 'lost' WHERE id = {paid}", "unreadable orders {paid}: "),
    (
        "orders",
        "SET expires_at = (SELECT issue_opens_at FROM coupon_campaigns WHERE id = {campaign}) WHERE id = {open}",
        "order {open}: expires before",
    ),
    ("orders", "SET paid_at = expires_at WHERE id = {paid}", "order {paid}: was paid at"),
    ("orders", "SET payment_id = NULL WHERE id = {paid}", "unreadable orders {paid}: an order that is paid by half"),
    ("orders", "SET discount = discount + 1 WHERE id = {paid}", "order {paid}: the discount is"),
    ("orders", "SET paid_amount = paid_amount + 1 WHERE id = {paid}", "order {paid}: discount 300 and amount"),
    ("orders", "SET coupon_id = NULL WHERE id = {paid}", "order {paid}: has a discount"),
    ("orders", "SET sales_day = '2020-01-01' WHERE id = {paid}", "sales 2020-01-01 {tea}: "),
    ("orders", "SET refunded = refunded + 1 WHERE id = {partly}", "order {partly}: the refunded amount is "),
    ("orders", "SET refunded = paid_amount + 1 WHERE id = {paid}", "order {paid}: more was refunded than paid"),
    ("orders", "SET refunds = refunds + 1 WHERE id = {partly}", "order {partly}: counts 3 refunds, but there are 2"),
    ("orders", "DELETE WHERE id = {paid}", "order {paid}: a payment names it"),
    (
        "order_lines",
        "SET quantity = quantity + 1 WHERE order_id = {open}",
        "order {open}: the reservation movements are",
    ),
    ("order_lines", "SET quantity = -1 WHERE order_id = {open}", "unreadable order_lines {open} {mug}: "),
    ("order_lines", "SET unit_price = unit_price + 1 WHERE order_id = {open}", "order {open}: costs"),
    ("order_lines", "SET discount_share = discount_share + 1 WHERE order_id = {paid}", "order {paid}: the discount is"),
    (
        "order_lines",
        "SET discount_share = unit_price * quantity + 1 WHERE order_id = {paid}",
        "order {paid}: the discount share of product {tea}",
    ),
    ("order_lines", "SET refunded_quantity = 1 WHERE order_id = {paid}", "order {paid}: counts 1 refunded items"),
    ("order_lines", "DELETE WHERE order_id = {open}", "order {open}: has no lines"),
    ("order_lines", "SET order_id = {unknown} WHERE order_id = {open}", "order {unknown}: a line of product {mug}"),
    ("payments", "SET amount = amount + 1 WHERE order_id = {paid}", "order {paid}: its payment"),
    ("payments", "SET balance_after = balance_after + 1 WHERE order_id = {paid}", "order {paid}: its payment"),
    ("payments", "SET order_id = {unknown} WHERE order_id = {paid}", "order {unknown}: a payment names it"),
    ("payments", "DELETE WHERE order_id = {paid}", "order {paid}: has 0 payments"),
    ("refunds", "SET amount = amount + 1 WHERE order_id = {partly}", "order {partly}: refund 1 is"),
    ("refunds", "SET restocked = 1 - restocked WHERE order_id = {partly}", "order {partly}: the refund movements are"),
    ("refunds", "SET restocked = 7 WHERE order_id = {refunded}", "unreadable refunds "),
    ("refunds", "SET sequence = 3 WHERE order_id = {partly} AND sequence = 2", "order {partly}: counts 2 refunds"),
    ("refunds", "SET order_id = {unknown} WHERE order_id = {refunded}", "order {unknown}: a refund names it"),
    ("refunds", "DELETE WHERE order_id = {refunded}", "order {refunded}: counts 1 refunds, but there are 0"),
    ("refunds", "DELETE WHERE order_id = {refunded}", "refund "),
    ("refund_lines", "SET amount = amount + 1", "order {partly}: refund 1 is"),
    ("refund_lines", "SET quantity = quantity + 1", "order {partly}: counts 1 refunded items of product {tea}"),
    ("refund_lines", "DELETE WHERE amount > 0", "order {partly}: refund 1 has no line"),
    ("coupon_campaigns", "SET issued = issued + 1 WHERE id = {campaign}", "campaign {campaign}: counts 3 issued"),
    ("coupon_campaigns", "SET quantity = 1 WHERE id = {campaign}", "campaign {campaign}: issued 2 coupons of 1"),
    ("coupon_campaigns", "SET issue_opens_at = issue_closes_at WHERE id = {campaign}", "coupon {used}: was issued at"),
    (
        "coupon_campaigns",
        "SET discount_kind = 'fixed' WHERE id = {campaign}",
        "unreadable coupon_campaigns {campaign}: ",
    ),
    ("coupon_campaigns", "DELETE WHERE id = {campaign}", "coupon {used}: its campaign {campaign} does not exist"),
    (
        "coupons",
        "SET state = 'unused', order_id = NULL, used_at = NULL WHERE id = {used}",
        "order {paid}: was paid with coupon {used}, which is not used by it",
    ),
    (
        "coupons",
        "SET order_id = {open} WHERE id = {used}",
        "coupon {used}: was used by order {open}, which was not paid",
    ),
    (
        "coupons",
        "SET order_id = {unknown} WHERE id = {used}",
        "coupon {used}: was used by order {unknown}, which does not",
    ),
    ("coupons", "SET used_at = issued_at WHERE id = {used}", "coupon {used}: was used at"),
    (
        "coupons",
        "SET state = 'used', order_id = {refunded}, used_at = issued_at WHERE id = {given_back}",
        "order {refunded}: was paid with coupon {given_back}, which was not restored",
    ),
    ("coupons", "SET order_id = NULL WHERE id = {used}", "unreadable coupons {campaign} kim: "),
    (
        "coupons",
        "SET user_id = 'park' WHERE id = {used}",
        "order {paid}: was paid with coupon {used}, which is another",
    ),
    ("coupons", "SET valid_until = issued_at WHERE id = {used}", "order {paid}: was paid with coupon {used}, outside"),
    (
        "coupons",
        "SET discount_percent = 11 WHERE id = {used}",
        "order {paid}: was paid with coupon {used}, with a discount",
    ),
    ("coupons", "DELETE WHERE id = {used}", "order {paid}: was paid with coupon {used}, which does not exist"),
    (
        "outbox_events",
        "SET event_type = 'jangteo.order.lost.v1' WHERE order_id = {paid}",
        "order {paid}: the events are",
    ),
    ("outbox_events", "SET order_id = {unknown} WHERE order_id = {paid}", "order {unknown}: an event names it"),
    ("outbox_events", "SET order_id = {open} WHERE order_id = {paid}", "order {open}: the events are"),
    ("outbox_events", "DELETE WHERE order_id = {paid}", "order {paid}: the events are none"),
    ("outbox_events", "DELETE WHERE order_id = {partly} AND sequence = 3", "order {partly}: the events are"),
    ("daily_sales", "SET quantity = quantity + 1 WHERE product_id = {tea}", "sales {today} {tea}: "),
    ("daily_sales", "SET quantity = -1 WHERE product_id = {tea}", "sales {today} {tea}: "),
    ("daily_sales", "SET revenue = revenue + 1 WHERE product_id = {mug}", "sales {today} {mug}: "),
    ("daily_sales", "SET day = '2020-01-01' WHERE product_id = {mug}", "sales 2020-01-01 {mug}: "),
    ("daily_sales", "DELETE WHERE product_id = {mug}", "sales {today} {mug}: "),
    ("audit_log", "SET body = '{}' WHERE sequence = 1", "audit_log back-office: entry 1: its hash"),
    ("audit_log", "SET address = NULL WHERE sequence = 2", "audit_log back-office: entry 2: its hash"),
    (
        "audit_log",
        "SET sequence = NULL, hash = NULL WHERE sequence = 1",
        "audit_log back-office: entry 2: follows entry 0",
    ),
    ("audit_log", "DELETE WHERE sequence = 2", "audit_log back-office: entry 3: follows entry 1"),
    (
        "audit_log",
        "DELETE WHERE sequence = (SELECT entries FROM audit_chains)",
        "audit_log back-office: the chain counts",
    ),
    ("audit_chains", "DELETE WHERE actor = 'back-office'", "audit_log back-office: entry "),
    (
        "idempotency_keys",
        "SET created_at = {long_ago} WHERE request_key = \
         (SELECT request_key FROM (SELECT MIN(request_key) AS request_key FROM idempotency_keys) AS one)",
        "retention answered_requests: is retained since",
    ),
    (
        "commit_markers",
        "SET created_at = {long_ago} WHERE id = (SELECT id FROM (SELECT MIN(id) AS id FROM commit_markers) AS one)",
        "retention commit_markers: is retained since",
    ),
];

async fn detects_every_kind_of_corruption(shop: Shop) {
    let server = shop.start().await;
    let mut busy = BusyShop::new(&shop, &server).await;
    let popular = server.anonymous().get("/v1/products/popular?days=1").await.json(200);
    busy.names.push(("today", popular["to"].as_str().expect("a day").to_owned()));
    server.kill().await;
    let mut connection = without_constraints(&shop).await;
    for (table, damage, expected) in CORRUPTIONS {
        let damage = busy.statement(damage).replace("{zeros}", &format!("X'{}'", "00".repeat(32)));
        let damage = damage.replace("{long_ago}", long_ago(shop.backend()));
        let damage = match damage.strip_prefix("DELETE") {
            Some(rows) => format!("DELETE FROM {table}{rows}"),
            None => format!("UPDATE {table} {damage}"),
        };
        let expected = busy.named(expected);
        let verified = damaged(&mut connection, table, &damage, async || verify(shop.server()).await).await;
        assert_eq!(verified.code, Some(1), "{damage}: {verified:?}");
        let found = verified.stdout.lines().any(|line| line.starts_with(&expected));
        assert!(found, "{damage}: no {expected:?} in\n{}", verified.stdout);
    }
    connection.close().await;
}

/// A row with an unreadable key neither aborts the verification nor hides later rows.
async fn names_rows_with_unreadable_keys(shop: Shop) {
    let server = shop.start().await;
    for user in ["kim", "zoe"] {
        server.top_up(user, 1_000).await;
    }
    server.kill().await;
    let mut connection = without_constraints(&shop).await;
    let damage = "UPDATE point_accounts SET user_id = 'no body' WHERE user_id = 'kim'";
    let verified = damaged(&mut connection, "point_accounts", damage, async || verify(shop.server()).await).await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    let unreadable = verified.stdout.lines().filter(|line| line.starts_with("unreadable point_accounts ?: ")).count();
    assert_eq!(unreadable, 1, "{verified:?}");
    assert!(verified.stdout.contains("account kim: entry 1 has no account"), "{verified:?}");
    assert!(!verified.stdout.contains("zoe"), "{verified:?}");
    let damage = "UPDATE point_accounts SET balance = balance + 1";
    let verified =
        damaged(&mut connection, "point_accounts", damage, async || shop.server().run(["verify", "--json"]).await);
    let verified = verified.await;
    let document: Value = serde_json::from_str(&verified.stdout).expect("one JSON document");
    assert_eq!((verified.code, &document["findings_total"]), (Some(1), &json!(2)), "{verified:?}");
    assert_eq!(document["parts"][0]["findings"], 2);
    let finding = &document["findings"][1];
    assert_eq!((&finding["kind"], &finding["ids"]), (&json!("account"), &json!({ "user_id": "zoe" })));
    assert!(finding["what"].as_str().is_some_and(|what| what.starts_with("the balance is")), "{finding}");
    connection.close().await;
}

/// Concurrent callers that order, pay and cancel.
struct Traders {
    tasks: JoinSet<()>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Traders {
    async fn start(server: &Server) -> Self {
        let tea = server.product("tea").price(100).stock(100_000).create().await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut tasks = JoinSet::new();
        for trader in 0..4 {
            let (server, tea, stopped) = (server.clone(), tea.clone(), stopped.clone());
            tasks.spawn(async move {
                let user = format!("trader-{trader}");
                server.top_up(&user, 900_000).await;
                while !*stopped.borrow() {
                    let order = server.order(&user, &tea, 2).await;
                    server.pay(&user, &order).await;
                    let cancelled = server.order(&user, &tea, 1).await;
                    server.pay(&user, &cancelled).await;
                    server.user(&user).post(cancelled.cancellation(), json!({})).await.expect(200);
                }
            });
        }
        Self { tasks, stop }
    }

    async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
    }
}

async fn has_no_findings_under_load(shop: Shop) {
    let server = shop.start().await;
    let traders = Traders::start(&server).await;
    for _ in 0..5 {
        let verified = verify(shop.server()).await;
        assert_eq!(verified.code, Some(0), "{verified:?}");
    }
    traders.stop().await;
}

async fn serves_the_result_to_the_back_office(shop: Shop) {
    let server = shop.start().await;
    BusyShop::new(&shop, &server).await;
    server.user("kim").get("/v1/admin/verification").await.problem(403, "FORBIDDEN");
    server.anonymous().get("/v1/admin/verification").await.problem(401, "UNAUTHENTICATED");
    let verified = server.admin().get("/v1/admin/verification").await.json(200);
    assert_fields(&verified, &["verified_at", "rows", "findings_total", "parts", "findings"], &[]);
    assert_utc(&verified["verified_at"]);
    assert_eq!(verified["findings_total"], 0, "{verified}");
    let metrics = server.anonymous().get("/metrics").await.expect(200);
    let metrics = String::from_utf8(metrics.body).expect("text");
    assert!(metrics.contains("\njangteo_verification_findings 0\n"), "{metrics}");
    assert!(metrics.contains("\njangteo_verification_timestamp_seconds "), "{metrics}");
    // The result is cached for a short time.
    let mut connection = shop.database().connect().await;
    let damage = "UPDATE point_accounts SET open_orders = open_orders + 1";
    damaged(&mut connection, "point_accounts", damage, async || {
        assert_eq!(server.admin().get("/v1/admin/verification").await.json(200), verified);
        let other = shop.start().await;
        let found = other.admin().get("/v1/admin/verification").await.json(200);
        assert_eq!(found["findings_total"], 2, "{found}");
        assert_eq!(found["findings"][0]["ids"], json!({ "user_id": "kim" }));
        assert!(other.log().contains("the books disagree"));
    })
    .await;
    connection.close().await;
}

async fn continues_after_a_request_timeout(shop: Shop) {
    shop.expect_server_errors();
    let server = shop.start().await;
    BusyShop::new(&shop, &server).await;
    let hasty = shop.server().setting("REQUEST_TIMEOUT", "1ms").start().await;
    let response = hasty.admin().get("/v1/admin/verification").await;
    response.problem(503, "VERIFICATION_RUNNING");
    assert_eq!(response.header("retry-after"), Some("5"));
    let verified = eventually("the verification ends", async || {
        let response = hasty.admin().get("/v1/admin/verification").await;
        (response.status == 200).then(|| response.json(200))
    })
    .await;
    assert_eq!(verified["findings_total"], 0, "{verified}");
}

async fn reports_why_it_cannot_run(shop: Shop) {
    shop.expect_no_books();
    // A currently free port, so nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address").port();
    let nowhere = match shop.backend() {
        Backend::Sqlite => "sqlite:nowhere.db".to_owned(),
        Backend::Mysql => format!("mysql://kim:not-to-be-shown@127.0.0.1:{port}/shop"),
    };
    for arguments in [["verify", "--json"], ["rebuild", "daily-sales"], ["rebuild", "search-index"]] {
        let failed = shop.server().setting("DATABASE_URL", &nowhere).run(arguments).await;
        assert_eq!(failed.code, Some(if arguments[0] == "verify" { 2 } else { 1 }), "{failed:?}");
        assert_eq!((failed.stdout.as_str(), failed.stderr.lines().count()), ("", 1), "{failed:?}");
        assert!(!failed.stderr.contains("not-to-be-shown"), "{failed:?}");
    }
    assert!(!shop.database().folder().join("nowhere.db").exists(), "a database was created");
    let wrong = shop.server().setting("DATABASE_URL", "postgres://localhost/shop").run(["verify"]).await;
    assert_eq!((wrong.code, wrong.stderr.lines().count()), (Some(2), 1), "{wrong:?}");
}

async fn requires_an_up_to_date_schema(shop: Shop) {
    shop.expect_no_books();
    let mut connection = shop.database().connect().await;
    // An SQLite file exists only with some content.
    connection.execute("CREATE TABLE something_else (id INTEGER)").await;
    let rejected = verify(shop.server()).await;
    assert_eq!((rejected.code, rejected.stdout.as_str()), (Some(2), ""), "{rejected:?}");
    assert_eq!(rejected.stderr.lines().count(), 1, "{rejected:?}");
    assert!(rejected.stderr.contains("jangteo migrate"), "{rejected:?}");
    let made = connection.try_execute("SELECT id FROM orders").await;
    assert!(made.is_err(), "the command migrated");
    connection.close().await;
}

async fn daily_sales(connection: &mut Connection) -> Vec<(String, String, i64, i64)> {
    use jangteo_testkit::Column::{Day, Id, Money, Plain};
    let columns = [Day("day"), Id("product_id"), Plain("quantity"), Money("revenue")];
    let row = |row: &mut jangteo_testkit::Row| (row.text(), row.text(), row.number(), row.number());
    connection.rows("daily_sales ORDER BY day, product_id", &columns, row).await
}

async fn rebuild(shop: &Shop) -> CommandOutput {
    shop.server().run(["rebuild", "daily-sales"]).await
}

async fn rebuilds_daily_sales(shop: Shop) {
    let server = shop.start().await;
    let busy = BusyShop::new(&shop, &server).await;
    let mut connection = without_constraints(&shop).await;
    let original = daily_sales(&mut connection).await;
    let rebuilt = rebuild(&shop).await;
    assert_eq!((rebuilt.code, rebuilt.stdout.as_str()), (Some(0), "0 rows changed\n"), "{rebuilt:?}");
    assert_eq!(daily_sales(&mut connection).await, original);

    connection.execute(&busy.statement("DELETE FROM daily_sales WHERE product_id = {mug}")).await;
    connection.execute(&busy.statement("UPDATE daily_sales SET quantity = -7, revenue = 12345")).await;
    let rebuilt = rebuild(&shop).await;
    assert_eq!((rebuilt.code, rebuilt.stdout.as_str()), (Some(0), "2 rows changed\n"), "{rebuilt:?}");
    assert_eq!(daily_sales(&mut connection).await, original);

    // Unreadable orders abort the rebuild.
    let damage = busy.statement("UPDATE orders SET status = 'lost' WHERE id = {paid}");
    let rejected = damaged(&mut connection, "orders", &damage, async || rebuild(&shop).await).await;
    assert_eq!((rejected.code, rejected.stderr.lines().count()), (Some(1), 1), "{rejected:?}");
    assert!(rejected.stderr.contains(&busy.named("unreadable orders {paid}")), "{rejected:?}");
    assert_eq!(daily_sales(&mut connection).await, original);
    connection.close().await;
    assert_eq!(server.available(&busy.tea).await, 47, "the server is unaffected");
}

async fn rebuilds_daily_sales_under_load(shop: Shop) {
    let server = shop.start().await;
    let traders = Traders::start(&server).await;
    let mut connection = shop.database().connect().await;
    for _ in 0..3 {
        eventually("a product is sold", async || {
            let sold = connection.number("COUNT(*)", "daily_sales").await;
            (sold > 0).then_some(())
        })
        .await;
        connection.execute("UPDATE daily_sales SET quantity = quantity + 5, revenue = revenue - 1").await;
        // Two concurrent rebuilds: one may conflict and must be retried.
        let (one, other) = tokio::join!(rebuild(&shop), rebuild(&shop));
        assert!(one.code == Some(0) || other.code == Some(0), "{one:?} {other:?}");
        let again = rebuild(&shop).await;
        assert_eq!((again.code, again.stdout.as_str()), (Some(0), "0 rows changed\n"), "{again:?}");
    }
    connection.close().await;
    traders.stop().await;
}
