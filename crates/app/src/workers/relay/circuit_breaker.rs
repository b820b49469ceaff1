use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use jangteo_domain::delivery::{DeliveryFailure, DeliveryOutcome, RetryPolicy};

/// Consecutive failures without a response until the data platform counts as unavailable.
const FAILURES_MAX: u32 = 16;
/// Maximum pause before the next probe, unless `Retry-After` is longer.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Limits the calls to an unavailable data platform.
///
/// Closed, it allows every delivery. [`FAILURES_MAX`] consecutive failures open it: no delivery for a pause, then one
/// event, the probe. A failed probe starts another pause, twice as long up to [`PAUSE_MAX`], or as long as a longer
/// `Retry-After`. Any response other than a transient failure closes it, a permanent rejection too: the platform is up.
pub struct CircuitBreaker {
    policy: RetryPolicy,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

/// The deliveries allowed at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowance {
    /// As many as the relay has slots.
    All,
    /// One event, as a test of the platform.
    Probe,
    /// None before that time.
    NothingUntil(Instant),
}

impl CircuitBreaker {
    /// A closed circuit breaker; its first pause is that of a single event.
    pub fn new(policy: RetryPolicy) -> Self {
        let policy = RetryPolicy { longest: policy.longest.min(PAUSE_MAX), ..policy };
        Self { policy, state: Mutex::default() }
    }

    pub fn allowance(&self, now: Instant) -> Allowance {
        match self.state().open_until {
            None => Allowance::All,
            Some(until) if until <= now => Allowance::Probe,
            Some(until) => Allowance::NothingUntil(until),
        }
    }

    /// Records the outcome of a delivery that ended at `now`. `jitter` is random, from 0 to 1.
    pub fn record(&self, outcome: &Result<(), DeliveryFailure>, now: Instant, jitter: f64) {
        let mut state = self.state();
        let failure = match outcome {
            Ok(()) | Err(DeliveryFailure::Permanent { .. }) => {
                if state.open_until.is_some() {
                    tracing::info!("circuit breaker closed");
                }
                *state = State::default();
                return;
            }
            Err(failure @ DeliveryFailure::Transient { .. }) => failure,
        };
        state.failures = state.failures.saturating_add(1);
        // Deliveries in flight at the opening do not prolong the pause.
        let is_waiting = state.open_until.is_some_and(|until| now < until);
        if state.failures < FAILURES_MAX || is_waiting {
            return;
        }
        if state.open_until.is_none() {
            tracing::warn!(reason = %failure, "circuit breaker open: only probes are sent to the data platform");
            // The pauses double from here on, regardless of the deliveries in flight.
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

    /// A circuit breaker that has just opened, and the time.
    fn opened() -> (CircuitBreaker, Instant) {
        let (circuit_breaker, now) = (CircuitBreaker::new(RetryPolicy::default()), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert_eq!(circuit_breaker.allowance(now), Allowance::All);
            circuit_breaker.record(&failure(None), now, 1.0);
        }
        (circuit_breaker, now)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn opens_only_without_any_response() {
        let (circuit_breaker, now) = (CircuitBreaker::new(RetryPolicy::default()), Instant::now());
        for answer in [Ok(()), rejection()] {
            for _ in 1..FAILURES_MAX {
                circuit_breaker.record(&failure(None), now, 1.0);
            }
            circuit_breaker.record(&answer, now, 1.0);
            assert_eq!(circuit_breaker.allowance(now), Allowance::All);
        }
    }

    #[test]
    fn allows_one_probe_after_each_pause_and_doubles_the_pauses() {
        let (circuit_breaker, mut now) = opened();
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(circuit_breaker.allowance(now), Allowance::NothingUntil(now + seconds(pause)));
            now += seconds(pause);
            assert_eq!(circuit_breaker.allowance(now), Allowance::Probe);
            circuit_breaker.record(&failure(None), now, 1.0);
        }
    }

    #[test]
    fn deliveries_in_flight_do_not_prolong_the_pause() {
        let (circuit_breaker, now) = opened();
        for _ in 0..100 {
            circuit_breaker.record(&failure(None), now, 1.0);
        }
        assert_eq!(circuit_breaker.allowance(now), Allowance::NothingUntil(now + seconds(1)));
    }

    #[test]
    fn respects_a_longer_retry_after() {
        let (circuit_breaker, now) = opened();
        let now = now + seconds(1);
        circuit_breaker.record(&failure(Some(90)), now, 1.0);
        assert_eq!(circuit_breaker.allowance(now), Allowance::NothingUntil(now + seconds(90)));
    }

    #[test]
    fn closes_after_any_response() {
        for answer in [Ok(()), rejection()] {
            let (circuit_breaker, now) = opened();
            circuit_breaker.record(&answer, now, 1.0);
            assert_eq!(circuit_breaker.allowance(now), Allowance::All);
        }
    }
}
