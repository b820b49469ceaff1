use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::id::ProductId;
use crate::product::{Product, ProductDetails, ProductEvent};
use crate::refusal::Refusal;
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
    fn name_locks(&self, _locks: &mut Locks) {}

    fn decide(&self, _set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let product = Product::create(self.product_id, self.details.clone(), context.now);
        Ok(Decision {
            reply: Reply::ProductCreated { product: product.clone(), available: 0 },
            events: vec![Event::Product(ProductEvent::Created(product))],
        })
    }
}
