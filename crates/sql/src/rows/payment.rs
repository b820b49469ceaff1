use jangteo_domain::id::{CouponId, OrderId, PaymentId, ProductId, RefundId};
use jangteo_domain::order::RefundedLine;
use jangteo_domain::payment::{Payment, Refund, RefundReason};
use jangteo_domain::{StoreError, UserId};

use crate::rows::{mappings, rows};
use crate::types::{Amount, At, Day, Id, Integer, Varchar};

rows! {
    PaymentRow of payments {
        id: Id<PaymentId>,
    } {
        order_id: Id<OrderId>,
        user_id: Varchar<UserId>,
        total: Amount,
        discount: Amount,
        amount: Amount,
        coupon_id: Option<Id<CouponId>>,
        balance_after: Amount,
        paid_at: At,
        sales_day: Day,
    }

    /// A refund without its lines.
    RefundRow of refunds {
        id: Id<RefundId>,
    } {
        order_id: Id<OrderId>,
        sequence: Integer<u32>,
        amount: Amount,
        restocked: Integer<u8>,
        reason: Varchar<RefundReason>,
        created_at: At,
    }

    RefundLineRow of refund_lines {
        refund_id: Id<RefundId>,
        product_id: Id<ProductId>,
    } {
        quantity: Integer<u32>,
        amount: Amount,
    }
}

mappings! {
    Payment as PaymentRow {
        id: id, order_id: order_id, user_id: user_id, total: total, discount: discount, amount: amount,
        coupon_id: coupon_id, balance_after: balance_after, paid_at: paid_at, sales_day: sales_day,
    }
}

impl RefundRow {
    pub(crate) fn with_lines(self, lines: Vec<RefundLineRow>) -> Result<Refund, StoreError> {
        let restocked = match self.restocked.0 {
            0 => false,
            1 => true,
            other => return Err(StoreError::corrupt(format!("restocked is {other}, neither 0 nor 1"))),
        };
        Ok(Refund {
            id: self.id.0,
            order_id: self.order_id.0,
            sequence: self.sequence.0,
            amount: self.amount.0,
            restocked,
            reason: self.reason.0,
            lines: lines.into_iter().map(Into::into).collect(),
            at: self.created_at.0,
        })
    }
}

impl From<RefundLineRow> for RefundedLine {
    fn from(row: RefundLineRow) -> Self {
        Self { product_id: row.product_id.0, quantity: row.quantity.0, amount: row.amount.0 }
    }
}

impl From<&Refund> for RefundRow {
    fn from(refund: &Refund) -> Self {
        Self {
            id: Id(refund.id),
            order_id: Id(refund.order_id),
            sequence: Integer(refund.sequence),
            amount: Amount(refund.amount),
            restocked: Integer(u8::from(refund.restocked)),
            reason: Varchar(refund.reason.clone()),
            created_at: At(refund.at),
        }
    }
}

impl RefundLineRow {
    pub(crate) fn of(refund: &Refund) -> impl Iterator<Item = Self> {
        refund.lines.iter().map(|line| Self {
            refund_id: Id(refund.id),
            product_id: Id(line.product_id),
            quantity: Integer(line.quantity),
            amount: Amount(line.amount),
        })
    }
}
