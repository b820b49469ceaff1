use crate::id::{MovementId, OrderId, ProductId};
use crate::stock::{MovementKind, MovementReason, Shortage, StockMovement, StockRejection};
use crate::time::Timestamp;

/// How many pieces of one product can be ordered: those in the shop less those that orders hold or have bought.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Stock {
    /// The product.
    pub product_id: ProductId,
    /// Pieces that can be ordered.
    pub available: u32,
    /// How many movements there were: the sequence number of the last one.
    pub movements: u64,
}

impl Stock {
    /// The stock of a product that was just made.
    pub fn empty(product_id: ProductId) -> Self {
        Self { product_id, available: 0, movements: 0 }
    }

    /// Decides that an order takes pieces.
    ///
    /// # Errors
    /// The [`Shortage`], when there are fewer.
    pub fn reserve(
        &self,
        quantity: u32,
        order_id: OrderId,
        id: MovementId,
        now: Timestamp,
    ) -> Result<StockMovement, Shortage> {
        let shortage = Shortage { product_id: self.product_id, requested: quantity, available: self.available };
        self.movement(-i64::from(quantity), MovementKind::Reservation, Some(order_id), id, now).ok_or(shortage)
    }

    /// Decides that pieces of an order come back.
    ///
    /// # Errors
    /// [`StockRejection::TooMany`] when the stock could not be counted any more.
    pub fn restore(
        &self,
        quantity: u32,
        kind: MovementKind,
        order_id: OrderId,
        id: MovementId,
        now: Timestamp,
    ) -> Result<StockMovement, StockRejection> {
        self.movement(i64::from(quantity), kind, Some(order_id), id, now)
            .ok_or(StockRejection::TooMany { product_id: self.product_id })
    }

    /// Decides that the back office adds or takes pieces; `quantity` is signed.
    ///
    /// # Errors
    /// [`StockRejection::OutOfStock`] when more are taken than there are, [`StockRejection::TooMany`] when the stock
    /// could not be counted any more.
    pub fn adjust(
        &self,
        quantity: i32,
        reason: MovementReason,
        id: MovementId,
        now: Timestamp,
    ) -> Result<StockMovement, StockRejection> {
        let movement = self.movement(i64::from(quantity), MovementKind::Adjustment, None, id, now);
        movement.map(|movement| StockMovement { reason: Some(reason), ..movement }).ok_or_else(|| {
            if quantity < 0 {
                let requested = quantity.unsigned_abs();
                let shortage = Shortage { product_id: self.product_id, requested, available: self.available };
                StockRejection::OutOfStock { shortages: vec![shortage] }
            } else {
                StockRejection::TooMany { product_id: self.product_id }
            }
        })
    }

    fn movement(
        &self,
        quantity: i64,
        kind: MovementKind,
        order_id: Option<OrderId>,
        id: MovementId,
        at: Timestamp,
    ) -> Option<StockMovement> {
        let available_after = u32::try_from(i64::from(self.available) + quantity).ok()?;
        let sequence = self.movements + 1;
        let product_id = self.product_id;
        Some(StockMovement { id, product_id, sequence, quantity, available_after, kind, order_id, reason: None, at })
    }

    /// Takes a movement that was decided on this very state.
    ///
    /// # Panics
    /// When the movement is not the next one of this stock: a bug in the caller, which must not reach the books.
    pub fn apply(&mut self, movement: &StockMovement) {
        assert!(
            movement.product_id == self.product_id && movement.sequence == self.movements + 1,
            "a movement was decided on another state of the stock"
        );
        self.available = movement.available_after;
        self.movements = movement.sequence;
    }
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
    fn pieces_cannot_come_back_beyond_what_can_be_counted() {
        let order_id = SequentialIds::id(2).into();
        let restore = |available| {
            let id = SequentialIds::id(3).into();
            stock(available).restore(2, MovementKind::Refund, order_id, id, NOON)
        };
        let product_id = SequentialIds::id(1).into();
        assert_eq!(restore(u32::MAX - 1), Err(StockRejection::TooMany { product_id }));
        let movement = restore(u32::MAX - 2).expect("there is room");
        assert_eq!((movement.available_after, movement.sequence), (u32::MAX, 5));
    }

    #[test]
    #[should_panic(expected = "another state of the stock")]
    fn a_movement_is_applied_once() {
        let mut stock = stock(5);
        let movement =
            stock.reserve(1, SequentialIds::id(2).into(), SequentialIds::id(3).into(), NOON).expect("in stock");
        stock.apply(&movement);
        stock.apply(&movement);
    }
}
