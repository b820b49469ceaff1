use thiserror::Error;

use crate::id::CouponId;
use crate::time::Timestamp;

/// Why a coupon is not issued, used or changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
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
