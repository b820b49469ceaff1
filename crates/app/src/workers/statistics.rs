//! Counts payments and refunds by quarter of an hour. Every server runs it; the one with the lease counts.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jangteo_domain::IdSource as _;
use jangteo_domain::statistics::{Counter, StatisticsCount, Step};
use tokio::time::{Instant, sleep};

use crate::error_chain::chain;
use crate::system::UuidSource;
use crate::telemetry;

/// The shortest and the longest pause once everything is counted.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The pause, as a multiple of the last count: counting takes a twentieth of the time at most.
const PAUSES_PER_COUNT: u32 = 20;
/// The shortest pause while quarters of the past are counted, which takes half of the time at most.
const PAUSE_BEHIND: Duration = Duration::from_millis(50);
/// The pause while another server counts, and after a failure.
const PAUSE_IDLE: Duration = Duration::from_secs(5);

/// Counts until it is dropped. A transaction in flight then commits or is rolled back.
pub async fn count_statistics(store: Arc<dyn StatisticsCount>) {
    let mut counter = Counter::new(UuidSource.next_id());
    let mut has_failed = false;
    loop {
        let begun = Instant::now();
        let stepped = counter.step(&*store).await;
        if let Err(error) = &stepped
            && !has_failed
        {
            tracing::warn!(kind = error.kind(), cause = chain(error), "the statistics cannot be counted");
        }
        if let Ok(Step::Current { .. }) = stepped {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            metrics::gauge!(telemetry::STATISTICS_COUNTED_TIMESTAMP).set(now);
        }
        has_failed = stepped.is_err();
        sleep(pause_after(stepped.ok(), begun.elapsed())).await;
    }
}

fn pause_after(step: Option<Step>, took: Duration) -> Duration {
    match step {
        Some(Step::Current { .. }) => took.saturating_mul(PAUSES_PER_COUNT).clamp(PAUSE_MIN, PAUSE_MAX),
        Some(Step::Advanced { .. }) => took.max(PAUSE_BEHIND),
        Some(Step::Leased) | None => PAUSE_IDLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_count_is_followed_by_a_longer_pause() {
        let pauses = [0, 100, 1_000, 60_000]
            .map(|took| pause_after(Some(Step::Current { changed: 1 }), Duration::from_millis(took)).as_millis());
        assert_eq!(pauses, [1_000, 2_000, 20_000, 60_000]);
        let behind =
            [0, 400].map(Duration::from_millis).map(|took| pause_after(Some(Step::Advanced { changed: 1 }), took));
        assert_eq!(behind, [50, 400].map(Duration::from_millis));
        assert_eq!([Some(Step::Leased), None].map(|step| pause_after(step, Duration::ZERO)), [PAUSE_IDLE; 2]);
    }
}
