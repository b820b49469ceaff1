//! The current stock of products. Requests during a read are batched into the next one: its statement starts after each
//! of them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use jangteo_group_commit::{BatchRunner, GroupCommit, Settings, start};

use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::stock::StockQueries;

use crate::http::deadline::Deadline;
use crate::http::respond::problem::{Problem, ProblemCode};

/// The number of concurrent reads. With two, a slow read delays half of the products at most.
const READERS: usize = 2;
/// The maximum number of products of one read, which bounds its duration.
const BATCH_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("a positive number");
/// The maximum number of waiting requests; beyond it the database is overloaded.
const QUEUE_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("a positive number");

/// Reads the current stock in batches.
pub struct Availability(GroupCommit<ProductId, Result<Option<u64>, StoreError>>);

impl Availability {
    /// Starts the readers on the current runtime, which must be the main one. They stop when this value is dropped.
    pub fn start(stocks: &Arc<dyn StockQueries>) -> Self {
        let readers = (0..READERS).map(|_| Reader(Arc::clone(stocks))).collect();
        let (readers, _) = start(readers, Settings { batch_max: BATCH_MAX, queue_max: QUEUE_MAX });
        Self(readers)
    }

    /// The quantity in stock; `None` for an unknown product.
    ///
    /// # Errors
    /// Errors of the read, and `DATABASE_UNAVAILABLE` after the deadline.
    pub async fn of(&self, id: ProductId, deadline: Deadline) -> Result<Option<u64>, Problem> {
        // The last bytes of an id are random.
        let affinity = id.uuid().as_u128() as u64;
        match self.0.submit(id, affinity, deadline.0).await {
            Ok(answer) => Ok(answer?),
            Err(error) => {
                tracing::warn!(%error, "stock not read");
                Err(ProblemCode::DatabaseUnavailable.into())
            }
        }
    }
}

struct Reader(Arc<dyn StockQueries>);

#[async_trait]
impl BatchRunner for Reader {
    type Item = ProductId;
    type Answer = Result<Option<u64>, StoreError>;

    async fn run(&mut self, batch: Vec<ProductId>) -> Vec<Self::Answer> {
        let ids: BTreeSet<ProductId> = batch.iter().copied().collect();
        let read: Result<BTreeMap<ProductId, u64>, StoreError> = self.0.available(&ids).await;
        let answer = |id| read.as_ref().map(|available| available.get(id).copied()).map_err(StoreError::clone);
        batch.iter().map(answer).collect()
    }
}
