use crate::coupon::{Coupon, CouponCampaign};

/// What happens to campaigns and coupons; each carries the aggregate as it is afterwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CouponEvent {
    /// A campaign was made.
    CampaignCreated(CouponCampaign),
    /// A campaign got more coupons, or closes earlier.
    CampaignChanged(CouponCampaign),
    /// A coupon was issued; its campaign counts one more.
    Issued(Coupon),
    /// A coupon was used, restored or revoked.
    Changed(Coupon),
}
