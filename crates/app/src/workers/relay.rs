//! Delivers the events of the outbox to the data platform. Any number of relays may run, inside servers or alone: the
//! queue leases each event to one relay at a time, and one event of an order at a time.
//!
//! ```text
//! claim ── up to IN_FLIGHT_MAX deliveries ── record
//! ```
//!
//! Claims, deliveries and the recording of outcomes run concurrently, so a hanging delivery blocks only its own slot.
//! No request waits for the relay. A crash loses nothing: the leases expire and the events are claimed again.

mod backlog;
mod circuit_breaker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use jangteo_domain::IdSource;
use jangteo_domain::delivery::{
    AttemptOutcome, DataPlatform, Delivery, DeliveryFailure, DeliveryOutcome, EventQueue, RetryPolicy, StoredEvent,
};

use crate::error_chain::chain;
use crate::telemetry;

pub use backlog::sample_backlog;
use circuit_breaker::{Allowance, CircuitBreaker};

/// Maximum concurrent deliveries: enough to hide the platform's latency, without overloading it.
const IN_FLIGHT_MAX: u32 = 32;
/// Minimum free slots for a claim, so that a fast platform does not cause a claim per event.
const CLAIM_MIN: u32 = 8;
/// Pause after an empty claim; doubles up to [`IDLE_MAX`].
const IDLE_FIRST: Duration = Duration::from_millis(200);
/// Maximum wait of a new event for the next claim.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Maximum pause while the database is unavailable.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// Part of a lease for the recording of the outcome.
const RECORDING_MAX: Duration = Duration::from_secs(2);
/// Maximum attempts to record outcomes. Then the leases expire, and the events are delivered again.
const RECORD_ATTEMPTS_MAX: u32 = 5;
const RECORD_PAUSE: Duration = Duration::from_millis(100);

/// Claims due events, sends them and records the outcomes.
pub struct Relay {
    shared: Arc<Shared>,
    ids: Arc<dyn IdSource>,
    lease_for: Duration,
}

struct Shared {
    queue: Arc<dyn EventQueue>,
    platform: Arc<dyn DataPlatform>,
    policy: RetryPolicy,
    circuit_breaker: CircuitBreaker,
}

/// The outcome of a claim.
enum Claimed {
    /// An event per free slot; more may be due.
    Full,
    /// Fewer events than free slots, so all due ones.
    All,
    Nothing,
    /// An error of the store.
    Failed,
}

/// The pauses between claims.
struct Pauses {
    idle: Duration,
    away: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { idle: IDLE_FIRST, away: IDLE_FIRST }
    }
}

impl Pauses {
    fn after(&mut self, claimed: &Claimed) -> Duration {
        let Self { idle, away } = *self;
        match claimed {
            Claimed::Full => *self = Self::default(),
            Claimed::All => *self = Self { idle: IDLE_MAX.min(2 * IDLE_FIRST), away: IDLE_FIRST },
            Claimed::Nothing => *self = Self { idle: IDLE_MAX.min(2 * idle), away: IDLE_FIRST },
            Claimed::Failed => *self = Self { idle, away: AWAY_MAX.min(2 * away) },
        }
        match claimed {
            Claimed::Full => Duration::ZERO,
            Claimed::All => IDLE_FIRST,
            Claimed::Nothing => idle,
            Claimed::Failed => away,
        }
    }
}

impl Relay {
    /// A relay from the queue to the data platform. `delivery_max` is the timeout of one delivery.
    pub fn new(
        queue: Arc<dyn EventQueue>,
        platform: Arc<dyn DataPlatform>,
        ids: Arc<dyn IdSource>,
        policy: RetryPolicy,
        delivery_max: Duration,
    ) -> Self {
        let shared = Arc::new(Shared { queue, platform, policy, circuit_breaker: CircuitBreaker::new(policy) });
        // Every claimed event is sent immediately, so a lease covers one delivery.
        Self { shared, ids, lease_for: 2 * delivery_max + RECORDING_MAX }
    }

    /// Delivers until `shutdown` is cancelled; then waits for the deliveries in flight, each at most its timeout, and
    /// records their outcomes.
    pub async fn run(self, shutdown: CancellationToken) {
        let (finished, to_record) = mpsc::channel(IN_FLIGHT_MAX as usize);
        let recording = tokio::spawn(Arc::clone(&self.shared).record_all(to_record));
        self.claim_all(&shutdown, &finished).await;
        // Recording ends after the deliveries in flight: each has a sender.
        drop(finished);
        if let Err(error) = recording.await {
            tracing::error!(%error, "the recording of outcomes failed; events will be delivered again");
        }
    }

    /// Claims and sends in a loop.
    async fn claim_all(&self, shutdown: &CancellationToken, finished: &mpsc::Sender<AttemptOutcome>) {
        let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize));
        let mut pauses = Pauses::default();
        while !shutdown.is_cancelled() {
            // A claim is never cancelled: its events would wait for the end of their lease.
            let claimed = match self.shared.circuit_breaker.allowance(Instant::now()) {
                Allowance::All => {
                    let Some(free) = shutdown.run_until_cancelled(free_slots(&slots)).await else { return };
                    self.claim_and_send(free, finished).await
                }
                Allowance::Probe => self.probe(finished).await,
                Allowance::NothingUntil(until) => match shutdown.run_until_cancelled(sleep_until(until)).await {
                    Some(()) => continue,
                    None => return,
                },
            };
            let pause = pauses.after(&claimed);
            shutdown.run_until_cancelled(sleep(pause.mul_f64(rand::random_range(0.75..=1.0)))).await;
        }
    }

    /// Claims an event for each free slot and sends them in tasks.
    async fn claim_and_send(&self, mut free: OwnedSemaphorePermit, finished: &mpsc::Sender<AttemptOutcome>) -> Claimed {
        let wanted = free.num_permits();
        let lease = self.ids.next_id();
        // At most IN_FLIGHT_MAX.
        let events = match self.shared.queue.claim(lease, self.lease_for, wanted as u32).await {
            Ok(events) => events,
            Err(error) => return failed_claim(&error),
        };
        let claimed = match events.len() {
            0 => Claimed::Nothing,
            some if some < wanted => Claimed::All,
            _ => Claimed::Full,
        };
        for event in events {
            let slot = free.split(1);
            let (shared, finished) = (Arc::clone(&self.shared), finished.clone());
            tokio::spawn(async move {
                let outcome = shared.deliver(&event).await;
                // Without a receiver the relay was aborted; the lease expires.
                let event_id = event.delivery.event_id;
                let _gone = finished.send(AttemptOutcome { event_id, lease, outcome }).await;
                drop(slot);
            });
        }
        claimed
    }

    /// Sends one event and waits for its outcome.
    async fn probe(&self, finished: &mpsc::Sender<AttemptOutcome>) -> Claimed {
        let lease = self.ids.next_id();
        let events = match self.shared.queue.claim(lease, self.lease_for, 1).await {
            Ok(events) => events,
            Err(error) => return failed_claim(&error),
        };
        let Some(event) = events.first() else { return Claimed::Nothing };
        let outcome = self.shared.deliver(event).await;
        let event_id = event.delivery.event_id;
        let _gone = finished.send(AttemptOutcome { event_id, lease, outcome }).await;
        Claimed::Full
    }
}

/// All free slots, once there are at least [`CLAIM_MIN`].
async fn free_slots(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let slots = Arc::clone(slots);
    let mut free = Arc::clone(&slots).acquire_many_owned(CLAIM_MIN).await.expect("it is never closed");
    while let Ok(one_more) = Arc::clone(&slots).try_acquire_owned() {
        free.merge(one_more);
    }
    free
}

fn failed_claim(error: &jangteo_domain::StoreError) -> Claimed {
    tracing::warn!(kind = error.kind(), cause = chain(error), "cannot claim events");
    Claimed::Failed
}

impl Shared {
    /// Attempts to deliver an event once.
    #[tracing::instrument(
        name = "delivery",
        skip_all,
        fields(event_id = %event.delivery.event_id, order_id = %event.delivery.order_id),
    )]
    async fn deliver(&self, event: &StoredEvent) -> DeliveryOutcome {
        let started_at = Instant::now();
        let delivered = self.platform.deliver(event).await;
        self.circuit_breaker.record(&delivered, Instant::now(), rand::random());
        let outcome = match &delivered {
            Ok(()) => DeliveryOutcome::Delivered,
            Err(failure) => self.policy.outcome(event.delivery.attempts, failure, rand::random()),
        };
        let name = match &outcome {
            DeliveryOutcome::Delivered => "delivered",
            DeliveryOutcome::Retry { .. } => "retry",
            DeliveryOutcome::Dead { .. } => "dead",
        };
        metrics::counter!(telemetry::DELIVERIES, "outcome" => name).increment(1);
        metrics::histogram!(telemetry::DELIVERY_SECONDS, "outcome" => name).record(started_at.elapsed());
        log_delivery(&event.delivery, &delivered);
        outcome
    }

    /// Records outcomes until all senders are dropped. Outcomes that arrive during a write are recorded together by the
    /// next.
    async fn record_all(self: Arc<Self>, mut finished: mpsc::Receiver<AttemptOutcome>) {
        let mut recorded = Vec::new();
        while finished.recv_many(&mut recorded, IN_FLIGHT_MAX as usize).await > 0 {
            self.record(&recorded).await;
            recorded.clear();
        }
    }

    async fn record(&self, recorded: &[AttemptOutcome]) {
        let mut pause = RECORD_PAUSE;
        for attempt in 1..=RECORD_ATTEMPTS_MAX {
            // Recording is idempotent, so the fate of the last attempt does not matter.
            let Err(error) = self.queue.record(recorded).await else { return };
            let (kind, cause, count) = (error.kind(), chain(&error), recorded.len());
            if attempt == RECORD_ATTEMPTS_MAX {
                tracing::error!(kind, cause, count, "cannot record deliveries; the events will be sent again");
                return;
            }
            tracing::warn!(kind, cause, count, attempt, "cannot record deliveries yet");
            sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
            pause *= 2;
        }
    }
}

fn log_delivery(delivery: &Delivery, delivered: &Result<(), DeliveryFailure>) {
    let Delivery { event_id, order_id, attempts, .. } = delivery;
    match delivered {
        Ok(()) => tracing::debug!(%event_id, %order_id, attempts, "delivered"),
        Err(failure @ DeliveryFailure::Transient { .. }) => {
            tracing::debug!(%event_id, %order_id, attempts, reason = %failure, "delivery failed; retry scheduled");
        }
        Err(failure @ DeliveryFailure::Permanent { .. }) => {
            tracing::error!(%event_id, %order_id, attempts, reason = %failure, "the data platform rejected the event");
        }
    }
}

/// A relay in its own task.
pub struct RunningRelay {
    /// Stops it after the deliveries in flight are recorded.
    pub shutdown: CancellationToken,
    /// Completes once the relay has stopped.
    pub task: JoinHandle<()>,
}

impl RunningRelay {
    /// Starts it on the current runtime, which must be the main runtime.
    pub fn start(relay: Relay) -> Self {
        let shutdown = CancellationToken::new();
        Self { task: tokio::spawn(relay.run(shutdown.clone())), shutdown }
    }
}

#[cfg(test)]
mod tests;
