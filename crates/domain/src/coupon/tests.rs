use std::cmp::Reverse;

use proptest::prelude::*;
use time::Duration;

use super::*;
use crate::id::OrderId;
use crate::money::{Currency, Money};
use crate::testing::SequentialIds;
use crate::testing::fixtures::{
    NOON, campaign_details, fixed, noon_plus, percent, positive, text, user, won, won_currency,
};
use crate::time::Timestamp;

fn coupon(discount: Discount, valid_until: Timestamp) -> Coupon {
    Coupon {
        id: SequentialIds::id(1).into(),
        campaign_id: SequentialIds::id(2).into(),
        user_id: user("kim"),
        terms: CouponTerms { name: text("welcome"), discount, min_order_amount: None },
        state: CouponState::Unused,
        valid_until,
        issued_at: NOON,
    }
}

fn capped(share: u8, cap: i64) -> Discount {
    let percent = Percent::try_from(share).expect("a percentage");
    Discount::Percent { percent, cap: Some(positive(cap)) }
}

#[test]
fn a_percentage_is_between_1_and_100() {
    assert_eq!([1, 100].map(|n| Percent::try_from(n).map(Percent::get)), [Ok(1), Ok(100)]);
    assert_eq!([0, 101, 255].map(Percent::try_from), [Err(InvalidPercent); 3]);
}

#[test]
fn a_discount_is_whole_units_half_up_and_at_most_the_total() {
    for (discount, total, expected) in [
        (fixed(1_000), 12_000, 1_000),
        (fixed(1_000), 999, 999),
        (fixed(1_000), 0, 0),
        (percent(15), 18_666, 2_800),
        (percent(10), 4, 0),
        (percent(10), 5, 1),
        (percent(50), 1, 1),
        (percent(100), 12_345, 12_345),
        (capped(50, 3_000), 6_002, 3_000),
        (capped(50, 3_000), 5_998, 2_999),
        (capped(50, 3_000), 1, 1),
    ] {
        assert_eq!(discount.of(won(total), won_currency()), won(expected), "{discount:?} of {total}");
    }
    let dollars = Currency::from_code("USD").expect("a currency");
    let cents = |cents: i64| Money::from_ten_thousandths(cents * 100).expect("in range");
    assert_eq!(percent(15).of(cents(1_999), dollars), cents(300), "2.9985 is 3.00");
    assert_eq!(percent(5).of(cents(10), dollars), cents(1), "half a cent is one");
}

#[test]
fn a_campaign_requires_coupons_an_issue_period_and_a_validity() {
    let valid = campaign_details(fixed(1), 1);
    assert!(CampaignPlan::try_from(valid.clone()).is_ok_and(|plan| *plan == valid));
    let microsecond = CampaignDetails {
        issue_opens_at: NOON,
        issue_closes_at: NOON.saturating_add(Duration::microseconds(1)),
        ..valid.clone()
    };
    assert!(CampaignPlan::try_from(microsecond.clone()).is_ok());
    let times = CampaignDetails { issue_closes_at: NOON, ..microsecond.clone() };
    assert_eq!(CampaignPlan::try_from(times.clone()), Err(InvalidCampaign::ClosesBeforeItOpens));
    assert_eq!(CampaignPlan::try_from(CampaignDetails { quantity: 0, ..times }), Err(InvalidCampaign::NoCoupons));
    let days = |days| {
        let details = CampaignDetails { validity: Validity::Days(days), ..valid.clone() };
        CampaignPlan::try_from(details).map(|plan| plan.validity)
    };
    assert_eq!([1, 3_650].map(days), [1, 3_650].map(|days| Ok(Validity::Days(days))));
    assert_eq!([0, 3_651].map(days), [Err(InvalidCampaign::ValidDays); 2]);
    let until = |time| {
        CampaignPlan::try_from(CampaignDetails { validity: Validity::Until(time), ..microsecond.clone() }).map(drop)
    };
    assert_eq!(until(NOON), Err(InvalidCampaign::ExpiresBeforeItOpens));
    assert_eq!(until(NOON.saturating_add(Duration::microseconds(1))), Ok(()));
}

#[test]
fn a_coupon_can_be_used_until_right_before_it_expires() {
    let coupon = coupon(fixed(1), noon_plus(60));
    let last = noon_plus(60).saturating_add(Duration::microseconds(-1));
    assert_eq!(coupon.status(last), CouponStatus::Usable);
    assert_eq!(coupon.status(noon_plus(60)), CouponStatus::Expired);
    assert_eq!(coupon.discount(won(5), won_currency(), last), Ok(won(1)));
    assert_eq!(coupon.discount(won(5), won_currency(), noon_plus(60)), Err(NotUsableReason::Expired));
}

#[test]
fn use_and_revocation_are_reported_before_expiry_and_the_minimum_total() {
    let dear = CouponTerms { min_order_amount: Some(positive(100)), ..coupon(fixed(1), NOON).terms };
    let expired = Coupon { terms: dear, ..coupon(fixed(1), noon_plus(60)) };
    let reason = |coupon: &Coupon, seconds| coupon.discount(won(99), won_currency(), noon_plus(seconds)).err();
    let order_id = SequentialIds::id(3).into();
    assert_eq!(reason(&expired.use_for(order_id, NOON), 60), Some(NotUsableReason::Used));
    let revoked = expired.revoke().expect("an unused coupon");
    assert_eq!(reason(&revoked, 60), Some(NotUsableReason::Revoked));
    assert_eq!(reason(&expired, 60), Some(NotUsableReason::Expired));
    assert_eq!(reason(&expired, 59), Some(NotUsableReason::MinOrderNotMet));
    assert_eq!(expired.discount(won(100), won_currency(), NOON), Ok(won(1)));
}

#[test]
fn a_coupon_is_restored_only_by_its_own_order_and_while_it_is_valid() {
    let [order_id, other] = [3, 4].map(|n| OrderId::from(SequentialIds::id(n)));
    let unused = coupon(fixed(1), noon_plus(60));
    let used = unused.use_for(order_id, NOON);
    assert_eq!(used.restore(order_id, noon_plus(59)), Some(unused.clone()));
    assert_eq!(used.restore(order_id, noon_plus(60)), None);
    assert_eq!(used.restore(other, NOON), None);
    assert_eq!(unused.restore(order_id, NOON), None);
    let revoked = unused.revoke().expect("an unused coupon");
    assert_eq!(revoked.restore(order_id, NOON), None);
}

proptest! {
    #[test]
    fn the_best_coupon_is_the_best_of_all(
        terms in prop::collection::vec((1_i64..2_000, 0_i64..4, any::<bool>()), 0..8), total in 0_i64..2_500,
    ) {
        let coupons: Vec<_> = (0..).zip(&terms).map(|(n, &(amount, minutes, by_share))| Coupon {
            id: SequentialIds::id(n).into(),
            ..coupon(
                if by_share { percent(u8::try_from(amount % 100 + 1).expect("small")) } else { fixed(amount) },
                noon_plus(60 * minutes),
            )
        }).collect();
        let best = Coupon::best(&coupons, won(total), won_currency(), NOON);
        let worth = |coupon: &Coupon| coupon.discount(won(total), won_currency(), NOON).unwrap_or_default();
        match best {
            None => prop_assert!(coupons.iter().all(|coupon| worth(coupon).is_zero())),
            Some((best, discount)) => {
                prop_assert!(discount.is_positive() && discount == worth(best));
                for other in coupons.iter().filter(|other| other.id != best.id) {
                    let [of_best, of_other] =
                        [best, other].map(|coupon| (Reverse(worth(coupon)), coupon.valid_until, coupon.id));
                    prop_assert!(of_best < of_other);
                }
            }
        }
    }

    #[test]
    fn a_discount_is_between_zero_and_the_total_in_whole_units(
        total in 0_i64..=100_000_000_000_000, share in 1_u8..=100, cap in 1_i64..=1_000_000_000, amount in 1_i64..=1_000_000_000,
    ) {
        for discount in [fixed(amount), percent(share), capped(share, cap)] {
            let discount = discount.of(won(total), won_currency());
            prop_assert!(!discount.is_negative() && discount <= won(total));
            prop_assert_eq!(discount.ten_thousandths() % won_currency().unit().ten_thousandths(), 0);
        }
    }
}
