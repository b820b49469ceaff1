use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::coupon::{CampaignChange, CouponRejection};
use crate::id::CampaignId;
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Renames a campaign, raises its quantity, or closes it earlier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeCampaign {
    pub campaign_id: CampaignId,
    pub change: CampaignChange,
}

impl Decide for ChangeCampaign {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, Some(Subject::Campaign(self.campaign_id)))
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.campaigns.insert(self.campaign_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let campaign = set.campaign(self.campaign_id).ok_or(CouponRejection::CampaignNotFound)?;
        let changed = campaign.change(&self.change, context.now)?;
        Ok(Decision {
            reply: Reply::CampaignChanged(changed.clone()),
            states: States { campaigns: vec![changed], ..States::default() },
            appended: Appended::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::command::IssueCoupon;
    use crate::coupon::{CampaignDetails, InvalidCampaign};
    use crate::testing::fixtures::{NOON, campaign_details, fixed, noon_plus, text, user};
    use crate::time::Timestamp;

    fn change(campaign_id: CampaignId, quantity: Option<u32>, issue_closes_at: Option<Timestamp>) -> ChangeCampaign {
        ChangeCampaign { campaign_id, change: CampaignChange { name: None, quantity, issue_closes_at } }
    }

    fn closing_at(seconds: i64) -> CampaignDetails {
        CampaignDetails { issue_closes_at: noon_plus(seconds), ..campaign_details(fixed(1_000), 3) }
    }

    #[test]
    fn raises_the_quantity_and_closes_earlier() {
        let mut scene = Scene::new();
        let id = scene.campaign(closing_at(600));
        scene.decide(IssueCoupon { campaign_id: id, user_id: user("kim") }).expect("an open campaign");
        scene.now = noon_plus(5);
        let Ok(Reply::CampaignChanged(campaign)) = scene.decide(change(id, Some(4), Some(noon_plus(60)))) else {
            panic!("a campaign is expected");
        };
        let details = CampaignDetails { quantity: 4, ..closing_at(60) };
        assert_eq!((&campaign.details, campaign.issued, campaign.remaining()), (&details, 1, 3));
        assert_eq!((campaign.created_at, campaign.updated_at), (NOON, noon_plus(5)));
        assert_eq!(scene.tables.campaigns.get(&id), Some(&campaign));

        let same = scene.decide(change(id, Some(4), Some(noon_plus(60))));
        assert_eq!(same, Ok(Reply::CampaignChanged(campaign.clone())), "the present values are accepted");
        assert_eq!(scene.decide(change(id, None, None)), Ok(Reply::CampaignChanged(campaign)));
    }

    #[test]
    fn a_new_name_is_that_of_later_coupons() {
        let mut scene = Scene::new();
        let id = scene.campaign(closing_at(600));
        let issue = |user_id| IssueCoupon { campaign_id: id, user_id: user(user_id) };
        scene.decide(issue("kim")).expect("an open campaign");
        let change = CampaignChange { name: Some(text("spring")), ..CampaignChange::default() };
        let Ok(Reply::CampaignChanged(campaign)) = scene.decide(ChangeCampaign { campaign_id: id, change }) else {
            panic!("a campaign is expected");
        };
        assert_eq!(campaign.details.terms.name, text("spring"));
        scene.decide(issue("lee")).expect("an open campaign");
        let names = scene.tables.coupons.values().map(|coupon| coupon.terms.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["welcome", "spring"]);
    }

    #[test]
    fn rejects_a_lower_quantity_before_a_later_closing_time() {
        let mut scene = Scene::new();
        let id = scene.campaign(closing_at(600));
        let lowered = CouponRejection::QuantityLowered { quantity: 3 };
        let postponed = CouponRejection::ClosingPostponed { issue_closes_at: noon_plus(600) };
        assert_eq!(scene.rejection(change(id, Some(2), Some(noon_plus(601)))), lowered.into());
        assert_eq!(scene.rejection(change(id, Some(9), Some(noon_plus(601)))), postponed.into());
    }

    #[test]
    fn rejects_details_that_a_new_campaign_could_not_have() {
        let mut scene = Scene::new();
        let id = scene.campaign(CampaignDetails { issue_opens_at: noon_plus(60), ..closing_at(600) });
        let invalid = |invalid| Rejection::from(CouponRejection::Invalid(invalid));
        assert_eq!(scene.rejection(change(id, Some(0), Some(noon_plus(60)))), invalid(InvalidCampaign::NoCoupons));
        let closed = scene.rejection(change(id, None, Some(noon_plus(60))));
        assert_eq!(closed, invalid(InvalidCampaign::ClosesBeforeItOpens));
    }

    #[test]
    fn rejects_a_campaign_that_does_not_exist() {
        let mut scene = Scene::new();
        let id = scene.id();
        assert_eq!(scene.rejection(change(id, Some(2), None)), CouponRejection::CampaignNotFound.into());
    }
}
