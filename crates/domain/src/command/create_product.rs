use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::outcome::Reply;
use crate::product::{Product, ProductDetails};
use crate::rejection::Rejection;
use crate::stock::Stock;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Creation of a product with an empty stock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateProduct {
    pub details: ProductDetails,
}

impl Decide for CreateProduct {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Stock, None)
    }

    fn changes_products(&self) -> bool {
        true
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, _locks: &mut LockSet) {}

    fn decide(&self, _set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let product = Product::create(context.new_id(), self.details.clone(), context.now);
        let stocks = vec![Stock::empty(product.id)];
        Ok(Decision {
            reply: Reply::ProductCreated { product: product.clone(), available: 0 },
            states: States { products: vec![product], stocks, ..States::default() },
            appended: Appended::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::testing::fixtures::{NOON, product_details};

    #[test]
    fn a_new_product_has_an_empty_stock() {
        let mut scene = Scene::new();
        let details = product_details("lamp", 12_000);
        let reply = scene.decide(CreateProduct { details: details.clone() });
        let Ok(Reply::ProductCreated { product, available: 0 }) = reply else { panic!("{reply:?}") };
        assert_eq!(product, Product { id: product.id, details, created_at: NOON, updated_at: NOON });
        assert_eq!(scene.tables.products.get(&product.id), Some(&product));
        assert_eq!(scene.available(product.id), 0);
        assert!(scene.tables.written == Appended::default());
    }
}
