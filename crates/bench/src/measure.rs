//! Measurements of one run and the arithmetic on them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use jangteo_testkit::cpu_seconds;
use serde::{Deserialize, Serialize};

/// Longer latencies are recorded as this one.
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
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// The quantiles for the report.
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

/// Counters of the callers within one window.
#[derive(Clone, Default)]
pub struct Tally {
    /// Latencies of successful calls, by step.
    pub steps: BTreeMap<&'static str, Latencies>,
    /// Completed units of work: purchases, top-ups or responses.
    pub done: u64,
    /// Expected rejections, such as a sold-out coupon, by code.
    pub rejections: BTreeMap<String, u64>,
    /// Failures, by status and code.
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
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

    /// Latencies of all steps together.
    pub fn latencies(&self) -> Latencies {
        let mut all = Latencies::default();
        self.steps.values().for_each(|latencies| all.add(latencies));
        all
    }
}

/// Ids of the processes whose processor time is measured, besides this one.
#[derive(Clone, Copy)]
pub struct Processes {
    pub server: u32,
    /// `None` if the benchmark did not start the database.
    pub database: Option<u32>,
}

/// Processor seconds, user and system, by process.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct CpuSeconds {
    /// Includes the database for SQLite.
    pub server: f64,
    /// `None` if the benchmark did not start the database.
    pub database: Option<f64>,
    /// The load generator.
    pub client: f64,
}

impl CpuSeconds {
    /// Total since the start of each process.
    pub fn so_far(processes: Processes) -> Result<Self> {
        Ok(Self {
            server: cpu_seconds(processes.server)?,
            database: processes.database.map(cpu_seconds).transpose()?,
            client: cpu_seconds(std::process::id())?,
        })
    }

    /// The difference to an earlier total.
    pub fn since(self, earlier: Self) -> Self {
        let minus = |later: f64, earlier: f64| ((later - earlier) * 100.0).round() / 100.0;
        Self {
            server: minus(self.server, earlier.server),
            database: self.database.zip(earlier.database).map(|(later, earlier)| minus(later, earlier)),
            client: minus(self.client, earlier.client),
        }
    }
}

/// Result of a run of the load.
pub struct Outcome {
    pub tally: Tally,
    /// Duration of the window.
    pub seconds: f64,
    /// Processor time within the window.
    pub cpu_seconds: CpuSeconds,
    /// Bytes received by the database within the window; `None` without a meter.
    pub database_received_bytes: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    pub workload: String,
    pub target: Target,
    /// Concurrent callers, each with one request at a time.
    pub concurrency: usize,
    pub seconds: f64,
    /// Completed units of work.
    pub done: u64,
    pub per_second: f64,
    /// Latency of all calls.
    pub latency: LatencySummary,
    pub steps: BTreeMap<String, LatencySummary>,
    /// Expected rejections, by code.
    pub rejections: BTreeMap<String, u64>,
    /// Failures, by status and code.
    pub errors: BTreeMap<String, u64>,
    /// Processor seconds within the window.
    pub cpu_seconds: CpuSeconds,
    /// Bytes received by the database server within the window, from all clients; `None` for SQLite.
    pub database_received_bytes: Option<u64>,
    /// Peak resident memory of the server since the start of the warm-up.
    pub server_memory_peak_mib: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The server with default settings.
    Batched,
    /// The server with `BATCH_MAX=1`.
    Unbatched,
    /// The constant server.
    Constant,
}

impl Measurement {
    pub fn new(workload: String, target: Target, concurrency: usize, outcome: Outcome, memory_peak_mib: f64) -> Self {
        let Outcome { tally, seconds, cpu_seconds, database_received_bytes } = outcome;
        let steps = tally.steps.iter().map(|(step, latencies)| ((*step).to_owned(), latencies.summary())).collect();
        Self {
            workload,
            target,
            concurrency,
            seconds,
            done: tally.done,
            per_second: per_second(tally.done, seconds),
            latency: tally.latencies().summary(),
            steps,
            rejections: tally.rejections,
            errors: tally.errors,
            cpu_seconds,
            database_received_bytes,
            server_memory_peak_mib: memory_peak_mib,
        }
    }

    pub fn errors_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Total work and time of several turns.
#[derive(Clone, Copy, Default)]
pub struct Rate {
    done: u64,
    seconds: f64,
}

impl Rate {
    pub fn add(&mut self, done: u64, seconds: f64) {
        self.done += done;
        self.seconds += seconds;
    }

    pub fn per_second(self) -> f64 {
        per_second(self.done, self.seconds)
    }
}

/// A rate; zero if no time passed.
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
    fn a_latency_beyond_the_histogram_counts_as_the_maximum() {
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
        let cpu_seconds = CpuSeconds::default();
        let outcome = Outcome { tally: sum, seconds: 0.5, cpu_seconds, database_received_bytes: None };
        let measurement = Measurement::new("x".to_owned(), Target::Batched, 1, outcome, 1.0);
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
