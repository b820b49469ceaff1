use async_trait::async_trait;

use crate::id::ProductId;
use crate::money::Money;
use crate::store_error::StoreError;
use crate::time::Date;

/// Reads the daily sales for showing; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait SalesQueries: Send + Sync {
    /// The products on sale that sold most from day `from` to day `to`, both included: by pieces, then by revenue,
    /// then the older product; at most `limit`, only those that sold at all.
    async fn popular(&self, from: Date, to: Date, limit: u32) -> Result<Vec<PopularProduct>, StoreError>;
}

/// How much of a product was sold, net of refunds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PopularProduct {
    /// The product.
    pub product_id: ProductId,
    /// Pieces.
    pub quantity_sold: i64,
    /// What was paid for them.
    pub revenue: Money,
}
