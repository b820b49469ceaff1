//! Problems in the document: their schema, and the responses of each code.

use std::collections::BTreeMap;

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{AllOfBuilder, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::http::respond::problem::{CONTENT_TYPE, Language, ProblemCode, ProblemResponse, ResponseMap};
use crate::http::values::{AmountText, Time};

const NAME: &str = "Problem";

/// Removes the declarations of problems; returns their codes.
pub fn take_codes(responses: &mut ResponseMap) -> Vec<ProblemCode> {
    let declared = ProblemCode::ALL.iter().filter(|code| responses.remove(code.kind().code).is_some());
    declared.copied().collect()
}

/// A response for each status of the codes; its description lists them.
pub fn responses(codes: Vec<ProblemCode>) -> ResponseMap {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for code in codes {
        let kind = code.kind();
        let line = format!("- `{}`: {}", kind.code, kind.detail.in_language(Language::English));
        lines.entry(kind.status.as_str().to_owned()).or_default().push(line);
    }
    let response = |lines: Vec<String>| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(NAME))).build();
        ResponseBuilder::new().description(lines.join("\n")).content(CONTENT_TYPE, content).build()
    };
    lines.into_iter().map(|(status, lines)| (status, response(lines).into())).collect()
}

/// The schema by its name, with the schemas that it refers to.
pub fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let problem = AllOfBuilder::new()
        .item(ProblemResponse::schema())
        .item(ProblemFields::schema())
        .description(Some("An error response (RFC 9457)."));
    let mut schemas = vec![(NAME.to_owned(), problem.into())];
    ProblemResponse::schemas(&mut schemas);
    ProblemFields::schemas(&mut schemas);
    schemas
}

/// The extension members, each of some codes. `docs/errors.md` lists them by code.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a schema for the document; problems add the values by name")]
struct ProblemFields {
    /// The currency of the amounts.
    #[schema(nullable = false)]
    currency: Option<String>,
    /// The maximum of a single top-up.
    #[schema(nullable = false)]
    top_up_max: Option<AmountText>,
    /// The balance at the time of the rejection.
    #[schema(nullable = false)]
    balance: Option<AmountText>,
    /// The maximum balance of an account.
    #[schema(nullable = false)]
    balance_max: Option<AmountText>,
    /// The points that the request would debit.
    #[schema(nullable = false)]
    required: Option<AmountText>,
    /// The expected order total.
    #[schema(nullable = false)]
    expected_total: Option<AmountText>,
    /// The actual order total.
    #[schema(nullable = false)]
    total: Option<AmountText>,
    #[schema(nullable = false)]
    product_id: Option<Uuid>,
    /// The SKU that `product_id` has.
    #[schema(nullable = false)]
    sku: Option<String>,
    /// The current version of the resource.
    #[schema(nullable = false)]
    version: Option<u64>,
    /// The lines with insufficient stock.
    #[schema(nullable = false)]
    shortages: Option<Vec<Shortage>>,
    /// The quantity that the request would refund.
    #[schema(nullable = false)]
    requested: Option<u32>,
    /// The quantity not refunded yet.
    #[schema(nullable = false)]
    refundable: Option<u32>,
    /// The number of coupons of the campaign.
    #[schema(nullable = false)]
    quantity: Option<u32>,
    #[schema(nullable = false)]
    issue_opens_at: Option<Time>,
    #[schema(nullable = false)]
    issue_closes_at: Option<Time>,
    #[schema(nullable = false)]
    coupon_id: Option<Uuid>,
    /// The reason why the coupon cannot be used: `USED`, `REVOKED`, `EXPIRED`, `MIN_ORDER_NOT_MET`.
    #[schema(nullable = false)]
    reason: Option<String>,
    /// The maximum number of unpaid orders of a user.
    #[schema(nullable = false)]
    open_orders_max: Option<u32>,
    /// The maximum number of orders that a user places in a day and does not pay.
    #[schema(nullable = false)]
    unpaid_orders_max: Option<u32>,
    /// The items that the user's unpaid orders reserve.
    #[schema(nullable = false)]
    reserved: Option<u64>,
    /// The items of the order.
    #[schema(nullable = false)]
    requested_quantity: Option<u64>,
    /// The maximum number of items that the unpaid orders of a user reserve.
    #[schema(nullable = false)]
    reserved_quantity_max: Option<u32>,
    /// The running verification.
    #[schema(nullable = false)]
    verification_id: Option<Uuid>,
    /// The maximum number of lines.
    #[schema(nullable = false)]
    lines_max: Option<u32>,
    /// The maximum quantity of a line.
    #[schema(nullable = false)]
    quantity_max: Option<u32>,
}

/// A line with insufficient stock.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a schema for the document; problems add the values by name")]
struct Shortage {
    product_id: Uuid,
    requested: u32,
    available: u64,
}
