//! Response times of callers.

use std::time::Duration;

/// Maximum response time: `REQUEST_TIMEOUT` and a margin for a busy machine.
const RESPONSE_MAX: Duration = Duration::from_millis(12_000);

/// Response times of a group of callers.
#[derive(Default)]
pub struct Waits {
    definite: Vec<Duration>,
    unavailable: Vec<Duration>,
}

impl Waits {
    /// The times of several callers.
    pub fn all(callers: Vec<Self>) -> Self {
        let mut all = Self::default();
        for waits in callers {
            all.definite.extend(waits.definite);
            all.unavailable.extend(waits.unavailable);
        }
        all
    }

    /// Records the time of a response, and whether the response was definite.
    ///
    /// # Panics
    /// If the response took longer than `RESPONSE_MAX`.
    pub fn record(&mut self, wait: Duration, is_definite: bool) {
        assert!(wait < RESPONSE_MAX, "a response took {wait:?}");
        (if is_definite { &mut self.definite } else { &mut self.unavailable }).push(wait);
    }

    /// Counts and quantiles as text.
    pub fn describe(mut self, callers: &str) -> String {
        let definite = quantiles(&mut self.definite, "answered");
        let unavailable = quantiles(&mut self.unavailable, "rejected with 503");
        format!("{callers}: {definite}; {unavailable}")
    }
}

fn quantiles(waits: &mut [Duration], kind: &str) -> String {
    waits.sort();
    let quantile = |of: f64| waits[((waits.len() - 1) as f64 * of) as usize].as_secs_f64();
    match waits.len() {
        0 => format!("none {kind}"),
        count => format!(
            "{count} {kind} (half within {:.2} s, 99 % within {:.2} s, the last in {:.2} s)",
            quantile(0.5),
            quantile(0.99),
            quantile(1.0)
        ),
    }
}
