//! Composition root: starts all components and shuts them down in order. The only module that depends on the store.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use actix_web::dev::{Server as ActixServer, ServerHandle};
use actix_web::web;
use anyhow::{Context, anyhow, bail};
use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangteo_data_platform::{GatewaySettings, HttpDataPlatform, JsonEvents};
use jangteo_group_commit::Drain;
use jangteo_sql::doctor::Check;
use jangteo_sql::{Database, Dialect, SearchLimits, Tls};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use jangteo_domain::command::{Operation, RecordOperation};
use jangteo_domain::statistics::StatisticsCount;
use jangteo_domain::verification::BooksFactory;
use jangteo_domain::{BatchExecutor, Command, Queries, Reply, StoreError};

use crate::auth::{Authenticator, DenyList};
use crate::backoff::{JitteredBackoff, retried};
use crate::cursor_keys::{CursorKeyStore, CursorKeys, StoredKey};
use crate::demo::{self, DemoSignIn};
use crate::error_chain::chain;
use crate::http;
use crate::http::access::{Access, RateLimits};
use crate::http::catalog::Catalog;
use crate::http::connection::places::Places;
use crate::http::console::Console;
use crate::http::cors::Cors;
use crate::http::extract::write::BULK_COMMANDS_MAX;
use crate::http::listener::{self, ConnectionLimits, METRICS_CONNECTIONS_MAX, RunningServer, connections_max};
use crate::http::operations::{DatabaseHealth, LastCheck, Operations, PoolStatistics, Readiness, WriterStatus};
use crate::http::state::{AppState, Options};
use crate::idempotency::InFlight;
use crate::lanes::Lanes;
use crate::operator;
use crate::settings::{DataPlatformSettings, DatabaseSettings, Settings};
use crate::system::{UuidSource, install_crypto, open_files_max, raise_open_files_max};
use crate::telemetry;
use crate::user_label::UserLabels;
use crate::workers::pruner::Pruner;
use crate::workers::relay::{Relay, RunningRelay, sample_backlog};
use crate::workers::search_indexer::{self, SearchIndex};
use crate::workers::statistics::count_statistics;
use crate::workers::sweeper::Sweeper;
use crate::workers::verification::{Verifier, VerifierPorts};

/// Maximum wait for a database that is still starting.
const DATABASE_START_MAX: Duration = Duration::from_secs(30);
const DATABASE_START_POLL: Duration = Duration::from_millis(500);
/// Interval of the cleanup of metrics and rate limits.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(30);

/// A server that accepts requests, with its workers.
pub struct Server {
    address: SocketAddr,
    readiness: Readiness,
    http: JoinHandle<std::io::Result<()>>,
    http_handle: ServerHandle,
    metrics_handle: Option<ServerHandle>,
    /// Cancels the workers; the relay has a token of its own.
    shutdown: CancellationToken,
    workers: JoinSet<()>,
    relay: Option<RunningRelay>,
    lanes: Drain,
    verifier: Arc<Verifier>,
    executor: BatchExecutor,
    queries: Queries,
    database: Database,
}

impl Server {
    /// Starts all components. On return the server accepts connections. Only a demo shop has a demo's sign-in.
    ///
    /// # Errors
    /// An unavailable database, a failed migration, or an address that cannot be bound.
    pub async fn start(
        settings: &Settings,
        authenticator: Authenticator,
        demo: Option<Arc<DemoSignIn>>,
    ) -> anyhow::Result<Self> {
        raise_open_files_max();
        let statistics = telemetry::statistics();
        let platform = data_platform(settings)?;
        let database = open_started(settings).await?;
        auto_migrate(settings, &database).await?;
        let executor = executor(settings, &database);
        let queries = database.queries();
        let (lanes, drain) = Lanes::start(&executor, settings.lanes);
        let readiness = Readiness::default();
        let verifier_ports = VerifierPorts {
            books: database.books(),
            runs: database.verification_runs(),
            clock: Arc::clone(&queries.clock),
        };
        let verifier = Arc::new(Verifier::new(verifier_ports, settings.retention));
        let cursor_keys = Arc::new(CursorKeys::of_this_process());
        let stored_cursor_keys = Arc::new(StoredCursorKeys(database.clone()));
        if let Err(error) = cursor_keys.read(&*stored_cursor_keys).await {
            tracing::warn!(error = chain(&error), "the keys of cursors cannot be read yet");
        }
        let deny_list = Arc::clone(authenticator.deny_list());
        read_deny_list(&deny_list, &database, settings).await?;
        let state = web::Data::new(AppState {
            rules: Arc::clone(&settings.rules),
            queries: queries.clone(),
            lanes: lanes.clone(),
            catalog: Catalog::start(lanes.catalog_version(), &queries.stocks),
            access: Access {
                authenticator,
                limits: RateLimits::new(settings.rate_limit, settings.rate_limit_anonymous),
                proxies: settings.trusted_proxies.clone(),
                in_flight: InFlight::default(),
            },
            bulk_commands: Semaphore::new(BULK_COMMANDS_MAX),
            shop: settings.shop.clone(),
            cors: (!settings.cors_origins.is_empty()).then(|| Cors { origins: settings.cors_origins.clone() }),
            operations: Operations {
                verifier: Arc::clone(&verifier),
                health: Arc::new(Health(database.clone())),
                readiness: readiness.clone(),
                last_check: LastCheck::default(),
            },
            console: Console::new(&settings.console, demo),
            cursor_keys: Arc::clone(&cursor_keys),
            users: UserLabels::new(settings)?,
            success: http::success,
            options: options(settings),
        });

        let listener = listener::bind("BIND", settings.bind)?;
        let address = listener.local_addr()?;
        let (http, http_handle) = serve_api(state.clone(), listener, settings)?;
        let metrics_handle = serve_metrics(Some(state.clone()), settings)?;

        let shutdown = CancellationToken::new();
        let mut workers = JoinSet::new();
        let mut start = |worker: BoxFuture<'static, ()>| {
            let shutdown = shutdown.clone();
            workers.spawn(async move { shutdown.run_until_cancelled(worker).await.unwrap_or_default() });
        };
        start(Sweeper::new(Arc::clone(&queries.orders), lanes, settings.order_sweep_interval).run().boxed());
        start(cursor_keys.keep_current(stored_cursor_keys).boxed());
        start(deny_list.keep_current(Arc::clone(&queries.revocations)).boxed());
        start(Pruner::new(database.pruning(), settings.retention).run().boxed());
        start(search_indexer::run(Arc::new(StoredSearchIndex(database.clone()))).boxed());
        start(sample_backlog(database.event_queue()).boxed());
        start(count_statistics(database.statistics_count()).boxed());
        let pages = state.clone();
        start(async move { pages.console.discover_issuer().await }.boxed());
        start(upkeep(statistics, move || state.access.limits.drop_idle()).boxed());
        if platform.is_none() {
            tracing::warn!("DATA_PLATFORM_URL is not set: the events of paid orders wait in the outbox");
        }
        let relay = platform.map(|platform| RunningRelay::start(relay_to(platform, settings, &database)));
        Ok(Self {
            address,
            readiness,
            http,
            http_handle,
            metrics_handle,
            shutdown,
            workers,
            relay,
            lanes: drain,
            verifier,
            executor,
            queries,
            database,
        })
    }

    /// The bound address of the API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Creates the demo shop.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn seed(&self) -> anyhow::Result<()> {
        demo::seed(&self.executor, &self.queries).await?;
        Ok(())
    }

    /// Serves until `stopped` completes, then shuts down in order: stop accepting, finish requests, drain the lanes,
    /// record the deliveries in flight, close the database.
    ///
    /// # Errors
    /// A failure of the HTTP server or of a worker.
    pub async fn run_until(mut self, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
        let failed = tokio::select! {
            () = stopped => None,
            outcome = &mut self.http => Some(outcome),
        };
        self.readiness.drain();
        // Early, as its deliveries may take as long as the requests.
        if let Some(relay) = &self.relay {
            relay.shutdown.cancel();
        }
        self.http_handle.stop(true).await;
        self.shutdown.cancel();
        while let Some(outcome) = self.workers.join_next().await {
            outcome.context("a worker failed")?;
        }
        self.lanes.drain().await;
        // Not an error of the server: the leases of its events expire, and the database must still be closed.
        if let Some(relay) = self.relay
            && let Err(error) = relay.task.await
        {
            tracing::error!(%error, "the relay failed");
        }
        self.verifier.stop().await;
        if let Some(metrics) = self.metrics_handle {
            metrics.stop(true).await;
        }
        self.database.close().await;
        match failed {
            None => Ok(()),
            Some(outcome) => Err(anyhow!("the HTTP server stopped unexpectedly: {outcome:?}")),
        }
    }
}

/// Delivers events and serves only metrics, until `stopped` completes; then records the deliveries in flight.
///
/// # Errors
/// No `DATA_PLATFORM_URL`, an unavailable database, or an address that cannot be bound.
pub async fn relay(settings: &Settings, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
    let statistics = telemetry::statistics();
    let platform = data_platform(settings)?.context("DATA_PLATFORM_URL: not set")?;
    let database = open_started(settings).await?;
    auto_migrate(settings, &database).await?;
    let metrics_handle = serve_metrics(None, settings)?;
    let mut relay = RunningRelay::start(relay_to(platform, settings, &database));
    tracing::info!("delivering events");
    tokio::select! {
        () = stopped => {}
        outcome = &mut relay.task => bail!("the relay stopped unexpectedly: {outcome:?}"),
        () = sample_backlog(database.event_queue()) => {}
        () = upkeep(statistics, || {}) => {}
    }
    relay.shutdown.cancel();
    relay.task.await.context("the relay failed")?;
    if let Some(metrics) = metrics_handle {
        metrics.stop(true).await;
    }
    database.close().await;
    Ok(())
}

/// Applies the missing migrations and returns their names.
///
/// # Errors
/// An unavailable database or a failed migration.
pub async fn migrate(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let database = open_started(settings).await?;
    let applied = migrate_opened(settings, &database).await;
    database.close().await;
    applied
}

/// Creates the demo shop and returns the number of created products and campaigns.
///
/// # Errors
/// An unavailable database or an error of the store.
pub async fn seed(settings: &Settings) -> anyhow::Result<usize> {
    let shop = OfflineShop::open(settings).await?;
    let created = demo::seed(&shop.executor, &shop.queries).await;
    shop.close().await;
    Ok(created?)
}

/// A shop without a server, for commands that change it.
pub struct OfflineShop {
    pub executor: BatchExecutor,
    pub queries: Queries,
    database: Database,
}

impl OfflineShop {
    /// # Errors
    /// An unavailable database or a failed migration.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let database = open_started(settings).await?;
        auto_migrate(settings, &database).await?;
        Ok(Self { executor: executor(settings, &database), queries: database.queries(), database })
    }

    /// Leaves the lock of SQLite to a server after a transaction of this duration: its waiters look again and again, and
    /// find it free between two transactions only by chance.
    pub async fn leave_turn(&self, took: Duration) {
        if self.database.dialect() == Dialect::Sqlite {
            sleep(took).await;
        }
    }

    pub async fn close(self) {
        self.database.close().await;
    }
}

/// The books of an existing, migrated database. Neither waits for the database nor changes it.
///
/// # Errors
/// An unavailable database, or missing migrations.
pub async fn books(settings: &Settings) -> anyhow::Result<Arc<dyn BooksFactory>> {
    Ok(existing(settings).await?.books())
}

/// Records an operation in the audit log of an existing, migrated database. Does not wait for the database.
///
/// # Errors
/// An unavailable database, or missing migrations.
pub async fn record(settings: &Settings, operation: Operation) -> anyhow::Result<()> {
    execute(settings, RecordOperation { operation }).await.map(drop)
}

/// Runs a command of the operator on an existing, migrated database. Does not wait for the database.
///
/// # Errors
/// An unavailable database, or missing migrations.
pub async fn execute(settings: &Settings, command: impl Into<Command>) -> anyhow::Result<Reply> {
    let database = existing(settings).await?;
    let reply = operator::execute(&executor(settings, &database), command).await;
    database.close().await;
    reply
}

/// Writes the search index of every product, and calls `progress` with the number of products of each transaction.
///
/// # Errors
/// As [`books`], or an error of the store; the products before it are indexed.
pub async fn rebuild_search_index(settings: &Settings, mut progress: impl FnMut(u64)) -> anyhow::Result<()> {
    let database = existing(settings).await?;
    let mut last = None;
    loop {
        let indexed = retried(async || database.rebuild_search_index(last, search_indexer::PRODUCTS_MAX).await).await;
        let ids = indexed.map_err(|error| anyhow!("the search index was not rebuilt: {}", chain(&error)))?;
        progress(ids.len() as u64);
        last = ids.last().copied();
        if last.is_none() {
            break;
        }
    }
    database.close().await;
    Ok(())
}

/// The count of the statistics of an existing, migrated database.
///
/// # Errors
/// As [`books`].
pub async fn statistics_count(settings: &Settings) -> anyhow::Result<Arc<dyn StatisticsCount>> {
    Ok(existing(settings).await?.statistics_count())
}

/// An existing, migrated database.
async fn existing(settings: &Settings) -> anyhow::Result<Database> {
    // SQLite would create the file.
    if let Some(path) = settings.database.sqlite_path().filter(|path| !path.exists()) {
        bail!("DATABASE_URL: there is no database {}", path.display());
    }
    let database = open(settings).await?;
    match database.migrations_pending().await {
        Ok(false) => Ok(database),
        Ok(true) => bail!("the database lacks migrations: run `jangteo migrate` first"),
        Err(error) => bail!("{} cannot be used: {}", settings.database.display_name(), chain(&error)),
    }
}

/// Rejects a database with another shop than the demo, before anything is written to it.
///
/// # Errors
/// That shop, or an unavailable database.
pub async fn check_demo_database(settings: &Settings) -> anyhow::Result<()> {
    let database = open_started(settings).await?;
    let has_other_shop = database.has_shop_without(demo::FIRST_PRODUCT).await;
    database.close().await;
    let name = settings.database.display_name();
    match has_other_shop {
        Ok(false) => Ok(()),
        Ok(true) => bail!(
            "DATABASE_URL: {name} has a shop that is not the demo; set another one for `serve --dev`, such as \
             sqlite:demo.db, or serve this one without --dev"
        ),
        Err(error) => bail!("{name} cannot be used: {}", chain(&error)),
    }
}

async fn open(settings: &Settings) -> anyhow::Result<Database> {
    if settings.database.tls == Some(Tls::Encrypt) {
        tracing::warn!(
            "DATABASE_TLS=encrypt does not verify the server: a man in the middle reads and changes all data"
        );
    }
    Database::open(database_settings(settings)).await.context("DATABASE_URL")
}

/// Validates the settings of the database as `serve` does, and opens nothing.
///
/// # Errors
/// The first invalid setting.
pub fn check_database(settings: &Settings) -> anyhow::Result<()> {
    database_settings(settings).check().context("DATABASE_URL")
}

/// Checks the database for `jangteo doctor`.
///
/// # Errors
/// The first invalid setting.
pub async fn examine(settings: &Settings) -> anyhow::Result<Vec<Check>> {
    database_settings(settings).examine(SystemTime::now).await.context("DATABASE_URL")
}

/// The settings of the database, for its adapter.
pub fn database_settings(settings: &Settings) -> jangteo_sql::DatabaseSettings {
    let DatabaseSettings { url, read_url, tls, ca_file, read_lag_max, pool_max, search_pool_max } = &settings.database;
    jangteo_sql::DatabaseSettings {
        url: url.expose_secret().to_owned(),
        read_url: read_url.as_ref().map(|url| url.expose_secret().to_owned()),
        tls: *tls,
        ca_file: ca_file.clone(),
        read_lag_max: *read_lag_max,
        pool_max: *pool_max,
        search_pool_max: *search_pool_max,
        search_limits: SearchLimits::default(),
        write_connections: settings.lanes.write_lanes.get(),
    }
}

/// Opens the database and waits until it responds.
async fn open_started(settings: &Settings) -> anyhow::Result<Database> {
    let database = open(settings).await?;
    let started_at = Instant::now();
    loop {
        match database.ping().await {
            Ok(()) => return Ok(database),
            Err(StoreError::Unavailable(_)) if started_at.elapsed() < DATABASE_START_MAX => {
                sleep(DATABASE_START_POLL).await;
            }
            Err(error) => {
                let waited = started_at.elapsed().as_secs();
                let database = settings.database.display_name();
                return Err(anyhow!("{database} cannot be used after {waited} s: {}", chain(&error)));
            }
        }
    }
}

/// Migrates the database if `AUTO_MIGRATE` is set and migrations are missing. Otherwise nothing is written, so that a
/// start does not wait for a write lock.
async fn auto_migrate(settings: &Settings, database: &Database) -> anyhow::Result<()> {
    let is_pending = async || database.migrations_pending().await.map_err(|error| anyhow!(chain(&error)));
    let unreadable = || format!("the migrations of {} cannot be read", settings.database.display_name());
    if settings.auto_migrate && is_pending().await.with_context(unreadable)? {
        migrate_opened(settings, database).await?;
    }
    Ok(())
}

/// Reads the revoked tokens before the first request. Before the migration there are none, and the server is not ready.
async fn read_deny_list(deny_list: &DenyList, database: &Database, settings: &Settings) -> anyhow::Result<()> {
    let Err(error) = deny_list.read(&*database.queries().revocations).await else { return Ok(()) };
    if !settings.auto_migrate && database.migrations_pending().await.unwrap_or(false) {
        tracing::warn!(error = chain(&error), "the revoked tokens cannot be read before the migration");
        return Ok(());
    }
    bail!("the revoked tokens cannot be read from {}: {}", settings.database.display_name(), chain(&error))
}

async fn migrate_opened(settings: &Settings, database: &Database) -> anyhow::Result<Vec<String>> {
    let failed =
        |error: StoreError| anyhow!("the migration of {} failed: {}", settings.database.display_name(), chain(&error));
    let applied = database.migrate().await.map_err(failed)?;
    for name in &applied {
        tracing::info!(name, "migrated");
    }
    Ok(applied)
}

/// The client of the data platform, if a URL is set. Connects later.
fn data_platform(settings: &Settings) -> anyhow::Result<Option<HttpDataPlatform>> {
    let DataPlatformSettings { destination, secret, timeout, retry: _ } = &settings.data_platform;
    let Some(destination) = destination.clone() else { return Ok(None) };
    if secret.is_none() {
        tracing::warn!("DATA_PLATFORM_SECRET is not set: events are unsigned, and forged ones go unnoticed");
    }
    install_crypto();
    let gateway = GatewaySettings { destination, secret: secret.clone(), timeout: *timeout };
    Ok(Some(HttpDataPlatform::new(gateway).context("DATA_PLATFORM_URL")?))
}

fn relay_to(platform: HttpDataPlatform, settings: &Settings, database: &Database) -> Relay {
    let DataPlatformSettings { timeout, retry, .. } = &settings.data_platform;
    Relay::new(database.event_queue(), Arc::new(platform), Arc::new(UuidSource), *retry, *timeout)
}

fn executor(settings: &Settings, database: &Database) -> BatchExecutor {
    BatchExecutor {
        factory: database.unit_of_work_factory(),
        rules: Arc::clone(&settings.rules),
        ids: Arc::new(UuidSource),
        events: Arc::new(JsonEvents),
        backoff: Arc::new(JitteredBackoff),
    }
}

fn options(settings: &Settings) -> Options {
    Options {
        request_timeout: settings.request_timeout,
        require_idempotency_key: settings.require_idempotency_key,
        top_up_by: settings.top_up_by,
        serve_metrics: settings.metrics_bind.is_none(),
    }
}

fn serve_api(state: web::Data<AppState>, listener: TcpListener, settings: &Settings) -> anyhow::Result<RunningServer> {
    let workers = available_parallelism().map_or(1, NonZeroUsize::get);
    let DatabaseSettings { pool_max, search_pool_max, .. } = settings.database;
    let database_connections = pool_max.saturating_add(search_pool_max);
    let builder = ActixServer::build()
        .workers(workers)
        .max_concurrent_connections(connections_max(open_files_max(), workers, database_connections))
        // Accepted requests complete; one more second for the transmission of the response.
        .shutdown_timeout(settings.request_timeout.as_secs() + 1);
    let application = move || http::app(state.clone());
    listener::serve(builder, listener, connection_limits(settings), application)
}

fn serve_metrics(state: Option<web::Data<AppState>>, settings: &Settings) -> anyhow::Result<Option<ServerHandle>> {
    let Some(address) = settings.metrics_bind else { return Ok(None) };
    let builder = ActixServer::build().workers(1).max_concurrent_connections(METRICS_CONNECTIONS_MAX);
    let listener = listener::bind("METRICS_BIND", address)?;
    let application = move || http::metrics_app(state.clone());
    let (_, handle) = listener::serve(builder, listener, connection_limits(settings), application)?;
    Ok(Some(handle))
}

fn connection_limits(settings: &Settings) -> ConnectionLimits {
    ConnectionLimits {
        timeout: settings.request_head_timeout,
        keep_alive: settings.keep_alive,
        places: Places::new(settings.connections_per_address_max, settings.trusted_proxies.clone()),
    }
}

/// Removes old samples of histograms and runs `clean_up`, every 30 s.
async fn upkeep(statistics: PrometheusHandle, clean_up: impl Fn()) {
    let mut ticks = interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        statistics.run_upkeep();
        clean_up();
    }
}

struct StoredCursorKeys(Database);

#[async_trait]
impl CursorKeyStore for StoredCursorKeys {
    async fn cursor_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let stored =
            |key: jangteo_sql::CursorKey| StoredKey { secret: key.secret, age: key.age.try_into().unwrap_or_default() };
        Ok(self.0.cursor_keys().await?.into_iter().map(stored).collect())
    }
}

struct StoredSearchIndex(Database);

#[async_trait]
impl SearchIndex for StoredSearchIndex {
    async fn index(&self, limit: u32) -> Result<u32, StoreError> {
        self.0.index_search_texts(limit).await
    }
}

struct Health(Database);

#[async_trait]
impl DatabaseHealth for Health {
    async fn is_usable(&self) -> Result<bool, StoreError> {
        self.0.ping().await?;
        Ok(!self.0.migrations_pending().await?)
    }

    fn writer(&self) -> Option<WriterStatus> {
        self.0.writer_status().map(|status| WriterStatus { host: status.host, elections: status.elections })
    }

    fn pools(&self) -> Vec<PoolStatistics> {
        let statistics = self.0.pool_statistics();
        let named = |name, pool: jangteo_sql::PoolStatistics| PoolStatistics {
            name,
            connections: pool.connections,
            idle: pool.idle,
            connections_max: pool.connections_max,
        };
        let background = statistics.background.map(|pool| named("background", pool));
        let pools =
            [named("read", statistics.read), named("search", statistics.search), named("write", statistics.write)];
        pools.into_iter().chain(background).collect()
    }
}
