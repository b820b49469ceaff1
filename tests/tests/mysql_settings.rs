//! Servers that are set otherwise than usual: in another language, or with a binary log that takes no writes of Jangteo's.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::time::Duration;

use jangteo_tests::{
    Answer, Column, Connection, Database, INNODB_FRESH_AFTER, MariaDb, Row, Server, Shop, eventually, run_on, shop_url,
};
use serde_json::json;

/// A server starts four times here, on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(300);
/// Each with what its server says of a table that is not there; English is what the others are compared with.
const LANGUAGES: [(&str, &str); 3] =
    [("en_US", "doesn't exist"), ("de_DE", "existiert nicht"), ("ja_JP", "存在しません")];

/// An error means the same in every language: a lock wait that takes too long (1205) or is ended (1317, 1927) and a deadlock
/// (1213) are tried again, and a server that takes no writes (1290, 1792) puts them off.
#[tokio::test(flavor = "multi_thread")]
async fn errors_mean_the_same_in_every_language() {
    let mariadb = MariaDb::start().await.expect("a server");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_server_errors();
        let url = shop_url(mariadb.port(), shop.database().mysql_name());
        let mut wrong = String::new();
        let mut english = BTreeMap::new();
        for (language, words) in LANGUAGES {
            mariadb.restart_with(&[&format!("--lc-messages={language}")]).await.expect("it starts again");
            speaks(&shop, words).await;
            let server = shop.server().settings([("DATABASE_URL", url.as_str()), ("REQUEST_TIMEOUT", "20s")]).start();
            let server = server.await;
            let mut note = |what: String, answer: Answer| {
                let code = code(&answer);
                let in_english = english.entry(what.clone()).or_insert_with(|| code.clone());
                if code != *in_english || !matches!(code.as_str(), "201" | "DATABASE_UNAVAILABLE") {
                    wrong.push_str(&format!("{language}, {what}: {code}, in English {in_english}\n"));
                }
            };
            server.top_up(language, 1).await;
            for ending in [Ending::TakesTooLong, Ending::IsKilled("QUERY"), Ending::IsKilled("CONNECTION")] {
                let answer = after_a_lock_wait(&shop, &server, language, ending).await;
                note(format!("a lock wait that {ending:?}"), answer);
            }
            note("a deadlock".to_owned(), after_a_deadlock(&shop, &server, language).await);
            for setting in ["read_only", "tx_read_only"] {
                set(shop.database(), setting, true).await;
                let answer = eventually("the server takes no writes", async || {
                    Some(top_up(&server, language).await).filter(|answer| answer.status != 201)
                });
                note(setting.to_owned(), answer.await);
                set(shop.database(), setting, false).await;
            }
            server.terminate();
            assert!(server.ended().await.success(), "{}", server.log());
        }
        assert!(wrong.is_empty(), "{wrong}");
    })
    .await;
}

/// That the server has that language: its package may have left it out.
async fn speaks(shop: &Shop, words: &str) {
    let mut connection = shop.database().connect().await;
    let error = connection.try_execute("SELECT * FROM not_there").await.expect_err("there is no such table");
    assert!(error.to_string().contains(words), "the server speaks another language: {error}");
    connection.close().await;
}

async fn top_up(server: &Server, user: &str) -> Answer {
    server.user(user).post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": "5" })).await
}

/// How a lock wait ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// It lasts longer than it may.
    TakesTooLong,
    /// An administrator ends the statement, or the connection.
    IsKilled(&'static str),
}

/// What a top-up is answered whose lock wait ends so, and which then finds the lock free.
async fn after_a_lock_wait(shop: &Shop, server: &Server, user: &str, ending: Ending) -> Answer {
    let mut holder = shop.database().connect().await;
    let before = lock_timeouts(&mut holder).await;
    holder.execute("BEGIN").await;
    holder.execute(&format!("SELECT * FROM point_accounts WHERE user_id = '{user}' FOR UPDATE")).await;
    let waiting = {
        let (server, user) = (server.clone(), user.to_owned());
        tokio::spawn(async move { top_up(&server, &user).await })
    };
    let waits = lock_wait(&mut holder).await;
    match ending {
        Ending::TakesTooLong => {
            eventually("it has taken too long", async || (lock_timeouts(&mut holder).await > before).then_some(()))
                .await;
        }
        Ending::IsKilled(what) => holder.execute(&format!("KILL {what} {waits}")).await,
    }
    holder.execute("ROLLBACK").await;
    holder.close().await;
    waiting.await.expect("no panic")
}

/// What an order is answered that takes two stocks one after the other, while somebody else takes them the other way round
/// and has so much to roll back that it is not they who are the victim.
async fn after_a_deadlock(shop: &Shop, server: &Server, user: &str) -> Answer {
    let stock = async |name: &str| server.product(name).stock(10).create().await;
    let products = [stock("tea").await, stock("mug").await];
    let mut ids = products.each_ref().map(|product| product.id.replace('-', ""));
    ids.sort();
    let lock = |id: &str| format!("SELECT * FROM stocks WHERE product_id = x'{id}' FOR UPDATE");
    let mut other = shop.database().connect().await;
    other.execute("CREATE TABLE IF NOT EXISTS burden (id INT PRIMARY KEY) ENGINE = InnoDB").await;
    other.execute("BEGIN").await;
    other.execute("INSERT INTO burden SELECT seq FROM seq_1_to_1000").await;
    other.execute(&lock(&ids[1])).await;
    let lines = products.map(|product| product.line(1));
    let ordering = tokio::spawn(server.user(user).post("/v1/orders", json!({ "lines": lines })).into_future());
    lock_wait(&mut other).await;
    other.execute(&lock(&ids[0])).await;
    other.execute("ROLLBACK").await;
    other.close().await;
    ordering.await.expect("no panic")
}

/// The connection that waits for a lock, once there is one.
async fn lock_wait(connection: &mut Connection) -> i64 {
    eventually("it waits for the lock", async || {
        tokio::time::sleep(INNODB_FRESH_AFTER).await;
        let columns = [Column::Plain("trx_mysql_thread_id")];
        let waits = "information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'";
        connection.rows(waits, &columns, Row::number).await.first().copied()
    })
    .await
}

/// How many lock waits have taken too long so far.
async fn lock_timeouts(connection: &mut Connection) -> i64 {
    connection.number("`COUNT`", "information_schema.INNODB_METRICS WHERE NAME = 'lock_timeouts'").await
}

/// Says that the server takes writes, or takes none, and has everybody begin anew.
async fn set(database: &Database, name: &str, is_on: bool) {
    let mut administrator = database.connect().await;
    administrator.execute(&format!("SET GLOBAL {name} = {is_on}")).await;
    administrator.close().await;
    database.kill_connections().await;
}

/// The code of a problem, or the status of an answer that is none.
fn code(answer: &Answer) -> String {
    if answer.status < 400 {
        return answer.status.to_string();
    }
    answer.document()["code"].as_str().expect("a code").to_owned()
}

/// Longer than a server looks for a database that is there, and shorter than for one that is not.
const REJECTED_WITHIN: Duration = Duration::from_secs(15);

/// With a binary log of statements the server rejects every write at READ COMMITTED (1665). That is found out at the start
/// and not by the first customer.
#[tokio::test(flavor = "multi_thread")]
async fn a_binary_log_of_statements_is_rejected_at_the_start() {
    let mariadb = MariaDb::start().await.expect("a server");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        let url = shop_url(mariadb.port(), shop.database().mysql_name());
        let server = || shop.server().settings([("DATABASE_URL", url.as_str()), ("RUST_LOG", "off")]);
        // Whoever has migrated already finds it out as well.
        for is_migrated in [false, true] {
            mariadb.restart_with(&["--log-bin=binlog", "--binlog-format=STATEMENT"]).await.expect("it starts again");
            assert_eq!(logged(&shop).await, "STATEMENT");
            let checked = server().run(["serve", "--check-config"]).await;
            assert_eq!(checked.code, Some(0), "no database is asked: {checked:?}");
            let serving = server();
            let rejected = tokio::time::timeout(REJECTED_WITHIN, serving.run(["serve"])).await;
            let rejected = rejected.unwrap_or_else(|_| panic!("migrated {is_migrated}: it serves, or waits"));
            assert!(rejected.code.is_some_and(|code| code != 0), "migrated {is_migrated}: {rejected:?}");
            assert_eq!(rejected.stderr.lines().count(), 1, "migrated {is_migrated}: {rejected:?}");
            assert!(rejected.stderr.contains("binlog_format"), "migrated {is_migrated}: {rejected:?}");
            assert!(rejected.stderr.contains("ROW"), "migrated {is_migrated}: {rejected:?}");

            // With either of the others it serves.
            let format = if is_migrated { "ROW" } else { "MIXED" };
            let option = format!("--binlog-format={format}");
            mariadb.restart_with(&["--log-bin=binlog", &option]).await.expect("it starts again");
            assert_eq!(logged(&shop).await, format);
            let server = server().start().await;
            server.top_up("kim", 1).await;
            server.terminate();
            assert!(server.ended().await.success(), "{}", server.log());
        }
    })
    .await;
}

/// What is written into the binary log, which there must be.
async fn logged(shop: &Shop) -> String {
    let mut connection = shop.database().connect().await;
    let variables = "information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME IN ('LOG_BIN', 'BINLOG_FORMAT') \
                     ORDER BY VARIABLE_NAME";
    let values = connection.rows(variables, &[Column::Plain("VARIABLE_VALUE")], Row::text).await;
    connection.close().await;
    let [format, is_logged] = <[String; 2]>::try_from(values).expect("two variables");
    assert_eq!(is_logged, "ON", "there is no binary log");
    format
}
