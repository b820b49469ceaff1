//! Commits that failed, until their markers are read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jangteo_domain::id::BatchId;

use super::Server;

/// The servers of these commits, by batch. Beyond a bound the oldest entry goes.
#[derive(Clone, Default)]
pub(super) struct InDoubt(Arc<Mutex<BTreeMap<BatchId, Server>>>);

impl InDoubt {
    const ENTRIES_MAX: usize = 1_000;

    fn entries(&self) -> MutexGuard<'_, BTreeMap<BatchId, Server>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, id: BatchId, server: Server) {
        let mut entries = self.entries();
        entries.insert(id, server);
        if entries.len() > Self::ENTRIES_MAX {
            entries.pop_first();
        }
    }

    /// Whether the commit may have taken effect without a trace on this server.
    pub(super) fn is_out_of_reach(&self, id: BatchId, server: &Server) -> bool {
        self.entries().get(&id).is_some_and(|begun_on| !server.shares_history_with(begun_on))
    }

    /// Removes a commit whose outcome is known.
    pub(super) fn forget(&self, id: BatchId) {
        self.entries().remove(&id);
    }
}
