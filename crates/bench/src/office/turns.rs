//! Purchases in turns, with other work beside them and without.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use tokio::select;

use crate::load::{self, Endpoint, Plan, Workload};
use crate::measure::{LatencySummary, Rate, Tally, per_second};
use crate::office::{Bench, CALLERS};

/// Pairs of turns, and the duration of each turn.
const PAIRS: u32 = 11;
const TURN: Duration = Duration::from_secs(3);
/// Of each turn, before its purchases count.
const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Side {
    tally: Tally,
    rate: Rate,
    /// Purchases a second of each turn.
    turns: Vec<f64>,
    cpu_seconds: f64,
}

impl Side {
    pub fn per_second(&self) -> f64 {
        self.rate.per_second()
    }

    /// The median of the ratios of neighboring turns: other work on the machine disturbs some of them.
    pub fn ratio_to(&self, alone: &Self) -> f64 {
        let mut ratios: Vec<f64> = self.turns.iter().zip(&alone.turns).map(|(with, without)| with / without).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    /// Processor time of server and database for each purchase, in µs, with everything that they do beside it.
    pub fn cpu_per_purchase(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.tally.done as f64
    }

    /// Requests without the wanted response, by status and code.
    pub fn failures(&self) -> String {
        let failures = self.tally.errors.iter().map(|(code, count)| format!("{count} {code}"));
        failures.collect::<Vec<_>>().join(", ")
    }

    /// Of the requests: two for each purchase.
    pub fn latency(&self) -> LatencySummary {
        self.tally.latencies().summary()
    }
}

/// Purchases alone, and those beside the work, which begins with each of its turns and is dropped at the end of it. The
/// order of the turns reverses each time.
pub async fn in_turns(
    bench: &Bench<'_>,
    endpoint: &Endpoint,
    mut work: impl AsyncFnMut() -> Result<Infallible>,
) -> Result<[Side; 2]> {
    let plan = Plan { concurrency: CALLERS, warm_up: WARM_UP, window: TURN, seed: bench.setup.seed };
    let mut sides = <[Side; 2]>::default();
    // The first purchases after a pause are slower.
    load::run(endpoint, &Workload::SpreadPurchases, Plan { window: WARM_UP, ..plan }, bench.progress).await?;
    for turn in 0..2 * PAIRS {
        let has_work = usize::from(turn % 4 == 1 || turn % 4 == 2);
        let purchases = load::run(endpoint, &Workload::SpreadPurchases, plan, bench.progress);
        let outcome = if has_work == 1 {
            select! {
                outcome = purchases => outcome?,
                ended = work() => match ended? {},
            }
        } else {
            purchases.await?
        };
        sides[has_work].rate.add(outcome.tally.done, outcome.seconds);
        sides[has_work].turns.push(per_second(outcome.tally.done, outcome.seconds));
        sides[has_work].cpu_seconds += outcome.cpu_seconds.server + outcome.cpu_seconds.database.unwrap_or_default();
        sides[has_work].tally.add(&outcome.tally);
    }
    Ok(sides)
}
