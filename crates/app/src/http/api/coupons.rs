//! Coupon campaigns, and the coupons of users.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::command::IssueCoupon;
use jangteo_domain::coupon::{Coupon, CouponCampaign, CouponFilter, CouponState, CouponStatus, Discount, Validity};
use jangteo_domain::id::{CampaignId, CouponId};
use jangteo_domain::page::Page;
use jangteo_domain::{Command, Currency, Timestamp};

use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, Nothing};
use crate::http::extract::caller::Owner;
use crate::http::extract::page::{self, List, ListResponse, PageQuery};
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{Problem, ProblemCode, documented as code};
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_campaigns).service(show_campaign).service(issue_coupon).service(list_coupons);
}

/// List coupon campaigns
///
/// Returns all campaigns, newest first, open or not, each with its remaining quantity.
#[utoipa::path(
    tag = "coupons",
    params(PageQuery),
    security((), ("bearer" = [])),
    responses((status = 200, body = ListResponse<CampaignResponse>)),
)]
#[get("/coupon-campaigns")]
async fn list_campaigns(
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<PageQuery>,
) -> Result<Json<ListResponse<CampaignResponse>>, Problem> {
    let ApiQuery(PageQuery { limit, cursor }) = query;
    let list = List::new(&state.cursor_keys, "coupon campaigns");
    let page: Page<CampaignId> = list.page(limit, cursor.as_deref())?;
    let campaigns = deadline.read(state.queries.coupons.campaigns(&page)).await?;
    let show = |campaign: &CouponCampaign| CampaignResponse::of(campaign, state.rules.currency);
    Ok(Json(list.answer(page.limit, &campaigns, |campaign| campaign.id, show)))
}

/// Show a coupon campaign
///
/// Returns the terms of a campaign and its remaining quantity.
#[utoipa::path(
    tag = "coupons",
    params(("campaign_id" = Uuid, Path, description = "Id of the campaign")),
    security((), ("bearer" = [])),
    responses((status = 200, body = CampaignResponse), code::CampaignNotFound),
)]
#[get("/coupon-campaigns/{campaign_id}")]
async fn show_campaign(
    state: Data<AppState>,
    campaign_id: ApiPath<CampaignId>,
    _query: ApiQuery<Nothing>,
    deadline: Deadline,
) -> Result<Json<CampaignResponse>, Problem> {
    let campaign = deadline.read(state.queries.coupons.campaign(campaign_id.0)).await?;
    let campaign = campaign.ok_or(ProblemCode::CampaignNotFound)?;
    Ok(Json(CampaignResponse::of(&campaign, state.rules.currency)))
}

/// Issue a coupon (쿠폰 발급)
///
/// Issues a coupon of the campaign to the caller, first come, first served: at most one for each user, and exactly
/// `quantity` in all.
#[utoipa::path(
    tag = "coupons",
    params(("campaign_id" = Uuid, Path, description = "Id of the campaign")),
    responses(
        (status = 201, body = CouponResponse),
        code::CampaignNotFound,
        code::CampaignNotOpen,
        code::CampaignClosed,
        code::CouponAlreadyIssued,
        code::CouponSoldOut,
    ),
)]
#[post("/coupon-campaigns/{campaign_id}/coupons")]
async fn issue_coupon(
    write: Write,
    campaign_id: ApiPath<CampaignId>,
    body: Body<Nothing>,
) -> Result<HttpResponse, Problem> {
    let command = IssueCoupon { campaign_id: campaign_id.0, user_id: write.caller.user_id.clone() };
    write.run(&body, Command::IssueCoupon(command)).await
}

/// List coupons
///
/// Returns the coupons of a user, newest first; by default the usable ones.
#[utoipa::path(
    tag = "coupons",
    params(("user_id" = String, Path, description = "Id of the user"), CouponsQuery),
    responses((status = 200, body = ListResponse<CouponResponse>), code::UserNotFound),
)]
#[get("/users/{user_id}/coupons")]
async fn list_coupons(
    state: Data<AppState>,
    owner: Owner,
    deadline: Deadline,
    query: ApiQuery<CouponsQuery>,
) -> Result<Json<ListResponse<CouponResponse>>, Problem> {
    let Owner(user_id) = owner;
    let ApiQuery(CouponsQuery { status, limit, cursor }) = query;
    let filter = status.unwrap_or_default().filter();
    let list = List::new(&state.cursor_keys, format!("coupons of {user_id} {filter:?}"));
    let page: Page<CouponId> = list.page(limit, cursor.as_deref())?;
    let coupons = deadline.read(state.queries.coupons.coupons(&user_id, filter, &page)).await?;
    let show = |coupon: &Coupon| CouponResponse::of(coupon, coupons.now, state.rules.currency);
    Ok(Json(list.answer(page.limit, &coupons.value, |coupon| coupon.id, show)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CouponsQuery {
    /// Status of the coupon, or `all`.
    #[param(inline)]
    status: Option<CouponFilterName>,
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouponFilterName {
    #[default]
    Usable,
    Used,
    Expired,
    Revoked,
    All,
}

impl CouponFilterName {
    pub fn filter(self) -> CouponFilter {
        match self {
            Self::Usable => CouponFilter::Only(CouponStatus::Usable),
            Self::Used => CouponFilter::Only(CouponStatus::Used),
            Self::Expired => CouponFilter::Only(CouponStatus::Expired),
            Self::Revoked => CouponFilter::Only(CouponStatus::Revoked),
            Self::All => CouponFilter::All,
        }
    }
}

/// The discount of a coupon.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DiscountResponse {
    /// A fixed amount, independent of the order total.
    Fixed {
        /// At most the order total is deducted.
        amount: AmountText,
    },
    /// A percentage of the order total, rounded half up to the smallest unit of the currency.
    Percent {
        /// From 1 to 100.
        percent: u8,
        /// The maximum amount of the discount; absent for no maximum.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        cap: Option<AmountText>,
    },
}

impl DiscountResponse {
    fn of(discount: Discount, currency: Currency) -> Self {
        match discount {
            Discount::Fixed { amount } => Self::Fixed { amount: AmountText::of(amount.get(), currency) },
            Discount::Percent { percent, cap } => {
                let cap = cap.map(|cap| AmountText::of(cap.get(), currency));
                Self::Percent { percent: percent.get(), cap }
            }
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct CampaignResponse {
    campaign_id: Uuid,
    name: String,
    discount: DiscountResponse,
    /// The minimum order total for its coupons.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    min_order_amount: Option<AmountText>,
    currency: &'static str,
    /// The number of coupons in all.
    quantity: u32,
    /// The number of issued coupons.
    issued: u32,
    /// The number of coupons that can still be issued.
    remaining: u32,
    issue_opens_at: Time,
    issue_closes_at: Time,
    /// The expiry of its coupons, exclusive. Absent with `valid_days`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    valid_until: Option<Time>,
    /// The validity of a coupon from its issue, in periods of 24 hours. Absent with `valid_until`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    valid_days: Option<u16>,
}

impl CampaignResponse {
    pub fn of(campaign: &CouponCampaign, currency: Currency) -> Self {
        let details = &campaign.details;
        let (valid_until, valid_days) = match details.validity {
            Validity::Until(time) => (Some(time.into()), None),
            Validity::Days(days) => (None, Some(days)),
        };
        Self {
            campaign_id: campaign.id.uuid(),
            name: details.terms.name.as_str().to_owned(),
            discount: DiscountResponse::of(details.terms.discount, currency),
            min_order_amount: details.terms.min_order_amount.map(|amount| AmountText::of(amount.get(), currency)),
            currency: currency.code(),
            quantity: details.quantity,
            issued: campaign.issued,
            remaining: campaign.remaining(),
            issue_opens_at: details.issue_opens_at.into(),
            issue_closes_at: details.issue_closes_at.into(),
            valid_until,
            valid_days,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct CouponResponse {
    coupon_id: Uuid,
    campaign_id: Uuid,
    user_id: String,
    name: String,
    discount: DiscountResponse,
    /// The minimum order total.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    min_order_amount: Option<AmountText>,
    currency: &'static str,
    status: CouponStatusName,
    /// Time of expiry; unusable from then on.
    valid_until: Time,
    issued_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    used_at: Option<Time>,
    /// The order that the coupon was used for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    order_id: Option<Uuid>,
}

impl CouponResponse {
    pub fn of(coupon: &Coupon, now: Timestamp, currency: Currency) -> Self {
        let used = match coupon.state {
            CouponState::Used { order_id, at } => Some((order_id, at)),
            CouponState::Unused | CouponState::Revoked => None,
        };
        Self {
            coupon_id: coupon.id.uuid(),
            campaign_id: coupon.campaign_id.uuid(),
            user_id: coupon.user_id.to_string(),
            name: coupon.terms.name.as_str().to_owned(),
            discount: DiscountResponse::of(coupon.terms.discount, currency),
            min_order_amount: coupon.terms.min_order_amount.map(|amount| AmountText::of(amount.get(), currency)),
            currency: currency.code(),
            status: coupon.status(now).into(),
            valid_until: coupon.valid_until.into(),
            issued_at: coupon.issued_at.into(),
            used_at: used.map(|(_, at)| at.into()),
            order_id: used.map(|(order_id, _)| order_id.uuid()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CouponStatusName {
    Usable,
    Used,
    Expired,
    Revoked,
}

impl From<CouponStatus> for CouponStatusName {
    fn from(status: CouponStatus) -> Self {
        match status {
            CouponStatus::Usable => Self::Usable,
            CouponStatus::Used => Self::Used,
            CouponStatus::Expired => Self::Expired,
            CouponStatus::Revoked => Self::Revoked,
        }
    }
}
