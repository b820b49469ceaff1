use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use jangteo_domain::delivery::{DeliveryFailure, DeliveryOutcome, RetryPolicy};

/// So many failures in a row, with no answer in between, mean that the data platform is away rather than unlucky.
const FAILURES_MAX: u32 = 16;
/// The longest that a data platform which is back waits to be noticed, unless it asked for more.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Keeps the relay from hammering a data platform that is away.
///
/// It is closed at first, and everything is sent. After [`FAILURES_MAX`] failures in a row it opens: nothing is sent for
/// a pause. After the pause one event is sent, the probe. If that fails, too, another pause begins, twice as long up to
/// [`PAUSE_MAX`]; a longer `Retry-After` is kept. Once anything gets through it is closed again. An event that the data
/// platform rejects for good got through: somebody is there to reject it.
pub struct CircuitBreaker {
    policy: RetryPolicy,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

/// What may be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowance {
    /// As much as can be.
    All,
    /// One event, to see whether it gets through.
    Probe,
    /// Nothing before that time.
    NothingUntil(Instant),
}

impl CircuitBreaker {
    /// A closed circuit breaker whose pauses begin as those of single events do.
    pub fn new(policy: RetryPolicy) -> Self {
        let policy = RetryPolicy { longest: policy.longest.min(PAUSE_MAX), ..policy };
        Self { policy, state: Mutex::default() }
    }

    /// What may be sent at that time.
    pub fn allowance(&self, now: Instant) -> Allowance {
        match self.state().open_until {
            None => Allowance::All,
            Some(until) if until <= now => Allowance::Probe,
            Some(until) => Allowance::NothingUntil(until),
        }
    }

    /// Takes note of how a delivery went that ended at that time. `jitter` is from 0 to 1, drawn anew each time.
    pub fn note(&self, outcome: &Result<(), DeliveryFailure>, now: Instant, jitter: f64) {
        let mut state = self.state();
        let failure = match outcome {
            Ok(()) | Err(DeliveryFailure::Permanent { .. }) => {
                if state.open_until.is_some() {
                    tracing::info!("the data platform is back");
                }
                *state = State::default();
                return;
            }
            Err(failure @ DeliveryFailure::Transient { .. }) => failure,
        };
        state.failures = state.failures.saturating_add(1);
        // Those that were under way when it opened prolong nothing.
        let is_waiting = state.open_until.is_some_and(|until| now < until);
        if state.failures < FAILURES_MAX || is_waiting {
            return;
        }
        if state.open_until.is_none() {
            tracing::warn!(reason = %failure, "the data platform takes nothing; from now on only probes are sent");
            // The pauses double from here on, however many were under way.
            state.failures = FAILURES_MAX;
        }
        let openings = state.failures + 1 - FAILURES_MAX;
        if let DeliveryOutcome::Retry { after, .. } = self.policy.outcome(openings, failure, jitter) {
            state.open_until = now.checked_add(after);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(retry_after: Option<u64>) -> Result<(), DeliveryFailure> {
        let retry_after = retry_after.map(Duration::from_secs);
        Err(DeliveryFailure::Transient { reason: "HTTP 503".to_owned(), retry_after })
    }

    fn rejection() -> Result<(), DeliveryFailure> {
        Err(DeliveryFailure::Permanent { reason: "HTTP 410".to_owned() })
    }

    /// A circuit breaker that has just opened, and when.
    fn opened() -> (CircuitBreaker, Instant) {
        let (circuit_breaker, now) = (CircuitBreaker::new(RetryPolicy::default()), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert_eq!(circuit_breaker.allowance(now), Allowance::All);
            circuit_breaker.note(&failure(None), now, 1.0);
        }
        (circuit_breaker, now)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn opens_only_when_nothing_gets_through() {
        let (circuit_breaker, now) = (CircuitBreaker::new(RetryPolicy::default()), Instant::now());
        for answer in [Ok(()), rejection()] {
            for _ in 1..FAILURES_MAX {
                circuit_breaker.note(&failure(None), now, 1.0);
            }
            circuit_breaker.note(&answer, now, 1.0);
            assert_eq!(circuit_breaker.allowance(now), Allowance::All);
        }
    }

    #[test]
    fn lets_one_probe_through_after_each_pause_and_doubles_the_pauses() {
        let (circuit_breaker, mut now) = opened();
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(circuit_breaker.allowance(now), Allowance::NothingUntil(now + seconds(pause)));
            now += seconds(pause);
            assert_eq!(circuit_breaker.allowance(now), Allowance::Probe);
            circuit_breaker.note(&failure(None), now, 1.0);
        }
    }

    #[test]
    fn is_not_prolonged_by_those_that_were_under_way() {
        let (circuit_breaker, now) = opened();
        for _ in 0..100 {
            circuit_breaker.note(&failure(None), now, 1.0);
        }
        assert_eq!(circuit_breaker.allowance(now), Allowance::NothingUntil(now + seconds(1)));
    }

    #[test]
    fn keeps_a_longer_retry_after() {
        let (circuit_breaker, now) = opened();
        let now = now + seconds(1);
        circuit_breaker.note(&failure(Some(90)), now, 1.0);
        assert_eq!(circuit_breaker.allowance(now), Allowance::NothingUntil(now + seconds(90)));
    }

    #[test]
    fn closes_when_anything_gets_through() {
        for answer in [Ok(()), rejection()] {
            let (circuit_breaker, now) = opened();
            circuit_breaker.note(&answer, now, 1.0);
            assert_eq!(circuit_breaker.allowance(now), Allowance::All);
        }
    }
}
