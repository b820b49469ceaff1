//! How long callers wait.

use std::time::Duration;

/// How long a server may take to answer: `REQUEST_TIMEOUT`, and a little for a busy machine.
const ANSWER_MAX: Duration = Duration::from_millis(12_000);

/// What callers of one kind were told, and how long each waited.
#[derive(Default)]
pub struct Waits {
    told: Vec<Duration>,
    untold: Vec<Duration>,
}

impl Waits {
    /// Those of all callers of a kind.
    pub fn all(callers: Vec<Self>) -> Self {
        let mut all = Self::default();
        for waits in callers {
            all.told.extend(waits.told);
            all.untold.extend(waits.untold);
        }
        all
    }

    /// Notes an answer, and whether it was one for good.
    ///
    /// # Panics
    /// When it came later than any answer may.
    pub fn note(&mut self, wait: Duration, is_told: bool) {
        assert!(wait < ANSWER_MAX, "an answer took {wait:?}");
        (if is_told { &mut self.told } else { &mut self.untold }).push(wait);
    }

    /// All of it, in words.
    pub fn describe(mut self, who: &str) -> String {
        let told = of(&mut self.told, "answered");
        let untold = of(&mut self.untold, "put off with 503");
        format!("{who}: {told}; {untold}")
    }
}

fn of(waits: &mut [Duration], what: &str) -> String {
    waits.sort();
    let quantile = |of: f64| waits[((waits.len() - 1) as f64 * of) as usize].as_secs_f64();
    match waits.len() {
        0 => format!("none {what}"),
        count => format!(
            "{count} {what} (half within {:.2} s, 99 % within {:.2} s, the last in {:.2} s)",
            quantile(0.5),
            quantile(0.99),
            quantile(1.0)
        ),
    }
}
