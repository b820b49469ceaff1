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

    /// The longest wait for a 503.
    pub fn longest_untold(&self) -> Duration {
        self.untold.iter().max().copied().unwrap_or_default()
    }

    /// All of it, in words.
    pub fn describe(mut self, who: &str) -> String {
        self.told.sort();
        let middle = self.told.get(self.told.len() / 2).copied().unwrap_or_default();
        let longest = self.told.iter().chain(&self.untold).max().copied().unwrap_or_default();
        format!(
            "{who}: {} answered (median {} ms), {} put off with 503, longest wait {:.1} s",
            self.told.len(),
            middle.as_millis(),
            self.untold.len(),
            longest.as_secs_f64()
        )
    }
}
