//! How events leave the outbox: claimed under a lease, delivered at least once and in order per order, tried again
//! with growing pauses, and put aside where the data platform says that it will never take them.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

use crate::id::{EventId, OrderId};
use crate::outbox::OutboxEvent;
use crate::page::Page;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// An event as it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// How its delivery goes, this attempt included.
    pub delivery: Delivery,
    /// The body, as it was stored.
    pub body: String,
}

/// The delivery of an event: its state machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The event's id, the same on every attempt.
    pub event_id: EventId,
    /// The order that it is about.
    pub order_id: OrderId,
    /// Its place among the events of that order.
    pub sequence: u32,
    /// The CloudEvents type.
    pub event_type: String,
    /// When it happened.
    pub at: Timestamp,
    /// The delivery's progress.
    pub state: DeliveryState,
    /// Of a pending event: when it may be claimed next. Of any other: when its outcome was recorded.
    pub due_at: Timestamp,
    /// How often it was claimed to be sent.
    pub attempts: u32,
    /// The claim that may record an outcome.
    pub lease: Option<Uuid>,
    /// Why the last failed attempt failed.
    pub last_error: Option<FailureReason>,
    /// When the data platform acknowledged it.
    pub delivered_at: Option<Timestamp>,
}

impl Delivery {
    /// The delivery of a new event, due at once.
    pub fn new(event: &OutboxEvent) -> Self {
        Self {
            event_id: event.id,
            order_id: event.order_id,
            sequence: event.sequence,
            event_type: event.event_type.clone(),
            at: event.at,
            state: DeliveryState::Pending,
            due_at: event.at,
            attempts: 0,
            lease: None,
            last_error: None,
            delivered_at: None,
        }
    }

    /// The delivery once it is claimed: hidden from other claims until the lease ends.
    pub fn claim(&self, lease: Uuid, lease_for: Duration, now: Timestamp) -> Self {
        let attempts = self.attempts.saturating_add(1);
        Self { lease: Some(lease), due_at: later(now, lease_for), attempts, ..self.clone() }
    }

    /// The delivery once the outcome of an attempt is recorded; `None` where its lease was lost, and the outcome with
    /// it.
    pub fn record(&self, attempt: &AttemptOutcome, now: Timestamp) -> Option<Self> {
        if self.lease != Some(attempt.lease) {
            return None;
        }
        let ended = Self { lease: None, due_at: now, ..self.clone() };
        Some(match &attempt.outcome {
            DeliveryOutcome::Delivered => Self { state: DeliveryState::Delivered, delivered_at: Some(now), ..ended },
            DeliveryOutcome::Retry { after, reason } => {
                Self { due_at: later(now, *after), last_error: Some(reason.clone()), ..ended }
            }
            DeliveryOutcome::Dead { reason } => {
                Self { state: DeliveryState::Dead, last_error: Some(reason.clone()), ..ended }
            }
        })
    }

    /// The delivery started again, due now, whatever its progress. A claim that is under way loses its lease.
    pub fn redeliver(&self, now: Timestamp) -> Self {
        Self {
            state: DeliveryState::Pending,
            due_at: now,
            attempts: 0,
            lease: None,
            last_error: None,
            delivered_at: None,
            ..self.clone()
        }
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(by.try_into().unwrap_or(time::Duration::MAX))
}

/// Why a delivery is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeliveryRejection {
    /// There is no such event.
    #[error("there is no such event")]
    EventNotFound,
}

/// How far an event's delivery has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeliveryState {
    /// To be sent when it is due.
    Pending,
    /// The data platform received it.
    Delivered,
    /// The data platform will never take it; it waits for somebody to look at it.
    Dead,
}

/// Why an attempt failed, in words of a bounded number: what is beyond it is cut off, as the words may be another's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailureReason(String);

impl FailureReason {
    /// The most characters that are kept.
    pub const LENGTH_MAX: usize = 500;

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<FailureReason> for String {
    fn from(reason: FailureReason) -> Self {
        reason.0
    }
}

impl From<String> for FailureReason {
    fn from(mut words: String) -> Self {
        if let Some((end, _)) = words.char_indices().nth(Self::LENGTH_MAX) {
            words.truncate(end);
        }
        Self(words)
    }
}

/// Sends events to the data platform.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait DataPlatform: Send + Sync {
    /// Sends the event and waits, for a bounded time, until the data platform says that it has it.
    ///
    /// # Errors
    /// [`DeliveryFailure`]; the event may have been received all the same.
    async fn deliver(&self, event: &StoredEvent) -> Result<(), DeliveryFailure>;
}

/// Why the data platform did not say that it has an event.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeliveryFailure {
    /// It will never take it.
    #[error("permanent failure: {reason}")]
    Permanent {
        /// What it said, in words.
        reason: String,
    },
    /// It may take it later.
    #[error("{reason}")]
    Transient {
        /// What went wrong, in words.
        reason: String,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
}

/// The outbox as a queue of events to deliver. All times are those of the store's clock.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait EventQueue: Send + Sync {
    /// Takes at most `limit` pending events that are due, in order of the time when they became so, counts the attempt,
    /// and hides them from other claims for `lease_for`. An event that is not recorded by then is due again.
    ///
    /// Of each order only the earliest event that is still pending is taken, so that an order's events are delivered one
    /// after the other. Events that another claim is just taking are passed over, not waited for. An event is found by
    /// its state and never by its place, so that one whose transaction commits late is not missed.
    async fn claim(&self, lease: Uuid, lease_for: Duration, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// Writes what became of claimed events. One whose lease was lost meanwhile is left as it is: somebody else
    /// delivers it again.
    async fn record(&self, recorded: &[AttemptOutcome]) -> Result<(), StoreError>;

    /// How many events wait, how many are put aside, and since when the oldest waits.
    async fn backlog(&self) -> Result<Backlog, StoreError>;
}

/// Reads how deliveries go.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait DeliveryQueries: Send + Sync {
    /// The events in a state, or all, newest first; the page's key is an event's id.
    async fn list(&self, state: Option<DeliveryState>, page: &Page<EventId>) -> Result<Vec<Delivery>, StoreError>;
}

/// A claimed event and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptOutcome {
    /// The event.
    pub event_id: EventId,
    /// The lease that it was claimed with.
    pub lease: Uuid,
    /// What became of it.
    pub outcome: DeliveryOutcome,
}

/// What became of a claimed event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryOutcome {
    /// It was received.
    Delivered,
    /// It is to be sent again after this pause.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Why.
        reason: FailureReason,
    },
    /// It will never be taken.
    Dead {
        /// Why.
        reason: FailureReason,
    },
}

/// What waits in the outbox.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Backlog {
    /// Events that are pending.
    pub pending: u64,
    /// Events that were put aside.
    pub dead: u64,
    /// How long the oldest pending event has waited since it happened; `None` where none does.
    pub oldest: Option<Duration>,
}

/// How long to wait before an event is sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// The pause after the first attempt, at most; it doubles with each.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

impl RetryPolicy {
    /// What becomes of an event after its attempt number `attempts` (from 1). `jitter`, from 0 to 1, is drawn anew each
    /// time: a pause is between half of what the policy says and all of it, so that events that failed together do not
    /// come again together. What the data platform asked for is kept, but never beyond an hour.
    pub fn outcome(&self, attempts: u32, failure: &DeliveryFailure, jitter: f64) -> DeliveryOutcome {
        match failure {
            DeliveryFailure::Permanent { reason } => DeliveryOutcome::Dead { reason: reason.clone().into() },
            DeliveryFailure::Transient { reason, retry_after } => {
                let doubled = self.first.saturating_mul(1_u32 << attempts.saturating_sub(1).min(30));
                let pause = doubled.min(self.longest).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
                let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                DeliveryOutcome::Retry { after: pause.max(asked), reason: reason.clone().into() }
            }
        }
    }
}

/// The longest that a data platform can ask to be left alone; a slip there must not hold events for days.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, noon_plus};

    const LEASE: Uuid = Uuid::from_u128(1);
    const OTHER_LEASE: Uuid = Uuid::from_u128(2);

    fn event_id() -> EventId {
        SequentialIds::id(1).into()
    }

    fn new() -> Delivery {
        Delivery::new(&OutboxEvent {
            id: event_id(),
            order_id: SequentialIds::id(2).into(),
            sequence: 3,
            at: NOON,
            event_type: "jangteo.order.refunded.v1".to_owned(),
            body: "{}".to_owned(),
        })
    }

    fn claimed() -> Delivery {
        new().claim(LEASE, Duration::from_secs(30), noon_plus(1))
    }

    fn outcome(lease: Uuid, outcome: DeliveryOutcome) -> AttemptOutcome {
        AttemptOutcome { event_id: event_id(), lease, outcome }
    }

    fn reason() -> FailureReason {
        "HTTP 503".to_owned().into()
    }

    fn outcomes() -> [DeliveryOutcome; 3] {
        [
            DeliveryOutcome::Delivered,
            DeliveryOutcome::Retry { after: Duration::from_secs(60), reason: reason() },
            DeliveryOutcome::Dead { reason: reason() },
        ]
    }

    /// Every state that a delivery can be in.
    fn states() -> Vec<Delivery> {
        let recorded = outcomes().map(|result| claimed().record(&outcome(LEASE, result), noon_plus(2)));
        recorded.into_iter().map(|delivery| delivery.expect("its lease")).chain([new(), claimed()]).collect()
    }

    #[test]
    fn a_new_delivery_is_due_at_once() {
        let expected = Delivery {
            event_id: event_id(),
            order_id: SequentialIds::id(2).into(),
            sequence: 3,
            event_type: "jangteo.order.refunded.v1".to_owned(),
            at: NOON,
            state: DeliveryState::Pending,
            due_at: NOON,
            attempts: 0,
            lease: None,
            last_error: None,
            delivered_at: None,
        };
        assert_eq!(new(), expected);
    }

    #[test]
    fn a_claim_counts_an_attempt_and_hides_the_event_until_its_lease_ends() {
        let expected = Delivery { lease: Some(LEASE), due_at: noon_plus(31), attempts: 1, ..new() };
        assert_eq!(claimed(), expected);
        let again = claimed().claim(OTHER_LEASE, Duration::from_secs(30), noon_plus(31));
        assert_eq!(again, Delivery { lease: Some(OTHER_LEASE), due_at: noon_plus(61), attempts: 2, ..new() });
        let longest = new().claim(LEASE, Duration::MAX, NOON);
        assert_eq!(longest.due_at, Timestamp::MAX);
    }

    #[test]
    fn an_outcome_ends_the_lease() {
        let ended = Delivery { lease: None, due_at: noon_plus(2), ..claimed() };
        let expected = [
            Delivery { state: DeliveryState::Delivered, delivered_at: Some(noon_plus(2)), ..ended.clone() },
            Delivery { due_at: noon_plus(62), last_error: Some(reason()), ..ended.clone() },
            Delivery { state: DeliveryState::Dead, last_error: Some(reason()), ..ended },
        ];
        for (result, expected) in outcomes().into_iter().zip(expected) {
            assert_eq!(claimed().record(&outcome(LEASE, result), noon_plus(2)), Some(expected));
        }
    }

    #[test]
    fn a_delivery_after_failures_retains_the_last_error() {
        let retry = outcome(LEASE, DeliveryOutcome::Retry { after: Duration::from_secs(60), reason: reason() });
        let failed = claimed().record(&retry, noon_plus(2)).expect("its lease");
        let claimed = failed.claim(OTHER_LEASE, Duration::from_secs(30), noon_plus(62));
        let delivered = claimed.record(&outcome(OTHER_LEASE, DeliveryOutcome::Delivered), noon_plus(63));
        let delivered = delivered.expect("its lease");
        assert_eq!((delivered.state, delivered.attempts), (DeliveryState::Delivered, 2));
        assert_eq!(delivered.last_error, Some(reason()));
    }

    #[test]
    fn an_outcome_whose_lease_was_lost_is_not_recorded() {
        let lost = claimed().claim(OTHER_LEASE, Duration::from_secs(30), noon_plus(31));
        let redelivered = claimed().redeliver(noon_plus(5));
        for result in outcomes() {
            let late = outcome(LEASE, result);
            assert_eq!(lost.record(&late, noon_plus(32)), None);
            assert_eq!(redelivered.record(&late, noon_plus(32)), None);
            assert_eq!(new().record(&late, noon_plus(32)), None, "it was never claimed");
            let recorded = claimed().record(&late, noon_plus(2)).expect("its lease");
            assert_eq!(recorded.record(&late, noon_plus(3)), None, "it is recorded once");
        }
    }

    #[test]
    fn redelivery_starts_from_every_state() {
        let expected = Delivery { due_at: noon_plus(90), ..new() };
        let states = states();
        assert_eq!(states.len(), 5);
        for before in states {
            assert_eq!(before.redeliver(noon_plus(90)), expected, "{before:?}");
        }
    }

    fn retryable(retry_after: Option<u64>) -> DeliveryFailure {
        DeliveryFailure::Transient { reason: "503".to_owned(), retry_after: retry_after.map(Duration::from_secs) }
    }

    fn pause(attempts: u32, retry_after: Option<u64>, jitter: f64) -> Duration {
        match RetryPolicy::default().outcome(attempts, &retryable(retry_after), jitter) {
            DeliveryOutcome::Retry { after, .. } => after,
            other @ (DeliveryOutcome::Delivered | DeliveryOutcome::Dead { .. }) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_permanent_failure_is_dead() {
        let rejected = DeliveryFailure::Permanent { reason: "410".to_owned() };
        let outcome = RetryPolicy::default().outcome(1, &rejected, 0.5);
        assert_eq!(outcome, DeliveryOutcome::Dead { reason: "410".to_owned().into() });
    }

    #[test]
    fn doubles_the_pause_up_to_the_longest() {
        let seconds: Vec<u64> = (1..=10).map(|attempts| pause(attempts, None, 1.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }

    #[test]
    fn waits_at_least_as_long_as_asked_but_not_for_days() {
        assert_eq!(pause(1, Some(90), 0.0), Duration::from_secs(90));
        assert_eq!(pause(1, Some(1_000_000), 0.0), Duration::from_secs(3_600));
        assert_eq!(pause(9, Some(1), 1.0), Duration::from_secs(256));
    }

    #[test]
    fn keeps_the_beginning_of_a_long_reason() {
        let reason = FailureReason::from("떡".repeat(FailureReason::LENGTH_MAX + 1));
        assert_eq!(reason.as_str(), "떡".repeat(FailureReason::LENGTH_MAX));
        assert_eq!(FailureReason::from("HTTP 503".to_owned()).as_str(), "HTTP 503");
    }

    proptest! {
        #[test]
        fn a_pause_is_between_half_and_all_of_what_the_policy_says(attempts in 1_u32.., jitter in 0.0..=1.0) {
            let full = pause(attempts, None, 1.0);
            let drawn = pause(attempts, None, jitter);
            prop_assert!(drawn <= full && drawn * 2 >= full);
        }
    }
}
