//! Stored responses of the same size as the server's, so that storing them costs as much.

use std::sync::Arc;

use jangteo_domain::command::Outcome;
use jangteo_domain::idempotency::{AnswerRenderer, Fingerprint, IdempotencyKey, RenderedAnswer, RequestKey};
use jangteo_domain::order::Order;
use jangteo_domain::payment::Payment;
use jangteo_domain::{Currency, Recording, Reply, Timestamp, UserId};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

/// The idempotency key and response renderer for the request with this sequence number.
pub fn recording(number: u64, currency: Currency) -> Recording {
    // Keys are hashes in the server, so these are spread over the key space as well.
    let mut random = SmallRng::seed_from_u64(number);
    let key = IdempotencyKey { key: RequestKey(random.random()), fingerprint: Fingerprint(random.random()) };
    Recording { idempotency: Some(key), audited_as: None, renderer: Arc::new(Renderer { currency }) }
}

/// The recording of a change by this back office user.
pub fn audited(actor: UserId, currency: Currency) -> Recording {
    Recording { idempotency: None, audited_as: Some(actor.into()), renderer: Arc::new(Renderer { currency }) }
}

struct Renderer {
    currency: Currency,
}

impl AnswerRenderer for Renderer {
    fn render(&self, outcome: &Outcome) -> RenderedAnswer {
        let (location, body) = match outcome {
            Ok(Reply::OrderPlaced { order, .. }) => (format!("/v1/orders/{}", order.id), self.order(order)),
            Ok(Reply::OrderPaid(payment)) => (String::new(), self.payment(payment)),
            other => (String::new(), json!({ "detail": format!("{other:?}") })),
        };
        RenderedAnswer { head: format!("1;201;{location}"), body: body.to_string() }
    }
}

impl Renderer {
    fn order(&self, order: &Order) -> Value {
        let show = |amount| self.currency.show(amount).to_string();
        let line = |line: &jangteo_domain::order::OrderLine| {
            json!({
                "product_id": line.product_id.to_string(),
                "name": line.name,
                "quantity": line.quantity,
                "unit_price": show(line.unit_price),
                "line_total": show(line.line_total()),
            })
        };
        json!({
            "order_id": order.id.to_string(),
            "user_id": order.user_id.as_str(),
            "status": "pending_payment",
            "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
            "total": show(order.total),
            "discount": "0",
            "paid_amount": "0",
            "currency": self.currency.code(),
            "created_at": rfc3339(order.created_at),
            "expires_at": rfc3339(order.expires_at),
            "expires_in_seconds": 600,
        })
    }

    fn payment(&self, payment: &Payment) -> Value {
        let show = |amount| self.currency.show(amount).to_string();
        json!({
            "payment_id": payment.id.to_string(),
            "order_id": payment.order_id.to_string(),
            "user_id": payment.user_id.as_str(),
            "total": show(payment.total),
            "discount": show(payment.discount),
            "amount": show(payment.amount),
            "currency": self.currency.code(),
            "balance": show(payment.balance_after),
            "paid_at": rfc3339(payment.paid_at),
        })
    }
}

fn rfc3339(at: Timestamp) -> String {
    at.to_offset_date_time().format(&Rfc3339).unwrap_or_default()
}
