//! Servers with wrong clocks: deadlines and the order of lists follow the database's clock.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::{Receiver, Server, ServerBuilder, eventually_within, now, rfc3339};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::arena::{Arena, empty_body, send, token};
use crate::faults::Notes;
use crate::journal::{DefiniteResponse, Operation, Write};

/// Paths of libfaketime on common distributions.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];
/// Payment deadline of orders in this test.
const ORDER_TTL: &str = "8s";
/// Customers of each server, each with a paid order and an abandoned one.
const CUSTOMERS: usize = 5;
/// Maximum delay of the sweeper after the deadline of an order, on a busy machine.
const SWEEP_MAX: Duration = Duration::from_secs(10);

fn with_clock_offset(builder: ServerBuilder, offset: &str) -> ServerBuilder {
    let library = LIBRARIES.into_iter().find(|library| Path::new(library).exists());
    let library = library.expect("libfaketime not found: install the package faketime");
    // Only the wall clock is wrong, not the monotonic clock.
    builder.setting("LD_PRELOAD", library).setting("FAKETIME", offset).setting("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

/// Two servers on one database, one 65 minutes ahead and one a day behind, expire orders, issue coupons and deliver events
/// on time, and list orders by time.
pub async fn wrong_clocks(arena: &Arena, count: u64) -> Notes {
    let receiver = Receiver::start(&arena.shop, []).await;
    let serve = async |order_ttl: &str| {
        // By the slow clock a token of a day lives for two.
        let settings = [("ORDER_TTL", order_ttl), ("ORDER_SWEEP_INTERVAL", "50ms"), ("TOKEN_LIFETIME_MAX", "72h")];
        for offset in ["+65m", "-1d"] {
            let builder = arena.server().settings(settings).delivering_to(receiver.url());
            arena.open(with_clock_offset(builder, offset)).await;
        }
    };
    serve("6h").await;
    arena.fill().await;
    let working = async {
        for number in 1..=count {
            arena.after_writes(150).await;
            arena.advance(number);
        }
    };
    arena.under_load(working).await;
    arena.resolve().await;

    for server in arena.servers() {
        server.terminate();
        assert!(server.ended().await.success(), "graceful shutdown");
        arena.close(&server);
    }
    serve(ORDER_TTL).await;
    let servers = arena.servers();
    let latest = join_all(servers.iter().enumerate().map(async |(number, server)| {
        assert_clock_is_off(server).await;
        issues_coupons_on_time(arena, server, number).await;
        expires_orders_on_time(arena, server, number).await
    }));
    let latest = latest.await.into_iter().max().expect("there are two servers");
    eventually_within(SWEEP_MAX, "events are delivered", async || {
        let mut connection = arena.shop.database().connect().await;
        let waiting = connection.number("COUNT(*)", "outbox_events WHERE state = 'pending'").await;
        connection.close().await;
        (waiting == 0).then_some(())
    })
    .await;
    for server in &servers {
        lists_orders_by_time(server).await;
    }
    receiver.server().kill().await;
    vec![format!(
        "no order expired early; the last expiry was observed {:.1} s after its deadline",
        latest.as_seconds_f64()
    )]
}

/// Asserts that the server's clock is wrong.
async fn assert_clock_is_off(server: &Server) {
    let response = server.anonymous().get("/livez").await;
    let date = OffsetDateTime::parse(response.header("date").expect("a date"), &Rfc2822).expect("a date");
    let off = date - now();
    assert!(matches!(off.whole_seconds(), 3_800..=3_920 | -86_480..=-86_380), "clock offset {off}");
}

/// Asserts that a list of orders, placed through both servers, descends by time, and ends at the time to list from.
async fn lists_orders_by_time(server: &Server) {
    let list = async |query: &str| {
        let path = format!("/v1/admin/orders?limit=100{query}");
        let list = server.bearer(token(None)).get(path).await.json(200);
        let orders = list["data"].as_array().expect("orders");
        // Not the whole order: its state and the seconds left to pay change between two requests.
        let order = |order: &Value| {
            let at = OffsetDateTime::parse(order["created_at"].as_str().expect("a time"), &Rfc3339).expect("a time");
            (at, order["order_id"].as_str().expect("an id").to_owned())
        };
        orders.iter().map(order).collect::<Vec<_>>()
    };
    let orders = list("").await;
    assert!(orders.len() > 2 && orders.is_sorted_by(|(a, _), (b, _)| a >= b), "{orders:?}");
    let (from, _) = orders[orders.len() / 2];
    let newer = orders.iter().filter(|(at, _)| *at >= from).count();
    assert_eq!(list(&format!("&from={}", rfc3339(from))).await, orders[..newer]);
}

/// Sends a write to the server and returns the definite response.
async fn send_definite(arena: &Arena, server: &Server, write: Write) -> DefiniteResponse {
    let index = arena.journal.open(write.clone());
    let response = arena.journal.observe(index, send(server, &write).await);
    response.unwrap_or_else(|| panic!("no definite response to {write:?}"))
}

async fn issues_coupons_on_time(arena: &Arena, server: &Server, number: usize) {
    let user_id = format!("collector-{number}");
    let minutes = time::Duration::minutes;
    for (opens, closes, expected) in [(-10, 10, 201), (10, 20, 409), (-20, -10, 409)] {
        let campaign = json!({
            "name": "brief", "discount": { "kind": "fixed", "amount": "1" }, "quantity": 10, "valid_days": 1,
            "issue_opens_at": rfc3339(now() + minutes(opens)), "issue_closes_at": rfc3339(now() + minutes(closes)),
        });
        let path = "/v1/admin/coupon-campaigns".to_owned();
        let campaign =
            send_definite(arena, server, arena.write(Operation::CreateCampaign, None, path, campaign)).await.document();
        let campaign = campaign["campaign_id"].as_str().expect("an id");
        let path = format!("/v1/coupon-campaigns/{campaign}/coupons");
        let issued =
            send_definite(arena, server, arena.write(Operation::IssueCoupon, Some(&user_id), path, empty_body())).await;
        assert_eq!(issued.status, expected, "{opens} to {closes}: {}", issued.document());
    }
}

/// Returns the maximum observed delay between deadline and expiry.
async fn expires_orders_on_time(arena: &Arena, server: &Server, number: usize) -> time::Duration {
    let product = arena.stock.lock().expect("no panic while it is held").products[0].clone();
    let mut paid = Vec::new();
    let mut left = Vec::new();
    for customer in 0..CUSTOMERS {
        let user_id = format!("hesitant-{number}-{customer}");
        let path = format!("/v1/users/{user_id}/points/top-ups");
        send_definite(
            arena,
            server,
            arena.write(Operation::TopUpPoints, Some(&user_id), path, json!({ "amount": "10000" })),
        )
        .await;
        for orders in [&mut paid, &mut left] {
            let lines = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
            let order = arena.write(Operation::PlaceOrder, Some(&user_id), "/v1/orders".to_owned(), lines);
            let order = send_definite(arena, server, order).await.document();
            assert!(matches!(order["expires_in_seconds"].as_i64(), Some(7 | 8)), "{order}");
            orders.push((user_id.clone(), order));
        }
    }
    // Half of the time to pay.
    tokio::time::sleep(Duration::from_secs(4)).await;
    for (user_id, order) in &paid {
        let path = format!("{}/payment", path_of(order));
        let payment =
            send_definite(arena, server, arena.write(Operation::PayOrder, Some(user_id), path, empty_body())).await;
        assert_eq!(payment.status, 201, "expired early: {}", payment.document());
    }
    let mut latest = time::Duration::ZERO;
    for (user_id, order) in &left {
        let deadline = OffsetDateTime::parse(order["expires_at"].as_str().expect("a time"), &Rfc3339).expect("a time");
        eventually_within(SWEEP_MAX, "the order expires", async || {
            let order = server.bearer(token(None)).get(path_of(order)).await.json(200);
            (order["status"] == "expired").then_some(())
        })
        .await;
        let late = now() - deadline;
        assert!(late >= time::Duration::ZERO, "expired {late} early: {order}");
        latest = latest.max(late);
        let path = format!("{}/payment", path_of(order));
        let payment =
            send_definite(arena, server, arena.write(Operation::PayOrder, Some(user_id), path, empty_body())).await;
        assert_eq!(payment.document()["code"], "ORDER_EXPIRED");
        arena.record_expired(order["order_id"].as_str().expect("an id"));
    }
    latest
}

fn path_of(order: &Value) -> String {
    format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"))
}
