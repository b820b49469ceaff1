//! Settings, validated without a connection.

use std::time::Duration;

use jangteo_domain::StoreError;
use jangteo_domain::testing::batch_id;
use jangteo_domain::transaction::{Changes, FirstKeys};
use jangteo_sql::{Database, DatabaseSettings, Dialect, OpenError};
use tokio::time::timeout;

use crate::server::{Schema, TestDatabase};

fn settings(url: &str) -> DatabaseSettings {
    DatabaseSettings { pool_max: 2, write_connections: 2, ..DatabaseSettings::new(url) }
}

async fn rejected(settings: DatabaseSettings) -> OpenError {
    Database::open(settings).await.map(|_| ()).expect_err("invalid settings")
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_urls_are_rejected_in_one_line_without_their_password() {
    assert_eq!(rejected(settings("postgres://u:hush@h/d")).await, OpenError::UnknownScheme);
    assert_eq!(rejected(settings("")).await, OpenError::UnknownScheme);
    for url in ["mysql://u:hush@h:port/d", "mysql://u:hush@h/", "mysql://u:hush@h", "mysql://u:hush@h/d?key=hush"] {
        let error = rejected(settings(url)).await;
        assert!(matches!(error, OpenError::InvalidUrl { .. }), "{url}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hush") && !shown.contains('\n'), "{shown}");
    }
    for url in ["sqlite:", "sqlite::memory:", "sqlite:file:x?mode=memory"] {
        assert!(matches!(rejected(settings(url)).await, OpenError::InvalidUrl { .. }), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictory_settings_are_rejected() {
    let none = DatabaseSettings { pool_max: 0, ..settings("sqlite:x") };
    assert_eq!(rejected(none).await, OpenError::NoConnections { name: "pool_max" });
    let none = DatabaseSettings { write_connections: 0, ..settings("sqlite:x") };
    assert_eq!(rejected(none).await, OpenError::NoConnections { name: "write_connections" });
    let mixed = DatabaseSettings { read_url: Some("sqlite:x".to_owned()), ..settings("mysql://h/d") };
    assert_eq!(rejected(mixed).await, OpenError::MixedDialects);
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_makes_no_connection() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jangteo.db");
    let sqlite = Database::open(settings(&format!("sqlite:{}", path.display()))).await.expect("valid settings");
    assert_eq!(std::fs::metadata(&path).expect("a file").len(), 0, "not a database yet");
    assert_eq!(sqlite.dialect(), Dialect::Sqlite);
    // Port 9 of this machine is closed.
    let mysql = Database::open(settings("mysql://u:p@127.0.0.1:9/d")).await.expect("valid settings");
    assert_eq!(mysql.dialect(), Dialect::Mysql);
    assert_eq!(mysql.pool_statistics().read.connections, 0);
}

/// Timeout of a call that does not give up.
const HANGS: Duration = Duration::from_secs(60);

/// Every call that needs a connection gives up. Returns the cause.
async fn unavailable(url: &str) -> String {
    let database = Database::open(settings(url)).await.expect("valid settings");
    let reading = timeout(HANGS, database.ping()).await;
    let read = reading.expect("a read gives up").expect_err("no server");
    let factory = database.unit_of_work_factory();
    let beginning = timeout(HANGS, factory.begin(batch_id(), &FirstKeys::default())).await;
    let write = beginning.expect("a write gives up").map(|_| ()).expect_err("no server");
    for error in [&read, &write] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    assert!(matches!(database.migrate().await, Err(StoreError::Unavailable(_))));
    std::error::Error::source(&read).expect("a cause").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_unavailable() {
    let cause = unavailable("mysql://u:p@127.0.0.1:9/d").await;
    assert!(cause.contains("refused"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_unavailable_with_its_cause() {
    let schema = Schema::create().await;
    let url = schema.url();
    let (before, host) = url.split_once('@').expect("a login");
    let user = before.rsplit_once(':').expect("a password").0;
    let cause = unavailable(&format!("{user}:wrong@{host}")).await;
    assert!(cause.contains("Access denied") && !cause.contains("wrong"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_unavailable() {
    // It accepts connections into its backlog and never sends a greeting.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    unavailable(&format!("mysql://u:p@127.0.0.1:{port}/d")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_connections() -> Result<(), StoreError> {
    let test = TestDatabase::sqlite().await;
    let database = &test.database;
    let unit = test.begin().await?;
    let statistics = database.pool_statistics();
    assert_eq!((statistics.write.connections, statistics.write.idle), (1, 0));
    unit.commit(Changes::default()).await?;
    assert_eq!(database.pool_statistics().write.idle, 1);
    database.ping().await?;
    assert!(database.pool_statistics().read.connections >= 1);
    Ok(())
}
