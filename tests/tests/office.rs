//! The numbers and verifications of the back office, on several servers.

use jangteo_testkit::{
    Backend, Connection, Order, Product, Server, Shop, assert_fields, eventually, now, rfc3339, scenarios,
    scenarios_on_sqlite,
};
use serde_json::{Value, json};
use time::Duration;

use crate::{assert_utc, ids};

scenarios![
    statistics_equal_a_recount,
    one_server_counts_the_statistics_at_a_time,
    a_verification_is_seen_by_every_server,
    a_killed_servers_verification_is_interrupted,
    shows_an_order_as_a_time_line,
];

scenarios_on_sqlite![lists_and_numbers_use_indexes];

/// Orders, payments and refunds; returns the number of paid orders, their revenue, the refunded orders and the refunds.
async fn trade(server: &Server, tea: &Product) -> [i64; 4] {
    server.top_up("kim", 100_000).await;
    let (mut totals, mut orders) = ([0; 4], Vec::new());
    for quantity in 1..=5 {
        let order = server.order("kim", tea, quantity).await;
        server.pay("kim", &order).await;
        totals[0] += 1;
        totals[1] += 1_000 * i64::from(quantity);
        orders.push(order);
    }
    server.order("kim", tea, 1).await;
    for (order, quantity) in [(&orders[4], 1), (&orders[4], 2), (&orders[3], 4)] {
        refund(server, order, tea, quantity).await;
        totals[3] += 1_000 * i64::from(quantity);
    }
    totals[2] = 2;
    totals
}

async fn refund(server: &Server, order: &Order, product: &Product, quantity: u32) {
    let refund = json!({ "lines": [product.line(quantity)], "restock": true, "reason": "broken" });
    server.admin().post(format!("/v1/admin/orders/{}/refunds", order.id), refund).await.expect(201);
}

async fn statistics(server: &Server, by: &str) -> Value {
    let hour = |hours| rfc3339(now() + Duration::hours(hours));
    let path = format!("/v1/admin/statistics?from={}&to={}&by={by}", hour(-30), hour(1));
    server.admin().get(path).await.json(200)
}

/// The sums of all periods.
fn totals(statistics: &Value) -> [i64; 4] {
    let rows = statistics["data"].as_array().expect("periods").iter();
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok()).expect("a number");
    rows.fold([0; 4], |sums, row| {
        let row = ["orders", "revenue", "refunded_orders", "refunded"].map(|member| number(&row[member]));
        [0, 1, 2, 3].map(|index| sums[index] + row[index])
    })
}

async fn eventually_counted(server: &Server, expected: [i64; 4]) {
    for by in ["hour", "day"] {
        eventually("the statistics are counted", async || {
            (totals(&statistics(server, by).await) == expected).then_some(())
        })
        .await;
    }
}

/// Ends the lease of a process that is gone, in place of half a minute.
async fn end_lease(connection: &mut Connection) {
    connection.execute("UPDATE quarter_hour_count SET leased_until = final_to").await;
}

async fn statistics_equal_a_recount(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(1_000).stock(100).create().await;
    let expected = trade(&server, &tea).await;
    eventually_counted(&server, expected).await;
    let counted = statistics(&server, "day").await;
    assert_fields(&counted, &["from", "to", "by", "time_zone", "complete_to", "currency", "data"], &[]);
    assert!(assert_utc(&counted["complete_to"]) < now());
    let overview = server.admin().get("/v1/admin/overview").await.json(200);
    assert_eq!(overview["open_orders"], json!({ "orders": 1, "quantity": 1 }));

    // Wrong numbers of the last minutes are corrected by the next count, older ones by a rebuild.
    let mut connection = shop.database().connect().await;
    let long_ago = match shop.backend() {
        Backend::Sqlite => "0",
        Backend::Mysql => "'1970-01-01 00:00:00'",
    };
    let columns = "(starts_at, orders, revenue, refunded_orders, refunded)";
    connection.execute(&format!("INSERT INTO quarter_hours {columns} VALUES ({long_ago}, 1, 1, 1, 1)")).await;
    let wrong = shop.server().run(["verify"]).await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stdout.contains("statistics 1970-01-01T00:00:00Z: has 1 orders for "), "{wrong:?}");
    let rebuilt = shop.server().run(["rebuild", "statistics"]).await;
    assert_eq!((rebuilt.code, rebuilt.stdout.as_str()), (Some(0), "1 row changed\n"), "{rebuilt:?}");
    let again = shop.server().run(["rebuild", "statistics"]).await;
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "0 rows changed\n"), "{again:?}");
    eventually_counted(&server, expected).await;

    connection.execute("UPDATE quarter_hours SET orders = orders + 7").await;
    let rebuilt = shop.server().run(["rebuild", "statistics"]).await;
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    eventually_counted(&server, expected).await;
    end_lease(&mut connection).await;
    let more = trade(&server, &tea).await;
    eventually_counted(&server, [0, 1, 2, 3].map(|index| expected[index] + more[index])).await;
    connection.close().await;
}

async fn one_server_counts_the_statistics_at_a_time(shop: Shop) {
    let [first, second] = [shop.start().await, shop.start().await];
    let tea = first.product("tea").price(1_000).stock(100).create().await;
    let expected = trade(&first, &tea).await;
    eventually_counted(&second, expected).await;
    let mut connection = shop.database().connect().await;
    first.kill().await;
    end_lease(&mut connection).await;
    connection.close().await;
    let more = trade(&second, &tea).await;
    eventually_counted(&second, [0, 1, 2, 3].map(|index| expected[index] + more[index])).await;
}

async fn a_verification_is_seen_by_every_server(shop: Shop) {
    let [first, second] = [shop.start().await, shop.start().await];
    let tea = first.product("tea").price(1_000).stock(100).create().await;
    trade(&first, &tea).await;
    let begun = first.admin().post("/v1/admin/verifications", json!({})).key("once").await.expect(202);
    let path = begun.header("location").expect("a Location").to_owned();
    let run = eventually("the verification ends", async || {
        let run = second.admin().get(&path).await.json(200);
        (run["status"] != "running").then_some(run)
    })
    .await;
    let members = ["verification_id", "status", "server", "started_at", "finished_at", "progress", "violations_count"];
    assert_fields(&run, &[&members[..], &["findings"]].concat(), &[]);
    assert_eq!((&run["status"], &run["findings"]), (&json!("passed"), &json!([])), "{run}");
    // A retry on the other server starts no second one.
    let again = second.admin().post("/v1/admin/verifications", json!({})).key("once").await.json(202);
    assert_eq!(again, run);
    let listed = second.admin().get("/v1/admin/verifications").await.json(200);
    assert_eq!(ids(&listed["data"], "verification_id"), [run["verification_id"].as_str().expect("an id")]);

    let mut connection = shop.database().connect().await;
    connection.execute("UPDATE point_accounts SET open_orders = open_orders + 1").await;
    let path = second.admin().post("/v1/admin/verifications", json!({})).await.expect(202);
    let path = path.header("location").expect("a Location").to_owned();
    let violated = eventually("the verification ends", async || {
        let run = first.admin().get(&path).await.json(200);
        (run["status"] != "running").then_some(run)
    })
    .await;
    assert_eq!((&violated["status"], &violated["violations_count"]), (&json!("violated"), &json!(1)), "{violated}");
    assert_eq!(violated["findings"][0]["ids"], json!({ "user_id": "kim" }));
    connection.execute("UPDATE point_accounts SET open_orders = open_orders - 1").await;
    connection.close().await;
    let last = eventually("the overview is read again", async || {
        let last = first.admin().get("/v1/admin/overview").await.json(200)["last_verification"].clone();
        (last["verification_id"] == violated["verification_id"]).then_some(last)
    })
    .await;
    assert_eq!((&last["status"], &last["findings"]), (&json!("violated"), &json!(1)));
}

/// A verification that cannot end, of a server that is killed. Returns the path of the run.
async fn killed_verification(shop: &Shop, connection: &mut Connection) -> String {
    let server = shop.start().await;
    match shop.backend() {
        Backend::Mysql => {
            connection.execute("LOCK TABLES daily_sales WRITE").await;
            let begun = server.admin().post("/v1/admin/verifications", json!({})).await.expect(202);
            let path = begun.header("location").expect("a Location").to_owned();
            eventually("it reaches the locked table", async || {
                (server.admin().get(&path).await.json(200)["progress"]["name"] == "sales").then_some(())
            })
            .await;
            server.kill().await;
            connection.execute("UNLOCK TABLES").await;
            path
        }
        // No lock of another process stops a reader: the row is that of a server that was killed.
        Backend::Sqlite => {
            server.kill().await;
            let now = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)";
            let id = "0190ffff-0000-7000-8000-000000000000";
            let columns = "(id, status, running, server, started_at, heartbeat_at, step, violations, findings)";
            let row = format!("X'{}', 'running', 1, 'gone:1', {now}, {now}, 5, 0, '[]'", id.replace('-', ""));
            connection.execute(&format!("INSERT INTO verifications {columns} VALUES ({row})")).await;
            format!("/v1/admin/verifications/{id}")
        }
    }
}

/// The last heartbeat is set back, in place of half a minute.
async fn a_killed_servers_verification_is_interrupted(shop: Shop) {
    let survivor = shop.start().await;
    let mut connection = shop.database().connect().await;
    let path = killed_verification(&shop, &mut connection).await;
    let running = survivor.admin().get(&path).await.json(200);
    assert_eq!((&running["status"], &running["progress"]["name"]), (&json!("running"), &json!("sales")));
    let denied = survivor.admin().post("/v1/admin/verifications", json!({})).await;
    let denied = denied.problem(409, "VERIFICATION_ALREADY_RUNNING");
    assert_eq!(denied["verification_id"], running["verification_id"]);

    let earlier = match shop.backend() {
        Backend::Sqlite => "heartbeat_at - 31000000",
        Backend::Mysql => "heartbeat_at - INTERVAL 31 SECOND",
    };
    connection.execute(&format!("UPDATE verifications SET heartbeat_at = {earlier}")).await;
    let interrupted = survivor.admin().get(&path).await.json(200);
    assert_eq!(interrupted["status"], "interrupted");
    assert_utc(&interrupted["finished_at"]);
    survivor.admin().post("/v1/admin/verifications", json!({})).await.expect(202);
    connection.close().await;
    assert_eq!(survivor.admin().get(&path).await.json(200), interrupted, "for good");
}

async fn shows_an_order_as_a_time_line(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(1_000).stock(100).create().await;
    trade(&server, &tea).await;
    let orders = server.admin().get(format!("/v1/admin/orders?product_id={}", tea.id)).await.json(200);
    let refunded = ids(&orders["data"], "order_id").remove(1);
    let line = server.admin().get(format!("/v1/admin/orders/{refunded}/timeline")).await.json(200);
    let entries = line["data"].as_array().expect("entries");
    let count = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
    let kinds = ["placed", "paid", "refunded", "event", "stock_movement", "point_entry"];
    assert_eq!(kinds.map(count), [1, 1, 2, 3, 3, 3], "{line}");
    assert!(entries.is_sorted_by_key(|entry| assert_utc(&entry["at"])), "{line}");
}

/// No list or number of the back office reads a table that grows, or sorts its rows.
async fn lists_and_numbers_use_indexes(shop: Shop) {
    shop.start().await.kill().await;
    let mut connection = shop.database().connect().await;
    for (query, index) in [
        (
            "SELECT order_lines.order_id FROM order_lines JOIN orders ON orders.id = order_lines.order_id \
             WHERE order_lines.product_id = X'00' ORDER BY order_lines.order_id DESC LIMIT 21",
            "ix_order_lines_product",
        ),
        ("SELECT user_id FROM coupons WHERE campaign_id = X'00' ORDER BY id DESC LIMIT 21", "ix_coupons_campaign "),
        (
            "SELECT user_id FROM coupons WHERE campaign_id = X'00' AND state = 'used' ORDER BY id DESC LIMIT 21",
            "ix_coupons_campaign_state",
        ),
        ("SELECT COUNT(*) FROM orders WHERE status = 'pending_payment'", "ix_orders_due"),
        (
            "SELECT total FROM orders WHERE COALESCE(orders.status, '') = 'paid' AND id < X'ff' ORDER BY id DESC LIMIT 21",
            "sqlite_autoindex_orders_1",
        ),
        (
            "SELECT total FROM orders WHERE COALESCE(orders.status, '') = 'paid' AND id < X'ff' AND user_id = 'kim' \
             ORDER BY id DESC LIMIT 21",
            "ix_orders_user",
        ),
        (
            "SELECT COUNT(*) FROM stocks CROSS JOIN products ON products.id = stocks.product_id \
             WHERE products.status = 'on_sale' AND stocks.available BETWEEN 1 AND 10",
            "ix_stocks_available",
        ),
        (
            "SELECT sku FROM products WHERE price >= 1 AND (price > 1 OR id > X'00') ORDER BY price, id LIMIT 21",
            "ix_products_price",
        ),
        (
            "SELECT sku FROM products WHERE name >= 'a' AND (name > 'a' OR id > X'00') ORDER BY name, id LIMIT 21",
            "ix_products_name",
        ),
        (
            "SELECT name FROM coupon_campaigns WHERE issue_closes_at > 1 ORDER BY issue_closes_at, id LIMIT 20",
            "ix_coupon_campaigns_closes",
        ),
    ] {
        let plan = connection.plan(query).await;
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{query}: {plan}");
    }
    connection.close().await;
}
