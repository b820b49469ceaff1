use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::id::ProductId;
use crate::product::{
    Category, ItemGroupId, Options, Price, ProductDescription, ProductDetails, ProductEvent, ProductName,
    ProductRefusal, ProductStatus,
};
use crate::refusal::Refusal;
use crate::working_set::{Locks, WorkingSet};

/// Describe a product anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeProduct {
    /// Which one.
    pub product_id: ProductId,
    /// What changes.
    pub change: ProductChange,
}

/// What changes about a product; `None` leaves it as it is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are those of ProductDetails")]
pub struct ProductChange {
    pub name: Option<ProductName>,
    pub description: Option<ProductDescription>,
    pub category: Option<Category>,
    pub options: Option<Options>,
    /// `Some(None)` takes the product out of its item group.
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
    fn name_locks(&self, locks: &mut Locks) {
        locks.products.insert(self.product_id);
        locks.stocks.insert(self.product_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let not_found = ProductRefusal::NotFound { product_id: self.product_id };
        let product = set.product(self.product_id).ok_or(not_found.clone())?;
        let stock = set.stock(self.product_id).ok_or(not_found)?;
        let changed = product.change(self.change.of(&product.details), context.now);
        Ok(Decision {
            reply: Reply::ProductChanged { product: changed.clone(), available: stock.available },
            events: vec![Event::Product(ProductEvent::Changed(changed))],
        })
    }
}
