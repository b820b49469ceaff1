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
    pub available: u64,
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
    pub available_after: u64,
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
    /// An adjustment to more than [`Stock::ADJUSTED_MAX`] items.
    #[error("the stock of product {product_id} exceeds the largest quantity")]
    TooMany { product_id: ProductId },
}

/// A product with fewer items available than requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Shortage {
    pub product_id: ProductId,
    pub requested: u32,
    pub available: u64,
}

impl Stock {
    /// The upper bound of an adjustment's result. Returns of orders may exceed it: what left the stock can always come back.
    #[expect(clippy::as_conversions, reason = "`From` is not const")]
    pub const ADJUSTED_MAX: u64 = u32::MAX as u64;

    /// The stock of a new product.
    pub fn empty(product_id: ProductId) -> Self {
        Self { product_id, available: 0, movements: 0 }
    }

    /// The stock of a new product, and the movement that filled it; `None` for an empty one.
    pub fn filled(
        product_id: ProductId,
        quantity: u32,
        id: MovementId,
        now: Timestamp,
    ) -> (Self, Option<StockMovement>) {
        if quantity == 0 {
            return (Self::empty(product_id), None);
        }
        let posted = Self::empty(product_id).post(quantity.into(), MovementKind::Adjustment, None, id, now);
        let (stock, movement) = posted.expect("a positive quantity");
        let reason = MovementReason::try_from("initial stock".to_owned()).expect("a reason");
        (stock, Some(StockMovement { reason: Some(reason), ..movement }))
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

    /// Returns items of an order to the stock; never rejected.
    pub fn restore(
        &self,
        quantity: u32,
        kind: MovementKind,
        order_id: OrderId,
        id: MovementId,
        now: Timestamp,
    ) -> (Self, StockMovement) {
        let posted = self.post(i64::from(quantity), kind, Some(order_id), id, now);
        posted.expect("orders return fewer than 2^63 items")
    }

    /// Adds or removes items by the back office; `quantity` is signed.
    ///
    /// # Errors
    /// [`StockRejection::OutOfStock`] when more items are removed than available, [`StockRejection::TooMany`] when items
    /// are added beyond [`Self::ADJUSTED_MAX`].
    pub fn adjust(
        &self,
        quantity: i32,
        reason: MovementReason,
        id: MovementId,
        now: Timestamp,
    ) -> Result<(Self, StockMovement), StockRejection> {
        let (product_id, available) = (self.product_id, self.available);
        let posted = self.post(i64::from(quantity), MovementKind::Adjustment, None, id, now);
        let (stock, movement) = posted.ok_or_else(|| {
            let shortage = Shortage { product_id, requested: quantity.unsigned_abs(), available };
            StockRejection::OutOfStock { shortages: vec![shortage] }
        })?;
        if quantity > 0 && stock.available > Self::ADJUSTED_MAX {
            return Err(StockRejection::TooMany { product_id });
        }
        Ok((stock, StockMovement { reason: Some(reason), ..movement }))
    }

    /// The stock after a movement; `None` when it would be negative, or above 2^63 items.
    fn post(
        &self,
        quantity: i64,
        kind: MovementKind,
        order_id: Option<OrderId>,
        id: MovementId,
        at: Timestamp,
    ) -> Option<(Self, StockMovement)> {
        let available = self.available.checked_add_signed(quantity).filter(|items| i64::try_from(*items).is_ok())?;
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
    async fn available(&self, ids: &BTreeSet<ProductId>) -> Result<BTreeMap<ProductId, u64>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, text};

    #[test]
    fn an_order_returns_its_items_to_a_stock_that_was_filled_meanwhile() {
        let [product_id, order_id] = [1, 2].map(SequentialIds::id);
        let full = Stock { product_id: product_id.into(), available: Stock::ADJUSTED_MAX, movements: 4 };
        let id = SequentialIds::id(3).into();
        let (after, movement) = full.restore(2, MovementKind::Expiry, order_id.into(), id, NOON);
        assert_eq!((after.available, after.movements), (Stock::ADJUSTED_MAX + 2, 5));
        assert_eq!((movement.available_after, movement.sequence), (Stock::ADJUSTED_MAX + 2, 5));

        let adjust = |quantity| after.adjust(quantity, text("counted"), id, NOON).map(|(stock, _)| stock.available);
        assert_eq!(adjust(1), Err(StockRejection::TooMany { product_id: product_id.into() }));
        assert_eq!(adjust(-1), Ok(Stock::ADJUSTED_MAX + 1));
    }
}
