use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::coupon::{CampaignDetails, CouponCampaign, CouponEvent};
use crate::id::CampaignId;
use crate::refusal::Refusal;
use crate::working_set::{Locks, WorkingSet};

/// Make a coupon campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateCampaign {
    /// The id that the campaign gets.
    pub campaign_id: CampaignId,
    /// What the back office says about it; checked with [`CampaignDetails::check`].
    pub details: CampaignDetails,
}

impl Decide for CreateCampaign {
    fn name_locks(&self, _locks: &mut Locks) {}

    fn decide(&self, _set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let campaign = CouponCampaign::create(self.campaign_id, self.details.clone(), context.now);
        Ok(Decision {
            reply: Reply::CampaignCreated(campaign.clone()),
            events: vec![Event::Coupon(CouponEvent::CampaignCreated(campaign))],
        })
    }
}
