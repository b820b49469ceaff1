//! Servers on a Galera cluster of three nodes, of which one is killed, paused or shut down under load. No acknowledged
//! write is lost, none has two effects, and none has an effect after a response that rules it out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jangteo_testkit::{Call, Cluster, Database, Network, Server, Shop, eventually_within, run_on};
use rand::seq::SliceRandom as _;
use serde_json::json;

use crate::load::{Load, PROGRESS_MAX, decided};

/// Timeout of the whole test, which takes about a minute.
const TEST_MAX: Duration = Duration::from_secs(240);
const NODES: usize = 3;
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
        let load = Load::of(&server);
        let nodes = Nodes { cluster: &cluster, load: &load };
        load.during("kill", 1, async {
            let failed = nodes.writer().await;
            cluster.node(failed).kill().await.expect("it runs");
            nodes.moves_from(failed).await;
            nodes.rejoins(failed).await;
        })
        .await;
        load.during("pause", 1, async {
            let failed = nodes.writer().await;
            cluster.node(failed).pause().await.expect("it runs");
            nodes.moves_from(failed).await;
            cluster.node(failed).resume().await.expect("it is paused");
            nodes.rejoins(failed).await;
        })
        .await;
        load.during("rolling restart", NODES, async {
            for node in 0..NODES {
                cluster.node(node).shut_down().await.expect("it runs");
                nodes.moves_from(node).await;
                nodes.rejoins(node).await;
            }
        })
        .await;
        cluster.synchronize().await.expect("all nodes respond");
        load.check(shop.database().connect().await).await;
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

/// The nodes under the load of one server.
struct Nodes<'a> {
    cluster: &'a Cluster,
    load: &'a Load<'a>,
}

impl Nodes<'_> {
    async fn writer(&self) -> usize {
        self.cluster.writer_of(self.load.server).await.expect("the metrics name the writer")
    }

    /// Waits until the callers' writes reach another node.
    async fn moves_from(&self, failed: usize) {
        eventually_within(PROGRESS_MAX, "the metrics name another writer", async || {
            self.cluster.writer_of(self.load.server).await.filter(|writer| *writer != failed)
        })
        .await;
        self.load.progress().await;
    }

    async fn rejoins(&self, node: usize) {
        self.cluster.rejoin(node).await.unwrap_or_else(|error| panic!("{error:#}"));
        self.load.progress().await;
    }
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
