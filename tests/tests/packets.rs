//! Large statements: packets stay within any `max_allowed_packet`.

use std::future::IntoFuture;
use std::iter::once;
use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::{Database, MariaDb, Product, Response, Server, eventually, run_on, shop_url};
use serde_json::{Value, json};

/// Timeout for three rounds of some ten seconds, and the restarts.
const TIME_MAX: Duration = Duration::from_secs(300);
/// From MariaDB's default down to the default of old servers.
const PACKET_MAX: [&str; 3] = ["16M", "4M", "1M"];
/// Enough orders for a batch of more than 16 MiB, as a lane takes half of a long queue.
const ORDERS: usize = 300;
const LINES: usize = 100;
/// Slightly below the maximum length of a name, in characters of three bytes.
const NAME_CHARS: usize = 190;

/// Some hundred concurrent orders, all queued when a lane takes its batch. Each has the maximum size: a hundred lines
/// with Hangul names.
#[tokio::test(flavor = "multi_thread")]
async fn orders_fit_into_packets_of_any_maximum_size() {
    let mariadb = MariaDb::start().await.expect("a server");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_server_errors();
        let settings =
            [("QUEUE_WAIT_MAX", "20s"), ("REQUEST_TIMEOUT", "60s"), ("OPEN_ORDERS_MAX", "1000"), ("RUST_LOG", "warn")];
        let url = shop_url(mariadb.port(), shop.database().mysql_name());
        let builder =
            || shop.server().settings(settings).settings([("ORDER_LINES_MAX", "100"), ("DATABASE_URL", &url)]);
        let server = builder().start().await;
        let names = (0..LINES).map(|number| format!("{number:03}{}", "장".repeat(NAME_CHARS - 3)));
        let stock = u32::try_from(ORDERS * PACKET_MAX.len()).expect("some hundred");
        let products = names.map(|name| server.product(&name).stock(stock).create());
        let products: Vec<Product> = join_all(products).await;
        let lines: Vec<Value> = products.iter().map(|product| product.line(1)).collect();
        server.terminate();
        assert!(server.ended().await.success(), "{}", server.log());

        let mut wrong = String::new();
        for packet_max in PACKET_MAX {
            mariadb.restart_with(&[&format!("--max-allowed-packet={packet_max}")]).await.expect("restarted");
            let server = builder().start().await;
            let order = |number: usize| {
                let user = server.user(&format!("user-{number}"));
                user.post("/v1/orders", json!({ "lines": lines })).key(packet_max).into_future()
            };
            // The first order waits for a lock, and all others for the first.
            let mut holder = shop.database().connect().await;
            holder.execute("BEGIN; SELECT * FROM stocks FOR UPDATE").await;
            let first = tokio::spawn(order(0));
            holder.lock_wait().await;
            let others: Vec<_> = (1..ORDERS).map(|number| tokio::spawn(order(number))).collect();
            eventually("all other orders are queued", async || {
                (queue_depth(&server).await == ORDERS - 1).then_some(())
            })
            .await;
            holder.execute("ROLLBACK").await;
            holder.close().await;
            let responses = join_all(once(first).chain(others)).await;
            let responses: Vec<Response> = responses.into_iter().map(|response| response.expect("no panic")).collect();
            let other: Vec<_> = responses.iter().filter(|response| response.status != 201).collect();
            if let Some(first) = other.first() {
                let log = server.log();
                let cause = log.lines().find(|line| line.contains("a request failed")).unwrap_or_default();
                wrong.push_str(&format!("{packet_max}: {} of {ORDERS}: {first}\n{cause}\n", other.len()));
            }
            server.terminate();
            assert!(server.ended().await.success(), "{}", server.log());
        }
        assert!(wrong.is_empty(), "{wrong}");
    })
    .await;
}

/// Number of queued requests.
async fn queue_depth(server: &Server) -> usize {
    let metrics = server.anonymous().get("/metrics").await.expect(200);
    let text = String::from_utf8(metrics.body).expect("UTF-8");
    let depth = text.lines().find_map(|line| line.strip_prefix("jangteo_queue_depth ")?.parse().ok());
    depth.unwrap_or_else(|| panic!("no jangteo_queue_depth: {text}"))
}
