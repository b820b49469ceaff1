use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::coupon::{Coupon, CouponCampaign};
use crate::id::{CampaignId, CouponId, UserId};
use crate::store_error::StoreError;

/// Writes campaigns and coupons, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait CouponRepository: Send {
    /// Locks and returns the campaigns that exist, ordered by id; the locks hold until commit or drop.
    async fn lock_campaigns(&mut self, ids: &BTreeSet<CampaignId>) -> Result<Vec<CouponCampaign>, StoreError>;

    /// Which of these users have had a coupon of the campaign named with them. Coupons are issued only under their
    /// campaign's lock, so with the campaigns locked the answer stays true until commit or drop.
    async fn past_recipients(
        &mut self,
        pairs: &BTreeSet<(CampaignId, UserId)>,
    ) -> Result<BTreeSet<(CampaignId, UserId)>, StoreError>;

    /// The ids of the coupons of these users that nobody used or revoked, as candidates for a lock.
    async fn unused_of(&mut self, users: &BTreeSet<UserId>) -> Result<BTreeSet<CouponId>, StoreError>;

    /// Locks and returns the coupons that exist, ordered by id; the locks hold until commit or drop.
    async fn lock_many(&mut self, ids: &BTreeSet<CouponId>) -> Result<Vec<Coupon>, StoreError>;

    /// Adds new campaigns, in order of their ids.
    async fn insert_campaigns(&mut self, campaigns: &[CouponCampaign]) -> Result<(), StoreError>;

    /// Writes the campaigns, which are locked, ordered by id.
    async fn save_campaigns(&mut self, campaigns: &[CouponCampaign]) -> Result<(), StoreError>;

    /// Adds new coupons, in order of their ids. A second coupon of one campaign and user is a
    /// [`StoreError::Conflict`].
    async fn insert_many(&mut self, coupons: &[Coupon]) -> Result<(), StoreError>;

    /// Writes what became of the coupons, which are locked, ordered by id.
    async fn save_many(&mut self, coupons: &[Coupon]) -> Result<(), StoreError>;
}
