//! Disconnecting clients: their responses must not reach other clients, and no transaction may stay open.

use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::{Caller, RawConnection, Server, Shop, eventually, scenarios, token};
use rand::RngExt;
use serde_json::json;

scenarios![confuses_no_responses_and_leaves_no_transaction_open];

/// Aborted calls.
const HANG_UPS: usize = 4_000;
/// Concurrent callers. Each alternates aborted calls with complete ones.
const CALLERS: usize = 32;
/// Aborted calls between two complete ones, so that the server's backlog stays short.
const HANG_UPS_IN_A_ROW: usize = 5;

async fn confuses_no_responses_and_leaves_no_transaction_open(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(1).stock(100_000).create().await;
    let reckless = token("reckless", None);
    let requests = [
        request("GET", "/v1/users/reckless/points", &reckless, ""),
        request("GET", "/v1/products?q=tea&sort=price", &reckless, ""),
        request("POST", "/v1/users/reckless/points/top-ups", &reckless, &json!({ "amount": "1" }).to_string()),
        request("POST", "/v1/orders", &reckless, &json!({ "lines": [tea.line(1)] }).to_string()),
        request("GET", &tea.path(), &reckless, ""),
    ];
    let callers = (0..CALLERS).map(|number| {
        let (server, requests) = (&server, &requests);
        async move {
            let user_id = format!("honest-{number}");
            let caller = server.user(&user_id);
            for round in 0..HANG_UPS / CALLERS / HANG_UPS_IN_A_ROW {
                for request in requests.iter().cycle().skip(round + number).take(HANG_UPS_IN_A_ROW) {
                    hang_up(server, request).await;
                }
                // The amount differs in each round, so that a stale response is detected.
                ask(&caller, &user_id, round as i64, 1_000 + number as i64).await;
            }
        }
    });
    join_all(callers).await;

    eventually("all transactions end", async || (shop.database().open_transactions().await == 0).then_some(())).await;
    // No lock is left either.
    server.top_up("reckless", 1).await;
    server.order("lee", &tea, 1).await;
    assert!(server.is_running().await);
}

fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n");
    let length = body.len();
    let body = match body {
        "" => "\r\n".to_owned(),
        _ => format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"),
    };
    format!("{head}{body}").into_bytes()
}

/// Sends a request and closes the connection after the response or a random wait, gracefully or with a reset. Some
/// requests are partial.
async fn hang_up(server: &Server, request: &[u8]) {
    let (wait, resets, is_cut) = {
        let mut random = rand::rng();
        (random.random_range(0..8_000), random.random_bool(0.5), random.random_bool(0.1))
    };
    let mut connection = RawConnection::open(server).await;
    connection.send(&request[..if is_cut { request.len() / 2 } else { request.len() }]).await;
    let _lost = tokio::time::timeout(Duration::from_micros(wait), connection.response()).await;
    if resets {
        connection.reset();
    } else {
        connection.finish().await;
    }
}

/// Tops up, reads the balance and checks both responses.
async fn ask(caller: &Caller, user_id: &str, top_ups_before: i64, amount: i64) {
    let balance = (top_ups_before + 1) * amount;
    let expected = json!([user_id, balance.to_string()]);
    let path = format!("/v1/users/{user_id}/points");
    let topped_up = caller.post(format!("{path}/top-ups"), json!({ "amount": amount.to_string() })).await.json(201);
    assert_eq!(json!([topped_up["user_id"], topped_up["balance"]]), expected, "the response of another request");
    let points = caller.get(path).await.json(200);
    assert_eq!(json!([points["user_id"], points["balance"]]), expected, "the response of another request");
}
