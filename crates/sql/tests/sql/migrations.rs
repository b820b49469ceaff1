//! Migrations run exactly once, also with concurrent servers and interruptions.

use futures_util::future::join_all;
use jangteo_domain::StoreError;
use jangteo_domain::command::{ChangeProduct, ProductChange};
use jangteo_domain::product::ProductDetails;
use jangteo_domain::testing::fixtures::{product_details, text};
use jangteo_domain_testing::TestShop;
use jangteo_sql::{Database, DatabaseSettings, Dialect};
use rstest::rstest;
use uuid::Uuid;

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
    applied.sort_unstable();
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
    database.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261121000000'").await;
    database.execute("DROP TABLE commit_markers").await;
    database.execute("DROP TABLE daily_sales").await;
    assert!(database.database.migrations_pending().await?);
    assert_eq!(database.database.migrate().await?, ["2026-11-21-000000_shop"]);
    assert!(!database.database.migrations_pending().await?);
    assert_eq!(database.number("SELECT COUNT(*) FROM daily_sales").await, 0);
    Ok(())
}

/// MySQL commits each statement of a migration; SQLite all of them or none.
#[rstest]
#[case::before_the_index("DROP INDEX uq_products_sku ON products")]
#[case::before_the_record("DO 0")]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_change_of_a_table_is_continued(#[case] undone: &str) -> Result<(), StoreError> {
    let database = TestDatabase::of(Dialect::Mysql).await;
    database.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261130200000'").await;
    database.execute(undone).await;
    assert_eq!(database.database.migrate().await?, ["2026-11-30-200000_skus"]);
    let unique = "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() \
                  AND index_name = 'uq_products_sku' AND non_unique = 0";
    assert_eq!(database.number(unique).await, 1);
    Ok(())
}

/// A rollout runs servers of 0.2.0 beside new ones; these are its statements.
#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_0_2_0_retains_sku_and_version(#[case] dialect: Dialect) -> Result<(), StoreError> {
    let database = TestDatabase::of(dialect).await;
    let shop = TestShop::new(database.database.unit_of_work_factory());
    let details = ProductDetails { sku: Some(text("LAMP-1")), ..product_details("lamp", 1_000) };
    let id = shop.product(details, 1).await?;
    let change = ProductChange { name: Some(text("desk lamp")), ..ProductChange::default() };
    shop.run(ChangeProduct { product_id: id, expected_version: Some(1), change }).await?.expect("a change");
    let columns = "id, name, description, category, options, item_group_id, price, status, created_at, updated_at";
    let row = |id: &str, name: &str| {
        format!(
            "SELECT {id}, '{name}', '', 'misc', '{{}}', NULL, price, 'on_sale', created_at, updated_at FROM products"
        )
    };
    let second = match dialect {
        Dialect::Mysql => {
            let updates = "name = VALUES(name), status = VALUES(status)";
            let saved = row("id", "saved by 0.2.0");
            database
                .execute(&format!("INSERT INTO products ({columns}) {saved} ON DUPLICATE KEY UPDATE {updates}"))
                .await;
            row("UNHEX(REPEAT('7f', 16))", "new")
        }
        Dialect::Sqlite => {
            database.execute("UPDATE products SET name = 'saved by 0.2.0', status = 'on_sale'").await;
            row("x'7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f'", "new")
        }
    };
    database.execute(&format!("INSERT INTO products ({columns}) {second}")).await;
    database.execute(match dialect {
        Dialect::Mysql => "INSERT INTO stocks (product_id, available, movements) VALUES (UNHEX(REPEAT('7f', 16)), 0, 0)",
        Dialect::Sqlite => "INSERT INTO stocks (product_id, available, movements) VALUES (x'7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f', 0, 0)",
    }).await;
    let queries = database.database.queries().products;
    let saved = queries.find(id).await?.expect("the product").product;
    assert_eq!(
        (saved.details.name, saved.details.sku, saved.version),
        (text("saved by 0.2.0"), Some(text("LAMP-1")), 2)
    );
    let new = queries.find(Uuid::from_bytes([0x7f; 16]).into()).await?.expect("the product").product;
    assert_eq!((new.details.sku, new.version), (None, 1));
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
