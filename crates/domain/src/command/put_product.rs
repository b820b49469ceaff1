use crate::audit::Subject;
use crate::command::change_product::changed;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::outcome::Reply;
use crate::product::{
    Category, ItemGroupId, Options, Price, Product, ProductDescription, ProductDetails, ProductName, ProductStatus, Sku,
};
use crate::rejection::Rejection;
use crate::stock::Stock;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Creation of the product of a SKU, or the replacement of its details.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutProduct {
    pub sku: Sku,
    pub name: ProductName,
    pub description: ProductDescription,
    pub category: Category,
    pub options: Options,
    pub item_group_id: Option<ItemGroupId>,
    pub price: Price,
    /// `None` retains the status; a new product is on sale then.
    pub status: Option<ProductStatus>,
    /// The stock of a new product. Orders have changed that of an existing one.
    pub stock: u32,
}

impl PutProduct {
    /// The details, of a product with these details so far.
    pub fn details(&self, before: Option<&ProductDetails>) -> ProductDetails {
        let status = self.status.or(before.map(|before| before.status)).unwrap_or(ProductStatus::OnSale);
        ProductDetails {
            sku: Some(self.sku.clone()),
            name: self.name.clone(),
            description: self.description.clone(),
            category: self.category.clone(),
            options: self.options.clone(),
            item_group_id: self.item_group_id.clone(),
            price: self.price,
            status,
        }
    }
}

impl Decide for PutProduct {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Stock, None)
    }

    fn changes_products(&self) -> bool {
        true
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.skus.insert(self.sku.clone());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let found = set.product_of_sku(&self.sku);
        if let Some((product, stock)) = found.and_then(|id| set.product(id).zip(set.stock(id))) {
            let details = self.details(Some(&product.details));
            return Ok(changed(product, details, stock.available, context.now));
        }
        let product = Product::create(context.new_id(), self.details(None), context.now);
        let (stock, movement) = Stock::filled(product.id, self.stock, context.new_id(), context.now);
        Ok(Decision {
            reply: Reply::ProductCreated { product: product.clone(), available: stock.available },
            states: States { products: vec![product], stocks: vec![stock], ..States::default() },
            appended: Appended { stock_movements: movement.into_iter().collect(), ..Appended::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::id::ProductId;
    use crate::stock::MovementKind;
    use crate::testing::fixtures::{noon_plus, product_details, text};

    fn put(sku: &str, name: &str, stock: u32) -> PutProduct {
        let ProductDetails { description, category, options, item_group_id, price, .. } = product_details(name, 1_000);
        let (sku, name) = (text(sku), text(name));
        PutProduct { sku, name, description, category, options, item_group_id, price, status: None, stock }
    }

    fn created(scene: &mut Scene, put: PutProduct) -> ProductId {
        match scene.decide(put) {
            Ok(Reply::ProductCreated { product, .. }) => product.id,
            other => panic!("a new product is expected, not {other:?}"),
        }
    }

    #[test]
    fn a_new_sku_is_a_product_with_its_stock() {
        let mut scene = Scene::new();
        let id = created(&mut scene, put("A", "lamp", u32::MAX));
        assert_eq!(scene.available(id), u64::from(u32::MAX));
        let [movement] = &scene.tables.written.stock_movements[..] else { panic!("one movement") };
        assert_eq!((movement.kind, movement.sequence), (MovementKind::Adjustment, 1));
        assert_eq!((movement.quantity, movement.available_after), (u32::MAX.into(), u32::MAX.into()));
        assert!(movement.reason.is_some() && movement.order_id.is_none());

        let other = created(&mut scene, put("a", "lamp", 0));
        assert_eq!(scene.available(other), 0);
        assert_eq!(scene.tables.written.stock_movements.len(), 1, "nothing moved");
    }

    #[test]
    fn the_details_of_a_known_sku_are_replaced_and_its_stock_is_not() {
        let mut scene = Scene::new();
        let id = created(&mut scene, put("A", "lamp", 5));
        scene.now = noon_plus(60);
        let reply = scene.decide(put("A", "chair", 9));
        let Ok(Reply::ProductChanged { product, available: 5 }) = reply else { panic!("{reply:?}") };
        assert_eq!((product.id, product.version, product.updated_at), (id, 2, noon_plus(60)));
        assert_eq!(product.details, ProductDetails { sku: Some(text("A")), ..product_details("chair", 1_000) });

        let again = scene.decide(put("A", "chair", 1));
        assert_eq!(again, Ok(Reply::ProductUnchanged { product, available: 5 }));
        assert_eq!(scene.tables.written.stock_movements.len(), 1);
    }

    #[test]
    fn a_status_that_is_not_given_is_retained() {
        let mut scene = Scene::new();
        let hidden = Some(ProductStatus::Hidden);
        let id = created(&mut scene, PutProduct { status: hidden, ..put("A", "lamp", 0) });
        let status = |scene: &Scene| scene.tables.products[&id].details.status;
        scene.decide(put("A", "chair", 0)).expect("a change");
        assert_eq!(status(&scene), ProductStatus::Hidden);
        scene.decide(PutProduct { status: Some(ProductStatus::OnSale), ..put("A", "chair", 0) }).expect("a change");
        assert_eq!(status(&scene), ProductStatus::OnSale);
    }
}
