//! Callers that hang up in the middle of it: nothing of theirs may reach anybody else, and nothing may stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jangteo_tests::{RawConnection, Server, Shop, eventually, scenarios, token};
use rand::RngExt;
use serde_json::json;
use tokio::sync::Semaphore;

scenarios![gives_nobody_anothers_answer_and_leaves_nothing_open];

/// Calls that are hung up.
const HANG_UPS: usize = 4_000;
/// Calls that are not, in between; each knows what it must be told.
const HONEST_USERS: usize = 4;
/// How many calls hang on the server at a time.
const AT_ONCE: usize = 32;

async fn gives_nobody_anothers_answer_and_leaves_nothing_open(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(1).stock(100_000).create().await;
    let reckless = token("reckless", None);
    server.charge("reckless", 1_000_000).await;
    for number in 0..HONEST_USERS {
        server.charge(&user(number), 1_000 + number as i64).await;
    }
    let requests = Arc::new([
        request("GET", "/v1/users/reckless/points", &reckless, ""),
        request("GET", "/v1/products?q=tea&sort=price", &reckless, ""),
        request("POST", "/v1/users/reckless/points/charges", &reckless, &json!({ "amount": "1" }).to_string()),
        request("POST", "/v1/orders", &reckless, &json!({ "lines": [tea.line(1)] }).to_string()),
        request("GET", &tea.path(), &reckless, ""),
    ]);

    let done = Arc::new(AtomicUsize::new(0));
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = Vec::new();
    for number in 0..HANG_UPS {
        let (server, requests, done, at_once) = (server.clone(), requests.clone(), done.clone(), at_once.clone());
        tasks.push(tokio::spawn(async move {
            let _permit = at_once.acquire().await.expect("it is never closed");
            let (wait, resets, cut) = {
                let mut random = rand::rng();
                (random.random_range(0..8_000), random.random_bool(0.5), random.random_range(0..10))
            };
            let request = &requests[number % requests.len()];
            let mut connection = RawConnection::open(&server).await;
            // A few hang up before their request is whole.
            let sent = if cut == 0 { request.len() / 2 } else { request.len() };
            connection.send(&request[..sent]).await;
            tokio::time::sleep(Duration::from_micros(wait)).await;
            if resets { connection.reset() } else { connection.finish().await }
            done.fetch_add(1, Ordering::Relaxed);
        }));
    }
    let honest = (0..HONEST_USERS).map(|number| tokio::spawn(ask_until(server.clone(), number, done.clone())));
    let mut asked = 0;
    for task in honest {
        asked += task.await.expect("no wrong answer");
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert!(asked >= 50, "only {asked} honest calls were answered meanwhile");

    eventually("no transaction is left open", async || (shop.database().open_transactions().await == 0).then_some(())).await;
    // No lock was left either: everybody can be served at once.
    server.charge("reckless", 1).await;
    server.order("somebody", &tea, 1).await;
    assert!(server.is_running().await);
}

fn user(number: usize) -> String {
    format!("honest-{number}")
}

fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n");
    let head = if body.is_empty() { head } else { format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n") };
    format!("{head}\r\n{body}").into_bytes()
}

/// Asks again and again for what only this user has, and says how often.
async fn ask_until(server: Server, number: usize, done: Arc<AtomicUsize>) -> usize {
    let user_id = user(number);
    let caller = server.user(&user_id);
    let mut balance = 1_000 + number as i64;
    let mut asked = 0;
    while done.load(Ordering::Relaxed) < HANG_UPS {
        let points = caller.get(format!("/v1/users/{user_id}/points")).await.json(200);
        let told = [&points["user_id"], &points["balance"]];
        assert_eq!(json!(told), json!([user_id, balance.to_string()]), "somebody else's answer");
        let body = json!({ "amount": "1000" });
        let charged = caller.post(format!("/v1/users/{user_id}/points/charges"), body).await.json(201);
        balance += 1_000;
        let told = [&charged["user_id"], &charged["balance"]];
        assert_eq!(json!(told), json!([user_id, balance.to_string()]), "somebody else's answer");
        asked += 2;
    }
    asked
}
