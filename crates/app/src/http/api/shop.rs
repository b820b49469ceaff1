use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::extract::body::Nothing;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::cached_response::{CacheControl, CachedResponse};
use crate::http::respond::problem::Problem;
use crate::http::state::{AppState, ShopSettings};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show_shop);
}

/// Show the shop
///
/// Returns the settings that a page for its customers or its back office needs. They change with a restart only.
#[utoipa::path(
    tag = "operation",
    security((), ("bearer" = [])),
    responses((status = 200, body = ShopResponse), (status = 304)),
)]
#[get("/shop")]
async fn show_shop(
    state: Data<AppState>,
    _query: ApiQuery<Nothing>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let ShopSettings { name, time_zone, is_demo } = state.shop.clone();
    let time_zone = time_zone.name().to_owned();
    let currency = state.rules.currency.code();
    let shop = ShopResponse { name, currency, time_zone, dev: is_demo };
    Ok(CachedResponse::of(&shop).respond(&request, CacheControl::Revalidate).await)
}

#[derive(Serialize, ToSchema)]
struct ShopResponse {
    /// Absent without `SHOP_NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// The currency of every amount, an ISO 4217 code.
    currency: &'static str,
    /// The time zone of the shop's days, an IANA name.
    time_zone: String,
    /// Whether this is the demo of `serve --dev`.
    dev: bool,
}
