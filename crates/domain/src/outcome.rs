//! The outcome of a command.

use crate::coupon::{Coupon, CouponCampaign};
use crate::delivery::Delivery;
use crate::id::OrderId;
use crate::order::Order;
use crate::payment::{Payment, Refund};
use crate::point::{AdjustmentReason, PointEntry};
use crate::product::Product;
use crate::rejection::Rejection;
use crate::stock::StockMovement;
use crate::time::Timestamp;

/// The outcome of a command: a reply, or a rejection that changed nothing.
pub type Outcome = Result<Reply, Rejection>;

/// The result of a command: the aggregate after it, and the time of the decision where the response depends on it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each variant carries the aggregate of its command")]
pub enum Reply {
    PointsToppedUp(PointEntry),
    PointsAdjusted { entry: PointEntry, reason: AdjustmentReason },
    ProductCreated { product: Product, available: u64 },
    ProductChanged { product: Product, available: u64 },
    StockAdjusted(StockMovement),
    CampaignCreated(CouponCampaign),
    CampaignChanged(CouponCampaign),
    CouponIssued { coupon: Coupon, now: Timestamp },
    CouponRevoked { coupon: Coupon, now: Timestamp },
    OrderPlaced { order: Order, now: Timestamp },
    OrderPaid(Payment),
    OrderCancelled { order: Order, now: Timestamp },
    OrderRefunded { refund: Refund, order: Order },
    OrderExpired(OrderId),
    EventRedelivered(Delivery),
}
