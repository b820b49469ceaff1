//! `results.json`: all measurements of a run in a format that can be compared between runs, and their ratios.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::database::Description;
use crate::growth::GrowthPoint;
use crate::limit::{Limit, LimitPlan};
use crate::load::{COUPON_RUSH, PRODUCT_LIST, PRODUCT_READ, SPREAD_PURCHASES};
use crate::machine::Machine;
use crate::measure::{LatencySummary, Measurement, Target};
use crate::server::Books;
use crate::shop::Size;
use crate::sysbench::Sysbench;

/// Incremented when a field is removed or changes its meaning.
const FORMAT: u32 = 4;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    pub format: u32,
    /// The last `bench`.
    pub run: Option<Run>,
    /// The last `bench-growth`.
    pub growth: Option<Growth>,
    pub ratios: Ratios,
    pub targets: Vec<TargetCheck>,
}

/// Environment and parameters of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Circumstances {
    /// RFC 3339.
    pub started_at: String,
    pub machine: Machine,
    pub database: Description,
    /// `full`, `quick` (not meaningful) or `growth`.
    pub profile: String,
    pub size: Size,
    /// Warm-up of each measurement.
    pub warm_up_seconds: f64,
    /// Window of each measurement.
    pub window_seconds: f64,
    pub seed: u64,
}

/// Results of `bench`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub circumstances: Circumstances,
    /// In the order of measurement.
    pub measurements: Vec<Measurement>,
    pub coupon_rushes: Vec<CouponRush>,
    /// One caller, in turns with and without `BATCH_MAX=1`.
    pub single_caller: SingleCaller,
    /// Reads and a constant, in turns.
    pub reads: ReadTurns,
    pub limit_plan: LimitPlan,
    pub limit: Limit,
    /// On the same database server.
    pub sysbench: Sysbench,
    pub answer_bytes: ResponseBytes,
    /// Verification after the load.
    pub books: Books,
}

/// Response sizes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ResponseBytes {
    /// A page of products.
    pub product_list: usize,
    pub product: usize,
}

/// Outcome of a coupon rush.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CouponRush {
    pub target: Target,
    /// Concurrent callers.
    pub concurrency: usize,
    /// Coupons of the campaign.
    pub quantity: usize,
    /// Users with one request each.
    pub users: usize,
    /// Coupons received by callers.
    pub given: u64,
    /// Issued coupons according to the campaign.
    pub issued: u64,
    /// Whether all users had a turn within the window. Otherwise some responses arrived too late to be counted.
    pub exhausted: bool,
}

impl CouponRush {
    /// Whether the campaign issued neither too many nor too few coupons.
    pub fn is_exact(&self) -> bool {
        let all = self.quantity.min(self.users) as u64;
        self.issued <= all && (!self.exhausted || (self.issued == all && self.given == all))
    }
}

/// Latency of a purchase step for one caller.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SingleCaller {
    pub batched: LatencySummary,
    /// With `BATCH_MAX=1`.
    pub unbatched: LatencySummary,
}

/// Reads in turns with constant responses of 16 bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReadTurns {
    pub turns: u32,
    pub callers: usize,
    /// Pages of products a second.
    pub product_list_per_second: f64,
    pub product_per_second: f64,
    pub constant_per_second: f64,
}

/// Results of `bench-growth`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Growth {
    pub circumstances: Circumstances,
    /// One for each number of orders, from none.
    pub points: Vec<GrowthPoint>,
}

/// Ratios of rates and latencies; `None` if not measured.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ratios {
    /// Purchases a second, spread over the products, to the database's own limit, in turns.
    pub purchases_to_limit: Option<f64>,
    /// The same with twice the best number of callers.
    pub purchases_of_more_callers_to_limit: Option<f64>,
    /// Purchases a second, spread over the products, to the transactions a second of `sysbench oltp_write_only`.
    pub purchases_to_sysbench: Option<f64>,
    /// Bytes received by the database for a purchase, at the best number of callers.
    pub database_bytes_of_a_purchase: Option<f64>,
    /// Purchases of one product to purchases spread over all, in turns.
    pub hot_to_spread: Option<f64>,
    /// Purchases to purchases with `BATCH_MAX=1`.
    pub batched_to_unbatched: Option<f64>,
    /// Responses of a coupon rush to purchases.
    pub coupons_to_purchases: Option<f64>,
    /// Pages of products to constant responses of 16 bytes.
    pub reads_to_constant: Option<f64>,
    /// Reads of one product to constant responses of 16 bytes.
    pub product_reads_to_constant: Option<f64>,
    /// Pages of products to constant responses of their length.
    pub list_reads_to_constant_of_their_length: Option<f64>,
    /// Reads of one product to constant responses of their length.
    pub product_reads_to_constant_of_their_length: Option<f64>,
    /// Median latency of a purchase step for a single caller, to that with `BATCH_MAX=1`.
    pub single_caller_latency: Option<f64>,
    /// Purchases with the most orders in the database to purchases with none, in turns.
    pub grown_to_empty: Option<f64>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TargetCheck {
    pub name: String,
    pub wanted: Bound,
    /// `None` if not measured.
    pub found: Option<f64>,
    pub met: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl TargetCheck {
    fn new(name: &str, wanted: Bound, found: Option<f64>) -> Self {
        let met = found.map(|found| match wanted {
            Bound::AtLeast(bound) => found >= bound,
            Bound::AtMost(bound) => found <= bound,
        });
        Self { name: name.to_owned(), wanted, found, met }
    }
}

/// Length in bytes of the constant in [`ReadTurns`].
pub const CONSTANT_LENGTH: usize = 16;

impl Run {
    /// The best rate of a workload over all numbers of callers.
    fn best_rate(&self, workload: &str, target: Target) -> Option<f64> {
        self.best(workload, target).map(|m| m.per_second)
    }

    /// The measurement with the best rate.
    pub fn best(&self, workload: &str, target: Target) -> Option<&Measurement> {
        let fits = |m: &&Measurement| m.workload == workload && m.target == target;
        self.measurements.iter().filter(fits).max_by(|a, b| a.per_second.total_cmp(&b.per_second))
    }

    fn database_bytes_of_a_purchase(&self) -> Option<f64> {
        let best = self.best(SPREAD_PURCHASES, Target::Batched)?;
        ratio(best.database_received_bytes.map(|bytes| bytes as f64), Some(best.done as f64))
    }

    fn best_constant(&self, length: usize) -> Option<f64> {
        self.best_rate(&crate::load::Workload::Constant { length }.name(), Target::Constant)
    }

    /// The maximum p99 of the steps of spread purchases at this number of callers.
    fn purchase_p99_ms(&self, concurrency: usize) -> Option<f64> {
        let fits = |m: &&Measurement| {
            (&*m.workload, m.target, m.concurrency) == (SPREAD_PURCHASES, Target::Batched, concurrency)
        };
        let steps = self.measurements.iter().filter(fits).flat_map(|m| m.steps.values());
        steps.map(|step| step.p99_ms).max_by(f64::total_cmp)
    }

    fn memory_peak_mib(&self, concurrency: usize) -> Option<f64> {
        let fits = |m: &&Measurement| m.target == Target::Batched && m.concurrency == concurrency;
        self.measurements.iter().filter(fits).map(|m| m.server_memory_peak_mib).max_by(f64::total_cmp)
    }

    /// Failed calls of all measurements.
    pub fn errors(&self) -> u64 {
        self.measurements.iter().map(Measurement::errors_count).sum()
    }
}

impl Results {
    /// Reads the file; an empty report if it is missing or has another format.
    pub fn load(path: &Path) -> Self {
        let file = fs::read(path).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let empty = Self { format: FORMAT, run: None, growth: None, ratios: Ratios::default(), targets: Vec::new() };
        file.filter(|results| results.format == FORMAT).unwrap_or(empty)
    }

    /// Computes the ratios and writes the file.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.conclude();
        fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| path.display().to_string())
    }

    fn conclude(&mut self) {
        self.ratios = self.run.as_ref().map(ratios_of).unwrap_or_default();
        self.ratios.grown_to_empty = self.growth.as_ref().and_then(grown_to_empty);
        let ratios = &self.ratios;
        let run = self.run.as_ref();
        use Bound::{AtLeast, AtMost};
        self.targets = vec![
            TargetCheck::new("purchases to the database's own limit", AtLeast(0.5), ratios.purchases_to_limit),
            TargetCheck::new("purchases of one product to spread ones", AtLeast(0.9), ratios.hot_to_spread),
            TargetCheck::new("purchases to those with BATCH_MAX=1", AtLeast(5.0), ratios.batched_to_unbatched),
            TargetCheck::new("coupon rush to purchases", AtLeast(2.0), ratios.coupons_to_purchases),
            TargetCheck::new("product list to a constant", AtLeast(0.5), ratios.reads_to_constant),
            TargetCheck::new("product to a constant", AtLeast(0.25), ratios.product_reads_to_constant),
            TargetCheck::new("single caller's latency to BATCH_MAX=1", AtMost(1.05), ratios.single_caller_latency),
            TargetCheck::new("purchases with most orders to none", AtLeast(0.85), ratios.grown_to_empty),
            TargetCheck::new(
                "p99 of a purchase step, 64 callers, ms",
                AtMost(50.0),
                run.and_then(|run| run.purchase_p99_ms(64)),
            ),
            TargetCheck::new(
                "server memory, 256 callers, MiB",
                AtMost(150.0),
                run.and_then(|run| run.memory_peak_mib(256)),
            ),
        ];
    }
}

fn ratio(of: Option<f64>, to: Option<f64>) -> Option<f64> {
    of.zip(to).filter(|(_, to)| *to > 0.0).map(|(of, to)| of / to)
}

fn ratios_of(run: &Run) -> Ratios {
    let batched = |workload| run.best_rate(workload, Target::Batched);
    let purchases = batched(SPREAD_PURCHASES);
    let turns = run.limit.turns;
    let limit = Some(turns.limit_per_second);
    let constant = Some(run.reads.constant_per_second);
    let SingleCaller { batched: one_batched, unbatched: one_unbatched } = run.single_caller;
    Ratios {
        purchases_to_limit: ratio(Some(turns.purchases_per_second), limit),
        purchases_of_more_callers_to_limit: ratio(Some(turns.purchases_of_more_per_second), limit),
        purchases_to_sysbench: ratio(purchases, run.sysbench.best().map(|best| best.per_second)),
        database_bytes_of_a_purchase: run.database_bytes_of_a_purchase(),
        hot_to_spread: ratio(Some(turns.hot_purchases_per_second), Some(turns.purchases_per_second)),
        batched_to_unbatched: ratio(purchases, run.best_rate(SPREAD_PURCHASES, Target::Unbatched)),
        coupons_to_purchases: ratio(batched(COUPON_RUSH), purchases),
        reads_to_constant: ratio(Some(run.reads.product_list_per_second), constant),
        product_reads_to_constant: ratio(Some(run.reads.product_per_second), constant),
        list_reads_to_constant_of_their_length: ratio(
            batched(PRODUCT_LIST),
            run.best_constant(run.answer_bytes.product_list),
        ),
        product_reads_to_constant_of_their_length: ratio(
            batched(PRODUCT_READ),
            run.best_constant(run.answer_bytes.product),
        ),
        single_caller_latency: ratio(Some(one_batched.p50_ms), Some(one_unbatched.p50_ms)),
        grown_to_empty: None,
    }
}

fn grown_to_empty(growth: &Growth) -> Option<f64> {
    let most = growth.points.iter().max_by_key(|point| point.orders).filter(|point| point.orders > 0)?;
    ratio(Some(most.turns.grown_per_second), Some(most.turns.fresh_per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_at_its_bound() {
        let met = |wanted, found| TargetCheck::new("x", wanted, found).met;
        assert_eq!(met(Bound::AtLeast(0.5), Some(0.5)), Some(true));
        assert_eq!(met(Bound::AtLeast(0.5), Some(0.49)), Some(false));
        assert_eq!(met(Bound::AtMost(50.0), Some(50.0)), Some(true));
        assert_eq!(met(Bound::AtMost(50.0), Some(50.1)), Some(false));
        assert_eq!(met(Bound::AtMost(50.0), None), None);
    }

    #[test]
    fn a_ratio_to_nothing_is_none() {
        assert_eq!(ratio(Some(1.0), Some(0.0)), None);
        assert_eq!(ratio(None, Some(1.0)), None);
        assert_eq!(ratio(Some(1.0), Some(4.0)), Some(0.25));
    }

    #[test]
    fn a_coupon_rush_is_exact_to_the_coupon() {
        let rush = |given, issued, exhausted| {
            let target = Target::Batched;
            CouponRush { target, concurrency: 1, quantity: 5, users: 9, given, issued, exhausted }.is_exact()
        };
        assert!(rush(5, 5, true) && rush(3, 4, false));
        assert!(!rush(4, 5, true) && !rush(5, 6, true) && !rush(6, 6, false) && !rush(4, 4, true));
    }

    #[test]
    fn a_missing_file_is_an_empty_report_with_all_ratios() {
        let mut results = Results::load(Path::new("/nonexistent/results.json"));
        results.conclude();
        let json = serde_json::to_value(&results).expect("plain JSON");
        let names = "purchases_to_limit purchases_to_sysbench database_bytes_of_a_purchase hot_to_spread \
                     batched_to_unbatched coupons_to_purchases reads_to_constant single_caller_latency grown_to_empty";
        for name in names.split(' ') {
            assert!(json["ratios"].as_object().expect("an object").contains_key(name), "{name}");
        }
        assert!(results.targets.iter().all(|target| target.met.is_none()));
    }
}
