//! The proxy against a real database: each blow does what it says, to the row.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder};

use super::{Blow, Moment, Plan, Proxy, ServerError, has_commit};
use crate::{Backend, Database, eventually};

struct Setting {
    database: Database,
    proxy: Proxy,
    through: Opts,
}

impl Setting {
    async fn new() -> Self {
        let database = Database::create(Backend::Mysql).await.expect("a database");
        let options = Opts::from_url(&database.url()).expect("its address");
        let proxy = Proxy::start(options.tcp_port(), 7).await.expect("a proxy");
        let through = OptsBuilder::from_opts(options).tcp_port(proxy.port()).prefer_socket(false).into();
        let mut direct = database.connect().await;
        direct.execute("CREATE TABLE notes (id INT PRIMARY KEY) ENGINE = InnoDB").await;
        direct.close().await;
        Self { database, proxy, through }
    }

    /// Writes a row in a transaction, and says whether the client was told that it was committed.
    async fn write(&self, id: u32) -> bool {
        let mut connection = Conn::new(self.through.clone()).await.expect("the proxy leads to the database");
        let written: mysql_async::Result<()> = async {
            connection.query_drop("BEGIN").await?;
            for _ in 0..super::STATEMENTS_MAX {
                connection.query_drop("SELECT 1").await?;
            }
            connection.query_drop(format!("INSERT INTO notes VALUES ({id});UPDATE notes SET id = id;COMMIT")).await
        }
        .await;
        written.is_ok()
    }

    async fn rows(&self) -> i64 {
        let mut direct = self.database.connect().await;
        let rows = direct.number("COUNT(*)", "notes").await;
        direct.close().await;
        rows
    }

    fn strike(&self, moment: Moment, blow: Blow) {
        self.proxy.begin(Plan { moment, blow, one_in: 1, count: 1 });
    }

    /// Nothing is left of a transaction that a blow ended.
    async fn end(self) {
        eventually("no transaction is open", async || (self.database.open_transactions().await == 0).then_some(()))
            .await;
        drop(self.proxy);
        self.database.remove().await.expect("it can be removed");
    }
}

#[tokio::test]
async fn lets_pass_what_it_shall_not_strike() {
    let setting = Setting::new().await;
    assert!(setting.write(1).await);
    assert_eq!(setting.rows().await, 1);
    setting.end().await;
}

#[tokio::test]
async fn loses_the_reply_to_a_commit_that_took_effect() {
    let setting = Setting::new().await;
    setting.strike(Moment::Commit, Blow::LoseReply);
    assert!(!setting.write(1).await);
    assert_eq!(setting.rows().await, 1);
    setting.proxy.fallen(1, |_| {}).await;
    assert!(setting.write(2).await, "one blow, no more");
    setting.end().await;
}

/// Each of the ways in which a transaction is committed: with its last statements, with all of them, by a block, and
/// alone; with results that have rows in between.
#[tokio::test]
async fn tells_an_error_of_a_commit_that_took_effect() {
    let setting = Setting::new().await;
    let error = ServerError { number: 1180, sqlstate: "HY000", message: "Got error 28 during COMMIT" };
    let ways: [(u32, &[&str]); 5] = [
        (1, &["BEGIN", "INSERT INTO notes VALUES (1)", "COMMIT"]),
        (2, &["BEGIN", "INSERT INTO notes VALUES (2);UPDATE notes SET id = id;COMMIT"]),
        (3, &["BEGIN;INSERT INTO notes VALUES (3);COMMIT"]),
        (4, &["BEGIN NOT ATOMIC START TRANSACTION; INSERT INTO notes VALUES (4); COMMIT; END"]),
        (5, &["START TRANSACTION", "SELECT * FROM notes;INSERT INTO notes VALUES (5);SELECT 1;COMMIT"]),
    ];
    for (id, statements) in ways {
        setting.strike(Moment::Commit, Blow::ReplaceReply(error));
        let mut connection = Conn::new(setting.through.clone()).await.expect("the proxy leads to the database");
        let (last, before) = statements.split_last().expect("a statement");
        for statement in before {
            connection.query_drop(*statement).await.expect("it passes");
        }
        match connection.query_drop(*last).await {
            Err(Error::Server(told)) => {
                assert_eq!((told.code, told.state.as_str()), (error.number, error.sqlstate));
                assert_eq!(told.message, error.message);
            }
            other => panic!("{id}: {other:?}"),
        }
        setting.proxy.fallen(1, |_| {}).await;
        assert_eq!(setting.rows().await, i64::from(id), "it took effect");
        connection.query_drop("DO 1").await.expect("the connection is of use");
    }
    // One that fails by itself is told as it is, and the blow falls on the next.
    setting.strike(Moment::Commit, Blow::ReplaceReply(error));
    let mut connection = Conn::new(setting.through.clone()).await.expect("the proxy leads to the database");
    let failed = connection.query_drop("BEGIN;INSERT INTO notes VALUES (1);COMMIT").await;
    assert!(matches!(failed, Err(Error::Server(told)) if told.code == 1062));
    assert_eq!(setting.proxy.fallen_so_far(), 0);
    connection.disconnect().await.expect("a clean end");
    assert!(!setting.write(6).await);
    assert_eq!((setting.rows().await, setting.proxy.fallen_so_far()), (6, 1));
    setting.end().await;
}

#[tokio::test]
async fn rejects_a_commit_which_then_takes_no_effect() {
    let setting = Setting::new().await;
    let error = ServerError { number: 1213, sqlstate: "40001", message: "Deadlock found when trying to get lock" };
    for text in ["BEGIN;INSERT INTO notes VALUES (1)", "BEGIN"] {
        setting.strike(Moment::Commit, Blow::Reject(error));
        let mut connection = Conn::new(setting.through.clone()).await.expect("the proxy leads to the database");
        connection.query_drop(text).await.expect("it passes");
        let told = connection.query_drop("INSERT INTO notes VALUES (2);COMMIT").await;
        assert!(matches!(told, Err(Error::Server(told)) if told.code == 1213 && told.state == "40001"));
        assert_eq!((setting.rows().await, setting.proxy.fallen_so_far()), (0, 1));
        connection.query_drop("DO 1").await.expect("the connection is of use");
    }
    setting.end().await;
}

#[test]
fn finds_a_commit_among_statements_and_not_in_what_they_write() {
    for text in
        ["COMMIT", "commit ;", "UPDATE a SET b = 'it\\'s; ';COMMIT", "BEGIN NOT ATOMIC DELETE FROM a; COMMIT; END"]
    {
        assert!(has_commit(text.as_bytes()), "{text}");
    }
    for text in
        ["INSERT INTO a VALUES (';COMMIT;')", "UPDATE a SET b = 'c\\';COMMIT", "SELECT `;COMMIT;`", "SET commits = 1"]
    {
        assert!(!has_commit(text.as_bytes()), "{text}");
    }
}

#[tokio::test]
async fn cuts_before_a_commit_which_then_takes_no_effect() {
    let setting = Setting::new().await;
    setting.strike(Moment::Commit, Blow::Cut);
    assert!(!setting.write(1).await);
    assert_eq!(setting.rows().await, 0);
    setting.end().await;
}

#[tokio::test]
async fn delivers_a_commit_after_its_client_has_gone() {
    let setting = Setting::new().await;
    setting.strike(Moment::Commit, Blow::ArriveLate(Duration::from_millis(50)));
    assert!(!setting.write(1).await);
    setting.proxy.fallen(1, |_| {}).await;
    assert_eq!(setting.rows().await, 1);
    setting.end().await;
}

#[tokio::test]
async fn cuts_in_the_middle_of_a_transaction() {
    let setting = Setting::new().await;
    setting.strike(Moment::Statement, Blow::Cut);
    assert!(!setting.write(1).await);
    assert_eq!(setting.rows().await, 0);
    setting.end().await;
}

#[tokio::test]
async fn stalls_and_goes_on() {
    let setting = Setting::new().await;
    setting.strike(Moment::Statement, Blow::Stall(Duration::from_millis(50)));
    assert!(setting.write(1).await);
    setting.proxy.fallen(1, |_| {}).await;
    assert_eq!(setting.rows().await, 1);
    setting.end().await;
}

#[tokio::test]
async fn freezes_and_resets_all() {
    let setting = Setting::new().await;
    setting.proxy.freeze(true);
    let frozen = tokio::time::timeout(Duration::from_millis(50), setting.write(1)).await;
    assert!(frozen.is_err(), "nothing passes");
    setting.proxy.freeze(false);
    let mut connection = Conn::new(setting.through.clone()).await.expect("everything passes again");
    setting.proxy.reset_all();
    assert!(connection.query_drop("SELECT 1").await.is_err());
    setting.end().await;
}
