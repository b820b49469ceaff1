use std::sync::Arc;

use time::{Duration, Month};

use super::*;
use crate::command::scene::{Scene, pay};
use crate::command::RevokeCoupon;
use crate::coupon::{
    CampaignDetails, CouponRejection, CouponState, CouponTerms, Discount, NotUsableReason, Percent, Validity,
};
use crate::id::{CouponId, UserId};
use crate::order::{OrderStatus, PaidTerms};
use crate::payment::PaymentRejection;
use crate::point::{EntryKind, PointRejection};
use crate::testing::fixtures::{
    NOON, admin, campaign_details, customer, fixed, noon_plus, percent, positive, user, won,
};
use crate::testing::{FixedCalendar, PlainEvents};
use crate::time::{Date, Timestamp};

#[track_caller]
fn paid(scene: &mut Scene, order_id: OrderId, user_id: &UserId, coupon: CouponChoice) -> Payment {
    match scene.pay(order_id, user_id, coupon) {
        Ok(Reply::OrderPaid(payment)) => payment,
        other => panic!("a payment is expected, not {other:?}"),
    }
}

#[track_caller]
fn rejected(scene: &mut Scene, order_id: OrderId, user_id: &UserId, coupon: CouponChoice) -> Rejection {
    scene.rejection(pay(order_id, customer(user_id), coupon))
}

/// A user with points, and an order of two lines for 25,500 won.
fn scene_with_order(points: i64) -> (Scene, UserId, OrderId) {
    let mut scene = Scene::new();
    let kim = scene.user("kim", points);
    let [lamp, chair] = [scene.lamp(12_000, 5), scene.lamp(500, 3)];
    let order_id = scene.order(&kim, &[(chair, 3), (lamp, 2)]);
    (scene, kim, order_id)
}

fn not_usable(coupon_id: CouponId, reason: NotUsableReason) -> Rejection {
    CouponRejection::NotUsable { coupon_id, reason }.into()
}

#[test]
fn a_payment_without_a_coupon_debits_the_total() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    let day = Date::from_calendar_date(2031, Month::May, 4).expect("a date");
    scene.rules.calendar = Arc::new(FixedCalendar(day));
    scene.now = noon_plus(30);
    scene.coupon(campaign_details(fixed(1_000), 1), &kim);
    let payment = paid(&mut scene, id, &kim, CouponChoice::None);
    let expected = Payment {
        id: payment.id,
        order_id: id,
        user_id: kim.clone(),
        total: won(25_500),
        discount: Money::ZERO,
        amount: won(25_500),
        coupon_id: None,
        balance_after: won(4_500),
        paid_at: noon_plus(30),
        sales_day: day,
    };
    assert_eq!(payment, expected);

    let terms = PaidTerms {
        payment_id: payment.id,
        discount: Money::ZERO,
        amount: won(25_500),
        coupon_id: None,
        at: noon_plus(30),
        sales_day: day,
    };
    let order = scene.stored_order(id);
    assert_eq!((order.status, &order.paid), (OrderStatus::Paid, &Some(terms)));
    assert_eq!((scene.balance(&kim), scene.open_orders(&kim)), (won(4_500), 0));
}

#[test]
fn a_payment_leaves_one_debit_one_payment_its_sales_and_one_event() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    let coupon = scene.coupon(campaign_details(fixed(500), 1), &kim);
    let payment = paid(&mut scene, id, &kim, CouponChoice::Named(coupon));
    let order = scene.stored_order(id).clone();
    let written = &scene.tables.written;

    let debit = written.point_entries.last().expect("a debit");
    assert_eq!((debit.kind, debit.amount, debit.order_id), (EntryKind::Payment, won(-25_000), Some(id)));
    assert_eq!(written.payments, std::slice::from_ref(&payment));
    let mut sales: Vec<_> = written.sales.iter().collect();
    sales.sort_by_key(|sale| sale.quantity);
    let sales: Vec<_> = sales.iter().map(|sale| (sale.day, sale.quantity, sale.revenue)).collect();
    // 500 over lines of 1,500 and 24,000: 29.41… and 470.58…, the larger remainder gets the remaining won.
    assert_eq!(sales, [(payment.sales_day, 2, won(24_000 - 471)), (payment.sales_day, 3, won(1_500 - 29))]);
    let [event] = &written.outbox[..] else { panic!("one event, not {:?}", written.outbox) };
    assert_eq!((event.order_id, event.sequence, event.at), (id, 1, payment.paid_at));
    let currency = scene.rules.currency;
    assert_eq!(*event, OutboxEvent::order_paid(event.id, &order, &payment, currency, &PlainEvents));
    assert_eq!(order.lines.iter().map(|line| line.discount_share).collect::<Vec<_>>(), [won(29), won(471)]);
}

#[test]
fn a_named_coupon_is_used() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    let coupon = scene.coupon(campaign_details(percent(10), 1), &kim);
    let payment = paid(&mut scene, id, &kim, CouponChoice::Named(coupon));
    assert_eq!((payment.discount, payment.amount, payment.coupon_id), (won(2_550), won(22_950), Some(coupon)));
    assert_eq!(scene.stored_coupon(coupon).state, CouponState::Used { order_id: id, at: NOON });
    assert_eq!(scene.balance(&kim), won(30_000 - 22_950));
}

#[test]
fn a_discount_is_at_most_the_total() {
    let (mut scene, kim, id) = scene_with_order(1);
    let coupon = scene.coupon(campaign_details(fixed(99_999), 1), &kim);
    let payment = paid(&mut scene, id, &kim, CouponChoice::Named(coupon));
    assert_eq!((payment.discount, payment.amount), (won(25_500), Money::ZERO));
    let debit = scene.tables.written.point_entries.last().cloned().expect("a debit of zero");
    assert_eq!((debit.kind, debit.amount, debit.balance_after), (EntryKind::Payment, Money::ZERO, won(1)));
}

#[test]
fn the_best_coupon_has_the_largest_discount_then_the_earliest_expiry_then_the_oldest_id() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    let with_days = |days| CampaignDetails { validity: Validity::Days(days), ..campaign_details(fixed(2_000), 1) };
    scene.coupon(campaign_details(fixed(1_999), 1), &kim);
    scene.coupon(with_days(30), &kim);
    let oldest = scene.coupon(with_days(20), &kim);
    scene.coupon(with_days(20), &kim);
    let lee = user("lee");
    scene.coupon(campaign_details(fixed(9_000), 1), &lee);
    let terms = CouponTerms { min_order_amount: Some(positive(25_501)), ..campaign_details(fixed(5_000), 1).terms };
    scene.coupon(CampaignDetails { terms, ..campaign_details(fixed(1), 1) }, &kim);
    let payment = paid(&mut scene, id, &kim, CouponChoice::Best);
    assert_eq!((payment.coupon_id, payment.discount), (Some(oldest), won(2_000)));
}

#[test]
fn the_best_choice_without_a_usable_coupon_is_none() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    let coupon = scene.coupon(campaign_details(fixed(500), 1), &kim);
    scene.rules.order_ttl = Duration::days(60);
    scene.decide(RevokeCoupon { coupon_id: coupon }).expect("ok");
    let payment = paid(&mut scene, id, &kim, CouponChoice::Best);
    assert_eq!((payment.coupon_id, payment.amount), (None, won(25_500)));
}

#[test]
fn the_best_choice_does_not_use_a_coupon_without_a_discount() {
    let mut scene = Scene::new();
    let kim = scene.user("kim", 10);
    let sweet = scene.lamp(4, 1);
    let id = scene.order(&kim, &[(sweet, 1)]);
    let coupon = scene.coupon(campaign_details(percent(10), 1), &kim);
    let payment = paid(&mut scene, id, &kim, CouponChoice::Best);
    assert_eq!((payment.coupon_id, payment.amount), (None, won(4)));
    assert_eq!(scene.stored_coupon(coupon).state, CouponState::Unused);
}

#[test]
fn an_order_with_a_total_of_zero_is_paid_with_zero_points() {
    let mut scene = Scene::new();
    let kim = scene.user("kim", 10);
    let gift = scene.lamp(0, 1);
    let id = scene.order(&kim, &[(gift, 1)]);
    let payment = paid(&mut scene, id, &kim, CouponChoice::None);
    assert_eq!((payment.amount, payment.balance_after), (Money::ZERO, won(10)));
}

#[test]
fn rejects_a_payment_above_the_balance() {
    let (mut scene, kim, id) = scene_with_order(25_499);
    let rejection = PointRejection::InsufficientPoints { balance: won(25_499), required: won(25_500) };
    assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::None), rejection.into());
    let coupon = scene.coupon(campaign_details(fixed(1), 1), &kim);
    assert_eq!(paid(&mut scene, id, &kim, CouponChoice::Named(coupon)).balance_after, Money::ZERO);
}

#[test]
fn rejects_an_order_of_another_user() {
    let (mut scene, _, id) = scene_with_order(30_000);
    let lee = scene.user("lee", 30_000);
    assert_eq!(rejected(&mut scene, id, &lee, CouponChoice::None), OrderRejection::NotFound.into());
    let absent = scene.id();
    assert_eq!(rejected(&mut scene, absent, &lee, CouponChoice::None), OrderRejection::NotFound.into());
}

#[test]
fn the_back_office_pays_with_the_owners_points() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    let Ok(Reply::OrderPaid(payment)) = scene.decide(pay(id, admin(), CouponChoice::None)) else {
        panic!("an admin may pay the order of any user");
    };
    assert_eq!(payment.user_id, kim);
    assert_eq!(scene.balance(&kim), won(4_500));
}

#[test]
fn rejects_a_coupon_of_another_user() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    let coupon = scene.coupon(campaign_details(fixed(1), 1), &user("lee"));
    assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::Named(coupon)), CouponRejection::NotFound.into());
    let absent = scene.id();
    assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::Named(absent)), CouponRejection::NotFound.into());
}

#[test]
fn rejects_an_unusable_coupon_with_its_reason() {
    let (mut scene, kim, id) = scene_with_order(100_000);
    let second = scene.lamp(100, 9);
    let other = scene.order(&kim, &[(second, 1)]);
    let used = scene.coupon(campaign_details(fixed(1), 1), &kim);
    paid(&mut scene, other, &kim, CouponChoice::Named(used));
    let revoked = scene.coupon(campaign_details(fixed(1), 1), &kim);
    let revoke = RevokeCoupon { coupon_id: revoked };
    scene.decide(revoke).expect("unused");
    let valid_until = |time| CampaignDetails { validity: Validity::Until(time), ..campaign_details(fixed(1), 1) };
    let expired = scene.coupon(valid_until(noon_plus(1)), &kim);
    scene.now = noon_plus(1);
    let min_of = |min| CampaignDetails {
        terms: CouponTerms { min_order_amount: Some(positive(min)), ..campaign_details(fixed(1), 1).terms },
        ..campaign_details(fixed(1), 1)
    };
    let too_dear = scene.coupon(min_of(25_501), &kim);

    for (coupon, reason) in [
        (used, NotUsableReason::Used),
        (revoked, NotUsableReason::Revoked),
        (expired, NotUsableReason::Expired),
        (too_dear, NotUsableReason::MinOrderNotMet),
    ] {
        assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::Named(coupon)), not_usable(coupon, reason));
    }
    let just_enough = scene.coupon(min_of(25_500), &kim);
    paid(&mut scene, id, &kim, CouponChoice::Named(just_enough));
}

#[test]
fn rejects_an_expired_order_before_and_after_the_sweep() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    scene.now = noon_plus(600);
    assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::None), PaymentRejection::OrderExpired.into());
    scene.expire(id).expect("past its deadline");
    assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::None), PaymentRejection::OrderExpired.into());
}

#[test]
fn an_order_can_be_paid_until_right_before_its_deadline() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    scene.now = noon_plus(600).saturating_add(Duration::microseconds(-1));
    paid(&mut scene, id, &kim, CouponChoice::None);
}

#[test]
fn rejects_a_second_payment_and_a_payment_of_a_cancelled_order() {
    let (mut scene, kim, id) = scene_with_order(60_000);
    paid(&mut scene, id, &kim, CouponChoice::None);
    assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::None), PaymentRejection::OrderAlreadyPaid.into());
    scene.now = noon_plus(3_600);
    assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::None), PaymentRejection::OrderAlreadyPaid.into());
    scene.cancel(id, &kim).expect("cancellable");
    assert_eq!(rejected(&mut scene, id, &kim, CouponChoice::None), PaymentRejection::OrderAlreadyPaid.into());

    let lamp = scene.lamp(1, 1);
    let other = scene.order(&kim, &[(lamp, 1)]);
    scene.cancel(other, &kim).expect("cancellable");
    scene.now = noon_plus(7_200);
    assert_eq!(rejected(&mut scene, other, &kim, CouponChoice::None), PaymentRejection::OrderCancelled.into());
}

/// Each call has one fault less than the one before, so the rejections show the order of the checks.
#[test]
fn checks_the_order_then_its_state_then_the_coupon_then_the_points() {
    let (mut scene, kim, id) = scene_with_order(1);
    let lee = user("lee");
    let absent = CouponChoice::Named(scene.id());
    scene.now = noon_plus(600);
    assert_eq!(rejected(&mut scene, id, &lee, absent), OrderRejection::NotFound.into());
    assert_eq!(rejected(&mut scene, id, &kim, absent), PaymentRejection::OrderExpired.into());
    scene.now = NOON;
    assert_eq!(rejected(&mut scene, id, &kim, absent), CouponRejection::NotFound.into());
    let points = rejected(&mut scene, id, &kim, CouponChoice::None);
    assert!(matches!(points, Rejection::Point(PointRejection::InsufficientPoints { .. })), "{points:?}");
}

#[test]
fn a_percentage_discount_is_limited_by_its_cap() {
    let (mut scene, kim, id) = scene_with_order(30_000);
    let half = Percent::try_from(50).expect("a percentage");
    let coupon =
        scene.coupon(campaign_details(Discount::Percent { percent: half, cap: Some(positive(3_000)) }, 1), &kim);
    assert_eq!(paid(&mut scene, id, &kim, CouponChoice::Named(coupon)).discount, won(3_000));
    assert!(scene.stored_coupon(coupon).valid_until < Timestamp::MAX);
}
