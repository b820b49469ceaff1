//! Delivers the events of the outbox to the data platform. Any number of relays may run, in servers or by themselves:
//! the queue gives each event to one of them at a time, and of each order one event at a time.
//!
//! ```text
//! claim ── up to IN_FLIGHT_MAX deliveries ── record
//! ```
//!
//! Claims, deliveries and outcomes go on side by side, so one delivery that hangs holds back nothing but its own
//! slot. Nobody waits for the relay: a payment has long been answered when its event is sent. A relay that dies loses
//! nothing, as its leases run out and the events are claimed again.

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

use crate::telemetry;
use crate::telemetry::chain;

pub use backlog::sample_backlog;
use circuit_breaker::{Allowance, CircuitBreaker};

/// The most events that are sent at the same time: enough to hide a platform's latency, few enough to be polite.
const IN_FLIGHT_MAX: u32 = 32;
/// The fewest free slots that are worth a claim, so that a fast platform does not cause a claim for each event.
const CLAIM_MIN: u32 = 8;
/// The pause after a claim that found nothing; it doubles up to [`IDLE_MAX`].
const IDLE_FIRST: Duration = Duration::from_millis(200);
/// The longest that a new event waits to be noticed.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// The longest pause while the database is away.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// How much longer than a delivery may take a claimed event is held, for its outcome to be written.
const SETTLING_MAX: Duration = Duration::from_secs(2);
/// How often a outcome is tried. After that the lease has run out, and the events are delivered again.
const SETTLE_ATTEMPTS_MAX: u32 = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// A worker that delivers events.
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

/// What a claim came to.
enum Claimed {
    /// As many events as there was room for, so there may be more.
    Full,
    /// All that are due.
    All,
    /// None.
    Nothing,
    /// The store failed.
    Failed,
}

/// How long to wait before the next claim.
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
    /// A relay from the queue to the data platform, one delivery to which takes at most `delivery_max`.
    pub fn new(
        queue: Arc<dyn EventQueue>,
        platform: Arc<dyn DataPlatform>,
        ids: Arc<dyn IdSource>,
        policy: RetryPolicy,
        delivery_max: Duration,
    ) -> Self {
        let shared = Arc::new(Shared { queue, platform, policy, circuit_breaker: CircuitBreaker::new(policy) });
        // Every claimed event is sent at once, so there is one round for the lease to cover.
        Self { shared, ids, lease_for: 2 * delivery_max + SETTLING_MAX }
    }

    /// Delivers until `shutdown` is cancelled; then claims no more, waits for the deliveries that are under way, each at
    /// most its own time-out, and records their outcomes.
    pub async fn run(self, shutdown: CancellationToken) {
        let (finished, to_record) = mpsc::channel(IN_FLIGHT_MAX as usize);
        let recording = tokio::spawn(Arc::clone(&self.shared).record_all(to_record));
        self.claim_all(&shutdown, &finished).await;
        // The recording ends once the deliveries that are under way have ended, too: each has a sender of its own.
        drop(finished);
        if let Err(error) = recording.await {
            tracing::error!(%error, "events are not recorded; they will be delivered again");
        }
    }

    /// Claims and sends again and again.
    async fn claim_all(&self, shutdown: &CancellationToken, finished: &mpsc::Sender<AttemptOutcome>) {
        let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize));
        let mut pauses = Pauses::default();
        while !shutdown.is_cancelled() {
            // A claim is never left half-way: what it took would wait for its lease to end.
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

    /// Fills the free slots with events and has them sent.
    async fn claim_and_send(&self, mut free: OwnedSemaphorePermit, finished: &mpsc::Sender<AttemptOutcome>) -> Claimed {
        let wanted = free.num_permits();
        let lease = self.ids.next_id();
        // There are at most IN_FLIGHT_MAX of them.
        let events = match self.shared.queue.claim(lease, self.lease_for, wanted as u32).await {
            Ok(events) => events,
            Err(error) => return cannot_claim(&error),
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
                // Nobody records any more once the relay itself has gone; the lease runs out.
                let event_id = event.delivery.event_id;
                let _gone = finished.send(AttemptOutcome { event_id, lease, outcome }).await;
                drop(slot);
            });
        }
        claimed
    }

    /// Sends one event and waits for what becomes of it.
    async fn probe(&self, finished: &mpsc::Sender<AttemptOutcome>) -> Claimed {
        let lease = self.ids.next_id();
        let events = match self.shared.queue.claim(lease, self.lease_for, 1).await {
            Ok(events) => events,
            Err(error) => return cannot_claim(&error),
        };
        let Some(event) = events.first() else { return Claimed::Nothing };
        let outcome = self.shared.deliver(event).await;
        let event_id = event.delivery.event_id;
        let _gone = finished.send(AttemptOutcome { event_id, lease, outcome }).await;
        Claimed::Full
    }
}

/// All slots that are free, once there are enough of them.
async fn free_slots(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let slots = Arc::clone(slots);
    let mut free = Arc::clone(&slots).acquire_many_owned(CLAIM_MIN).await.expect("nobody closes it");
    while let Ok(one_more) = Arc::clone(&slots).try_acquire_owned() {
        free.merge(one_more);
    }
    free
}

fn cannot_claim(error: &jangteo_domain::StoreError) -> Claimed {
    tracing::warn!(kind = error.kind(), cause = chain(error), "events cannot be claimed");
    Claimed::Failed
}

impl Shared {
    /// Sends an event once and says what becomes of it.
    #[tracing::instrument(
        name = "delivery",
        skip_all,
        fields(event_id = %event.delivery.event_id, order_id = %event.delivery.order_id),
    )]
    async fn deliver(&self, event: &StoredEvent) -> DeliveryOutcome {
        let began_at = Instant::now();
        let delivered = self.platform.deliver(event).await;
        self.circuit_breaker.note(&delivered, Instant::now(), rand::random());
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
        metrics::histogram!(telemetry::DELIVERY_SECONDS, "outcome" => name).record(began_at.elapsed());
        log_delivery(&event.delivery, &delivered);
        outcome
    }

    /// Records what is delivered until nobody delivers any more: what comes in while one outcome is written is
    /// recorded together in the next.
    async fn record_all(self: Arc<Self>, mut finished: mpsc::Receiver<AttemptOutcome>) {
        let mut recorded = Vec::new();
        while finished.recv_many(&mut recorded, IN_FLIGHT_MAX as usize).await > 0 {
            self.record(&recorded).await;
            recorded.clear();
        }
    }

    async fn record(&self, recorded: &[AttemptOutcome]) {
        let mut pause = SETTLE_PAUSE;
        for attempt in 1..=SETTLE_ATTEMPTS_MAX {
            // Said twice it counts once, so whatever became of the last attempt is no question.
            let Err(error) = self.queue.record(recorded).await else { return };
            let (kind, cause, count) = (error.kind(), chain(&error), recorded.len());
            if attempt == SETTLE_ATTEMPTS_MAX {
                tracing::error!(kind, cause, count, "deliveries cannot be recorded; the events will be sent again");
                return;
            }
            tracing::warn!(kind, cause, count, attempt, "deliveries cannot be recorded yet");
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
            tracing::debug!(%event_id, %order_id, attempts, reason = %failure, "not delivered yet");
        }
        Err(failure @ DeliveryFailure::Permanent { .. }) => {
            tracing::error!(%event_id, %order_id, attempts, reason = %failure, "put aside: the data platform rejects it");
        }
    }
}

/// A relay in a task of its own.
pub struct RunningRelay {
    /// Ends it, once the deliveries that are under way are recorded.
    pub shutdown: CancellationToken,
    /// Finishes when it has ended.
    pub task: JoinHandle<()>,
}

impl RunningRelay {
    /// Starts it on the current runtime, which must be the main one.
    pub fn start(relay: Relay) -> Self {
        let shutdown = CancellationToken::new();
        Self { task: tokio::spawn(relay.run(shutdown.clone())), shutdown }
    }
}

#[cfg(test)]
mod tests;
