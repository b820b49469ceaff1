//! The server's database adapter, which fills the shop and replays transactions. The benchmark has no SQL of its own.

use std::future::Future;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use jangteo_sql::{Database, DatabaseSettings};
use tokio::runtime::{Builder, Runtime};

/// The runtime of the connections: the adapter needs several threads, and the callers share the main thread.
static THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("two threads can be started")
});

/// Runs the future on the connections' runtime.
pub async fn on_threads<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    THREADS.spawn(work).await.context("the work panicked")
}

/// Blocks on the future from a separate thread, for use in `Drop` within another runtime.
pub fn wait_for<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let waiting = std::thread::spawn(move || THREADS.block_on(work));
    waiting.join().map_err(|_| anyhow::anyhow!("the work panicked"))
}

/// Opens a database with this number of write connections.
pub async fn open(url: &str, write_connections: usize) -> Result<Database> {
    let write_connections = u32::try_from(write_connections)?;
    let settings = DatabaseSettings { write_connections, ..DatabaseSettings::new(url) };
    Ok(on_threads(Database::open(settings)).await??)
}

/// Opens a new database and creates its tables.
pub async fn open_new(url: &str) -> Result<Database> {
    let database = open(url, 1).await?;
    let opened = database.clone();
    on_threads(async move { opened.migrate().await }).await??;
    Ok(database)
}

/// Findings of the verification.
#[cfg(test)]
pub async fn findings(database: &Database) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut books = database.books().open().await?;
    let retention = jangteo_domain::retention::Retention::default();
    let mut report = |finding: jangteo_domain::verification::Finding| findings.push(finding.to_string());
    jangteo_domain::verification::verify(&mut *books, &retention, &mut (), &mut report).await?;
    Ok(findings)
}
