//! Reads on a replica (`DATABASE_READ_URL`). The test changes rows on the replica, so a response reveals its source. No
//! request may fail, in any state of the replica.

use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::{Database, MariaDb, Product, Proxy, Server, Shop, eventually, run_on, shop_url};
use serde_json::{Value, json};

const TEST_MAX: Duration = Duration::from_secs(240);
/// A constant lag of the replica, in seconds: above the `READ_LAG_MAX` of one server, and below that of the other.
const LAG: u32 = 5;
/// Concurrent reads, for which the pool opens more connections.
const READERS: usize = 32;
const STRICT: &str = "2s";
const PATIENT: &str = "120s";

/// Statements that mark rows of the replica, each with a text or number that the API returns.
const MARKS: [&str; 11] = [
    "UPDATE products SET name = 'elsewhere'",
    "UPDATE coupon_campaigns SET name = 'elsewhere'",
    "UPDATE stock_movements SET reason = 'elsewhere'",
    "UPDATE audit_log SET actor = 'elsewhere'",
    "UPDATE outbox_events SET last_error = 'elsewhere'",
    "UPDATE daily_sales SET quantity = 77777",
    "UPDATE orders SET user_id = 'elsewhere'",
    "UPDATE stocks SET available = 77777",
    "UPDATE point_accounts SET balance = 77777",
    "UPDATE point_entries SET amount = 77777",
    "UPDATE coupons SET name = 'elsewhere'",
];

#[tokio::test(flavor = "multi_thread")]
async fn reads_use_a_replica_only_while_it_is_fresh_and_works() {
    let (primary, replica) = MariaDb::start_with_replica().await.expect("two servers");
    let proxy = Proxy::start(replica.port(), 7).await.expect("a proxy");
    let database = Database::create_on(primary.url()).await.expect("a database");
    run_on(database, TEST_MAX, async |shop| {
        let start = async |lag_max: &str| start(&shop, &primary, &proxy, lag_max).await;
        let (strict, patient) = (start(STRICT).await, start(PATIENT).await);
        let tea = fill(&strict).await;
        replica.catch_up_with(&primary).await.expect("replicated");

        let own = own_reads(&strict, &tea).await;
        let name = shop.database().mysql_name();
        let mut on_replica = shop.database().connect_to(&replica.url()).await;
        for mark in MARKS {
            on_replica.execute(mark).await;
        }
        for server in [&strict, &patient] {
            for path in lagging_reads(server, &tea).await {
                eventually(&format!("{path} is read on the replica"), async || {
                    is_marked(server, &path).await.then_some(())
                })
                .await;
            }
            assert_eq!(own_reads(server, &tea).await, own, "a user's own data is read on the primary");
            assert_eq!(server.available(&tea).await, 17, "the available quantity is read on the primary");
        }

        // A name that leads to another replica too, whose age is not known.
        let stale = primary.start_replica(3).await.expect("a server");
        stale.catch_up_with(&primary).await.expect("replicated");
        for statement in ["STOP SLAVE", &format!("UPDATE {name}.stock_movements SET reason = 'stale'")] {
            stale.execute(statement).await.expect("no error");
        }
        proxy.retarget(([127, 0, 0, 1], stale.port()).into());
        for response in join_all((0..READERS).map(|_| strict.admin().get(movements(&tea)).into_future())).await {
            assert!(!response.json(200).to_string().contains("stale"), "a replica of unknown age was read");
        }
        proxy.retarget(([127, 0, 0, 1], replica.port()).into());
        stale.stop().await.expect("stopped");

        // A replica that lags.
        for statement in ["STOP SLAVE", &format!("CHANGE MASTER TO MASTER_DELAY = {LAG}"), "START SLAVE"] {
            replica.execute(statement).await.expect("no error");
        }
        reads_primary(&strict, &tea).await;
        let mut last = String::new();
        for _ in 0..3 {
            last = eventually("the replica applies more heartbeats", async || {
                assert!(!is_marked(&strict, &movements(&tea)).await, "the replica lags");
                let beat = on_replica.text("(SELECT MAX(beaten_at) FROM heartbeats)").await;
                (beat != last).then_some(beat)
            })
            .await;
        }
        reads_replica(&patient, &tea).await;
        for statement in ["STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 0", "START SLAVE"] {
            replica.execute(statement).await.expect("no error");
        }
        reads_replica(&strict, &tea).await;

        // A replica that stops, and lacks the latest rows.
        replica.execute("STOP SLAVE SQL_THREAD").await.expect("stopped");
        let mug = patient.product("mug").create().await;
        patient.top_up("kim", 1).await;
        assert_eq!(patient.balance("kim").await, 4_001);
        assert_eq!(
            patient.admin().get(mug.path()).await.json(200)["name"],
            "mug",
            "a missing row is read on the primary"
        );
        eventually("a list may lag", async || (!lists(&patient, "mug").await).then_some(())).await;
        reads_replica(&patient, &tea).await;
        reads_primary(&strict, &tea).await;
        eventually("the list of the primary", async || lists(&strict, "mug").await.then_some(())).await;
        replica.execute("START SLAVE SQL_THREAD").await.expect("started");
        reads_replica(&strict, &tea).await;

        // A replica that breaks: it lacks a row that the primary changes.
        on_replica.execute("DELETE FROM coupon_campaigns").await;
        let campaigns = strict.anonymous().get("/v1/coupon-campaigns");
        let campaign = eventually("the replica has no campaign", async || {
            let list = campaigns.clone().await.json(200);
            list["data"].as_array().is_some_and(Vec::is_empty).then(|| own.campaign.clone())
        })
        .await;
        strict.admin().patch(format!("/v1/admin{campaign}"), json!({ "quantity": 99 })).await.expect(200);
        reads_primary(&strict, &tea).await;
        assert_eq!(patient.anonymous().get(format!("/v1{campaign}")).await.json(200)["quantity"], 99);
        for statement in ["SET GLOBAL slave_exec_mode = 'IDEMPOTENT'", "START SLAVE"] {
            replica.execute(statement).await.expect("no error");
        }
        reads_replica(&strict, &tea).await;

        // A replica that is fresh, but rejects a query.
        on_replica.execute("RENAME TABLE stock_movements TO elsewhere").await;
        eventually("a rejected query is logged", async || {
            reads_primary(&strict, &tea).await;
            strict.log().contains("a read failed on the replica").then_some(())
        })
        .await;
        on_replica.execute("RENAME TABLE elsewhere TO stock_movements").await;
        reads_replica(&strict, &tea).await;

        // A replica that does not respond.
        proxy.freeze(true);
        reads_primary(&strict, &tea).await;
        proxy.freeze(false);
        reads_replica(&strict, &tea).await;

        // A replica that is killed.
        on_replica.close().await;
        replica.crash().await.expect("it runs");
        reads_primary(&strict, &tea).await;
        reads_primary(&start(STRICT).await, &tea).await;
        replica.start_again().await.expect("restarted");
        reads_replica(&strict, &tea).await;

        // A replica that is promoted, and gets no writes of the former primary any more.
        replica.promote().await.expect("promoted");
        reads_primary(&strict, &tea).await;
    })
    .await;
}

async fn start(shop: &Shop, primary: &MariaDb, proxy: &Proxy, lag_max: &str) -> Server {
    let url = |port| shop_url(port, shop.database().mysql_name());
    let builder = shop.server().setting("DATABASE_URL", url(primary.port()));
    builder.setting("DATABASE_READ_URL", url(proxy.port())).setting("READ_LAG_MAX", lag_max).start().await
}

/// A product with 17 items left, a coupon, a paid order and an open one.
async fn fill(server: &Server) -> Product {
    let tea = server.product("tea").stock(20).create().await;
    let campaign = server.campaign("spring").create().await;
    server.top_up("kim", 5_000).await;
    server.take_coupon("kim", &campaign).await;
    let paid = server.order("kim", &tea, 1).await;
    server.pay("kim", &paid).await;
    server.order("kim", &tea, 2).await;
    tea
}

/// The responses to a user about the own data.
#[derive(PartialEq, Eq, Debug)]
struct Own {
    bodies: Vec<String>,
    /// Path of the campaign of the user's coupon, without the version.
    campaign: String,
}

async fn own_reads(server: &Server, tea: &Product) -> Own {
    let kim = server.user("kim");
    let orders = kim.get("/v1/users/kim/orders").await.json(200);
    let order = orders["data"][0]["order_id"].as_str().expect("an order").to_owned();
    let coupons = kim.get("/v1/users/kim/coupons").await.json(200);
    let campaign = coupons["data"][0]["campaign_id"].as_str().expect("a coupon").to_owned();
    assert_eq!(orders["data"][0]["lines"][0]["product_id"], *tea.id);
    let mut bodies = vec![without_countdown(orders), without_countdown(coupons)];
    for path in [
        "/v1/users/kim/points".to_owned(),
        "/v1/users/kim/points/entries".to_owned(),
        format!("/v1/orders/{order}"),
        format!("/v1/orders/{order}/refunds"),
    ] {
        bodies.push(without_countdown(kim.get(path).await.json(200)));
    }
    Own { bodies, campaign: format!("/coupon-campaigns/{campaign}") }
}

/// Removes the field of an open order that changes every second.
fn without_countdown(mut body: Value) -> String {
    let rows = body["data"].as_array_mut().map_or_else(Vec::new, |rows| rows.iter_mut().collect());
    for order in rows {
        order.as_object_mut().map(|order| order.remove("expires_in_seconds"));
    }
    body.as_object_mut().map(|order| order.remove("expires_in_seconds"));
    body.to_string()
}

/// Reads that may lag.
async fn lagging_reads(server: &Server, tea: &Product) -> Vec<String> {
    let campaign = own_reads(server, tea).await.campaign;
    let fixed = [
        "/v1/products",
        "/v1/products/popular",
        "/v1/coupon-campaigns",
        "/v1/admin/products",
        "/v1/admin/orders",
        "/v1/admin/audit-log",
        "/v1/admin/events",
    ];
    let of_rows = [tea.path(), movements(tea), format!("/v1{campaign}")];
    fixed.into_iter().map(str::to_owned).chain(of_rows).collect()
}

fn movements(product: &Product) -> String {
    format!("{}/stock-movements", product.admin_path())
}

async fn is_marked(server: &Server, path: &str) -> bool {
    let body = server.admin().get(path).await.json(200).to_string();
    body.contains("elsewhere") || body.contains("77777")
}

async fn lists(server: &Server, name: &str) -> bool {
    crate::names(&server.anonymous().get("/v1/products").await.json(200)["data"]).iter().any(|listed| listed == name)
}

async fn reads_replica(server: &Server, tea: &Product) {
    eventually("the replica is read", async || is_marked(server, &movements(tea)).await.then_some(())).await;
}

async fn reads_primary(server: &Server, tea: &Product) {
    eventually("the primary is read", async || (!is_marked(server, &movements(tea)).await).then_some(())).await;
}
