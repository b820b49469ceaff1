//! Retention of rows with a limited lifetime. The books themselves are never deleted.

use async_trait::async_trait;
use time::Duration;

use crate::store_error::StoreError;

/// Rows that are deleted by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PruneTarget {
    /// After deletion, a retry counts as a new request.
    AnsweredRequests,
    /// Markers of transactions whose commit got no reply.
    CommitMarkers,
    /// Events acknowledged by the data platform. Pending and dead events are retained.
    DeliveredEvents,
    /// Revocations of tokens that have all expired.
    TokenRevocations,
    /// Runs of the verification of the books.
    Verifications,
}

impl PruneTarget {
    /// In the order of pruning.
    pub const ALL: [Self; 5] = [
        Self::AnsweredRequests,
        Self::CommitMarkers,
        Self::DeliveredEvents,
        Self::TokenRevocations,
        Self::Verifications,
    ];

    /// A short name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::AnsweredRequests => "answered_requests",
            Self::CommitMarkers => "commit_markers",
            Self::DeliveredEvents => "delivered_events",
            Self::TokenRevocations => "token_revocations",
            Self::Verifications => "verifications",
        }
    }
}

/// Retention times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Since the answer.
    pub answered_requests: Duration,
    /// Since the acknowledgement by the data platform.
    pub delivered_events: Duration,
}

/// One day for answered requests, 30 days for events.
impl Default for Retention {
    fn default() -> Self {
        Self { answered_requests: Duration::days(1), delivered_events: Duration::days(30) }
    }
}

impl Retention {
    /// The retention time of commit markers. They are queried within the time of a request; a day leaves room for queries by
    /// hand.
    pub const COMMIT_MARKERS: Duration = Duration::days(1);

    /// The retention time of revocations, since their end. Covers the difference between the clocks of the database and
    /// of the servers, which decide when a token has expired.
    pub const TOKEN_REVOCATIONS: Duration = Duration::hours(1);
    /// The retention time of verifications, since their start.
    pub const VERIFICATIONS: Duration = Duration::days(90);

    /// The retention time of the target.
    pub fn of(&self, target: PruneTarget) -> Duration {
        match target {
            PruneTarget::AnsweredRequests => self.answered_requests,
            PruneTarget::CommitMarkers => Self::COMMIT_MARKERS,
            PruneTarget::DeliveredEvents => self.delivered_events,
            PruneTarget::TokenRevocations => Self::TOKEN_REVOCATIONS,
            PruneTarget::Verifications => Self::VERIFICATIONS,
        }
    }
}

/// Deletes expired rows.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Pruning: Send + Sync {
    /// Deletes the oldest rows of at least this `age` by the store's clock, at most `limit`, in a transaction of its own.
    /// Returns the number of deleted rows. Any number of servers may prune.
    async fn prune(&self, target: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError>;
}
