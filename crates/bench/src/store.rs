//! The server's own adapter, by which the benchmark fills a shop and replays transactions: it has no SQL of the shop.

use std::future::Future;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use jangteo_sql::{Database, DatabaseSettings};
use tokio::runtime::{Builder, Runtime};

/// Where connections live: the adapter wants several threads, and the callers of the server share the one that the
/// program has besides.
static THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("two threads can be started")
});

/// Runs the work where connections live.
pub async fn on_threads<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    THREADS.spawn(work).await.context("the work panicked")
}

/// Waits for the work on a thread of its own, as a drop must, which may happen within another runtime.
pub fn wait_for<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let waiting = std::thread::spawn(move || THREADS.block_on(work));
    waiting.join().map_err(|_| anyhow::anyhow!("the work panicked"))
}

/// Opens a database on which so many transactions write at the same time.
pub async fn open(url: &str, write_connections: usize) -> Result<Database> {
    let write_connections = u32::try_from(write_connections)?;
    let settings = DatabaseSettings { url: url.to_owned(), read_url: None, pool_max: 1, write_connections };
    Ok(on_threads(Database::open(settings)).await??)
}

/// Opens a new database and makes its tables.
pub async fn open_new(url: &str) -> Result<Database> {
    let database = open(url, 1).await?;
    let opened = database.clone();
    on_threads(async move { opened.migrate().await }).await??;
    Ok(database)
}

/// What is wrong with the books.
#[cfg(test)]
pub async fn findings(database: &Database) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut books = database.books().open().await?;
    let retention = jangteo_domain::retention::Retention::default();
    let mut report = |finding: jangteo_domain::verification::Finding| findings.push(finding.to_string());
    jangteo_domain::verification::verify(&mut *books, &retention, &mut (), &mut report).await?;
    Ok(findings)
}
