use crate::id::ProductId;
use crate::money::Money;
use crate::order::{Order, OrderLine, RefundedLine};
use crate::time::Date;

/// Pieces sold, or with a negative sign refunded; always counted on the day of the sale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaleCounted {
    /// The day of the sale.
    pub day: Date,
    /// The product.
    pub product_id: ProductId,
    /// Pieces, signed.
    pub quantity: i64,
    /// What was paid for them, signed.
    pub revenue: Money,
}

impl SaleCounted {
    /// The sales of an order that was just paid.
    pub fn of_payment(order: &Order, day: Date) -> impl Iterator<Item = Self> {
        order.lines.iter().map(move |line: &OrderLine| Self {
            day,
            product_id: line.product_id,
            quantity: i64::from(line.quantity),
            revenue: line.paid_amount(),
        })
    }

    /// What a refund takes off the sales of its day.
    pub fn of_refund(lines: &[RefundedLine], day: Date) -> impl Iterator<Item = Self> {
        lines.iter().map(move |line| Self {
            day,
            product_id: line.product_id,
            quantity: -i64::from(line.quantity),
            revenue: line.amount.negated(),
        })
    }
}
