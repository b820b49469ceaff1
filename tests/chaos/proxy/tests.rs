//! The proxy against a real database: each blow does what it says, to the row.

use std::time::Duration;

use jangteo_tests::{Backend, Database, eventually};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

use super::{Blow, Moment, Plan, Proxy};

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
