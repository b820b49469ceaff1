//! What the data platform is told: events that are written in the transaction of their effect and delivered later.

use async_trait::async_trait;
use rust_decimal::Decimal;

use crate::id::{CouponId, EventId, OrderId, PaymentId, ProductId, RefundId, UserId};
use crate::money::Currency;
use crate::order::{Order, OrderStatus};
use crate::payment::{Payment, Refund};
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// An event for the data platform, as it will be sent; nothing of it changes once it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxEvent {
    /// The event's id, the same on every attempt to deliver it.
    pub id: EventId,
    /// The order that it tells of.
    pub order_id: OrderId,
    /// Its place among the events of that order: 1, 2, 3 … without gaps.
    pub sequence: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub data: EventData,
}

/// What happened, with the order as it was right afterwards.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub enum EventData {
    /// An order was paid.
    OrderPaid {
        /// The order.
        order: OrderDocument,
        /// Its payment.
        payment: PaymentDocument,
    },
    /// An order was refunded, wholly or in part.
    OrderRefunded {
        /// The order.
        order: OrderDocument,
        /// The refund.
        refund: RefundDocument,
    },
}

impl EventData {
    /// The CloudEvents type, with its version.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::OrderPaid { .. } => "jangteo.order.paid.v1",
            Self::OrderRefunded { .. } => "jangteo.order.refunded.v1",
        }
    }
}

impl OutboxEvent {
    /// The event of a payment: always an order's first.
    pub fn order_paid(id: EventId, order: &Order, payment: &Payment, currency: Currency) -> Self {
        let data = EventData::OrderPaid {
            order: OrderDocument::new(order, currency),
            payment: PaymentDocument::new(payment, currency),
        };
        Self { id, order_id: order.id, sequence: 1, at: payment.paid_at, data }
    }

    /// The event of a refund.
    pub fn order_refunded(id: EventId, order: &Order, refund: &Refund, currency: Currency) -> Self {
        let data = EventData::OrderRefunded {
            order: OrderDocument::new(order, currency),
            refund: RefundDocument::new(refund, currency),
        };
        Self { id, order_id: order.id, sequence: 1 + refund.sequence, at: refund.at, data }
    }
}

/// An order as the data platform reads it. Amounts are decimals in the currency's own decimals.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the fields are those of an order in the HTTP contract")]
pub struct OrderDocument {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub status: OrderStatus,
    pub lines: Vec<LineDocument>,
    pub total: Decimal,
    pub discount: Decimal,
    pub paid_amount: Decimal,
    pub refunded_amount: Decimal,
    pub currency: &'static str,
    #[cfg_attr(feature = "serde", serde(with = "time::serde::rfc3339"))]
    pub created_at: time::OffsetDateTime,
    #[cfg_attr(feature = "serde", serde(with = "time::serde::rfc3339::option"))]
    pub paid_at: Option<time::OffsetDateTime>,
    pub coupon_id: Option<CouponId>,
}

/// A line of an order as the data platform reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the fields are those of an order's line in the HTTP contract")]
pub struct LineDocument {
    pub product_id: ProductId,
    pub name: String,
    pub quantity: u32,
    pub unit_price: Decimal,
    pub line_total: Decimal,
    pub discount_share: Decimal,
    pub refunded_quantity: u32,
}

/// A payment as the data platform reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the fields are those of a payment in the HTTP contract")]
pub struct PaymentDocument {
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub user_id: UserId,
    pub total: Decimal,
    pub discount: Decimal,
    pub amount: Decimal,
    pub currency: &'static str,
    pub coupon_id: Option<CouponId>,
    #[cfg_attr(feature = "serde", serde(with = "time::serde::rfc3339"))]
    pub paid_at: time::OffsetDateTime,
}

/// A refund as the data platform reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the fields are those of a refund in the HTTP contract")]
pub struct RefundDocument {
    pub refund_id: RefundId,
    pub order_id: OrderId,
    pub amount: Decimal,
    pub currency: &'static str,
    pub lines: Vec<RefundedLineDocument>,
    pub restocked: bool,
    pub reason: String,
    #[cfg_attr(feature = "serde", serde(with = "time::serde::rfc3339"))]
    pub refunded_at: time::OffsetDateTime,
}

/// What was refunded of a line, as the data platform reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the fields are those of a refund's line in the HTTP contract")]
pub struct RefundedLineDocument {
    pub product_id: ProductId,
    pub quantity: u32,
    pub amount: Decimal,
}

impl OrderDocument {
    fn new(order: &Order, currency: Currency) -> Self {
        let paid = order.paid.as_ref();
        Self {
            order_id: order.id,
            user_id: order.user_id.clone(),
            status: order.status,
            lines: order
                .lines
                .iter()
                .map(|line| LineDocument {
                    product_id: line.product_id,
                    name: line.name.clone(),
                    quantity: line.quantity,
                    unit_price: currency.show(line.unit_price),
                    line_total: currency.show(line.line_total()),
                    discount_share: currency.show(line.discount_share),
                    refunded_quantity: line.refunded_quantity,
                })
                .collect(),
            total: currency.show(order.total),
            discount: currency.show(paid.map(|paid| paid.discount).unwrap_or_default()),
            paid_amount: currency.show(paid.map(|paid| paid.amount).unwrap_or_default()),
            refunded_amount: currency.show(order.refunded),
            currency: currency.code(),
            created_at: order.created_at.to_offset_date_time(),
            paid_at: paid.map(|paid| paid.at.to_offset_date_time()),
            coupon_id: paid.and_then(|paid| paid.coupon_id),
        }
    }
}

impl PaymentDocument {
    fn new(payment: &Payment, currency: Currency) -> Self {
        Self {
            payment_id: payment.id,
            order_id: payment.order_id,
            user_id: payment.user_id.clone(),
            total: currency.show(payment.total),
            discount: currency.show(payment.discount),
            amount: currency.show(payment.amount),
            currency: currency.code(),
            coupon_id: payment.coupon_id,
            paid_at: payment.paid_at.to_offset_date_time(),
        }
    }
}

impl RefundDocument {
    fn new(refund: &Refund, currency: Currency) -> Self {
        Self {
            refund_id: refund.id,
            order_id: refund.order_id,
            amount: currency.show(refund.amount),
            currency: currency.code(),
            lines: refund
                .lines
                .iter()
                .map(|line| RefundedLineDocument {
                    product_id: line.product_id,
                    quantity: line.quantity,
                    amount: currency.show(line.amount),
                })
                .collect(),
            restocked: refund.restocked,
            reason: refund.reason.as_str().to_owned(),
            refunded_at: refund.at.to_offset_date_time(),
        }
    }
}

/// Writes events, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait OutboxRepository: Send {
    /// Adds events, to be delivered as soon as the transaction commits.
    async fn append_many(&mut self, events: &[OutboxEvent]) -> Result<(), StoreError>;
}
