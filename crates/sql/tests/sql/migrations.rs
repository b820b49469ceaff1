//! Migrations run exactly once, also with concurrent servers and interruptions.

use futures_util::future::join_all;
use jangteo_domain::StoreError;
use jangteo_sql::{Database, DatabaseSettings, Dialect};
use rstest::rstest;

use crate::server::{Schema, TestDatabase};

/// Opens the same database again, like another server.
async fn another(settings: &DatabaseSettings) -> Database {
    Database::open(settings.clone()).await.expect("valid settings")
}

/// The migrations, in their order.
fn names() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/mysql")).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name().into_string();
    let mut names: Vec<_> = folder.map(|entry| name(entry).expect("UTF-8")).collect();
    names.sort();
    names
}

async fn migrate_at_once(settings: DatabaseSettings) -> Result<(), StoreError> {
    let servers = join_all((0..4).map(|_| another(&settings))).await;
    assert!(servers[0].migrations_pending().await?);
    let tasks = servers.iter().cloned().map(|server| tokio::spawn(async move { server.migrate().await }));
    let mut applied = Vec::new();
    for names in join_all(tasks).await {
        applied.extend(names.expect("no panic")?);
    }
    assert_eq!(applied, names(), "each migration is run by one of them");
    assert!(!servers[0].migrations_pending().await?);
    assert!(servers[0].migrate().await?.is_empty());
    Ok(())
}

fn settings(url: String) -> DatabaseSettings {
    DatabaseSettings { pool_max: 2, ..DatabaseSettings::new(url) }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_of_mysql_run_once() -> Result<(), StoreError> {
    let schema = Schema::create().await;
    migrate_at_once(settings(schema.url())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_of_sqlite_run_once() -> Result<(), StoreError> {
    let directory = tempfile::tempdir().expect("a directory");
    migrate_at_once(settings(format!("sqlite:{}", directory.path().join("jangteo.db").display()))).await
}

/// The server died after some of the tables and before the migration's record.
#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_migration_is_run_again(#[case] dialect: Dialect) -> Result<(), StoreError> {
    let database = TestDatabase::of(dialect).await;
    database.execute("DELETE FROM __diesel_schema_migrations").await;
    database.execute("DROP TABLE commit_markers").await;
    database.execute("DROP TABLE daily_sales").await;
    assert!(database.database.migrations_pending().await?);
    assert_eq!(database.database.migrate().await?, names());
    assert!(!database.database.migrations_pending().await?);
    assert_eq!(database.number("SELECT COUNT(*) FROM daily_sales").await, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mysql_table_sets_its_charset_and_names_its_constraints() {
    let database = TestDatabase::of(Dialect::Mysql).await;
    let foreign = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() \
                   AND table_name <> '__diesel_schema_migrations' AND collation_name <> 'utf8mb4_bin'";
    assert_eq!(database.number(foreign).await, 0);
    let unnamed = "SELECT COUNT(*) FROM information_schema.table_constraints WHERE table_schema = DATABASE() \
                   AND table_name <> '__diesel_schema_migrations' AND constraint_name <> 'PRIMARY' \
                   AND constraint_name NOT LIKE 'uq\\_%' AND constraint_name NOT LIKE 'ck\\_%'";
    assert_eq!(database.number(unnamed).await, 0);
}
