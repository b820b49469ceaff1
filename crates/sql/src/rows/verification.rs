use diesel::{Queryable, Selectable};
use jangteo_domain::Timestamp;
use jangteo_domain::id::VerificationId;
use jangteo_domain::verification::{HEARTBEAT_MAX, RunStatus, VerificationRun};

use crate::types::{At, Code, Id, Integer, codes};

codes! {
    RunStatus {
        Running = "running",
        Passed = "passed",
        Violated = "violated",
        Failed = "failed",
        Interrupted = "interrupted",
    }
}

/// A verification without its findings.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::verifications)]
pub(crate) struct RunRow {
    pub id: Id<VerificationId>,
    pub status: Code<RunStatus>,
    pub server: String,
    pub started_at: At,
    pub heartbeat_at: At,
    pub finished_at: Option<At>,
    pub step: Integer<u32>,
    pub violations: Integer<u64>,
    pub error: Option<String>,
}

impl RunRow {
    /// The run as it is at that time.
    pub(crate) fn seen(self, now: Timestamp, findings: String) -> VerificationRun {
        let At(heartbeat_at) = self.heartbeat_at;
        let is_lost = self.status.0 == RunStatus::Running && heartbeat_at <= now.saturating_sub(HEARTBEAT_MAX);
        VerificationRun {
            id: self.id.0,
            status: if is_lost { RunStatus::Interrupted } else { self.status.0 },
            server: self.server,
            started_at: self.started_at.0,
            finished_at: if is_lost { Some(heartbeat_at) } else { self.finished_at.map(|At(at)| at) },
            step: self.step.0,
            violations: self.violations.0,
            findings,
            error: self.error,
        }
    }
}
