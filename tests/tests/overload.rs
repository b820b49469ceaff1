//! Overload and slow clients: they affect no other client, and their resources are released.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, select_all};
use jangteo_testkit::{
    Backend, Connection, RawConnection, Server, Shop, eventually, eventually_within, raise_open_files_max, scenarios,
    scenarios_on_sqlite, token,
};
use serde_json::json;

scenarios![
    rejects_a_write_after_the_maximum_queue_wait_without_effect,
    responds_with_the_actual_outcome_under_overload,
];

scenarios_on_sqlite![
    is_not_blocked_by_a_thousand_idle_sockets,
    is_not_blocked_by_slow_heads,
    is_not_blocked_by_slow_bodies,
    is_not_blocked_by_clients_that_do_not_read,
];

const TOP_UPS: &str = "/v1/users/kim/points/top-ups";
/// Concurrent slow clients.
const SLOW: usize = 100;
/// Longer than any timeout of the server.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Locks the row (or the file) that a top-up of kim needs.
async fn hold(shop: &Shop) -> Connection {
    let mut holder = shop.database().connect().await;
    match shop.backend() {
        Backend::Sqlite => holder.execute("BEGIN IMMEDIATE").await,
        Backend::Mysql => {
            holder.execute("BEGIN").await;
            holder.execute("SELECT * FROM point_accounts WHERE user_id = 'kim' FOR UPDATE").await;
        }
    }
    holder
}

async fn rejects_a_write_after_the_maximum_queue_wait_without_effect(shop: Shop) {
    shop.expect_server_errors();
    let server = shop.server().settings([("QUEUE_WAIT_MAX", "50ms"), ("BATCH_MAX", "1")]).start().await;
    server.top_up("kim", 1).await;
    let mut holder = hold(&shop).await;
    // One call occupies the lane while the lock is held; the other waits in the queue.
    let call = |key: &str| server.user("kim").post(TOP_UPS, json!({ "amount": "10" })).key(key);
    let calls = ["one", "other"].map(|key| call(key).into_future().map(move |response| (key, response)).boxed());
    let ((rejected, response), _, mut running) = select_all(calls).await;
    assert_eq!(response.problem(503, "OVERLOADED")["retryable"], true);
    holder.execute("ROLLBACK").await;
    holder.close().await;

    let (topped_up, response) = running.remove(0).await;
    if response.status != 201 {
        eventually("the top-up succeeds", async || (call(topped_up).await.status == 201).then_some(())).await;
    }
    assert_eq!(server.balance("kim").await, 11, "the rejected write has no effect, now or later");
    let response = call(rejected).await;
    assert_eq!((response.status, response.header("idempotent-replayed")), (201, None), "{response}");
    assert_eq!(server.balance("kim").await, 21);
}

/// Each response under overload is correct: a success has its effect, a rejection has none.
async fn responds_with_the_actual_outcome_under_overload(shop: Shop) {
    shop.expect_server_errors();
    let tight = [("QUEUE_WAIT_MAX", "20ms"), ("QUEUE_MAX", "50"), ("BATCH_MAX", "2")];
    let server = shop.server().settings(tight).start().await;
    let callers: Vec<String> = (0..300).map(|number| format!("user-{number}")).collect();
    let top_up = |user: &String| {
        server.user(user).post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": "7" })).key("once")
    };
    let responses = join_all(callers.iter().map(|user| top_up(user).into_future())).await;
    let rejected = responses.iter().filter(|response| response.status != 201);
    // The client checks the Retry-After header of each rejection.
    let rejected = rejected.inspect(|response| drop(response.problem(503, "OVERLOADED"))).count();
    assert!(rejected > 0, "no request was rejected");
    for (user, response) in callers.iter().zip(&responses) {
        assert_eq!(server.balance(user).await, if response.status == 201 { 7 } else { 0 }, "{user}: {response}");
    }
    for (user, first) in callers.iter().zip(&responses) {
        let again = eventually("the retry succeeds", async || Some(top_up(user).await).filter(|a| a.status == 201));
        let is_replayed = again.await.header("idempotent-replayed").is_some();
        assert_eq!(is_replayed, first.status == 201, "{user}");
        assert_eq!(server.balance(user).await, 7, "{user}");
    }
}

/// Asserts that other clients are served.
async fn serves_others(server: &Server) {
    let before = server.balance("lee").await;
    for _ in 0..5 {
        server.top_up("lee", 1).await;
        server.anonymous().get("/v1/products").await.expect(200);
    }
    assert_eq!(server.balance("lee").await, before + 5);
}

async fn is_not_blocked_by_a_thousand_idle_sockets(shop: Shop) {
    raise_open_files_max();
    let server = shop.server().open_files(600).start().await;
    let idle = join_all((0..1_000).map(|_| RawConnection::open(&server))).await;
    serves_others(&server).await;
    for connection in idle {
        connection.closed_within(TIMEOUT).await;
    }
    serves_others(&server).await;
}

async fn is_not_blocked_by_slow_heads(shop: Shop) {
    let server = shop.start().await;
    let head =
        format!("GET /v1/users/kim/points HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {}\r\n", token("kim", None));
    let slow = (0..SLOW).map(|number| {
        let (server, head) = (&server, &head);
        async move {
            let mut connection = RawConnection::open(server).await;
            // The slow head is the first one, or the second one.
            if number % 2 == 1 {
                connection.send(format!("{head}\r\n").as_bytes()).await;
                assert_eq!(connection.response().await.map(|response| response.status), Some(200));
            }
            let received = connection.drip_until_closed(head.as_bytes(), TIMEOUT).await;
            assert!(received.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&received));
        }
    });
    tokio::join!(join_all(slow), serves_others(&server));
    serves_others(&server).await;
}

async fn is_not_blocked_by_slow_bodies(shop: Shop) {
    let server = shop.server().setting("REQUEST_TIMEOUT", "2s").start().await;
    let head = format!(
        "POST {TOP_UPS} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100000\r\n\r\n",
        token("kim", None)
    );
    let slow = (0..SLOW).map(|_| async {
        let mut connection = RawConnection::open(&server).await;
        connection.send(head.as_bytes()).await;
        let received = connection.drip_until_closed(&[b' '; 100_000], TIMEOUT).await;
        assert!(received.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&received));
    });
    tokio::join!(join_all(slow), serves_others(&server));
    assert_eq!(server.balance("kim").await, 0);
}

async fn is_not_blocked_by_clients_that_do_not_read(shop: Shop) {
    let server = shop.start().await;
    // More than the socket buffers of both ends hold.
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: shop\r\n\r\n".repeat(200);
    let slow = join_all((0..SLOW).map(|_| async {
        let mut connection = RawConnection::open_with_small_buffer(&server).await;
        connection.send(requests.as_bytes()).await;
        connection
    }))
    .await;
    serves_others(&server).await;
    for mut connection in slow {
        // Detected by a write, because the client never reads.
        eventually_within(TIMEOUT, "the server closes the connection", async || {
            connection.is_reset().await.then_some(())
        })
        .await;
    }
    serves_others(&server).await;
}
