//! The numbers of a shop at one time, for its back office.

use async_trait::async_trait;

use crate::coupon::CouponCampaign;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// The numbers of a shop.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Overview {
    /// By the database's clock.
    pub now: Timestamp,
    pub open_orders: u64,
    /// The items that the open orders reserve.
    pub open_quantity: u64,
    /// Products on sale without stock.
    pub sold_out: u64,
    /// Products on sale with at most [`OverviewLimits::nearly_sold_out`] items.
    pub nearly_sold_out: u64,
    /// Campaigns that issue coupons now, with at most a tenth of them left; the earliest to close first.
    pub campaigns_running_out: Vec<CouponCampaign>,
    /// At most [`OverviewLimits::events`], as dead events.
    pub pending_events: u64,
    pub dead_events: u64,
}

/// Limits of an [`Overview`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct OverviewLimits {
    pub nearly_sold_out: u32,
    pub campaigns: u32,
    /// Of each state. An outage of the data platform leaves many.
    pub events: u32,
}

/// Reads the numbers of a shop, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait OverviewQueries: Send + Sync {
    /// The numbers, each by an index: the cost grows with open orders and products, and not with the orders ever placed.
    async fn overview(&self, limits: OverviewLimits) -> Result<Overview, StoreError>;
}
