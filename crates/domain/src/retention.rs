//! How long what is only needed for a while is kept. Nothing of the books themselves is ever deleted.

use async_trait::async_trait;
use time::Duration;

use crate::store_error::StoreError;

/// What is deleted once it is old enough.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PruneTarget {
    /// Requests that were answered; sent again after that, one is a new request.
    AnsweredRequests,
    /// The rows by which transactions are recognised whose commit got no answer.
    CommitMarkers,
    /// Events that the data platform has. Those that wait or were put aside are kept.
    DeliveredEvents,
}

impl PruneTarget {
    /// All that is deleted.
    pub const ALL: [Self; 3] = [Self::AnsweredRequests, Self::CommitMarkers, Self::DeliveredEvents];

    /// A short name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::AnsweredRequests => "answered_requests",
            Self::CommitMarkers => "commit_markers",
            Self::DeliveredEvents => "delivered_events",
        }
    }
}

/// How long each is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Answered requests, since they were answered.
    pub answered_requests: Duration,
    /// Events, since the data platform was known to have them.
    pub delivered_events: Duration,
}

/// A day for answered requests, 30 days for events.
impl Default for Retention {
    fn default() -> Self {
        Self { answered_requests: Duration::days(1), delivered_events: Duration::days(30) }
    }
}

impl Retention {
    /// How long commit markers are kept. They are asked for within the time of a request, so a day is far more than
    /// enough, also for somebody who wants to know by hand.
    pub const COMMIT_MARKERS: Duration = Duration::days(1);

    /// How long that is kept.
    pub fn of(&self, what: PruneTarget) -> Duration {
        match what {
            PruneTarget::AnsweredRequests => self.answered_requests,
            PruneTarget::CommitMarkers => Self::COMMIT_MARKERS,
            PruneTarget::DeliveredEvents => self.delivered_events,
        }
    }
}

/// Deletes what is not needed any more.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Pruning: Send + Sync {
    /// Deletes the oldest rows that are `age` old or older by the store's clock, at most `limit`, in a transaction of its
    /// own, and answers how many they were. Any number of servers may prune.
    async fn prune(&self, what: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError>;
}
