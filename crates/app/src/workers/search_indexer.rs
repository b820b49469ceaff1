//! Completes the search index, in short transactions: servers of the version before it write products without. Any number
//! of servers may run it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jangteo_domain::StoreError;
use tokio::time::sleep;

use crate::error_chain::chain;

/// Maximum products of a transaction: orders of them wait for some milliseconds.
pub const PRODUCTS_MAX: u32 = 100;
/// Pause between transactions while products remain, so that indexing takes a part of the database's time.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause once no product remains. A search reads the remaining ones itself.
const INTERVAL: Duration = Duration::from_secs(10);

/// Writes the search index of products that lack it.
#[async_trait]
pub trait SearchIndex: Send + Sync {
    /// Returns the number of products, at most `limit`.
    async fn index(&self, limit: u32) -> Result<u32, StoreError>;
}

/// Indexes products until it is dropped. A transaction in flight then commits or is rolled back.
pub async fn run(index: Arc<dyn SearchIndex>) {
    loop {
        let is_done = index_some(&*index).await;
        sleep(if is_done { INTERVAL } else { PAUSE }).await;
    }
}

/// Indexes at most [`PRODUCTS_MAX`] products; returns whether to pause for long.
async fn index_some(index: &dyn SearchIndex) -> bool {
    match index.index(PRODUCTS_MAX).await {
        Ok(0) => true,
        Ok(products) => {
            tracing::info!(products, "products are indexed for searches");
            false
        }
        // Another server indexes the same products.
        Err(StoreError::Conflict(_)) => true,
        Err(error) => {
            let (kind, cause) = (error.kind(), chain(&error));
            tracing::warn!(kind, cause, "products cannot be indexed for searches");
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Answers(Mutex<Vec<Result<u32, StoreError>>>);

    #[async_trait]
    impl SearchIndex for Answers {
        async fn index(&self, limit: u32) -> Result<u32, StoreError> {
            assert_eq!(limit, PRODUCTS_MAX);
            self.0.lock().expect("no panic").pop().expect("another answer")
        }
    }

    #[tokio::test]
    async fn continues_while_products_remain() {
        let answers = vec![Ok(0), Err(StoreError::unexpected("no database")), Ok(7), Ok(100)];
        let index = Answers(Mutex::new(answers));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            pauses.push(index_some(&index).await);
        }
        assert_eq!(pauses, [false, false, true, true]);
    }
}
