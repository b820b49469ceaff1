//! The test environment of a fault: a database, servers, a proxy between them, and callers that see only responses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use indicatif::ProgressBar;
use jangteo_testkit::{
    Claims, Cluster, MariaDb, Node, Proxy, RawConnection, Server, ServerBuilder, Shop, eventually_within, shop_url,
    shop_url_of,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::journal::{DefiniteResponse, Journal, Observed, Operation, Write};
use crate::silence::{Silences, longest};
use crate::workload::{Clerk, Customer, Stock};

/// Concurrent customers: few enough to contend for the same rows, and enough to fill batches.
const CUSTOMERS: u32 = 10;
/// User of the top-ups without an idempotency key.
pub const KEYLESS: &str = "keyless";
/// Concurrent back office users.
const CLERKS: u32 = 2;
/// Maximum time for the callers to make progress under a temporary fault.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// Known outcome of a top-up without an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyless {
    Applied,
    NotApplied,
    /// Applied at most once.
    Unknown,
}

/// The database of a shop.
pub enum Host {
    Sqlite,
    MariaDb(Arc<MariaDb>),
    Cluster(Box<Cluster>),
}

pub struct Arena {
    pub shop: Shop,
    host: Host,
    /// Between the servers and MariaDB, or each node of a cluster.
    proxies: Vec<Proxy>,
    pub journal: Journal,
    /// Products, campaigns and orders known to the callers.
    pub stock: Mutex<Stock>,
    /// Top-ups without a key, by amount.
    keyless: Mutex<BTreeMap<i64, Keyless>>,
    /// Orders reported as expired to a caller. No other order may expire.
    expired: Mutex<BTreeSet<String>>,
    /// Servers that accept calls.
    servers: RwLock<Vec<Server>>,
    /// All servers since the start, for their logs.
    every_server: Mutex<Vec<Server>>,
    seed: u64,
    keys: AtomicU64,
    /// A client hangs up on one in this many calls; 0 disables it.
    hang_ups_one_in: AtomicU64,
    hung_up: AtomicU64,
    silences: Mutex<Silences>,
    progress: ProgressBar,
}

impl Arena {
    pub async fn new(shop: Shop, host: Host, seed: u64, progress: ProgressBar) -> anyhow::Result<Self> {
        shop.expect_server_errors();
        let proxies = match &host {
            Host::Sqlite => Vec::new(),
            Host::MariaDb(mariadb) => vec![Proxy::start(mariadb.port(), seed).await?],
            Host::Cluster(cluster) => {
                let start = async |node: &Node| Proxy::start_to(node.host().parse()?, seed).await;
                try_join_all(cluster.nodes().iter().map(start)).await?
            }
        };
        Ok(Self {
            shop,
            host,
            proxies,
            journal: Journal::default(),
            stock: Mutex::default(),
            keyless: Mutex::default(),
            expired: Mutex::default(),
            servers: RwLock::default(),
            every_server: Mutex::default(),
            seed,
            keys: AtomicU64::new(0),
            hang_ups_one_in: AtomicU64::new(0),
            hung_up: AtomicU64::new(0),
            silences: Mutex::default(),
            progress,
        })
    }

    /// The proxy of a single MariaDB.
    ///
    /// # Panics
    /// On SQLite.
    pub fn proxy(&self) -> &Proxy {
        &self.proxies[0]
    }

    /// The proxies of a cluster's nodes, in order.
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// # Panics
    /// On another database than a single MariaDB.
    pub fn mariadb(&self) -> &MariaDb {
        let Host::MariaDb(mariadb) = &self.host else { panic!("not a fault of MariaDB") };
        mariadb
    }

    /// # Panics
    /// On another database than a cluster.
    pub fn cluster(&self) -> &Cluster {
        let Host::Cluster(cluster) = &self.host else { panic!("not a fault of clusters") };
        cluster
    }

    /// Random numbers for a part of the test, deterministic by seed.
    pub fn random(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Shows the number of fault injections.
    pub fn advance(&self, count: u64) {
        self.progress.set_position(count);
    }

    /// A builder for a server that connects to its database through the proxy, or to all nodes of the cluster.
    pub fn server(&self) -> ServerBuilder {
        // Orders must not expire on their own, so that their state follows from the responses. On a busy machine a
        // client opens connections that wait for their requests.
        let settings = [("ORDER_TTL", "6h"), ("REQUEST_HEAD_TIMEOUT", "30s"), ("RUST_LOG", "warn")];
        let builder = self.shop.server().settings(settings);
        let name = || self.shop.database().mysql_name();
        match &self.host {
            Host::Sqlite => builder,
            Host::MariaDb(_) => builder.setting("DATABASE_URL", shop_url(self.proxy().port(), name())),
            Host::Cluster(cluster) => builder.setting("DATABASE_URL", cluster.shop_url(0, name())),
        }
    }

    /// A builder for a server that connects to all nodes of the cluster through their proxies.
    pub fn server_through_proxies(&self) -> ServerBuilder {
        let hosts: Vec<String> = self.proxies.iter().map(Proxy::host).collect();
        let name = self.shop.database().mysql_name();
        self.server().setting("DATABASE_URL", shop_url_of(&hosts.join(","), name))
    }

    /// The index of the node that the first server writes to.
    pub async fn writer(&self) -> usize {
        let writer = self.servers()[0].database_writer().await.expect("the metrics name the writer");
        let mut hosts = self.cluster().nodes().iter().zip(&self.proxies);
        let index = hosts.position(|(node, proxy)| node.host() == writer || proxy.host() == writer);
        index.unwrap_or_else(|| panic!("{writer} is a node"))
    }

    /// Starts a server and opens it for calls.
    pub async fn open(&self, builder: ServerBuilder) -> Server {
        let server = builder.start().await;
        self.every_server.lock().expect("no panic while it is held").push(server.clone());
        self.servers.write().expect("no panic while it is held").push(server.clone());
        server
    }

    /// Excludes the server from further calls, because its port may be reused.
    pub fn close(&self, server: &Server) {
        let address = server.address();
        self.servers.write().expect("no panic while it is held").retain(|server| server.address() != address);
    }

    pub fn servers(&self) -> Vec<Server> {
        self.servers.read().expect("no panic while it is held").clone()
    }

    /// Creates products and a campaign, recorded in the journal.
    pub async fn fill(&self) {
        Stock::fill(self).await;
    }

    /// Runs all callers until `fault` has finished.
    pub async fn under_load<T>(&self, fault: impl Future<Output = T>) -> T {
        let stop = watch::Sender::new(false);
        let customers = (0..CUSTOMERS).map(|number| Customer::new(self, number).work(stop.subscribe()));
        let clerks = (0..CLERKS).map(|number| Clerk::new(self, number).work(stop.subscribe()));
        let faulting = async {
            let outcome = fault.await;
            stop.send_replace(true);
            outcome
        };
        let keyless = self.top_up_without_keys(stop.subscribe());
        tokio::join!(faulting, join_all(customers), join_all(clerks), keyless).0
    }

    /// Waits for the completion of `count` more writes.
    pub async fn after_writes(&self, count: usize) {
        let before = self.journal.completed();
        eventually_within(PROGRESS_MAX, "writes complete", async || {
            (self.journal.completed() >= before + count).then_some(())
        })
        .await;
    }

    /// Sends top-ups without a key, each with a unique amount. Only the server's own retry logic prevents a duplicate
    /// effect.
    async fn top_up_without_keys(&self, stop: watch::Receiver<bool>) {
        let mut random = self.random(3_000);
        let path = format!("/v1/users/{KEYLESS}/points/top-ups");
        while !*stop.borrow() {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
            let amount = {
                let mut keyless = self.keyless.lock().expect("no panic while it is held");
                let amount = 1 + keyless.len() as i64;
                keyless.insert(amount, Keyless::Unknown);
                amount
            };
            let Some(server) = self.pick(&mut random) else { continue };
            let call = server.bearer(token(Some(KEYLESS))).post(&path, json!({ "amount": amount.to_string() }));
            let known = match call.try_send().await.map(Observed::of) {
                Ok(Observed::Definite { response, .. }) if response.is_success() => Keyless::Applied,
                Ok(Observed::Definite { .. } | Observed::NoEffect | Observed::InProgress) => Keyless::NotApplied,
                Ok(Observed::Unknown | Observed::Failed(_)) | Err(_) => Keyless::Unknown,
            };
            self.keyless.lock().expect("no panic while it is held").insert(amount, known);
        }
    }

    /// Top-ups without a key, by amount.
    pub fn keyless(&self) -> BTreeMap<i64, Keyless> {
        self.keyless.lock().expect("no panic while it is held").clone()
    }

    /// Records that a caller observed the order as expired.
    pub fn record_expired(&self, order_id: &str) {
        self.expired.lock().expect("no panic while it is held").insert(order_id.to_owned());
    }

    pub fn expired(&self) -> BTreeSet<String> {
        self.expired.lock().expect("no panic while it is held").clone()
    }

    /// Hangs up on one in `calls` calls; 0 disables it.
    pub fn hang_up_one_in(&self, calls: u64) {
        self.hang_ups_one_in.store(calls, Ordering::SeqCst);
    }

    pub fn hung_up(&self) -> u64 {
        self.hung_up.load(Ordering::SeqCst)
    }

    /// A write with a new key and the token of `user_id`, or of the back office for `None`.
    pub fn write(&self, operation: Operation, user_id: Option<&str>, path: String, body: Value) -> Write {
        let method = match operation {
            Operation::ChangeProduct | Operation::ChangeCampaign => Method::PATCH,
            _ => Method::POST,
        };
        let key = format!("{operation:?}-{}", self.keys.fetch_add(1, Ordering::SeqCst));
        Write { operation, user_id: user_id.map(str::to_owned), method, path, body, key }
    }

    /// Performs a write with client retries: some requests are sent twice concurrently, some again after an unknown
    /// outcome. Returns the definite response, if there is one.
    pub async fn make(&self, write: Write, random: &mut StdRng) -> Option<DefiniteResponse> {
        let index = self.journal.open(write.clone());
        let Some(server) = self.pick(random) else {
            // No server is up; the caller tries again later.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return None;
        };
        if self.hangs_up(random) {
            self.hang_up(&server, &write, random).await;
            self.journal.observe(index, Observed::Unknown);
            return None;
        }
        if random.random_ratio(1, 10) {
            let other = self.pick(random).unwrap_or_else(|| server.clone());
            let (one, two) = tokio::join!(send(&server, &write), send(&other, &write));
            self.journal.observe(index, one);
            return self.journal.observe(index, two);
        }
        let response = self.journal.observe(index, send(&server, &write).await);
        if response.is_some() || random.random_ratio(1, 2) {
            return response;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(1..40))).await;
        let server = self.pick(random)?;
        self.journal.observe(index, send(&server, &write).await)
    }

    fn pick(&self, random: &mut StdRng) -> Option<Server> {
        let servers = self.servers();
        (!servers.is_empty()).then(|| servers[random.random_range(0..servers.len())].clone())
    }

    fn hangs_up(&self, random: &mut StdRng) -> bool {
        let one_in = self.hang_ups_one_in.load(Ordering::SeqCst);
        one_in > 0 && random.random_range(0..one_in) == 0
    }

    /// Sends a request and closes the connection at a random moment, gracefully or with a reset. Some requests are
    /// partial.
    async fn hang_up(&self, server: &Server, write: &Write, random: &mut StdRng) {
        let request = raw(write, &token(write.user_id.as_deref()));
        let sent = if random.random_ratio(1, 10) { request.len() / 2 } else { request.len() };
        let mut connection = RawConnection::open(server).await;
        connection.send(&request.as_bytes()[..sent]).await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..20_000))).await;
        if random.random_ratio(1, 2) {
            connection.reset();
        } else {
            connection.finish().await;
        }
        self.hung_up.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends all faults and resolves the outcome of every write.
    pub async fn resolve(&self) {
        self.hang_up_one_in(0);
        for proxy in &self.proxies {
            proxy.freeze(false);
        }
        let turn = AtomicU64::new(0);
        self.journal
            .resolve(async |write| {
                let servers = self.servers();
                // The remainder is less than a length, so it is a `usize`.
                let turn = turn.fetch_add(1, Ordering::SeqCst) % servers.len() as u64;
                send(&servers[turn as usize], &write).await
            })
            .await;
        eventually_within(PROGRESS_MAX, "all transactions end", async || {
            (self.shop.database().open_transactions().await == 0).then_some(())
        })
        .await;
        if let Host::Cluster(cluster) = &self.host {
            cluster.synchronize().await.expect("all nodes respond");
        }
    }

    /// Records the silence of the callers and of a plain connection, which committed at these times, in each window.
    pub fn record_silences(&self, windows: &[(Instant, Instant)], bare: &[Instant]) {
        let responses = self.journal.response_times();
        let within = |events: &[Instant]| windows.iter().map(|window| longest(events, *window)).collect();
        *self.silences.lock().expect("no panic while it is held") =
            Silences { callers: within(&responses), bare: within(bare) };
    }

    pub fn silences(&self) -> Silences {
        self.silences.lock().expect("no panic while it is held").clone()
    }

    /// Log lines of panics.
    pub fn panics(&self) -> Vec<String> {
        self.log().lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }

    /// The logs of all servers.
    pub fn log(&self) -> String {
        self.every_server.lock().expect("no panic while it is held").iter().map(Server::log).collect()
    }

    /// Transaction retries of the current servers, by cause.
    pub async fn retries(&self) -> BTreeMap<String, u64> {
        let mut retries = BTreeMap::new();
        for server in self.servers() {
            let text = server.anonymous().get("/metrics").await.expect(200).body;
            let text = String::from_utf8(text).expect("UTF-8");
            let series =
                text.lines().filter_map(|line| line.strip_prefix("jangteo_transaction_retries_total{cause=\""));
            for (cause, count) in series.filter_map(|line| line.split_once("\"} ")) {
                *retries.entry(cause.to_owned()).or_default() += count.parse::<u64>().expect("a count");
            }
        }
        retries
    }
}

/// A token that is valid on every server, including those with a clock one hour off.
pub fn token(user_id: Option<&str>) -> String {
    let claims = Claims::of(user_id.unwrap_or("back-office")).with_time("iat", -4 * 3_600);
    let claims = claims.with_time("exp", 6 * 3_600);
    if user_id.is_none() { claims.with("scope", "admin") } else { claims }.sign()
}

/// Sends a write once.
pub async fn send(server: &Server, write: &Write) -> Observed {
    let call = server.bearer(token(write.user_id.as_deref())).call(write.method.clone(), &write.path);
    match call.json(&write.body).key(&write.key).try_send().await {
        Ok(response) => Observed::of(response),
        // The request was never sent.
        Err(error) if error.is_connect() => Observed::NoEffect,
        Err(_) => Observed::Unknown,
    }
}

/// The write as raw HTTP/1.1.
pub fn raw(write: &Write, token: &str) -> String {
    let Write { method, path, key, body, .. } = write;
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn empty_body() -> Value {
    json!({})
}
