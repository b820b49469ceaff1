use crate::id::{CouponId, OrderId, PaymentId, ProductId, UserId};
use crate::money::{Currency, Money};
use crate::order::{OrderEvent, OrderLines, OrderRejection, RefundedLine, RequestedLine, pricing};
use crate::payment::{Payment, PaymentRejection};
use crate::rules::ShopRules;
use crate::time::{Date, Timestamp};

/// An order: what was bought, for how much, and how far it has come. Changed only by [`Order::apply`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Order {
    /// The order's id.
    pub id: OrderId,
    /// Who placed it.
    pub user_id: UserId,
    /// How far it has come.
    pub status: OrderStatus,
    /// What was ordered, each product once.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub total: Money,
    /// When it was placed.
    pub created_at: Timestamp,
    /// Until when it can be paid; at this time no more.
    pub expires_at: Timestamp,
    /// How it was paid; `None` while it was not.
    pub paid: Option<PaidTerms>,
    /// What was refunded so far.
    pub refunded: Money,
    /// How many refunds there were.
    pub refunds: u32,
}

/// How an order was paid.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PaidTerms {
    /// The payment.
    pub payment_id: PaymentId,
    /// What the coupon took off.
    pub discount: Money,
    /// What was debited: the total less the discount.
    pub amount: Money,
    /// The coupon that was used.
    pub coupon_id: Option<CouponId>,
    /// When it was paid.
    pub at: Timestamp,
    /// The day that the sale counts for, in the shop's time zone as it was then.
    pub sales_day: Date,
}

/// Pieces of one product in an order. Name and price are those of the time when it was placed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OrderLine {
    /// The product.
    pub product_id: ProductId,
    /// What it was called.
    pub name: String,
    /// Pieces.
    pub quantity: u32,
    /// What one piece cost.
    pub unit_price: Money,
    /// The part of the order's discount that falls on this line, fixed at payment.
    pub discount_share: Money,
    /// Pieces that were refunded so far.
    pub refunded_quantity: u32,
}

impl OrderLine {
    /// What the line cost before the discount.
    pub fn line_total(&self) -> Money {
        self.unit_price.checked_mul(self.quantity).expect("ShopRules::check bounds the dearest line")
    }

    /// What was paid for the line.
    pub fn paid_amount(&self) -> Money {
        self.line_total().checked_sub(self.discount_share).expect("a share is at most its line")
    }

    /// Pieces that were not refunded yet.
    pub fn refundable(&self) -> u32 {
        self.quantity - self.refunded_quantity
    }

    /// What comes back for the next `quantity` pieces, at most [`OrderLine::refundable`].
    fn refund(&self, quantity: u32, currency: Currency) -> RefundedLine {
        let before = self.refunded_by(self.refunded_quantity, currency);
        let after = self.refunded_by(self.refunded_quantity + quantity, currency);
        let amount = after.checked_sub(before).expect("what comes back grows with the pieces");
        RefundedLine { product_id: self.product_id, quantity, amount }
    }

    /// What comes back once `quantity` pieces of the line are refunded in all: rounded down to the currency's unit,
    /// and everything with the last piece, so that the steps add up to what was paid whatever their sizes.
    fn refunded_by(&self, quantity: u32, currency: Currency) -> Money {
        if quantity == self.quantity {
            return self.paid_amount();
        }
        self.paid_amount()
            .portion_rounded_down(i64::from(quantity), i64::from(self.quantity), currency.unit())
            .expect("a part of an amount in range is in range")
    }
}

/// How far an order has come. It only moves forward: `PendingPayment` to `Paid`, `Expired` or `Cancelled`; `Paid` to
/// `PartiallyRefunded` to `Refunded`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum OrderStatus {
    /// It holds its stock and can be paid until it expires.
    PendingPayment,
    /// It was paid.
    Paid,
    /// It was not paid in time; its stock is back.
    Expired,
    /// It was cancelled before it was paid; its stock is back.
    Cancelled,
    /// Some of its pieces were refunded.
    PartiallyRefunded,
    /// All of its pieces were refunded.
    Refunded,
}

/// What the cancellation of an order comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cancellation {
    /// It was not paid: it ends, and its stock comes back.
    Unpaid,
    /// It was paid: this comes back, all that is left of it.
    Paid(Vec<RefundedLine>),
}

impl Order {
    /// Decides that an order is placed. Its lines must be priced, and their products distinct.
    ///
    /// # Errors
    /// In this order: [`OrderRejection::PriceChanged`] when the total is not what the caller expects,
    /// [`OrderRejection::TooManyOpenOrders`].
    pub fn place(
        id: OrderId,
        user_id: &UserId,
        lines: Vec<OrderLine>,
        expected_total: Option<Money>,
        open_orders: u32,
        rules: &ShopRules,
        now: Timestamp,
    ) -> Result<Self, OrderRejection> {
        let total = pricing::total(&lines);
        if let Some(expected_total) = expected_total.filter(|expected| *expected != total) {
            return Err(OrderRejection::PriceChanged { expected_total, total });
        }
        if open_orders >= rules.open_orders_max {
            return Err(OrderRejection::TooManyOpenOrders { open_orders_max: rules.open_orders_max });
        }
        Ok(Self {
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
        })
    }

    /// Whether its time to be paid is over, swept or not.
    pub fn is_past_deadline(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// Whether it can be paid now.
    ///
    /// # Errors
    /// In this order: [`PaymentRejection::OrderAlreadyPaid`], [`PaymentRejection::OrderCancelled`],
    /// [`PaymentRejection::OrderExpired`].
    pub fn check_payable(&self, now: Timestamp) -> Result<(), PaymentRejection> {
        match self.status {
            OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => {
                Err(PaymentRejection::OrderAlreadyPaid)
            }
            OrderStatus::Cancelled => Err(PaymentRejection::OrderCancelled),
            OrderStatus::Expired => Err(PaymentRejection::OrderExpired),
            OrderStatus::PendingPayment if self.is_past_deadline(now) => Err(PaymentRejection::OrderExpired),
            OrderStatus::PendingPayment => Ok(()),
        }
    }

    /// Decides that it was paid: fixes each line's share of the discount by the largest remainder.
    pub fn pay(&self, payment: &Payment, currency: Currency) -> OrderEvent {
        OrderEvent::Paid {
            order_id: self.id,
            terms: PaidTerms {
                payment_id: payment.id,
                discount: payment.discount,
                amount: payment.amount,
                coupon_id: payment.coupon_id,
                at: payment.paid_at,
                sales_day: payment.sales_day,
            },
            discount_shares: pricing::discount_shares(&self.lines, payment.discount, currency),
        }
    }

    /// Decides that its time is over.
    ///
    /// # Errors
    /// [`OrderRejection::NotDue`] when it is not waiting to be paid, or still may be.
    pub fn expire(&self, now: Timestamp) -> Result<OrderEvent, OrderRejection> {
        match self.status {
            OrderStatus::PendingPayment if self.is_past_deadline(now) => Ok(OrderEvent::Expired { order_id: self.id }),
            OrderStatus::PendingPayment
            | OrderStatus::Paid
            | OrderStatus::Expired
            | OrderStatus::Cancelled
            | OrderStatus::PartiallyRefunded
            | OrderStatus::Refunded => Err(OrderRejection::NotDue),
        }
    }

    /// Decides that it is cancelled: before it was paid it just ends; afterwards all that is left comes back.
    ///
    /// # Errors
    /// In this order: [`OrderRejection::Expired`], [`OrderRejection::AlreadyCancelled`].
    pub fn cancel(&self, currency: Currency, now: Timestamp) -> Result<Cancellation, OrderRejection> {
        match self.status {
            OrderStatus::Expired => Err(OrderRejection::Expired),
            OrderStatus::PendingPayment if self.is_past_deadline(now) => Err(OrderRejection::Expired),
            OrderStatus::Cancelled | OrderStatus::Refunded => Err(OrderRejection::AlreadyCancelled),
            OrderStatus::PendingPayment => Ok(Cancellation::Unpaid),
            OrderStatus::Paid | OrderStatus::PartiallyRefunded => {
                let left = self.lines.iter().filter(|line| line.refundable() > 0);
                Ok(Cancellation::Paid(left.map(|line| line.refund(line.refundable(), currency)).collect()))
            }
        }
    }

    /// Decides what comes back for pieces of it; of each line what is left at most.
    ///
    /// # Errors
    /// In this order: [`OrderRejection::NotPaid`], and for the first line that is wrong
    /// [`OrderRejection::RefundTooLarge`].
    pub fn refund(&self, lines: &OrderLines, currency: Currency) -> Result<Vec<RefundedLine>, OrderRejection> {
        match self.status {
            OrderStatus::PendingPayment | OrderStatus::Expired | OrderStatus::Cancelled => {
                return Err(OrderRejection::NotPaid);
            }
            OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => {}
        }
        let refund_line = |RequestedLine { product_id, quantity }| {
            let line = self.lines.iter().find(|line| line.product_id == product_id);
            let refundable = line.map_or(0, OrderLine::refundable);
            let too_large = OrderRejection::RefundTooLarge { product_id, requested: quantity, refundable };
            line.filter(|_| quantity <= refundable).map(|line| line.refund(quantity, currency)).ok_or(too_large)
        };
        lines.iter().map(refund_line).collect()
    }

    /// Takes an event that was decided on this very state.
    ///
    /// # Panics
    /// When the event is another order's: a bug in the caller, which must not reach the books.
    pub fn apply(&mut self, event: &OrderEvent) {
        assert_eq!(self.id, event.order_id(), "an event of another order");
        match event {
            OrderEvent::Placed(order) => self.clone_from(order),
            OrderEvent::Paid { terms, discount_shares, .. } => {
                self.status = OrderStatus::Paid;
                self.paid = Some(terms.clone());
                for (line, share) in self.lines.iter_mut().zip(discount_shares) {
                    line.discount_share = *share;
                }
            }
            OrderEvent::Expired { .. } => self.status = OrderStatus::Expired,
            OrderEvent::Cancelled { .. } => self.status = OrderStatus::Cancelled,
            OrderEvent::Refunded { lines, .. } => self.apply_refund(lines),
        }
    }

    fn apply_refund(&mut self, refunded: &[RefundedLine]) {
        for refund in refunded {
            for line in self.lines.iter_mut().filter(|line| line.product_id == refund.product_id) {
                line.refunded_quantity += refund.quantity;
            }
        }
        let amounts = refunded.iter().map(|line| line.amount).chain([self.refunded]);
        self.refunded = Money::checked_sum(amounts).expect("refunds add up to at most what was paid");
        self.refunds += 1;
        let whole = self.lines.iter().all(|line| line.refunded_quantity == line.quantity);
        self.status = if whole { OrderStatus::Refunded } else { OrderStatus::PartiallyRefunded };
    }
}

#[cfg(test)]
mod tests;
