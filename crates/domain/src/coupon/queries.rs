use async_trait::async_trait;

use crate::coupon::{Coupon, CouponCampaign, CouponStatus};
use crate::id::{CampaignId, CouponId, UserId};
use crate::page::{AsOf, Page};
use crate::store_error::StoreError;

/// Reads campaigns and coupons for showing; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait CouponQueries: Send + Sync {
    /// The campaigns, newest first; the page's key is a campaign's id.
    async fn campaigns(&self, page: &Page<CampaignId>) -> Result<Vec<CouponCampaign>, StoreError>;

    /// The campaign of that id.
    async fn campaign(&self, id: CampaignId) -> Result<Option<CouponCampaign>, StoreError>;

    /// A user's coupons, newest first; the page's key is a coupon's id.
    async fn coupons(
        &self,
        user_id: &UserId,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> Result<AsOf<Vec<Coupon>>, StoreError>;

    /// All of a user's coupons that nobody used or revoked, in order of their ids.
    async fn unused(&self, user_id: &UserId) -> Result<AsOf<Vec<Coupon>>, StoreError>;
}

/// Which of a user's coupons to list, by what they can be used for at the time of the read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CouponFilter {
    /// Only those in this status.
    Only(CouponStatus),
    /// Every one.
    All,
}
