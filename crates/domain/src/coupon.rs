//! Coupons: campaigns that issue a fixed number of them to the first users who ask, one each, and the coupons
//! themselves, which retain the terms that they were issued with.

use std::cmp::Reverse;

use thiserror::Error;

use crate::id::{CampaignId, CouponId, OrderId, UserId};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

mod campaign;
mod queries;
mod terms;

pub use campaign::{CampaignDetails, CampaignPlan, CampaignRecord, CouponCampaign, InvalidCampaign, Validity};
#[cfg(any(test, feature = "mock"))]
pub use queries::MockCouponQueries;
pub use queries::{CouponFilter, CouponQueries};
pub use terms::{CampaignName, CouponTerms, Discount, InvalidPercent, Percent};

/// One user's coupon.
#[derive(Clone, PartialEq, Eq, Debug)]
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

    /// The order that used it.
    pub fn order_id(&self) -> Option<OrderId> {
        match self.state {
            CouponState::Used { order_id, .. } => Some(order_id),
            CouponState::Unused | CouponState::Revoked => None,
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

/// Which coupon a payment uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CouponChoice {
    /// None: the full price.
    None,
    /// This one, or no payment.
    Named(CouponId),
    /// The one that takes most off, or none where none takes anything off.
    Best,
}

impl CouponChoice {
    /// The coupon to use for a total, of a user's coupons, and what it takes off.
    ///
    /// # Errors
    /// For a named one, in this order: [`CouponRejection::NotFound`] when it is not among them,
    /// [`CouponRejection::NotUsable`].
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

/// Why a coupon is not issued, used or changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CouponRejection {
    /// There is no such campaign.
    #[error("there is no such campaign")]
    CampaignNotFound,
    /// Coupons are not issued yet.
    #[error("coupons are issued from {issue_opens_at:?} on")]
    CampaignNotOpen {
        /// From when on they are.
        issue_opens_at: Timestamp,
    },
    /// Coupons are no longer issued.
    #[error("coupons were issued until {issue_closes_at:?}")]
    CampaignClosed {
        /// Until when they were.
        issue_closes_at: Timestamp,
    },
    /// The user has had one.
    #[error("the user has had a coupon of this campaign")]
    AlreadyIssued,
    /// All coupons are issued.
    #[error("all coupons are issued")]
    SoldOut,
    /// A campaign's quantity can only be raised.
    #[error("the quantity can only be raised above {quantity}")]
    QuantityLowered {
        /// The quantity now.
        quantity: u32,
    },
    /// A campaign's closing time can only come earlier.
    #[error("issuing can only close before {issue_closes_at:?}")]
    ClosingPostponed {
        /// The time to close now.
        issue_closes_at: Timestamp,
    },
    /// The caller has no such coupon.
    #[error("there is no such coupon")]
    NotFound,
    /// The coupon does not apply.
    #[error("coupon {coupon_id} is not usable: {reason:?}")]
    NotUsable {
        /// The coupon.
        coupon_id: CouponId,
        /// Why it does not apply.
        reason: NotUsableReason,
    },
}

/// Why a coupon does not apply, in the order in which it is checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NotUsableReason {
    /// It was used.
    Used,
    /// The back office took it back.
    Revoked,
    /// Its time is over.
    Expired,
    /// The order's total is below the coupon's least.
    MinOrderNotMet,
}

#[cfg(test)]
mod tests;
