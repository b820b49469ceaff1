use std::collections::BTreeMap;

use jangteo_domain::Currency;
use jangteo_domain::command::{ChangeProduct, ProductChange, PutProduct};
use jangteo_domain::id::ProductId;
use jangteo_domain::product::{ProductDetails, ProductStatus, Sku};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::api::products::ProductStatusName;
use crate::http::extract::path::parse_uuid;
use crate::http::respond::problem::{FieldError, FieldErrors, Reason};
use crate::http::values::WrittenAmount;
use crate::import::details::{CheckedDetails, WrittenDetails, stock};

/// A product by its SKU, or by its id. Limits of the fields are those of `POST /v1/admin/products`; a row that breaks one
/// is rejected, and the others are not.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductRow {
    /// The SKU of the product. One without a product is that of a new one.
    pub sku: Option<String>,
    /// The product to change, for one without a SKU or with another one. Where it does not exist, the SKU counts.
    pub product_id: Option<String>,
    pub name: Option<String>,
    /// Empty if absent.
    pub description: Option<String>,
    pub category: Option<String>,
    /// None if absent.
    pub options: Option<BTreeMap<String, String>>,
    /// None if absent.
    pub item_group_id: Option<String>,
    pub price: Option<WrittenAmount>,
    /// Unchanged if absent; that of a new product is `on_sale`.
    pub status: Option<ProductStatusName>,
    /// The stock of a new product. Orders have changed that of an existing one.
    pub stock: Option<i64>,
}

/// A row whose fields are valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedRow {
    pub sku: Option<Sku>,
    pub product_id: Option<ProductId>,
    pub details: CheckedDetails,
    pub status: Option<ProductStatus>,
    pub stock: u32,
}

impl ProductRow {
    /// # Errors
    /// All invalid fields; at least one.
    pub fn check(&self, currency: Currency) -> Result<CheckedRow, Vec<FieldError>> {
        let mut field_errors = FieldErrors::default();
        let sku = field_errors.take_optional("/sku", self.sku.as_deref().map(Sku::parse));
        let id = |written: &str| parse_uuid(written).map(ProductId::from).ok_or(Reason::Invalid);
        let product_id = field_errors.take_optional("/product_id", self.product_id.as_deref().map(id));
        if self.sku.is_none() && self.product_id.is_none() {
            field_errors.add("/sku", Reason::Missing);
        }
        let details = WrittenDetails {
            name: self.name.as_deref(),
            description: self.description.as_deref(),
            category: self.category.as_deref(),
            options: self.options.as_ref(),
            item_group_id: self.item_group_id.as_deref(),
            price: self.price,
        };
        let details = details.check(currency, &mut field_errors);
        let stock = field_errors.take("/stock", stock(self.stock.unwrap_or(0)));
        let field_errors = field_errors.into_vec();
        match (field_errors.is_empty(), sku, product_id, details, stock) {
            (true, Some(sku), Some(product_id), Some(details), Some(stock)) => {
                Ok(CheckedRow { sku, product_id, details, status: self.status.map(ProductStatus::from), stock })
            }
            _ => Err(field_errors),
        }
    }

    /// The SKU as written, and the product's id if it is one, for the result of the row.
    pub fn echo(&self) -> (Option<String>, Option<Uuid>) {
        (self.sku.clone(), self.product_id.as_deref().and_then(parse_uuid))
    }
}

impl CheckedRow {
    /// The details of the product after the row, of one with these details so far. A row without a SKU retains it.
    pub fn details(&self, before: &ProductDetails) -> ProductDetails {
        let sku = self.sku.clone().or_else(|| before.sku.clone());
        self.details.clone().with(sku, self.status.unwrap_or(before.status))
    }

    /// The change of an existing product.
    pub fn change(self, product_id: ProductId) -> ChangeProduct {
        let CheckedDetails { name, description, category, options, item_group_id, price } = self.details;
        let change = ProductChange {
            sku: self.sku.map(Some),
            name: Some(name),
            description: Some(description),
            category: Some(category),
            options: Some(options),
            item_group_id: Some(item_group_id),
            price: Some(price),
            status: self.status,
        };
        ChangeProduct { product_id, expected_version: None, change }
    }

    /// The product of the SKU.
    pub fn put(self, sku: Sku) -> PutProduct {
        let CheckedDetails { name, description, category, options, item_group_id, price } = self.details;
        let (status, stock) = (self.status, self.stock);
        PutProduct { sku, name, description, category, options, item_group_id, price, status, stock }
    }
}
