use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::coupon::{CouponEvent, CouponRefusal};
use crate::id::CampaignId;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::working_set::{Locks, WorkingSet};

/// Give a campaign more coupons, or close it earlier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeCampaign {
    /// Which one.
    pub campaign_id: CampaignId,
    /// How many coupons there shall be.
    pub quantity: Option<u32>,
    /// When issuing shall close.
    pub issue_closes_at: Option<Timestamp>,
}

impl Decide for ChangeCampaign {
    fn name_locks(&self, locks: &mut Locks) {
        locks.campaigns.insert(self.campaign_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let campaign = set.campaign(self.campaign_id).ok_or(CouponRefusal::CampaignNotFound)?;
        let changed = campaign.change(self.quantity, self.issue_closes_at, context.now)?;
        Ok(Decision {
            reply: Reply::CampaignChanged(changed.clone()),
            events: vec![Event::Coupon(CouponEvent::CampaignChanged(changed))],
        })
    }
}
