//! Products: create, change, put by SKU, and list in all states.

use actix_web::web::{self, Data, Json};
use actix_web::{HttpResponse, get, patch, post, put};
use utoipa_actix_web::service_config::ServiceConfig;

use jangteo_domain::Command;
use jangteo_domain::command::{ChangeProduct, CreateProduct};
use jangteo_domain::id::ProductId;

use crate::http::api::products::{AllProductsQuery, ProductList, ProductResponse};
use crate::http::deadline::Deadline;
use crate::http::extract::body::Body;
use crate::http::extract::caller::Admin;
use crate::http::extract::if_match::IfMatch;
use crate::http::extract::page::ListResponse;
use crate::http::extract::path::{ApiPath, SkuInPath};
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{Problem, documented as code};
use crate::http::routes::unmatched;
use crate::http::state::AppState;

pub mod bulk;
mod export;
mod requests;

pub use requests::{ChangeProductRequest, CreateProductRequest, PutProductRequest};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(create_product).service(list_all_products).service(put_product);
    // Other methods would reach the product of the id `bulk` or `export`.
    config.service(bulk::put_products).route("/products/bulk", web::route().to(unmatched));
    config.service(export::export_products).route("/products/export", web::route().to(unmatched));
    config.service(change_product);
}

/// Create a product
///
/// The stock of a new product is 0; add to it by a stock movement.
#[utoipa::path(
    tag = "admin",
    request_body = CreateProductRequest,
    responses((status = 201, body = ProductResponse), code::AmountTooPrecise, code::SkuTaken),
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
/// Returns hidden and discontinued products too, uncached. Filters and sort orders are those of the public list, and
/// `max_available`.
#[utoipa::path(
    tag = "admin",
    params(AllProductsQuery),
    responses((status = 200, body = ListResponse<ProductResponse>)),
)]
#[get("/products")]
async fn list_all_products(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<AllProductsQuery>,
) -> Result<Json<ListResponse<ProductResponse>>, Problem> {
    let max_available = query.0.max_available;
    let list = ProductList::restricted(query.0.into(), &state, |filter| {
        filter.all_states = true;
        filter.max_available = max_available;
    })?;
    Ok(Json(deadline.read(list.read(&state)).await?))
}

/// Change a product
///
/// Changes the fields in the body; absent ones are unchanged. Existing orders are unaffected. With `If-Match`, the change is
/// rejected unless the product has that version.
#[utoipa::path(
    tag = "admin",
    params(
        ("product_id" = uuid::Uuid, Path, description = "Id of the product"),
        ("If-Match" = Option<String>, Header, description = "The `version` that the caller has seen, in quotes: `\"3\"`; \
            or `*`", example = json!("\"1\"")),
    ),
    request_body = ChangeProductRequest,
    responses(
        (status = 200, body = ProductResponse),
        code::AmountTooPrecise,
        code::InvalidIfMatch,
        code::ProductNotFound,
        code::SkuTaken,
        code::PreconditionFailed,
    ),
)]
#[patch("/products/{product_id}")]
async fn change_product(
    _admin: Admin,
    write: Write,
    product_id: ApiPath<ProductId>,
    condition: IfMatch,
    body: Body<ChangeProductRequest>,
) -> Result<HttpResponse, Problem> {
    let change = body.value.change(write.state.rules.currency)?;
    let expected_version = condition.version();
    let command = ChangeProduct { product_id: product_id.0, expected_version, change };
    write.run_if(&condition, &body, Command::ChangeProduct(command)).await
}

/// Put a product by SKU
///
/// Creates the product of the SKU, with its stock, or replaces the details of the existing one; an absent `status` and the
/// stock are unchanged then. A repetition changes nothing.
#[utoipa::path(
    tag = "admin",
    params(("sku" = String, Path, description = "SKU of the product, 1 to 64 characters", example = "MUG-RED")),
    request_body = PutProductRequest,
    responses(
        (status = 200, body = ProductResponse),
        (status = 201, body = ProductResponse),
        code::AmountTooPrecise,
    ),
)]
#[put("/products/by-sku/{sku}")]
async fn put_product(
    _admin: Admin,
    write: Write,
    sku: SkuInPath,
    body: Body<PutProductRequest>,
) -> Result<HttpResponse, Problem> {
    let command = body.value.command(sku.0, write.state.rules.currency)?;
    write.run(&body, Command::PutProduct(command)).await
}
