use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::coupon::{CampaignPlan, CouponCampaign};
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Creation of a coupon campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateCampaign {
    pub plan: CampaignPlan,
}

impl Decide for CreateCampaign {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, None)
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, _locks: &mut LockSet) {}

    fn decide(&self, _set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let campaign = CouponCampaign::create(context.new_id(), self.plan.clone(), context.now);
        Ok(Decision {
            reply: Reply::CampaignCreated(campaign.clone()),
            states: States { campaigns: vec![campaign], ..States::default() },
            appended: Appended::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::coupon::CampaignRecord;
    use crate::testing::fixtures::{NOON, campaign_details, fixed, plan, stored_campaign};

    #[test]
    fn a_new_campaign_has_issued_no_coupons() {
        let mut scene = Scene::new();
        let details = campaign_details(fixed(1_000), 3);
        let reply = scene.decide(CreateCampaign { plan: plan(details.clone()) });
        let Ok(Reply::CampaignCreated(campaign)) = reply else { panic!("a campaign is expected, not {reply:?}") };
        let record = CampaignRecord { id: campaign.id, details, issued: 0, created_at: NOON, updated_at: NOON };
        assert_eq!(campaign, stored_campaign(record));
        assert_eq!(scene.tables.campaigns.get(&campaign.id), Some(&campaign));
        assert_eq!(campaign.remaining(), 3);
    }
}
