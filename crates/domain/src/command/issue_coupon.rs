use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::coupon::CouponRejection;
use crate::id::{CampaignId, UserId};
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Issue of a coupon of a campaign to a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssueCoupon {
    pub campaign_id: CampaignId,
    pub user_id: UserId,
}

impl Decide for IssueCoupon {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, Some(Subject::Campaign(self.campaign_id)))
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.campaigns.insert(self.campaign_id);
        locks.past_recipients.insert((self.campaign_id, self.user_id.clone()));
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let campaign = set.campaign(self.campaign_id).ok_or(CouponRejection::CampaignNotFound)?;
        let already_issued = set.has_received_coupon(self.campaign_id, &self.user_id);
        let (campaign, coupon) = campaign.issue(&self.user_id, already_issued, context.new_id(), context.now)?;
        Ok(Decision {
            reply: Reply::CouponIssued { coupon: coupon.clone(), now: context.now },
            states: States { campaigns: vec![campaign], coupons: vec![coupon], ..States::default() },
            appended: Appended::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::command::scene::Scene;
    use crate::coupon::{CampaignDetails, Coupon, CouponState, Validity};
    use crate::testing::fixtures::{NOON, campaign_details, noon_plus, percent, user};

    fn issue(campaign_id: CampaignId, user_id: &str) -> IssueCoupon {
        IssueCoupon { campaign_id, user_id: user(user_id) }
    }

    #[track_caller]
    fn issued(scene: &mut Scene, campaign_id: CampaignId, user_id: &str) -> Coupon {
        match scene.decide(issue(campaign_id, user_id)) {
            Ok(Reply::CouponIssued { coupon, now }) => {
                assert_eq!(now, scene.now);
                coupon
            }
            other => panic!("a coupon is expected, not {other:?}"),
        }
    }

    #[track_caller]
    fn rejected(scene: &mut Scene, campaign_id: CampaignId, user_id: &str) -> Rejection {
        scene.rejection(issue(campaign_id, user_id))
    }

    fn open_for_a_minute(quantity: u32) -> CampaignDetails {
        CampaignDetails {
            issue_opens_at: NOON,
            issue_closes_at: noon_plus(60),
            ..campaign_details(percent(10), quantity)
        }
    }

    #[test]
    fn a_coupon_has_the_terms_of_its_campaign_at_issue() {
        let mut scene = Scene::new();
        let details = open_for_a_minute(2);
        let id = scene.campaign(details.clone());
        let coupon = issued(&mut scene, id, "kim");
        let expected = Coupon {
            id: coupon.id,
            campaign_id: id,
            user_id: user("kim"),
            terms: details.terms,
            state: CouponState::Unused,
            valid_until: NOON.saturating_add(Duration::days(30)),
            issued_at: NOON,
        };
        assert_eq!(coupon, expected);
        assert_eq!(scene.tables.coupons.get(&coupon.id), Some(&expected));
        assert_eq!(scene.tables.campaigns.get(&id).map(|campaign| campaign.issued), Some(1));
    }

    #[test]
    fn a_coupon_can_have_a_fixed_expiry() {
        let mut scene = Scene::new();
        let id = scene.campaign(CampaignDetails { validity: Validity::Until(noon_plus(9)), ..open_for_a_minute(1) });
        assert_eq!(issued(&mut scene, id, "kim").valid_until, noon_plus(9));
    }

    #[test]
    fn coupons_are_issued_from_opening_until_right_before_closing() {
        let mut scene = Scene::new();
        let id = scene.campaign(open_for_a_minute(9));
        scene.now = NOON.saturating_add(Duration::microseconds(-1));
        assert_eq!(rejected(&mut scene, id, "a"), CouponRejection::CampaignNotOpen { issue_opens_at: NOON }.into());
        scene.now = NOON;
        issued(&mut scene, id, "a");
        scene.now = noon_plus(60).saturating_add(Duration::microseconds(-1));
        issued(&mut scene, id, "b");
        scene.now = noon_plus(60);
        let closed = CouponRejection::CampaignClosed { issue_closes_at: noon_plus(60) };
        assert_eq!(rejected(&mut scene, id, "c"), closed.into());
    }

    #[test]
    fn no_coupon_is_issued_that_has_expired() {
        let mut scene = Scene::new();
        let id = scene.campaign(CampaignDetails { validity: Validity::Until(noon_plus(9)), ..open_for_a_minute(2) });
        scene.now = noon_plus(9).saturating_add(Duration::microseconds(-1));
        issued(&mut scene, id, "kim");
        scene.now = noon_plus(9);
        let closed = CouponRejection::CampaignClosed { issue_closes_at: noon_plus(9) };
        assert_eq!(rejected(&mut scene, id, "lee"), closed.into());
        assert_eq!(scene.tables.campaigns.get(&id).map(|campaign| campaign.issued), Some(1), "it does not count");
    }

    #[test]
    fn exactly_the_quantity_is_issued_one_each() {
        let mut scene = Scene::new();
        let id = scene.campaign(open_for_a_minute(2));
        issued(&mut scene, id, "a");
        assert_eq!(rejected(&mut scene, id, "a"), CouponRejection::AlreadyIssued.into());
        issued(&mut scene, id, "b");
        assert_eq!(rejected(&mut scene, id, "c"), CouponRejection::SoldOut.into());
        assert_eq!(scene.tables.campaigns.get(&id).map(|campaign| campaign.remaining()), Some(0));
    }

    #[test]
    fn checks_the_campaign_then_its_times_then_the_user_then_the_quantity() {
        let mut scene = Scene::new();
        let absent = scene.id();
        assert_eq!(rejected(&mut scene, absent, "a"), CouponRejection::CampaignNotFound.into());
        let id = scene.campaign(open_for_a_minute(1));
        issued(&mut scene, id, "a");
        assert_eq!(rejected(&mut scene, id, "a"), CouponRejection::AlreadyIssued.into(), "not SoldOut");
        scene.now = noon_plus(60);
        assert!(matches!(rejected(&mut scene, id, "a"), Rejection::Coupon(CouponRejection::CampaignClosed { .. })));
        scene.now = noon_plus(-1);
        assert!(matches!(rejected(&mut scene, id, "a"), Rejection::Coupon(CouponRejection::CampaignNotOpen { .. })));
    }
}
