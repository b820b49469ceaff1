//! `bench`: every workload at every number of callers, the yardsticks in the same run, and the verification at the end.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::client::Request;
use crate::limit::{Limit, LimitPlan, Try, Turns, Yardstick};
use crate::load::{self, Dataset, Endpoint, PRODUCT_READ, Plan, SPREAD_PURCHASES, Workload};
use crate::machine::Machine;
use crate::measure::{Measurement, Rate, Tally, Target, per_second};
use crate::options::Setup;
use crate::progress::Progress;
use crate::results::{CONSTANT_LENGTH, Circumstances, CouponRush, ReadTurns, ResponseBytes, Run, SingleCaller};
use crate::server::Server;
use crate::shop::{self, Names, Shop, Size};
use crate::store;
use crate::sysbench::{self, Sysbench};

const NAME: &str = "shop";

pub struct Profile {
    pub name: &'static str,
    pub size: Size,
    /// Coupons of each rush; half the number of users.
    pub coupons: usize,
    /// Numbers of callers.
    pub concurrency: Vec<usize>,
    pub warm_up: Duration,
    pub window: Duration,
    /// Number of turns of measurements in turns.
    pub turns: u32,
    /// Duration of a turn.
    pub turn: Duration,
    pub limit: LimitPlan,
    pub with_sysbench: bool,
}

impl Profile {
    /// About 15 minutes.
    pub fn full(names: Names) -> Self {
        Self {
            name: "full",
            size: Size { users: 100_000, products: 1_000, names },
            coupons: 50_000,
            concurrency: vec![1, 16, 64, 256],
            warm_up: Duration::from_secs(2),
            window: Duration::from_secs(10),
            turns: 10,
            turn: Duration::from_secs(2),
            limit: LimitPlan { purchases: 40_000, batches: vec![64, 128, 256, 512], connections: vec![1, 2, 4] },
            with_sysbench: true,
        }
    }

    /// A smoke test in under a minute.
    pub fn quick(names: Names) -> Self {
        Self {
            name: "quick",
            size: Size { users: 5_000, products: 200, names },
            coupons: 2_500,
            concurrency: vec![1, 64],
            warm_up: Duration::from_millis(300),
            window: Duration::from_millis(1_200),
            turns: 2,
            turn: Duration::from_millis(500),
            limit: LimitPlan { purchases: 4_000, batches: vec![128], connections: vec![1, 2] },
            with_sysbench: false,
        }
    }

    fn planned(&self) -> Duration {
        let measurement = self.warm_up + self.window;
        let levels = u32::try_from(self.concurrency.len()).unwrap_or(u32::MAX);
        // Six workloads, four of them again without batches, three constants. The rest is short.
        measurement * levels * 13 + self.turn * self.turns * 10 + Duration::from_secs(10)
    }
}

pub async fn run(setup: &Setup, profile: &Profile) -> Result<Run> {
    let Setup { program, seed, .. } = setup;
    let seed = *seed;
    let progress = Progress::new(profile.planned());
    let started_at = OffsetDateTime::now_utc().format(&Rfc3339)?;
    let machine = Machine::describe();

    progress.step("starting a database");
    let database = setup.database().await?;
    let circumstances = Circumstances {
        started_at,
        machine,
        database: database.describe().await?,
        profile: profile.name.to_owned(),
        size: profile.size,
        warm_up_seconds: profile.warm_up.as_secs_f64(),
        window_seconds: profile.window.as_secs_f64(),
        seed,
    };
    progress.step("opening the shop");
    let url = database.create(NAME).await?;
    let shop = Shop::open_in(&store::open_new(&url).await?, profile.size, shop::now()?).await?;

    let dataset = Rc::new(Dataset::new(&shop));
    let mut bench = Bench { profile, seed, progress: &progress, measurements: Vec::new(), rushes: Vec::new() };
    let endpoint = |server: &Server, target| Endpoint::new(server, target, &database, Rc::clone(&dataset));

    let server = Server::shop(program, &url, &[]).await?;
    let batched = endpoint(&server, Target::Batched);
    let answer_bytes = measure_responses(&batched, &shop).await?;
    bench.writes(&batched).await?;
    bench.at_every_level(&batched, &[Workload::ProductList, Workload::ProductRead]).await?;

    let mut yardstick = Yardstick::open(&database, profile.size, seed).await?;
    let tried = yardstick.try_all(&profile.limit, &progress).await?;
    let best =
        tried.iter().max_by(|a, b| a.per_second.total_cmp(&b.per_second)).context("at least one replay")?.clone();
    let turns = bench.beside_the_limit(&batched, &mut yardstick, &best).await?;
    let limit = Limit { best, tried, turns, books: yardstick.close(program).await? };

    let sysbench = match profile.with_sysbench {
        true => {
            progress.step("sysbench");
            sysbench::measure(&database, profile.window).await?
        }
        false => Sysbench::skipped("the profile is too short"),
    };

    let constant_server = Server::constant(&program.logs).await?;
    let constant = endpoint(&constant_server, Target::Constant);
    let reads = bench.reads_beside_a_constant(&batched, &constant).await?;

    // A long queue wait, because the throughput is measured and not the rejections.
    let unbatched = [("BATCH_MAX", "1"), ("QUEUE_WAIT_MAX", "10s")].map(|(name, value)| (name.into(), value.into()));
    let unbatched_server = Server::shop(program, &url, &unbatched).await?;
    let unbatched = endpoint(&unbatched_server, Target::Unbatched);
    server.stop().await?;
    // Both servers are fresh: a server that has been under load responds more slowly to a single caller.
    let fresh_server = Server::shop(program, &url, &[]).await?;
    let single_caller = bench.single_caller(&endpoint(&fresh_server, Target::Batched), &unbatched).await?;
    fresh_server.stop().await?;
    bench.writes(&unbatched).await?;
    unbatched_server.stop().await?;

    let lengths = [CONSTANT_LENGTH, answer_bytes.product, answer_bytes.product_list];
    let constants = lengths.map(|length| Workload::Constant { length });
    bench.at_every_level(&constant, &constants).await?;
    constant_server.stop().await?;
    let Bench { measurements, rushes, .. } = bench;

    progress.step("checking the books");
    let books = program.verify(&url).await?;
    database.stop().await?;
    progress.finish();
    Ok(Run {
        circumstances,
        measurements,
        coupon_rushes: rushes,
        single_caller,
        reads,
        limit_plan: profile.limit.clone(),
        limit,
        sysbench,
        answer_bytes,
        books,
    })
}

struct Bench<'a> {
    profile: &'a Profile,
    seed: u64,
    progress: &'a Progress,
    measurements: Vec<Measurement>,
    rushes: Vec<CouponRush>,
}

impl Bench<'_> {
    fn plan(&self, concurrency: usize) -> Plan {
        Plan { concurrency, warm_up: self.profile.warm_up, window: self.profile.window, seed: self.seed }
    }

    async fn writes(&mut self, endpoint: &Endpoint) -> Result<()> {
        let workloads = [Workload::SpreadPurchases, Workload::HotPurchases, Workload::PointTopUps];
        self.at_every_level(endpoint, &workloads).await?;
        for concurrency in self.profile.concurrency.clone() {
            self.coupon_rush(endpoint, concurrency).await?;
        }
        Ok(())
    }

    async fn at_every_level(&mut self, endpoint: &Endpoint, workloads: &[Workload]) -> Result<()> {
        for workload in workloads {
            for concurrency in self.profile.concurrency.clone() {
                self.measure(endpoint, workload, self.plan(concurrency)).await?;
            }
        }
        Ok(())
    }

    async fn measure(&mut self, endpoint: &Endpoint, workload: &Workload, plan: Plan) -> Result<()> {
        self.progress.step(format!("{}, {:?}, {} callers", workload.name(), endpoint.target, plan.concurrency));
        let measurement = load::measure(endpoint, workload, plan, self.progress).await?;
        self.measurements.push(measurement);
        Ok(())
    }

    /// All users request half as many coupons. There is no warm-up, and the rush ends after the last user's turn.
    async fn coupon_rush(&mut self, endpoint: &Endpoint, concurrency: usize) -> Result<()> {
        let quantity = self.profile.coupons;
        let campaign_id = load::create_campaign(&endpoint.address, quantity).await?;
        let plan = Plan { warm_up: Duration::ZERO, window: 2 * self.profile.window, ..self.plan(concurrency) };
        self.measure(endpoint, &Workload::CouponRush { campaign_id: campaign_id.clone() }, plan).await?;
        let measurement = self.measurements.last().context("a measurement of the rush")?;
        let sold_out: u64 = measurement.rejections.values().sum();
        let users = self.profile.size.users;
        self.rushes.push(CouponRush {
            target: endpoint.target,
            concurrency,
            quantity,
            users,
            given: measurement.done - sold_out,
            issued: load::issued_coupons(&endpoint.address, &campaign_id).await?,
            exhausted: measurement.done + measurement.errors_count() == users as u64,
        });
        Ok(())
    }

    /// The best number of callers and twice as many, in turns with the best replay.
    async fn beside_the_limit(&self, endpoint: &Endpoint, yardstick: &mut Yardstick<'_>, best: &Try) -> Result<Turns> {
        self.progress.step("purchases, and the database's own limit, in turns");
        let plan = self.turn_of(self.busiest(SPREAD_PURCHASES)?);
        let more = Plan { concurrency: 2 * plan.concurrency, ..plan };
        let each =
            [(Workload::SpreadPurchases, plan), (Workload::HotPurchases, plan), (Workload::SpreadPurchases, more)];
        let mut rates = [Rate::default(); 3];
        let mut limit = Rate::default();
        for _ in 0..self.profile.turns {
            for ((workload, plan), rate) in each.iter().zip(&mut rates) {
                let outcome = load::run(endpoint, workload, *plan, self.progress).await?;
                rate.add(outcome.tally.done, outcome.seconds);
            }
            let replay = yardstick.replay(best.batch, best.connections, self.profile.limit.purchases / 4).await?;
            limit.add(replay.purchases as u64, replay.seconds);
        }
        let [purchases_per_second, hot_purchases_per_second, purchases_of_more_per_second] =
            rates.map(Rate::per_second);
        Ok(Turns {
            turns: self.profile.turns,
            callers: plan.concurrency,
            purchases_per_second,
            hot_purchases_per_second,
            more_callers: more.concurrency,
            purchases_of_more_per_second,
            limit_per_second: limit.per_second(),
        })
    }

    /// Reads in turns with the constant, with the best number of callers of single-product reads.
    async fn reads_beside_a_constant(&self, endpoint: &Endpoint, constant: &Endpoint) -> Result<ReadTurns> {
        self.progress.step("reads, and a constant, in turns");
        let plan = self.turn_of(self.busiest(PRODUCT_READ)?);
        let length = CONSTANT_LENGTH;
        let each = [
            (endpoint, Workload::ProductList),
            (endpoint, Workload::ProductRead),
            (constant, Workload::Constant { length }),
        ];
        let rates = self
            .in_turns(self.profile.turns, each, plan)
            .await?
            .map(|(tally, seconds)| per_second(tally.done, seconds));
        let [product_list_per_second, product_per_second, constant_per_second] = rates;
        Ok(ReadTurns {
            turns: self.profile.turns,
            callers: plan.concurrency,
            product_list_per_second,
            product_per_second,
            constant_per_second,
        })
    }

    /// One caller, in turns with and without batches. The latency on an otherwise idle machine varies by half within
    /// seconds, so the turns are short and many.
    async fn single_caller(&self, batched: &Endpoint, unbatched: &Endpoint) -> Result<SingleCaller> {
        self.progress.step("a single caller, with batches and without in turns");
        let each = [(batched, Workload::SpreadPurchases), (unbatched, Workload::SpreadPurchases)];
        let plan = self.turn_of(1);
        let plan = Plan { window: plan.window / 4, ..plan };
        let taken = self.in_turns(4 * self.profile.turns, each, plan).await?;
        let [batched, unbatched] = taken.map(|(tally, _)| tally.latencies().summary());
        Ok(SingleCaller { batched, unbatched })
    }

    /// Tally and seconds of each workload, measured in turns whose order alternates, so that other activity on the
    /// machine and the predecessor of a turn affect all of them alike.
    async fn in_turns<const N: usize>(
        &self,
        turns: u32,
        each: [(&Endpoint, Workload); N],
        plan: Plan,
    ) -> Result<[(Tally, f64); N]> {
        let mut sums = std::array::from_fn(|_| (Tally::default(), 0.0));
        let mut order: [usize; N] = std::array::from_fn(|place| place);
        for _ in 0..turns {
            for &place in &order {
                let ((endpoint, workload), (tally, seconds)) = (&each[place], &mut sums[place]);
                let outcome = load::run(endpoint, workload, plan, self.progress).await?;
                tally.add(&outcome.tally);
                *seconds += outcome.seconds;
            }
            order.reverse();
        }
        Ok(sums)
    }

    fn turn_of(&self, concurrency: usize) -> Plan {
        let warm_up = self.profile.warm_up.min(self.profile.turn / 10);
        Plan { concurrency, warm_up, window: self.profile.turn, seed: self.seed }
    }

    /// The number of callers with the best rate of the workload.
    fn busiest(&self, workload: &str) -> Result<usize> {
        let fits = |m: &&Measurement| m.workload == workload && m.target == Target::Batched;
        let measured = self.measurements.iter().filter(fits);
        let most = measured.max_by(|a, b| a.per_second.total_cmp(&b.per_second)).context("it was measured")?;
        Ok(most.concurrency)
    }
}

async fn measure_responses(endpoint: &Endpoint, shop: &Shop) -> Result<ResponseBytes> {
    let product_id = shop.products().first().context("a shop has products")?;
    let mut lengths = [0; 2];
    let paths = [format!("/v1/products?category={}&limit=20", shop::category(1)), format!("/v1/products/{product_id}")];
    for (path, length) in paths.iter().zip(&mut lengths) {
        let request = Request::get(path, None);
        let (status, body) = load::call(&endpoint.address, &request).await?;
        ensure!(status == 200, "{path} returned {status}: {}", String::from_utf8_lossy(&body));
        *length = body.len();
    }
    Ok(ResponseBytes { product_list: lengths[0], product: lengths[1] })
}
