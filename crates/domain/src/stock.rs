//! Stock: the items of a product that can be ordered, and their movements.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use thiserror::Error;

use crate::id::{MovementId, OrderId, ProductId};
use crate::page::Page;
use crate::store_error::StoreError;
use crate::text::Text;
use crate::time::Timestamp;

/// The items of one product that can be ordered: in the shop, neither reserved nor sold.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Stock {
    pub product_id: ProductId,
    pub available: u32,
    /// The number of movements: the sequence number of the last one.
    pub movements: u64,
}

/// The back office's reason for an adjustment.
pub type MovementReason = Text<1, 200>;

/// A change of a stock; immutable once written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct StockMovement {
    pub id: MovementId,
    pub product_id: ProductId,
    /// Position among the movements of that stock: 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// Above zero into the stock, below zero out of it.
    pub quantity: i64,
    /// Items that could be ordered after it.
    pub available_after: u32,
    pub kind: MovementKind,
    /// The order that reserved or returned the items.
    pub order_id: Option<OrderId>,
    /// Only adjustments have one.
    pub reason: Option<MovementReason>,
    pub at: Timestamp,
}

/// The cause of a movement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MovementKind {
    /// A correction by the back office.
    Adjustment,
    /// By a new order.
    Reservation,
    /// Return by an order that expired unpaid.
    Expiry,
    /// Return by an order cancelled before payment.
    Cancellation,
    /// Return by a refund of a paid order.
    Refund,
}

/// Reasons to reject a movement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum StockRejection {
    /// Fewer items available than requested.
    #[error("{} products are short", shortages.len())]
    OutOfStock {
        /// Each short product, in the order of the request.
        shortages: Vec<Shortage>,
    },
    /// More than 4,294,967,295 items.
    #[error("the stock of product {product_id} exceeds the largest quantity")]
    TooMany { product_id: ProductId },
}

/// A product with fewer items available than requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Shortage {
    pub product_id: ProductId,
    pub requested: u32,
    pub available: u32,
}

impl Stock {
    /// The stock of a new product.
    pub fn empty(product_id: ProductId) -> Self {
        Self { product_id, available: 0, movements: 0 }
    }

    /// Reserves items for an order.
    ///
    /// # Errors
    /// The [`Shortage`], when fewer items are available.
    pub fn reserve(
        &self,
        quantity: u32,
        order_id: OrderId,
        id: MovementId,
        now: Timestamp,
    ) -> Result<(Self, StockMovement), Shortage> {
        let shortage = Shortage { product_id: self.product_id, requested: quantity, available: self.available };
        self.post(taken(quantity), MovementKind::Reservation, Some(order_id), id, now).ok_or(shortage)
    }

    /// Returns items of an order to the stock.
    ///
    /// # Errors
    /// [`StockRejection::TooMany`] when the stock would exceed [`u32::MAX`].
    pub fn restore(
        &self,
        quantity: u32,
        kind: MovementKind,
        order_id: OrderId,
        id: MovementId,
        now: Timestamp,
    ) -> Result<(Self, StockMovement), StockRejection> {
        self.post(i64::from(quantity), kind, Some(order_id), id, now)
            .ok_or(StockRejection::TooMany { product_id: self.product_id })
    }

    /// Adds or removes items by the back office; `quantity` is signed.
    ///
    /// # Errors
    /// [`StockRejection::OutOfStock`] when more items are removed than available, [`StockRejection::TooMany`] when the stock
    /// would exceed [`u32::MAX`].
    pub fn adjust(
        &self,
        quantity: i32,
        reason: MovementReason,
        id: MovementId,
        now: Timestamp,
    ) -> Result<(Self, StockMovement), StockRejection> {
        let posted = self.post(i64::from(quantity), MovementKind::Adjustment, None, id, now);
        let (stock, movement) = posted.ok_or_else(|| {
            if quantity < 0 {
                let requested = quantity.unsigned_abs();
                let shortage = Shortage { product_id: self.product_id, requested, available: self.available };
                StockRejection::OutOfStock { shortages: vec![shortage] }
            } else {
                StockRejection::TooMany { product_id: self.product_id }
            }
        })?;
        Ok((stock, StockMovement { reason: Some(reason), ..movement }))
    }

    /// The stock after a movement; `None` when it would leave the range.
    fn post(
        &self,
        quantity: i64,
        kind: MovementKind,
        order_id: Option<OrderId>,
        id: MovementId,
        at: Timestamp,
    ) -> Option<(Self, StockMovement)> {
        let available = u32::try_from(i64::from(self.available).checked_add(quantity)?).ok()?;
        let sequence = self.movements.checked_add(1).expect("a stock has fewer than 2^64 movements");
        let product_id = self.product_id;
        let movement = StockMovement {
            id,
            product_id,
            sequence,
            quantity,
            available_after: available,
            kind,
            order_id,
            reason: None,
            at,
        };
        Some((Self { product_id, available, movements: sequence }, movement))
    }
}

/// So many items out of a stock.
fn taken(quantity: u32) -> i64 {
    i64::from(quantity).saturating_neg()
}

/// Reads stocks and their movements; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait StockQueries: Send + Sync {
    /// The movements of a product's stock, newest first; the page's key is a movement's sequence number.
    async fn movements(&self, product_id: ProductId, page: &Page<u64>) -> Result<Vec<StockMovement>, StoreError>;

    /// How many items of each of these products can be ordered, at the time of the read; products that do not exist are
    /// left out.
    async fn available(&self, ids: &BTreeSet<ProductId>) -> Result<BTreeMap<ProductId, u32>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::NOON;

    fn stock(available: u32) -> Stock {
        Stock { product_id: SequentialIds::id(1).into(), available, movements: 4 }
    }

    #[test]
    fn items_cannot_be_returned_beyond_what_can_be_counted() {
        let order_id = SequentialIds::id(2).into();
        let restore = |available| {
            let id = SequentialIds::id(3).into();
            stock(available).restore(2, MovementKind::Refund, order_id, id, NOON)
        };
        let product_id = SequentialIds::id(1).into();
        assert_eq!(restore(u32::MAX - 1), Err(StockRejection::TooMany { product_id }));
        let (after, movement) = restore(u32::MAX - 2).expect("there is room");
        assert_eq!((movement.available_after, movement.sequence), (u32::MAX, 5));
        assert_eq!((after.available, after.movements), (u32::MAX, 5));
    }
}
