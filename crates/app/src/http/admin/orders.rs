//! Orders of all users.

use actix_web::get;
use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;

use jangteo_domain::UserId;
use jangteo_domain::id::{OrderId, ProductId};
use jangteo_domain::order::{Order, OrderFilter, OrderStatus};
use jangteo_domain::page::Page;

use crate::http::api::orders::{OrderResponse, OrderStatusName};
use crate::http::deadline::Deadline;
use crate::http::extract::caller::Admin;
use crate::http::extract::page::{self, List, ListResponse};
use crate::http::extract::path::parse_uuid;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::problem::{FieldErrors, Problem, Reason};
use crate::http::state::AppState;
use crate::http::values::parse_time;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_all_orders);
}

/// List orders of all users
///
/// Returns the orders that match all filters, newest first.
#[utoipa::path(tag = "admin", params(AllOrdersQuery), responses((status = 200, body = ListResponse<OrderResponse>)))]
#[get("/orders")]
async fn list_all_orders(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<AllOrdersQuery>,
) -> Result<Json<ListResponse<OrderResponse>>, Problem> {
    let ApiQuery(query) = query;
    let filter = query.filter()?;
    let list = List::new(&state.cursor_keys, format!("all orders {filter:?}"));
    let page: Page<OrderId> = list.page(query.limit, query.cursor.as_deref())?;
    let orders = deadline.read(state.queries.orders.list(&filter, &page)).await?;
    let show = |order: &Order| OrderResponse::of(order, orders.now, state.rules.currency);
    Ok(Json(list.answer(page.limit, &orders.value, |order| order.id, show)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AllOrdersQuery {
    /// Status of the order; absent for orders in any status.
    #[param(inline)]
    status: Option<OrderStatusName>,
    /// Id of the user; absent for orders of all users.
    #[param(pattern = r"^[A-Za-z0-9_.:|@-]{1,64}$")]
    user_id: Option<String>,
    /// Id of a product in the order; absent for orders of all products.
    #[param(format = Uuid)]
    product_id: Option<String>,
    /// Earliest time of the order (RFC 3339), inclusive.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Latest time of the order (RFC 3339), exclusive.
    #[param(format = DateTime)]
    to: Option<String>,
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

impl AllOrdersQuery {
    pub fn filter(&self) -> Result<OrderFilter, Problem> {
        let mut field_errors = FieldErrors::default();
        let user_id = self.user_id.as_ref().map(|id| id.parse::<UserId>().map_err(|_| Reason::Invalid));
        let user_id = field_errors.take_optional("?user_id", user_id);
        let product_id =
            self.product_id.as_deref().map(|id| parse_uuid(id).map(ProductId::from).ok_or(Reason::Invalid));
        let product_id = field_errors.take_optional("?product_id", product_id);
        let from = field_errors.take_optional("?from", self.from.as_deref().map(parse_time));
        let to = field_errors.take_optional("?to", self.to.as_deref().map(parse_time));
        let status = self.status.map(OrderStatus::from);
        let filter =
            (|| Some(OrderFilter { user_id: user_id?, product_id: product_id?, status, from: from?, to: to? }))();
        field_errors.check_query(filter)
    }
}
