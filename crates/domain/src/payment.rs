//! Payments from points, and their refunds.

use thiserror::Error;

use crate::id::{CouponId, OrderId, PaymentId, ProductId, RefundId, UserId};
use crate::money::Money;
use crate::text::Text;
use crate::time::{Date, Timestamp};

/// The one payment of an order; immutable once written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Payment {
    pub id: PaymentId,
    pub order_id: OrderId,
    /// The owner of the debited points.
    pub user_id: UserId,
    /// The total of the order.
    pub total: Money,
    /// The discount by the coupon.
    pub discount: Money,
    /// The amount debited: the total less the discount.
    pub amount: Money,
    pub coupon_id: Option<CouponId>,
    pub balance_after: Money,
    pub paid_at: Timestamp,
    /// The day of the sale, in the shop's time zone.
    pub sales_day: Date,
}

/// Reasons to reject a payment, in the order of the checks. Points have rejections of their own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants are named after their meanings")]
pub enum PaymentRejection {
    /// Paid before, refunded since or not.
    #[error("the order is paid already")]
    OrderAlreadyPaid,
    #[error("the order is cancelled")]
    OrderCancelled,
    /// Past its deadline, even if the stock is still reserved.
    #[error("the order has expired")]
    OrderExpired,
}

/// Items of an order line in one refund.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct RefundedLine {
    pub product_id: ProductId,
    /// At least one.
    pub quantity: u32,
    /// The amount returned for the items.
    pub amount: Money,
}

/// The reason of a refund.
pub type RefundReason = Text<1, 200>;

/// A refund of a part of a payment; immutable once written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Refund {
    pub id: RefundId,
    pub order_id: OrderId,
    /// Position among the refunds of that order: 1, 2, 3 …
    pub sequence: u32,
    pub amount: Money,
    /// Whether the items were returned to the stock.
    pub restocked: bool,
    pub reason: RefundReason,
    pub lines: Vec<RefundedLine>,
    pub at: Timestamp,
}
