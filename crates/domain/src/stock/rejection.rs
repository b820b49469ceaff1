use thiserror::Error;

use crate::id::ProductId;

/// Why a stock does not move.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum StockRejection {
    /// Fewer pieces than asked for, of each of these products.
    #[error("{} products are short", shortages.len())]
    OutOfStock {
        /// Each product that is short, in the order asked for.
        shortages: Vec<Shortage>,
    },
    /// More pieces than can be counted (4,294,967,295).
    #[error("the stock of product {product_id} cannot be counted any more")]
    TooMany {
        /// The product.
        product_id: ProductId,
    },
}

/// A product of which there are fewer pieces than asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Shortage {
    /// The product.
    pub product_id: ProductId,
    /// Pieces asked for.
    pub requested: u32,
    /// Pieces that there are.
    pub available: u32,
}
