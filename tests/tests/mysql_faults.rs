//! What can befall a MySQL server: it is there, but takes no writes. Each kind of it is brought about for real and known by
//! the server's own words: writes are put off, reads go on, and nothing is lost.

use std::time::Duration;

use jangteo_tests::{Answer, Call, Database, MariaDb, Server, eventually, run_on, shop_url};
use serde_json::json;

/// A server takes some seconds to end in order and to start again on a busy machine, four times.
const TIME_MAX: Duration = Duration::from_secs(300);

/// How a server comes to take no writes.
enum Way {
    /// Somebody says so; connections that are open keep what they began with.
    Setting(&'static str),
    /// It is started so.
    Start(&'static str),
}

/// Each with the number of the error and the words that come with it.
const WAYS: [(Way, u32, &str); 4] = [
    (Way::Setting("read_only"), 1290, "running with the --read-only option"),
    (Way::Setting("tx_read_only"), 1792, "Cannot execute statement in a READ ONLY transaction"),
    (Way::Start("--innodb-read-only"), 1036, "is read only"),
    (Way::Start("--innodb-force-recovery=5"), 1836, "Running in read-only mode"),
];

fn top_up(server: &Server, key: u32) -> Call {
    server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": "5" })).key(&key.to_string())
}

async fn topped_up(server: &Server, key: u32) -> Answer {
    eventually("it takes writes again", async || Some(top_up(server, key).await).filter(|a| a.status == 201)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_writes_off_while_the_server_takes_none() {
    let mariadb = MariaDb::start().await.expect("a server");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_server_errors();
        let database = shop.database();
        let server =
            shop.server().setting("DATABASE_URL", shop_url(mariadb.port(), database.mysql_name())).start().await;
        let mut balance = 1;
        server.top_up("kim", balance).await;
        for (way, number, words) in WAYS {
            match way {
                Way::Setting(name) => set(database, name, true).await,
                Way::Start(option) => mariadb.restart_with(&[option]).await.expect("it starts again"),
            }
            eventually("the server says so", async || {
                assert_eq!(top_up(&server, number).await.problem(503, "DATABASE_UNAVAILABLE")["retryable"], true);
                server.log().contains(words).then_some(())
            })
            .await;
            assert_eq!(server.balance("kim").await, balance, "{number}: reads go on, and nothing happened");

            match way {
                Way::Setting(name) => set(database, name, false).await,
                Way::Start(_) => mariadb.restart_with(&[]).await.expect("it starts again"),
            }
            let answer = topped_up(&server, number).await;
            assert_eq!(answer.header("idempotent-replayed"), None, "{number}: it is the first time that it happens");
            balance += 5;
            assert_eq!(server.balance("kim").await, balance, "{number}");
        }
    })
    .await;
}

/// Says that the server takes writes, or takes none, and has everybody begin anew.
async fn set(database: &Database, name: &str, is_on: bool) {
    let mut administrator = database.connect().await;
    administrator.execute(&format!("SET GLOBAL {name} = {is_on}")).await;
    administrator.close().await;
    database.kill_connections().await;
}
