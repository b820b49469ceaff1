//! Unusual server settings: other languages of error messages, and statement-based binary logging.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::time::Duration;

use jangteo_testkit::{
    Column, Connection, Database, MariaDb, Response, Row, Server, Shop, eventually, run_on, shop_url,
};
use serde_json::json;

/// Timeout for four restarts on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(300);
/// Languages with their message for a missing table. The other languages are compared with English.
const LANGUAGES: [(&str, &str); 3] =
    [("en_US", "doesn't exist"), ("de_DE", "existiert nicht"), ("ja_JP", "存在しません")];

/// Errors are handled by number, independent of the language: timeouts (1205) and kills (1317, 1927) of lock waits and
/// deadlocks (1213) are retried, and read-only errors (1290, 1792) respond 503.
#[tokio::test(flavor = "multi_thread")]
async fn errors_mean_the_same_in_every_language() {
    let mariadb = MariaDb::start().await.expect("a server");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_server_errors();
        let url = shop_url(mariadb.port(), shop.database().mysql_name());
        let mut wrong = String::new();
        let mut english = BTreeMap::new();
        for (language, message) in LANGUAGES {
            mariadb.restart_with(&[&format!("--lc-messages={language}")]).await.expect("restarted");
            assert_language(&shop, message).await;
            let server = shop.server().settings([("DATABASE_URL", url.as_str()), ("REQUEST_TIMEOUT", "20s")]).start();
            let server = server.await;
            let mut record = |case: String, response: Response| {
                let code = code(&response);
                let in_english = english.entry(case.clone()).or_insert_with(|| code.clone());
                if code != *in_english || !matches!(code.as_str(), "201" | "DATABASE_UNAVAILABLE") {
                    wrong.push_str(&format!("{language}, {case}: {code}, in English {in_english}\n"));
                }
            };
            server.top_up(language, 1).await;
            for ending in [Ending::Timeout, Ending::Kill("QUERY"), Ending::Kill("CONNECTION")] {
                let response = after_a_lock_wait(&shop, &server, language, ending).await;
                record(format!("a lock wait with {ending:?}"), response);
            }
            record("a deadlock".to_owned(), after_a_deadlock(&shop, &server, language).await);
            for setting in ["read_only", "tx_read_only"] {
                set(shop.database(), setting, true).await;
                let response = eventually("the server is read-only", async || {
                    Some(top_up(&server, language).await).filter(|response| response.status != 201)
                });
                record(setting.to_owned(), response.await);
                set(shop.database(), setting, false).await;
            }
            server.terminate();
            assert!(server.ended().await.success(), "{}", server.log());
        }
        assert!(wrong.is_empty(), "{wrong}");
    })
    .await;
}

/// Asserts the language of error messages, whose files may not be installed.
async fn assert_language(shop: &Shop, message: &str) {
    let mut connection = shop.database().connect().await;
    let error = connection.try_execute("SELECT * FROM not_there").await.expect_err("no such table");
    assert!(error.to_string().contains(message), "another language: {error}");
    connection.close().await;
}

async fn top_up(server: &Server, user: &str) -> Response {
    server.user(user).post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": "5" })).await
}

/// The end of a lock wait.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// `innodb_lock_wait_timeout`.
    Timeout,
    /// An administrator kills the statement (`QUERY`) or the connection (`CONNECTION`).
    Kill(&'static str),
}

/// Returns the response to a top-up after a lock wait with this end. The retry finds the lock free.
async fn after_a_lock_wait(shop: &Shop, server: &Server, user: &str, ending: Ending) -> Response {
    let mut holder = shop.database().connect().await;
    let before = lock_timeouts(&mut holder).await;
    holder.execute("BEGIN").await;
    holder.execute(&format!("SELECT * FROM point_accounts WHERE user_id = '{user}' FOR UPDATE")).await;
    let waiting = {
        let (server, user) = (server.clone(), user.to_owned());
        tokio::spawn(async move { top_up(&server, &user).await })
    };
    let waits = holder.lock_wait().await;
    match ending {
        Ending::Timeout => {
            eventually("the lock wait times out", async || (lock_timeouts(&mut holder).await > before).then_some(()))
                .await;
        }
        Ending::Kill(target) => holder.execute(&format!("KILL {target} {waits}")).await,
    }
    holder.execute("ROLLBACK").await;
    holder.close().await;
    waiting.await.expect("no panic")
}

/// Returns the response to an order that locks two stocks, while another transaction locks them in reverse order. The
/// other transaction has many changes, so that the database rolls back the order's.
async fn after_a_deadlock(shop: &Shop, server: &Server, user: &str) -> Response {
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
    other.lock_wait().await;
    other.execute(&lock(&ids[0])).await;
    other.execute("ROLLBACK").await;
    other.close().await;
    ordering.await.expect("no panic")
}

/// Number of lock wait timeouts so far.
async fn lock_timeouts(connection: &mut Connection) -> i64 {
    connection.number("`COUNT`", "information_schema.INNODB_METRICS WHERE NAME = 'lock_timeouts'").await
}

/// Sets a global variable and kills all sessions, which would keep the old value.
async fn set(database: &Database, name: &str, is_on: bool) {
    let mut administrator = database.connect().await;
    administrator.execute(&format!("SET GLOBAL {name} = {is_on}")).await;
    administrator.close().await;
    database.kill_connections().await;
}

/// The code of a problem, or otherwise the status.
fn code(response: &Response) -> String {
    if response.status < 400 {
        return response.status.to_string();
    }
    response.document()["code"].as_str().expect("a code").to_owned()
}

/// With statement-based binary logging, the database rejects every write at READ COMMITTED (1665). The server detects
/// it at startup, before the first customer.
#[tokio::test(flavor = "multi_thread")]
async fn statement_based_binary_logging_is_rejected_at_startup() {
    let mariadb = MariaDb::start().await.expect("a server");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        let url = shop_url(mariadb.port(), shop.database().mysql_name());
        let server = || shop.server().settings([("DATABASE_URL", url.as_str()), ("RUST_LOG", "off")]);
        // Also with an existing schema.
        for is_migrated in [false, true] {
            mariadb.restart_with(&["--log-bin=binlog", "--binlog-format=STATEMENT"]).await.expect("restarted");
            assert_eq!(binlog_format(&shop).await, "STATEMENT");
            let checked = server().run(["serve", "--check-config"]).await;
            assert_eq!(checked.code, Some(0), "the check needs no database: {checked:?}");
            let rejected = server().run(["serve"]).await;
            assert!(rejected.code.is_some_and(|code| code != 0), "migrated {is_migrated}: {rejected:?}");
            assert_eq!(rejected.stderr.lines().count(), 1, "migrated {is_migrated}: {rejected:?}");
            assert!(rejected.stderr.contains("binlog_format"), "migrated {is_migrated}: {rejected:?}");
            assert!(rejected.stderr.contains("ROW"), "migrated {is_migrated}: {rejected:?}");

            // The other formats are accepted.
            let format = if is_migrated { "ROW" } else { "MIXED" };
            let option = format!("--binlog-format={format}");
            mariadb.restart_with(&["--log-bin=binlog", &option]).await.expect("restarted");
            assert_eq!(binlog_format(&shop).await, format);
            let server = server().start().await;
            server.top_up("kim", 1).await;
            server.terminate();
            assert!(server.ended().await.success(), "{}", server.log());
        }
    })
    .await;
}

/// The format of the binary log, which must be enabled.
async fn binlog_format(shop: &Shop) -> String {
    let mut connection = shop.database().connect().await;
    let variables = "information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME IN ('LOG_BIN', 'BINLOG_FORMAT') \
                     ORDER BY VARIABLE_NAME";
    let values = connection.rows(variables, &[Column::Plain("VARIABLE_VALUE")], Row::text).await;
    connection.close().await;
    let [format, is_logged] = <[String; 2]>::try_from(values).expect("two variables");
    assert_eq!(is_logged, "ON", "the binary log is disabled");
    format
}
