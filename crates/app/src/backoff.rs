//! The pauses between attempts of a transaction.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use jangteo_domain::StoreError;
use jangteo_domain::batch::{ATTEMPTS_MIN, Attempts, Backoff, MARKER_QUERIES_MAX, RETRY_TIME_MIN, Work};

use crate::telemetry::TRANSACTION_RETRIES;

/// Exponential backoff with full jitter, from zero to the whole pause, so that conflicting transactions do not meet
/// again.
#[derive(Debug, Clone, Copy)]
pub struct JitteredBackoff;

impl Backoff for JitteredBackoff {
    fn start(&self, work: Work) -> Box<dyn Attempts> {
        Box::new(JitteredAttempts { work, started_at: Instant::now(), failed: 0 })
    }
}

struct JitteredAttempts {
    work: Work,
    started_at: Instant,
    failed: u32,
}

impl JitteredAttempts {
    const PAUSE_FIRST: Duration = Duration::from_millis(5);
    /// Short compared to a request's timeout, long enough that a conflict of seconds takes few attempts.
    const PAUSE_MAX: Duration = Duration::from_millis(250);

    fn is_exhausted(&self) -> bool {
        match self.work {
            Work::Transaction => self.failed >= ATTEMPTS_MIN && self.started_at.elapsed() >= RETRY_TIME_MIN,
            Work::MarkerQuery => self.failed >= MARKER_QUERIES_MAX,
        }
    }

    /// Maximum pause after a number of failed attempts.
    fn ceiling(failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        Self::PAUSE_MAX.min(Self::PAUSE_FIRST * 2_u32.pow(doublings))
    }

    fn record(&self, cause: &StoreError) {
        let (attempt, cause) = (self.failed, cause.kind());
        match self.work {
            Work::Transaction => {
                metrics::counter!(TRANSACTION_RETRIES, "cause" => cause).increment(1);
                tracing::debug!(attempt, cause, "retrying a transaction");
            }
            Work::MarkerQuery => tracing::debug!(attempt, cause, "retrying the query of a commit marker"),
        }
    }
}

#[async_trait]
impl Attempts for JitteredAttempts {
    async fn pause(&mut self, cause: &StoreError) -> bool {
        self.failed = self.failed.saturating_add(1);
        if self.is_exhausted() {
            return false;
        }
        self.record(cause);
        sleep(rand::random_range(Duration::ZERO..=Self::ceiling(self.failed))).await;
        true
    }
}

/// Runs a transaction of a command line again where another process is in its way, such as the server that writes to the
/// same SQLite file.
///
/// # Errors
/// Any other error of the store, and the last one once the attempts are used up.
pub async fn retried<T>(mut transaction: impl AsyncFnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut attempts = JitteredBackoff.start(Work::Transaction);
    loop {
        let error = match transaction().await {
            Err(error @ (StoreError::Conflict(_) | StoreError::Unavailable(_))) => error,
            outcome => return outcome,
        };
        if !attempts.pause(&error).await {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// The number of failed attempts of duration `each`, and the total time.
    async fn attempts(work: Work, each: Duration) -> (u32, Duration) {
        let started_at = Instant::now();
        let mut attempts = JitteredBackoff.start(work);
        for count in 1.. {
            sleep(each).await;
            if !attempts.pause(&StoreError::unexpected("a test")).await {
                return (count, started_at.elapsed());
            }
        }
        unreachable!("attempts end")
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_transaction_is_attempted_until_its_time_is_over() {
        let (count, took) = attempts(Work::Transaction, Duration::ZERO).await;
        assert!((RETRY_TIME_MIN..RETRY_TIME_MIN + Duration::from_millis(500)).contains(&took), "{took:?}");
        // At least 16 pauses; full jitter halves their mean.
        assert!((16..=100).contains(&count), "{count}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_transaction_is_attempted_the_minimum_number_of_times() {
        let (count, took) = attempts(Work::Transaction, RETRY_TIME_MIN).await;
        assert_eq!(count, ATTEMPTS_MIN);
        assert!(took >= RETRY_TIME_MIN * ATTEMPTS_MIN, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_marker_is_queried_a_fixed_number_of_times() {
        for each in [Duration::ZERO, RETRY_TIME_MIN] {
            assert_eq!(attempts(Work::MarkerQuery, each).await.0, MARKER_QUERIES_MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_work_has_its_own_time() {
        let backoff = JitteredBackoff;
        sleep(RETRY_TIME_MIN).await;
        let mut attempts = backoff.start(Work::Transaction);
        for _ in 0..ATTEMPTS_MIN {
            assert!(attempts.pause(&StoreError::unexpected("a test")).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_without_effect_is_retried() {
        let cause = || Arc::new(std::io::Error::other("a test"));
        let locked = || StoreError::Unavailable(cause());
        let mut outcomes = [Err(locked()), Err(StoreError::Conflict(cause())), Ok(7)].into_iter();
        let retried_to = retried(async || outcomes.next().expect("another attempt")).await;
        assert!(matches!(retried_to, Ok(7)));

        let mut attempts = 0;
        let unknown = retried(async || {
            attempts += 1;
            Err::<(), _>(StoreError::CommitUnknown(cause()))
        });
        assert_eq!(unknown.await.map_err(|error| error.kind()), Err("commit_unknown"));
        let lasting = retried(async || {
            attempts += 1;
            Err::<(), _>(locked())
        });
        assert_eq!(lasting.await.map_err(|error| error.kind()), Err("unavailable"));
        assert!(attempts > ATTEMPTS_MIN, "{attempts}");
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let ceilings: Vec<_> = [1, 2, 3, 50].map(JitteredAttempts::ceiling).into();
        assert_eq!(ceilings, [5, 10, 20, 250].map(Duration::from_millis));
    }
}
