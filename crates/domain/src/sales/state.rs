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
