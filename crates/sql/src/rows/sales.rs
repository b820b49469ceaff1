use jangteo_domain::id::ProductId;
use jangteo_domain::sales::SaleCounted;

use crate::rows::rows;
use crate::types::{Amount, Day, Id, Integer};

rows! {
    /// What was sold of a product on a day.
    DailySaleRow of daily_sales {
        day: Day,
        product_id: Id<ProductId>,
    } {
        quantity: Integer<i64>,
        revenue: Amount,
    }
}

impl From<SaleCounted> for DailySaleRow {
    fn from(sale: SaleCounted) -> Self {
        Self {
            day: Day(sale.day),
            product_id: Id(sale.product_id),
            quantity: Integer(sale.quantity),
            revenue: Amount(sale.revenue),
        }
    }
}

impl From<DailySaleRow> for SaleCounted {
    fn from(row: DailySaleRow) -> Self {
        Self { day: row.day.0, product_id: row.product_id.0, quantity: row.quantity.0, revenue: row.revenue.0 }
    }
}
