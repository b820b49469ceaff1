//! The write path. A lane runs one transaction at a time, with all commands that arrived during the previous one; each
//! command has its own answer. Other writers of this crate: the relay, the pruner and `jangteo rebuild`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use async_trait::async_trait;
use jangteo_group_commit::{
    BatchOutcome, BatchReport, BatchRunner, Deadlines, Drain, GroupCommit, Observer, Settings, SubmitError,
    start_observed,
};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use jangteo_domain::command::Side;
use jangteo_domain::{Answer, BatchExecutor, Command, Request, StoreError};

use crate::catalog_version::CatalogVersion;
use crate::idempotency::InFlightGuard;
use crate::settings::LaneSettings;
use crate::telemetry;

/// A request with the lock of its key, for as long as it may take effect.
struct Job {
    request: Request,
    /// Dropped after the lane answers or discards the request, even if the caller has disconnected.
    in_flight: Option<InFlightGuard>,
    /// The span of the caller.
    span: Span,
}

struct Runner {
    executor: BatchExecutor,
    catalog_version: CatalogVersion,
}

#[async_trait]
impl BatchRunner for Runner {
    type Item = Job;
    type Answer = Result<Answer, StoreError>;

    async fn run(&mut self, batch: Vec<Job>) -> Vec<Self::Answer> {
        // A batch belongs to many traces, so its span has links instead of a parent.
        let span = tracing::info_span!("batch", size = batch.len());
        for job in &batch {
            span.follows_from(&job.span);
        }
        let (requests, in_flight): (Vec<Request>, Vec<Option<InFlightGuard>>) =
            batch.into_iter().map(|job| (job.request, job.in_flight)).unzip();
        let answers = self.executor.execute(&requests).instrument(span).await;
        let executed = requests.iter().zip(&answers);
        executed.for_each(|(request, answer)| self.catalog_version.record(&request.command, answer));
        drop(in_flight);
        answers
    }
}

/// Submits requests to the lanes. Cheap to clone.
#[derive(Clone)]
pub struct Lanes {
    lanes: GroupCommit<Job, Result<Answer, StoreError>>,
    catalog_version: CatalogVersion,
    queue_wait_max: Duration,
}

impl Lanes {
    /// Starts the lanes on the current runtime, which must be the main runtime.
    pub fn start(executor: &BatchExecutor, settings: LaneSettings) -> (Self, Drain) {
        let catalog_version = CatalogVersion::default();
        let runner = |_| Runner { executor: executor.clone(), catalog_version: catalog_version.clone() };
        let runners = (0..settings.write_lanes.get()).map(runner).collect();
        let bounds = Settings { batch_max: settings.batch_max, queue_max: settings.queue_max };
        let (lanes, drain) = start_observed(runners, bounds, BatchMetrics);
        (Self { lanes, catalog_version, queue_wait_max: settings.queue_wait_max }, drain)
    }

    /// Executes a caller's request and waits for the answer until the deadline; in the queue at most `QUEUE_WAIT_MAX`.
    ///
    /// # Errors
    /// The state of a request without an answer: rejected by the queue, or of unknown outcome.
    pub async fn submit(
        &self,
        request: Request,
        in_flight: Option<InFlightGuard>,
        deadline: Instant,
    ) -> Result<Result<Answer, StoreError>, SubmitError> {
        let deadlines = Deadlines { turn_by: Instant::now() + self.queue_wait_max, answer_by: deadline };
        self.run(request, in_flight, deadlines).await
    }

    /// As [`Lanes::submit`], for the shop's own commands, which wait in the queue until the deadline: load from callers
    /// must not starve them.
    ///
    /// # Errors
    /// As [`Lanes::submit`], except that the wait in the queue has no limit of its own.
    pub async fn submit_own(
        &self,
        request: Request,
        deadline: Instant,
    ) -> Result<Result<Answer, StoreError>, SubmitError> {
        self.run(request, None, deadline.into()).await
    }

    async fn run(
        &self,
        request: Request,
        in_flight: Option<InFlightGuard>,
        deadlines: Deadlines,
    ) -> Result<Result<Answer, StoreError>, SubmitError> {
        let affinity = affinity(&request.command);
        self.lanes.submit(Job { request, in_flight, span: Span::current() }, affinity, deadlines).await
    }

    /// Number of requests in the queue.
    pub fn depth(&self) -> usize {
        self.lanes.depth()
    }

    /// The version of the products, by the commands of these lanes.
    pub fn catalog_version(&self) -> &CatalogVersion {
        &self.catalog_version
    }
}

/// Each side has every second lane, where commands that contend for a row share a lane.
fn affinity(command: &Command) -> u64 {
    let (side, row) = command.rule().contention();
    let side = match side {
        Side::Stock => 0,
        Side::Wallet => 1,
    };
    // The remainder chooses the lane, so the last bit separates odd lanes from even ones.
    hash(row) << 1 | side
}

fn hash(key: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

struct BatchMetrics;

impl Observer for BatchMetrics {
    fn batch_finished(&self, batch: &BatchReport) {
        let outcome = match batch.outcome {
            BatchOutcome::Answered => "answered",
            BatchOutcome::Lost => "lost",
        };
        // Far below 2^52, up to which an f64 is exact.
        metrics::histogram!(telemetry::BATCH_SIZE, "outcome" => outcome).record(batch.size as f64);
        metrics::histogram!(telemetry::BATCH_SECONDS, "outcome" => outcome).record(batch.ran_for);
        metrics::histogram!(telemetry::QUEUE_SECONDS).record(batch.waited_max);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jangteo_domain::command::{CouponChoice, ExpireOrder, IssueCoupon, PayOrder};
    use jangteo_domain::id::{CampaignId, OrderId, ProductId};
    use jangteo_domain::testing::fixtures::{customer, user};
    use jangteo_domain_testing::{MemoryStore, TestShop, place};

    use super::*;

    #[test]
    fn sides_share_no_lane_and_commands_that_contend_for_a_row_share_one() {
        let shop = TestShop::new(MemoryStore::new().factory());
        let lane = |command| affinity(&command) % 4;
        let mut stock_lanes = BTreeSet::new();
        let mut wallet_lanes = BTreeSet::new();
        for _ in 0..100 {
            let product_id = ProductId::from(shop.ids.next_id());
            let place = |name| lane(Command::PlaceOrder(place(&user(name), &[(product_id, 1)])));
            assert_eq!(place("kim"), place("lee"), "the same product");

            let campaign_id = CampaignId::from(shop.ids.next_id());
            let issue = |name| lane(Command::IssueCoupon(IssueCoupon { campaign_id, user_id: user(name) }));
            assert_eq!(issue("kim"), issue("lee"), "the same campaign");

            let order_id = OrderId::from(shop.ids.next_id());
            let actor = customer(&user("kim"));
            let pay = lane(Command::PayOrder(PayOrder { order_id, actor, coupon: CouponChoice::None }));
            stock_lanes.extend([place("kim"), lane(Command::ExpireOrder(ExpireOrder { order_id }))]);
            wallet_lanes.extend([issue("kim"), pay]);
        }
        assert_eq!(Vec::from_iter(stock_lanes), [0, 2]);
        assert_eq!(Vec::from_iter(wallet_lanes), [1, 3]);
    }
}
