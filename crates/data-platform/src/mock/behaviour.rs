use actix_web::http::StatusCode;
use rand::Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which calls fail, and how. Counts come first: as long as one is above zero it is used up, in the order of
/// [`Fault`]; then each call fails by the rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// The share of calls that answer [`Behaviour::fail_status`], 0 to 1; the event is not kept.
    pub fail_rate: f64,
    /// The share of calls that wait [`Behaviour::hang_seconds`] before they fail; the event is not kept.
    pub hang_rate: f64,
    /// The share of calls that answer 429 with `Retry-After`; the event is not kept.
    pub throttle_rate: f64,
    /// The share of calls that answer 307 to [`Behaviour::redirect_to`]; the event is not kept.
    pub redirect_rate: f64,
    /// The share of calls that keep the event and then answer 503, as a receiver does that dies in between.
    pub lose_answer_rate: f64,
    /// So many of the next calls answer [`Behaviour::fail_status`].
    pub fail_next: u32,
    /// So many of the next calls hang.
    pub hang_next: u32,
    /// So many of the next calls are throttled.
    pub throttle_next: u32,
    /// So many of the next calls are redirected.
    pub redirect_next: u32,
    /// So many of the next calls lose their answer.
    pub lose_answer_next: u32,
    /// The status of a failing call.
    pub fail_status: u16,
    /// How long a hanging call waits.
    pub hang_seconds: u64,
    /// What a throttled call asks for.
    pub retry_after_seconds: u64,
    /// Where a redirected call is sent.
    pub redirect_to: String,
}

impl Default for Behaviour {
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

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers [`Behaviour::fail_status`].
    Fail,
    /// Answers late, and then with an error.
    Hang,
    /// Answers 429.
    Throttle,
    /// Answers 307.
    Redirect,
    /// Keeps the event and answers 503.
    LoseAnswer,
}

/// Why a behaviour cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidBehaviour {
    /// A rate below 0, or rates that add up to more than 1.
    #[error("rates are 0 or more and add up to at most 1")]
    Rates,
    /// A status that does not say that something failed.
    #[error("fail_status is between 300 and 599")]
    Status,
}

impl Behaviour {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// [`InvalidBehaviour`].
    pub fn check(&self) -> Result<(), InvalidBehaviour> {
        let rates = self.rates();
        if rates.iter().any(|(_, rate)| !(0.0..=1.0).contains(rate))
            || rates.iter().map(|(_, rate)| rate).sum::<f64>() > 1.0
        {
            return Err(InvalidBehaviour::Rates);
        }
        if !(300..600).contains(&self.fail_status) {
            return Err(InvalidBehaviour::Status);
        }
        Ok(())
    }

    /// What happens to the next call.
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

    fn draw(behaviour: &mut Behaviour, times: usize) -> Vec<Option<Fault>> {
        let mut random = SmallRng::seed_from_u64(7);
        (0..times).map(|_| behaviour.draw(&mut random)).collect()
    }

    #[test]
    fn uses_counts_up_before_rates() {
        let mut behaviour = Behaviour { fail_next: 2, hang_next: 1, throttle_rate: 1.0, ..Behaviour::default() };
        let drawn = draw(&mut behaviour, 4);
        assert_eq!(drawn, [Some(Fault::Fail), Some(Fault::Fail), Some(Fault::Hang), Some(Fault::Throttle)]);
    }

    #[test]
    fn fails_by_the_rates_and_the_same_way_with_the_same_seed() {
        let mut behaviour = Behaviour { fail_rate: 0.3, hang_rate: 0.1, ..Behaviour::default() };
        let drawn = draw(&mut behaviour, 10_000);
        let share = |fault| drawn.iter().filter(|drawn| **drawn == fault).count();
        assert!((2_800..3_200).contains(&share(Some(Fault::Fail))), "{}", share(Some(Fault::Fail)));
        assert!((850..1_150).contains(&share(Some(Fault::Hang))), "{}", share(Some(Fault::Hang)));
        assert_eq!(share(Some(Fault::Redirect)), 0);
        assert_eq!(draw(&mut behaviour, 10_000), drawn);
    }

    #[test]
    fn rejects_rates_and_a_status_that_make_no_sense() {
        for (behaviour, error) in [
            (Behaviour { fail_rate: -0.1, ..Behaviour::default() }, InvalidBehaviour::Rates),
            (Behaviour { fail_rate: 0.6, hang_rate: 0.6, ..Behaviour::default() }, InvalidBehaviour::Rates),
            (Behaviour { fail_rate: f64::NAN, ..Behaviour::default() }, InvalidBehaviour::Rates),
            (Behaviour { fail_status: 204, ..Behaviour::default() }, InvalidBehaviour::Status),
        ] {
            assert_eq!(behaviour.check(), Err(error), "{behaviour:?}");
        }
        assert_eq!(Behaviour::default().check(), Ok(()));
    }
}
