use thiserror::Error;

use crate::money::{Currency, Money, PositiveMoney};
use crate::text::Text;

/// The name of a campaign and its coupons.
pub type CampaignName = Text<1, 200>;

/// A percentage, 1 to 100.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Percent(u8);

impl Percent {
    /// 1 to 100.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A percentage below 1 or above 100.
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

/// The discount of a coupon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum Discount {
    Fixed {
        amount: PositiveMoney,
    },
    /// Of the order's total.
    Percent {
        percent: Percent,
        /// The maximum discount.
        cap: Option<PositiveMoney>,
    },
}

impl Discount {
    /// The discount on a total: in whole units of the currency, rounded half up, at most the total.
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

/// The terms of a coupon.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct CouponTerms {
    pub name: CampaignName,
    pub discount: Discount,
    /// The minimum total before the discount.
    pub min_order_amount: Option<PositiveMoney>,
}
