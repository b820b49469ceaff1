use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::ProductId;
use crate::outcome::Reply;
use crate::product::{
    Category, ItemGroupId, Options, Price, Product, ProductDescription, ProductDetails, ProductName, ProductRejection,
    ProductStatus, Sku,
};
use crate::rejection::Rejection;
use crate::time::Timestamp;
use crate::transaction::{Appended, LockSet, ProductDepth, States};
use crate::working_set::WorkingSet;

/// A change of a product's details.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeProduct {
    pub product_id: ProductId,
    /// The version that the caller has seen; `None` for any.
    pub expected_version: Option<u64>,
    pub change: ProductChange,
}

/// The details to change; `None` retains the present value.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are those of ProductDetails")]
pub struct ProductChange {
    /// `Some(None)` removes the SKU.
    pub sku: Option<Option<Sku>>,
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
            sku: change.sku.unwrap_or(before.sku),
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
        locks.skus.extend(self.change.sku.iter().flatten().cloned());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let not_found = ProductRejection::NotFound { product_id: self.product_id };
        let product = set.product(self.product_id).ok_or(not_found.clone())?;
        let stock = set.stock(self.product_id).ok_or(not_found)?;
        if self.expected_version.is_some_and(|expected| expected != product.version) {
            let (product_id, version) = (self.product_id, product.version);
            return Err(ProductRejection::VersionChanged { product_id, version }.into());
        }
        if let Some(Some(sku)) = &self.change.sku
            && let Some(product_id) = set.product_of_sku(sku).filter(|id| *id != self.product_id)
        {
            return Err(ProductRejection::SkuTaken { sku: sku.clone(), product_id }.into());
        }
        Ok(changed(product, self.change.of(&product.details), stock.available, context.now))
    }
}

/// The decision to replace the details; without a difference it changes nothing.
pub(super) fn changed(product: &Product, details: ProductDetails, available: u64, now: Timestamp) -> Decision {
    let mut states = States::default();
    let reply = if details == product.details {
        Reply::ProductUnchanged { product: product.clone(), available }
    } else {
        let product = product.change(details, now);
        states.products.push(product.clone());
        Reply::ProductChanged { product, available }
    };
    Decision { reply, states, appended: Appended::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::testing::fixtures::{NOON, noon_plus, options, product_details, text};

    fn of(product_id: ProductId, change: ProductChange) -> ChangeProduct {
        ChangeProduct { product_id, expected_version: None, change }
    }

    fn change(scene: &mut Scene, product_id: ProductId, change: ProductChange) -> ProductDetails {
        let version = scene.tables.products[&product_id].version;
        match scene.decide(of(product_id, change)) {
            Ok(Reply::ProductChanged { product, available }) => {
                assert_eq!(scene.tables.products.get(&product_id), Some(&product));
                assert_eq!(scene.available(product_id), available);
                assert_eq!((product.created_at, product.updated_at), (NOON, scene.now));
                assert_eq!(product.version, version + 1);
                product.details
            }
            other => panic!("a product is expected, not {other:?}"),
        }
    }

    fn renamed(name: &str) -> ProductChange {
        ProductChange { name: Some(text(name)), ..ProductChange::default() }
    }

    fn with_sku(sku: &str) -> ProductChange {
        ProductChange { sku: Some(Some(text(sku))), ..ProductChange::default() }
    }

    #[test]
    fn only_the_given_details_change() {
        let mut scene = Scene::new();
        let before = ProductDetails { item_group_id: Some(text("lamps")), ..product_details("lamp", 12_000) };
        let id = scene.product(before.clone(), 3);
        scene.now = noon_plus(60);

        let cheaper = product_details("cheaper", 1).price;
        let price = ProductChange { price: Some(cheaper), ..ProductChange::default() };
        assert_eq!(change(&mut scene, id, price), ProductDetails { price: cheaper, ..before });
    }

    #[test]
    fn every_detail_can_change() {
        let mut scene = Scene::new();
        let id = scene.product(product_details("lamp", 12_000), 3);
        let after = ProductDetails {
            sku: Some(text("CHAIR-1")),
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
            sku: Some(details.sku),
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
        let after = ProductDetails { item_group_id: None, ..after };
        assert_eq!(change(&mut scene, id, out_of_group), after);
        let without_sku = ProductChange { sku: Some(None), ..ProductChange::default() };
        assert_eq!(change(&mut scene, id, without_sku), ProductDetails { sku: None, ..after });
    }

    #[test]
    fn a_change_without_a_difference_changes_nothing() {
        let mut scene = Scene::new();
        let id = scene.product(product_details("lamp", 12_000), 3);
        let before = scene.tables.products[&id].clone();
        scene.now = noon_plus(60);
        for change in [ProductChange::default(), renamed("lamp")] {
            let reply = scene.decide(of(id, change));
            assert_eq!(reply, Ok(Reply::ProductUnchanged { product: before.clone(), available: 3 }));
        }
        assert_eq!(scene.tables.products[&id], before);
    }

    #[test]
    fn rejects_a_change_of_another_version_than_the_current_one() {
        let mut scene = Scene::new();
        let id = scene.product(product_details("lamp", 12_000), 3);
        let at = |version, name: &str| ChangeProduct { expected_version: Some(version), ..of(id, renamed(name)) };
        scene.decide(at(1, "chair")).expect("the current version");
        let rejection = ProductRejection::VersionChanged { product_id: id, version: 2 };
        for stale in [at(1, "table"), at(3, "table"), at(1, "chair")] {
            assert_eq!(scene.rejection(stale), rejection.clone().into());
        }
        scene.decide(at(2, "table")).expect("the current version");
    }

    #[test]
    fn rejects_the_sku_of_another_product() {
        let mut scene = Scene::new();
        let [lamp, chair] = [scene.lamp(1, 1), scene.lamp(2, 2)];
        change(&mut scene, lamp, with_sku("A"));
        let taken = ProductRejection::SkuTaken { sku: text("A"), product_id: lamp };
        assert_eq!(scene.rejection(of(chair, with_sku("A"))), taken.into());
        change(&mut scene, chair, with_sku("a"));
        let own = scene.decide(of(lamp, with_sku("A")));
        assert!(matches!(own, Ok(Reply::ProductUnchanged { .. })), "{own:?}");
        change(&mut scene, lamp, with_sku("B"));
        change(&mut scene, chair, with_sku("A"));
    }

    #[test]
    fn rejects_a_product_that_does_not_exist() {
        let mut scene = Scene::new();
        let product_id: ProductId = scene.id();
        let change = ChangeProduct { expected_version: Some(1), ..of(product_id, with_sku("A")) };
        assert_eq!(scene.rejection(change), ProductRejection::NotFound { product_id }.into());
    }
}
