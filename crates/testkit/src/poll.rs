//! Waiting for an event, instead of sleeps.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// Timeout of [`eventually`], well above any normal duration.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Interval between two polls.
const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `poll` returns `Some`. `expectation` describes the awaited fact.
///
/// # Panics
/// If it does not within 30 seconds.
pub async fn eventually<T>(expectation: &str, poll: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(TIMEOUT, expectation, poll).await
}

/// Polls until `poll` returns `Some`. The last poll starts after the timeout, so that a slow machine between two polls
/// causes no failure.
///
/// # Panics
/// If it does not within `timeout`.
pub async fn eventually_within<T>(timeout: Duration, expectation: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        let is_last = started.elapsed() >= timeout;
        if let Some(value) = poll().await {
            return value;
        }
        assert!(!is_last, "not within {timeout:?}: {expectation}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until this machine's clock, which is also that of the databases under test, reaches a deadline.
pub async fn clock_reaches(deadline: OffsetDateTime) {
    // A negative duration is past the deadline.
    while let Ok(left) = Duration::try_from(deadline - OffsetDateTime::now_utc()) {
        tokio::time::sleep(left).await;
    }
}
