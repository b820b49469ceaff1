//! Orders: lines of products whose stock is reserved until the order is paid, cancelled or expired.

use std::ops::Deref;

use thiserror::Error;

use crate::id::{CouponId, OrderId, PaymentId, ProductId, UserId};
use crate::money::{Currency, Money};
use crate::payment::{Payment, PaymentRejection};
use crate::rules::ShopRules;
use crate::store_error::InvalidRecord;
use crate::time::{Date, Timestamp};

mod lines;
mod pricing;
mod queries;
mod quote;

pub use lines::{OrderLines, OrderLinesError, RequestedLine};
#[cfg(any(test, feature = "mock"))]
pub use queries::MockOrderQueries;
pub use queries::{OrderFilter, OrderQueries};
pub use quote::{Quote, QuotedCoupon, QuotedLine};

/// An order: what was bought, for how much, and its progress. Reads like its [record](OrderRecord); changes only by the
/// decisions below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order(OrderRecord);

/// An order as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRecord {
    /// The order's id.
    pub id: OrderId,
    /// The user who placed it.
    pub user_id: UserId,
    /// Its progress.
    pub status: OrderStatus,
    /// What was ordered, each product once.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub total: Money,
    /// When it was placed.
    pub created_at: Timestamp,
    /// Its deadline: at this time it can no longer be paid.
    pub expires_at: Timestamp,
    /// How it was paid; `None` while it was not.
    pub paid: Option<PaidTerms>,
    /// The sum of its refunds.
    pub refunded: Money,
    /// How many refunds there were.
    pub refunds: u32,
}

impl Deref for Order {
    type Target = OrderRecord;

    fn deref(&self) -> &OrderRecord {
        &self.0
    }
}

/// How an order was paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaidTerms {
    /// The payment.
    pub payment_id: PaymentId,
    /// The discount of the coupon.
    pub discount: Money,
    /// The amount debited: the total less the discount.
    pub amount: Money,
    /// The coupon that was used.
    pub coupon_id: Option<CouponId>,
    /// When it was paid.
    pub at: Timestamp,
    /// The day that the sale counts for, in the shop's time zone as it was then.
    pub sales_day: Date,
}

/// Items of one product in an order. Name and price are those of the time when it was placed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderLine {
    /// The product.
    pub product_id: ProductId,
    /// Its name.
    pub name: String,
    /// Items.
    pub quantity: u32,
    /// The price of one item.
    pub unit_price: Money,
    /// The part of the order's discount that falls on this line, fixed at payment.
    pub discount_share: Money,
    /// Items that were refunded so far.
    pub refunded_quantity: u32,
}

impl OrderLine {
    /// The price of the line before the discount.
    pub fn line_total(&self) -> Money {
        self.unit_price.checked_mul(self.quantity).expect("ShopRules::check bounds the most expensive line")
    }

    /// The amount paid for the line.
    pub fn paid_amount(&self) -> Money {
        self.line_total().checked_sub(self.discount_share).expect("a share is at most its line")
    }

    /// Items that were not refunded yet.
    pub fn refundable(&self) -> u32 {
        self.quantity.saturating_sub(self.refunded_quantity)
    }

    /// The refund of the next `quantity` items, at most [`OrderLine::refundable`].
    fn refund(&self, quantity: u32, currency: Currency) -> RefundedLine {
        let refunded = self.refunded_quantity.checked_add(quantity).expect("at most the items of the line");
        let before = self.refunded_by(self.refunded_quantity, currency);
        let amount = self.refunded_by(refunded, currency).checked_sub(before).expect("refunds grow with the items");
        RefundedLine { product_id: self.product_id, quantity, amount }
    }

    /// The sum of refunds once `quantity` items of the line are refunded: rounded down to the currency's unit, and
    /// everything with the last item, so that the steps add up to what was paid whatever their sizes.
    fn refunded_by(&self, quantity: u32, currency: Currency) -> Money {
        if quantity == self.quantity {
            return self.paid_amount();
        }
        self.paid_amount()
            .portion_rounded_down(i64::from(quantity), i64::from(self.quantity), currency.unit())
            .expect("a part of an amount in range is in range")
    }

    fn check(&self) -> Result<(), InvalidRecord> {
        let total = self.unit_price.checked_mul(self.quantity).ok_or(InvalidRecord("a line out of range"))?;
        if self.discount_share.is_negative() || self.discount_share > total {
            return Err(InvalidRecord("a share of the discount that is not within its line"));
        }
        if self.refunded_quantity > self.quantity {
            return Err(InvalidRecord("more items refunded than ordered"));
        }
        Ok(())
    }
}

/// The progress of an order. It only moves forward: `PendingPayment` to `Paid`, `Expired` or `Cancelled`; `Paid` to
/// `PartiallyRefunded` to `Refunded`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OrderStatus {
    /// It reserves its stock and can be paid until it expires.
    PendingPayment,
    /// It was paid.
    Paid,
    /// It was not paid in time; its stock is returned.
    Expired,
    /// It was cancelled before it was paid; its stock is returned.
    Cancelled,
    /// Some of its items were refunded.
    PartiallyRefunded,
    /// All of its items were refunded.
    Refunded,
}

/// Items of a line that were refunded together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundedLine {
    /// The product of the line.
    pub product_id: ProductId,
    /// Items, at least one.
    pub quantity: u32,
    /// The amount returned for them.
    pub amount: Money,
}

/// Why an order is not placed, found or ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderRejection {
    /// The caller has no such order.
    #[error("there is no such order")]
    NotFound,
    /// Its total is not what the caller expects.
    #[error("the total is {total:?}, not {expected_total:?}")]
    PriceChanged {
        /// The total that the caller expects.
        expected_total: Money,
        /// The total.
        total: Money,
    },
    /// The user has as many unpaid orders as the shop allows.
    #[error("a user may have at most {open_orders_max} unpaid orders")]
    TooManyOpenOrders {
        /// The most unpaid orders.
        open_orders_max: u32,
    },
    /// It was not paid in time.
    #[error("the order has expired")]
    Expired,
    /// It was cancelled, or wholly refunded, before.
    #[error("the order is cancelled already")]
    AlreadyCancelled,
    /// It was not paid, so there is nothing to refund.
    #[error("the order is not paid")]
    NotPaid,
    /// More items than are left of that line, or of a product that was not ordered.
    #[error("{refundable} items of product {product_id} are left to refund, not {requested}")]
    RefundTooLarge {
        /// The product.
        product_id: ProductId,
        /// Items asked for.
        requested: u32,
        /// Items left.
        refundable: u32,
    },
    /// It is not pending payment, or still may be paid: there is nothing to expire.
    #[error("the order is not due to expire")]
    NotDue,
}

/// An order that can be paid now; only this can be paid.
#[derive(Clone, Copy, Debug)]
pub struct PayableOrder<'a>(&'a Order);

/// A cancelled order, and what is undone with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cancellation {
    /// It was not paid: its stock is returned.
    Unpaid(Order),
    /// It was paid: all that is left of it is refunded.
    Paid(RefundedOrder),
}

/// An order of which items were refunded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundedOrder {
    /// The order after it.
    pub order: Order,
    /// What was refunded of which line.
    pub lines: Vec<RefundedLine>,
    /// The sum of the lines.
    pub amount: Money,
    /// How the order had been paid.
    pub paid: PaidTerms,
}

impl Order {
    /// Places an order. Its lines must be priced, and their products distinct.
    ///
    /// # Errors
    /// [`OrderRejection::PriceChanged`] when the total is not what the caller expects.
    pub fn place(
        id: OrderId,
        user_id: &UserId,
        lines: Vec<OrderLine>,
        expected_total: Option<Money>,
        rules: &ShopRules,
        now: Timestamp,
    ) -> Result<Self, OrderRejection> {
        let total = pricing::total(&lines);
        if let Some(expected_total) = expected_total.filter(|expected| *expected != total) {
            return Err(OrderRejection::PriceChanged { expected_total, total });
        }
        Ok(Self(OrderRecord {
            id,
            user_id: user_id.clone(),
            status: OrderStatus::PendingPayment,
            lines,
            total,
            created_at: now,
            expires_at: now.saturating_add(rules.order_ttl),
            paid: None,
            refunded: Money::ZERO,
            refunds: 0,
        }))
    }

    /// The order of a stored record.
    ///
    /// # Errors
    /// When a line has more refunded than ordered, or a share that is not within it; when the record is paid and has no
    /// terms of payment, or the other way round.
    pub fn from_stored(record: OrderRecord) -> Result<Self, InvalidRecord> {
        record.lines.iter().try_for_each(OrderLine::check)?;
        if record.status.is_paid() != record.paid.is_some() {
            return Err(InvalidRecord("an order whose status does not agree with its payment"));
        }
        Ok(Self(record))
    }

    /// Whether its deadline has passed, swept or not.
    pub fn is_past_deadline(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// The order as one that can be paid now.
    ///
    /// # Errors
    /// In this order: [`PaymentRejection::OrderAlreadyPaid`], [`PaymentRejection::OrderCancelled`],
    /// [`PaymentRejection::OrderExpired`].
    pub fn payable(&self, now: Timestamp) -> Result<PayableOrder<'_>, PaymentRejection> {
        match self.status {
            OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => {
                Err(PaymentRejection::OrderAlreadyPaid)
            }
            OrderStatus::Cancelled => Err(PaymentRejection::OrderCancelled),
            OrderStatus::Expired => Err(PaymentRejection::OrderExpired),
            OrderStatus::PendingPayment if self.is_past_deadline(now) => Err(PaymentRejection::OrderExpired),
            OrderStatus::PendingPayment => Ok(PayableOrder(self)),
        }
    }

    /// Expires the order.
    ///
    /// # Errors
    /// [`OrderRejection::NotDue`] when it is not pending payment, or still may be paid.
    pub fn expire(&self, now: Timestamp) -> Result<Self, OrderRejection> {
        match self.status {
            OrderStatus::PendingPayment if self.is_past_deadline(now) => Ok(self.in_status(OrderStatus::Expired)),
            OrderStatus::PendingPayment
            | OrderStatus::Paid
            | OrderStatus::Expired
            | OrderStatus::Cancelled
            | OrderStatus::PartiallyRefunded
            | OrderStatus::Refunded => Err(OrderRejection::NotDue),
        }
    }

    /// Cancels the order: before it was paid it just ends; afterwards all that is left is refunded.
    ///
    /// # Errors
    /// In this order: [`OrderRejection::Expired`], [`OrderRejection::AlreadyCancelled`].
    pub fn cancel(&self, currency: Currency, now: Timestamp) -> Result<Cancellation, OrderRejection> {
        match self.status {
            OrderStatus::Expired => Err(OrderRejection::Expired),
            OrderStatus::PendingPayment if self.is_past_deadline(now) => Err(OrderRejection::Expired),
            OrderStatus::Cancelled | OrderStatus::Refunded => Err(OrderRejection::AlreadyCancelled),
            OrderStatus::PendingPayment => Ok(Cancellation::Unpaid(self.in_status(OrderStatus::Cancelled))),
            OrderStatus::Paid | OrderStatus::PartiallyRefunded => {
                let left = self.lines.iter().filter(|line| line.refundable() > 0);
                let lines = left.map(|line| line.refund(line.refundable(), currency)).collect();
                Ok(Cancellation::Paid(self.after_refund(lines)?))
            }
        }
    }

    /// Refunds items, of each line at most what is left.
    ///
    /// # Errors
    /// In this order: [`OrderRejection::NotPaid`], and for the first line that is wrong
    /// [`OrderRejection::RefundTooLarge`].
    pub fn refund(&self, lines: &OrderLines, currency: Currency) -> Result<RefundedOrder, OrderRejection> {
        if !self.status.is_paid() {
            return Err(OrderRejection::NotPaid);
        }
        let refund_line = |RequestedLine { product_id, quantity }| {
            let line = self.lines.iter().find(|line| line.product_id == product_id);
            let refundable = line.map_or(0, OrderLine::refundable);
            let too_large = OrderRejection::RefundTooLarge { product_id, requested: quantity, refundable };
            line.filter(|_| quantity <= refundable).map(|line| line.refund(quantity, currency)).ok_or(too_large)
        };
        self.after_refund(lines.iter().map(refund_line).collect::<Result<_, _>>()?)
    }

    fn after_refund(&self, refunded: Vec<RefundedLine>) -> Result<RefundedOrder, OrderRejection> {
        let paid = self.paid.clone().ok_or(OrderRejection::NotPaid)?;
        let amount = Money::checked_sum(refunded.iter().map(|line| line.amount)).expect("at most what was paid");
        let mut lines = self.lines.clone();
        for refund in &refunded {
            for line in lines.iter_mut().filter(|line| line.product_id == refund.product_id) {
                let quantity = line.refunded_quantity.checked_add(refund.quantity);
                line.refunded_quantity = quantity.expect("at most the items of the line");
            }
        }
        let is_whole = lines.iter().all(|line| line.refundable() == 0);
        let order = Self(OrderRecord {
            status: if is_whole { OrderStatus::Refunded } else { OrderStatus::PartiallyRefunded },
            lines,
            refunded: self.refunded.checked_add(amount).expect("refunds add up to at most what was paid"),
            refunds: self.refunds.checked_add(1).expect("each refund returns an item"),
            ..self.0.clone()
        });
        Ok(RefundedOrder { order, lines: refunded, amount, paid })
    }

    fn in_status(&self, status: OrderStatus) -> Self {
        Self(OrderRecord { status, ..self.0.clone() })
    }
}

impl OrderStatus {
    /// Whether it was paid, refunded since or not.
    pub fn is_paid(self) -> bool {
        match self {
            Self::Paid | Self::PartiallyRefunded | Self::Refunded => true,
            Self::PendingPayment | Self::Expired | Self::Cancelled => false,
        }
    }
}

impl Deref for PayableOrder<'_> {
    type Target = Order;

    fn deref(&self) -> &Order {
        self.0
    }
}

impl PayableOrder<'_> {
    /// The order once it is paid: each line's share of the discount is fixed by the largest remainder.
    pub fn pay(self, payment: &Payment, currency: Currency) -> Order {
        let shares = pricing::discount_shares(&self.lines, payment.discount, currency);
        let lines = self.lines.iter().zip(shares);
        Order(OrderRecord {
            status: OrderStatus::Paid,
            lines: lines.map(|(line, discount_share)| OrderLine { discount_share, ..line.clone() }).collect(),
            paid: Some(PaidTerms {
                payment_id: payment.id,
                discount: payment.discount,
                amount: payment.amount,
                coupon_id: payment.coupon_id,
                at: payment.paid_at,
                sales_day: payment.sales_day,
            }),
            ..self.0.0.clone()
        })
    }
}

#[cfg(test)]
mod tests;
