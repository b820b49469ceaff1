//! What is available of products now. Those who ask while one read is under way are answered by the next one, together:
//! its statement begins after each of them has asked.

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

/// Reads that are under way at once, so that one that takes long holds up half of the products at most.
const READERS: usize = 2;
/// The most products of one read, so that none takes long.
const BATCH_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("more than none");
/// The most callers that wait; beyond it the database is not keeping up.
const QUEUE_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("more than none");

/// Asks the database what is available.
pub struct Availability(GroupCommit<ProductId, Result<Option<u32>, StoreError>>);

impl Availability {
    /// Starts the readers on the current runtime, which must be the main one; they end when nobody can ask any more.
    pub fn start(stocks: &Arc<dyn StockQueries>) -> Self {
        let readers = (0..READERS).map(|_| Reader(Arc::clone(stocks))).collect();
        let (readers, _) = start(readers, Settings { batch_max: BATCH_MAX, queue_max: QUEUE_MAX });
        Self(readers)
    }

    /// How many pieces of the product can be ordered; `None` where there is no such product.
    ///
    /// # Errors
    /// Those of the read, and `DATABASE_UNAVAILABLE` where it does not answer in time.
    pub async fn of(&self, id: ProductId, deadline: Deadline) -> Result<Option<u32>, Problem> {
        // The last bytes of an id are random.
        let affinity = id.uuid().as_u128() as u64;
        match self.0.submit(id, affinity, deadline.0).await {
            Ok(answer) => Ok(answer?),
            Err(error) => {
                tracing::warn!(%error, "what is available was not told");
                Err(ProblemCode::DatabaseUnavailable.into())
            }
        }
    }
}

struct Reader(Arc<dyn StockQueries>);

#[async_trait]
impl BatchRunner for Reader {
    type Item = ProductId;
    type Answer = Result<Option<u32>, StoreError>;

    async fn run(&mut self, batch: Vec<ProductId>) -> Vec<Self::Answer> {
        let ids: BTreeSet<ProductId> = batch.iter().copied().collect();
        let read: Result<BTreeMap<ProductId, u32>, StoreError> = self.0.available(&ids).await;
        let answer = |id| read.as_ref().map(|available| available.get(id).copied()).map_err(StoreError::clone);
        batch.iter().map(answer).collect()
    }
}
