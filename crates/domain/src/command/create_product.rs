use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::outcome::Reply;
use crate::product::{Product, ProductDetails, ProductRejection};
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

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.skus.extend(self.details.sku.clone());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        if let Some(sku) = &self.details.sku
            && let Some(product_id) = set.product_of_sku(sku)
        {
            return Err(ProductRejection::SkuTaken { sku: sku.clone(), product_id }.into());
        }
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
    use crate::testing::fixtures::{NOON, product_details, text};

    #[test]
    fn a_new_product_has_an_empty_stock() {
        let mut scene = Scene::new();
        let details = product_details("lamp", 12_000);
        let reply = scene.decide(CreateProduct { details: details.clone() });
        let Ok(Reply::ProductCreated { product, available: 0 }) = reply else { panic!("{reply:?}") };
        assert_eq!(product, Product { id: product.id, details, version: 1, created_at: NOON, updated_at: NOON });
        assert_eq!(scene.tables.products.get(&product.id), Some(&product));
        assert_eq!(scene.available(product.id), 0);
        assert!(scene.tables.written == Appended::default());
    }

    #[test]
    fn rejects_a_sku_that_a_product_has() {
        let mut scene = Scene::new();
        let details = ProductDetails { sku: Some(text("A")), ..product_details("lamp", 1) };
        let product_id = scene.product(details.clone(), 0);
        let taken = ProductRejection::SkuTaken { sku: text("A"), product_id };
        assert_eq!(scene.rejection(CreateProduct { details }), taken.into());
    }
}
