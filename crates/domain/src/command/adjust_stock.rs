use crate::audit::{AuditReason, Subject};
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::ProductId;
use crate::outcome::Reply;
use crate::product::ProductRejection;
use crate::rejection::Rejection;
use crate::stock::MovementReason;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// A correction of a stock by the back office.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdjustStock {
    pub product_id: ProductId,
    /// Positive to add items, negative to remove items.
    pub quantity: i32,
    pub reason: MovementReason,
}

impl Decide for AdjustStock {
    fn reason(&self) -> Option<&AuditReason> {
        Some(&self.reason)
    }

    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Stock, Some(Subject::Product(self.product_id)))
    }

    fn changes_products(&self) -> bool {
        true
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.stocks.insert(self.product_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let not_found = ProductRejection::NotFound { product_id: self.product_id };
        let stock = set.stock(self.product_id).ok_or(not_found)?;
        let (stock, movement) = stock.adjust(self.quantity, self.reason.clone(), context.new_id(), context.now)?;
        Ok(Decision {
            reply: Reply::StockAdjusted(movement.clone()),
            states: States { stocks: vec![stock], ..States::default() },
            appended: Appended { stock_movements: vec![movement], ..Appended::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::stock::{MovementKind, Shortage, Stock, StockRejection};
    use crate::testing::fixtures::{NOON, text};

    fn adjust(product_id: ProductId, quantity: i32) -> AdjustStock {
        AdjustStock { product_id, quantity, reason: text("counted") }
    }

    #[test]
    fn each_adjustment_appends_a_movement() {
        let mut scene = Scene::new();
        let lamp = scene.lamp(1, 10);
        let Ok(Reply::StockAdjusted(movement)) = scene.decide(adjust(lamp, -10)) else {
            panic!("a movement is expected");
        };
        assert_eq!((movement.product_id, movement.sequence), (lamp, 2));
        assert_eq!((movement.quantity, movement.available_after), (-10, 0));
        assert_eq!((movement.kind, movement.order_id, movement.at), (MovementKind::Adjustment, None, NOON));
        assert_eq!(movement.reason, Some(text("counted")));
        assert_eq!(scene.available(lamp), 0);
        assert_eq!(scene.tables.written.stock_movements.last(), Some(&movement));
        assert_eq!(scene.tables.written.stock_movements.len(), 2);
    }

    #[test]
    fn rejects_a_removal_above_the_available_stock() {
        let mut scene = Scene::new();
        let lamp = scene.lamp(1, 10);
        let shortage = Shortage { product_id: lamp, requested: 11, available: 10 };
        let rejection = StockRejection::OutOfStock { shortages: vec![shortage] };
        assert_eq!(scene.rejection(adjust(lamp, -11)), rejection.into());
        let shortage = Shortage { product_id: lamp, requested: i32::MIN.unsigned_abs(), available: 10 };
        let rejection = StockRejection::OutOfStock { shortages: vec![shortage] };
        assert_eq!(scene.rejection(adjust(lamp, i32::MIN)), rejection.into());
    }

    #[test]
    fn rejects_a_stock_above_the_largest_quantity() {
        let mut scene = Scene::new();
        let lamp = scene.lamp(1, i32::MAX);
        scene.decide(adjust(lamp, i32::MAX)).expect("there is room");
        scene.decide(adjust(lamp, 1)).expect("there is room for one");
        assert_eq!(scene.available(lamp), Stock::ADJUSTED_MAX);
        assert_eq!(scene.rejection(adjust(lamp, 1)), StockRejection::TooMany { product_id: lamp }.into());
    }

    #[test]
    fn rejects_a_product_that_does_not_exist() {
        let mut scene = Scene::new();
        let product_id: ProductId = scene.id();
        assert_eq!(scene.rejection(adjust(product_id, 1)), ProductRejection::NotFound { product_id }.into());
    }
}
