use std::collections::{BTreeMap, BTreeSet};

use jangteo_domain::id::ProductId;
use jangteo_domain::product::{ProductListing, ProductQueries, ProductRejection, Sku};
use jangteo_domain::{Command, Rejection, Reply, StoreError};

use crate::http::respond::problem::{FieldError, Reason};
use crate::import::row::CheckedRow;

/// The effect of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    Created(Option<ProductId>),
    Changed(ProductId),
    Unchanged(ProductId),
    Rejected(Rejection),
    Invalid(Vec<FieldError>),
}

/// A row compared with the catalog: its expected effect, and the command for it. The command decides again, under its
/// locks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    pub effect: Effect,
    /// `None` where the catalog agrees with the row already, as of the read, or the row is rejected.
    pub command: Option<Command>,
}

impl From<Effect> for Planned {
    fn from(effect: Effect) -> Self {
        Self { effect, command: None }
    }
}

/// The effect of a command that was executed.
pub fn effect_of(outcome: Result<Reply, Rejection>) -> Effect {
    match outcome {
        Ok(Reply::ProductCreated { product, .. }) => Effect::Created(Some(product.id)),
        Ok(Reply::ProductChanged { product, .. }) => Effect::Changed(product.id),
        Ok(Reply::ProductUnchanged { product, .. }) => Effect::Unchanged(product.id),
        Ok(reply) => unreachable!("a row is a product, not {reply:?}"),
        Err(rejection) => Effect::Rejected(rejection),
    }
}

/// Compares rows with the catalog, in two reads. A second row of one product is invalid: rows are independent.
///
/// # Errors
/// Errors of the store.
pub async fn plan(
    rows: Vec<Result<CheckedRow, Vec<FieldError>>>,
    products: &dyn ProductQueries,
) -> Result<Vec<Planned>, StoreError> {
    let ids: Vec<ProductId> = rows.iter().flatten().filter_map(|row| row.product_id).collect();
    let skus: Vec<Sku> = rows.iter().flatten().filter_map(|row| row.sku.clone()).collect();
    let mut catalog = Catalog::default();
    if !ids.is_empty() {
        catalog.add(products.find_many(&ids).await?);
    }
    if !skus.is_empty() {
        catalog.add(products.find_by_skus(&skus).await?);
    }
    let mut seen = (BTreeSet::new(), BTreeSet::new());
    let mut planned = |row: Result<CheckedRow, Vec<FieldError>>| match row {
        Ok(row) => {
            let is_new_id = row.product_id.is_none_or(|id| seen.0.insert(id));
            let is_new_sku = row.sku.as_ref().is_none_or(|sku| seen.1.insert(sku.clone()));
            match (is_new_id, is_new_sku) {
                (true, true) => catalog.compare(row),
                (false, _) => duplicate("/product_id"),
                (true, false) => duplicate("/sku"),
            }
        }
        Err(field_errors) => Effect::Invalid(field_errors).into(),
    };
    Ok(rows.into_iter().map(&mut planned).collect())
}

fn duplicate(pointer: &str) -> Planned {
    Effect::Invalid(vec![FieldError { pointer: pointer.to_owned(), reason: Reason::DuplicateKey }]).into()
}

/// The products that rows name.
#[derive(Default)]
struct Catalog {
    products: BTreeMap<ProductId, ProductListing>,
    skus: BTreeMap<Sku, ProductId>,
}

impl Catalog {
    fn add(&mut self, listings: Vec<ProductListing>) {
        for listing in listings {
            let id = listing.product.id;
            self.skus.extend(listing.product.details.sku.clone().map(|sku| (sku, id)));
            self.products.insert(id, listing);
        }
    }

    fn compare(&self, row: CheckedRow) -> Planned {
        let by_id = row.product_id.and_then(|id| self.products.get(&id));
        let of_sku = row.sku.as_ref().and_then(|sku| self.skus.get(sku)).and_then(|id| self.products.get(id));
        match (by_id, of_sku, row.sku.clone()) {
            (Some(product), Some(other), Some(sku)) if product.product.id != other.product.id => {
                let product_id = other.product.id;
                Effect::Rejected(ProductRejection::SkuTaken { sku, product_id }.into()).into()
            }
            (Some(listing), ..) | (None, Some(listing), _) => {
                let product = &listing.product;
                if row.details(&product.details) == product.details {
                    return Effect::Unchanged(product.id).into();
                }
                let id = product.id;
                let command = match (by_id, row.sku.clone()) {
                    (None, Some(sku)) => Command::PutProduct(row.put(sku)),
                    (Some(_), _) | (None, None) => Command::ChangeProduct(row.change(id)),
                };
                Planned { effect: Effect::Changed(id), command: Some(command) }
            }
            (None, None, Some(sku)) => {
                Planned { effect: Effect::Created(None), command: Some(Command::PutProduct(row.put(sku))) }
            }
            (None, None, None) => {
                let product_id = row.product_id.expect("a row has a SKU or the id of a product");
                Effect::Rejected(ProductRejection::NotFound { product_id }.into()).into()
            }
        }
    }
}
