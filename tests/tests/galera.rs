//! Two servers on the two nodes of a Galera cluster, both writing. The node that commits first aborts conflicting
//! transactions of the other: between two statements, within one, or at COMMIT. Even so, nothing is oversold or
//! overissued, no acknowledged write is lost, and no caller sees a server error, also while tables are altered.
//!
//! `GALERA_RUNS` repeats everything this many times (default: 1), each time with new products, campaigns and users.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jangteo_testkit::{
    Call, Cluster, CommandOutput, Database, Network, Response, Server, Shop, eventually_within, run_on, shop_url,
};
use serde_json::json;

/// With these timeouts, a busy machine does not make a node suspect the other.
const STEADY: &str = "evs.suspect_timeout=PT30S;evs.inactive_timeout=PT60S";
/// Timeout of the servers' start and the verification of both nodes.
const SETUP_MAX: Duration = Duration::from_secs(120);
/// Timeout of one run, which takes 10 s on an idle machine with two cores.
const RUN_MAX: Duration = Duration::from_secs(120);
/// A round for each table, which gets a new column meanwhile, as in a migration of the next release. Multi-statement
/// packets, which Galera does not execute atomically, failed in about every second round.
const EXPANDED: [&str; 8] = [
    "stocks",
    "orders",
    "point_accounts",
    "coupon_campaigns",
    "idempotency_keys",
    "stock_movements",
    "products",
    "commit_markers",
];
/// Request timeout and maximum queue wait, so that none is rejected for waiting.
const REQUEST_TIMEOUT: &str = "30s";
/// Maximum requests in flight: enough to fill batches on both nodes.
const IN_FLIGHT_MAX: usize = 64;
/// Maximum time to repeat a request with an unknown outcome.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Rounds of concurrent corrections.
const CORRECTIONS: usize = 9;

const STOCK: usize = 100;
const ORDERS: usize = 300;
const COUPONS: usize = 50;
const COUPON_REQUESTS: usize = 240;
const TOP_UPS: i64 = 200;
const KEYS: i64 = 20;
const REQUESTS_PER_KEY: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn neither_oversells_nor_overissues_with_a_writer_on_each_node() {
    let runs: u32 = std::env::var("GALERA_RUNS").map_or(1, |runs| runs.parse().expect("GALERA_RUNS is a number"));
    let galera = Cluster::galera(Network::Loopback, 2, STEADY).await.unwrap_or_else(|error| panic!("{error:#}"));
    let database = Database::create_on(galera.node(0).url()).await.expect("a database");
    run_on(database, SETUP_MAX + RUN_MAX * runs, async |shop| {
        // Server errors are counted among the violations.
        shop.expect_server_errors();
        let nodes = Nodes::start(&shop, &galera).await;
        nodes.examine(&shop).await;
        let mut connection = shop.database().connect().await;
        let mut violations = Vec::new();
        for run in 1..=runs {
            for (round, table) in (1..).zip(EXPANDED) {
                let round_of_run = format!("{run}-{round}");
                let expand = format!("ALTER TABLE {table} ADD COLUMN expanded_{run} BIGINT NULL");
                let (observed, ()) = tokio::join!(nodes.round(&round_of_run), connection.execute(&expand));
                violations
                    .extend(observed.into_iter().map(|violation| format!("run {run}, round {round}: {violation}")));
            }
        }
        connection.close().await;
        violations.extend(nodes.verify(&shop).await);
        let aborts = galera.aborted_transactions().await.expect("both nodes respond");
        assert!(aborts > 0, "no transaction was aborted, so this test has no significance");
        let list = violations.join("\n");
        assert!(violations.is_empty(), "{} violations, with {aborts} aborted transactions:\n{list}", violations.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_and_corrections_on_two_nodes_have_one_effect() {
    let galera = Cluster::galera(Network::Loopback, 2, STEADY).await.unwrap_or_else(|error| panic!("{error:#}"));
    let database = Database::create_on(galera.node(0).url()).await.expect("a database");
    run_on(database, SETUP_MAX, async |shop| {
        for CommandOutput { code, stdout, stderr } in on_both(&shop, &galera, ["migrate"]).await {
            assert_eq!(code, Some(0), "{stdout}{stderr}");
        }
        shop.start().await;
        let mut connection = shop.database().connect().await;
        let mut refused = 0;
        for round in 1..=CORRECTIONS {
            let sales = format!("('2020-01-{round:02}', UNHEX(REPEAT('0{round}', 16)), 7, 70)");
            connection.execute(&format!("INSERT INTO daily_sales VALUES {sales}")).await;
            galera.synchronize().await.expect("both nodes respond");
            let corrections = on_both(&shop, &galera, ["rebuild", "daily-sales"]).await;
            refused += corrections.iter().filter(|output| output.code != Some(0)).count();
            galera.synchronize().await.expect("both nodes respond");
            let verified = shop.server().run(["verify"]).await;
            assert_eq!(verified.code, Some(0), "round {round}: {verified:?}");
        }
        connection.close().await;
        assert!(refused > 0, "no two corrections overlapped, so this test has no significance");
    })
    .await;
}

/// Runs the command four times at once, twice on each node.
async fn on_both<const N: usize>(shop: &Shop, galera: &Cluster, arguments: [&str; N]) -> [CommandOutput; 4] {
    let run = async |node: usize| {
        let url = shop_url(galera.node(node).port(), shop.database().mysql_name());
        shop.server().setting("DATABASE_URL", url).run(arguments).await
    };
    tokio::join!(run(0), run(1), run(0), run(1)).into()
}

/// A server on each node.
struct Nodes<'a> {
    galera: &'a Cluster,
    urls: [String; 2],
    servers: [Server; 2],
}

impl<'a> Nodes<'a> {
    async fn start(shop: &Shop, galera: &'a Cluster) -> Self {
        let urls = [0, 1].map(|index| shop_url(galera.node(index).port(), shop.database().mysql_name()));
        let start = async |url: &str| {
            let settings =
                [("DATABASE_URL", url), ("REQUEST_TIMEOUT", REQUEST_TIMEOUT), ("QUEUE_WAIT_MAX", REQUEST_TIMEOUT)];
            shop.server().settings(settings).start().await
        };
        // The first server creates the tables.
        let one = start(&urls[0]).await;
        galera.synchronize().await.expect("both nodes respond");
        let other = start(&urls[1]).await;
        Self { galera, servers: [one, other], urls }
    }

    /// Both nodes are writers, as they agree on the order of transactions.
    async fn examine(&self, shop: &Shop) {
        let [one, other] = [0, 1].map(|index| self.galera.node(index).port());
        let url = self.urls[0].replacen(&format!(":{one}/"), &format!(":{one},127.0.0.1:{other}/"), 1);
        let examined = shop.server().setting("DATABASE_URL", url).run(["doctor"]).await;
        assert_eq!(examined.code, Some(0), "{examined:?}");
        for line in ["topology: Galera, writer", "wsrep_ready: ON", "ok       all hosts  writer: 127.0.0.1:"] {
            assert!(examined.stdout.contains(line), "no {line}: {}", examined.stdout);
        }
    }

    /// Sends the requests of each kind to both servers concurrently and returns the violations.
    async fn round(&self, round: &str) -> Vec<String> {
        [
            self.orders(round).await,
            self.coupons(round).await,
            self.top_ups(round).await,
            self.idempotency_keys(round).await,
        ]
        .concat()
    }

    async fn orders(&self, round: &str) -> Vec<String> {
        let [one, other] = &self.servers;
        let tea = one.product(&format!("tea {round}")).stock(STOCK as u32).create().await;
        self.synchronize().await;
        let calls = (0..ORDERS).map(|number| {
            let user = format!("buyer-{round}-{number}");
            self.server(number).user(&user).post("/v1/orders", json!({ "lines": [tea.line(1)] }))
        });
        let responses = storm(calls).await;
        self.synchronize().await;
        let mut violations = Vec::new();
        let expected = counts([("201", STOCK), ("409 OUT_OF_STOCK", ORDERS - STOCK)]);
        expect(&mut violations, "responses to orders", &expected, &tally(&responses));
        for server in [one, other] {
            expect(&mut violations, "remaining stock", &0, &server.available(&tea).await);
        }
        violations
    }

    async fn coupons(&self, round: &str) -> Vec<String> {
        let [one, other] = &self.servers;
        let campaign = one.campaign(&format!("first come {round}")).quantity(COUPONS as u32).create().await;
        self.synchronize().await;
        let path = format!("{}/coupons", campaign.path());
        let calls = (0..COUPON_REQUESTS)
            .map(|number| self.server(number).user(&format!("taker-{round}-{number}")).post(&path, json!({})));
        let responses = storm(calls).await;
        self.synchronize().await;
        let mut violations = Vec::new();
        let expected = counts([("201", COUPONS), ("409 COUPON_SOLD_OUT", COUPON_REQUESTS - COUPONS)]);
        expect(&mut violations, "responses to coupon requests", &expected, &tally(&responses));
        for server in [one, other] {
            let document = server.anonymous().get(campaign.path()).await.json(200);
            expect(&mut violations, "issued coupons", &json!(COUPONS), &document["issued"]);
        }
        violations
    }

    async fn top_ups(&self, round: &str) -> Vec<String> {
        let user = format!("saver-{round}");
        let path = format!("/v1/users/{user}/points/top-ups");
        let calls = (1..=TOP_UPS).zip(0..).map(|(amount, number)| {
            self.server(number).user(&user).post(&path, json!({ "amount": amount.to_string() }))
        });
        let responses = storm(calls).await;
        self.synchronize().await;
        let mut violations = Vec::new();
        expect(&mut violations, "responses to top-ups", &counts([("201", TOP_UPS as usize)]), &tally(&responses));
        for server in &self.servers {
            expect(&mut violations, "balance", &(TOP_UPS * (TOP_UPS + 1) / 2), &server.balance(&user).await);
        }
        violations
    }

    /// Half of the keys are of top-ups, half of orders.
    async fn idempotency_keys(&self, round: &str) -> Vec<String> {
        let [one, other] = &self.servers;
        let mug = one.product(&format!("mug {round}")).stock(STOCK as u32).create().await;
        self.synchronize().await;
        let user = format!("repeater-{round}");
        let calls = (0..KEYS * REQUESTS_PER_KEY as i64).map(|number| {
            let key = number % KEYS;
            let caller = self.server((number / KEYS) as usize).user(&user);
            let call = if key < KEYS / 2 {
                caller.post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": (key + 1).to_string() }))
            } else {
                caller.post("/v1/orders", json!({ "lines": [mug.line(1)] }))
            };
            send_until_known(key, call.key(&format!("key-{round}-{key}")))
        });
        let responses: Vec<(i64, Vec<Response>)> = iter(calls).buffer_unordered(IN_FLIGHT_MAX).collect().await;
        self.synchronize().await;

        let mut violations = Vec::new();
        let mut outcomes: BTreeMap<i64, BTreeSet<(u16, &[u8])>> = BTreeMap::new();
        for (key, attempts) in &responses {
            let last = attempts.last().expect("at least one attempt");
            outcomes.entry(*key).or_default().insert((last.status, &last.body));
        }
        for (key, outcomes) in &outcomes {
            expect(&mut violations, &format!("distinct responses of key {key}"), &1, &outcomes.len());
        }
        let last = responses.iter().filter_map(|(_, attempts)| attempts.last());
        let expected = counts([("201", KEYS as usize * REQUESTS_PER_KEY)]);
        expect(&mut violations, "final responses to requests with a key", &expected, &tally(last));
        let all = responses.iter().flat_map(|(_, attempts)| attempts);
        let server_errors = tally(all.filter(|response| response.status >= 500));
        expect(&mut violations, "server errors before", &BTreeMap::new(), &server_errors);
        let half = KEYS / 2;
        for server in [one, other] {
            expect(&mut violations, "balance of the keys", &(half * (half + 1) / 2), &server.balance(&user).await);
            let stock = STOCK as i64 - (KEYS - half);
            expect(&mut violations, "stock after the keys' orders", &stock, &server.available(&mug).await);
        }
        violations
    }

    /// Findings of `jangteo verify` on each node.
    async fn verify(&self, shop: &Shop) -> Vec<String> {
        self.synchronize().await;
        let mut violations = Vec::new();
        for (url, number) in self.urls.iter().zip(1..) {
            let verified = shop.server().setting("DATABASE_URL", url).run(["verify"]).await;
            if verified.code != Some(0) {
                let CommandOutput { code, stdout, stderr } = verified;
                violations.push(format!("jangteo verify on node {number} exits with {code:?}:\n{stdout}{stderr}"));
            }
        }
        violations
    }

    fn server(&self, number: usize) -> &Server {
        &self.servers[number % 2]
    }

    /// Waits for replication: a read on one node may miss a recent commit of the other.
    async fn synchronize(&self) {
        self.galera.synchronize().await.expect("both nodes respond");
    }
}

/// Sends all calls concurrently.
async fn storm(calls: impl IntoIterator<Item = Call>) -> Vec<Response> {
    iter(calls).map(Call::into_future).buffer_unordered(IN_FLIGHT_MAX).collect().await
}

/// Repeats a call with a key until its outcome is known. Returns all responses, in order.
async fn send_until_known(key: i64, call: Call) -> (i64, Vec<Response>) {
    let mut responses = Vec::new();
    eventually_within(RETRY_MAX, "the outcome is known", async || {
        let response = call.clone().await;
        let is_known = !(response.status == 503 || ends_as(&response) == "409 REQUEST_IN_PROGRESS");
        responses.push(response);
        is_known.then_some(())
    })
    .await;
    (key, responses)
}

/// The status, and the code of a problem.
fn ends_as(response: &Response) -> String {
    match response.document()["code"].as_str() {
        Some(code) if response.status >= 400 => format!("{} {code}", response.status),
        _ => response.status.to_string(),
    }
}

fn tally<'a>(responses: impl IntoIterator<Item = &'a Response>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for response in responses {
        *tally.entry(ends_as(response)).or_default() += 1;
    }
    tally
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(ending, count)| (ending.to_owned(), count)).collect()
}

fn expect<T: PartialEq + std::fmt::Debug>(violations: &mut Vec<String>, name: &str, expected: &T, observed: &T) {
    if observed != expected {
        violations.push(format!("{name}: observed {observed:?}, expected {expected:?}"));
    }
}
