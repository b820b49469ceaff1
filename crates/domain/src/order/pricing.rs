//! What lines cost: the same for an order and for a quote.

use crate::id::ProductId;
use crate::money::{Currency, Money};
use crate::order::{OrderLine, OrderLines, RequestedLine};
use crate::product::{ProductOffer, ProductRejection};

impl OrderLines {
    /// The lines with today's names and prices.
    ///
    /// # Errors
    /// In this order: [`ProductRejection::NotFound`] for the first product that is not there,
    /// [`ProductRejection::NotOnSale`] for the first that cannot be bought.
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

/// What the lines cost together, before any discount.
///
/// # Panics
/// When that leaves the range of money, which [`ShopRules::check`](crate::ShopRules::check) rules out.
pub(super) fn total(lines: &[OrderLine]) -> Money {
    Money::checked_sum(lines.iter().map(OrderLine::line_total)).expect("ShopRules::check bounds the dearest order")
}

/// Each line's share of a discount, in the order of the lines, by the largest remainder.
pub(super) fn discount_shares(lines: &[OrderLine], discount: Money, currency: Currency) -> Vec<Money> {
    let line_totals: Vec<_> = lines.iter().map(OrderLine::line_total).collect();
    discount.allocate(&line_totals, currency.unit())
}
