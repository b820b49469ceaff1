//! The outcome of a command.

use crate::audit::Subject;
use crate::command::Operation;
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
use crate::token::{Revocation, RevokedTokens};

/// The outcome of a command: a reply, or a rejection that changed nothing.
pub type Outcome = Result<Reply, Rejection>;

/// The result of a command: the aggregate after it, and the time of the decision where the response depends on it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each variant carries the aggregate of its command")]
pub enum Reply {
    PointsToppedUp(PointEntry),
    PointsAdjusted {
        entry: PointEntry,
        reason: AdjustmentReason,
    },
    ProductCreated {
        product: Product,
        available: u64,
    },
    ProductChanged {
        product: Product,
        available: u64,
    },
    /// The product has the requested details already.
    ProductUnchanged {
        product: Product,
        available: u64,
    },
    StockAdjusted(StockMovement),
    CampaignCreated(CouponCampaign),
    CampaignChanged(CouponCampaign),
    CouponIssued {
        coupon: Coupon,
        now: Timestamp,
    },
    CouponRevoked {
        coupon: Coupon,
        now: Timestamp,
    },
    OrderPlaced {
        order: Order,
        now: Timestamp,
    },
    OrderPaid(Payment),
    OrderCancelled {
        order: Order,
        now: Timestamp,
    },
    OrderRefunded {
        refund: Refund,
        order: Order,
    },
    OrderExpired(OrderId),
    EventRedelivered(Delivery),
    OperationRecorded(Operation),
    TokensRevoked(Revocation),
}

impl Reply {
    /// Whether the command had an effect. Without one the audit log has no entry of it.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::ProductUnchanged { .. })
    }

    /// The subject in the audit log.
    pub fn subject(&self) -> Subject {
        match self {
            Self::PointsToppedUp(entry) | Self::PointsAdjusted { entry, .. } => Subject::User(entry.user_id.clone()),
            Self::ProductCreated { product, .. }
            | Self::ProductChanged { product, .. }
            | Self::ProductUnchanged { product, .. } => Subject::Product(product.id),
            Self::StockAdjusted(movement) => Subject::Product(movement.product_id),
            Self::CampaignCreated(campaign) | Self::CampaignChanged(campaign) => Subject::Campaign(campaign.id),
            Self::CouponIssued { coupon, .. } | Self::CouponRevoked { coupon, .. } => Subject::Coupon(coupon.id),
            Self::OrderPlaced { order, .. }
            | Self::OrderCancelled { order, .. }
            | Self::OrderRefunded { order, .. } => Subject::Order(order.id),
            Self::OrderPaid(payment) => Subject::Order(payment.order_id),
            Self::OrderExpired(order_id) => Subject::Order(*order_id),
            Self::EventRedelivered(delivery) => Subject::Event(delivery.event_id),
            Self::OperationRecorded(operation) => operation.subject(),
            Self::TokensRevoked(revocation) => match &revocation.tokens {
                RevokedTokens::One(token_id) => Subject::Token(token_id.clone()),
                RevokedTokens::OfUser { user_id, .. } => Subject::User(user_id.clone()),
            },
        }
    }
}
