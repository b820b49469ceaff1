//! Runs one test: gives it a database, and afterwards checks the books and takes everything away, whatever happened.

use std::future::Future;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use futures_util::FutureExt;

use crate::database::{Backend, Database};
use crate::server::{Server, ServerBuilder};

/// No scenario takes as long; one that does hangs.
const SCENARIO_MAX: Duration = Duration::from_secs(240);

/// What a test works with: a database and the servers on it.
#[derive(Clone)]
pub struct Shop(Arc<Inner>);

/// See [`Shop`].
pub struct Inner {
    database: Database,
    servers: Mutex<Vec<Server>>,
    watch: Arc<Watch>,
    books_expected: AtomicBool,
}

/// What the clients of one test keep an eye on.
#[derive(Default)]
pub(crate) struct Watch {
    server_errors: Mutex<Vec<String>>,
    server_errors_expected: AtomicBool,
}

impl Watch {
    pub(crate) fn note_server_error(&self, what: String) {
        self.server_errors.lock().expect("no panic while it is held").push(what);
    }

    fn faults(&self) -> Vec<String> {
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

    /// A server to be started with other settings.
    pub fn server(&self) -> ServerBuilder {
        ServerBuilder::new(self.clone())
    }

    /// What is wrong at the end of a test that went well.
    async fn faults(&self) -> Vec<String> {
        let mut faults = self.watch.faults();
        if self.books_expected.load(Ordering::SeqCst) {
            let verified = self.server().run(["verify", "--json"]).await;
            if verified.code != Some(0) {
                faults.push(format!("jangteo verify: {verified:#?}"));
            }
        }
        faults
    }
}

impl Inner {
    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Which kind of database it is.
    pub fn backend(&self) -> Backend {
        self.database.backend()
    }

    /// Says that answers of 500 and above are what this test is about.
    pub fn expect_server_errors(&self) {
        self.watch.server_errors_expected.store(true, Ordering::SeqCst);
    }

    /// Says that this test makes no tables, so that there are no books.
    pub fn expect_no_books(&self) {
        self.books_expected.store(false, Ordering::SeqCst);
    }

    pub(crate) fn watch(&self) -> Arc<Watch> {
        self.watch.clone()
    }

    pub(crate) fn note_server(&self, server: Server) {
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

/// Runs a test on a fresh database, then checks the books and that no answer was a server error.
///
/// # Panics
/// When the test does, takes too long, or leaves books that disagree.
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

/// As [`run`], on that database, which is taken away afterwards, and within that time.
///
/// # Panics
/// As [`run`] does.
pub async fn run_on<T, F, Test>(database: Database, bound: Duration, test: Test) -> T
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
        let tested = tokio::time::timeout(bound, test(shop.clone())).await;
        let tested = tested.unwrap_or_else(|_| panic!("the test hangs: {bound:?} passed"));
        let faults = shop.faults().await;
        assert!(faults.is_empty(), "after the test:\n{}", faults.join("\n"));
        tested
    };
    let outcome = AssertUnwindSafe(whole).catch_unwind().await;
    let logs = inner.stop_servers().await;
    if outcome.is_err() {
        eprintln!("--- what the servers said ---\n{logs}--- end ---");
    }
    let removed = inner.database.remove().await;
    let tested = outcome.unwrap_or_else(|failed| resume_unwind(failed));
    removed.expect("the database can be removed");
    tested
}

/// The client is built without a cryptography of its own and wants to be told one, though nothing here is encrypted.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("nobody else installs one");
    });
}
