//! Where a fault is tried: a database, servers on it, a proxy between them, and callers who know nothing but answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use indicatif::ProgressBar;
use jangteo_tests::{
    Backend, Claims, MariaDb, Proxy, RawConnection, Server, ServerBuilder, Shop, eventually_within, shop_url,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::journal::{Expected, Journal, Observed, Operation, Write};
use crate::workload::{Clerk, Customer, Stock};

/// Customers at a time: few, so that they meet on the same rows, and enough to fill batches.
const CUSTOMERS: u32 = 10;
/// Tops up points without keys.
pub const KEYLESS: &str = "keyless";
/// People of the back office at a time.
const CLERKS: u32 = 2;
/// How far the callers must get under a fault that ends on its own, at the least.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// What is known of a top-up that cannot be repeated, as it has no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyless {
    /// It took effect, once.
    Happened,
    /// It took no effect.
    DidNot,
    /// It took effect once, or not at all.
    Unknown,
}

/// See the module.
pub struct Arena {
    /// The database, and the binary.
    pub shop: Shop,
    /// The server that the database is on, unless it is SQLite.
    pub mariadb: Arc<MariaDb>,
    /// Between the servers and their database, where that is MariaDB.
    proxy: Option<Proxy>,
    /// What callers know.
    pub journal: Journal,
    /// What there is to buy, as far as callers know.
    pub stock: Mutex<Stock>,
    /// Top-ups without a key, by their amounts, and what is known of them.
    keyless: Mutex<BTreeMap<i64, Keyless>>,
    /// Orders that a caller was told to have expired. No other may have.
    expired: Mutex<BTreeSet<String>>,
    /// The servers that callers may call now.
    servers: RwLock<Vec<Server>>,
    /// Every server that ever was, for its log.
    every_server: Mutex<Vec<Server>>,
    seed: u64,
    keys: AtomicU64,
    /// Of how many calls one is hung up; 0 for none.
    hang_ups_one_in: AtomicU64,
    hung_up: AtomicU64,
    progress: ProgressBar,
}

impl Arena {
    pub async fn new(shop: Shop, mariadb: Arc<MariaDb>, seed: u64, progress: ProgressBar) -> anyhow::Result<Self> {
        shop.expect_server_errors();
        let proxy = match shop.backend() {
            Backend::Mysql => Some(Proxy::start(mariadb.port(), seed).await?),
            Backend::Sqlite => None,
        };
        Ok(Self {
            shop,
            mariadb,
            proxy,
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
            progress,
        })
    }

    /// The proxy.
    ///
    /// # Panics
    /// On SQLite, which has no connections that could break.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("there is a proxy before MariaDB")
    }

    /// Random decisions of that part of the arena: the same for the same seed.
    pub fn random(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Says how far the fault has got.
    pub fn tried(&self, count: u64) {
        self.progress.set_position(count);
    }

    /// A server to be started, which reaches its database through the proxy.
    pub fn server(&self) -> ServerBuilder {
        // No order expires by itself, so that what becomes of it is what callers were told.
        let settings = [("ORDER_TTL", "6h"), ("RUST_LOG", "warn")];
        let builder = self.shop.server().settings(settings);
        match &self.proxy {
            Some(proxy) => {
                let name = self.shop.database().mysql_name();
                builder.setting("DATABASE_URL", shop_url(proxy.port(), name))
            }
            None => builder,
        }
    }

    /// Starts a server and lets callers call it.
    pub async fn open(&self, builder: ServerBuilder) -> Server {
        let server = builder.start().await;
        self.every_server.lock().expect("no panic while it is held").push(server.clone());
        self.servers.write().expect("no panic while it is held").push(server.clone());
        server
    }

    /// Lets nobody call that server any more: its port may be somebody else's soon.
    pub fn close(&self, server: &Server) {
        let address = server.address();
        self.servers.write().expect("no panic while it is held").retain(|server| server.address() != address);
    }

    /// The servers that can be called.
    pub fn servers(&self) -> Vec<Server> {
        self.servers.read().expect("no panic while it is held").clone()
    }

    /// Fills the shop: what is made is in the journal, as all that follows.
    pub async fn fill(&self) {
        Stock::fill(self).await;
    }

    /// Has everybody call all the time until `fault` is over.
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

    /// Waits until so many more writes have been answered: the shop is at work.
    pub async fn after_writes(&self, count: usize) {
        let before = self.journal.told();
        eventually_within(PROGRESS_MAX, "writes are answered", async || {
            (self.journal.told() >= before + count).then_some(())
        })
        .await;
    }

    /// Top-ups without a key, each of another amount, so that it can be told apart. Nothing but the server's own care
    /// keeps one that it tries again from taking effect twice: there is no key that would give it away.
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
                Ok(Observed::Expected { told, .. }) if told.is_success() => Keyless::Happened,
                Ok(Observed::Expected { .. } | Observed::NothingHappened | Observed::InProgress) => Keyless::DidNot,
                Ok(Observed::Nothing | Observed::Failed(_)) | Err(_) => Keyless::Unknown,
            };
            self.keyless.lock().expect("no panic while it is held").insert(amount, known);
        }
    }

    /// The top-ups without a key, by their amounts.
    pub fn keyless(&self) -> BTreeMap<i64, Keyless> {
        self.keyless.lock().expect("no panic while it is held").clone()
    }

    /// Notes that a caller was told that the order has expired.
    pub fn note_expired(&self, order_id: &str) {
        self.expired.lock().expect("no panic while it is held").insert(order_id.to_owned());
    }

    /// The orders that have expired, as callers were told.
    pub fn expired(&self) -> BTreeSet<String> {
        self.expired.lock().expect("no panic while it is held").clone()
    }

    /// Has one of so many calls hung up; 0 for none.
    pub fn hang_up_one_in(&self, calls: u64) {
        self.hang_ups_one_in.store(calls, Ordering::SeqCst);
    }

    /// How many calls were hung up.
    pub fn hung_up(&self) -> u64 {
        self.hung_up.load(Ordering::SeqCst)
    }

    /// A write with a key of its own. `user_id` is whose token it carries; `None` is the back office's.
    pub fn write(&self, deed: Operation, user_id: Option<&str>, path: String, body: Value) -> Write {
        let method = match deed {
            Operation::ChangeProduct | Operation::ChangeCampaign => Method::PATCH,
            _ => Method::POST,
        };
        let key = format!("{deed:?}-{}", self.keys.fetch_add(1, Ordering::SeqCst));
        Write { deed, user_id: user_id.map(str::to_owned), method, path, body, key }
    }

    /// Makes a write as a caller does who has no luck: sends it, at times twice at once, at times once more when nothing
    /// certain was heard. Answers what is known of it then.
    pub async fn make(&self, write: Write, random: &mut StdRng) -> Option<Expected> {
        let place = self.journal.open(write.clone());
        let Some(server) = self.pick(random) else {
            // Nobody is there; a caller comes back a little later.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return None;
        };
        if self.hangs_up(random) {
            self.hang_up(&server, &write, random).await;
            self.journal.hear(place, Observed::Nothing);
            return None;
        }
        if random.random_ratio(1, 10) {
            let other = self.pick(random).unwrap_or_else(|| server.clone());
            let (one, two) = tokio::join!(send(&server, &write), send(&other, &write));
            self.journal.hear(place, one);
            return self.journal.hear(place, two);
        }
        let told = self.journal.hear(place, send(&server, &write).await);
        if told.is_some() || random.random_ratio(1, 2) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(1..40))).await;
        let server = self.pick(random)?;
        self.journal.hear(place, send(&server, &write).await)
    }

    fn pick(&self, random: &mut StdRng) -> Option<Server> {
        let servers = self.servers();
        (!servers.is_empty()).then(|| servers[random.random_range(0..servers.len())].clone())
    }

    fn hangs_up(&self, random: &mut StdRng) -> bool {
        let one_in = self.hang_ups_one_in.load(Ordering::SeqCst);
        one_in > 0 && random.random_range(0..one_in) == 0
    }

    /// Calls and hangs up at a random moment: with a reset or politely, a few before the request is whole.
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

    /// Ends every fault and finds out what became of every write.
    pub async fn record(&self) {
        self.hang_up_one_in(0);
        if let Some(proxy) = &self.proxy {
            proxy.freeze(false);
        }
        let turn = AtomicU64::new(0);
        self.journal
            .record(async |write| {
                let servers = self.servers();
                // The remainder is less than a length, so it is a `usize`.
                let turn = turn.fetch_add(1, Ordering::SeqCst) % servers.len() as u64;
                send(&servers[turn as usize], &write).await
            })
            .await;
        eventually_within(PROGRESS_MAX, "no transaction is left open", async || {
            (self.shop.database().open_transactions().await == 0).then_some(())
        })
        .await;
    }

    /// What servers said that they must never say.
    pub fn panics(&self) -> Vec<String> {
        let servers = self.every_server.lock().expect("no panic while it is held");
        let logs = servers.iter().map(Server::log).collect::<String>();
        logs.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }

    /// How many transactions the servers of now ran again, by cause.
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

/// A token that is good on every server, also on one whose clock is off by an hour.
pub fn token(user_id: Option<&str>) -> String {
    let claims = Claims::of(user_id.unwrap_or("back-office")).with_time("iat", -4 * 3_600);
    let claims = claims.with_time("exp", 6 * 3_600);
    if user_id.is_none() { claims.with("scope", "admin") } else { claims }.sign()
}

/// Sends a write once.
pub async fn send(server: &Server, write: &Write) -> Observed {
    let call = server.bearer(token(write.user_id.as_deref())).call(write.method.clone(), &write.path);
    match call.json(&write.body).key(&write.key).try_send().await {
        Ok(answer) => Observed::of(answer),
        // It was never sent.
        Err(error) if error.is_connect() => Observed::NothingHappened,
        Err(_) => Observed::Nothing,
    }
}

/// A write as it goes over a connection, with that token.
pub fn raw(write: &Write, token: &str) -> String {
    let Write { method, path, key, body, .. } = write;
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The body of a write that says nothing.
pub fn nothing() -> Value {
    json!({})
}
