//! How events leave the outbox: claimed under a lease, delivered at least once and in order per order, tried again
//! with growing pauses, and put aside where the data platform says that it will never take them.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

use crate::id::{EventId, OrderId};
use crate::page::Page;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// An event as it is sent; nothing of it ever changes but the number of attempts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// The event's id, the same on every attempt.
    pub id: EventId,
    /// The order that it tells of.
    pub order_id: OrderId,
    /// Its place among the events of that order.
    pub sequence: u32,
    /// The CloudEvents type.
    pub event_type: String,
    /// When it happened.
    pub at: Timestamp,
    /// The JSON text of its data.
    pub data: String,
    /// How often it was claimed to be sent, this time included.
    pub attempts: u32,
}

/// How the delivery of an event goes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Delivery {
    /// The event.
    pub event_id: EventId,
    /// The order that it tells of.
    pub order_id: OrderId,
    /// Its place among the events of that order.
    pub sequence: u32,
    /// The CloudEvents type.
    pub event_type: String,
    /// When it happened.
    pub at: Timestamp,
    /// How far the delivery has come.
    pub state: DeliveryState,
    /// Of a pending event: when it may be claimed next. Of any other: when it was recorded.
    pub due_at: Timestamp,
    /// How often it was claimed to be sent.
    pub attempts: u32,
    /// Why the last attempt that failed did.
    pub last_error: Option<FailureReason>,
    /// When the data platform was known to have it.
    pub delivered_at: Option<Timestamp>,
}

impl Delivery {
    /// The delivery begun anew, due now, however far it had come. The data platform gets the same event once more.
    pub fn replay(&self, now: Timestamp) -> Self {
        let begun_anew =
            Self { state: DeliveryState::Pending, due_at: now, attempts: 0, delivered_at: None, ..self.clone() };
        Self { last_error: None, ..begun_anew }
    }
}

/// Why a delivery is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum DeliveryRejection {
    /// There is no such event.
    #[error("there is no such event")]
    EventNotFound,
}

/// How far an event's delivery has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(from = "String", into = "String"))]
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
                let doubled = self.first.saturating_mul(1 << attempts.saturating_sub(1).min(30));
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
    fn puts_a_rejected_event_aside() {
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
