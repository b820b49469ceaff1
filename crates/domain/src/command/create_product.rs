use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::id::ProductId;
use crate::product::{Product, ProductDetails, ProductEvent};
use crate::rejection::Rejection;
use crate::working_set::{Locks, WorkingSet};

/// Make a product, with an empty stock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateProduct {
    /// The id that the product gets.
    pub product_id: ProductId,
    /// What the back office says about it.
    pub details: ProductDetails,
}

impl Decide for CreateProduct {
    fn declare_locks(&self, _locks: &mut Locks) {}

    fn decide(&self, _set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let product = Product::create(self.product_id, self.details.clone(), context.now);
        Ok(Decision {
            reply: Reply::ProductCreated { product: product.clone(), available: 0 },
            events: vec![Event::Product(ProductEvent::Created(product))],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::command::scene::Scene;
    use crate::testing::fixtures::{NOON, product_details};

    #[test]
    fn a_product_is_made_with_an_empty_stock() {
        let mut scene = Scene::new();
        let product_id: ProductId = scene.id();
        let details = product_details("lamp", 12_000);
        let reply = scene.decide(Command::CreateProduct(CreateProduct { product_id, details: details.clone() }));
        let product = Product { id: product_id, details, created_at: NOON, updated_at: NOON };
        assert_eq!(reply, Ok(Reply::ProductCreated { product: product.clone(), available: 0 }));
        assert_eq!(scene.set.product(product_id), Some(&product));
        assert_eq!(scene.available(product_id), 0);
        assert!(scene.set.written().stock_movements.is_empty());
    }
}
