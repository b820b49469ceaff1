use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::Command;
use jangteo_domain::command::AdjustStock;
use jangteo_domain::id::ProductId;
use jangteo_domain::page::Page;
use jangteo_domain::stock::{MovementKind, MovementReason, StockMovement};

use crate::http::deadline::Deadline;
use crate::http::extract::body::Body;
use crate::http::extract::caller::Admin;
use crate::http::extract::page::{List, ListResponse, PageQuery};
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, ProblemCode, Reason, documented as code};
use crate::http::state::AppState;
use crate::http::values::Time;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(adjust_stock).service(list_stock_movements);
}

/// Adjust a stock
///
/// Adds a quantity to the stock of a product, or removes it. The stock never falls below 0.
#[utoipa::path(
    tag = "admin",
    params(("product_id" = Uuid, Path, description = "Id of the product")),
    request_body = AdjustStockRequest,
    responses(
        (status = 201, body = StockMovementResponse),
        code::ProductNotFound,
        code::OutOfStock,
        code::StockLimitExceeded,
    ),
)]
#[post("/products/{product_id}/stock-movements")]
async fn adjust_stock(
    _admin: Admin,
    write: Write,
    product_id: ApiPath<ProductId>,
    body: Body<AdjustStockRequest>,
) -> Result<HttpResponse, Problem> {
    let (quantity, reason) = body.value.check()?;
    let command = AdjustStock { product_id: product_id.0, quantity, reason };
    write.run(&body, Command::AdjustStock(command)).await
}

/// List stock movements
///
/// Returns the stock movements of a product, newest first: adjustments, reservations, and returns.
#[utoipa::path(
    tag = "admin",
    params(("product_id" = Uuid, Path, description = "Id of the product"), PageQuery),
    responses((status = 200, body = ListResponse<StockMovementResponse>), code::ProductNotFound),
)]
#[get("/products/{product_id}/stock-movements")]
async fn list_stock_movements(
    _admin: Admin,
    state: Data<AppState>,
    product_id: ApiPath<ProductId>,
    deadline: Deadline,
    query: ApiQuery<PageQuery>,
) -> Result<Json<ListResponse<StockMovementResponse>>, Problem> {
    let ApiPath(product_id) = product_id;
    let ApiQuery(PageQuery { limit, cursor }) = query;
    let list = List::new(&state.cursor_keys, format!("stock movements of {product_id}"));
    let page: Page<u64> = list.page(limit, cursor.as_deref())?;
    let movements = deadline.read(state.queries.stocks.movements(product_id, &page)).await?;
    if movements.is_empty() && deadline.read(state.queries.products.find(product_id)).await?.is_none() {
        return Err(Problem::new(ProblemCode::ProductNotFound).with("product_id", product_id.to_string()));
    }
    Ok(Json(list.answer(page.limit, &movements, |movement| movement.sequence, StockMovementResponse::of)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustStockRequest {
    /// Positive to add, negative to remove; not zero.
    #[schema(minimum = -2_147_483_648_i64, maximum = 2_147_483_647_i64)]
    quantity: i64,
    /// The reason, for the audit log.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

impl AdjustStockRequest {
    pub fn check(&self) -> Result<(i32, MovementReason), Problem> {
        let mut field_errors = FieldErrors::default();
        let quantity = i32::try_from(self.quantity).ok().filter(|quantity| *quantity != 0);
        let quantity = field_errors.take("/quantity", quantity.ok_or(Reason::OutOfRange));
        let reason = field_errors.take("/reason", MovementReason::parse(&self.reason));
        field_errors.check(quantity.zip(reason))
    }
}

#[derive(Serialize, ToSchema)]
pub struct StockMovementResponse {
    movement_id: Uuid,
    product_id: Uuid,
    /// Positive into the stock, negative out of it.
    quantity: i64,
    /// The stock after the movement.
    available_after: u64,
    kind: MovementKindName,
    /// The order of a reservation or return.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    order_id: Option<Uuid>,
    /// The reason given with an adjustment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    created_at: Time,
}

impl StockMovementResponse {
    pub fn of(movement: &StockMovement) -> Self {
        Self {
            movement_id: movement.id.uuid(),
            product_id: movement.product_id.uuid(),
            quantity: movement.quantity,
            available_after: movement.available_after,
            kind: movement.kind.into(),
            order_id: movement.order_id.map(|id| id.uuid()),
            reason: movement.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            created_at: movement.at.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MovementKindName {
    Adjustment,
    Reservation,
    Expiry,
    Cancellation,
    Refund,
}

impl From<MovementKind> for MovementKindName {
    fn from(kind: MovementKind) -> Self {
        match kind {
            MovementKind::Adjustment => Self::Adjustment,
            MovementKind::Reservation => Self::Reservation,
            MovementKind::Expiry => Self::Expiry,
            MovementKind::Cancellation => Self::Cancellation,
            MovementKind::Refund => Self::Refund,
        }
    }
}
