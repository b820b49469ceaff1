use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::coupon::{CampaignDetails, CouponCampaign, CouponEvent};
use crate::id::CampaignId;
use crate::rejection::Rejection;
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
    fn declare_locks(&self, _locks: &mut Locks) {}

    fn decide(&self, _set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let campaign = CouponCampaign::create(self.campaign_id, self.details.clone(), context.now);
        Ok(Decision {
            reply: Reply::CampaignCreated(campaign.clone()),
            events: vec![Event::Coupon(CouponEvent::CampaignCreated(campaign))],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::command::scene::Scene;
    use crate::testing::fixtures::{NOON, campaign_details, fixed};

    #[test]
    fn a_campaign_is_made_with_nothing_issued() {
        let mut scene = Scene::new();
        let campaign_id: CampaignId = scene.id();
        let details = campaign_details(fixed(1_000), 3);
        let reply = scene.decide(Command::CreateCampaign(CreateCampaign { campaign_id, details: details.clone() }));
        let campaign = CouponCampaign { id: campaign_id, details, issued: 0, created_at: NOON, updated_at: NOON };
        assert_eq!(reply, Ok(Reply::CampaignCreated(campaign.clone())));
        assert_eq!(scene.set.campaign(campaign_id), Some(&campaign));
        assert_eq!(campaign.remaining(), 3);
    }
}
