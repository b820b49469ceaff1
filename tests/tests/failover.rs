//! Servers on a Galera cluster of three nodes, of which one is killed, paused or shut down under load. No acknowledged
//! write is lost, none has two effects, and none has an effect after a response that rules it out.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use jangteo_testkit::{Call, Cluster, Column, Database, Network, Response, Server, Shop, eventually_within, run_on};
use rand::seq::SliceRandom as _;
use serde_json::json;
use tokio::sync::watch;

/// Timeout of the whole test, which takes about a minute.
const TEST_MAX: Duration = Duration::from_secs(240);
/// Maximum time until writes succeed again. Galera excludes a silent node after 5 s.
const PROGRESS_MAX: Duration = Duration::from_secs(60);
const NODES: usize = 3;
/// Concurrent callers; every second one sends keys.
const CALLERS: usize = 12;
/// Requests in flight during a race.
const IN_FLIGHT_MAX: usize = 32;

const STOCK: usize = 60;
const ORDERS: usize = 180;
const COUPONS: usize = 60;
const COUPON_REQUESTS: usize = 180;
const REQUESTS_OF_ONE_KEY: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_lost_or_repeated_when_a_node_fails() {
    let cluster = Cluster::galera(Network::Loopback, NODES, "").await.unwrap_or_else(|error| panic!("{error:#}"));
    let database = Database::create_on(cluster.url()).await.expect("a database");
    run_on(database, TEST_MAX, async |shop| {
        shop.expect_server_errors();
        let server = start(&shop, &cluster, 0).await;
        let load =
            Load { cluster: &cluster, server: &server, created: AtomicUsize::new(0), requests: Mutex::default() };
        load.during("kill", 1, async {
            let failed = load.writer().await;
            load.cluster.node(failed).kill().await.expect("it runs");
            load.moves_from(failed).await;
            load.rejoins(failed).await;
        })
        .await;
        load.during("pause", 1, async {
            let failed = load.writer().await;
            load.cluster.node(failed).pause().await.expect("it runs");
            load.moves_from(failed).await;
            load.cluster.node(failed).resume().await.expect("it is paused");
            load.rejoins(failed).await;
        })
        .await;
        load.during("rolling restart", NODES, async {
            for node in 0..NODES {
                load.cluster.node(node).shut_down().await.expect("it runs");
                load.moves_from(node).await;
                load.rejoins(node).await;
            }
        })
        .await;
        load.check(&shop).await;
        race(&shop, &cluster, &server).await;
        cluster.synchronize().await.expect("all nodes respond");
    })
    .await;
}

/// A server that prefers the node `first`.
async fn start(shop: &Shop, cluster: &Cluster, first: usize) -> Server {
    let url = cluster.shop_url(first, shop.database().mysql_name());
    shop.server().settings([("DATABASE_URL", url.as_str()), ("RUST_LOG", "warn")]).start().await
}

/// A top-up, unique by user and amount.
struct Request {
    fault: &'static str,
    user: String,
    amount: i64,
    key: Option<String>,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Created,
    NoEffect,
    Unknown,
}

/// Callers that top up points while a node fails.
struct Load<'a> {
    cluster: &'a Cluster,
    server: &'a Server,
    /// Successful top-ups.
    created: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

impl Load<'_> {
    /// Sends top-ups until `fault` ends, in which the callers observe at most this many failures of the writer.
    async fn during(&self, fault: &'static str, failures: usize, failing: impl Future<Output = ()>) {
        let stop = watch::Sender::new(false);
        let callers = join_all((0..CALLERS).map(|number| self.call(fault, number, stop.subscribe())));
        let failing = async {
            self.progress().await;
            failing.await;
            stop.send_replace(true);
        };
        tokio::join!(failing, callers);
        let requests = self.requests.lock().expect("no panic while it is held");
        let is_unknown = |request: &&Request| request.fault == fault && request.outcome == Outcome::Unknown;
        let unknown = requests.iter().filter(is_unknown).count();
        // A caller has one request in flight.
        assert!(unknown <= failures * CALLERS / 2, "{fault}: {unknown} unknown outcomes without a key");
    }

    async fn call(&self, fault: &'static str, number: usize, stop: watch::Receiver<bool>) {
        let user = format!("{}-{number}", fault.replace(' ', "-"));
        let caller = self.server.user(&user);
        let mut amount = 0;
        while !*stop.borrow() {
            amount += 1;
            let call = caller.post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": amount.to_string() }));
            let key = (number % 2 == 1).then(|| format!("{user}-{amount}"));
            let outcome = outcome(&match &key {
                Some(key) => decided(call.key(key)).await,
                None => call.await,
            });
            self.created.fetch_add(usize::from(outcome == Outcome::Created), Ordering::SeqCst);
            let request = Request { fault, user: user.clone(), amount, key, outcome };
            self.requests.lock().expect("no panic while it is held").push(request);
        }
    }

    /// Waits until the callers complete more writes.
    async fn progress(&self) {
        let before = self.created.load(Ordering::SeqCst);
        eventually_within(PROGRESS_MAX, "writes succeed", async || {
            (self.created.load(Ordering::SeqCst) >= before + 4 * CALLERS).then_some(())
        })
        .await;
    }

    async fn writer(&self) -> usize {
        self.cluster.writer_of(self.server).await.expect("the metrics name the writer")
    }

    /// Waits until the callers' writes reach another node.
    async fn moves_from(&self, failed: usize) {
        eventually_within(PROGRESS_MAX, "the metrics name another writer", async || {
            self.cluster.writer_of(self.server).await.filter(|writer| *writer != failed)
        })
        .await;
        self.progress().await;
    }

    async fn rejoins(&self, node: usize) {
        self.cluster.rejoin(node).await.unwrap_or_else(|error| panic!("{error:#}"));
        self.progress().await;
    }

    /// Compares the requests with the ledger.
    async fn check(&self, shop: &Shop) {
        self.cluster.synchronize().await.expect("all nodes respond");
        let mut connection = shop.database().connect().await;
        let columns = [Column::Plain("user_id"), Column::Money("amount")];
        let read = |row: &mut jangteo_testkit::Row| (row.text(), row.number() / 10_000);
        let mut ledger = BTreeMap::new();
        for entry in connection.rows("point_entries", &columns, read).await {
            *ledger.entry(entry).or_insert(0) += 1;
        }
        connection.close().await;
        let mut violations = Vec::new();
        for Request { fault, user, amount, key, outcome } in &*self.requests.lock().expect("no panic while it is held")
        {
            let effects = ledger.remove(&(user.clone(), *amount)).unwrap_or(0);
            let violation = match (outcome, effects) {
                (Outcome::Created, 1) | (Outcome::NoEffect, 0) | (Outcome::Unknown, 0 | 1) => continue,
                (Outcome::Created, 0) => "lost",
                (Outcome::NoEffect, 1) => "untrue",
                (Outcome::Created | Outcome::NoEffect | Outcome::Unknown, _) => "twice",
            };
            violations.push(format!("{fault}: {violation}: {amount} of {user}, {key:?}"));
        }
        violations.extend(ledger.keys().map(|entry| format!("never sent: {entry:?}")));
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

fn outcome(response: &Response) -> Outcome {
    match (response.status, response.document()["code"].as_str()) {
        (201, _) => Outcome::Created,
        (503, Some("OUTCOME_UNKNOWN")) => Outcome::Unknown,
        (503, Some("DATABASE_UNAVAILABLE" | "OVERLOADED")) => Outcome::NoEffect,
        _ => panic!("{response}"),
    }
}

/// Repeats a call with a key until its outcome is known.
async fn decided(call: Call) -> Response {
    eventually_within(PROGRESS_MAX, "the outcome of the key is known", async || {
        let response = call.clone().await;
        let is_retryable = response.status == 503 || response.document()["code"] == "REQUEST_IN_PROGRESS";
        (!is_retryable).then_some(response)
    })
    .await
}

/// Orders of a small stock, coupons of a small campaign and one key, on two servers that prefer different nodes, while a
/// node is killed.
async fn race(shop: &Shop, cluster: &Cluster, one: &Server) {
    let other = &start(shop, cluster, 1).await;
    let tea = one.product("tea").stock(STOCK as u32).create().await;
    let campaign = one.campaign("first come").quantity(COUPONS as u32).create().await;
    let coupons = format!("{}/coupons", campaign.path());
    cluster.synchronize().await.expect("all nodes respond");

    let server = |number: usize| [one, other][number % 2];
    let order = |number| {
        let user = format!("buyer-{number}");
        server(number).user(&user).post("/v1/orders", json!({ "lines": [tea.line(1)] })).key(&user)
    };
    let coupon = |number| {
        let user = format!("taker-{number}");
        server(number).user(&user).post(&coupons, json!({})).key(&user)
    };
    let same = |number| {
        let call = server(number).user("repeater").post("/v1/users/repeater/points/top-ups", json!({ "amount": "7" }));
        call.key("one key")
    };
    let calls = (0..ORDERS).map(order).chain((0..COUPON_REQUESTS).map(coupon));
    let mut calls: Vec<Call> = calls.chain((0..REQUESTS_OF_ONE_KEY).map(same)).collect();
    // All kinds are in flight when the node fails.
    calls.shuffle(&mut rand::rng());
    let (count, completed) = (calls.len(), AtomicUsize::new(0));
    let racing = iter(calls).map(async |call| {
        let response = decided(call).await;
        completed.fetch_add(1, Ordering::SeqCst);
        response
    });
    let killing = async {
        eventually_within(PROGRESS_MAX, "the race is under way", async || {
            (completed.load(Ordering::SeqCst) >= count / 10).then_some(())
        })
        .await;
        let failed = cluster.writer_of(one).await.expect("the metrics name the writer");
        cluster.node(failed).kill().await.expect("it runs");
        failed
    };
    let (failed, responses) = tokio::join!(killing, racing.buffer_unordered(IN_FLIGHT_MAX).collect::<Vec<_>>());
    cluster.rejoin(failed).await.unwrap_or_else(|error| panic!("{error:#}"));
    cluster.synchronize().await.expect("all nodes respond");
    let mut tally = BTreeMap::new();
    for response in responses {
        let code = response.document()["code"].as_str().unwrap_or_default().to_owned();
        *tally.entry((response.status, code)).or_insert(0) += 1;
    }
    let expected = [
        ((201, ""), STOCK + COUPONS + REQUESTS_OF_ONE_KEY),
        ((409, "COUPON_SOLD_OUT"), COUPON_REQUESTS - COUPONS),
        ((409, "OUT_OF_STOCK"), ORDERS - STOCK),
    ];
    assert_eq!(tally, expected.map(|((status, code), count)| ((status, code.to_owned()), count)).into());
    for server in [one, other] {
        assert_eq!(server.available(&tea).await, 0);
        assert_eq!(server.balance("repeater").await, 7);
        assert_eq!(server.anonymous().get(campaign.path()).await.json(200)["issued"], COUPONS);
    }
}
