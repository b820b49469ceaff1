use thiserror::Error;

use crate::money::{Currency, Money, PositiveMoney};
use crate::text::Text;

/// What a campaign and its coupons are called.
pub type CampaignName = Text<1, 200>;

/// A share of a hundred, 1 to 100.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Percent(u8);

impl Percent {
    /// The number, 1 to 100.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Not 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a percentage is between 1 and 100")]
pub struct InvalidPercent;

impl TryFrom<u8> for Percent {
    type Error = InvalidPercent;

    fn try_from(percent: u8) -> Result<Self, InvalidPercent> {
        if (1..=100).contains(&percent) { Ok(Self(percent)) } else { Err(InvalidPercent) }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

/// What a coupon takes off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discount {
    /// A fixed amount.
    Fixed {
        /// The amount.
        amount: PositiveMoney,
    },
    /// A share of the order's total.
    Percent {
        /// The share.
        percent: Percent,
        /// The most that it takes off.
        cap: Option<PositiveMoney>,
    },
}

impl Discount {
    /// What it takes off a total, in whole units of the currency, half up, and never more than the total.
    pub fn of(&self, total: Money, currency: Currency) -> Money {
        let wanted = match self {
            Self::Fixed { amount } => amount.get(),
            Self::Percent { percent, cap } => {
                let share = total
                    .portion_rounded_half_up(i64::from(percent.get()), 100, currency.unit())
                    .expect("a total is not negative, and a part of it is in range");
                cap.map_or(share, |cap| share.min(cap.get()))
            }
        };
        wanted.min(total)
    }
}

/// What a coupon is worth, and to whom it applies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CouponTerms {
    /// What it is called.
    pub name: CampaignName,
    /// What it takes off.
    pub discount: Discount,
    /// The least total that it applies to.
    pub min_order_amount: Option<PositiveMoney>,
}
