//! Coupons: campaigns that give a fixed number of them to the first who come, one each, and the coupons themselves,
//! which keep the terms that they were issued with.

mod choice;
mod event;
mod queries;
mod rejection;
mod repository;
mod state;

pub use choice::CouponChoice;
pub use event::CouponEvent;
pub use queries::{CouponFilter, CouponQueries};
pub use rejection::{CouponRejection, NotUsableReason};
pub use repository::CouponRepository;
pub use state::{
    CampaignDetails, CampaignName, Coupon, CouponCampaign, CouponState, CouponStatus, CouponTerms, Discount,
    InvalidCampaign, InvalidPercent, Percent, Validity,
};

#[cfg(any(test, feature = "mock"))]
pub use {queries::MockCouponQueries, repository::MockCouponRepository};
