use jangteo_domain::id::ProductId;
use jangteo_domain::sales::SaleCounted;

use crate::rows::{mappings, rows};
use crate::types::{Amount, Day, Id, Integer};

rows! {
    /// The sales of a product on one day.
    DailySaleRow of daily_sales {
        day: Day,
        product_id: Id<ProductId>,
    } {
        quantity: Integer<i64>,
        revenue: Amount,
    }
}

mappings! {
    SaleCounted as DailySaleRow {
        day: day, product_id: product_id, quantity: quantity, revenue: revenue,
    }
}
