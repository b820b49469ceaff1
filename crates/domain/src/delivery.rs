//! Delivery of outbox events: leased, delivered at least once and in sequence per order, retried with exponential backoff,
//! and dead after a permanent failure.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

use crate::id::{EventId, OrderId};
use crate::outbox::OutboxEvent;
use crate::page::Page;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// An event to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// Includes the current attempt.
    pub delivery: Delivery,
    /// Sent unchanged.
    pub body: String,
}

/// The state machine of an event's delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Delivery {
    /// The same on every attempt.
    pub event_id: EventId,
    pub order_id: OrderId,
    /// Position among the events of that order.
    pub sequence: u32,
    /// The CloudEvents type.
    pub event_type: String,
    pub at: Timestamp,
    pub state: DeliveryState,
    /// Of a pending event: the time of the next possible claim. Otherwise: the time of its outcome.
    pub due_at: Timestamp,
    /// The number of claims.
    pub attempts: u32,
    /// Identifies the claim that may record an outcome.
    pub lease: Option<Uuid>,
    /// The reason of the last failed attempt.
    pub last_error: Option<FailureReason>,
    pub delivered_at: Option<Timestamp>,
}

impl Delivery {
    /// The delivery of a new event, due immediately.
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

    /// Claims the delivery: other claims skip it until the lease ends.
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

    /// Restarts the delivery in any state, due now. A running claim loses its lease.
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

/// Reasons to reject a command on a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum DeliveryRejection {
    #[error("there is no such event")]
    EventNotFound,
}

/// The state of an event's delivery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeliveryState {
    /// Sent when due.
    Pending,
    /// Acknowledged by the data platform.
    Delivered,
    /// Rejected permanently; left to the operator.
    Dead,
}

/// The reason of a failed attempt, truncated to [`FailureReason::LENGTH_MAX`], as it may contain text of the data platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailureReason(String);

impl FailureReason {
    /// In characters.
    pub const LENGTH_MAX: usize = 500;

    /// The reason as a string slice.
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
    fn from(mut text: String) -> Self {
        if let Some((end, _)) = text.char_indices().nth(Self::LENGTH_MAX) {
            text.truncate(end);
        }
        Self(text)
    }
}

/// Sends events to the data platform.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait DataPlatform: Send + Sync {
    /// Sends the event and waits for the acknowledgement, with a timeout.
    ///
    /// # Errors
    /// [`DeliveryFailure`]; the event may have been received nevertheless.
    async fn deliver(&self, event: &StoredEvent) -> Result<(), DeliveryFailure>;
}

/// The reason of a missing acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum DeliveryFailure {
    /// Retries cannot succeed.
    #[error("permanent failure: {reason}")]
    Permanent { reason: String },
    /// A retry may succeed.
    #[error("{reason}")]
    Transient {
        reason: String,
        /// The minimum pause requested by the data platform.
        retry_after: Option<Duration>,
    },
}

/// The outbox as a queue of events to deliver. All times are by the store's clock.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait EventQueue: Send + Sync {
    /// Claims at most `limit` due events, ordered by due time, counts the attempt, and hides them from other claims for
    /// `lease_for`. An event without a recorded outcome by then is due again.
    ///
    /// Only the earliest pending event of each order is claimed, so that its events are delivered sequentially. Events that
    /// another claim has locked are skipped. Events are selected by state, never by position, so that late commits are not
    /// missed.
    async fn claim(&self, lease: Uuid, lease_for: Duration, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// Records the outcomes of claimed events. An outcome whose lease was lost is discarded: the event has been claimed
    /// again or redelivered.
    async fn record(&self, recorded: &[AttemptOutcome]) -> Result<(), StoreError>;

    /// Statistics for metrics and alerts.
    async fn backlog(&self) -> Result<Backlog, StoreError>;
}

/// Reads deliveries, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait DeliveryQueries: Send + Sync {
    /// The deliveries in a state, or all, newest first; the page's key is an event id.
    async fn list(&self, state: Option<DeliveryState>, page: &Page<EventId>) -> Result<Vec<Delivery>, StoreError>;
}

/// The outcome of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct AttemptOutcome {
    pub event_id: EventId,
    pub lease: Uuid,
    pub outcome: DeliveryOutcome,
}

/// The outcome of a delivery attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum DeliveryOutcome {
    Delivered,
    Retry {
        after: Duration,
        reason: FailureReason,
    },
    /// No further attempt.
    Dead {
        reason: FailureReason,
    },
}

/// Statistics of undelivered events.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Backlog {
    pub pending: u64,
    pub dead: u64,
    /// The age of the oldest pending event; `None` without one.
    pub oldest: Option<Duration>,
}

/// Exponential backoff between attempts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// The maximum pause after the first attempt; doubles with each attempt.
    pub first: Duration,
    /// The upper bound of all pauses.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

impl RetryPolicy {
    /// The outcome of failed attempt number `attempts` (from 1). `jitter` is random, from 0 to 1, and scales the pause to 50
    /// to 100 %, so that simultaneous failures are not retried simultaneously. A pause requested by the data platform is
    /// respected up to one day.
    pub fn outcome(&self, attempts: u32, failure: &DeliveryFailure, jitter: f64) -> DeliveryOutcome {
        match failure {
            DeliveryFailure::Permanent { reason } => DeliveryOutcome::Dead { reason: reason.clone().into() },
            DeliveryFailure::Transient { reason, retry_after } => {
                let doubled = self.first.saturating_mul(1_u32 << attempts.saturating_sub(1).min(30));
                let pause = doubled.min(self.longest).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
                let requested = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                DeliveryOutcome::Retry { after: pause.max(requested), reason: reason.clone().into() }
            }
        }
    }
}

/// The maximum of `retry_after`: a misconfigured data platform must not delay events for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, event, noon_plus};

    const LEASE: Uuid = Uuid::from_u128(1);
    const OTHER_LEASE: Uuid = Uuid::from_u128(2);

    fn event_id() -> EventId {
        SequentialIds::id(1).into()
    }

    fn new() -> Delivery {
        Delivery::new(&event(event_id(), SequentialIds::id(2).into(), 3))
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

    /// A delivery in every state.
    fn states() -> Vec<Delivery> {
        let recorded = outcomes().map(|result| claimed().record(&outcome(LEASE, result), noon_plus(2)));
        recorded.into_iter().map(|delivery| delivery.expect("its lease")).chain([new(), claimed()]).collect()
    }

    #[test]
    fn a_new_delivery_is_due_immediately() {
        let expected = Delivery {
            event_id: event_id(),
            order_id: SequentialIds::id(2).into(),
            sequence: 3,
            event_type: "jangteo.order.paid.v1".to_owned(),
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
            assert_eq!(new().record(&late, noon_plus(32)), None, "never claimed");
            let recorded = claimed().record(&late, noon_plus(2)).expect("its lease");
            assert_eq!(recorded.record(&late, noon_plus(3)), None, "recorded already");
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
    fn the_pause_doubles_up_to_its_maximum() {
        let seconds: Vec<u64> = (1..=10).map(|attempts| pause(attempts, None, 1.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }

    #[test]
    fn a_requested_pause_is_respected_up_to_a_day() {
        assert_eq!(pause(1, Some(86_399), 0.0), Duration::from_secs(86_399));
        assert_eq!(pause(1, Some(u64::MAX), 0.0), Duration::from_secs(86_400));
        assert_eq!(pause(9, Some(1), 1.0), Duration::from_secs(256));
    }

    #[test]
    fn a_long_reason_is_truncated() {
        let reason = FailureReason::from("떡".repeat(FailureReason::LENGTH_MAX + 1));
        assert_eq!(reason.as_str(), "떡".repeat(FailureReason::LENGTH_MAX));
        assert_eq!(FailureReason::from("HTTP 503".to_owned()).as_str(), "HTTP 503");
    }

    proptest! {
        #[test]
        fn jitter_scales_a_pause_to_between_half_and_all_of_it(attempts in 1_u32.., jitter in 0.0..=1.0) {
            let full = pause(attempts, None, 1.0);
            let drawn = pause(attempts, None, jitter);
            prop_assert!(drawn <= full && drawn * 2 >= full);
        }
    }
}
