//! The load: a fixed number of callers, each of which sends a request, waits for the response and sends the next.
//!
//! The loop is closed, so a stalled server receives fewer requests while it stalls. The quantiles describe this number
//! of callers, not an unbounded crowd (coordinated omission); the report states it. All callers share one thread: the
//! processors belong to the server and the database.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jangteo_testkit::{memory_peak_mib, reset_memory_peak, token};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::{JoinSet, LocalSet};

use crate::client::{Client, Request, Response};
use crate::database::{Database, Meter};
use crate::measure::{CpuSeconds, Measurement, Outcome, Processes, Tally, Target};
use crate::progress::Progress;
use crate::server::Server;
use crate::shop::{CATEGORIES, Shop, category};

/// Maximum time for calls in flight at the end of the window.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause of a caller before it reconnects.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// Maximum period `days` of the popular list.
const POPULAR_DAYS_MAX: u64 = 30;
/// Longer than the server caches a popular list.
const POPULAR_CACHED: Duration = Duration::from_millis(1_100);

pub const SPREAD_PURCHASES: &str = "purchases, spread";
/// Purchases of a single product.
pub const HOT_PURCHASES: &str = "purchases, hot";
/// More users than coupons.
pub const COUPON_RUSH: &str = "coupon rush";
pub const POINT_TOP_UPS: &str = "point top-ups";
pub const PRODUCT_LIST: &str = "product list";
pub const PRODUCT_READ: &str = "product";

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Workload {
    /// A random user orders a random product and pays.
    SpreadPurchases,
    /// A random user orders the one hot product and pays.
    HotPurchases,
    /// Every user requests one coupon of the campaign, which has fewer coupons than there are users.
    CouponRush {
        campaign_id: String,
    },
    /// A random user tops up points.
    PointTopUps,
    /// The first page of the products of a random category.
    ProductList,
    ProductRead,
    UserOrders,
    UserEntries,
    /// The popular products of changing periods, for one caller. A pause before a period repeats ensures that no
    /// response is cached.
    PopularProducts,
    /// A constant response of `length` bytes.
    Constant {
        length: usize,
    },
}

impl Workload {
    pub fn name(&self) -> String {
        match self {
            Self::SpreadPurchases => SPREAD_PURCHASES.to_owned(),
            Self::HotPurchases => HOT_PURCHASES.to_owned(),
            Self::CouponRush { .. } => COUPON_RUSH.to_owned(),
            Self::PointTopUps => POINT_TOP_UPS.to_owned(),
            Self::ProductList => PRODUCT_LIST.to_owned(),
            Self::ProductRead => PRODUCT_READ.to_owned(),
            Self::UserOrders => "orders of a user".to_owned(),
            Self::UserEntries => "ledger of a user".to_owned(),
            Self::PopularProducts => "popular products".to_owned(),
            Self::Constant { length } => format!("constant of {length} bytes"),
        }
    }

    /// The rejection that is part of the workload.
    fn rejection(&self) -> Option<&'static str> {
        matches!(self, Self::CouponRush { .. }).then_some("COUPON_SOLD_OUT")
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub concurrency: usize,
    /// Duration of the calls before the window.
    pub warm_up: Duration,
    /// Duration of the window; a workload with a fixed number of calls may end earlier.
    pub window: Duration,
    pub seed: u64,
}

/// Tokens, paths and bodies of the calls, prepared before the run.
pub struct Dataset {
    tokens: Vec<String>,
    users: Vec<String>,
    products: Vec<String>,
    orders: Vec<String>,
    hot_order: String,
    categories: Vec<String>,
    runs: Cell<u64>,
}

impl Dataset {
    pub fn new(shop: &Shop) -> Self {
        let order = |product_id| format!(r#"{{"lines":[{{"product_id":"{product_id}","quantity":1}}]}}"#);
        Self {
            tokens: shop.users().iter().map(|user| token(user.as_str(), None)).collect(),
            users: shop.users().iter().map(|user| user.as_str().to_owned()).collect(),
            products: shop.products().iter().map(ToString::to_string).collect(),
            orders: shop.products().iter().map(order).collect(),
            hot_order: order(&shop.hot_product()),
            categories: (0..CATEGORIES.min(shop.products().len())).map(category).collect(),
            runs: Cell::new(0),
        }
    }
}

/// A server under load, its processes and the data of its calls.
#[derive(Clone)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    pub target: Target,
    pub processes: Processes,
    /// Counts the bytes that the database receives; `None` for SQLite and the constant server.
    pub meter: Option<Meter>,
    dataset: Rc<Dataset>,
}

impl Endpoint {
    pub fn new(server: &Server, target: Target, database: &Database, dataset: Rc<Dataset>) -> Self {
        let meter = database.meter().filter(|_| target != Target::Constant);
        let processes = Processes { server: server.pid(), database: database.pid() };
        Self { address: server.address().to_owned(), target, processes, meter, dataset }
    }
}

/// Runs the load and summarizes it.
pub async fn measure(endpoint: &Endpoint, workload: &Workload, plan: Plan, progress: &Progress) -> Result<Measurement> {
    reset_memory_peak(endpoint.processes.server)?;
    let driven = drive(endpoint, workload, plan, progress, endpoint.meter.as_ref());
    let outcome = LocalSet::new().run_until(driven).await?;
    let memory = memory_peak_mib(endpoint.processes.server)?;
    Ok(Measurement::new(workload.name(), endpoint.target, plan.concurrency, outcome, memory))
}

pub async fn run(endpoint: &Endpoint, workload: &Workload, plan: Plan, progress: &Progress) -> Result<Outcome> {
    LocalSet::new().run_until(drive(endpoint, workload, plan, progress, None)).await
}

async fn drive(
    endpoint: &Endpoint,
    workload: &Workload,
    plan: Plan,
    progress: &Progress,
    meter: Option<&Meter>,
) -> Result<Outcome> {
    let dataset = &endpoint.dataset;
    let opens_at = Instant::now() + plan.warm_up;
    let run = dataset.runs.replace(dataset.runs.get() + 1);
    let shared = Rc::new(Shared {
        dataset: Rc::clone(dataset),
        workload: workload.clone(),
        opens_at,
        closes_at: opens_at + plan.window,
        next_user: Cell::new(0),
        key_prefix: format!("bench-{}-{run}-", std::process::id()),
        keys: Cell::new(0),
        tally: RefCell::default(),
        last_at: Cell::new(opens_at),
    });
    let mut callers = JoinSet::new();
    for index in 0..plan.concurrency {
        let seed = plan.seed.wrapping_mul(1_000_003).wrapping_add(run << 16).wrapping_add(index as u64);
        let random = SmallRng::seed_from_u64(seed);
        let caller = Caller { shared: Rc::clone(&shared), client: Client::new(&endpoint.address), random };
        callers.spawn_local(caller.call_until_closed());
    }
    tokio::time::sleep_until(shared.opens_at.into()).await;
    progress.advance(plan.warm_up);
    let received_before = received(meter).await?;
    let before = CpuSeconds::so_far(endpoint.processes)?;
    // Wait for the end of the window, or for the last call of a workload with a fixed number of calls.
    tokio::select! {
        () = tokio::time::sleep_until(shared.closes_at.into()) => {}
        ended = all_ended(&mut callers) => ended?,
    }
    let cpu_seconds = CpuSeconds::so_far(endpoint.processes)?.since(before);
    let database_received_bytes = received(meter).await?.zip(received_before).map(|(after, before)| after - before);
    progress.advance(plan.window);
    tokio::time::timeout(DRAIN_TIMEOUT, all_ended(&mut callers)).await.context("calls got no response")??;
    let ended_at = if shared.is_exhausted() { shared.last_at.get() } else { shared.closes_at };
    let seconds = ended_at.duration_since(shared.opens_at).as_secs_f64();
    Ok(Outcome { tally: shared.tally.take(), seconds, cpu_seconds, database_received_bytes })
}

async fn received(meter: Option<&Meter>) -> Result<Option<u64>> {
    match meter {
        Some(meter) => meter.bytes_received().await.map(Some),
        None => Ok(None),
    }
}

async fn all_ended(callers: &mut JoinSet<()>) -> Result<()> {
    while let Some(ended) = callers.join_next().await {
        ended.context("a caller panicked")?;
    }
    Ok(())
}

/// State shared by the callers of one run.
struct Shared {
    dataset: Rc<Dataset>,
    workload: Workload,
    opens_at: Instant,
    closes_at: Instant,
    next_user: Cell<usize>,
    key_prefix: String,
    keys: Cell<u64>,
    tally: RefCell<Tally>,
    last_at: Cell<Instant>,
}

impl Shared {
    /// Whether every user has had a turn, in a workload with one turn for each user.
    fn is_exhausted(&self) -> bool {
        matches!(self.workload, Workload::CouponRush { .. }) && self.next_user.get() >= self.dataset.users.len()
    }

    fn next_key(&self, key: &mut String) {
        use std::fmt::Write;
        let number = self.keys.replace(self.keys.get() + 1);
        key.clear();
        write!(key, "{}{number}", self.key_prefix).expect("writing to a string does not fail");
    }

    /// Records a response, if it arrived within the window; returns whether the call succeeded.
    fn record(&self, step: &'static str, counts: bool, started_at: Instant, response: &Result<Response<'_>>) -> bool {
        let now = Instant::now();
        let result = match response {
            Ok(response) if response.status / 100 == 2 => CallResult::Done,
            Ok(response) => {
                let code = response.text_field("code").unwrap_or("no code");
                if Some(code) == self.workload.rejection() {
                    CallResult::Rejected(code.to_owned())
                } else {
                    CallResult::Failed(format!("{} {code}", response.status))
                }
            }
            Err(error) => CallResult::Failed(format!("no response: {error:#}")),
        };
        let is_done = matches!(result, CallResult::Done);
        if now < self.opens_at || now >= self.closes_at {
            return is_done;
        }
        self.last_at.set(now);
        let mut tally = self.tally.borrow_mut();
        match result {
            CallResult::Done => {}
            CallResult::Rejected(code) => *tally.rejections.entry(code).or_default() += 1,
            CallResult::Failed(label) => {
                *tally.errors.entry(label).or_default() += 1;
                return false;
            }
        }
        tally.done += u64::from(counts);
        tally.steps.entry(step).or_default().record(now - started_at);
        is_done
    }
}

enum CallResult {
    Done,
    Rejected(String),
    Failed(String),
}

struct Caller {
    shared: Rc<Shared>,
    client: Client,
    random: SmallRng,
}

impl Caller {
    async fn call_until_closed(mut self) {
        let mut key = String::new();
        while Instant::now() < self.shared.closes_at && !self.shared.is_exhausted() {
            self.turn(&mut key).await;
        }
    }

    async fn turn(&mut self, key: &mut String) {
        let shared = Rc::clone(&self.shared);
        let dataset = &*shared.dataset;
        let user = self.random.random_range(0..dataset.users.len());
        let product = self.random.random_range(0..dataset.products.len());
        match &shared.workload {
            Workload::SpreadPurchases => self.purchase(user, &dataset.orders[product], key).await,
            Workload::HotPurchases => self.purchase(user, &dataset.hot_order, key).await,
            Workload::CouponRush { campaign_id } => {
                let user = shared.next_user.replace(shared.next_user.get() + 1);
                let path = format!("/v1/coupon-campaigns/{campaign_id}/coupons");
                self.write("coupon", true, user, &path, "", key).await;
            }
            Workload::PointTopUps => {
                let path = format!("/v1/users/{}/points/top-ups", dataset.users[user]);
                self.write("top_up", true, user, &path, r#"{"amount":"1"}"#, key).await;
            }
            Workload::ProductList => {
                let category = &dataset.categories[product % dataset.categories.len()];
                self.read(user, &format!("/v1/products?category={category}&limit=20")).await;
            }
            Workload::ProductRead => self.read(user, &format!("/v1/products/{}", dataset.products[product])).await,
            Workload::UserOrders => self.read(user, &format!("/v1/users/{}/orders", dataset.users[user])).await,
            Workload::UserEntries => {
                self.read(user, &format!("/v1/users/{}/points/entries", dataset.users[user])).await;
            }
            Workload::PopularProducts => {
                let number = shared.keys.replace(shared.keys.get() + 1);
                let days = 1 + number % POPULAR_DAYS_MAX;
                if days == 1 {
                    tokio::time::sleep(POPULAR_CACHED).await;
                }
                self.read(user, &format!("/v1/products/popular?days={days}")).await;
            }
            Workload::Constant { length } => self.read(user, &format!("/constant/{length}")).await,
        }
    }

    async fn purchase(&mut self, user: usize, order: &str, key: &mut String) {
        let Some(order_id) = self.write("order", false, user, "/v1/orders", order, key).await else {
            return;
        };
        self.write("payment", true, user, &format!("/v1/orders/{order_id}/payment"), "{}", key).await;
    }

    /// Sends a write with a new key; returns the order's id, if the response has one.
    async fn write(
        &mut self,
        step: &'static str,
        counts: bool,
        user: usize,
        path: &str,
        body: &str,
        key: &mut String,
    ) -> Option<String> {
        let Self { shared, client, .. } = self;
        let Some(token) = shared.dataset.tokens.get(user) else {
            return None; // Other callers took the last users' turns.
        };
        shared.next_key(key);
        let request = Request { method: "POST", path, token: Some(token), key: Some(key), body, ..Request::default() };
        let started_at = Instant::now();
        let response = client.send(&request).await;
        let is_done = shared.record(step, counts, started_at, &response);
        let order_id = response.as_ref().ok().filter(|_| is_done).and_then(|response| response.text_field("order_id"));
        let order_id = order_id.map(str::to_owned);
        if response.is_err() {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
        order_id
    }

    async fn read(&mut self, user: usize, path: &str) {
        let Self { shared, client, .. } = self;
        let token = shared.dataset.tokens[user].as_str();
        let request = Request::get(path, Some(token));
        let started_at = Instant::now();
        let response = client.send(&request).await;
        shared.record("read", true, started_at, &response);
        if response.is_err() {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
}

/// Sends one request outside any measurement.
pub async fn call(address: &str, request: &Request<'_>) -> Result<(u16, Vec<u8>)> {
    let mut client = Client::new(address);
    let response = client.send(request).await?;
    Ok((response.status, response.body.to_vec()))
}

/// Creates a campaign that is open for a day, and returns its id.
pub async fn create_campaign(address: &str, quantity: usize) -> Result<String> {
    let rfc3339 = &time::format_description::well_known::Rfc3339;
    let now = time::OffsetDateTime::now_utc();
    let body = serde_json::json!({
        "name": "The first come",
        "discount": {"kind": "fixed", "amount": "10"},
        "quantity": quantity,
        "issue_opens_at": (now - time::Duration::hours(1)).format(rfc3339)?,
        "issue_closes_at": (now + time::Duration::days(1)).format(rfc3339)?,
        "valid_days": 30,
    })
    .to_string();
    let token = token("bench-admin", Some("admin"));
    let key = format!("campaign-{}", now.unix_timestamp_nanos());
    let path = "/v1/admin/coupon-campaigns";
    let request =
        Request { method: "POST", path, token: Some(&token), key: Some(&key), body: &body, ..Request::default() };
    let (status, response) = call(address, &request).await?;
    let response = Response { status, body: &response };
    ensure!(status == 201, "no campaign: {status} {}", String::from_utf8_lossy(response.body));
    Ok(response.text_field("campaign_id").context("a campaign has an id")?.to_owned())
}

pub async fn issued_coupons(address: &str, campaign_id: &str) -> Result<u64> {
    let path = format!("/v1/coupon-campaigns/{campaign_id}");
    let request = Request::get(&path, None);
    let (status, response) = call(address, &request).await?;
    ensure!(status == 200, "no campaign: {status}");
    let response: serde_json::Value = serde_json::from_slice(&response)?;
    response["issued"].as_u64().context("a campaign has a count of issued coupons")
}
