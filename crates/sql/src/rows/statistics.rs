use jangteo_domain::statistics::{QuarterHour, SalesTotals};

use crate::rows::rows;
use crate::types::{Amount, At, Integer};

rows! {
    /// Paid orders and refunds of a quarter of an hour.
    QuarterHourRow of quarter_hours {
        starts_at: At,
    } {
        orders: Integer<u64>,
        revenue: Amount,
        refunded_orders: Integer<u64>,
        refunded: Amount,
    }
}

impl From<QuarterHourRow> for QuarterHour {
    fn from(row: QuarterHourRow) -> Self {
        Self {
            starts_at: row.starts_at.0,
            totals: SalesTotals {
                orders: row.orders.0,
                revenue: row.revenue.0,
                refunded_orders: row.refunded_orders.0,
                refunded: row.refunded.0,
            },
        }
    }
}
