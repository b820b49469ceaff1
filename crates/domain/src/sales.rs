//! Sales: items of each product sold and not refunded, per day in the shop's time zone.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::id::ProductId;
use crate::money::Money;
use crate::order::OrderLine;
use crate::payment::RefundedLine;
use crate::store_error::StoreError;
use crate::time::Date;

/// Items sold, or refunded if negative; always counted on the day of the sale.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct SaleCounted {
    /// The day of the sale.
    pub day: Date,
    pub product_id: ProductId,
    /// Signed.
    pub quantity: i64,
    /// The amount paid for them, signed.
    pub revenue: Money,
}

impl SaleCounted {
    /// The sale of an order's line.
    pub fn of_line(line: &OrderLine, day: Date) -> Self {
        let (product_id, quantity) = (line.product_id, i64::from(line.quantity));
        Self { day, product_id, quantity, revenue: line.paid_amount() }
    }

    /// The deduction of a refund from the sales of its day.
    pub fn of_refund(line: &RefundedLine, day: Date) -> Self {
        let quantity = i64::from(line.quantity).saturating_neg();
        Self { day, product_id: line.product_id, quantity, revenue: line.amount.negated() }
    }
}

/// Increments of the daily sales, summed up per day and product, so that each row is written once.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct DailySales(BTreeMap<(Date, ProductId), (i64, Money)>);

impl DailySales {
    /// Adds a sale.
    ///
    /// # Panics
    /// When the sum leaves the range, which takes a batch of the largest possible orders; the executor then halves the batch.
    pub fn add(&mut self, sale: &SaleCounted) {
        let (quantity, revenue) = self.0.entry((sale.day, sale.product_id)).or_default();
        *quantity = quantity.checked_add(sale.quantity).expect("a batch's quantity is in range");
        *revenue = revenue.checked_add(sale.revenue).expect("a batch's revenue is in range");
    }

    /// Adds all sales of another sum.
    pub fn extend(&mut self, other: &Self) {
        other.iter().for_each(|sale| self.add(&sale));
    }

    /// The increments, ordered by day and product.
    pub fn iter(&self) -> impl Iterator<Item = SaleCounted> {
        self.0.iter().map(|(&(day, product_id), &(quantity, revenue))| SaleCounted {
            day,
            product_id,
            quantity,
            revenue,
        })
    }

    /// Whether there is no increment.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<SaleCounted> for DailySales {
    fn from_iter<Sales: IntoIterator<Item = SaleCounted>>(sales: Sales) -> Self {
        let mut sum = Self::default();
        sales.into_iter().for_each(|sale| sum.add(&sale));
        sum
    }
}

/// Reads the daily sales, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait SalesQueries: Send + Sync {
    /// The best-selling products on sale from day `from` to day `to`, both included: by items, then by revenue, then the
    /// older product; at most `limit`, without products that did not sell.
    async fn popular(&self, from: Date, to: Date, limit: u32) -> Result<Vec<PopularProduct>, StoreError>;
}

/// The sales of a product, net of refunds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct PopularProduct {
    pub product_id: ProductId,
    pub quantity_sold: i64,
    /// The amount paid for them.
    pub revenue: Money,
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::won;

    #[test]
    fn each_day_and_product_is_one_row_in_order() {
        let [older, newer] = [1, 2].map(|n| ProductId::from(SequentialIds::id(n)));
        let [first, second] = [date!(2030 - 01 - 01), date!(2030 - 01 - 02)];
        let sale =
            |day, product_id, quantity, revenue| SaleCounted { day, product_id, quantity, revenue: won(revenue) };
        let mut sales = DailySales::default();
        assert!(sales.is_empty());
        for sale in [
            sale(second, older, 1, 10),
            sale(first, newer, 2, 20),
            sale(first, older, 3, 30),
            sale(first, newer, -5, -50),
        ] {
            sales.add(&sale);
        }
        let expected = [sale(first, older, 3, 30), sale(first, newer, -3, -30), sale(second, older, 1, 10)];
        assert_eq!(sales.iter().collect::<Vec<_>>(), expected);
        assert!(!sales.is_empty());
    }
}
