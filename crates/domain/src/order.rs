//! Orders: lines of products whose stock is reserved until the order is paid, cancelled or expired.

use std::ops::{Deref, RangeInclusive};

use async_trait::async_trait;
use thiserror::Error;
use time::Duration;
use uuid::Uuid;

use crate::delivery::Delivery;
use crate::id::{CouponId, OrderId, PaymentId, ProductId, UserId, first_id_at};
use crate::money::{Currency, Money};
use crate::page::{AsOf, Page};
use crate::payment::{Payment, PaymentRejection, Refund};
use crate::point::PointEntry;
use crate::rules::ShopRules;
use crate::stock::StockMovement;
use crate::store_error::{InvalidRecord, StoreError};
use crate::time::{Date, Timestamp};

mod lines;
pub(crate) mod pricing;

pub use crate::payment::RefundedLine;
pub use lines::{LineLimits, OrderLines, OrderLinesError, RequestedLine};
pub use pricing::OrderLine;

/// An order. Dereferences to its [record](OrderRecord), which only the methods below change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order(OrderRecord);

/// An order as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct OrderRecord {
    pub id: OrderId,
    pub user_id: UserId,
    pub status: OrderStatus,
    /// Each product once.
    pub lines: Vec<OrderLine>,
    pub total: Money,
    pub created_at: Timestamp,
    /// The exclusive deadline for payment.
    pub expires_at: Timestamp,
    /// `None` before payment.
    pub paid: Option<PaidTerms>,
    pub refunded: Money,
    pub refunds: u32,
}

impl Deref for Order {
    type Target = OrderRecord;

    fn deref(&self) -> &OrderRecord {
        &self.0
    }
}

/// The terms of an order's payment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct PaidTerms {
    pub payment_id: PaymentId,
    pub discount: Money,
    /// The amount debited: the total less the discount.
    pub amount: Money,
    pub coupon_id: Option<CouponId>,
    pub at: Timestamp,
    /// The day of the sale in the shop's time zone at payment.
    pub sales_day: Date,
}

/// The progress of an order. It only moves forward: `PendingPayment` to `Paid`, `Expired` or `Cancelled`; `Paid` to
/// `PartiallyRefunded` to `Refunded`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the variants are named after their meanings")]
pub enum OrderStatus {
    /// Stock is reserved until payment, expiry or cancellation.
    PendingPayment,
    Paid,
    /// Not paid by the deadline; the stock is returned.
    Expired,
    /// Cancelled before payment; the stock is returned.
    Cancelled,
    PartiallyRefunded,
    /// Completely, also by cancellation.
    Refunded,
}

/// Reasons to reject a command on an order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum OrderRejection {
    /// Also for an order of another user.
    #[error("there is no such order")]
    NotFound,
    #[error("the total is {total:?}, not {expected_total:?}")]
    PriceChanged { expected_total: Money, total: Money },
    #[error("a user may have at most {open_orders_max} unpaid orders")]
    TooManyOpenOrders { open_orders_max: u32 },
    #[error("a user may place at most {unpaid_orders_max} orders a day without paying them")]
    TooManyUnpaidOrders { unpaid_orders_max: u32 },
    #[error("a user may reserve at most {reserved_quantity_max} items, not {reserved} and {requested} more")]
    ReservationLimitExceeded { reserved: u64, requested: u64, reserved_quantity_max: u32 },
    #[error("the order has expired")]
    Expired,
    #[error("the order is cancelled already")]
    AlreadyCancelled,
    #[error("the order is not paid")]
    NotPaid,
    /// More items than refundable, or a product that the order does not contain.
    #[error("{refundable} items of product {product_id} are left to refund, not {requested}")]
    RefundTooLarge { product_id: ProductId, requested: u32, refundable: u32 },
    /// Not pending payment, or before its deadline.
    #[error("the order is not due to expire")]
    NotDue,
}

/// An order that passed [`Order::payable`].
#[derive(Clone, Copy, Debug)]
pub struct PayableOrder<'a>(&'a Order);

/// A cancelled order and the effects to undo.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cancellation {
    /// Before payment: the stock is to be returned.
    Unpaid(Order),
    /// After payment: all remaining items are refunded.
    Paid(RefundedOrder),
}

/// An order after a refund.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct RefundedOrder {
    pub order: Order,
    pub lines: Vec<RefundedLine>,
    /// The sum of the lines.
    pub amount: Money,
    pub paid: PaidTerms,
}

impl Order {
    /// The items of all lines.
    pub fn quantity(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.quantity)).sum()
    }

    /// Places an order; the products of its lines must be distinct.
    ///
    /// # Errors
    /// [`OrderRejection::PriceChanged`] when the total differs from `expected_total`.
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

    /// Validates a stored record.
    ///
    /// # Errors
    /// More items refunded than ordered, a discount share outside its line, or a status that contradicts the payment.
    pub fn from_stored(record: OrderRecord) -> Result<Self, InvalidRecord> {
        record.lines.iter().try_for_each(OrderLine::check)?;
        if record.status.is_paid() != record.paid.is_some() {
            return Err(InvalidRecord("an order whose status contradicts its payment"));
        }
        Ok(Self(record))
    }

    /// Whether the deadline has passed, even if the status is still `PendingPayment`.
    pub fn is_past_deadline(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// Checks that the order can be paid now.
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

    /// Expires an unpaid order past its deadline.
    ///
    /// # Errors
    /// [`OrderRejection::NotDue`].
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

    /// Cancels the order; after payment, all remaining items are refunded.
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

    /// Refunds items.
    ///
    /// # Errors
    /// In this order: [`OrderRejection::NotPaid`], [`OrderRejection::RefundTooLarge`] for the first invalid line.
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
        let amount =
            Money::checked_sum(refunded.iter().map(|line| line.amount)).expect("refunds do not exceed the payment");
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
            refunded: self.refunded.checked_add(amount).expect("refunds do not exceed the payment"),
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
    /// Whether the order was paid, even if refunded since.
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
    /// Pays the order and fixes each line's share of the discount by the largest remainder.
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

/// Selects orders; `None` matches every order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct OrderFilter {
    pub user_id: Option<UserId>,
    /// With a line of this product.
    pub product_id: Option<ProductId>,
    pub status: Option<OrderStatus>,
    /// Placed at this time or later.
    pub from: Option<Timestamp>,
    /// Placed before this time.
    pub to: Option<Timestamp>,
}

impl OrderFilter {
    /// All orders of a user.
    pub fn of_user(user_id: &UserId) -> Self {
        Self { user_id: Some(user_id.clone()), ..Self::default() }
    }

    /// The ids of the milliseconds of the time range, for index scans: an id starts with the millisecond of its order's
    /// `created_at`.
    pub fn id_range(&self) -> RangeInclusive<OrderId> {
        let from = self.from.map(first_id_at);
        let to = self.to.map(|to| first_id_at(to.saturating_add(Duration::milliseconds(1))));
        from.unwrap_or(Uuid::nil()).into()..=to.unwrap_or(Uuid::max()).into()
    }
}

/// An unpaid order past its deadline. Sorts by deadline: the longest overdue first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the fields are those of the order")]
pub struct DueOrder {
    pub expires_at: Timestamp,
    pub id: OrderId,
}

/// An order and the rows that belong to it, the newest of each kind.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct OrderTrail {
    pub order: Order,
    pub refunds: Vec<Refund>,
    /// Delivered events are deleted by age.
    pub events: Vec<Delivery>,
    pub movements: Vec<StockMovement>,
    pub entries: Vec<PointEntry>,
}

/// Reads orders for display, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait OrderQueries: Send + Sync {
    /// The order, with the database's time to compute the time left.
    async fn find(&self, id: OrderId) -> Result<AsOf<Option<Order>>, StoreError>;

    /// The matching orders, newest first; the page's key is an order id.
    async fn list(&self, filter: &OrderFilter, page: &Page<OrderId>) -> Result<AsOf<Vec<Order>>, StoreError>;

    /// The refunds of an order, newest first; the page's key is a sequence number.
    async fn refunds(&self, order_id: OrderId, page: &Page<u32>) -> Result<Vec<Refund>, StoreError>;

    /// The order and at most `limit` rows of each kind that belong to it, the newest first, in one snapshot of the
    /// primary.
    async fn trail(&self, id: OrderId, limit: u32) -> Result<AsOf<Option<OrderTrail>>, StoreError>;

    /// Unpaid orders past their deadline by the database's clock, the longest overdue first, from the one after `after`,
    /// at most `limit`. They are read on the primary, and are candidates: expiry is decided under lock.
    async fn due(&self, after: Option<DueOrder>, limit: u32) -> Result<Vec<DueOrder>, StoreError>;
}

#[cfg(test)]
mod tests;
