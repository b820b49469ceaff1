use async_trait::async_trait;

use crate::id::UserId;
use crate::page::Page;
use crate::point::{PointAccount, PointEntry};
use crate::store_error::StoreError;

/// Reads accounts and ledgers for showing; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait PointQueries: Send + Sync {
    /// The account, or `None` for somebody who has none yet.
    async fn account(&self, user_id: &UserId) -> Result<Option<PointAccount>, StoreError>;

    /// The ledger's entries, newest first; the page's key is an entry's sequence number.
    async fn entries(&self, user_id: &UserId, page: &Page<u64>) -> Result<Vec<PointEntry>, StoreError>;
}
