//! Events for the data platform: written in the transaction of their effect, delivered later.

use crate::id::{EventId, OrderId};
use crate::money::Currency;
use crate::order::Order;
use crate::payment::{Payment, Refund};
use crate::time::Timestamp;

/// An event for the data platform; immutable once written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct OutboxEvent {
    /// The same on every delivery attempt.
    pub id: EventId,
    pub order_id: OrderId,
    /// Position among the events of that order: 1, 2, 3 … without gaps.
    pub sequence: u32,
    pub at: Timestamp,
    /// The CloudEvents type, with its version.
    pub event_type: String,
    /// Rendered when the event was written, sent unchanged; at most [`OutboxEvent::BODY_LENGTH_MAX`] bytes.
    pub body: String,
}

impl OutboxEvent {
    /// In bytes; an order of 100 lines with the longest names needs less than a tenth.
    pub const BODY_LENGTH_MAX: usize = 4 << 20;

    /// The event of a payment, always the first of its order.
    pub fn order_paid(
        id: EventId,
        order: &Order,
        payment: &Payment,
        currency: Currency,
        renderer: &dyn EventRenderer,
    ) -> Self {
        let body = renderer.order_paid(order, payment, currency);
        Self::new(id, order, 1, payment.paid_at, "jangteo.order.paid.v1", body)
    }

    /// The event of a refund.
    pub fn order_refunded(
        id: EventId,
        order: &Order,
        refund: &Refund,
        currency: Currency,
        renderer: &dyn EventRenderer,
    ) -> Self {
        let body = renderer.order_refunded(order, refund, currency);
        let sequence = refund.sequence.checked_add(1).expect("an order has fewer than 2^32 refunds");
        Self::new(id, order, sequence, refund.at, "jangteo.order.refunded.v1", body)
    }

    fn new(id: EventId, order: &Order, sequence: u32, at: Timestamp, event_type: &str, body: String) -> Self {
        assert!(body.len() <= Self::BODY_LENGTH_MAX, "the body of an event is too long");
        Self { id, order_id: order.id, sequence, at, event_type: event_type.to_owned(), body }
    }
}

/// Renders the bodies of events, with the order right after the change.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait EventRenderer: Send + Sync {
    /// The body of the event of a payment.
    fn order_paid(&self, order: &Order, payment: &Payment, currency: Currency) -> String;

    /// The body of the event of a refund.
    fn order_refunded(&self, order: &Order, refund: &Refund, currency: Currency) -> String;
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::money::Money;
    use crate::testing::fixtures::{NOON, noon_plus, order_line, pending_order, text, user, won_currency};
    use crate::testing::{PlainEvents, SequentialIds};

    fn order() -> Order {
        pending_order(
            SequentialIds::id(2).into(),
            &user("kim"),
            vec![order_line(SequentialIds::id(1).into(), 2, 100)],
            NOON,
        )
    }

    #[test]
    fn a_payment_is_an_orders_first_event() {
        let order = order();
        let payment = Payment {
            id: SequentialIds::id(3).into(),
            order_id: order.id,
            user_id: order.user_id.clone(),
            total: order.total,
            discount: Money::ZERO,
            amount: order.total,
            coupon_id: None,
            balance_after: Money::ZERO,
            paid_at: noon_plus(5),
            sales_day: date!(2030 - 01 - 01),
        };
        let id = SequentialIds::id(5).into();
        let event = OutboxEvent::order_paid(id, &order, &payment, won_currency(), &PlainEvents);
        assert_eq!((event.id, event.order_id, event.sequence, event.at), (id, order.id, 1, noon_plus(5)));
        assert_eq!(event.event_type, "jangteo.order.paid.v1");
        assert_eq!(event.body, PlainEvents.order_paid(&order, &payment, won_currency()));
    }

    #[test]
    fn refund_events_follow_the_payment_in_sequence() {
        let order = order();
        let refund = Refund {
            id: SequentialIds::id(6).into(),
            order_id: order.id,
            sequence: 2,
            amount: Money::ZERO,
            restocked: false,
            reason: text("broken"),
            lines: vec![],
            at: noon_plus(60),
        };
        let id = SequentialIds::id(7).into();
        let event = OutboxEvent::order_refunded(id, &order, &refund, won_currency(), &PlainEvents);
        assert_eq!((event.sequence, event.at), (3, noon_plus(60)));
        assert_eq!(event.event_type, "jangteo.order.refunded.v1");
        assert_eq!(event.body, PlainEvents.order_refunded(&order, &refund, won_currency()));
    }
}
