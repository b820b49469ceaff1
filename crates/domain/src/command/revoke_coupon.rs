use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::coupon::{CouponEvent, CouponRefusal};
use crate::id::CouponId;
use crate::refusal::Refusal;
use crate::working_set::{Locks, WorkingSet};

/// Take a user's coupon back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokeCoupon {
    /// Which one.
    pub coupon_id: CouponId,
}

impl Decide for RevokeCoupon {
    fn name_locks(&self, locks: &mut Locks) {
        locks.coupons.insert(self.coupon_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let coupon = set.coupon(self.coupon_id).ok_or(CouponRefusal::NotFound)?.revoke()?;
        Ok(Decision {
            reply: Reply::CouponRevoked { coupon: coupon.clone(), now: context.now },
            events: vec![Event::Coupon(CouponEvent::Changed(coupon))],
        })
    }
}
