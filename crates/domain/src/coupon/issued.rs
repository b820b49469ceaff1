use std::cmp::Reverse;

use thiserror::Error;

use crate::coupon::campaign::InvalidCampaign;
use crate::coupon::terms::CouponTerms;
use crate::id::{CampaignId, CouponId, OrderId, UserId};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// One user's coupon.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Coupon {
    pub id: CouponId,
    pub campaign_id: CampaignId,
    pub user_id: UserId,
    /// The terms at the time of issue.
    pub terms: CouponTerms,
    pub state: CouponState,
    /// Exclusive.
    pub valid_until: Timestamp,
    pub issued_at: Timestamp,
}

/// The stored state of a coupon. Expiry follows from the time and is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum CouponState {
    Unused,
    Used { order_id: OrderId, at: Timestamp },
    Revoked,
}

/// The status of a coupon at some time, expiry included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the variants are named after their meanings")]
pub enum CouponStatus {
    Usable,
    Used,
    Expired,
    Revoked,
}

impl Coupon {
    /// The status at this time.
    pub fn status(&self, now: Timestamp) -> CouponStatus {
        match self.state {
            CouponState::Used { .. } => CouponStatus::Used,
            CouponState::Revoked => CouponStatus::Revoked,
            CouponState::Unused if now >= self.valid_until => CouponStatus::Expired,
            CouponState::Unused => CouponStatus::Usable,
        }
    }

    /// The discount on a total.
    ///
    /// # Errors
    /// The first reason, in the order of [`NotUsableReason`].
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

    /// The order that the coupon was used for.
    pub fn order_id(&self) -> Option<OrderId> {
        match self.state {
            CouponState::Used { order_id, .. } => Some(order_id),
            CouponState::Unused | CouponState::Revoked => None,
        }
    }

    /// Marks the coupon as used.
    pub fn use_for(&self, order_id: OrderId, now: Timestamp) -> Self {
        Self { state: CouponState::Used { order_id, at: now }, ..self.clone() }
    }

    /// The coupon once it can be used again, as its order was refunded; `None` when its time is over anyway, or it is
    /// not that order's.
    pub fn restore(&self, order_id: OrderId, now: Timestamp) -> Option<Self> {
        let used_for_it = matches!(self.state, CouponState::Used { order_id: used_for, .. } if used_for == order_id);
        (used_for_it && now < self.valid_until).then(|| Self { state: CouponState::Unused, ..self.clone() })
    }

    /// Revokes the coupon; an expired coupon can be revoked.
    ///
    /// # Errors
    /// [`CouponRejection::NotUsable`] when it is used or revoked.
    pub fn revoke(&self) -> Result<Self, CouponRejection> {
        match self.state {
            CouponState::Used { .. } => Err(self.not_usable(NotUsableReason::Used)),
            CouponState::Revoked => Err(self.not_usable(NotUsableReason::Revoked)),
            CouponState::Unused => Ok(Self { state: CouponState::Revoked, ..self.clone() }),
        }
    }

    pub(crate) fn not_usable(&self, reason: NotUsableReason) -> CouponRejection {
        CouponRejection::NotUsable { coupon_id: self.id, reason }
    }

    /// The best coupon for a total and its discount: the largest discount, then the earliest expiry, then the earliest
    /// issue. `None` when no discount is above zero.
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

/// The choice of a coupon for a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CouponChoice {
    /// Full price.
    None,
    /// The payment is rejected when the coupon is not usable.
    Named(CouponId),
    /// See [`Coupon::best`].
    Best,
}

impl CouponChoice {
    /// Selects one of a user's coupons for a total, with its discount.
    ///
    /// # Errors
    /// For a named coupon, in this order: [`CouponRejection::NotFound`], [`CouponRejection::NotUsable`].
    pub fn choose<'a>(
        self,
        coupons: impl IntoIterator<Item = &'a Coupon>,
        total: Money,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Option<(&'a Coupon, Money)>, CouponRejection> {
        match self {
            Self::None => Ok(None),
            Self::Named(id) => {
                let coupon = coupons.into_iter().find(|coupon| coupon.id == id).ok_or(CouponRejection::NotFound)?;
                let discount = coupon.discount(total, currency, now).map_err(|reason| coupon.not_usable(reason))?;
                Ok(Some((coupon, discount)))
            }
            Self::Best => Ok(Coupon::best(coupons, total, currency, now)),
        }
    }
}

/// Reasons to reject a command on a coupon or campaign.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum CouponRejection {
    #[error("there is no such campaign")]
    CampaignNotFound,
    #[error("coupons are issued from {issue_opens_at:?} on")]
    CampaignNotOpen { issue_opens_at: Timestamp },
    #[error("coupons were issued until {issue_closes_at:?}")]
    CampaignClosed { issue_closes_at: Timestamp },
    /// Of a change.
    #[error(transparent)]
    Invalid(#[from] InvalidCampaign),
    /// Used, expired and revoked coupons count as well.
    #[error("the user has received a coupon of this campaign")]
    AlreadyIssued,
    #[error("all coupons are issued")]
    SoldOut,
    #[error("the quantity can only be raised above {quantity}")]
    QuantityLowered { quantity: u32 },
    #[error("issuing can only close before {issue_closes_at:?}")]
    ClosingPostponed { issue_closes_at: Timestamp },
    /// Also for a coupon of another user.
    #[error("there is no such coupon")]
    NotFound,
    #[error("coupon {coupon_id} is not usable: {reason:?}")]
    NotUsable { coupon_id: CouponId, reason: NotUsableReason },
}

/// Reasons why a coupon is not usable, in the order of the checks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the variants are named after their meanings")]
pub enum NotUsableReason {
    Used,
    Revoked,
    Expired,
    /// The total is below the minimum of the terms.
    MinOrderNotMet,
}
