//! The schema of problems: what all of them have, and what their codes carry beside.

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{AllOfBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::http::respond::problem::ProblemResponse;
use crate::http::values::{AmountText, Time};

/// The name of the schema.
pub const NAME: &str = "Problem";

/// The schema, by its name, with those that it refers to.
pub fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let problem = AllOfBuilder::new()
        .item(ProblemResponse::schema())
        .item(ProblemFields::schema())
        .description(Some("An error, in the form of RFC 9457."));
    let mut schemas = vec![(NAME.to_owned(), problem.into())];
    ProblemResponse::schemas(&mut schemas);
    ProblemFields::schemas(&mut schemas);
    schemas
}

/// What codes carry beside; each those that `docs/errors.md` says.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a shape for the document: the values are added by name where a problem is made")]
struct ProblemFields {
    /// The currency of the amounts.
    #[schema(nullable = false)]
    currency: Option<String>,
    /// The most that can be topped up at once.
    #[schema(nullable = false)]
    top_up_max: Option<AmountText>,
    /// The points that are there.
    #[schema(nullable = false)]
    balance: Option<AmountText>,
    /// The most points that an account can have.
    #[schema(nullable = false)]
    balance_max: Option<AmountText>,
    /// The points that are needed.
    #[schema(nullable = false)]
    required: Option<AmountText>,
    /// What the order was expected to cost.
    #[schema(nullable = false)]
    expected_total: Option<AmountText>,
    /// What the order costs.
    #[schema(nullable = false)]
    total: Option<AmountText>,
    #[schema(nullable = false)]
    product_id: Option<Uuid>,
    /// The lines that are short.
    #[schema(nullable = false)]
    shortages: Option<Vec<Shortage>>,
    /// The pieces that were asked for.
    #[schema(nullable = false)]
    requested: Option<u32>,
    /// The pieces that can still be refunded.
    #[schema(nullable = false)]
    refundable: Option<u32>,
    /// How many coupons the campaign has.
    #[schema(nullable = false)]
    quantity: Option<u32>,
    #[schema(nullable = false)]
    issue_opens_at: Option<Time>,
    #[schema(nullable = false)]
    issue_closes_at: Option<Time>,
    #[schema(nullable = false)]
    coupon_id: Option<Uuid>,
    /// Why the coupon does not apply: `USED`, `REVOKED`, `EXPIRED`, `MIN_ORDER_NOT_MET`.
    #[schema(nullable = false)]
    reason: Option<String>,
    /// How many unpaid orders a user can have.
    #[schema(nullable = false)]
    open_orders_max: Option<u32>,
    /// How many lines an order can have.
    #[schema(nullable = false)]
    lines_max: Option<u32>,
    /// How many pieces a line can have.
    #[schema(nullable = false)]
    quantity_max: Option<u32>,
}

/// A line that asked for more than there is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a shape for the document: the values are added by name where a problem is made")]
struct Shortage {
    product_id: Uuid,
    requested: u32,
    available: u32,
}
