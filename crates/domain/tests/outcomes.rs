//! Answers are kept for those who ask again, so what was written yesterday must be read tomorrow: the written form of
//! every answer is fixed here. A new kind of answer is a new line; a line that is there may never change.

use jangteo_domain::Rejection;
use jangteo_domain::command::{Outcome, Reply};
use jangteo_domain::coupon::{CouponRejection, NotUsableReason};
use jangteo_domain::delivery::DeliveryRejection;
use jangteo_domain::order::OrderRejection;
use jangteo_domain::payment::PaymentRejection;
use jangteo_domain::point::PointRejection;
use jangteo_domain::product::ProductRejection;
use jangteo_domain::stock::StockRejection;
use jangteo_domain::testing::{SequentialIds, samples};

const WRITTEN: &str = include_str!("outcomes.jsonl");

fn outcomes() -> Vec<Outcome> {
    samples::outcomes(&SequentialIds::new())
}

#[test]
fn every_answer_is_written_as_it_always_was() {
    let written: Vec<_> =
        outcomes().iter().map(|outcome| serde_json::to_string(outcome).expect("an outcome can be written")).collect();
    let fixed: Vec<_> = WRITTEN.lines().collect();
    assert_eq!(written, fixed, "should be:\n{}", written.join("\n"));
}

#[test]
fn every_answer_that_was_written_is_read() {
    let read: Vec<Outcome> =
        WRITTEN.lines().map(|line| serde_json::from_str(line).expect("a written outcome")).collect();
    assert_eq!(read, outcomes());
}

#[test]
fn what_cannot_be_is_not_read() {
    let fixed = |wanted: &str| WRITTEN.lines().find(|line| line.contains(wanted)).expect("a sample").to_owned();
    for (sample, part, wrong) in [
        ("points_topped_up", "\"user_id\":\"kim|a:b.c_d@e-f\"", "\"user_id\":\"kim lee\""),
        ("points_topped_up", "\"balance_after\":1", "\"balance_after\":9000000000000000001"),
        ("product_created", "\"price\":0", "\"price\":-1"),
        ("product_created", "\"name\":\"lamp\"", "\"name\":\"\""),
        ("campaign_created", "\"percent\":100", "\"percent\":101"),
        ("campaign_created", "\"amount\":10000", "\"amount\":0"),
        ("order_placed", "\"status\":\"pending_payment\"", "\"status\":\"unknown\""),
        ("order_placed", "\"created_at\":1893499200000000", "\"created_at\":-1"),
    ] {
        let line = WRITTEN.lines().find(|line| line.contains(sample) && line.contains(part));
        let line = line.unwrap_or_else(|| panic!("no {sample} has {part}"));
        let wrong = line.replace(part, wrong);
        assert!(serde_json::from_str::<Outcome>(&wrong).is_err(), "{wrong}");
        assert!(serde_json::from_str::<Outcome>(&fixed(sample)).is_ok());
    }
}

/// The samples leave no kind of answer out. A new kind does not compile here before it is given a number, and is not
/// found before it is given a sample.
#[test]
fn every_kind_of_answer_has_a_sample() {
    let ids = SequentialIds::new();
    let mut replies: Vec<_> = samples::replies(&ids).iter().map(reply_kind).collect();
    let mut rejections: Vec<_> = samples::rejections(&ids).iter().map(rejection_kind).collect();
    replies.sort_unstable();
    replies.dedup();
    rejections.sort_unstable();
    assert!(replies.iter().copied().eq(1..=15), "{replies:?}");
    assert!(rejections.iter().copied().eq(1..=31), "{rejections:?}");
}

fn reply_kind(reply: &Reply) -> u32 {
    match reply {
        Reply::PointsToppedUp(_) => 1,
        Reply::ProductCreated { .. } => 2,
        Reply::ProductChanged { .. } => 3,
        Reply::StockAdjusted(_) => 4,
        Reply::CampaignCreated(_) => 5,
        Reply::CampaignChanged(_) => 6,
        Reply::CouponIssued { .. } => 7,
        Reply::CouponRevoked { .. } => 8,
        Reply::OrderPlaced { .. } => 9,
        Reply::OrderPaid(_) => 10,
        Reply::OrderCancelled { .. } => 11,
        Reply::OrderExpired(_) => 12,
        Reply::OrderRefunded { .. } => 13,
        Reply::PointsAdjusted { .. } => 14,
        Reply::EventRedelivered(_) => 15,
    }
}

fn rejection_kind(rejection: &Rejection) -> u32 {
    match rejection {
        Rejection::Point(PointRejection::TopUpLimitExceeded { .. }) => 1,
        Rejection::Point(PointRejection::BalanceLimitExceeded { .. }) => 2,
        Rejection::Point(PointRejection::InsufficientPoints { .. }) => 3,
        Rejection::Product(ProductRejection::NotFound { .. }) => 4,
        Rejection::Product(ProductRejection::NotOnSale { .. }) => 5,
        Rejection::Stock(StockRejection::OutOfStock { .. }) => 6,
        Rejection::Stock(StockRejection::TooMany { .. }) => 7,
        Rejection::Coupon(CouponRejection::CampaignNotFound) => 8,
        Rejection::Coupon(CouponRejection::CampaignNotOpen { .. }) => 9,
        Rejection::Coupon(CouponRejection::CampaignClosed { .. }) => 10,
        Rejection::Coupon(CouponRejection::AlreadyIssued) => 11,
        Rejection::Coupon(CouponRejection::SoldOut) => 12,
        Rejection::Coupon(CouponRejection::QuantityLowered { .. }) => 13,
        Rejection::Coupon(CouponRejection::ClosingPostponed { .. }) => 14,
        Rejection::Coupon(CouponRejection::NotFound) => 15,
        Rejection::Coupon(CouponRejection::NotUsable { reason: NotUsableReason::Used, .. }) => 16,
        Rejection::Coupon(CouponRejection::NotUsable { reason: NotUsableReason::Revoked, .. }) => 17,
        Rejection::Coupon(CouponRejection::NotUsable { reason: NotUsableReason::Expired, .. }) => 18,
        Rejection::Coupon(CouponRejection::NotUsable { reason: NotUsableReason::MinOrderNotMet, .. }) => 19,
        Rejection::Order(OrderRejection::NotFound) => 20,
        Rejection::Order(OrderRejection::PriceChanged { .. }) => 21,
        Rejection::Order(OrderRejection::TooManyOpenOrders { .. }) => 22,
        Rejection::Order(OrderRejection::Expired) => 23,
        Rejection::Order(OrderRejection::AlreadyCancelled) => 24,
        Rejection::Order(OrderRejection::NotDue) => 25,
        Rejection::Payment(PaymentRejection::OrderAlreadyPaid) => 26,
        Rejection::Payment(PaymentRejection::OrderCancelled) => 27,
        Rejection::Payment(PaymentRejection::OrderExpired) => 28,
        Rejection::Order(OrderRejection::NotPaid) => 29,
        Rejection::Order(OrderRejection::RefundTooLarge { .. }) => 30,
        Rejection::Delivery(DeliveryRejection::EventNotFound) => 31,
    }
}
