//! Coupons: the campaigns that give them, and those that a user has.

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
use crate::http::respond::problem::{Problem, ProblemCode};
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_campaigns).service(show_campaign).service(issue_coupon).service(list_coupons);
}

/// Coupon campaigns, newest first
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
    let list = List::new("coupon campaigns");
    let page: Page<CampaignId> = list.page(limit, cursor.as_deref())?;
    let campaigns = deadline.read(state.queries.coupons.campaigns(&page)).await?;
    let show = |campaign: &CouponCampaign| CampaignResponse::of(campaign, state.rules.currency);
    Ok(Json(list.answer(page.limit, &campaigns, |campaign| campaign.id, show)))
}

/// One coupon campaign
#[utoipa::path(
    tag = "coupons",
    params(("campaign_id" = Uuid, Path, description = "The campaign")),
    security((), ("bearer" = [])),
    responses((status = 200, body = CampaignResponse), (status = 404, description = "`CAMPAIGN_NOT_FOUND`")),
)]
#[get("/coupon-campaigns/{campaign_id}")]
async fn show_campaign(
    state: Data<AppState>,
    campaign_id: ApiPath<CampaignId>,
    deadline: Deadline,
) -> Result<Json<CampaignResponse>, Problem> {
    let campaign = deadline.read(state.queries.coupons.campaign(campaign_id.0)).await?;
    let campaign = campaign.ok_or(ProblemCode::CampaignNotFound)?;
    Ok(Json(CampaignResponse::of(&campaign, state.rules.currency)))
}

/// Take a coupon of a campaign
#[utoipa::path(
    tag = "coupons",
    params(("campaign_id" = Uuid, Path, description = "The campaign")),
    responses(
        (status = 201, body = CouponResponse),
        (status = 404, description = "`CAMPAIGN_NOT_FOUND`"),
        (
            status = 409,
            description = "`CAMPAIGN_NOT_OPEN`, `CAMPAIGN_CLOSED`, `COUPON_ALREADY_ISSUED`, `COUPON_SOLD_OUT`",
        ),
    ),
)]
#[post("/coupon-campaigns/{campaign_id}/coupons")]
async fn issue_coupon(
    write: Write,
    campaign_id: ApiPath<CampaignId>,
    body: Body<Nothing>,
) -> Result<HttpResponse, Problem> {
    let command = IssueCoupon {
        coupon_id: CouponId::next(&*write.state.ids),
        campaign_id: campaign_id.0,
        user_id: write.caller.user_id.clone(),
    };
    write.run(&body, Command::IssueCoupon(command)).await
}

/// A user's coupons, newest first
#[utoipa::path(
    tag = "coupons",
    params(("user_id" = String, Path, description = "The user"), CouponsQuery),
    responses(
        (status = 200, body = ListResponse<CouponResponse>),
        (status = 404, description = "`USER_NOT_FOUND`"),
    ),
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
    let filter = status.filter();
    let list = List::new(format!("coupons of {user_id} {filter:?}"));
    let page: Page<CouponId> = list.page(limit, cursor.as_deref())?;
    let coupons = deadline.read(state.queries.coupons.coupons(&user_id, filter, &page)).await?;
    let show = |coupon: &Coupon| CouponResponse::of(coupon, coupons.now, state.rules.currency);
    Ok(Json(list.answer(page.limit, &coupons.value, |coupon| coupon.id, show)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CouponsQuery {
    /// Only those in this status.
    #[serde(default)]
    #[param(inline)]
    status: CouponFilterName,
    /// The most rows to answer; above 100 is taken as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CouponFilterName {
    #[default]
    Usable,
    Used,
    Expired,
    Revoked,
    All,
}

impl CouponFilterName {
    fn filter(self) -> CouponFilter {
        match self {
            Self::Usable => CouponFilter::Only(CouponStatus::Usable),
            Self::Used => CouponFilter::Only(CouponStatus::Used),
            Self::Expired => CouponFilter::Only(CouponStatus::Expired),
            Self::Revoked => CouponFilter::Only(CouponStatus::Revoked),
            Self::All => CouponFilter::All,
        }
    }
}

/// What a coupon takes off.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DiscountResponse {
    /// A fixed amount.
    Fixed {
        /// How much.
        amount: AmountText,
    },
    /// A share of the order's total.
    Percent {
        /// The share of a hundred.
        percent: u8,
        /// The most that it takes off.
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
    /// The least total that its coupons apply to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    min_order_amount: Option<AmountText>,
    currency: &'static str,
    /// How many coupons there are.
    quantity: u32,
    /// How many of them were issued.
    issued: u32,
    /// How many are left.
    remaining: u32,
    issue_opens_at: Time,
    issue_closes_at: Time,
    /// Until when its coupons can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    valid_until: Option<Time>,
    /// How many times 24 hours from its issue a coupon can be used.
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
    /// The least total that it applies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    min_order_amount: Option<AmountText>,
    currency: &'static str,
    status: CouponStatusName,
    /// Until when it can be used; at this time no more.
    valid_until: Time,
    issued_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    used_at: Option<Time>,
    /// The order that it was used for.
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
