//! Products: create, change, and list in all states.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, patch, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa_actix_web::service_config::ServiceConfig;

use jangteo_domain::command::{ChangeProduct, CreateProduct, ProductChange};
use jangteo_domain::id::ProductId;
use jangteo_domain::product::{
    Category, ItemGroupId, OptionName, OptionValue, Options, Price, ProductDescription, ProductDetails, ProductName,
    ProductStatus,
};
use jangteo_domain::{Command, Currency};

use crate::http::api::products::{ProductList, ProductResponse, ProductStatusName, ProductsQuery};
use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, present, push_key};
use crate::http::extract::caller::Admin;
use crate::http::extract::page::ListResponse;
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, Reason, documented as code};
use crate::http::state::AppState;
use crate::http::values::WrittenAmount;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(create_product).service(list_all_products).service(change_product);
}

/// Create a product
///
/// The stock of a new product is 0; add to it by a stock movement.
#[utoipa::path(
    tag = "admin",
    request_body = CreateProductRequest,
    responses((status = 201, body = ProductResponse), code::AmountTooPrecise),
)]
#[post("/products")]
async fn create_product(
    _admin: Admin,
    write: Write,
    body: Body<CreateProductRequest>,
) -> Result<HttpResponse, Problem> {
    let details = body.value.details(write.state.rules.currency)?;
    write.run(&body, Command::CreateProduct(CreateProduct { details })).await
}

/// List products in all states
///
/// Returns hidden and discontinued products too, uncached. Filters and sort orders are those of the public list.
#[utoipa::path(
    tag = "admin",
    params(ProductsQuery),
    responses((status = 200, body = ListResponse<ProductResponse>)),
)]
#[get("/products")]
async fn list_all_products(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<ProductsQuery>,
) -> Result<Json<ListResponse<ProductResponse>>, Problem> {
    let list = ProductList::of(query.0, &state, true)?;
    Ok(Json(deadline.read(list.read(&state)).await?))
}

/// Change a product
///
/// Changes the fields in the body; absent ones are unchanged. Existing orders are unaffected.
#[utoipa::path(
    tag = "admin",
    params(("product_id" = uuid::Uuid, Path, description = "Id of the product")),
    request_body = ChangeProductRequest,
    responses((status = 200, body = ProductResponse), code::AmountTooPrecise, code::ProductNotFound),
)]
#[patch("/products/{product_id}")]
async fn change_product(
    _admin: Admin,
    write: Write,
    product_id: ApiPath<ProductId>,
    body: Body<ChangeProductRequest>,
) -> Result<HttpResponse, Problem> {
    let change = body.value.change(write.state.rules.currency)?;
    let command = ChangeProduct { product_id: product_id.0, change };
    write.run(&body, Command::ChangeProduct(command)).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProductRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(max_length = 10_000)]
    #[serde(default)]
    description: String,
    #[schema(min_length = 1, max_length = 64)]
    category: String,
    #[serde(default)]
    #[schema(schema_with = options)]
    options: BTreeMap<String, String>,
    /// Shared by the variants of one item.
    #[schema(min_length = 1, max_length = 64)]
    item_group_id: Option<String>,
    price: WrittenAmount,
    /// The initial status; `on_sale` if absent.
    status: Option<ProductStatusName>,
}

impl CreateProductRequest {
    pub fn details(&self, currency: Currency) -> Result<ProductDetails, Problem> {
        let mut field_errors = FieldErrors::default();
        let name = field_errors.take("/name", ProductName::parse(&self.name));
        let description = field_errors.take("/description", ProductDescription::parse(&self.description));
        let category = field_errors.take("/category", Category::parse(&self.category));
        let options = take_options(&self.options, &mut field_errors);
        let group = self.item_group_id.as_deref().map(ItemGroupId::parse);
        let item_group_id = field_errors.take_optional("/item_group_id", group);
        let price = field_errors.take("/price", price(self.price, currency));
        let status = self.status.map_or(ProductStatus::OnSale, ProductStatus::from);
        let details = (|| {
            Some(ProductDetails {
                name: name?,
                description: description?,
                category: category?,
                options: options?,
                item_group_id: item_group_id?,
                price: price?,
                status,
            })
        })();
        field_errors.check(details)
    }
}

/// The fields to change; absent ones are unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeProductRequest {
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    #[schema(max_length = 10_000, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    description: Option<String>,
    #[schema(min_length = 1, max_length = 64, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    category: Option<String>,
    #[schema(schema_with = options)]
    #[serde(default, deserialize_with = "present")]
    options: Option<BTreeMap<String, String>>,
    /// `null` removes the product from its group.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    item_group_id: Option<Option<String>>,
    #[schema(nullable = false)]
    #[serde(default, deserialize_with = "present")]
    price: Option<WrittenAmount>,
    #[schema(nullable = false)]
    #[serde(default, deserialize_with = "present")]
    status: Option<ProductStatusName>,
}

impl ChangeProductRequest {
    pub fn change(&self, currency: Currency) -> Result<ProductChange, Problem> {
        let mut field_errors = FieldErrors::default();
        let name = field_errors.take_optional("/name", self.name.as_deref().map(ProductName::parse));
        let description = self.description.as_deref().map(ProductDescription::parse);
        let description = field_errors.take_optional("/description", description);
        let category = field_errors.take_optional("/category", self.category.as_deref().map(Category::parse));
        let options = match &self.options {
            None => Some(None),
            Some(options) => take_options(options, &mut field_errors).map(Some),
        };
        let item_group_id = match &self.item_group_id {
            None => Some(None),
            Some(group) => {
                let group = group.as_deref().map(ItemGroupId::parse);
                field_errors.take_optional("/item_group_id", group).map(Some)
            }
        };
        let price = field_errors.take_optional("/price", self.price.map(|written| price(written, currency)));
        let status = self.status.map(ProductStatus::from);
        let change = (|| {
            Some(ProductChange {
                name: name?,
                description: description?,
                category: category?,
                options: options?,
                item_group_id: item_group_id?,
                price: price?,
                status,
            })
        })();
        field_errors.check(change)
    }
}

/// The schema of options.
fn options() -> Object {
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    ObjectBuilder::new()
        .property_names(Some(text().max_length(Some(32)).pattern(Some("^[^:]*$"))))
        .additional_properties(Some(text().max_length(Some(255))))
        .max_properties(Some(Options::COUNT_MAX))
        .description(Some(
            "The options of this variant, such as `{\"color\": \"red\"}`: at most 20, with names of 1 to 32 characters \
             without a colon, and values of 1 to 255. A change replaces all of them.",
        ))
        .build()
}

fn take_options(written: &BTreeMap<String, String>, field_errors: &mut FieldErrors) -> Option<Options> {
    let mut options = BTreeMap::new();
    for (name, value) in written {
        let mut pointer = "/options".to_owned();
        push_key(&mut pointer, name);
        let name = field_errors.take(pointer.clone(), option_name(name));
        let value = field_errors.take(pointer.clone(), OptionValue::parse(value));
        if let Some((name, value)) = name.zip(value)
            && options.insert(name, value).is_some()
        {
            field_errors.add(pointer, Reason::DuplicateKey);
        }
    }
    field_errors.take("/options", Options::try_from(options))
}

/// A name without a colon, which ends it in the filter `option=name:value`.
fn option_name(written: &str) -> Result<OptionName, Reason> {
    if written.contains(':') { Err(Reason::Invalid) } else { Ok(OptionName::parse(written)?) }
}

fn price(written: WrittenAmount, currency: Currency) -> Result<Price, Reason> {
    Ok(Price::try_from(written.in_currency(currency)?)?)
}
