use crate::id::{CouponId, OrderId, PaymentId, UserId};
use crate::money::Money;
use crate::time::{Date, Timestamp};

/// The one payment of an order: written once, never changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Payment {
    /// The payment's id.
    pub id: PaymentId,
    /// The order that it paid.
    pub order_id: OrderId,
    /// Whose points it took.
    pub user_id: UserId,
    /// The order's total.
    pub total: Money,
    /// What the coupon took off.
    pub discount: Money,
    /// What was debited: the total less the discount.
    pub amount: Money,
    /// The coupon that was used.
    pub coupon_id: Option<CouponId>,
    /// The points left.
    pub balance_after: Money,
    /// When it was paid.
    pub paid_at: Timestamp,
    /// The day that the sale counts for, in the shop's time zone.
    pub sales_day: Date,
}
