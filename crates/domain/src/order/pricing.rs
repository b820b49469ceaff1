//! Prices, discount shares and refunds of lines, for orders and quotes alike.

use crate::id::ProductId;
use crate::money::{Currency, Money};
use crate::order::lines::{OrderLines, RequestedLine};
use crate::payment::RefundedLine;
use crate::product::{ProductOffer, ProductRejection};
use crate::store_error::InvalidRecord;

/// Items of one product in an order, with name and price at the time of the order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct OrderLine {
    pub product_id: ProductId,
    pub name: String,
    pub quantity: u32,
    pub unit_price: Money,
    /// The line's share of the discount, fixed at payment.
    pub discount_share: Money,
    pub refunded_quantity: u32,
}

impl OrderLine {
    /// Before the discount.
    pub fn line_total(&self) -> Money {
        self.unit_price.checked_mul(self.quantity).expect("ShopRules::check bounds the most expensive line")
    }

    /// The line total less its discount share.
    pub fn paid_amount(&self) -> Money {
        self.line_total().checked_sub(self.discount_share).expect("a share is at most its line")
    }

    /// The number of items not yet refunded.
    pub fn refundable(&self) -> u32 {
        self.quantity.saturating_sub(self.refunded_quantity)
    }

    /// The refund of the next `quantity` items, at most [`OrderLine::refundable`].
    pub(super) fn refund(&self, quantity: u32, currency: Currency) -> RefundedLine {
        let refunded = self.refunded_quantity.checked_add(quantity).expect("at most the items of the line");
        let before = self.refunded_by(self.refunded_quantity, currency);
        let amount = self.refunded_by(refunded, currency).checked_sub(before).expect("refunds grow with the items");
        RefundedLine { product_id: self.product_id, quantity, amount }
    }

    /// The cumulative refund of `quantity` items: rounded down to the currency's unit, and the full paid amount with the last
    /// item, so that partial refunds of any size add up to the payment.
    fn refunded_by(&self, quantity: u32, currency: Currency) -> Money {
        if quantity == self.quantity {
            return self.paid_amount();
        }
        self.paid_amount()
            .portion_rounded_down(i64::from(quantity), i64::from(self.quantity), currency.unit())
            .expect("a part of an amount in range is in range")
    }

    pub(super) fn check(&self) -> Result<(), InvalidRecord> {
        let total = self.unit_price.checked_mul(self.quantity).ok_or(InvalidRecord("a line out of range"))?;
        if self.discount_share.is_negative() || self.discount_share > total {
            return Err(InvalidRecord("a discount share outside its line"));
        }
        if self.refunded_quantity > self.quantity {
            return Err(InvalidRecord("more items refunded than ordered"));
        }
        Ok(())
    }
}

impl OrderLines {
    /// Adds the current names and prices to the lines.
    ///
    /// # Errors
    /// In this order: [`ProductRejection::NotFound`], [`ProductRejection::NotOnSale`], each for the first such product.
    pub fn price(&self, find: impl Fn(ProductId) -> Option<ProductOffer>) -> Result<Vec<OrderLine>, ProductRejection> {
        let found = |RequestedLine { product_id, quantity }| {
            find(product_id).map(|offer| (offer, quantity)).ok_or(ProductRejection::NotFound { product_id })
        };
        let offers = self.iter().map(found).collect::<Result<Vec<_>, _>>()?;
        let priced = offers.into_iter().map(|(offer, quantity)| {
            Ok(OrderLine {
                product_id: offer.product_id,
                unit_price: offer.price_on_sale()?.get(),
                name: offer.name.into(),
                quantity,
                discount_share: Money::ZERO,
                refunded_quantity: 0,
            })
        });
        priced.collect()
    }
}

/// The total before the discount; in range by [`ShopRules::check`](crate::ShopRules::check).
pub(crate) fn total(lines: &[OrderLine]) -> Money {
    Money::checked_sum(lines.iter().map(OrderLine::line_total))
        .expect("ShopRules::check bounds the most expensive order")
}

/// The discount share of each line, in the same order, by the largest remainder.
pub(crate) fn discount_shares(lines: &[OrderLine], discount: Money, currency: Currency) -> Vec<Money> {
    let line_totals: Vec<_> = lines.iter().map(OrderLine::line_total).collect();
    discount.allocate(&line_totals, currency.unit())
}
