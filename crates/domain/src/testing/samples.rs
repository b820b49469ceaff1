//! Samples of every variant.

use crate::coupon::{CouponRejection, InvalidCampaign, NotUsableReason};
use crate::delivery::DeliveryRejection;
use crate::id::IdSource;
use crate::money::Money;
use crate::order::OrderRejection;
use crate::payment::PaymentRejection;
use crate::point::PointRejection;
use crate::product::ProductRejection;
use crate::rejection::Rejection;
use crate::stock::{Shortage, StockRejection};
use crate::testing::fixtures::{NOON, text, won};

/// Every variant of every rejection.
pub fn rejections(ids: &dyn IdSource) -> Vec<Rejection> {
    let product_id = ids.next_id().into();
    let coupon_id = ids.next_id().into();
    let not_usable = |reason| CouponRejection::NotUsable { coupon_id, reason }.into();
    let shortage = |requested| Shortage { product_id, requested, available: 0 };
    vec![
        PointRejection::TopUpLimitExceeded { top_up_max: won(1) }.into(),
        PointRejection::BalanceLimitExceeded { balance: won(1), balance_max: won(2) }.into(),
        PointRejection::InsufficientPoints { balance: Money::ZERO, required: won(1) }.into(),
        ProductRejection::NotFound { product_id }.into(),
        ProductRejection::NotOnSale { product_id }.into(),
        ProductRejection::VersionChanged { product_id, version: 2 }.into(),
        ProductRejection::SkuTaken { sku: text("LAMP-1"), product_id }.into(),
        StockRejection::OutOfStock { shortages: vec![shortage(1), shortage(u32::MAX)] }.into(),
        StockRejection::TooMany { product_id }.into(),
        CouponRejection::CampaignNotFound.into(),
        CouponRejection::CampaignNotOpen { issue_opens_at: NOON }.into(),
        CouponRejection::CampaignClosed { issue_closes_at: NOON }.into(),
        CouponRejection::Invalid(InvalidCampaign::ClosesBeforeItOpens).into(),
        CouponRejection::AlreadyIssued.into(),
        CouponRejection::SoldOut.into(),
        CouponRejection::QuantityLowered { quantity: 1 }.into(),
        CouponRejection::ClosingPostponed { issue_closes_at: NOON }.into(),
        CouponRejection::NotFound.into(),
        not_usable(NotUsableReason::Used),
        not_usable(NotUsableReason::Revoked),
        not_usable(NotUsableReason::Expired),
        not_usable(NotUsableReason::MinOrderNotMet),
        OrderRejection::NotFound.into(),
        OrderRejection::PriceChanged { expected_total: won(1), total: won(2) }.into(),
        OrderRejection::TooManyOpenOrders { open_orders_max: 1 }.into(),
        OrderRejection::TooManyUnpaidOrders { unpaid_orders_max: 1 }.into(),
        OrderRejection::ReservationLimitExceeded { reserved: 1, requested: 2, reserved_quantity_max: 2 }.into(),
        OrderRejection::Expired.into(),
        OrderRejection::AlreadyCancelled.into(),
        OrderRejection::NotDue.into(),
        OrderRejection::NotPaid.into(),
        OrderRejection::RefundTooLarge { product_id, requested: u32::MAX, refundable: 0 }.into(),
        PaymentRejection::OrderAlreadyPaid.into(),
        PaymentRejection::OrderCancelled.into(),
        PaymentRejection::OrderExpired.into(),
        DeliveryRejection::EventNotFound.into(),
    ]
}
