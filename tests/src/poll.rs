//! Waiting for what takes time: asked again and again within a bound, never a sleep for luck.

use std::time::{Duration, Instant};

/// How long [`eventually`] waits: far beyond what anything here takes, and still finite.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The first `Some` that `look` answers.
///
/// # Panics
/// When there is none within half a minute.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// The first `Some` that `look` answers within `bound`. The last look begins after the bound has passed, so that a slow
/// machine between two looks is no failure by itself.
///
/// # Panics
/// When there is none.
pub async fn eventually_within<T>(bound: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        let is_last = started.elapsed() >= bound;
        if let Some(value) = look().await {
            return value;
        }
        assert!(!is_last, "not within {bound:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
