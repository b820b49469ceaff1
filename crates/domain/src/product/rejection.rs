use thiserror::Error;

use crate::id::ProductId;

/// Why a product cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ProductRejection {
    /// There is no such product.
    #[error("there is no product {product_id}")]
    NotFound {
        /// The id that was asked for.
        product_id: ProductId,
    },
    /// It is not sold now.
    #[error("product {product_id} is not on sale")]
    NotOnSale {
        /// The product.
        product_id: ProductId,
    },
}
