//! One value of every kind, for whoever must write values down and read them back.

use crate::command::{Outcome, Reply};
use crate::coupon::{
    CampaignDetails, Coupon, CouponCampaign, CouponRejection, CouponState, CouponTerms, Discount, NotUsableReason,
    Percent, Validity,
};
use crate::delivery::{Delivery, DeliveryRejection, DeliveryState};
use crate::id::{IdSource, OrderId};
use crate::money::Money;
use crate::order::{Order, OrderRejection, OrderStatus, PaidTerms, RefundedLine};
use crate::payment::{Payment, PaymentRejection, Refund};
use crate::point::{EntryKind, PointEntry, PointRejection};
use crate::product::{Product, ProductDetails, ProductRejection, ProductStatus};
use crate::rejection::Rejection;
use crate::stock::{MovementKind, Shortage, StockMovement, StockRejection};
use crate::testing::fixtures::{
    NOON, campaign_details, fixed, noon_plus, options, order_line, pending_order, percent, positive, product_details,
    text, user, won,
};
use crate::time::{Date, Timestamp};

/// Every reply and every rejection that there is, with fields that are there and fields that are not.
pub fn outcomes(ids: &dyn IdSource) -> Vec<Outcome> {
    let rejections = rejections(ids).into_iter().map(Err);
    rejections.chain(replies(ids).into_iter().map(Ok)).collect()
}

/// Every reply.
pub fn replies(ids: &dyn IdSource) -> Vec<Reply> {
    let mut replies = vec![];
    replies.extend(entries(ids).map(Reply::PointsToppedUp));
    for product in products(ids) {
        replies.push(Reply::ProductCreated { product: product.clone(), available: 0 });
        replies.push(Reply::ProductChanged { product, available: u32::MAX });
    }
    replies.extend(movements(ids).map(Reply::StockAdjusted));
    for campaign in campaigns(ids) {
        replies.push(Reply::CampaignCreated(campaign.clone()));
        replies.push(Reply::CampaignChanged(CouponCampaign { issued: 1, updated_at: Timestamp::MAX, ..campaign }));
    }
    for coupon in coupons(ids) {
        replies.push(Reply::CouponIssued { coupon: coupon.clone(), now: NOON });
        replies.push(Reply::CouponRevoked { coupon, now: Timestamp::MAX });
    }
    for order in orders(ids) {
        replies.push(Reply::OrderPlaced { order: order.clone(), now: NOON });
        replies.push(Reply::OrderExpired(order.id));
        replies.push(Reply::OrderCancelled { order, now: Timestamp::MIN });
    }
    replies.extend(payments(ids).map(Reply::OrderPaid));
    for (refund, order) in refunds(ids).into_iter().zip(orders(ids).into_iter().skip(1)) {
        replies.push(Reply::OrderRefunded { refund, order });
    }
    let [topped_up, _] = entries(ids);
    let adjusted = PointEntry { kind: EntryKind::Adjustment, ..topped_up };
    replies.push(Reply::PointsAdjusted { entry: adjusted, reason: text("사과 🎈") });
    replies.extend(deliveries(ids).map(Reply::EventRedelivered));
    replies
}

fn deliveries(ids: &dyn IdSource) -> [Delivery; 3] {
    [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Dead].map(|state| Delivery {
        event_id: ids.next_id().into(),
        order_id: ids.next_id().into(),
        sequence: u32::MAX,
        event_type: "jangteo.order.paid.v1".to_owned(),
        at: NOON,
        state,
        due_at: Timestamp::MAX,
        attempts: u32::MAX,
        last_error: (state == DeliveryState::Dead).then(|| "HTTP 410 🎈".to_owned().into()),
        delivered_at: (state == DeliveryState::Delivered).then_some(NOON),
    })
}

fn entries(ids: &dyn IdSource) -> [PointEntry; 2] {
    [(EntryKind::TopUp, None), (EntryKind::Payment, Some(OrderId::next(ids)))].map(|(kind, order_id)| PointEntry {
        id: ids.next_id().into(),
        user_id: user("kim|a:b.c_d@e-f"),
        sequence: u64::MAX,
        kind,
        amount: Money::MAX.negated(),
        balance_after: Money::from_ten_thousandths(1).expect("in range"),
        order_id,
        at: NOON,
        hash: [0xab; 32],
    })
}

fn products(ids: &dyn IdSource) -> [Product; 2] {
    let described = ProductDetails {
        description: text("\"밝은\" \\\n🎈"),
        options: options(&[("color", "red"), ("크기", "🎈")]),
        item_group_id: Some(text("lamps")),
        status: ProductStatus::Discontinued,
        ..product_details("램프 🎈", 1_000)
    };
    [described, product_details("lamp", 0)].map(|details| Product::create(ids.next_id().into(), details, NOON))
}

fn movements(ids: &dyn IdSource) -> [StockMovement; 2] {
    [(MovementKind::Adjustment, None), (MovementKind::Reservation, Some(OrderId::next(ids)))].map(|(kind, order_id)| {
        StockMovement {
            id: ids.next_id().into(),
            product_id: ids.next_id().into(),
            sequence: 1,
            quantity: -i64::from(u32::MAX),
            available_after: u32::MAX,
            kind,
            order_id,
            reason: order_id.is_none().then(|| text("🎈")),
            at: NOON,
        }
    })
}

fn campaigns(ids: &dyn IdSource) -> [CouponCampaign; 3] {
    let half = Percent::try_from(50).expect("a percentage");
    let capped = Discount::Percent { percent: half, cap: Some(positive(500)) };
    let terms = |discount| CouponTerms { name: text("🎈"), discount, min_order_amount: Some(positive(1)) };
    let until = Validity::Until(Timestamp::MAX);
    [
        campaign_details(fixed(1), u32::MAX),
        campaign_details(percent(100), 1),
        CampaignDetails { terms: terms(capped), validity: until, ..campaign_details(fixed(1), 1) },
    ]
    .map(|details| CouponCampaign::create(ids.next_id().into(), details, NOON))
}

fn coupons(ids: &dyn IdSource) -> [Coupon; 3] {
    let [campaign, ..] = campaigns(ids);
    let used = CouponState::Used { order_id: ids.next_id().into(), at: noon_plus(1) };
    [CouponState::Unused, used, CouponState::Revoked].map(|state| Coupon {
        id: ids.next_id().into(),
        campaign_id: campaign.id,
        user_id: user("kim"),
        terms: campaign.details.terms.clone(),
        state,
        valid_until: Timestamp::MAX,
        issued_at: NOON,
    })
}

fn orders(ids: &dyn IdSource) -> [Order; 3] {
    let line = order_line(ids.next_id().into(), 3, 1_000);
    let order = || pending_order(ids.next_id().into(), &user("kim"), vec![line.clone()], NOON);
    let paid = |coupon_id| PaidTerms {
        payment_id: ids.next_id().into(),
        discount: won(1),
        amount: won(2_999),
        coupon_id,
        at: NOON,
        sales_day: Date::MAX,
    };
    let with_coupon = paid(Some(ids.next_id().into()));
    [
        order(),
        Order {
            status: OrderStatus::PartiallyRefunded,
            paid: Some(paid(None)),
            refunded: won(1),
            refunds: 1,
            ..order()
        },
        Order { status: OrderStatus::Refunded, paid: Some(with_coupon), refunded: won(2_999), refunds: 2, ..order() },
    ]
}

fn payments(ids: &dyn IdSource) -> [Payment; 2] {
    [None, Some(ids.next_id().into())].map(|coupon_id| Payment {
        id: ids.next_id().into(),
        order_id: ids.next_id().into(),
        user_id: user("kim"),
        total: won(3),
        discount: won(1),
        amount: won(2),
        coupon_id,
        balance_after: Money::ZERO,
        paid_at: NOON,
        sales_day: Date::MIN,
    })
}

fn refunds(ids: &dyn IdSource) -> [Refund; 2] {
    [(true, vec![]), (false, vec![(1, Money::ZERO), (u32::MAX, Money::MAX)])].map(|(restocked, lines)| {
        let line = |(quantity, amount)| RefundedLine { product_id: ids.next_id().into(), quantity, amount };
        Refund {
            id: ids.next_id().into(),
            order_id: ids.next_id().into(),
            sequence: u32::MAX,
            amount: Money::MAX,
            restocked,
            reason: text("깨졌어요 🎈"),
            lines: lines.into_iter().map(line).collect(),
            at: NOON,
        }
    })
}

/// Every rejection.
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
        StockRejection::OutOfStock { shortages: vec![shortage(1), shortage(u32::MAX)] }.into(),
        StockRejection::TooMany { product_id }.into(),
        CouponRejection::CampaignNotFound.into(),
        CouponRejection::CampaignNotOpen { issue_opens_at: NOON }.into(),
        CouponRejection::CampaignClosed { issue_closes_at: NOON }.into(),
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
