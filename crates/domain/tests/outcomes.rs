//! Answers are kept for those who ask again, so what was written yesterday must be read tomorrow: the written form of
//! every answer is fixed here. A new kind of answer is a new line; a line that is there may never change.

use jangteo_domain::Refusal;
use jangteo_domain::command::{Outcome, Reply};
use jangteo_domain::coupon::{CouponRefusal, NotUsableReason};
use jangteo_domain::delivery::DeliveryRefusal;
use jangteo_domain::order::OrderRefusal;
use jangteo_domain::payment::PaymentRefusal;
use jangteo_domain::point::PointRefusal;
use jangteo_domain::product::ProductRefusal;
use jangteo_domain::stock::StockRefusal;
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
        ("points_charged", "\"user_id\":\"kim|a:b.c_d@e-f\"", "\"user_id\":\"kim lee\""),
        ("points_charged", "\"balance_after\":1", "\"balance_after\":9000000000000000001"),
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
    let mut refusals: Vec<_> = samples::refusals(&ids).iter().map(refusal_kind).collect();
    replies.sort_unstable();
    replies.dedup();
    refusals.sort_unstable();
    assert!(replies.iter().copied().eq(1..=15), "{replies:?}");
    assert!(refusals.iter().copied().eq(1..=31), "{refusals:?}");
}

fn reply_kind(reply: &Reply) -> u32 {
    match reply {
        Reply::PointsCharged(_) => 1,
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
        Reply::EventReplayed(_) => 15,
    }
}

fn refusal_kind(refusal: &Refusal) -> u32 {
    match refusal {
        Refusal::Point(PointRefusal::ChargeLimitExceeded { .. }) => 1,
        Refusal::Point(PointRefusal::BalanceLimitExceeded { .. }) => 2,
        Refusal::Point(PointRefusal::InsufficientPoints { .. }) => 3,
        Refusal::Product(ProductRefusal::NotFound { .. }) => 4,
        Refusal::Product(ProductRefusal::NotOnSale { .. }) => 5,
        Refusal::Stock(StockRefusal::OutOfStock { .. }) => 6,
        Refusal::Stock(StockRefusal::TooMany { .. }) => 7,
        Refusal::Coupon(CouponRefusal::CampaignNotFound) => 8,
        Refusal::Coupon(CouponRefusal::CampaignNotOpen { .. }) => 9,
        Refusal::Coupon(CouponRefusal::CampaignClosed { .. }) => 10,
        Refusal::Coupon(CouponRefusal::AlreadyIssued) => 11,
        Refusal::Coupon(CouponRefusal::SoldOut) => 12,
        Refusal::Coupon(CouponRefusal::QuantityLowered { .. }) => 13,
        Refusal::Coupon(CouponRefusal::ClosingPostponed { .. }) => 14,
        Refusal::Coupon(CouponRefusal::NotFound) => 15,
        Refusal::Coupon(CouponRefusal::NotUsable { reason: NotUsableReason::Used, .. }) => 16,
        Refusal::Coupon(CouponRefusal::NotUsable { reason: NotUsableReason::Revoked, .. }) => 17,
        Refusal::Coupon(CouponRefusal::NotUsable { reason: NotUsableReason::Expired, .. }) => 18,
        Refusal::Coupon(CouponRefusal::NotUsable { reason: NotUsableReason::MinOrderNotMet, .. }) => 19,
        Refusal::Order(OrderRefusal::NotFound) => 20,
        Refusal::Order(OrderRefusal::PriceChanged { .. }) => 21,
        Refusal::Order(OrderRefusal::TooManyOpenOrders { .. }) => 22,
        Refusal::Order(OrderRefusal::Expired) => 23,
        Refusal::Order(OrderRefusal::AlreadyCancelled) => 24,
        Refusal::Order(OrderRefusal::NotDue) => 25,
        Refusal::Payment(PaymentRefusal::OrderAlreadyPaid) => 26,
        Refusal::Payment(PaymentRefusal::OrderCancelled) => 27,
        Refusal::Payment(PaymentRefusal::OrderExpired) => 28,
        Refusal::Order(OrderRefusal::NotPaid) => 29,
        Refusal::Order(OrderRefusal::RefundTooLarge { .. }) => 30,
        Refusal::Delivery(DeliveryRefusal::EventNotFound) => 31,
    }
}
