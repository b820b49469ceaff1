//! Payments out of points, and the refunds that undo them.

use thiserror::Error;

use crate::id::{CouponId, OrderId, PaymentId, RefundId, UserId};
use crate::money::Money;
use crate::order::RefundedLine;
use crate::text::Text;
use crate::time::{Date, Timestamp};

/// The one payment of an order: written once, never changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// The payment's id.
    pub id: PaymentId,
    /// The order that it paid.
    pub order_id: OrderId,
    /// Whose points were debited.
    pub user_id: UserId,
    /// The order's total.
    pub total: Money,
    /// The discount of the coupon.
    pub discount: Money,
    /// The amount debited: the total less the discount.
    pub amount: Money,
    /// The coupon that was used.
    pub coupon_id: Option<CouponId>,
    /// The balance after it.
    pub balance_after: Money,
    /// When it was paid.
    pub paid_at: Timestamp,
    /// The day that the sale counts for, in the shop's time zone.
    pub sales_day: Date,
}

/// Why an order cannot be paid, in the order in which it is checked. The points have rejections of their own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PaymentRejection {
    /// It was paid before.
    #[error("the order is paid already")]
    OrderAlreadyPaid,
    /// It was cancelled.
    #[error("the order is cancelled")]
    OrderCancelled,
    /// Its deadline has passed, whether or not its stock was returned.
    #[error("the order has expired")]
    OrderExpired,
}

/// Why a payment was returned, in words.
pub type RefundReason = Text<1, 200>;

/// A part of a payment that was returned: written once, never changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refund {
    /// The refund's id.
    pub id: RefundId,
    /// The order.
    pub order_id: OrderId,
    /// Its place among the refunds of that order: 1, 2, 3 …
    pub sequence: u32,
    /// The amount returned.
    pub amount: Money,
    /// Whether the items were returned to the stock.
    pub restocked: bool,
    /// Why, in words.
    pub reason: RefundReason,
    /// What was refunded of which line.
    pub lines: Vec<RefundedLine>,
    /// When.
    pub at: Timestamp,
}
