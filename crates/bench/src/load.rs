//! The load: a fixed number of callers, each of which asks, waits for the answer and asks again.
//!
//! The loop is closed, so a stalled server is asked less often while it stalls, and the quantiles tell what callers of
//! that number see, not what an unbounded crowd would (coordinated omission); the report says so. All callers share
//! one thread: the processors belong to the server and the database.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::{JoinSet, LocalSet};

use crate::client::{Answer, Client, Request};
use crate::database::{Database, Meter};
use crate::measure::{CpuSeconds, Measurement, Tally, Target, Watched};
use crate::process;
use crate::progress::Progress;
use crate::server::Server;
use crate::shop::{CATEGORIES, Shop, category};
use crate::token;

/// How long calls that were under way when the window closed may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a caller waits before it connects again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// The longest that a period `days` of the popular list may be.
const POPULAR_DAYS_MAX: u64 = 30;
/// After this the server has let go of a popular list.
const POPULAR_KEPT: Duration = Duration::from_millis(1_100);

/// Purchases of a product at random.
pub const SPREAD_PURCHASES: &str = "purchases, spread";
/// Purchases of the one product that everybody wants.
pub const HOT_PURCHASES: &str = "purchases, hot";
/// More users than coupons.
pub const COUPON_RUSH: &str = "coupon rush";
/// Top-ups of a user at random.
pub const POINT_TOP_UPS: &str = "point top-ups";
/// A page of products.
pub const PRODUCT_LIST: &str = "product list";
/// One product.
pub const PRODUCT_READ: &str = "product";

/// What the callers do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Workload {
    /// A user at random orders a product at random and pays.
    SpreadPurchases,
    /// A user at random orders the one product that everybody wants, and pays.
    HotPurchases,
    /// Every user asks once for a coupon of the campaign; it has fewer than there are users.
    CouponRush {
        /// The campaign.
        campaign_id: String,
    },
    /// A user at random tops up points.
    PointTopUps,
    /// The first page of the products of a category at random.
    ProductList,
    /// One product at random.
    ProductRead,
    /// The orders of a user at random.
    UserOrders,
    /// The ledger of a user at random.
    UserEntries,
    /// The popular products of one period after the other, for one caller, with a pause before the first comes again, so
    /// that no answer is one that was kept.
    PopularProducts,
    /// The constant answer of so many bytes.
    Constant {
        /// The bytes.
        length: usize,
    },
}

impl Workload {
    /// Its name in the report.
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

    /// The rejection that belongs to it.
    fn rejection(&self) -> Option<&'static str> {
        match self {
            Self::CouponRush { .. } => Some("COUPON_SOLD_OUT"),
            Self::SpreadPurchases
            | Self::HotPurchases
            | Self::PointTopUps
            | Self::ProductList
            | Self::ProductRead
            | Self::UserOrders
            | Self::UserEntries
            | Self::PopularProducts
            | Self::Constant { .. } => None,
        }
    }
}

/// How many callers, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Callers.
    pub concurrency: usize,
    /// How long they call before anything counts.
    pub warm_up: Duration,
    /// How long it counts; a workload that ends by itself may end earlier.
    pub window: Duration,
    /// Where randomness starts.
    pub seed: u64,
}

/// Who can call and what for: everything that can be prepared is.
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
    /// The callers and the goods of the shop.
    pub fn new(shop: &Shop) -> Result<Self> {
        let order = |product_id| format!(r#"{{"lines":[{{"product_id":"{product_id}","quantity":1}}]}}"#);
        Ok(Self {
            tokens: shop.users().iter().map(|user| token::of_user(user.as_str())).collect::<Result<_>>()?,
            users: shop.users().iter().map(|user| user.as_str().to_owned()).collect(),
            products: shop.products().iter().map(ToString::to_string).collect(),
            orders: shop.products().iter().map(order).collect(),
            hot_order: order(&shop.hot_product()),
            categories: (0..CATEGORIES.min(shop.products().len())).map(category).collect(),
            runs: Cell::new(0),
        })
    }
}

/// A server, and who watches it.
#[derive(Clone)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// What it is.
    pub target: Target,
    /// Whose processor time counts.
    pub watched: Watched,
    /// What its database receives, where that can be counted.
    pub meter: Option<Meter>,
}

impl Endpoint {
    /// That server, on that database; a constant has none.
    pub fn new(server: &Server, target: Target, database: &Database) -> Self {
        let meter = database.meter().filter(|_| target != Target::Constant);
        let watched = Watched { server: server.pid(), database: database.pid() };
        Self { address: server.address().to_owned(), target, watched, meter }
    }
}

/// What a run of the load found.
pub struct Outcome {
    /// What the callers found.
    pub tally: Tally,
    /// How long it counted.
    pub seconds: f64,
    /// Processor time of the window.
    pub cpu_seconds: CpuSeconds,
    /// Bytes that the database received within the window, where they were counted.
    pub database_received_bytes: Option<u64>,
}

/// Runs the load and reports it.
pub async fn measure(
    site: &Endpoint,
    directory: &Rc<Dataset>,
    workload: &Workload,
    plan: Plan,
    progress: &Progress,
) -> Result<Measurement> {
    process::reset_memory_peak(site.watched.server)?;
    let outcome = observe(site, directory, workload, plan, progress, site.meter.as_ref()).await?;
    let memory = process::memory_peak_mib(site.watched.server)?;
    let Outcome { tally, seconds, cpu_seconds, database_received_bytes } = outcome;
    let name = workload.name();
    let measurement = Measurement::new(&name, site.target, plan.concurrency, seconds, &tally, cpu_seconds, memory);
    Ok(Measurement { database_received_bytes, ..measurement })
}

/// Runs the load.
pub async fn run(
    site: &Endpoint,
    directory: &Rc<Dataset>,
    workload: &Workload,
    plan: Plan,
    progress: &Progress,
) -> Result<Outcome> {
    observe(site, directory, workload, plan, progress, None).await
}

async fn observe(
    site: &Endpoint,
    directory: &Rc<Dataset>,
    workload: &Workload,
    plan: Plan,
    progress: &Progress,
    meter: Option<&Meter>,
) -> Result<Outcome> {
    let opens_at = Instant::now() + plan.warm_up;
    let run_number = directory.runs.replace(directory.runs.get() + 1);
    let shared = Rc::new(Shared {
        directory: Rc::clone(directory),
        workload: workload.clone(),
        opens_at,
        closes_at: opens_at + plan.window,
        next_user: Cell::new(0),
        key_prefix: format!("bench-{}-{run_number}-", std::process::id()),
        keys: Cell::new(0),
        tally: RefCell::default(),
        last_at: Cell::new(opens_at),
    });
    LocalSet::new().run_until(drive(site, shared, plan, run_number, progress, meter)).await
}

async fn drive(
    site: &Endpoint,
    shared: Rc<Shared>,
    plan: Plan,
    run: u64,
    progress: &Progress,
    meter: Option<&Meter>,
) -> Result<Outcome> {
    let mut callers = JoinSet::new();
    for index in 0..plan.concurrency {
        let seed = plan.seed.wrapping_mul(1_000_003).wrapping_add(run << 16).wrapping_add(index as u64);
        let random = SmallRng::seed_from_u64(seed);
        let caller = Caller { shared: Rc::clone(&shared), client: Client::new(&site.address), random };
        callers.spawn_local(caller.call_until_closed());
    }
    tokio::time::sleep_until(shared.opens_at.into()).await;
    progress.advance(plan.warm_up);
    let received_before = received(meter).await?;
    let before = CpuSeconds::so_far(site.watched)?;
    // Either the window closes, or the work ends by itself.
    tokio::select! {
        () = tokio::time::sleep_until(shared.closes_at.into()) => {}
        ended = all_ended(&mut callers) => ended?,
    }
    let cpu_seconds = CpuSeconds::so_far(site.watched)?.since(before);
    let database_received_bytes = received(meter).await?.zip(received_before).map(|(after, before)| after - before);
    progress.advance(plan.window);
    tokio::time::timeout(PATIENCE, all_ended(&mut callers)).await.context("calls were not answered")??;
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

/// What the callers of one run share.
struct Shared {
    directory: Rc<Dataset>,
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
    /// Whether every user had a turn, where each has one.
    fn is_exhausted(&self) -> bool {
        matches!(self.workload, Workload::CouponRush { .. }) && self.next_user.get() >= self.directory.users.len()
    }

    fn next_key(&self, key: &mut String) {
        use std::fmt::Write;
        let number = self.keys.replace(self.keys.get() + 1);
        key.clear();
        write!(key, "{}{number}", self.key_prefix).expect("writing to a string does not fail");
    }

    /// Counts an answer that came within the window.
    fn judge(&self, step: &'static str, counts: bool, begun_at: Instant, answer: &Result<Answer<'_>>) -> bool {
        let now = Instant::now();
        let verdict = match answer {
            Ok(answer) if answer.status / 100 == 2 => Verdict::Done,
            Ok(answer) => {
                let code = answer.text_field("code").unwrap_or("no code");
                if Some(code) == self.workload.rejection() {
                    Verdict::Rejected(code.to_owned())
                } else {
                    Verdict::Failed(format!("{} {code}", answer.status))
                }
            }
            Err(error) => Verdict::Failed(format!("no answer: {error:#}")),
        };
        let is_done = matches!(verdict, Verdict::Done);
        if now < self.opens_at || now >= self.closes_at {
            return is_done;
        }
        self.last_at.set(now);
        let mut tally = self.tally.borrow_mut();
        match verdict {
            Verdict::Done => {}
            Verdict::Rejected(code) => *tally.rejections.entry(code).or_default() += 1,
            Verdict::Failed(label) => {
                *tally.errors.entry(label).or_default() += 1;
                return false;
            }
        }
        tally.done += u64::from(counts);
        tally.steps.entry(step).or_default().record(now - begun_at);
        is_done
    }
}

enum Verdict {
    Done,
    Rejected(String),
    Failed(String),
}

/// One of the callers.
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
        let directory = &*shared.directory;
        let user = self.random.random_range(0..directory.users.len());
        let product = self.random.random_range(0..directory.products.len());
        match &shared.workload {
            Workload::SpreadPurchases => self.purchase(user, &directory.orders[product], key).await,
            Workload::HotPurchases => self.purchase(user, &directory.hot_order, key).await,
            Workload::CouponRush { campaign_id } => {
                let user = shared.next_user.replace(shared.next_user.get() + 1);
                let path = format!("/v1/coupon-campaigns/{campaign_id}/coupons");
                self.write("coupon", true, user, &path, "", key).await;
            }
            Workload::PointTopUps => {
                let path = format!("/v1/users/{}/points/top-ups", directory.users[user]);
                self.write("top_up", true, user, &path, r#"{"amount":"1"}"#, key).await;
            }
            Workload::ProductList => {
                let category = &directory.categories[product % directory.categories.len()];
                self.read(user, &format!("/v1/products?category={category}&limit=20")).await;
            }
            Workload::ProductRead => self.read(user, &format!("/v1/products/{}", directory.products[product])).await,
            Workload::UserOrders => self.read(user, &format!("/v1/users/{}/orders", directory.users[user])).await,
            Workload::UserEntries => {
                self.read(user, &format!("/v1/users/{}/points/entries", directory.users[user])).await;
            }
            Workload::PopularProducts => {
                let number = shared.keys.replace(shared.keys.get() + 1);
                let days = 1 + number % POPULAR_DAYS_MAX;
                if days == 1 {
                    tokio::time::sleep(POPULAR_KEPT).await;
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

    /// A write with a key of its own; gives the order's id, where the answer has one.
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
        let Some(token) = shared.directory.tokens.get(user) else {
            return None; // All users had their turn while this caller was asking.
        };
        shared.next_key(key);
        let request = Request { method: "POST", path, token: Some(token), key: Some(key), body };
        let begun_at = Instant::now();
        let answer = client.send(&request).await;
        let is_done = shared.judge(step, counts, begun_at, &answer);
        let order_id = answer.as_ref().ok().filter(|_| is_done).and_then(|answer| answer.text_field("order_id"));
        let order_id = order_id.map(str::to_owned);
        if answer.is_err() {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
        order_id
    }

    async fn read(&mut self, user: usize, path: &str) {
        let Self { shared, client, .. } = self;
        let token = shared.directory.tokens[user].as_str();
        let request = Request { method: "GET", path, token: Some(token), key: None, body: "" };
        let begun_at = Instant::now();
        let answer = client.send(&request).await;
        shared.judge("read", true, begun_at, &answer);
        if answer.is_err() {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
}

/// One call outside any measurement.
pub async fn call(address: &str, request: &Request<'_>) -> Result<(u16, Vec<u8>)> {
    let mut client = Client::new(address);
    let answer = client.send(request).await?;
    Ok((answer.status, answer.body.to_vec()))
}

/// Makes a campaign of so many coupons that is open all day, and returns its id.
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
    let token = token::of_admin()?;
    let key = format!("campaign-{}", now.unix_timestamp_nanos());
    let path = "/v1/admin/coupon-campaigns";
    let request = Request { method: "POST", path, token: Some(&token), key: Some(&key), body: &body };
    let (status, answer) = call(address, &request).await?;
    let answer = Answer { status, body: &answer };
    ensure!(status == 201, "no campaign: {status} {}", String::from_utf8_lossy(answer.body));
    Ok(answer.text_field("campaign_id").context("a campaign has an id")?.to_owned())
}

/// How many coupons of a campaign were issued.
pub async fn issued_coupons(address: &str, campaign_id: &str) -> Result<u64> {
    let path = format!("/v1/coupon-campaigns/{campaign_id}");
    let request = Request { method: "GET", path: &path, token: None, key: None, body: "" };
    let (status, answer) = call(address, &request).await?;
    ensure!(status == 200, "no campaign: {status}");
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    answer["issued"].as_u64().context("a campaign says how many coupons it has issued")
}
