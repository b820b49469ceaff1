//! Races for a stock, for coupons and for one key, on three servers at once, while their writer changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jangteo_testkit::{Cluster, eventually_within, now, rfc3339};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::json;

use crate::arena::{Arena, empty_body, send, token};
use crate::faults::Notes;
use crate::faults::cluster::{rejoin, switch_over};
use crate::journal::{DefiniteResponse, Observed, Operation, Write};
use crate::workload::{make_product, success, text};

const SERVERS: usize = 3;
const STOCK: usize = 60;
const ORDERS: usize = 180;
const COUPONS: usize = 60;
const COUPON_REQUESTS: usize = 180;
const REQUESTS_OF_ONE_KEY: usize = 60;
const IN_FLIGHT_MAX: usize = 32;
/// Maximum time until a request has a definite response. Group Replication excludes a silent node after 22 s.
const RESPONSE_MAX: Duration = Duration::from_secs(60);

/// The primary of Group Replication changes by command.
pub async fn at_switch_overs(arena: &Arena, count: u64) -> Notes {
    race(arena, count, async |cluster, writer| switch_over(cluster, writer, None).await).await
}

/// SIGKILL of a node of Galera, each of which one server writes to.
pub async fn at_kills(arena: &Arena, count: u64) -> Notes {
    race(arena, count, async |cluster, writer| cluster.node(writer).kill().await.expect("it runs")).await
}

async fn race(arena: &Arena, count: u64, fault: impl AsyncFn(&Cluster, usize)) -> Notes {
    for first in 0..SERVERS {
        let url = arena.cluster().shop_url(first, arena.shop.database().mysql_name());
        arena.open(arena.server().setting("DATABASE_URL", url)).await;
    }
    arena.fill().await;
    let mut random = arena.random(1);
    let requests = AtomicUsize::new(0);
    let racing = async {
        for number in 1..=count {
            let race = Race::start(arena, number, &mut random).await;
            race.run(arena, &requests, &fault, &mut random).await;
            arena.advance(number);
        }
    };
    arena.under_load(racing).await;
    vec![format!(
        "each time {STOCK} of {ORDERS} orders, {COUPONS} of {COUPON_REQUESTS} coupons and one of {REQUESTS_OF_ONE_KEY} \
         requests with one key took effect; {} requests with their repetitions",
        requests.into_inner()
    )]
}

/// A product and a campaign that only this race knows.
struct Race {
    number: u64,
    product: String,
    campaign: String,
}

impl Race {
    async fn start(arena: &Arena, number: u64, random: &mut StdRng) -> Self {
        let product = make_product(arena, random, &format!("race {number}")).await.expect("no fault yet");
        let path = format!("/v1/admin/products/{product}/stock-movements");
        let body = json!({ "quantity": STOCK, "reason": "delivered" });
        arena.make(arena.write(Operation::AdjustStock, None, path, body), random).await.expect("no fault yet");
        let body = json!({
            "name": "race", "discount": { "kind": "fixed", "amount": "50" }, "quantity": COUPONS, "valid_days": 7,
            "issue_opens_at": rfc3339(now() - time::Duration::hours(1)),
            "issue_closes_at": rfc3339(now() + time::Duration::days(1)),
        });
        let write = arena.write(Operation::CreateCampaign, None, "/v1/admin/coupon-campaigns".to_owned(), body);
        let created = success(arena.make(write, random).await).expect("no fault yet");
        arena.cluster().synchronize().await.expect("all nodes respond");
        Self { number, product, campaign: text(&created, "campaign_id") }
    }

    /// Sends all requests, and injects the fault once a tenth has a definite response.
    async fn run(
        &self,
        arena: &Arena,
        requests: &AtomicUsize,
        fault: &impl AsyncFn(&Cluster, usize),
        random: &mut StdRng,
    ) {
        let mut calls = self.calls(arena);
        calls.shuffle(random);
        let (count, completed) = (calls.len(), AtomicUsize::new(0));
        let racing = iter(calls.into_iter().enumerate()).map(async |(turn, (index, write))| {
            let response = decide(arena, index, &write, turn, requests).await;
            completed.fetch_add(1, Ordering::SeqCst);
            (write.operation, response.status)
        });
        let failing = async {
            eventually_within(RESPONSE_MAX, "the race is under way", async || {
                (completed.load(Ordering::SeqCst) >= count / 10).then_some(())
            })
            .await;
            let writer = arena.writer().await;
            fault(arena.cluster(), writer).await;
            writer
        };
        let (failed, responses) =
            tokio::join!(failing, racing.buffer_unordered(IN_FLIGHT_MAX).collect::<Vec<(Operation, u16)>>());
        rejoin(arena, arena.cluster(), failed).await;
        arena.cluster().synchronize().await.expect("all nodes respond");
        let of = |operation, status| responses.iter().filter(|response| **response == (operation, status)).count();
        let observed = [
            (of(Operation::PlaceOrder, 201), of(Operation::PlaceOrder, 409)),
            (of(Operation::IssueCoupon, 201), of(Operation::IssueCoupon, 409)),
            (of(Operation::TopUpPoints, 201), of(Operation::TopUpPoints, 409)),
        ];
        let expected = [(STOCK, ORDERS - STOCK), (COUPONS, COUPON_REQUESTS - COUPONS), (REQUESTS_OF_ONE_KEY, 0)];
        assert_eq!(observed, expected, "created and rejected, of orders, coupons and one key");
        for server in arena.servers() {
            let admin = server.bearer(token(None));
            let product = admin.get(format!("/v1/products/{}", self.product)).await.json(200);
            let campaign = admin.get(format!("/v1/coupon-campaigns/{}", self.campaign)).await.json(200);
            assert_eq!((&product["available"], &campaign["issued"]), (&json!(0), &json!(COUPONS)));
        }
    }

    /// The requests, each with the index of its write in the journal.
    fn calls(&self, arena: &Arena) -> Vec<(usize, Write)> {
        let open = |write: Write| (arena.journal.open(write.clone()), write);
        let user = |number: usize| format!("racer-{}-{number}", self.number);
        let order = |number| {
            let body = json!({ "lines": [{ "product_id": self.product, "quantity": 1 }] });
            open(arena.write(Operation::PlaceOrder, Some(&user(number)), "/v1/orders".to_owned(), body))
        };
        let coupon = |number| {
            let path = format!("/v1/coupon-campaigns/{}/coupons", self.campaign);
            open(arena.write(Operation::IssueCoupon, Some(&user(number)), path, empty_body()))
        };
        let path = format!("/v1/users/{}/points/top-ups", user(0));
        let top_up = open(arena.write(Operation::TopUpPoints, Some(&user(0)), path, json!({ "amount": "7" })));
        let calls = (0..ORDERS).map(order).chain((0..COUPON_REQUESTS).map(coupon));
        calls.chain((0..REQUESTS_OF_ONE_KEY).map(|_| top_up.clone())).collect()
    }
}

/// Repeats a write, each time on another server, until its response is definite.
async fn decide(
    arena: &Arena,
    index: usize,
    write: &Write,
    mut turn: usize,
    requests: &AtomicUsize,
) -> DefiniteResponse {
    let servers = arena.servers();
    eventually_within(RESPONSE_MAX, "a definite response", async || {
        turn += 1;
        requests.fetch_add(1, Ordering::SeqCst);
        let observed = send(&servers[turn % SERVERS], write).await;
        let is_definite = matches!(observed, Observed::Definite { .. });
        arena.journal.observe(index, observed).filter(|_| is_definite)
    })
    .await
}
