use actix_web::http::StatusCode;
use clap::Args;
use rand::Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The faults of the mock. A count above zero is used up first, in the order of [`Fault`]; afterwards calls fail by the
/// rates, which add up to at most 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Args)]
#[serde(deny_unknown_fields, default)]
pub struct Behavior {
    /// Share of calls that fail; their events are dropped
    #[arg(long, default_value_t, value_name = "0..1")]
    pub fail_rate: f64,
    /// Share of calls that hang, then fail; their events are dropped
    #[arg(long, default_value_t, value_name = "0..1")]
    pub hang_rate: f64,
    /// Share of calls with the response 429 and `Retry-After`; their events are dropped
    #[arg(long, default_value_t, value_name = "0..1")]
    pub throttle_rate: f64,
    /// Share of calls with the response 307; their events are dropped
    #[arg(long, default_value_t, value_name = "0..1")]
    pub redirect_rate: f64,
    /// Share of calls with a stored event and the response 503, as of a receiver that dies before it responds
    #[arg(long, default_value_t, value_name = "0..1")]
    pub lose_answer_rate: f64,
    /// Number of next calls that fail
    #[arg(long, default_value_t, value_name = "COUNT")]
    pub fail_next: u32,
    /// Number of next calls that hang
    #[arg(long, default_value_t, value_name = "COUNT")]
    pub hang_next: u32,
    /// Number of next calls with the response 429
    #[arg(long, default_value_t, value_name = "COUNT")]
    pub throttle_next: u32,
    /// Number of next calls with the response 307
    #[arg(long, default_value_t, value_name = "COUNT")]
    pub redirect_next: u32,
    /// Number of next calls with a stored event and the response 503
    #[arg(long, default_value_t, value_name = "COUNT")]
    pub lose_answer_next: u32,
    /// Status of failed calls, 300 to 599
    #[arg(long, default_value_t = Self::default().fail_status, value_name = "STATUS")]
    pub fail_status: u16,
    /// Time until a hanging call fails
    #[arg(long, default_value_t = Self::default().hang_seconds, value_name = "SECONDS")]
    pub hang_seconds: u64,
    /// `Retry-After` of responses with 429
    #[arg(long = "retry-after", default_value_t = Self::default().retry_after_seconds, value_name = "SECONDS")]
    pub retry_after_seconds: u64,
    /// `Location` of responses with 307
    #[arg(long, default_value_t = Self::default().redirect_to, value_name = "URL")]
    pub redirect_to: String,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            fail_rate: 0.0,
            hang_rate: 0.0,
            throttle_rate: 0.0,
            redirect_rate: 0.0,
            lose_answer_rate: 0.0,
            fail_next: 0,
            hang_next: 0,
            throttle_next: 0,
            redirect_next: 0,
            lose_answer_next: 0,
            fail_status: 503,
            hang_seconds: 30,
            retry_after_seconds: 1,
            redirect_to: "http://127.0.0.1:9/".to_owned(),
        }
    }
}

/// A failure mode of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Responds at once with [`Behavior::fail_status`].
    Fail,
    /// Responds 504 after [`Behavior::hang_seconds`].
    Hang,
    /// Responds 429 with [`Behavior::retry_after_seconds`].
    Throttle,
    /// Responds 307 to [`Behavior::redirect_to`].
    Redirect,
    /// Stores the event and responds 503.
    LoseAnswer,
}

/// Rates or a status out of range, before any call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidBehavior {
    /// A rate below 0, or a sum of rates above 1.
    #[error("rates are 0 or more and add up to at most 1")]
    Rates,
    /// A status outside of 300 to 599.
    #[error("fail_status is between 300 and 599")]
    Status,
}

impl Behavior {
    /// Checks rates and status.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn check(&self) -> Result<(), InvalidBehavior> {
        let rates = self.rates();
        if rates.iter().any(|(_, rate)| !(0.0..=1.0).contains(rate))
            || rates.iter().map(|(_, rate)| rate).sum::<f64>() > 1.0
        {
            return Err(InvalidBehavior::Rates);
        }
        if !(300..600).contains(&self.fail_status) {
            return Err(InvalidBehavior::Status);
        }
        Ok(())
    }

    /// Draws the fault of the next call.
    pub(super) fn draw(&mut self, random: &mut impl Rng) -> Option<Fault> {
        let counts = [
            (Fault::Fail, &mut self.fail_next),
            (Fault::Hang, &mut self.hang_next),
            (Fault::Throttle, &mut self.throttle_next),
            (Fault::Redirect, &mut self.redirect_next),
            (Fault::LoseAnswer, &mut self.lose_answer_next),
        ];
        if let Some((fault, count)) = counts.into_iter().find(|(_, count)| **count > 0) {
            *count -= 1;
            return Some(fault);
        }
        let mut left: f64 = random.random();
        self.rates().into_iter().find_map(|(fault, rate)| {
            let drawn = left < rate;
            left -= rate;
            drawn.then_some(fault)
        })
    }

    pub(super) fn status_of_failure(&self) -> StatusCode {
        StatusCode::from_u16(self.fail_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    fn rates(&self) -> [(Fault, f64); 5] {
        [
            (Fault::Fail, self.fail_rate),
            (Fault::Hang, self.hang_rate),
            (Fault::Throttle, self.throttle_rate),
            (Fault::Redirect, self.redirect_rate),
            (Fault::LoseAnswer, self.lose_answer_rate),
        ]
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn draw(behavior: &mut Behavior, times: usize) -> Vec<Option<Fault>> {
        let mut random = SmallRng::seed_from_u64(7);
        (0..times).map(|_| behavior.draw(&mut random)).collect()
    }

    #[test]
    fn uses_counts_up_before_rates() {
        let mut behavior = Behavior { fail_next: 2, hang_next: 1, throttle_rate: 1.0, ..Behavior::default() };
        let drawn = draw(&mut behavior, 4);
        assert_eq!(drawn, [Some(Fault::Fail), Some(Fault::Fail), Some(Fault::Hang), Some(Fault::Throttle)]);
    }

    #[test]
    fn fails_by_the_rates_and_deterministically_by_seed() {
        let mut behavior = Behavior { fail_rate: 0.3, hang_rate: 0.1, ..Behavior::default() };
        let drawn = draw(&mut behavior, 10_000);
        let share = |fault| drawn.iter().filter(|drawn| **drawn == fault).count();
        assert!((2_800..3_200).contains(&share(Some(Fault::Fail))), "{}", share(Some(Fault::Fail)));
        assert!((850..1_150).contains(&share(Some(Fault::Hang))), "{}", share(Some(Fault::Hang)));
        assert_eq!(share(Some(Fault::Redirect)), 0);
        assert_eq!(draw(&mut behavior, 10_000), drawn);
    }

    #[test]
    fn rejects_invalid_rates_and_statuses() {
        for (behavior, error) in [
            (Behavior { fail_rate: -0.1, ..Behavior::default() }, InvalidBehavior::Rates),
            (Behavior { fail_rate: 0.6, hang_rate: 0.6, ..Behavior::default() }, InvalidBehavior::Rates),
            (Behavior { fail_rate: f64::NAN, ..Behavior::default() }, InvalidBehavior::Rates),
            (Behavior { fail_status: 204, ..Behavior::default() }, InvalidBehavior::Status),
        ] {
            assert_eq!(behavior.check(), Err(error), "{behavior:?}");
        }
        assert_eq!(Behavior::default().check(), Ok(()));
    }
}
