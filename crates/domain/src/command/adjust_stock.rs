use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::id::{MovementId, ProductId};
use crate::product::ProductRefusal;
use crate::refusal::Refusal;
use crate::stock::MovementReason;
use crate::working_set::{Locks, WorkingSet};

/// Add pieces to a product's stock, or take some out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdjustStock {
    /// The product.
    pub product_id: ProductId,
    /// Pieces: above zero into the stock, below zero out of it.
    pub quantity: i32,
    /// Why, in words.
    pub reason: MovementReason,
}

impl Decide for AdjustStock {
    fn name_locks(&self, locks: &mut Locks) {
        locks.stocks.insert(self.product_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let not_found = ProductRefusal::NotFound { product_id: self.product_id };
        let stock = set.stock(self.product_id).ok_or(not_found)?;
        let id = MovementId::next(context.ids);
        let movement = stock.adjust(self.quantity, self.reason.clone(), id, context.now)?;
        Ok(Decision { reply: Reply::StockAdjusted(movement.clone()), events: vec![Event::Stock(movement)] })
    }
}
