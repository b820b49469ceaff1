//! Runs one test on its own database, verifies the books and cleans up, even after a panic.

use std::future::Future;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use futures_util::FutureExt;

use crate::database::{Backend, Database};
use crate::server::{Server, ServerBuilder};

/// Timeout of a scenario, well above any normal duration.
const SCENARIO_MAX: Duration = Duration::from_secs(240);

/// The database of a test and its servers.
#[derive(Clone)]
pub struct Shop(Arc<Inner>);

/// The shared state of a [`Shop`].
pub struct Inner {
    database: Database,
    servers: Mutex<Vec<Server>>,
    watch: Arc<Watch>,
    books_expected: AtomicBool,
}

/// Server errors seen by the clients of a test.
#[derive(Default)]
pub(crate) struct Watch {
    server_errors: Mutex<Vec<String>>,
    server_errors_expected: AtomicBool,
}

impl Watch {
    pub(crate) fn record_server_error(&self, error: String) {
        self.server_errors.lock().expect("no panic while it is held").push(error);
    }

    fn failures(&self) -> Vec<String> {
        if self.server_errors_expected.load(Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut *self.server_errors.lock().expect("no panic while it is held"))
    }
}

impl Deref for Shop {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Shop {
    /// Starts a server with the settings of the tests.
    pub async fn start(&self) -> Server {
        self.server().start().await
    }

    /// A builder for a server with other settings.
    pub fn server(&self) -> ServerBuilder {
        ServerBuilder::new(self.clone())
    }

    /// Failures after a successful test.
    async fn failures(&self) -> Vec<String> {
        let mut failures = self.watch.failures();
        if self.books_expected.load(Ordering::SeqCst) {
            let verified = self.server().run(["verify", "--json"]).await;
            if verified.code != Some(0) {
                failures.push(format!("jangteo verify: {verified:#?}"));
            }
        }
        failures
    }
}

impl Inner {
    /// The database of the test.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The kind of the database.
    pub fn backend(&self) -> Backend {
        self.database.backend()
    }

    /// Allows responses with status 500 and above.
    pub fn expect_server_errors(&self) {
        self.watch.server_errors_expected.store(true, Ordering::SeqCst);
    }

    /// Skips the verification, for tests that create no tables.
    pub fn expect_no_books(&self) {
        self.books_expected.store(false, Ordering::SeqCst);
    }

    pub(crate) fn watch(&self) -> Arc<Watch> {
        self.watch.clone()
    }

    pub(crate) fn register_server(&self, server: Server) {
        self.servers.lock().expect("no panic while it is held").push(server);
    }

    async fn stop_servers(&self) -> String {
        let servers = std::mem::take(&mut *self.servers.lock().expect("no panic while it is held"));
        let mut logs = String::new();
        for server in servers {
            server.kill().await;
            logs.push_str(&server.log());
        }
        logs
    }
}

/// Runs a test on a fresh database, then verifies the books and the absence of server errors.
///
/// # Panics
/// If the test panics or times out, or the verification fails.
pub fn run<F, Test>(backend: Backend, test: Test)
where
    Test: FnOnce(Shop) -> F,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let database = Database::create(backend).await.unwrap_or_else(|error| panic!("{error:#}"));
        run_on(database, SCENARIO_MAX, test).await;
    });
}

/// Like [`run`], with a timeout and a given database, which is removed afterwards.
///
/// # Panics
/// Like [`run`].
pub async fn run_on<T, F, Test>(database: Database, timeout: Duration, test: Test) -> T
where
    Test: FnOnce(Shop) -> F,
    F: Future<Output = T>,
{
    install_crypto();
    let inner = Arc::new(Inner {
        database,
        servers: Mutex::default(),
        watch: Arc::default(),
        books_expected: AtomicBool::new(true),
    });
    let whole = async {
        let shop = Shop(inner.clone());
        let tested = tokio::time::timeout(timeout, test(shop.clone())).await;
        let tested = tested.unwrap_or_else(|_| panic!("the test hangs: {timeout:?} passed"));
        let failures = shop.failures().await;
        assert!(failures.is_empty(), "after the test:\n{}", failures.join("\n"));
        tested
    };
    let outcome = AssertUnwindSafe(whole).catch_unwind().await;
    let logs = inner.stop_servers().await;
    if outcome.is_err() {
        eprintln!("--- server logs ---\n{logs}--- end ---");
    }
    let removed = inner.database.remove().await;
    let tested = outcome.unwrap_or_else(|failed| resume_unwind(failed));
    removed.expect("the database is removed");
    tested
}

/// The client is built without a default TLS provider and requires one, even for plain HTTP.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("the only installation");
    });
}
