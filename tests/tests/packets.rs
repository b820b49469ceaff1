//! Packets of a size that the database server takes: as many as it needs, whatever `max_allowed_packet` says.

use std::future::IntoFuture;
use std::iter::once;
use std::time::Duration;

use futures_util::future::join_all;
use jangteo_tests::{Answer, Database, INNODB_FRESH_AFTER, MariaDb, Product, Server, eventually, run_on, shop_url};
use serde_json::{Value, json};

/// Thrice some ten seconds for the orders, and the restarts.
const TIME_MAX: Duration = Duration::from_secs(300);
/// From what a MariaDB takes unless it is told otherwise down to what servers took for decades.
const PACKET_MAX: [&str; 3] = ["16M", "4M", "1M"];
/// As many as it takes for a batch of more than 16 MiB, as a lane takes half of a long queue.
const ORDERS: usize = 300;
const LINES: usize = 100;
/// The longest name but a few characters, in three bytes each.
const NAME_CHARS: usize = 190;

/// Some hundred orders at once, all of which wait when a lane takes its batch; of a hundred lines with names in Hangul,
/// which make them as large as an order gets.
#[tokio::test(flavor = "multi_thread")]
async fn orders_fit_into_packets_of_any_size_that_the_server_takes() {
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
            mariadb.restart_with(&[&format!("--max-allowed-packet={packet_max}")]).await.expect("it starts again");
            let server = builder().start().await;
            let order = |number: usize| {
                let user = server.user(&format!("user-{number}"));
                user.post("/v1/orders", json!({ "lines": lines })).key(packet_max).into_future()
            };
            // The first waits for a lock, and all others for the first.
            let mut holder = shop.database().connect().await;
            holder.execute("BEGIN; SELECT * FROM stocks FOR UPDATE").await;
            let first = tokio::spawn(order(0));
            eventually("the first waits for the lock", async || {
                tokio::time::sleep(INNODB_FRESH_AFTER).await;
                let waiting = "information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'";
                (holder.number("COUNT(*)", waiting).await == 1).then_some(())
            })
            .await;
            let others: Vec<_> = (1..ORDERS).map(|number| tokio::spawn(order(number))).collect();
            eventually("all others wait for the first", async || {
                (queue_depth(&server).await == ORDERS - 1).then_some(())
            })
            .await;
            holder.execute("ROLLBACK").await;
            holder.close().await;
            let answers = join_all(once(first).chain(others)).await;
            let answers: Vec<Answer> = answers.into_iter().map(|answer| answer.expect("no panic")).collect();
            let other: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
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

/// How many requests wait for their turn.
async fn queue_depth(server: &Server) -> usize {
    let metrics = server.anonymous().get("/metrics").await.expect(200);
    let text = String::from_utf8(metrics.body).expect("UTF-8");
    let depth = text.lines().find_map(|line| line.strip_prefix("jangteo_queue_depth ")?.parse().ok());
    depth.unwrap_or_else(|| panic!("no jangteo_queue_depth: {text}"))
}
