//! The numbers of the shop at a glance, read at most once a second.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::coupon::CouponCampaign;
use jangteo_domain::overview::{Overview, OverviewLimits};
use jangteo_domain::page::Page;
use jangteo_domain::statistics::SalesTotals;
use jangteo_domain::verification::VerificationRun;
use jangteo_domain::{StoreError, Timestamp};

use crate::http::admin::verifications::RunStatusName;
use crate::http::deadline::Deadline;
use crate::http::extract::body::Nothing;
use crate::http::extract::caller::Admin;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::cached_response::{CacheControl, CachedResponse};
use crate::http::respond::problem::Problem;
use crate::http::respond::read_cache::Dated;
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time};

/// Products count as nearly sold out up to this stock.
const NEARLY_SOLD_OUT_AT: u32 = 10;
/// The maximum number of campaigns.
const CAMPAIGNS_MAX: u32 = 20;
/// The maximum number of counted events of a state.
const EVENTS_MAX: u32 = 10_000;
/// The runs among which the last that is over is found: at most one runs.
const RUNS: u32 = 2;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show_overview);
}

/// Show the overview
///
/// Returns the numbers of the shop, at most a second old; `today` is counted in the background, as the statistics. The
/// `ETag` changes with the numbers, not with `now`.
#[utoipa::path(tag = "admin", responses((status = 200, body = OverviewResponse), (status = 304)))]
#[get("/overview")]
async fn show_overview(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    request: HttpRequest,
    _query: ApiQuery<Nothing>,
) -> Result<HttpResponse, Problem> {
    let page = state.catalog.pages.get("overview".to_owned(), || render(Data::clone(&state)));
    Ok(deadline.read(page).await?.value.respond(&request, CacheControl::Private).await)
}

async fn render(state: Data<AppState>) -> Result<Dated<CachedResponse>, StoreError> {
    let as_of = Instant::now();
    let limits = OverviewLimits { nearly_sold_out: NEARLY_SOLD_OUT_AT, campaigns: CAMPAIGNS_MAX, events: EVENTS_MAX };
    let overview = state.queries.overview.overview(limits).await?;
    let day = state.shop.time_zone.start_of_day(overview.now);
    let today = state.queries.statistics.statistics(day, state.shop.time_zone.next_day(day)).await?;
    let today = today.quarters.iter().fold(SalesTotals::default(), |sum, quarter| sum.plus(quarter.totals));
    let runs = state.operations.verifier.runs().list(&Page { after: None, limit: RUNS }).await?;
    let last = runs.iter().find_map(LastVerification::of);
    let answer = OverviewResponse::of(&state, &overview, today, last);
    let version = OverviewResponse { now: Time(Timestamp::MIN), ..answer.clone() };
    Ok(Dated { value: CachedResponse::of_json_version(&answer, &version), as_of })
}

#[derive(Clone, Serialize, ToSchema)]
struct OverviewResponse {
    now: Time,
    /// The time zone of the shop, an IANA name.
    time_zone: String,
    currency: &'static str,
    /// Since midnight in the time zone of the shop.
    today: TodayResponse,
    open_orders: OpenOrdersResponse,
    /// The number of products on sale without stock.
    sold_out: u64,
    /// The number of products on sale with a stock of 1 to `nearly_sold_out_at`.
    nearly_sold_out: u64,
    nearly_sold_out_at: u32,
    /// The open campaigns with at most a tenth of their coupons left, the earliest to close first; at most 20.
    campaigns_running_out: Vec<CampaignRunningOut>,
    events: EventsResponse,
    /// The last verification that is over; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_verification: Option<LastVerification>,
}

#[derive(Clone, Serialize, ToSchema)]
struct TodayResponse {
    /// The number of orders paid.
    orders: u64,
    /// The amounts paid.
    revenue: AmountText,
    /// The amounts refunded.
    refunded: AmountText,
}

#[derive(Clone, Serialize, ToSchema)]
struct OpenOrdersResponse {
    /// The number of unpaid orders.
    orders: u64,
    /// The items that they reserve.
    quantity: u64,
}

#[derive(Clone, Serialize, ToSchema)]
struct CampaignRunningOut {
    campaign_id: Uuid,
    name: String,
    quantity: u32,
    issued: u32,
}

impl CampaignRunningOut {
    fn of(campaign: &CouponCampaign) -> Self {
        Self {
            campaign_id: campaign.id.uuid(),
            name: campaign.details.terms.name.as_str().to_owned(),
            quantity: campaign.details.quantity,
            issued: campaign.issued,
        }
    }
}

#[derive(Clone, Serialize, ToSchema)]
struct EventsResponse {
    /// At most 10,000 are counted.
    pending: u64,
    /// At most 10,000 are counted.
    dead: u64,
}

#[derive(Clone, Serialize, ToSchema)]
struct LastVerification {
    verification_id: Uuid,
    status: RunStatusName,
    finished_at: Time,
    /// The number of findings.
    findings: u64,
}

impl LastVerification {
    fn of(run: &VerificationRun) -> Option<Self> {
        let finished_at = run.finished_at?.into();
        Some(Self { verification_id: run.id.uuid(), status: run.status.into(), finished_at, findings: run.violations })
    }
}

impl OverviewResponse {
    fn of(state: &AppState, overview: &Overview, today: SalesTotals, last: Option<LastVerification>) -> Self {
        let currency = state.rules.currency;
        Self {
            now: overview.now.into(),
            time_zone: state.shop.time_zone.name().to_owned(),
            currency: currency.code(),
            today: TodayResponse {
                orders: today.orders,
                revenue: AmountText::of(today.revenue, currency),
                refunded: AmountText::of(today.refunded, currency),
            },
            open_orders: OpenOrdersResponse { orders: overview.open_orders, quantity: overview.open_quantity },
            sold_out: overview.sold_out,
            nearly_sold_out: overview.nearly_sold_out,
            nearly_sold_out_at: NEARLY_SOLD_OUT_AT,
            campaigns_running_out: overview.campaigns_running_out.iter().map(CampaignRunningOut::of).collect(),
            events: EventsResponse { pending: overview.pending_events, dead: overview.dead_events },
            last_verification: last,
        }
    }
}
