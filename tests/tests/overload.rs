//! More callers than can be served, and callers who take their time: what they cost is theirs alone, and it ends.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, select_all};
use jangteo_tests::{
    Backend, Connection, RawConnection, Server, Shop, eventually, eventually_within, raise_open_files_max, scenarios,
    token,
};
use serde_json::json;

scenarios![
    turns_a_write_away_whose_turn_does_not_come_and_it_never_happens,
    answers_a_crowd_with_what_became_of_each,
    is_not_held_up_by_a_thousand_idle_sockets,
    is_not_held_up_by_slow_heads,
    is_not_held_up_by_slow_bodies,
    is_not_held_up_by_those_who_do_not_read,
];

const TOP_UPS: &str = "/v1/users/kim/points/top-ups";
/// Slow callers at a time.
const SLOW: usize = 100;
/// Longer than the server waits for anybody, whatever it waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Holds what a top-up of kim's needs, from outside.
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

async fn turns_a_write_away_whose_turn_does_not_come_and_it_never_happens(shop: Shop) {
    shop.expect_server_errors();
    let server = shop.server().settings([("QUEUE_WAIT_MAX", "50ms"), ("BATCH_MAX", "1")]).start().await;
    server.top_up("kim", 1).await;
    let mut holder = hold(&shop).await;
    // One of them has the lane, for as long as the lock is held; the other waits for its turn.
    let call = |key: &str| server.user("kim").post(TOP_UPS, json!({ "amount": "10" })).key(key);
    let calls = ["one", "other"].map(|key| call(key).into_future().map(move |answer| (key, answer)).boxed());
    let ((rejected, answer), _, mut running) = select_all(calls).await;
    assert_eq!(answer.problem(503, "OVERLOADED")["retryable"], true);
    holder.execute("ROLLBACK").await;
    holder.close().await;

    let (topped_up, answer) = running.remove(0).await;
    if answer.status != 201 {
        eventually("it is topped up", async || (call(topped_up).await.status == 201).then_some(())).await;
    }
    assert_eq!(server.balance("kim").await, 11, "what was turned away has had no effect, and has none later");
    let answer = call(rejected).await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (201, None), "{answer}");
    assert_eq!(server.balance("kim").await, 21);
}

/// Each of a crowd is told the truth at once: some that they were served, others that nothing happened.
async fn answers_a_crowd_with_what_became_of_each(shop: Shop) {
    shop.expect_server_errors();
    let tight = [("QUEUE_WAIT_MAX", "20ms"), ("QUEUE_MAX", "50"), ("BATCH_MAX", "2")];
    let server = shop.server().settings(tight).start().await;
    let callers: Vec<String> = (0..300).map(|number| format!("user-{number}")).collect();
    let top_up = |user: &String| {
        server.user(user).post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": "7" })).key("once")
    };
    let answers = join_all(callers.iter().map(|user| top_up(user).into_future())).await;
    let rejected = answers.iter().filter(|answer| answer.status != 201);
    // That each says when to come back is checked with every answer.
    let rejected = rejected.inspect(|answer| drop(answer.problem(503, "OVERLOADED"))).count();
    assert!(rejected > 0, "it was no crowd");
    for (user, answer) in callers.iter().zip(&answers) {
        assert_eq!(server.balance(user).await, if answer.status == 201 { 7 } else { 0 }, "{user}: {answer}");
    }
    for (user, first) in callers.iter().zip(&answers) {
        let again = eventually("everybody gets a turn", async || Some(top_up(user).await).filter(|a| a.status == 201));
        let is_replayed = again.await.header("idempotent-replayed").is_some();
        assert_eq!(is_replayed, first.status == 201, "{user}");
        assert_eq!(server.balance(user).await, 7, "{user}");
    }
}

/// Everybody else is served as ever.
async fn serves_others(server: &Server) {
    let before = server.balance("lee").await;
    for _ in 0..5 {
        server.top_up("lee", 1).await;
        server.anonymous().get("/v1/products").await.expect(200);
    }
    assert_eq!(server.balance("lee").await, before + 5);
}

async fn is_not_held_up_by_a_thousand_idle_sockets(shop: Shop) {
    raise_open_files_max();
    let server = shop.server().open_files(600).start().await;
    let idle = join_all((0..1_000).map(|_| RawConnection::open(&server))).await;
    serves_others(&server).await;
    for connection in idle {
        connection.closed_within(PATIENCE).await;
    }
    serves_others(&server).await;
}

async fn is_not_held_up_by_slow_heads(shop: Shop) {
    let server = shop.start().await;
    let head =
        format!("GET /v1/users/kim/points HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {}\r\n", token("kim", None));
    // What has been served once is let alone: it may take its time for the next head, and costs a socket.
    let served = join_all((0..SLOW).map(|_| async {
        let mut connection = RawConnection::open(&server).await;
        connection.send(format!("{head}\r\n").as_bytes()).await;
        assert_eq!(connection.answer().await.map(|answer| answer.status), Some(200));
        connection.send(head.as_bytes()).await;
        connection
    }))
    .await;
    let slow = (0..SLOW).map(|_| async {
        let connection = RawConnection::open(&server).await;
        let answered = connection.drip_until_closed(head.as_bytes(), PATIENCE).await;
        assert!(answered.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answered));
    });
    tokio::join!(join_all(slow), serves_others(&server));
    serves_others(&server).await;
    drop(served);
}

async fn is_not_held_up_by_slow_bodies(shop: Shop) {
    let server = shop.server().setting("REQUEST_TIMEOUT", "2s").start().await;
    let head = format!(
        "POST {TOP_UPS} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100000\r\n\r\n",
        token("kim", None)
    );
    let slow = (0..SLOW).map(|_| async {
        let mut connection = RawConnection::open(&server).await;
        connection.send(head.as_bytes()).await;
        let answered = connection.drip_until_closed(&[b' '; 100_000], PATIENCE).await;
        assert!(answered.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answered));
    });
    tokio::join!(join_all(slow), serves_others(&server));
    assert_eq!(server.balance("kim").await, 0);
}

async fn is_not_held_up_by_those_who_do_not_read(shop: Shop) {
    let server = shop.start().await;
    // More than the buffers of both ends hold.
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: shop\r\n\r\n".repeat(200);
    let slow = join_all((0..SLOW).map(|_| async {
        let mut connection = RawConnection::open_with_small_buffer(&server).await;
        connection.send(requests.as_bytes()).await;
        connection
    }))
    .await;
    serves_others(&server).await;
    for mut connection in slow {
        // Not a byte is read: what is sent is what finds out that the server has let go.
        eventually_within(PATIENCE, "the server lets go", async || connection.is_reset().await.then_some(())).await;
    }
    serves_others(&server).await;
}
