//! Coupons and the campaigns that issue them: a fixed number, first come, first served, one per user.

use async_trait::async_trait;

use crate::id::{CampaignId, CouponId, UserId};
use crate::page::{AsOf, Page};
use crate::store_error::StoreError;

mod campaign;
mod issued;
mod terms;

pub use campaign::{
    CampaignChange, CampaignDetails, CampaignPlan, CampaignRecord, CouponCampaign, InvalidCampaign, Validity,
};
pub use issued::{Coupon, CouponChoice, CouponRejection, CouponState, CouponStatus, NotUsableReason};
pub use terms::{CampaignName, CouponTerms, Discount, InvalidPercent, Percent};

/// Reads campaigns and coupons for display, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait CouponQueries: Send + Sync {
    /// All campaigns, newest first; the page's key is a campaign id.
    async fn campaigns(&self, page: &Page<CampaignId>) -> Result<Vec<CouponCampaign>, StoreError>;

    /// `None` when the campaign does not exist.
    async fn campaign(&self, id: CampaignId) -> Result<Option<CouponCampaign>, StoreError>;

    /// A user's coupons, newest first; the page's key is a coupon id.
    async fn coupons(
        &self,
        user_id: &UserId,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> Result<AsOf<Vec<Coupon>>, StoreError>;

    /// The coupons of a campaign, newest first; the page's key is a coupon id.
    async fn coupons_of_campaign(
        &self,
        campaign_id: CampaignId,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> Result<AsOf<Vec<Coupon>>, StoreError>;

    /// All coupons of a user that are neither used nor revoked, by id.
    async fn unused(&self, user_id: &UserId) -> Result<AsOf<Vec<Coupon>>, StoreError>;
}

/// Selects coupons by their status at the time of the read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are named after their meanings")]
pub enum CouponFilter {
    Only(CouponStatus),
    All,
}

#[cfg(test)]
mod tests;
