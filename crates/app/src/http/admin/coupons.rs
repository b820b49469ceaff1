//! Coupons of a campaign: list, and issue to a user.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use jangteo_domain::command::IssueCoupon;
use jangteo_domain::coupon::{Coupon, CouponFilter};
use jangteo_domain::id::{CampaignId, CouponId};
use jangteo_domain::page::Page;
use jangteo_domain::{Command, UserId};

use crate::http::api::coupons::{CouponFilterName, CouponResponse};
use crate::http::deadline::Deadline;
use crate::http::extract::body::Body;
use crate::http::extract::caller::Admin;
use crate::http::extract::page::{self, List, ListResponse};
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, ProblemCode, Reason, documented as code};
use crate::http::state::AppState;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_coupons_of_campaign).service(issue_coupon_to_user);
}

/// List the coupons of a campaign
///
/// Returns the coupons of all users, newest first.
#[utoipa::path(
    tag = "admin",
    params(("campaign_id" = Uuid, Path, description = "Id of the campaign"), CampaignCouponsQuery),
    responses((status = 200, body = ListResponse<CouponResponse>), code::CampaignNotFound),
)]
#[get("/coupon-campaigns/{campaign_id}/coupons")]
async fn list_coupons_of_campaign(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    campaign_id: ApiPath<CampaignId>,
    query: ApiQuery<CampaignCouponsQuery>,
) -> Result<Json<ListResponse<CouponResponse>>, Problem> {
    let ApiPath(campaign_id) = campaign_id;
    let ApiQuery(CampaignCouponsQuery { status, limit, cursor }) = query;
    let filter = status.map_or(CouponFilter::All, CouponFilterName::filter);
    let list = List::new(&state.cursor_keys, format!("coupons of campaign {campaign_id} {filter:?}"));
    let page: Page<CouponId> = list.page(limit, cursor.as_deref())?;
    let campaign = deadline.read(state.queries.coupons.campaign(campaign_id)).await?;
    campaign.ok_or(ProblemCode::CampaignNotFound)?;
    let coupons = deadline.read(state.queries.coupons.coupons_of_campaign(campaign_id, filter, &page)).await?;
    let show = |coupon: &Coupon| CouponResponse::of(coupon, coupons.now, state.rules.currency);
    Ok(Json(list.answer(page.limit, &coupons.value, |coupon| coupon.id, show)))
}

/// Issue a coupon to a user
///
/// By the rules of the user's own request: at most one for each user, and `quantity` in all.
#[utoipa::path(
    tag = "admin",
    params(("campaign_id" = Uuid, Path, description = "Id of the campaign")),
    request_body = IssueCouponRequest,
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
async fn issue_coupon_to_user(
    _admin: Admin,
    write: Write,
    campaign_id: ApiPath<CampaignId>,
    body: Body<IssueCouponRequest>,
) -> Result<HttpResponse, Problem> {
    let mut field_errors = FieldErrors::default();
    let user_id = body.value.user_id.parse::<UserId>().map_err(|_| Reason::Invalid);
    let user_id = field_errors.take("/user_id", user_id);
    let user_id = field_errors.check(user_id)?;
    write.run(&body, Command::IssueCoupon(IssueCoupon { campaign_id: campaign_id.0, user_id })).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct IssueCouponRequest {
    /// The user who receives the coupon.
    #[schema(min_length = 1, max_length = 64)]
    user_id: String,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CampaignCouponsQuery {
    /// Status of the coupon; absent for coupons in any status.
    #[param(inline)]
    status: Option<CouponFilterName>,
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}
