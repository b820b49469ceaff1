//! Coupon campaigns: create, change; and coupons: revoke.

use actix_web::{HttpResponse, patch, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use jangteo_domain::command::{ChangeCampaign, CreateCampaign, RevokeCoupon};
use jangteo_domain::coupon::{
    CampaignChange, CampaignDetails, CampaignName, CampaignPlan, CouponTerms, Discount, Percent, Validity,
};
use jangteo_domain::id::{CampaignId, CouponId};
use jangteo_domain::money::PositiveMoney;
use jangteo_domain::{Command, Currency};

use crate::http::api::coupons::{CampaignResponse, CouponResponse};
use crate::http::extract::body::{Body, Nothing, Strict, present};
use crate::http::extract::caller::Admin;
use crate::http::extract::path::ApiPath;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, Reason, documented as code, pointer_of_campaign};
use crate::http::values::{WrittenAmount, parse_time};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(create_campaign).service(change_campaign).service(revoke_coupon);
}

/// Create a coupon campaign
///
/// The terms of issued coupons never change. Set either `valid_until` or `valid_days`.
#[utoipa::path(
    tag = "admin",
    request_body = CreateCampaignRequest,
    responses((status = 201, body = CampaignResponse), code::AmountNotPositive, code::AmountTooPrecise),
)]
#[post("/coupon-campaigns")]
async fn create_campaign(
    _admin: Admin,
    write: Write,
    body: Body<CreateCampaignRequest>,
) -> Result<HttpResponse, Problem> {
    let plan = body.value.plan(write.state.rules.currency)?;
    write.run(&body, Command::CreateCampaign(CreateCampaign { plan })).await
}

/// Change a coupon campaign
///
/// Renames the campaign, raises the quantity, or brings the closing time forward; absent fields are unchanged.
#[utoipa::path(
    tag = "admin",
    params(("campaign_id" = Uuid, Path, description = "Id of the campaign")),
    request_body = ChangeCampaignRequest,
    responses(
        (status = 200, body = CampaignResponse),
        code::CampaignNotFound,
        code::CampaignQuantityLowered,
        code::CampaignClosingPostponed,
    ),
)]
#[patch("/coupon-campaigns/{campaign_id}")]
async fn change_campaign(
    _admin: Admin,
    write: Write,
    campaign_id: ApiPath<CampaignId>,
    body: Body<ChangeCampaignRequest>,
) -> Result<HttpResponse, Problem> {
    let command = ChangeCampaign { campaign_id: campaign_id.0, change: body.value.change()? };
    write.run(&body, Command::ChangeCampaign(command)).await
}

/// Revoke a coupon
///
/// Makes an unused coupon unusable, an expired one too.
#[utoipa::path(
    tag = "admin",
    params(("coupon_id" = Uuid, Path, description = "Id of the coupon")),
    responses((status = 200, body = CouponResponse), code::CouponNotFound, code::CouponNotUsable),
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
pub struct CreateCampaignRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(value_type = DiscountShape)]
    discount: Strict<DiscountRequest>,
    /// The minimum order total for its coupons.
    min_order_amount: Option<WrittenAmount>,
    /// The number of coupons in all.
    #[schema(minimum = 1, maximum = 4_294_967_295_i64, format = Int64)]
    quantity: u32,
    #[schema(format = DateTime)]
    issue_opens_at: String,
    #[schema(format = DateTime)]
    issue_closes_at: String,
    /// The expiry of its coupons, exclusive; after `issue_opens_at`. No coupon is issued from then on.
    #[schema(format = DateTime)]
    valid_until: Option<String>,
    /// The validity of a coupon from its issue, in periods of 24 hours.
    #[schema(minimum = 1, maximum = 3650)]
    valid_days: Option<u16>,
}

impl CreateCampaignRequest {
    pub fn plan(&self, currency: Currency) -> Result<CampaignPlan, Problem> {
        let mut field_errors = FieldErrors::default();
        let name = field_errors.take("/name", CampaignName::parse(&self.name));
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
            Err(invalid) => field_errors.take(pointer_of_campaign(invalid), Err(invalid)),
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

/// A discount with all members optional, so that every invalid one is reported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscountRequest {
    kind: DiscountKindName,
    amount: Option<WrittenAmount>,
    percent: Option<u8>,
    cap: Option<WrittenAmount>,
}

/// The discount of a coupon.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = DiscountRequest)]
#[expect(dead_code, reason = "a schema for the document; `DiscountRequest::discount` accepts the same")]
enum DiscountShape {
    /// A fixed amount, independent of the order total.
    Fixed {
        /// At most the order total is deducted.
        amount: WrittenAmount,
    },
    /// A percentage of the order total, rounded half up to the smallest unit of the currency.
    Percent {
        /// From 1 to 100.
        #[schema(minimum = 1, maximum = 100)]
        percent: u8,
        /// The maximum amount of the discount; absent for no maximum.
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
                let unexpected = [("percent", self.percent.is_some()), ("cap", self.cap.is_some())];
                reject_unexpected(unexpected, field_errors);
                let amount = self.amount.ok_or(Reason::Missing).and_then(|amount| positive(amount, currency));
                field_errors.take("/discount/amount", amount).map(|amount| Discount::Fixed { amount })
            }
            DiscountKindName::Percent => {
                reject_unexpected([("amount", self.amount.is_some())], field_errors);
                let percent = self.percent.ok_or(Reason::Missing).and_then(|percent| Ok(Percent::try_from(percent)?));
                let percent = field_errors.take("/discount/percent", percent);
                let cap = field_errors.take_optional("/discount/cap", self.cap.map(|cap| positive(cap, currency)));
                percent.zip(cap).map(|(percent, cap)| Discount::Percent { percent, cap })
            }
        }
    }
}

fn reject_unexpected<const N: usize>(fields: [(&str, bool); N], field_errors: &mut FieldErrors) {
    for (name, _) in fields.iter().filter(|(_, present)| *present) {
        field_errors.add(format!("/discount/{name}"), Reason::Contradictory);
    }
}

fn positive(written: WrittenAmount, currency: Currency) -> Result<PositiveMoney, Reason> {
    Ok(PositiveMoney::try_from(written.in_currency(currency)?)?)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeCampaignRequest {
    /// The name of later coupons.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    /// The number of coupons in all; at least the current one.
    #[schema(minimum = 1, maximum = 4_294_967_295_i64, format = Int64, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    quantity: Option<u32>,
    /// The end of issuance; at most the current one, and after `issue_opens_at`.
    #[schema(format = DateTime, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    issue_closes_at: Option<String>,
}

impl ChangeCampaignRequest {
    pub fn change(&self) -> Result<CampaignChange, Problem> {
        let mut field_errors = FieldErrors::default();
        let name = field_errors.take_optional("/name", self.name.as_deref().map(CampaignName::parse));
        let time = field_errors.take_optional("/issue_closes_at", self.issue_closes_at.as_deref().map(parse_time));
        let quantity = self.quantity;
        let change = name.zip(time);
        field_errors.check(change.map(|(name, issue_closes_at)| CampaignChange { name, quantity, issue_closes_at }))
    }
}
