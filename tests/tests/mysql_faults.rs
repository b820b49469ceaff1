//! MySQL servers that reject all writes. Each cause is produced on a real server and verified by the server's own error
//! message: writes respond 503, reads continue, and nothing is lost.

use std::time::Duration;

use jangteo_testkit::{Call, Database, MariaDb, Response, Server, eventually, run_on, shop_url};
use serde_json::json;

/// Timeout for four restarts on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(300);

/// A cause of read-only operation.
enum Cause {
    /// A global variable; open sessions are not affected.
    Setting(&'static str),
    /// A startup option.
    Start(&'static str),
}

/// Each with its error number and message.
const CAUSES: [(Cause, u32, &str); 4] = [
    (Cause::Setting("read_only"), 1290, "running with the --read-only option"),
    (Cause::Setting("tx_read_only"), 1792, "Cannot execute statement in a READ ONLY transaction"),
    (Cause::Start("--innodb-read-only"), 1036, "is read only"),
    (Cause::Start("--innodb-force-recovery=5"), 1836, "Running in read-only mode"),
];

fn top_up(server: &Server, key: u32) -> Call {
    server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": "5" })).key(&key.to_string())
}

async fn topped_up(server: &Server, key: u32) -> Response {
    eventually("writes are accepted again", async || Some(top_up(server, key).await).filter(|a| a.status == 201)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_writes_while_the_server_is_read_only() {
    let mariadb = MariaDb::start().await.expect("a server");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_server_errors();
        let database = shop.database();
        let server =
            shop.server().setting("DATABASE_URL", shop_url(mariadb.port(), database.mysql_name())).start().await;
        let mut balance = 1;
        server.top_up("kim", balance).await;
        for (cause, number, message) in CAUSES {
            match cause {
                Cause::Setting(name) => set(database, name, true).await,
                Cause::Start(option) => mariadb.restart_with(&[option]).await.expect("restarted"),
            }
            eventually("the server logs the error", async || {
                assert_eq!(top_up(&server, number).await.problem(503, "DATABASE_UNAVAILABLE")["retryable"], true);
                server.log().contains(message).then_some(())
            })
            .await;
            assert_eq!(server.balance("kim").await, balance, "{number}: reads continue, and the write had no effect");

            match cause {
                Cause::Setting(name) => set(database, name, false).await,
                Cause::Start(_) => mariadb.restart_with(&[]).await.expect("restarted"),
            }
            let response = topped_up(&server, number).await;
            assert_eq!(response.header("idempotent-replayed"), None, "{number}: the write had taken effect before");
            balance += 5;
            assert_eq!(server.balance("kim").await, balance, "{number}");
        }
    })
    .await;
}

/// Sets a global variable and kills all sessions, which would keep the old value.
async fn set(database: &Database, name: &str, is_on: bool) {
    let mut administrator = database.connect().await;
    administrator.execute(&format!("SET GLOBAL {name} = {is_on}")).await;
    administrator.close().await;
    database.kill_connections().await;
}
