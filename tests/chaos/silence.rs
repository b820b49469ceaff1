//! Silences: the longest time without a response during each injection of a fault.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The silences of the injections of one fault.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Silences {
    /// Of all callers together.
    pub callers: Vec<Duration>,
    /// Of a plain connection to the same nodes.
    pub bare: Vec<Duration>,
}

/// The longest time without any of these events between the bounds.
pub fn longest(events: &[Instant], (began, ended): (Instant, Instant)) -> Duration {
    let mut within: Vec<Instant> = events.iter().copied().filter(|event| (began..ended).contains(event)).collect();
    within.extend([began, ended]);
    within.sort();
    within.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Median, 95th percentile and maximum as text.
pub fn quantiles(silences: &[Duration]) -> String {
    let mut sorted = silences.to_vec();
    sorted.sort();
    // Rounded up, so that a few values are not understated.
    let quantile = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1));
    [50, 95, 100].map(|of| quantile(of).map_or("–".to_owned(), |of| format!("{:.1}", of.as_secs_f64()))).join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_counts_from_the_beginning_to_the_end() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(longest(&[at(1), at(6), at(7)], (began, at(8))), Duration::from_secs(5));
        assert_eq!(longest(&[at(3), at(4)], (began, at(4))), Duration::from_secs(3));
        assert_eq!(longest(&[at(1), at(9)], (began, at(8))), Duration::from_secs(7));
        assert_eq!(longest(&[], (began, at(2))), Duration::from_secs(2));
    }

    #[test]
    fn quantiles_are_observed_values() {
        let seconds = |count: u64| (1..=count).map(Duration::from_secs).collect::<Vec<_>>();
        assert_eq!(quantiles(&seconds(20)), "10.0 / 19.0 / 20.0");
        assert_eq!(quantiles(&seconds(2)), "1.0 / 2.0 / 2.0");
        assert_eq!(quantiles(&[]), "– / – / –");
    }
}
