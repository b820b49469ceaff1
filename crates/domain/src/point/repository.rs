use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::id::UserId;
use crate::point::{PointAccount, PointEntry};
use crate::store_error::StoreError;

/// Writes accounts and their ledgers, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait PointRepository: Send {
    /// Makes an empty account for each user that has none, and leaves the others as they are, so that
    /// [`lock_many`](Self::lock_many) never locks a gap.
    async fn ensure_many(&mut self, ids: &BTreeSet<UserId>) -> Result<(), StoreError>;

    /// Locks and returns the accounts that exist, ordered by user id; the locks hold until commit or drop.
    async fn lock_many(&mut self, ids: &BTreeSet<UserId>) -> Result<Vec<PointAccount>, StoreError>;

    /// Writes the accounts, which are locked, ordered by user id, in a number of statements that does not grow with
    /// them (chunks aside).
    async fn save_many(&mut self, accounts: &[PointAccount]) -> Result<(), StoreError>;

    /// Adds entries to the ledgers, in the order given.
    async fn append_entries(&mut self, entries: &[PointEntry]) -> Result<(), StoreError>;
}
