use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::ProductId;
use crate::outcome::Reply;
use crate::product::{
    Category, ItemGroupId, Options, Price, ProductDescription, ProductDetails, ProductName, ProductRejection,
    ProductStatus,
};
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, ProductDepth, States};
use crate::working_set::WorkingSet;

/// A change of a product's details.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeProduct {
    pub product_id: ProductId,
    pub change: ProductChange,
}

/// The details to change; `None` retains the present value.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are those of ProductDetails")]
pub struct ProductChange {
    pub name: Option<ProductName>,
    pub description: Option<ProductDescription>,
    pub category: Option<Category>,
    pub options: Option<Options>,
    /// `Some(None)` removes the product from its item group.
    pub item_group_id: Option<Option<ItemGroupId>>,
    pub price: Option<Price>,
    pub status: Option<ProductStatus>,
}

impl ProductChange {
    fn of(&self, details: &ProductDetails) -> ProductDetails {
        let before = details.clone();
        let change = self.clone();
        ProductDetails {
            name: change.name.unwrap_or(before.name),
            description: change.description.unwrap_or(before.description),
            category: change.category.unwrap_or(before.category),
            options: change.options.unwrap_or(before.options),
            item_group_id: change.item_group_id.unwrap_or(before.item_group_id),
            price: change.price.unwrap_or(before.price),
            status: change.status.unwrap_or(before.status),
        }
    }
}

impl Decide for ChangeProduct {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Stock, Some(Subject::Product(self.product_id)))
    }

    fn changes_products(&self) -> bool {
        true
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.add_product(self.product_id, ProductDepth::Whole);
        locks.stocks.insert(self.product_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let not_found = ProductRejection::NotFound { product_id: self.product_id };
        let product = set.product(self.product_id).ok_or(not_found.clone())?;
        let stock = set.stock(self.product_id).ok_or(not_found)?;
        let changed = product.change(self.change.of(&product.details), context.now);
        Ok(Decision {
            reply: Reply::ProductChanged { product: changed.clone(), available: stock.available },
            states: States { products: vec![changed], ..States::default() },
            appended: Appended::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::testing::fixtures::{NOON, noon_plus, options, product_details, text};

    fn change(scene: &mut Scene, product_id: ProductId, change: ProductChange) -> ProductDetails {
        match scene.decide(ChangeProduct { product_id, change }) {
            Ok(Reply::ProductChanged { product, available }) => {
                assert_eq!(scene.tables.products.get(&product_id), Some(&product));
                assert_eq!(scene.available(product_id), available);
                assert_eq!((product.created_at, product.updated_at), (NOON, scene.now));
                product.details
            }
            other => panic!("a product is expected, not {other:?}"),
        }
    }

    #[test]
    fn only_the_given_details_change() {
        let mut scene = Scene::new();
        let before = ProductDetails { item_group_id: Some(text("lamps")), ..product_details("lamp", 12_000) };
        let id = scene.product(before.clone(), 3);
        scene.now = noon_plus(60);
        assert_eq!(change(&mut scene, id, ProductChange::default()), before);

        let cheaper = product_details("cheaper", 1).price;
        let price = ProductChange { price: Some(cheaper), ..ProductChange::default() };
        assert_eq!(change(&mut scene, id, price), ProductDetails { price: cheaper, ..before });
    }

    #[test]
    fn every_detail_can_change() {
        let mut scene = Scene::new();
        let id = scene.product(product_details("lamp", 12_000), 3);
        let after = ProductDetails {
            name: text("chair"),
            description: text("to sit on"),
            category: text("seats"),
            options: options(&[("color", "red")]),
            item_group_id: Some(text("seats")),
            price: product_details("chair", 5).price,
            status: ProductStatus::Discontinued,
        };
        let details = after.clone();
        let all = ProductChange {
            name: Some(details.name),
            description: Some(details.description),
            category: Some(details.category),
            options: Some(details.options),
            item_group_id: Some(details.item_group_id),
            price: Some(details.price),
            status: Some(details.status),
        };
        assert_eq!(change(&mut scene, id, all), after);
        let out_of_group = ProductChange { item_group_id: Some(None), ..ProductChange::default() };
        assert_eq!(change(&mut scene, id, out_of_group), ProductDetails { item_group_id: None, ..after });
    }

    #[test]
    fn rejects_a_product_that_does_not_exist() {
        let mut scene = Scene::new();
        let product_id: ProductId = scene.id();
        let change = ChangeProduct { product_id, change: ProductChange::default() };
        assert_eq!(scene.rejection(change), ProductRejection::NotFound { product_id }.into());
    }
}
