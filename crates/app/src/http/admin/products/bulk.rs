use actix_web::post;
use actix_web::web::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use jangteo_domain::Currency;

use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, Strict};
use crate::http::extract::caller::Admin;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldError, Language, Problem, ProblemCode, Reason, problem_of_rejection};
use crate::import::plan::{Effect, effect_of, plan};
use crate::import::row::ProductRow;

/// The maximum number of rows of a call, and the maximum size of its body, in bytes.
const ROWS_MAX: usize = 100;
const BYTES_MAX: usize = 1 << 20;

/// Put many products
///
/// Creates or changes up to 100 products by SKU, each row by itself: a rejected row affects no other, and a repetition
/// changes nothing, so an `Idempotency-Key` is accepted and has no effect. A row that agrees with the catalog writes
/// nothing. After a problem of the whole call, some rows may have been executed: repeat it. `dry_run` returns the results
/// and changes nothing.
#[utoipa::path(
    tag = "admin",
    request_body = BulkRequest,
    responses((status = 200, body = BulkResponse)),
)]
#[post("/products/bulk")]
pub async fn put_products(
    _admin: Admin,
    write: Write,
    deadline: Deadline,
    body: Body<BulkRequest, BYTES_MAX>,
) -> Result<Json<BulkResponse>, Problem> {
    let BulkRequest { dry_run, products } = body.value;
    let reason = match products.len() {
        0 => Some(Reason::Empty),
        1..=ROWS_MAX => None,
        _ => Some(Reason::TooMany),
    };
    if let Some(reason) = reason {
        return Err(Problem::of_fields(vec![FieldError { pointer: "/products".to_owned(), reason }]));
    }
    let currency = write.state.rules.currency;
    let checked = products.iter().map(|Strict(row)| row.check(currency)).collect();
    let mut planned = deadline.read(plan(checked, &*write.state.queries.products)).await?;
    if !dry_run {
        let (places, commands): (Vec<usize>, Vec<_>) =
            planned.iter_mut().enumerate().filter_map(|(place, row)| Some((place, row.command.take()?))).unzip();
        for (place, outcome) in places.into_iter().zip(write.decide_each(commands).await?) {
            planned[place].effect = effect_of(outcome);
        }
    }
    let language = write.language();
    let rows = (0..).zip(products.iter().zip(planned));
    let results = rows
        .map(|(index, (Strict(row), planned))| BulkResultResponse::of(index, row, planned.effect, currency, language));
    Ok(Json(BulkResponse::of(dry_run, results.collect())))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// Only compares the rows with the catalog.
    #[serde(default)]
    dry_run: bool,
    #[schema(value_type = Vec<ProductRow>, min_items = 1, max_items = 100)]
    products: Vec<Strict<ProductRow>>,
}

#[derive(Serialize, ToSchema)]
pub struct BulkResponse {
    dry_run: bool,
    created: usize,
    changed: usize,
    unchanged: usize,
    rejected: usize,
    /// One of each row, in their order.
    results: Vec<BulkResultResponse>,
}

impl BulkResponse {
    fn of(dry_run: bool, results: Vec<BulkResultResponse>) -> Self {
        let count = |outcome| results.iter().filter(|result| result.outcome == outcome).count();
        Self {
            dry_run,
            created: count(BulkOutcome::Created),
            changed: count(BulkOutcome::Changed),
            unchanged: count(BulkOutcome::Unchanged),
            rejected: count(BulkOutcome::Rejected),
            results,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct BulkResultResponse {
    /// The position of the row, from 0.
    index: usize,
    /// As in the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sku: Option<String>,
    /// The product; absent for a rejected row, and for a new product of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    product_id: Option<Uuid>,
    outcome: BulkOutcome,
    /// The problem of a rejected row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<ProblemCode>)]
    code: Option<&'static str>,
    /// The cause and the remedy, in English or Korean.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    detail: Option<&'static str>,
    /// The invalid fields, with pointers into the row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BulkOutcome {
    Created,
    Changed,
    Unchanged,
    Rejected,
}

impl BulkResultResponse {
    fn of(index: usize, row: &ProductRow, effect: Effect, currency: Currency, language: Language) -> Self {
        let (sku, written_id) = row.echo();
        let result = |outcome, product_id| Self {
            index,
            sku: sku.clone(),
            product_id,
            outcome,
            code: None,
            detail: None,
            errors: Vec::new(),
        };
        let rejected = |code: ProblemCode, errors| {
            let kind = code.kind();
            let (code, detail) = (Some(kind.code), Some(kind.detail.in_language(language)));
            Self { code, detail, errors, ..result(BulkOutcome::Rejected, written_id) }
        };
        match effect {
            Effect::Created(id) => result(BulkOutcome::Created, id.map(|id| id.uuid())),
            Effect::Changed(id) => result(BulkOutcome::Changed, Some(id.uuid())),
            Effect::Unchanged(id) => result(BulkOutcome::Unchanged, Some(id.uuid())),
            Effect::Rejected(rejection) => rejected(problem_of_rejection(&rejection, currency).code(), Vec::new()),
            Effect::Invalid(errors) => {
                let code = errors.first().map_or(ProblemCode::InvalidBody, |error| error.reason.code());
                rejected(code, errors)
            }
        }
    }
}
