use std::collections::BTreeMap;

use crate::id::ProductId;
use crate::money::Money;
use crate::sales::SaleCounted;
use crate::time::Date;

/// What to add to the sales of each day and product; a batch gathers it and writes each row once.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct DailySales(BTreeMap<(Date, ProductId), (i64, Money)>);

impl DailySales {
    /// Counts a sale.
    ///
    /// # Panics
    /// When the day's revenue would leave the range of [`Money`] within one batch, which the limits on orders rule
    /// out.
    pub fn apply(&mut self, sale: &SaleCounted) {
        let (quantity, revenue) = self.0.entry((sale.day, sale.product_id)).or_default();
        *quantity += sale.quantity;
        *revenue = revenue.checked_add(sale.revenue).expect("a batch's revenue is in range");
    }

    /// What to add, by day and product, in that order.
    pub fn iter(&self) -> impl Iterator<Item = SaleCounted> {
        self.0.iter().map(|(&(day, product_id), &(quantity, revenue))| SaleCounted {
            day,
            product_id,
            quantity,
            revenue,
        })
    }

    /// Whether there is nothing to add.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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
            sales.apply(&sale);
        }
        let expected = [sale(first, older, 3, 30), sale(first, newer, -3, -30), sale(second, older, 1, 10)];
        assert_eq!(sales.iter().collect::<Vec<_>>(), expected);
        assert!(!sales.is_empty());
    }
}
