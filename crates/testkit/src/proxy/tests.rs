//! The proxy with a real database: each fault has exactly the documented effect.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder};

use super::{InjectionPoint, NetworkFault, Plan, Proxy, ServerError, has_commit};
use crate::{Backend, Database, eventually};

struct Fixture {
    database: Database,
    proxy: Proxy,
    through: Opts,
}

impl Fixture {
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

    /// Writes a row in a transaction and returns whether the client saw a successful commit.
    async fn write(&self, id: u32) -> bool {
        let mut connection = Conn::new(self.through.clone()).await.expect("connected through the proxy");
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

    fn inject(&self, point: InjectionPoint, fault: NetworkFault) {
        self.proxy.begin(Plan { point, fault, one_in: 1, count: 1 });
    }

    /// Asserts that no transaction is left open.
    async fn end(self) {
        eventually("all transactions end", async || (self.database.open_transactions().await == 0).then_some(())).await;
        drop(self.proxy);
        self.database.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn passes_everything_without_a_plan() {
    let fixture = Fixture::new().await;
    assert!(fixture.write(1).await);
    assert_eq!(fixture.rows().await, 1);
    fixture.end().await;
}

#[tokio::test]
async fn loses_the_reply_to_a_commit_that_took_effect() {
    let fixture = Fixture::new().await;
    fixture.inject(InjectionPoint::Commit, NetworkFault::LoseReply);
    assert!(!fixture.write(1).await);
    assert_eq!(fixture.rows().await, 1);
    fixture.proxy.injected(1, |_| {}).await;
    assert!(fixture.write(2).await, "only one fault");
    fixture.end().await;
}

/// All forms of a commit: with the last statements, with the whole transaction, in a block, and alone; also with rows
/// in earlier results.
#[tokio::test]
async fn replaces_the_reply_to_a_commit_that_took_effect() {
    let fixture = Fixture::new().await;
    let error = ServerError { number: 1180, sqlstate: "HY000", message: "Got error 28 during COMMIT" };
    let ways: [(u32, &[&str]); 5] = [
        (1, &["BEGIN", "INSERT INTO notes VALUES (1)", "COMMIT"]),
        (2, &["BEGIN", "INSERT INTO notes VALUES (2);UPDATE notes SET id = id;COMMIT"]),
        (3, &["BEGIN;INSERT INTO notes VALUES (3);COMMIT"]),
        (4, &["BEGIN NOT ATOMIC START TRANSACTION; INSERT INTO notes VALUES (4); COMMIT; END"]),
        (5, &["START TRANSACTION", "SELECT * FROM notes;INSERT INTO notes VALUES (5);SELECT 1;COMMIT"]),
    ];
    for (id, statements) in ways {
        fixture.inject(InjectionPoint::Commit, NetworkFault::ReplaceReply(error));
        let mut connection = Conn::new(fixture.through.clone()).await.expect("connected through the proxy");
        let (last, before) = statements.split_last().expect("a statement");
        for statement in before {
            connection.query_drop(*statement).await.expect("forwarded");
        }
        match connection.query_drop(*last).await {
            Err(Error::Server(received)) => {
                assert_eq!((received.code, received.state.as_str()), (error.number, error.sqlstate));
                assert_eq!(received.message, error.message);
            }
            other => panic!("{id}: {other:?}"),
        }
        fixture.proxy.injected(1, |_| {}).await;
        assert_eq!(fixture.rows().await, i64::from(id), "it took effect");
        connection.query_drop("DO 1").await.expect("the connection is usable");
    }
    // A genuine error is passed unchanged, and the fault is injected at the next commit.
    fixture.inject(InjectionPoint::Commit, NetworkFault::ReplaceReply(error));
    let mut connection = Conn::new(fixture.through.clone()).await.expect("connected through the proxy");
    let failed = connection.query_drop("BEGIN;INSERT INTO notes VALUES (1);COMMIT").await;
    assert!(matches!(failed, Err(Error::Server(error)) if error.code == 1062));
    assert_eq!(fixture.proxy.injected_so_far(), 0);
    connection.disconnect().await.expect("disconnected");
    assert!(!fixture.write(6).await);
    assert_eq!((fixture.rows().await, fixture.proxy.injected_so_far()), (6, 1));
    fixture.end().await;
}

#[tokio::test]
async fn rejects_a_commit_without_effect() {
    let fixture = Fixture::new().await;
    let error = ServerError { number: 1213, sqlstate: "40001", message: "Deadlock found when trying to get lock" };
    for text in ["BEGIN;INSERT INTO notes VALUES (1)", "BEGIN"] {
        fixture.inject(InjectionPoint::Commit, NetworkFault::Reject(error));
        let mut connection = Conn::new(fixture.through.clone()).await.expect("connected through the proxy");
        connection.query_drop(text).await.expect("forwarded");
        let result = connection.query_drop("INSERT INTO notes VALUES (2);COMMIT").await;
        assert!(matches!(result, Err(Error::Server(error)) if error.code == 1213 && error.state == "40001"));
        assert_eq!((fixture.rows().await, fixture.proxy.injected_so_far()), (0, 1));
        connection.query_drop("DO 1").await.expect("the connection is usable");
    }
    fixture.end().await;
}

#[test]
fn finds_a_commit_among_statements_and_not_in_literals() {
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
async fn cuts_before_a_commit_without_effect() {
    let fixture = Fixture::new().await;
    fixture.inject(InjectionPoint::Commit, NetworkFault::Cut);
    assert!(!fixture.write(1).await);
    assert_eq!(fixture.rows().await, 0);
    fixture.end().await;
}

#[tokio::test]
async fn delivers_a_commit_after_its_client_has_disconnected() {
    let fixture = Fixture::new().await;
    fixture.inject(InjectionPoint::Commit, NetworkFault::ArriveLate(Duration::from_millis(50)));
    assert!(!fixture.write(1).await);
    fixture.proxy.injected(1, |_| {}).await;
    assert_eq!(fixture.rows().await, 1);
    fixture.end().await;
}

#[tokio::test]
async fn cuts_in_the_middle_of_a_transaction() {
    let fixture = Fixture::new().await;
    fixture.inject(InjectionPoint::Statement, NetworkFault::Cut);
    assert!(!fixture.write(1).await);
    assert_eq!(fixture.rows().await, 0);
    fixture.end().await;
}

#[tokio::test]
async fn stalls_and_continues() {
    let fixture = Fixture::new().await;
    fixture.inject(InjectionPoint::Statement, NetworkFault::Stall(Duration::from_millis(50)));
    assert!(fixture.write(1).await);
    fixture.proxy.injected(1, |_| {}).await;
    assert_eq!(fixture.rows().await, 1);
    fixture.end().await;
}

#[tokio::test]
async fn freezes_before_or_after_a_commit_of_a_table() {
    for (fault, rows_while_frozen) in [(NetworkFault::FreezeBefore, 0), (NetworkFault::FreezeAfter, 1)] {
        let fixture = Fixture::new().await;
        fixture.inject(InjectionPoint::CommitOf("UPDATE others"), fault);
        assert!(fixture.write(1).await, "not a commit of that table");
        fixture.inject(InjectionPoint::CommitOf("UPDATE notes"), fault);
        let (written, ()) = tokio::join!(fixture.write(2), async {
            fixture.proxy.injected(1, |_| {}).await;
            assert_eq!(fixture.rows().await, 1 + rows_while_frozen);
            fixture.proxy.freeze(false);
        });
        assert!(written);
        assert_eq!(fixture.rows().await, 2);
        fixture.end().await;
    }
}

#[tokio::test]
async fn freezes_and_resets_all() {
    let fixture = Fixture::new().await;
    fixture.proxy.freeze(true);
    let mut withheld = fixture.proxy.state.withheld.subscribe();
    let connecting = tokio::spawn(Conn::new(fixture.through.clone()));
    withheld.wait_for(|reads| *reads > 0).await.expect("the proxy exists");
    assert!(!connecting.is_finished(), "data passes");
    fixture.proxy.freeze(false);
    let mut connection = connecting.await.expect("no panic").expect("data passes again");
    fixture.proxy.reset_all();
    assert!(connection.query_drop("SELECT 1").await.is_err());
    fixture.end().await;
}
