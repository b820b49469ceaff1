//! The orderly end of all lanes.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Ends the lanes, once; whoever started them holds it.
///
/// Dropped without [`drain`](Self::drain) it ends nothing: the lanes then live until the last
/// [`GroupCommit`](crate::GroupCommit) is gone and what it submitted has been run.
#[derive(Debug)]
#[must_use = "without it, nobody can wait for the accepted items to be answered"]
pub struct Drain {
    pub(crate) places: Arc<Semaphore>,
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) lanes: Vec<JoinHandle<()>>,
}

impl Drain {
    /// Takes no new item from the first poll on, and returns when every accepted item has been
    /// answered and the lanes have ended. Dropping this future only stops the waiting: the lanes
    /// drain all the same.
    ///
    /// # Panics
    /// If a lane panicked, which takes an [`Observer`](crate::Observer) that panics: better late
    /// than silently.
    pub async fn drain(self) {
        self.places.close();
        self.draining.send_replace(true);
        for lane in self.lanes {
            // A lane is only ever cancelled by the end of its runtime, and then there is nobody
            // left to wait for.
            if let Some(panic) = lane.await.err().and_then(|end| end.try_into_panic().ok()) {
                std::panic::resume_unwind(panic);
            }
        }
    }
}
