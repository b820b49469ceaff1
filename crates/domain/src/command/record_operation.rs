use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::UserId;
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// An entry of the audit log for an operation outside of the write path. Changes nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordOperation {
    pub operation: Operation,
}

/// An operation of the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A token signed by the shop itself.
    IssueToken {
        user_id: UserId,
        /// As in the token; empty for none.
        scope: String,
        /// The lifetime of the token.
        expires_in_seconds: u64,
    },
    /// Recorded before the rebuild, which may fail.
    RebuildDailySales,
    /// Likewise.
    RebuildSearchIndex,
}

impl Operation {
    /// The subject in the audit log.
    pub fn subject(&self) -> Subject {
        match self {
            Self::IssueToken { user_id, .. } => Subject::User(user_id.clone()),
            Self::RebuildDailySales => Subject::Table("daily_sales"),
            Self::RebuildSearchIndex => Subject::Table("search_index"),
        }
    }
}

impl Decide for RecordOperation {
    // Stored: its meaning must never change.
    fn action(&self) -> Option<&'static str> {
        Some(match self.operation {
            Operation::IssueToken { .. } => "issue_token",
            Operation::RebuildDailySales => "rebuild_daily_sales",
            Operation::RebuildSearchIndex => "rebuild_search_index",
        })
    }

    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, None)
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, _locks: &mut LockSet) {}

    fn decide(&self, _set: &WorkingSet, _context: &Context<'_>) -> Result<Decision, Rejection> {
        let reply = Reply::OperationRecorded(self.operation.clone());
        Ok(Decision { reply, states: States::default(), appended: Appended::default() })
    }
}
