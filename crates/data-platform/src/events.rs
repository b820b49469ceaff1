use jangteo_domain::order::{Order, OrderLine, OrderStatus, RefundedLine};
use jangteo_domain::outbox::EventRenderer;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::{Currency, Money};
use rust_decimal::Decimal;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// Renders the bodies of events as JSON: the whole order right after the event, and its payment or refund.
///
/// Amounts are decimal strings with the decimals of the currency; times are RFC 3339 in UTC. Receivers rely on the
/// fields of a type, so an incompatible change requires a new version of the type.
#[derive(Clone, Copy, Debug)]
pub struct JsonEvents;

impl EventRenderer for JsonEvents {
    fn order_paid(&self, order: &Order, payment: &Payment, currency: Currency) -> String {
        to_json(&OrderPaidData {
            order: OrderDocument::new(order, currency),
            payment: PaymentDocument::new(payment, currency),
        })
    }

    fn order_refunded(&self, order: &Order, refund: &Refund, currency: Currency) -> String {
        to_json(&OrderRefundedData {
            order: OrderDocument::new(order, currency),
            refund: RefundDocument::new(refund, currency),
        })
    }
}

fn to_json(data: &impl Serialize) -> String {
    serde_json::to_string(data).expect("text, numbers and times of four-digit years serialize as JSON")
}

#[derive(Serialize)]
struct OrderPaidData<'a> {
    order: OrderDocument<'a>,
    payment: PaymentDocument<'a>,
}

#[derive(Serialize)]
struct OrderRefundedData<'a> {
    order: OrderDocument<'a>,
    refund: RefundDocument<'a>,
}

#[derive(Serialize)]
struct OrderDocument<'a> {
    order_id: Uuid,
    user_id: &'a str,
    status: &'static str,
    lines: Vec<LineDocument<'a>>,
    total: Decimal,
    discount: Decimal,
    paid_amount: Decimal,
    refunded_amount: Decimal,
    currency: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    paid_at: Option<OffsetDateTime>,
    coupon_id: Option<Uuid>,
}

#[derive(Serialize)]
struct LineDocument<'a> {
    product_id: Uuid,
    name: &'a str,
    quantity: u32,
    unit_price: Decimal,
    line_total: Decimal,
    discount_share: Decimal,
    refunded_quantity: u32,
}

#[derive(Serialize)]
struct PaymentDocument<'a> {
    payment_id: Uuid,
    order_id: Uuid,
    user_id: &'a str,
    total: Decimal,
    discount: Decimal,
    amount: Decimal,
    currency: &'static str,
    coupon_id: Option<Uuid>,
    #[serde(with = "time::serde::rfc3339")]
    paid_at: OffsetDateTime,
}

#[derive(Serialize)]
struct RefundDocument<'a> {
    refund_id: Uuid,
    order_id: Uuid,
    amount: Decimal,
    currency: &'static str,
    lines: Vec<RefundedLineDocument>,
    restocked: bool,
    reason: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    refunded_at: OffsetDateTime,
}

#[derive(Serialize)]
struct RefundedLineDocument {
    product_id: Uuid,
    quantity: u32,
    amount: Decimal,
}

impl<'a> OrderDocument<'a> {
    fn new(order: &'a Order, currency: Currency) -> Self {
        let paid = order.paid.as_ref();
        let show = |amount: Option<Money>| currency.show(amount.unwrap_or_default());
        Self {
            order_id: order.id.uuid(),
            user_id: order.user_id.as_str(),
            status: status_name(order.status),
            lines: order.lines.iter().map(|line| LineDocument::new(line, currency)).collect(),
            total: currency.show(order.total),
            discount: show(paid.map(|paid| paid.discount)),
            paid_amount: show(paid.map(|paid| paid.amount)),
            refunded_amount: currency.show(order.refunded),
            currency: currency.code(),
            created_at: order.created_at.to_offset_date_time(),
            paid_at: paid.map(|paid| paid.at.to_offset_date_time()),
            coupon_id: paid.and_then(|paid| paid.coupon_id).map(|id| id.uuid()),
        }
    }
}

impl<'a> LineDocument<'a> {
    fn new(line: &'a OrderLine, currency: Currency) -> Self {
        Self {
            product_id: line.product_id.uuid(),
            name: &line.name,
            quantity: line.quantity,
            unit_price: currency.show(line.unit_price),
            line_total: currency.show(line.line_total()),
            discount_share: currency.show(line.discount_share),
            refunded_quantity: line.refunded_quantity,
        }
    }
}

impl<'a> PaymentDocument<'a> {
    fn new(payment: &'a Payment, currency: Currency) -> Self {
        Self {
            payment_id: payment.id.uuid(),
            order_id: payment.order_id.uuid(),
            user_id: payment.user_id.as_str(),
            total: currency.show(payment.total),
            discount: currency.show(payment.discount),
            amount: currency.show(payment.amount),
            currency: currency.code(),
            coupon_id: payment.coupon_id.map(|id| id.uuid()),
            paid_at: payment.paid_at.to_offset_date_time(),
        }
    }
}

impl<'a> RefundDocument<'a> {
    fn new(refund: &'a Refund, currency: Currency) -> Self {
        let line = |line: &RefundedLine| RefundedLineDocument {
            product_id: line.product_id.uuid(),
            quantity: line.quantity,
            amount: currency.show(line.amount),
        };
        Self {
            refund_id: refund.id.uuid(),
            order_id: refund.order_id.uuid(),
            amount: currency.show(refund.amount),
            currency: currency.code(),
            lines: refund.lines.iter().map(line).collect(),
            restocked: refund.restocked,
            reason: refund.reason.as_str(),
            refunded_at: refund.at.to_offset_date_time(),
        }
    }
}

fn status_name(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::PendingPayment => "pending_payment",
        OrderStatus::Paid => "paid",
        OrderStatus::Expired => "expired",
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::PartiallyRefunded => "partially_refunded",
        OrderStatus::Refunded => "refunded",
    }
}

#[cfg(test)]
mod tests {
    use jangteo_domain::order::{OrderRecord, PaidTerms};
    use jangteo_domain::testing::SequentialIds;
    use jangteo_domain::testing::fixtures::{NOON, noon_plus, order_line, pending_order, stored_order, text, user};
    use time::macros::date;

    use super::*;

    fn dollars(cents: i64) -> Money {
        Money::from_ten_thousandths(cents * 100).expect("in range")
    }

    fn usd() -> Currency {
        Currency::from_code("USD").expect("a currency")
    }

    fn id<Id: From<Uuid>>(number: u64) -> Id {
        SequentialIds::id(number).into()
    }

    fn paid_order() -> (Order, Payment) {
        let line = OrderLine {
            name: "Lamp \"등\"".to_owned(),
            unit_price: dollars(1_999),
            discount_share: dollars(100),
            ..order_line(id(1), 2, 0)
        };
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
        let record = OrderRecord { status: OrderStatus::Paid, paid: Some(paid), ..(*order).clone() };
        (stored_order(record), payment)
    }

    /// The expected JSON of the order.
    fn order_json(status: &str, refunded_quantity: u32, refunded_amount: &str) -> String {
        format!(
            "{{\"order_id\":\"00000000-0000-7000-8000-000000000002\",\"user_id\":\"kim\",\"status\":\"{status}\",\
             \"lines\":[{{\"product_id\":\"00000000-0000-7000-8000-000000000001\",\"name\":\"Lamp \\\"등\\\"\",\
             \"quantity\":2,\"unit_price\":\"19.99\",\"line_total\":\"39.98\",\"discount_share\":\"1.00\",\
             \"refunded_quantity\":{refunded_quantity}}}],\"total\":\"39.98\",\"discount\":\"1.00\",\
             \"paid_amount\":\"38.98\",\"refunded_amount\":\"{refunded_amount}\",\"currency\":\"USD\",\
             \"created_at\":\"2030-01-01T12:00:00Z\",\"paid_at\":\"2030-01-01T12:00:05Z\",\
             \"coupon_id\":\"00000000-0000-7000-8000-000000000004\"}}"
        )
    }

    #[test]
    fn a_payment_is_sent_with_the_whole_order() {
        let (order, payment) = paid_order();
        let expected = format!(
            "{{\"order\":{},\"payment\":{{\"payment_id\":\"00000000-0000-7000-8000-000000000003\",\
             \"order_id\":\"00000000-0000-7000-8000-000000000002\",\"user_id\":\"kim\",\"total\":\"39.98\",\
             \"discount\":\"1.00\",\"amount\":\"38.98\",\"currency\":\"USD\",\
             \"coupon_id\":\"00000000-0000-7000-8000-000000000004\",\"paid_at\":\"2030-01-01T12:00:05Z\"}}}}",
            order_json("paid", 0, "0.00")
        );
        assert_eq!(JsonEvents.order_paid(&order, &payment, usd()), expected);
    }

    #[test]
    fn a_refund_is_sent_with_the_whole_order() {
        let (order, _) = paid_order();
        let mut record = (*order).clone();
        record.status = OrderStatus::PartiallyRefunded;
        record.lines[0].refunded_quantity = 1;
        record.refunded = dollars(1_949);
        record.refunds = 1;
        let refund = Refund {
            id: id(6),
            order_id: record.id,
            sequence: 1,
            amount: dollars(1_949),
            restocked: false,
            reason: text("broken"),
            lines: vec![RefundedLine { product_id: id(1), quantity: 1, amount: dollars(1_949) }],
            at: noon_plus(60),
        };
        let expected = format!(
            "{{\"order\":{},\"refund\":{{\"refund_id\":\"00000000-0000-7000-8000-000000000006\",\
             \"order_id\":\"00000000-0000-7000-8000-000000000002\",\"amount\":\"19.49\",\"currency\":\"USD\",\
             \"lines\":[{{\"product_id\":\"00000000-0000-7000-8000-000000000001\",\"quantity\":1,\
             \"amount\":\"19.49\"}}],\"restocked\":false,\"reason\":\"broken\",\
             \"refunded_at\":\"2030-01-01T12:01:00Z\"}}}}",
            order_json("partially_refunded", 1, "19.49")
        );
        assert_eq!(JsonEvents.order_refunded(&stored_order(record), &refund, usd()), expected);
    }

    #[test]
    fn an_unused_coupon_is_null() {
        let (order, payment) = paid_order();
        let mut record = (*order).clone();
        record.paid = record.paid.map(|paid| PaidTerms { coupon_id: None, ..paid });
        let body = JsonEvents.order_paid(&stored_order(record), &Payment { coupon_id: None, ..payment }, usd());
        assert_eq!(body.matches("\"coupon_id\":null").count(), 2, "{body}");
    }
}
