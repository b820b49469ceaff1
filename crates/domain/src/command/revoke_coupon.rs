use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::coupon::CouponRejection;
use crate::id::CouponId;
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Revocation of an unused coupon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokeCoupon {
    pub coupon_id: CouponId,
}

impl Decide for RevokeCoupon {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, Some(Subject::Coupon(self.coupon_id)))
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.coupons.insert(self.coupon_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let coupon = set.coupon(self.coupon_id).ok_or(CouponRejection::NotFound)?.revoke()?;
        Ok(Decision {
            reply: Reply::CouponRevoked { coupon: coupon.clone(), now: context.now },
            states: States { coupons: vec![coupon], ..States::default() },
            appended: Appended::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::command::CouponChoice;
    use crate::coupon::{Coupon, CouponState, NotUsableReason};
    use crate::testing::fixtures::{campaign_details, fixed, user};
    use time::Duration;

    fn revoke(coupon_id: CouponId) -> RevokeCoupon {
        RevokeCoupon { coupon_id }
    }

    #[test]
    fn an_unused_coupon_is_revoked_once() {
        let mut scene = Scene::new();
        let id = scene.coupon(campaign_details(fixed(1), 1), &user("kim"));
        let before = scene.stored_coupon(id).clone();
        let coupon = Coupon { state: CouponState::Revoked, ..before };
        let reply = scene.decide(revoke(id));
        assert_eq!(reply, Ok(Reply::CouponRevoked { coupon: coupon.clone(), now: scene.now }));
        assert_eq!(*scene.stored_coupon(id), coupon);

        let again = CouponRejection::NotUsable { coupon_id: id, reason: NotUsableReason::Revoked };
        assert_eq!(scene.rejection(revoke(id)), again.into());
    }

    #[test]
    fn an_expired_coupon_can_be_revoked() {
        let mut scene = Scene::new();
        let id = scene.coupon(campaign_details(fixed(1), 1), &user("kim"));
        scene.advance(Duration::days(31));
        assert!(scene.decide(revoke(id)).is_ok());
    }

    #[test]
    fn rejects_the_revocation_of_a_used_coupon() {
        let mut scene = Scene::new();
        let kim = scene.user("kim", 1_000);
        let lamp = scene.lamp(1_000, 1);
        let id = scene.coupon(campaign_details(fixed(1), 1), &kim);
        let order_id = scene.order(&kim, &[(lamp, 1)]);
        scene.pay(order_id, &kim, CouponChoice::Named(id)).expect("payable");
        let rejection = CouponRejection::NotUsable { coupon_id: id, reason: NotUsableReason::Used };
        assert_eq!(scene.rejection(revoke(id)), rejection.into());
    }

    #[test]
    fn rejects_a_coupon_that_does_not_exist() {
        let mut scene = Scene::new();
        let id = scene.id();
        assert_eq!(scene.rejection(revoke(id)), CouponRejection::NotFound.into());
    }
}
