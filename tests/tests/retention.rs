//! Deletion of data after its retention period.

use std::time::Duration;

use jangteo_testkit::{Backend, Receiver, Shop, eventually, eventually_within, scenarios};
use serde_json::json;

scenarios![deletes_old_idempotency_keys_and_markers, deletes_delivered_events];

async fn count(shop: &Shop, rows: &str) -> i64 {
    let mut connection = shop.database().connect().await;
    let count = connection.number("COUNT(*)", rows).await;
    connection.close().await;
    count
}

async fn deletes_old_idempotency_keys_and_markers(shop: Shop) {
    let server = shop.start().await;
    let top_up =
        |key: &str| server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": "500" })).key(key);
    for key in ["old", "young"] {
        top_up(key).await.expect(201);
    }
    let (long_ago, oldest) = match shop.backend() {
        Backend::Sqlite => ("1577836800000000", "SELECT MIN(created_at) FROM idempotency_keys"),
        Backend::Mysql => {
            ("'2020-01-01'", "SELECT t FROM (SELECT MIN(created_at) AS t FROM idempotency_keys) AS first")
        }
    };
    let mut connection = shop.database().connect().await;
    connection
        .execute(&format!("UPDATE idempotency_keys SET created_at = {long_ago} WHERE created_at = ({oldest})"))
        .await;
    // The ids of both markers are from 2024, but only one was written then.
    let [old, young] = ["0190ffff000070008000000000000000", "0190ffff000070008000000000000001"];
    connection.execute(&format!("INSERT INTO commit_markers (id, created_at) VALUES (X'{old}', {long_ago})")).await;
    connection.execute(&format!("INSERT INTO commit_markers (id) VALUES (X'{young}')")).await;
    connection.close().await;
    let [marked, spared] = [old, young].map(|id| format!("commit_markers WHERE id = X'{id}'"));
    assert_eq!((count(&shop, "idempotency_keys").await, count(&shop, &marked).await), (2, 1));

    // The server deletes at startup, then periodically.
    server.kill().await;
    let server = shop.start().await;
    eventually("the old rows are deleted", async || {
        (count(&shop, "idempotency_keys").await == 1 && count(&shop, &marked).await == 0).then_some(())
    })
    .await;
    assert_eq!(count(&shop, &spared).await, 1, "the age of a marker is its time of creation, not that of its id");
    let top_up =
        |key: &str| server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": "500" })).key(key);
    assert_eq!(top_up("young").await.expect(201).header("idempotent-replayed"), Some("true"));
    assert_eq!(top_up("old").await.expect(201).header("idempotent-replayed"), None, "a new request");
    assert_eq!(server.balance("kim").await, 1_500);
    let metrics = server.anonymous().get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let pruned = |kind: &str| format!("jangteo_rows_pruned_total{{kind=\"{kind}\"}} 1");
    assert!(metrics.contains(&pruned("answered_requests")) && metrics.contains(&pruned("commit_markers")), "{metrics}");
}

async fn deletes_delivered_events(shop: Shop) {
    let receiver = Receiver::start(&shop, []).await;
    let server = shop.server().delivering_to(receiver.url()).start().await;
    let tea = server.product("tea").price(10).stock(10).create().await;
    server.top_up("kim", 100).await;
    for _ in 0..2 {
        let order = server.order("kim", &tea, 1).await;
        server.pay("kim", &order).await;
    }
    let delivered = "outbox_events WHERE state = 'delivered'";
    eventually("both events are delivered", async || (count(&shop, delivered).await == 2).then_some(())).await;
    server.kill().await;

    let forgetful = || shop.server().delivering_to(receiver.url()).setting("EVENT_RETENTION", "1s");
    let server = forgetful().start().await;
    let order = server.order("kim", &tea, 1).await;
    let deleted = async || (count(&shop, "outbox_events").await == 0).then_some(());
    eventually_within(Duration::from_secs(60), "the events are deleted", deleted).await;
    // Deleted events are expected to be missing, and pending events are still delivered.
    server.pay("kim", &order).await;
    eventually("the third event is received", async || (receiver.count().await == 3).then_some(())).await;
    let verified = forgetful().run(["verify"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    // With the default retention the events would be missing.
    let verified = shop.server().run(["verify"]).await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    shop.expect_no_books();
}
