//! Quotes: the price of an order, without side effects.

use actix_web::post;
use actix_web::web::{self, Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::coupon::{Coupon, CouponChoice, CouponFilter, CouponQueries};
use jangteo_domain::id::{CouponId, ProductId};
use jangteo_domain::page::Page;
use jangteo_domain::quote::{Quote, QuotedCoupon, QuotedLine};
use jangteo_domain::{Currency, StoreError, UserId};

use crate::http::api::orders::{OrderLineRequest, check_lines};
use crate::http::api::payments::{check_coupon, coupon_choice};
use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, Nothing, Strict};
use crate::http::extract::caller::SignedIn;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::problem::{
    FieldErrors, Problem, documented as code, not_usable_reason, problem_of_rejection,
};
use crate::http::routes::unmatched;
use crate::http::state::AppState;
use crate::http::values::AmountText;

pub fn routes(config: &mut ServiceConfig<'_>) {
    // Other methods would reach the order of the id `quote`.
    config.service(quote_order).route("/orders/quote", web::route().to(unmatched));
}

/// Quote an order
///
/// Returns the current price, with the discount of each of the caller's coupons or the reason why it does not apply: of the
/// coupon `coupon_id` too, without which the price is then the full one.
/// Changes nothing, so it neither needs nor stores an `Idempotency-Key`.
#[utoipa::path(
    tag = "orders",
    request_body = QuoteRequest,
    responses(
        (status = 200, body = QuoteResponse),
        code::EmptyOrder,
        code::InvalidQuantity,
        code::ProductNotFound,
        code::ProductNotOnSale,
        code::CouponNotFound,
    ),
)]
#[post("/orders/quote")]
async fn quote_order(
    state: Data<AppState>,
    caller: SignedIn,
    _query: ApiQuery<Nothing>,
    deadline: Deadline,
    body: Body<QuoteRequest>,
) -> Result<Json<QuoteResponse>, Problem> {
    let SignedIn(caller) = caller;
    let choice = check_coupon(body.value.coupon_id.as_deref())?;
    let mut field_errors = FieldErrors::default();
    let lines = check_lines(&body.value.lines, state.rules.line_limits(), &mut field_errors)?;
    let lines = field_errors.check(lines)?;

    let product_ids: Vec<ProductId> = lines.product_ids().collect();
    let listings = deadline.read(state.queries.products.find_many(&product_ids)).await?;
    let mut coupons = deadline.read(state.queries.coupons.unused(&caller.user_id)).await?;
    if let CouponChoice::Named(id) = choice
        && !coupons.value.iter().any(|coupon| coupon.id == id)
    {
        coupons.value.extend(deadline.read(find_coupon(&*state.queries.coupons, &caller.user_id, id)).await?);
    }
    let quote = Quote::new(&lines, &listings, &coupons.value, choice, &state.rules, coupons.now);
    let currency = state.rules.currency;
    let quote = quote.map_err(|rejection| problem_of_rejection(&rejection, currency))?;
    Ok(Json(QuoteResponse::of(&quote, currency)))
}

/// A user's coupon in any state, for the reason why it does not apply: the first row of the list after the next higher
/// id.
async fn find_coupon(
    queries: &dyn CouponQueries,
    user_id: &UserId,
    id: CouponId,
) -> Result<Option<Coupon>, StoreError> {
    let next_id = id.uuid().as_u128().checked_add(1).map(|next| CouponId::from(Uuid::from_u128(next)));
    let page = Page { after: next_id, limit: 1 };
    let found = queries.coupons(user_id, CouponFilter::All, &page).await?;
    Ok(found.value.into_iter().find(|coupon| coupon.id == id))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// The lines; lines of the same product are added up.
    #[schema(value_type = Vec<OrderLineRequest>, min_items = 1)]
    lines: Vec<Strict<OrderLineRequest>>,
    /// Id of a coupon, or `best` for the usable coupon with the largest discount.
    #[schema(schema_with = coupon_choice)]
    coupon_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct QuoteResponse {
    lines: Vec<QuotedLineResponse>,
    /// The sum of the lines, before the discount.
    total: AmountText,
    /// The discount of the applied coupon.
    discount: AmountText,
    /// The points to debit: `total` less `discount`.
    amount: AmountText,
    currency: &'static str,
    /// The coupon of `discount`; absent if none is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    coupon_id: Option<Uuid>,
    /// The caller's coupons, each with its discount or the reason why it does not apply.
    coupons: Vec<QuotedCouponResponse>,
}

impl QuoteResponse {
    fn of(quote: &Quote, currency: Currency) -> Self {
        Self {
            lines: quote.lines.iter().map(|line| QuotedLineResponse::of(line, currency)).collect(),
            total: AmountText::of(quote.total, currency),
            discount: AmountText::of(quote.discount, currency),
            amount: AmountText::of(quote.amount, currency),
            currency: currency.code(),
            coupon_id: quote.coupon_id.map(|id| id.uuid()),
            coupons: quote.coupons.iter().map(|coupon| QuotedCouponResponse::of(coupon, currency)).collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct QuotedLineResponse {
    product_id: Uuid,
    name: String,
    quantity: u32,
    unit_price: AmountText,
    line_total: AmountText,
    /// The share of the line in the discount.
    discount_share: AmountText,
    /// The quantity in stock; below `quantity` the order would be rejected.
    available: u64,
}

impl QuotedLineResponse {
    fn of(line: &QuotedLine, currency: Currency) -> Self {
        Self {
            product_id: line.product_id.uuid(),
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: AmountText::of(line.unit_price, currency),
            line_total: AmountText::of(line.line_total, currency),
            discount_share: AmountText::of(line.discount_share, currency),
            available: line.available,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct QuotedCouponResponse {
    coupon_id: Uuid,
    name: String,
    /// Whether the quote applies this coupon.
    applied: bool,
    /// The discount, where the coupon applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    discount: Option<AmountText>,
    /// The reason why the coupon does not apply: `USED`, `REVOKED`, `EXPIRED`, `MIN_ORDER_NOT_MET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
}

impl QuotedCouponResponse {
    fn of(quoted: &QuotedCoupon, currency: Currency) -> Self {
        Self {
            coupon_id: quoted.coupon.id.uuid(),
            name: quoted.coupon.terms.name.as_str().to_owned(),
            applied: quoted.is_applied,
            discount: quoted.discount.ok().map(|discount| AmountText::of(discount, currency)),
            reason: quoted.discount.err().map(not_usable_reason),
        }
    }
}
