//! Amounts of money and currencies.

use std::fmt;

use rust_decimal::Decimal;
use thiserror::Error;

/// The decimals of a stored amount: every amount is a multiple of 1/10,000 of the currency's main unit.
pub const SCALE: u32 = 4;
/// One main unit, in 1/10,000.
pub(crate) const ONE: i64 = 10_000;

/// An exact amount of money, possibly negative, in 1/10,000 of the shop's currency.
///
/// Arithmetic is checked: it returns `None` outside ±[`Money::MAX`], never a wrapped or rounded amount.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "i64", into = "i64"))]
pub struct Money {
    ten_thousandths: i64,
}

impl Money {
    /// Zero.
    pub const ZERO: Self = Self { ten_thousandths: 0 };
    /// 900 trillion main units: fits `DECIMAL(19,4)` and an `i64` of 1/10,000 with room to spare.
    pub const MAX: Self = Self { ten_thousandths: 900_000_000_000_000 * ONE };

    /// An amount in main units (won, dollars); `None` beyond ±[`Money::MAX`].
    pub const fn from_units(units: i64) -> Option<Self> {
        match units.checked_mul(ONE) {
            Some(ten_thousandths) => Self::from_ten_thousandths(ten_thousandths),
            None => None,
        }
    }

    /// An amount in 1/10,000; `None` beyond ±[`Money::MAX`].
    pub const fn from_ten_thousandths(ten_thousandths: i64) -> Option<Self> {
        if ten_thousandths.unsigned_abs() > Self::MAX.ten_thousandths.unsigned_abs() {
            None
        } else {
            Some(Self { ten_thousandths })
        }
    }

    /// The amount in 1/10,000.
    pub fn ten_thousandths(self) -> i64 {
        self.ten_thousandths
    }

    /// `self + other`; `None` beyond ±[`Money::MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.ten_thousandths.checked_add(other.ten_thousandths).and_then(Self::from_ten_thousandths)
    }

    /// `self - other`; `None` beyond ±[`Money::MAX`].
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.ten_thousandths.checked_sub(other.ten_thousandths).and_then(Self::from_ten_thousandths)
    }

    /// `self · times`; `None` beyond ±[`Money::MAX`].
    pub fn checked_mul(self, times: u32) -> Option<Self> {
        self.ten_thousandths.checked_mul(i64::from(times)).and_then(Self::from_ten_thousandths)
    }

    /// The sum of all amounts, zero for none; `None` if any step leaves the range.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// The amount with the opposite sign; always exists, as the range is symmetric.
    pub fn negated(self) -> Self {
        Self { ten_thousandths: self.ten_thousandths.saturating_neg() }
    }

    /// Whether it is above zero.
    pub fn is_positive(self) -> bool {
        self.ten_thousandths > 0
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.ten_thousandths < 0
    }

    /// Whether it is exactly zero.
    pub fn is_zero(self) -> bool {
        self.ten_thousandths == 0
    }

    /// `self · numerator / denominator`, rounded **down** to a multiple of `unit`; for amounts of zero and more.
    ///
    /// `None` when the denominator or the unit is not positive, a factor is negative or the result is out of range.
    pub fn portion_rounded_down(self, numerator: i64, denominator: i64, unit: Self) -> Option<Self> {
        self.portion(numerator, denominator, unit, |units, _, _| units)
    }

    /// `self · numerator / denominator`, rounded **half up** to a multiple of `unit`; for amounts of zero and more.
    ///
    /// `None` when the denominator or the unit is not positive, a factor is negative or the result is out of range.
    pub fn portion_rounded_half_up(self, numerator: i64, denominator: i64, unit: Self) -> Option<Self> {
        self.portion(numerator, denominator, unit, |units, remainder, divisor| {
            // A remainder of at least half, without doubling it.
            if remainder >= divisor.saturating_sub(remainder) { units.saturating_add(1) } else { units }
        })
    }

    #[expect(clippy::arithmetic_side_effects, reason = "the factors are i64, and divisors are above zero")]
    fn portion(
        self,
        numerator: i64,
        denominator: i64,
        unit: Self,
        round: impl FnOnce(i128, i128, i128) -> i128,
    ) -> Option<Self> {
        if self.is_negative() || numerator < 0 || denominator <= 0 || !unit.is_positive() {
            return None;
        }
        // The product of two i64 fits an i128: exact until the division.
        let product = i128::from(self.ten_thousandths) * i128::from(numerator);
        let divisor = i128::from(denominator) * i128::from(unit.ten_thousandths);
        let units = round(product / divisor, product % divisor, divisor);
        let amount = units.checked_mul(i128::from(unit.ten_thousandths))?;
        i64::try_from(amount).ok().and_then(Self::from_ten_thousandths)
    }

    /// Divides the amount among `weights` in whole units, by the largest remainder (Hamilton's method): each part is
    /// rounded down, then the remaining units go one each to the parts with the largest remainders, earlier parts first
    /// on a tie. The parts add up to the amount, unless all weights are zero. Where the weights are whole units too and
    /// the amount is at most their sum, no part exceeds its weight.
    ///
    /// # Panics
    /// When the amount or a weight is negative, or the amount is not a multiple of the unit: a bug in the caller.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "sums and products of i64 in i128, and the unit of a currency is above zero"
    )]
    pub fn allocate(self, weights: &[Self], unit: Self) -> Vec<Self> {
        assert!(!self.is_negative() && weights.iter().all(|weight| !weight.is_negative()), "a negative share");
        assert_eq!(self.ten_thousandths % unit.ten_thousandths, 0, "an amount that is no multiple of the unit");
        let whole: i128 = weights.iter().map(|weight| i128::from(weight.ten_thousandths)).sum();
        if whole == 0 {
            return vec![Self::ZERO; weights.len()];
        }
        let units = i128::from(self.ten_thousandths / unit.ten_thousandths);
        let shares = weights.iter().map(|weight| units * i128::from(weight.ten_thousandths));
        let (mut parts, remainders): (Vec<i128>, Vec<i128>) =
            shares.map(|share| (share / whole, share % whole)).unzip();
        let left_over = units - parts.iter().sum::<i128>();
        let mut by_loss: Vec<usize> = (0..parts.len()).collect();
        by_loss.sort_by_key(|&index| std::cmp::Reverse(remainders[index]));
        for index in by_loss.into_iter().take(usize::try_from(left_over).expect("fewer units than parts")) {
            parts[index] += 1;
        }
        let amount = |part: i128| i64::try_from(part * i128::from(unit.ten_thousandths)).ok();
        parts
            .into_iter()
            .map(|part| amount(part).and_then(Self::from_ten_thousandths).expect("a part is at most the whole"))
            .collect()
    }

    /// The amount as a decimal with [`SCALE`] decimals.
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.ten_thousandths, SCALE)
    }

    /// The exact amount of a decimal.
    ///
    /// # Errors
    /// [`AmountError::TooPrecise`] for more than [`SCALE`] significant decimals, [`AmountError::OutOfRange`] beyond
    /// ±[`Money::MAX`].
    pub fn from_decimal(decimal: Decimal) -> Result<Self, AmountError> {
        let mut scaled = decimal.normalize();
        if scaled.scale() > SCALE {
            return Err(AmountError::TooPrecise { decimals_max: SCALE });
        }
        scaled.rescale(SCALE);
        if scaled.scale() != SCALE {
            return Err(AmountError::OutOfRange);
        }
        i64::try_from(scaled.mantissa()).ok().and_then(Self::from_ten_thousandths).ok_or(AmountError::OutOfRange)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Money({})", self.to_decimal().normalize())
    }
}

impl TryFrom<i64> for Money {
    type Error = AmountError;

    fn try_from(ten_thousandths: i64) -> Result<Self, AmountError> {
        Self::from_ten_thousandths(ten_thousandths).ok_or(AmountError::OutOfRange)
    }
}

impl From<Money> for i64 {
    fn from(money: Money) -> Self {
        money.ten_thousandths
    }
}

/// Reasons to reject a number as an amount.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AmountError {
    /// More decimals than the currency has; input is never rounded.
    #[error("more than {decimals_max} decimals")]
    TooPrecise {
        /// The decimals of the currency.
        decimals_max: u32,
    },
    /// Beyond ±[`Money::MAX`].
    #[error("out of range")]
    OutOfRange,
    /// Zero or less where a positive amount is required.
    #[error("not positive")]
    NotPositive,
}

/// An amount above zero that the currency can express.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "Money", into = "Money"))]
pub struct PositiveMoney(Money);

impl PositiveMoney {
    /// The amount as [`Money`].
    pub fn get(self) -> Money {
        self.0
    }
}

impl TryFrom<Money> for PositiveMoney {
    type Error = AmountError;

    fn try_from(money: Money) -> Result<Self, AmountError> {
        if money.is_positive() { Ok(Self(money)) } else { Err(AmountError::NotPositive) }
    }
}

impl From<PositiveMoney> for Money {
    fn from(money: PositiveMoney) -> Self {
        money.0
    }
}

/// A currency of ISO 4217 with at most [`SCALE`] decimals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Currency {
    iso: iso_currency::Currency,
    decimals: u32,
}

impl Currency {
    /// The currency of a three-letter code of ISO 4217, such as `KRW`; `None` for an unknown code and for codes without
    /// decimals, which are no means of payment.
    pub fn from_code(code: &str) -> Option<Self> {
        let iso = iso_currency::Currency::from_code(code)?;
        let decimals = u32::from(iso.exponent()?);
        (decimals <= SCALE).then_some(Self { iso, decimals })
    }

    /// The three-letter code of ISO 4217.
    pub fn code(self) -> &'static str {
        self.iso.code()
    }

    /// The decimals of an amount: 0 for KRW, 2 for USD.
    pub fn decimals(self) -> u32 {
        self.decimals
    }

    /// The smallest payable amount: 1 won, 1 cent.
    #[expect(clippy::arithmetic_side_effects, reason = "a currency has at most four decimals")]
    pub fn unit(self) -> Money {
        Money { ten_thousandths: ONE / 10_i64.pow(self.decimals) }
    }

    /// Parses an amount as entered by a person; trailing zeros mean nothing.
    ///
    /// # Errors
    /// [`AmountError::TooPrecise`] for more decimals than the currency has; [`AmountError::OutOfRange`] beyond
    /// ±[`Money::MAX`].
    pub fn parse(self, written: Decimal) -> Result<Money, AmountError> {
        if written.normalize().scale() > self.decimals {
            return Err(AmountError::TooPrecise { decimals_max: self.decimals });
        }
        Money::from_decimal(written)
    }

    /// The amount for display, with exactly the currency's decimals.
    pub fn show(self, money: Money) -> Decimal {
        let mut decimal = money.to_decimal();
        decimal.rescale(self.decimals);
        decimal
    }
}

#[cfg(test)]
mod tests;
