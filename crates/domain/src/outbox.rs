//! What the data platform is told: events that are written in the transaction of their effect and delivered later.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rust_decimal::Decimal;

use crate::delivery::Delivery;
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

    /// Locks and returns the deliveries of the events that exist, ordered by id; the lock holds until commit or drop.
    async fn lock_many(&mut self, ids: &BTreeSet<EventId>) -> Result<Vec<Delivery>, StoreError>;

    /// Writes how the deliveries go. Whoever has claimed one of them loses its lease.
    async fn save_many(&mut self, deliveries: &[Delivery]) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};
    use time::macros::date;

    use super::*;
    use crate::money::Money;
    use crate::order::{OrderLine, PaidTerms, RefundedLine};
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, noon_plus, order_line, pending_order, text, user};

    fn dollars(cents: i64) -> Money {
        Money::from_ten_thousandths(cents * 100).expect("in range")
    }

    fn id<Id: From<uuid::Uuid>>(number: u64) -> Id {
        SequentialIds::id(number).into()
    }

    fn paid_order() -> (Order, Payment) {
        let line = OrderLine { unit_price: dollars(1_999), discount_share: dollars(100), ..order_line(id(1), 2, 0) };
        let payment = Payment {
            id: id(3),
            order_id: id(2),
            user_id: user("kim"),
            total: dollars(3_998),
            discount: dollars(100),
            amount: dollars(3_898),
            coupon_id: Some(id(4)),
            balance_after: dollars(1),
            paid_at: noon_plus(5),
            sales_day: date!(2030 - 01 - 01),
        };
        let paid = PaidTerms {
            payment_id: payment.id,
            discount: payment.discount,
            amount: payment.amount,
            coupon_id: payment.coupon_id,
            at: payment.paid_at,
            sales_day: payment.sales_day,
        };
        let order = pending_order(id(2), &user("kim"), vec![line], NOON);
        (Order { status: OrderStatus::Paid, paid: Some(paid), ..order }, payment)
    }

    fn order_document(status: &str, refunded_quantity: u32, refunded_amount: &str) -> serde_json::Value {
        json!({
            "order_id": SequentialIds::id(2),
            "user_id": "kim",
            "status": status,
            "lines": [{
                "product_id": SequentialIds::id(1),
                "name": "lamp",
                "quantity": 2,
                "unit_price": "19.99",
                "line_total": "39.98",
                "discount_share": "1.00",
                "refunded_quantity": refunded_quantity,
            }],
            "total": "39.98",
            "discount": "1.00",
            "paid_amount": "38.98",
            "refunded_amount": refunded_amount,
            "currency": "USD",
            "created_at": "2030-01-01T12:00:00Z",
            "paid_at": "2030-01-01T12:00:05Z",
            "coupon_id": SequentialIds::id(4),
        })
    }

    #[test]
    fn a_payment_tells_of_the_whole_order_and_is_its_first_event() {
        let usd = Currency::from_code("USD").expect("a currency");
        let (order, payment) = paid_order();
        let event = OutboxEvent::order_paid(id(5), &order, &payment, usd);
        assert_eq!((event.id, event.order_id, event.sequence, event.at), (id(5), order.id, 1, noon_plus(5)));
        assert_eq!(event.data.event_type(), "jangteo.order.paid.v1");
        let expected = json!({
            "order": order_document("paid", 0, "0.00"),
            "payment": {
                "payment_id": SequentialIds::id(3),
                "order_id": SequentialIds::id(2),
                "user_id": "kim",
                "total": "39.98",
                "discount": "1.00",
                "amount": "38.98",
                "currency": "USD",
                "coupon_id": SequentialIds::id(4),
                "paid_at": "2030-01-01T12:00:05Z",
            },
        });
        assert_eq!(to_value(&event.data).expect("it can be written"), expected);
    }

    #[test]
    fn a_refund_comes_after_the_payment_and_the_refunds_before_it() {
        let usd = Currency::from_code("USD").expect("a currency");
        let (mut order, _) = paid_order();
        order.status = OrderStatus::PartiallyRefunded;
        order.lines[0].refunded_quantity = 1;
        order.refunded = dollars(1_949);
        let refund = Refund {
            id: id(6),
            order_id: order.id,
            sequence: 2,
            amount: dollars(1_949),
            restocked: false,
            reason: text("broken"),
            lines: vec![RefundedLine { product_id: id(1), quantity: 1, amount: dollars(1_949) }],
            at: noon_plus(60),
        };
        let event = OutboxEvent::order_refunded(id(7), &order, &refund, usd);
        assert_eq!((event.id, event.order_id, event.sequence, event.at), (id(7), order.id, 3, noon_plus(60)));
        assert_eq!(event.data.event_type(), "jangteo.order.refunded.v1");
        let expected = json!({
            "order": order_document("partially_refunded", 1, "19.49"),
            "refund": {
                "refund_id": SequentialIds::id(6),
                "order_id": SequentialIds::id(2),
                "amount": "19.49",
                "currency": "USD",
                "lines": [{"product_id": SequentialIds::id(1), "quantity": 1, "amount": "19.49"}],
                "restocked": false,
                "reason": "broken",
                "refunded_at": "2030-01-01T12:01:00Z",
            },
        });
        assert_eq!(to_value(&event.data).expect("it can be written"), expected);
    }
}
