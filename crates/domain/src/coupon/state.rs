use std::cmp::Reverse;

use thiserror::Error;
use time::Duration;

use crate::coupon::{CouponRejection, NotUsableReason};
use crate::id::{CampaignId, CouponId, OrderId, UserId};
use crate::money::{Currency, Money, PositiveMoney};
use crate::text::Text;
use crate::time::Timestamp;

/// What a campaign and its coupons are called.
pub type CampaignName = Text<1, 200>;

/// A share of a hundred, 1 to 100.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "u8", into = "u8"))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CouponTerms {
    /// What it is called.
    pub name: CampaignName,
    /// What it takes off.
    pub discount: Discount,
    /// The least total that it applies to.
    pub min_order_amount: Option<PositiveMoney>,
}

/// How long a coupon can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Validity {
    /// Until this time, whenever it was issued.
    Until(Timestamp),
    /// So many times 24 hours from its issue.
    Days(u16),
}

impl Validity {
    /// The most days, ten years.
    pub const DAYS_MAX: u16 = 3_650;

    /// Until when a coupon issued now can be used.
    fn until(self, issued_at: Timestamp) -> Timestamp {
        match self {
            Self::Until(time) => time,
            Self::Days(days) => issued_at.saturating_add(Duration::days(i64::from(days))),
        }
    }
}

/// What the back office says about a campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CampaignDetails {
    /// The terms that its coupons are issued with.
    pub terms: CouponTerms,
    /// How many coupons there are.
    pub quantity: u32,
    /// From when on coupons are issued.
    pub issue_opens_at: Timestamp,
    /// Until when coupons are issued; at this time no more.
    pub issue_closes_at: Timestamp,
    /// How long its coupons can be used.
    pub validity: Validity,
}

impl CampaignDetails {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), InvalidCampaign> {
        if self.quantity == 0 {
            return Err(InvalidCampaign::NoCoupons);
        }
        if self.issue_closes_at <= self.issue_opens_at {
            return Err(InvalidCampaign::ClosesBeforeItOpens);
        }
        match self.validity {
            Validity::Days(days) if !(1..=Validity::DAYS_MAX).contains(&days) => Err(InvalidCampaign::ValidDays),
            Validity::Days(_) | Validity::Until(_) => Ok(()),
        }
    }
}

/// Why a campaign cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidCampaign {
    /// Not a single coupon.
    #[error("the quantity is zero")]
    NoCoupons,
    /// The time to close is not after the time to open.
    #[error("issuing closes before it opens")]
    ClosesBeforeItOpens,
    /// Not 1 to [`Validity::DAYS_MAX`] days.
    #[error("the days of validity are not between 1 and 3,650")]
    ValidDays,
}

/// A campaign: a number of coupons for the first who come, one each.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CouponCampaign {
    /// The campaign's id.
    pub id: CampaignId,
    /// What the back office says about it.
    pub details: CampaignDetails,
    /// How many coupons were issued, never more than the quantity.
    pub issued: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last by the back office.
    pub updated_at: Timestamp,
}

impl CouponCampaign {
    /// A campaign as it is made.
    pub fn create(id: CampaignId, details: CampaignDetails, now: Timestamp) -> Self {
        Self { id, details, issued: 0, created_at: now, updated_at: now }
    }

    /// The campaign with more coupons, or closing earlier.
    ///
    /// # Errors
    /// In this order: [`CouponRejection::QuantityLowered`], [`CouponRejection::ClosingPostponed`].
    pub fn change(
        &self,
        quantity: Option<u32>,
        issue_closes_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, CouponRejection> {
        let mut changed = Self { updated_at: now, ..self.clone() };
        if let Some(quantity) = quantity {
            if quantity < self.details.quantity {
                return Err(CouponRejection::QuantityLowered { quantity: self.details.quantity });
            }
            changed.details.quantity = quantity;
        }
        if let Some(closes_at) = issue_closes_at {
            if closes_at > self.details.issue_closes_at {
                return Err(CouponRejection::ClosingPostponed { issue_closes_at: self.details.issue_closes_at });
            }
            changed.details.issue_closes_at = closes_at;
        }
        Ok(changed)
    }

    /// The coupon that a user gets.
    ///
    /// # Errors
    /// In this order: [`CouponRejection::CampaignNotOpen`], [`CouponRejection::CampaignClosed`],
    /// [`CouponRejection::AlreadyIssued`], [`CouponRejection::SoldOut`].
    pub fn issue(
        &self,
        user_id: &UserId,
        already_issued: bool,
        id: CouponId,
        now: Timestamp,
    ) -> Result<Coupon, CouponRejection> {
        let CampaignDetails { terms, quantity, issue_opens_at, issue_closes_at, validity } = &self.details;
        if now < *issue_opens_at {
            Err(CouponRejection::CampaignNotOpen { issue_opens_at: *issue_opens_at })
        } else if now >= *issue_closes_at {
            Err(CouponRejection::CampaignClosed { issue_closes_at: *issue_closes_at })
        } else if already_issued {
            Err(CouponRejection::AlreadyIssued)
        } else if self.issued >= *quantity {
            Err(CouponRejection::SoldOut)
        } else {
            Ok(Coupon {
                id,
                campaign_id: self.id,
                user_id: user_id.clone(),
                terms: terms.clone(),
                state: CouponState::Unused,
                valid_until: validity.until(now),
                issued_at: now,
            })
        }
    }

    /// How many coupons are left.
    pub fn remaining(&self) -> u32 {
        self.details.quantity.saturating_sub(self.issued)
    }
}

/// One user's coupon.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Coupon {
    /// The coupon's id.
    pub id: CouponId,
    /// The campaign that issued it.
    pub campaign_id: CampaignId,
    /// Whose it is.
    pub user_id: UserId,
    /// Its terms, as they were when it was issued.
    pub terms: CouponTerms,
    /// What became of it.
    pub state: CouponState,
    /// Until when it can be used; at this time no more.
    pub valid_until: Timestamp,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// What became of a coupon. That it has expired follows from the time and is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum CouponState {
    /// Nobody used it yet.
    Unused,
    /// It paid a part of an order.
    Used {
        /// The order.
        order_id: OrderId,
        /// When.
        at: Timestamp,
    },
    /// The back office took it back.
    Revoked,
}

/// What a coupon can be used for at some time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum CouponStatus {
    /// It can be used.
    Usable,
    /// It was used.
    Used,
    /// Its time is over.
    Expired,
    /// The back office took it back.
    Revoked,
}

impl Coupon {
    /// What it can be used for at that time.
    pub fn status(&self, now: Timestamp) -> CouponStatus {
        match self.state {
            CouponState::Used { .. } => CouponStatus::Used,
            CouponState::Revoked => CouponStatus::Revoked,
            CouponState::Unused if now >= self.valid_until => CouponStatus::Expired,
            CouponState::Unused => CouponStatus::Usable,
        }
    }

    /// What it takes off a total now.
    ///
    /// # Errors
    /// Why it does not apply.
    pub fn discount(&self, total: Money, currency: Currency, now: Timestamp) -> Result<Money, NotUsableReason> {
        match self.status(now) {
            CouponStatus::Used => Err(NotUsableReason::Used),
            CouponStatus::Revoked => Err(NotUsableReason::Revoked),
            CouponStatus::Expired => Err(NotUsableReason::Expired),
            CouponStatus::Usable if self.terms.min_order_amount.is_some_and(|min| total < min.get()) => {
                Err(NotUsableReason::MinOrderNotMet)
            }
            CouponStatus::Usable => Ok(self.terms.discount.of(total, currency)),
        }
    }

    /// The coupon once an order used it.
    pub fn use_for(&self, order_id: OrderId, now: Timestamp) -> Self {
        Self { state: CouponState::Used { order_id, at: now }, ..self.clone() }
    }

    /// The coupon once it can be used again, as its order was refunded; `None` when its time is over anyway, or it is
    /// not that order's.
    pub fn restore(&self, order_id: OrderId, now: Timestamp) -> Option<Self> {
        let used_for_it = matches!(self.state, CouponState::Used { order_id: used_for, .. } if used_for == order_id);
        (used_for_it && now < self.valid_until).then(|| Self { state: CouponState::Unused, ..self.clone() })
    }

    /// The coupon once the back office took it back.
    ///
    /// # Errors
    /// [`CouponRejection::NotUsable`] when it was used or revoked already; one that has expired may be revoked.
    pub fn revoke(&self) -> Result<Self, CouponRejection> {
        match self.state {
            CouponState::Used { .. } => Err(self.not_usable(NotUsableReason::Used)),
            CouponState::Revoked => Err(self.not_usable(NotUsableReason::Revoked)),
            CouponState::Unused => Ok(Self { state: CouponState::Revoked, ..self.clone() }),
        }
    }

    /// The rejection to use it.
    pub(crate) fn not_usable(&self, reason: NotUsableReason) -> CouponRejection {
        CouponRejection::NotUsable { coupon_id: self.id, reason }
    }

    /// Of these coupons the one to use for a total, with what it takes off: the largest discount, then the one that
    /// expires first, then the one issued first. `None` where none takes anything off: a coupon is not spent for
    /// nothing.
    pub fn best<'a>(
        coupons: impl IntoIterator<Item = &'a Self>,
        total: Money,
        currency: Currency,
        now: Timestamp,
    ) -> Option<(&'a Self, Money)> {
        coupons
            .into_iter()
            .filter_map(|coupon| Some((coupon, coupon.discount(total, currency, now).ok()?)))
            .filter(|(_, discount)| discount.is_positive())
            .min_by_key(|(coupon, discount)| (Reverse(*discount), coupon.valid_until, coupon.id))
    }
}

#[cfg(test)]
mod tests;
