//! Graceful shutdown of all lanes.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Shuts down the lanes.
///
/// Dropping it without [`drain`](Self::drain) has no effect: the lanes then run until the last
/// [`GroupCommit`](crate::GroupCommit) is dropped and all accepted items are answered.
#[derive(Debug)]
#[must_use = "only `drain` waits until all accepted items are answered"]
pub struct Drain {
    pub(crate) places: Arc<Semaphore>,
    pub(crate) draining: CancellationToken,
    pub(crate) lanes: Vec<JoinHandle<()>>,
}

impl Drain {
    /// Rejects new items from the first poll on, and returns when every accepted item is answered and all lanes have
    /// ended. Dropping this future only stops the wait, not the shutdown.
    ///
    /// # Panics
    /// If a lane panicked, which only a panic of the [`Observer`](crate::Observer) can cause.
    pub async fn drain(self) {
        self.places.close();
        self.draining.cancel();
        for lane in self.lanes {
            // A lane is cancelled only by the shutdown of its runtime, which is no error.
            if let Some(panic) = lane.await.err().and_then(|end| end.try_into_panic().ok()) {
                std::panic::resume_unwind(panic);
            }
        }
    }
}
