use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::coupon::{CouponEvent, CouponRefusal};
use crate::id::{CampaignId, CouponId, UserId};
use crate::refusal::Refusal;
use crate::working_set::{Locks, WorkingSet};

/// Take a coupon of a campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssueCoupon {
    /// The id that the coupon gets.
    pub coupon_id: CouponId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Who takes it.
    pub user_id: UserId,
}

impl Decide for IssueCoupon {
    fn name_locks(&self, locks: &mut Locks) {
        locks.campaigns.insert(self.campaign_id);
        locks.holders.insert((self.campaign_id, self.user_id.clone()));
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let campaign = set.campaign(self.campaign_id).ok_or(CouponRefusal::CampaignNotFound)?;
        let already_issued = set.holds_coupon_of(self.campaign_id, &self.user_id);
        let coupon = campaign.issue(&self.user_id, already_issued, self.coupon_id, context.now)?;
        Ok(Decision {
            reply: Reply::CouponIssued { coupon: coupon.clone(), now: context.now },
            events: vec![Event::Coupon(CouponEvent::Issued(coupon))],
        })
    }
}
