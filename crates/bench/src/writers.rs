//! `writers`: two servers on one Galera node against two servers on two nodes, with the conflicts between the nodes.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::Table;
use jangteo_testkit::{Cluster, Network};
use tokio::try_join;

use crate::client::Request;
use crate::database::Database;
use crate::load::{self, Dataset, Endpoint, Plan, Workload};
use crate::measure::{Tally, Target, per_second};
use crate::options::Setup;
use crate::progress::Progress;
use crate::report;
use crate::server::Server;
use crate::shop::{self, Shop, Size};
use crate::store;

const NAME: &str = "writers";
const SIZE: usize = 10_000;
const PRODUCTS: usize = 1_000;
/// Callers of each server.
const CALLERS: usize = 64;
const TURNS: u32 = 4;
const TURN: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_millis(500);
/// A busy machine must not exclude a node.
const STEADY: &str = "evs.suspect_timeout=PT30S;evs.inactive_timeout=PT60S";

const RETRIES: &str = "jangteo_transaction_retries_total{cause=\"conflict\"}";
const BATCHES: &str = "jangteo_batch_size_count";

/// What the servers did with a placement of the writers.
#[derive(Default)]
struct Sum {
    tally: Tally,
    seconds: f64,
    counters: BTreeMap<&'static str, f64>,
}

/// Measures purchases of spread products and of a hot one, in turns, and verifies the books.
pub async fn run(setup: &Setup) -> Result<Table> {
    let Setup { program, seed, names, .. } = setup;
    let progress = Progress::new((TURN + WARM_UP) * TURNS * 4);
    progress.step("starting two nodes");
    let galera = Cluster::galera(Network::Loopback, 2, STEADY).await?;
    let database = Database::attach(&galera.node(0).url(), &program.logs).await?;
    let url = database.create(NAME).await?;
    let size = Size { users: SIZE, products: PRODUCTS, names: *names };
    let shop = Shop::open_in(&store::open_new(&url).await?, size, shop::now()?).await?;
    galera.synchronize().await?;
    let [one, other] = [0, 1].map(|node| format!(":{}/", galera.node(node).port()));
    let second = url.replacen(&one, &other, 1);
    let servers = [
        Server::shop(program, &url, &[]).await?,
        Server::shop(program, &url, &[]).await?,
        Server::shop(program, &second, &[]).await?,
    ];
    let dataset = Rc::new(Dataset::new(&shop));
    let [first, same, apart] =
        servers.each_ref().map(|server| Endpoint::new(server, Target::Batched, &database, Rc::clone(&dataset)));
    let placements = [("one node", [&first, &same]), ("two nodes", [&first, &apart])];

    let mut table = report::table(
        "workload | writers on | a second | batches a second | conflicts for 1,000 batches | p99 ms | failed",
    );
    for workload in [Workload::SpreadPurchases, Workload::HotPurchases] {
        progress.step(workload.name());
        let mut sums = placements.map(|_| Sum::default());
        for turn in 0..TURNS {
            let order = if turn % 2 == 0 { [0, 1] } else { [1, 0] };
            for place in order {
                let plan = Plan { concurrency: CALLERS, warm_up: WARM_UP, window: TURN, seed: *seed };
                sums[place].add(placements[place].1, &workload, plan, &progress).await?;
            }
        }
        for ((name, _), sum) in placements.iter().zip(sums) {
            table.add_row(sum.row(workload.name(), name));
        }
    }
    report::align(&mut table, 2);
    progress.step("checking the books");
    for server in servers {
        server.stop().await?;
    }
    program.verify(&url).await?.check()?;
    database.stop().await?;
    progress.finish();
    Ok(table)
}

impl Sum {
    async fn add(&mut self, pair: [&Endpoint; 2], workload: &Workload, plan: Plan, progress: &Progress) -> Result<()> {
        let before = counters(pair).await?;
        let other = Plan { seed: plan.seed + 1, ..plan };
        let (one, other) =
            try_join!(load::run(pair[0], workload, plan, progress), load::run(pair[1], workload, other, progress))?;
        for (name, after) in counters(pair).await? {
            *self.counters.entry(name).or_default() += after - before[name];
        }
        self.seconds += one.seconds;
        self.tally.add(&one.tally);
        self.tally.add(&other.tally);
        Ok(())
    }

    fn row(&self, workload: String, writers: &str) -> [String; 7] {
        let batches = self.counters[BATCHES];
        // The counters include the warm-up.
        let seconds = self.seconds + WARM_UP.as_secs_f64() * f64::from(TURNS);
        [
            workload,
            writers.to_owned(),
            report::figure(per_second(self.tally.done, self.seconds)),
            report::figure(batches / seconds),
            report::figure(self.counters[RETRIES] * 1_000.0 / batches),
            report::figure(self.tally.latencies().summary().p99_ms),
            self.tally.errors.values().sum::<u64>().to_string(),
        ]
    }
}

/// The sums of both servers' counters.
async fn counters(pair: [&Endpoint; 2]) -> Result<BTreeMap<&'static str, f64>> {
    let mut sums = BTreeMap::from([(RETRIES, 0.0), (BATCHES, 0.0)]);
    for endpoint in pair {
        let request = Request::get("/metrics", None);
        let (_, body) = load::call(&endpoint.address, &request).await?;
        for line in String::from_utf8(body)?.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').context("a metric has a value")?;
            for (wanted, sum) in &mut sums {
                if name.starts_with(wanted) {
                    *sum += value.parse::<f64>()?;
                }
            }
        }
    }
    Ok(sums)
}
