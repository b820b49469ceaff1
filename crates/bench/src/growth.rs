//! `bench-growth`: the same shop with a growing number of orders.

use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::database::Database;
use crate::load::{self, Dataset, Endpoint, Plan, Workload};
use crate::machine::Machine;
use crate::measure::{Measurement, Rate, Target, per_second};
use crate::options::Setup;
use crate::progress::Progress;
use crate::results::{Circumstances, Growth};
use crate::server::{Books, Program, Server};
use crate::shop::{self, History, Names, Shop, Size};
use crate::store;

const NAME: &str = "grown";
/// A shop without orders, measured in turns with the grown one.
const FRESH: &str = "fresh";
/// Maximum open orders of a user, below the server's limit.
const OPEN_ORDERS_OF_USER: usize = 10;
const EXPIRY_TIMEOUT: Duration = Duration::from_secs(300);

pub struct GrowthProfile {
    pub size: Size,
    /// Numbers of orders, ascending.
    pub orders: Vec<usize>,
    pub concurrency: usize,
    pub warm_up: Duration,
    pub window: Duration,
    /// Number of turns of the grown shop and of the fresh one.
    pub turns: u32,
    /// Duration of a turn.
    pub turn: Duration,
    /// Number of orders that expire at the same time.
    pub expiring: usize,
}

impl GrowthProfile {
    pub fn new(orders: &[usize], names: Names) -> Self {
        Self {
            size: Size { users: 100_000, products: 1_000, names },
            orders: orders.to_vec(),
            concurrency: 64,
            warm_up: Duration::from_secs(10),
            window: Duration::from_secs(15),
            turns: 10,
            turn: Duration::from_secs(2),
            expiring: 10_000,
        }
    }
}

/// Measurements at one number of orders.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrowthPoint {
    pub orders: usize,
    /// Time to write the orders.
    pub fill_seconds: f64,
    pub database_gib: f64,
    pub purchases: Measurement,
    /// Purchases in turns with a shop without orders.
    pub turns: GrowthTurns,
    /// Order lists of random users.
    pub user_orders: Measurement,
    /// Ledgers of random users.
    pub user_entries: Measurement,
    /// Popular lists of changing periods, one caller.
    pub popular: Measurement,
    /// Expiry rate of orders that were due at the same time.
    pub expired_per_second: f64,
    pub verify_seconds: f64,
    pub books: Books,
}

/// Purchases a second, measured in turns so that other activity on the machine affects both shops.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GrowthTurns {
    pub grown_per_second: f64,
    pub fresh_per_second: f64,
}

pub async fn run(setup: &Setup, profile: &GrowthProfile) -> Result<Growth> {
    let Setup { program, seed, .. } = setup;
    let seed = *seed;
    let started_at = OffsetDateTime::now_utc().format(&Rfc3339)?;
    let machine = Machine::describe();
    // Filling takes most of the time: about 20 seconds for 100,000 orders.
    let filling = Duration::from_micros(200) * u32::try_from(profile.orders.iter().sum::<usize>()).unwrap_or(u32::MAX);
    let turns = profile.warm_up + profile.turn * 2 * profile.turns;
    let point = (profile.warm_up + profile.window) * 4 + turns;
    let measuring = point * u32::try_from(1 + profile.orders.len())?;
    let progress = Progress::new(filling + measuring);
    let database = setup.database().await?;
    let circumstances = Circumstances {
        started_at,
        machine,
        database: database.describe().await?,
        profile: "growth".to_owned(),
        size: profile.size,
        warm_up_seconds: profile.warm_up.as_secs_f64(),
        window_seconds: profile.window.as_secs_f64(),
        seed,
    };
    let bench = Bench { database: &database, program, profile, seed, progress: &progress };
    let mut points = Vec::new();
    for orders in std::iter::once(0).chain(profile.orders.iter().copied()) {
        points.push(bench.measure_point(orders).await?);
        database.discard(NAME).await?;
    }
    database.stop().await?;
    progress.finish();
    Ok(Growth { circumstances, points })
}

struct Bench<'a> {
    database: &'a Database,
    program: &'a Program,
    profile: &'a GrowthProfile,
    seed: u64,
    progress: &'a Progress,
}

impl Bench<'_> {
    async fn measure_point(&self, orders: usize) -> Result<GrowthPoint> {
        let Self { database, program, profile, progress, .. } = self;
        progress.step(format!("writing {orders} orders"));
        let url = database.create(NAME).await?;
        let adapter = store::open_new(&url).await?;
        let now = shop::now()?;
        let opened_at = now.saturating_sub(History::LENGTH + time::Duration::days(1));
        let started_at = Instant::now();
        let shop = Shop::open_in(&adapter, profile.size, opened_at).await?;
        let mut history = shop.history(orders, now, self.seed);
        while history.next_batch().await? {}
        progress.advance(started_at.elapsed());
        let fill_seconds = started_at.elapsed().as_secs_f64();
        let database_gib = database.size_gib(NAME)?;

        let server = Server::shop(program, &url, &[]).await?;
        let endpoint = self.endpoint_of(&server, &shop);
        let expired_per_second = expire(&adapter, &shop, profile.expiring, progress).await?;
        let measure = async |workload: Workload, concurrency: usize| {
            progress.step(format!("{} with {orders} orders", workload.name()));
            let plan = Plan { concurrency, ..self.plan() };
            load::measure(&endpoint, &workload, plan, progress).await
        };
        let purchases = measure(Workload::SpreadPurchases, profile.concurrency).await?;
        let user_orders = measure(Workload::UserOrders, profile.concurrency).await?;
        let user_entries = measure(Workload::UserEntries, profile.concurrency).await?;
        let popular = measure(Workload::PopularProducts, 1).await?;
        progress.step(format!("purchases with {orders} orders and with none, in turns"));
        let turns = self.beside_a_fresh_shop(&endpoint).await?;
        server.stop().await?;

        progress.step(format!("checking the books with {orders} orders"));
        let started_at = Instant::now();
        let books = program.verify(&url).await?;
        let verify_seconds = started_at.elapsed().as_secs_f64();
        Ok(GrowthPoint {
            orders,
            fill_seconds,
            database_gib,
            purchases,
            turns,
            user_orders,
            user_entries,
            popular,
            expired_per_second,
            verify_seconds,
            books,
        })
    }

    async fn beside_a_fresh_shop(&self, grown: &Endpoint) -> Result<GrowthTurns> {
        let Self { database, profile, progress, .. } = self;
        // A log folder of its own.
        let program = Program { logs: self.program.logs.join(FRESH), ..self.program.clone() };
        fs::create_dir_all(&program.logs)?;
        let url = database.create(FRESH).await?;
        let shop = Shop::open_in(&store::open_new(&url).await?, profile.size, shop::now()?).await?;
        let server = Server::shop(&program, &url, &[]).await?;
        let fresh = self.endpoint_of(&server, &shop);

        let purchases = &Workload::SpreadPurchases;
        // The grown shop is warm by now.
        let warming_up = Plan { window: Duration::ZERO, ..self.plan() };
        load::run(&fresh, purchases, warming_up, progress).await?;
        let plan = Plan { warm_up: profile.turn / 10, window: profile.turn, ..self.plan() };
        let mut rates = [Rate::default(); 2];
        for _ in 0..profile.turns {
            for (endpoint, rate) in [grown, &fresh].into_iter().zip(&mut rates) {
                let outcome = load::run(endpoint, purchases, plan, progress).await?;
                rate.add(outcome.tally.done, outcome.seconds);
            }
        }
        server.stop().await?;
        database.discard(FRESH).await?;
        let [grown_per_second, fresh_per_second] = rates.map(Rate::per_second);
        Ok(GrowthTurns { grown_per_second, fresh_per_second })
    }

    fn endpoint_of(&self, server: &Server, shop: &Shop) -> Endpoint {
        Endpoint::new(server, Target::Batched, self.database, Rc::new(Dataset::new(shop)))
    }

    fn plan(&self) -> Plan {
        let GrowthProfile { concurrency, warm_up, window, .. } = *self.profile;
        Plan { concurrency, warm_up, window, seed: self.seed }
    }
}

/// Places overdue orders while the server runs, and waits until the last one has expired.
async fn expire(adapter: &jangteo_sql::Database, shop: &Shop, count: usize, progress: &Progress) -> Result<f64> {
    progress.step(format!("{count} orders expire"));
    let orders = adapter.queries().orders;
    shop.place_overdue(count, OPEN_ORDERS_OF_USER, shop::now()?).await?;
    let started_at = Instant::now();
    while !orders.due(None, 1).await?.is_empty() {
        ensure!(started_at.elapsed() < EXPIRY_TIMEOUT, "orders do not expire");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(per_second(count as u64, started_at.elapsed().as_secs_f64()))
}
