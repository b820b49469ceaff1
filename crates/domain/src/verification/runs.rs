//! Verifications as rows, so that every server sees the one that runs, whichever server runs it.

use async_trait::async_trait;
use time::Duration;

use crate::id::VerificationId;
use crate::idempotency::RequestKey;
use crate::page::Page;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// The interval between two heartbeats of a run.
pub const HEARTBEAT_INTERVAL: Duration = Duration::seconds(5);
/// The age of the last heartbeat from which a run is interrupted, for good: its server can no longer record anything
/// for it.
pub const HEARTBEAT_MAX: Duration = Duration::seconds(30);

/// The status of a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RunStatus {
    /// Its last heartbeat is younger than [`HEARTBEAT_MAX`].
    Running,
    /// The books agree.
    Passed,
    /// The books disagree.
    Violated,
    /// The store failed.
    Failed,
    /// Its server was shut down or is gone.
    Interrupted,
}

/// A run, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct VerificationRun {
    pub id: VerificationId,
    /// By the heartbeat at the time of the read.
    pub status: RunStatus,
    /// A name of the server that runs it.
    pub server: String,
    pub started_at: Timestamp,
    /// Of an interrupted run, its last heartbeat.
    pub finished_at: Option<Timestamp>,
    /// The number of the part that runs or ran last, from 1.
    pub step: u32,
    /// The number of findings.
    pub violations: u64,
    /// A JSON array of the first ones; not in lists.
    pub findings: String,
    /// Of a failed run.
    pub error: Option<String>,
}

/// The result of [`VerificationRuns::begin`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// The run of the given id has begun.
    Started(VerificationRun),
    /// The same request has started this run before.
    Repeated(VerificationRun),
    /// Another run is not over.
    Running(VerificationId),
}

/// The progress of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are those of VerificationRun")]
pub struct RunProgress {
    pub step: u32,
    pub violations: u64,
    pub findings: String,
}

/// The end of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are those of RunStatus")]
pub enum RunEnd {
    Passed,
    Violated,
    Failed { error: String },
    Interrupted,
}

impl RunEnd {
    /// The status of a run with this end.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Passed => RunStatus::Passed,
            Self::Violated => RunStatus::Violated,
            Self::Failed { .. } => RunStatus::Failed,
            Self::Interrupted => RunStatus::Interrupted,
        }
    }
}

/// Stores verifications. Times are the database's.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait VerificationRuns: Send + Sync {
    /// Begins a run, unless one runs in any server, or the request of that key has begun one before. A run without a
    /// heartbeat for [`HEARTBEAT_MAX`] is recorded as interrupted, and is in the way of none.
    async fn begin(&self, id: VerificationId, request: Option<RequestKey>, server: &str) -> Result<Begun, StoreError>;

    /// Records the heartbeat and the progress of a run; `false`, without any effect, where it is over or interrupted.
    async fn record(&self, id: VerificationId, progress: &RunProgress) -> Result<bool, StoreError>;

    /// As [`record`](Self::record), and ends the run.
    async fn end(&self, id: VerificationId, progress: &RunProgress, end: &RunEnd) -> Result<bool, StoreError>;

    /// A run with its findings.
    async fn find(&self, id: VerificationId) -> Result<Option<VerificationRun>, StoreError>;

    /// The runs, newest first, without their findings; the page's key is a run's id.
    async fn list(&self, page: &Page<VerificationId>) -> Result<Vec<VerificationRun>, StoreError>;
}
