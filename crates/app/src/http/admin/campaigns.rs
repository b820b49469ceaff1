//! Coupon campaigns, as the back office makes them, and coupons that it takes back.

use actix_web::{HttpResponse, patch, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use jangteo_domain::command::{ChangeCampaign, CreateCampaign, RevokeCoupon};
use jangteo_domain::coupon::{
    CampaignDetails, CampaignName, CampaignPlan, CouponTerms, Discount, InvalidCampaign, Percent, Validity,
};
use jangteo_domain::id::{CampaignId, CouponId};
use jangteo_domain::money::PositiveMoney;
use jangteo_domain::{Command, Currency, Timestamp};

use crate::http::api::coupons::{CampaignResponse, CouponResponse};
use crate::http::extract::body::{Body, Nothing, Strict};
use crate::http::extract::caller::Admin;
use crate::http::extract::path::ApiPath;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, Reason};
use crate::http::values::{WrittenAmount, parse_time};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(create_campaign).service(change_campaign).service(revoke_coupon);
}

/// Make a coupon campaign
#[utoipa::path(
    tag = "admin",
    request_body = CreateCampaignRequest,
    responses((status = 201, body = CampaignResponse)),
)]
#[post("/coupon-campaigns")]
async fn create_campaign(
    _admin: Admin,
    write: Write,
    body: Body<CreateCampaignRequest>,
) -> Result<HttpResponse, Problem> {
    let plan = body.value.plan(write.state.rules.currency)?;
    let command = CreateCampaign { campaign_id: CampaignId::next(&*write.state.ids), plan };
    write.run(&body, Command::CreateCampaign(command)).await
}

/// Raise a campaign's quantity, or close it earlier
#[utoipa::path(
    tag = "admin",
    params(("campaign_id" = Uuid, Path, description = "The campaign")),
    request_body = ChangeCampaignRequest,
    responses(
        (status = 200, body = CampaignResponse),
        (status = 404, description = "`CAMPAIGN_NOT_FOUND`"),
        (status = 409, description = "`CAMPAIGN_QUANTITY_LOWERED`, `CAMPAIGN_CLOSING_POSTPONED`"),
    ),
)]
#[patch("/coupon-campaigns/{campaign_id}")]
async fn change_campaign(
    _admin: Admin,
    write: Write,
    campaign_id: ApiPath<CampaignId>,
    body: Body<ChangeCampaignRequest>,
) -> Result<HttpResponse, Problem> {
    let issue_closes_at = body.value.issue_closes_at()?;
    let command = ChangeCampaign { campaign_id: campaign_id.0, quantity: body.value.quantity, issue_closes_at };
    write.run(&body, Command::ChangeCampaign(command)).await
}

/// Take a coupon back
#[utoipa::path(
    tag = "admin",
    params(("coupon_id" = Uuid, Path, description = "The coupon")),
    responses(
        (status = 200, body = CouponResponse),
        (status = 404, description = "`COUPON_NOT_FOUND`"),
        (status = 409, description = "`COUPON_NOT_USABLE` with `reason`"),
    ),
)]
#[post("/coupons/{coupon_id}/revocation")]
async fn revoke_coupon(
    _admin: Admin,
    write: Write,
    coupon_id: ApiPath<CouponId>,
    body: Body<Nothing>,
) -> Result<HttpResponse, Problem> {
    write.run(&body, Command::RevokeCoupon(RevokeCoupon { coupon_id: coupon_id.0 })).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateCampaignRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(value_type = DiscountShape)]
    discount: Strict<DiscountRequest>,
    /// The least total that its coupons apply to.
    min_order_amount: Option<WrittenAmount>,
    /// How many coupons there are.
    #[schema(minimum = 1)]
    quantity: u32,
    #[schema(format = DateTime)]
    issue_opens_at: String,
    #[schema(format = DateTime)]
    issue_closes_at: String,
    /// Until when its coupons can be used. Either this or `valid_days`.
    #[schema(format = DateTime)]
    valid_until: Option<String>,
    /// How many times 24 hours from its issue a coupon can be used.
    #[schema(minimum = 1, maximum = 3650)]
    valid_days: Option<u16>,
}

impl CreateCampaignRequest {
    fn plan(&self, currency: Currency) -> Result<CampaignPlan, Problem> {
        let mut field_errors = FieldErrors::default();
        let name = field_errors.take("/name", CampaignName::try_from(self.name.clone()));
        let discount = self.discount.0.discount(currency, &mut field_errors);
        let minimum = self.min_order_amount.map(|written| positive(written, currency));
        let min_order_amount = field_errors.take_optional("/min_order_amount", minimum);
        let issue_opens_at = field_errors.take("/issue_opens_at", parse_time(&self.issue_opens_at));
        let issue_closes_at = field_errors.take("/issue_closes_at", parse_time(&self.issue_closes_at));
        let validity = self.validity(&mut field_errors);
        let details = (|| {
            Some(CampaignDetails {
                terms: CouponTerms { name: name?, discount: discount?, min_order_amount: min_order_amount? },
                quantity: self.quantity,
                issue_opens_at: issue_opens_at?,
                issue_closes_at: issue_closes_at?,
                validity: validity?,
            })
        })();
        let plan = details.and_then(|details| match CampaignPlan::try_from(details) {
            Ok(plan) => Some(plan),
            Err(invalid) => field_errors.take(pointer_of(invalid), Err(invalid)),
        });
        field_errors.check(plan)
    }

    fn validity(&self, field_errors: &mut FieldErrors) -> Option<Validity> {
        match (&self.valid_until, self.valid_days) {
            (Some(time), None) => field_errors.take("/valid_until", parse_time(time)).map(Validity::Until),
            (None, Some(days)) => Some(Validity::Days(days)),
            (Some(_), Some(_)) => field_errors.take("/valid_days", Err(Reason::Contradictory)),
            (None, None) => field_errors.take("/valid_until", Err(Reason::Missing)),
        }
    }
}

/// The field that makes the campaign invalid.
fn pointer_of(invalid: InvalidCampaign) -> &'static str {
    match invalid {
        InvalidCampaign::NoCoupons => "/quantity",
        InvalidCampaign::ClosesBeforeItOpens => "/issue_closes_at",
        InvalidCampaign::ValidDays => "/valid_days",
    }
}

/// A discount with whatever members it was written with, so that each of them that is wrong can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscountRequest {
    kind: DiscountKindName,
    amount: Option<WrittenAmount>,
    percent: Option<u8>,
    cap: Option<WrittenAmount>,
}

/// What its coupons take off.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = DiscountRequest)]
#[expect(dead_code, reason = "a shape for the document: what it allows is what `DiscountRequest::discount` takes")]
enum DiscountShape {
    /// A fixed amount.
    Fixed {
        /// How much.
        amount: WrittenAmount,
    },
    /// A share of the order's total.
    Percent {
        /// The share of a hundred.
        #[schema(minimum = 1, maximum = 100)]
        percent: u8,
        /// The most that it takes off.
        cap: Option<WrittenAmount>,
    },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DiscountKindName {
    Fixed,
    Percent,
}

impl DiscountRequest {
    fn discount(&self, currency: Currency, field_errors: &mut FieldErrors) -> Option<Discount> {
        match self.kind {
            DiscountKindName::Fixed => {
                let unwanted = [("percent", self.percent.is_some()), ("cap", self.cap.is_some())];
                reject_unwanted(unwanted, field_errors);
                let amount = self.amount.ok_or(Reason::Missing).and_then(|amount| positive(amount, currency));
                field_errors.take("/discount/amount", amount).map(|amount| Discount::Fixed { amount })
            }
            DiscountKindName::Percent => {
                reject_unwanted([("amount", self.amount.is_some())], field_errors);
                let percent = self.percent.ok_or(Reason::Missing).and_then(|percent| Ok(Percent::try_from(percent)?));
                let percent = field_errors.take("/discount/percent", percent);
                let cap = field_errors.take_optional("/discount/cap", self.cap.map(|cap| positive(cap, currency)));
                percent.zip(cap).map(|(percent, cap)| Discount::Percent { percent, cap })
            }
        }
    }
}

fn reject_unwanted<const N: usize>(fields: [(&str, bool); N], field_errors: &mut FieldErrors) {
    for (name, _) in fields.iter().filter(|(_, present)| *present) {
        field_errors.add(format!("/discount/{name}"), Reason::Contradictory);
    }
}

fn positive(written: WrittenAmount, currency: Currency) -> Result<PositiveMoney, Reason> {
    Ok(PositiveMoney::try_from(written.in_currency(currency)?)?)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeCampaignRequest {
    /// How many coupons there shall be; at least as many as now.
    quantity: Option<u32>,
    /// When issuing shall close; not later than now planned.
    #[schema(format = DateTime)]
    issue_closes_at: Option<String>,
}

impl ChangeCampaignRequest {
    fn issue_closes_at(&self) -> Result<Option<Timestamp>, Problem> {
        let mut field_errors = FieldErrors::default();
        let time = field_errors.take_optional("/issue_closes_at", self.issue_closes_at.as_deref().map(parse_time));
        field_errors.check(time)
    }
}
