//! What one measurement found, and the arithmetic on it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::process;

/// The longest latency that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(120);

/// Latencies in an HDR histogram of microseconds with three significant digits.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX.as_micros() as u64, 3);
        Self(histogram.expect("the bounds are in order"))
    }
}

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Counts all of another.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// The figures of the report.
    pub fn summary(&self) -> LatencySummary {
        let ms = |microseconds: u64| microseconds as f64 / 1_000.0;
        LatencySummary {
            count: self.0.len(),
            mean_ms: self.0.mean() / 1_000.0,
            p50_ms: ms(self.0.value_at_quantile(0.5)),
            p99_ms: ms(self.0.value_at_quantile(0.99)),
            p999_ms: ms(self.0.value_at_quantile(0.999)),
            max_ms: ms(self.0.max()),
        }
    }
}

/// Latencies in the report, in milliseconds.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct LatencySummary {
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// What the callers found within one window.
#[derive(Clone, Default)]
pub struct Tally {
    /// Latencies of the calls that were answered as they should be, by step.
    pub steps: BTreeMap<&'static str, Latencies>,
    /// Units of work that were done: purchases, top-ups, answers.
    pub done: u64,
    /// Rejections that belong to the work, such as a coupon that is sold out, by code.
    pub rejections: BTreeMap<String, u64>,
    /// Everything else, by status and code.
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts all of another.
    pub fn add(&mut self, other: &Self) {
        for (step, latencies) in &other.steps {
            self.steps.entry(step).or_default().add(latencies);
        }
        self.done += other.done;
        for (sum, counts) in [(&mut self.rejections, &other.rejections), (&mut self.errors, &other.errors)] {
            for (code, count) in counts {
                *sum.entry(code.clone()).or_default() += count;
            }
        }
    }

    /// All steps together.
    pub fn latencies(&self) -> Latencies {
        let mut all = Latencies::default();
        self.steps.values().for_each(|latencies| all.add(latencies));
        all
    }
}

/// Whose processor time is watched, besides that of this process.
#[derive(Clone, Copy)]
pub struct Watched {
    /// The server.
    pub server: u32,
    /// The database, where it is a process that the benchmark started.
    pub database: Option<u32>,
}

/// Processor seconds, user and system.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct CpuSeconds {
    /// Of the server; with SQLite the database's as well, which is part of it.
    pub server: f64,
    /// Of the database, where it is a process of its own.
    pub database: Option<f64>,
    /// Of the load generator.
    pub client: f64,
}

impl CpuSeconds {
    /// What was used so far.
    pub fn so_far(watched: Watched) -> Result<Self> {
        Ok(Self {
            server: process::cpu_seconds(watched.server)?,
            database: watched.database.map(process::cpu_seconds).transpose()?,
            client: process::cpu_seconds(std::process::id())?,
        })
    }

    /// What was used since.
    pub fn since(self, earlier: Self) -> Self {
        let minus = |later: f64, earlier: f64| ((later - earlier) * 100.0).round() / 100.0;
        Self {
            server: minus(self.server, earlier.server),
            database: self.database.zip(earlier.database).map(|(later, earlier)| minus(later, earlier)),
            client: minus(self.client, earlier.client),
        }
    }
}

/// A measurement in the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// What was done.
    pub workload: String,
    /// To what.
    pub target: Target,
    /// By how many callers at once, each waiting for its answer before it asks again.
    pub concurrency: usize,
    /// For how long.
    pub seconds: f64,
    /// How often.
    pub done: u64,
    /// How often a second.
    pub per_second: f64,
    /// Latency of every call.
    pub latency: LatencySummary,
    /// Latency by step.
    pub steps: BTreeMap<String, LatencySummary>,
    /// Rejections that belong to the work, by code.
    pub rejections: BTreeMap<String, u64>,
    /// Everything else, by status and code.
    pub errors: BTreeMap<String, u64>,
    /// Processor seconds within the window.
    pub cpu_seconds: CpuSeconds,
    /// Bytes that the database received within the window, where it is a server; from everybody.
    pub database_received_bytes: Option<u64>,
    /// The most memory that the server had resident, from the start of the warm-up.
    pub server_memory_peak_mib: f64,
}

/// What was measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The server as it is.
    Batched,
    /// The server with `BATCH_MAX=1`.
    Unbatched,
    /// A server that answers a constant.
    Constant,
}

impl Measurement {
    /// The report of a tally.
    pub fn new(
        workload: &str,
        target: Target,
        concurrency: usize,
        seconds: f64,
        tally: &Tally,
        cpu_seconds: CpuSeconds,
        server_memory_peak_mib: f64,
    ) -> Self {
        let steps = tally.steps.iter().map(|(step, latencies)| ((*step).to_owned(), latencies.summary())).collect();
        Self {
            workload: workload.to_owned(),
            target,
            concurrency,
            seconds,
            done: tally.done,
            per_second: per_second(tally.done, seconds),
            latency: tally.latencies().summary(),
            steps,
            rejections: tally.rejections.clone(),
            errors: tally.errors.clone(),
            cpu_seconds,
            database_received_bytes: None,
            server_memory_peak_mib,
        }
    }

    /// How many calls went wrong.
    pub fn errors_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// How many, and in how long, over all turns.
#[derive(Clone, Copy, Default)]
pub struct Rate {
    done: u64,
    seconds: f64,
}

impl Rate {
    /// Adds a turn.
    pub fn add(&mut self, done: u64, seconds: f64) {
        self.done += done;
        self.seconds += seconds;
    }

    /// How many a second.
    pub fn per_second(self) -> f64 {
        per_second(self.done, self.seconds)
    }
}

/// A rate; zero where no time passed.
pub fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_thousandth() {
        let mut latencies = Latencies::default();
        (1..=1_000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let summary = latencies.summary();
        let near = |value: f64, wanted: f64| (value - wanted).abs() <= wanted / 1_000.0 + 0.001;
        assert!(near(summary.p50_ms, 500.0) && near(summary.p99_ms, 990.0) && near(summary.p999_ms, 999.0));
        assert!(near(summary.max_ms, 1_000.0) && near(summary.mean_ms, 500.5));
        assert_eq!(summary.count, 1_000);
    }

    #[test]
    fn a_latency_beyond_the_histogram_counts_as_the_longest() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::MAX);
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.summary().count, 2);
        assert!(latencies.summary().max_ms >= LATENCY_MAX.as_secs_f64() * 1_000.0);
    }

    #[test]
    fn tallies_add_up() {
        let tally = |ms| {
            let mut tally = Tally { done: 1, ..Tally::default() };
            tally.steps.entry("order").or_default().record(Duration::from_millis(ms));
            tally.rejections.insert("COUPON_SOLD_OUT".to_owned(), ms);
            tally
        };
        let mut sum = tally(2);
        sum.add(&tally(4));
        let measurement = Measurement::new("x", Target::Batched, 1, 0.5, &sum, CpuSeconds::default(), 1.0);
        assert_eq!((measurement.done, measurement.per_second), (2, 4.0));
        assert_eq!(measurement.rejections["COUPON_SOLD_OUT"], 6);
        assert_eq!(measurement.steps["order"].count, 2);
        assert_eq!(measurement.latency.count, 2);
        assert_eq!(per_second(5, 0.0), 0.0);
    }

    #[test]
    fn processor_time_is_a_difference() {
        let at = |server, database, client| CpuSeconds { server, database, client };
        let used = at(3.5, Some(2.0), 1.0).since(at(3.25, Some(0.5), 1.0));
        assert_eq!(used, at(0.25, Some(1.5), 0.0));
    }
}
