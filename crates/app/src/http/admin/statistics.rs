//! Orders, revenue and refunds by hour or day.

use actix_web::get;
use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use jangteo_domain::statistics::{SalesTotals, Statistics};
use jangteo_domain::{Currency, Timestamp};

use crate::calendar::TimeZoneCalendar;
use crate::http::deadline::Deadline;
use crate::http::extract::caller::Admin;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::problem::{FieldErrors, Problem, Reason};
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time, parse_time};

/// The maximum number of periods of a response.
const PERIODS_MAX: usize = 1_000;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show_statistics);
}

/// Show statistics
///
/// Counts orders by the time of their payment and refunds by their own time, by hour or day in the time zone of the
/// shop. The numbers are counted in the background: they are complete up to `complete_to`, usually some seconds ago.
#[utoipa::path(tag = "admin", params(StatisticsQuery), responses((status = 200, body = StatisticsResponse)))]
#[get("/statistics")]
async fn show_statistics(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<StatisticsQuery>,
) -> Result<Json<StatisticsResponse>, Problem> {
    let (periods, by) = query.0.periods(&state.shop.time_zone)?;
    let statistics = deadline.read(state.queries.statistics.statistics(periods.from, periods.to)).await?;
    let time_zone = state.shop.time_zone.name().to_owned();
    Ok(Json(StatisticsResponse::of(&periods, by, time_zone, &statistics, state.rules.currency)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StatisticsQuery {
    /// A time of the first period (RFC 3339).
    #[param(format = DateTime, required = true)]
    from: Option<String>,
    /// The end of the last period, or a time in it (RFC 3339). At most 1,000 periods.
    #[param(format = DateTime, required = true)]
    to: Option<String>,
    /// The period.
    #[param(inline)]
    by: Option<PeriodName>,
}

impl StatisticsQuery {
    fn periods(&self, calendar: &TimeZoneCalendar) -> Result<(Periods, PeriodName), Problem> {
        let by = self.by.unwrap_or_default();
        let mut field_errors = FieldErrors::default();
        let time = |text: Option<&str>| text.map_or(Err(Reason::Missing), parse_time);
        let from = field_errors.take("?from", time(self.from.as_deref()));
        let to = field_errors.take("?to", time(self.to.as_deref()));
        let periods = from.zip(to).and_then(|(from, to)| {
            let periods = Periods::of(calendar, by, from, to).ok_or(Reason::OutOfRange);
            field_errors.take("?to", periods)
        });
        Ok((field_errors.check_query(periods)?, by))
    }
}

/// Consecutive periods.
struct Periods {
    from: Timestamp,
    to: Timestamp,
    starts: Vec<Timestamp>,
}

impl Periods {
    /// The periods with a time from `from` on and before `to`; `None` for none, or too many.
    fn of(calendar: &TimeZoneCalendar, by: PeriodName, from: Timestamp, to: Timestamp) -> Option<Self> {
        let mut next = match by {
            PeriodName::Hour => calendar.start_of_hour(from),
            PeriodName::Day => calendar.start_of_day(from),
        };
        let (from, mut starts) = (next, Vec::new());
        while next < to {
            if starts.len() == PERIODS_MAX {
                return None;
            }
            starts.push(next);
            next = match by {
                PeriodName::Hour => calendar.next_hour(next),
                PeriodName::Day => calendar.next_day(next),
            };
        }
        (!starts.is_empty()).then_some(Self { from, to: next, starts })
    }

    /// The totals of each period.
    fn totals(&self, statistics: &Statistics) -> Vec<SalesTotals> {
        let mut totals = vec![SalesTotals::default(); self.starts.len()];
        for quarter in &statistics.quarters {
            let index = self.starts.partition_point(|start| *start <= quarter.starts_at);
            if let Some(sum) = index.checked_sub(1).and_then(|index| totals.get_mut(index)) {
                *sum = sum.plus(quarter.totals);
            }
        }
        totals
    }
}

#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PeriodName {
    Hour,
    #[default]
    Day,
}

#[derive(Serialize, ToSchema)]
struct StatisticsResponse {
    /// The start of the first period.
    from: Time,
    /// The end of the last period, exclusive.
    to: Time,
    by: PeriodName,
    /// The time zone of the shop, an IANA name.
    time_zone: String,
    /// Payments and refunds up to this time are counted; later ones may be missing.
    complete_to: Time,
    currency: &'static str,
    /// All periods in order of time.
    data: Vec<PeriodResponse>,
}

#[derive(Serialize, ToSchema)]
struct PeriodResponse {
    /// The start of the period.
    at: Time,
    /// The number of orders paid in the period.
    orders: u64,
    /// The amounts paid in the period.
    revenue: AmountText,
    /// The number of orders with their first refund in the period.
    refunded_orders: u64,
    /// The amounts refunded in the period.
    refunded: AmountText,
}

impl StatisticsResponse {
    fn of(periods: &Periods, by: PeriodName, time_zone: String, statistics: &Statistics, currency: Currency) -> Self {
        let period = |(at, totals): (&Timestamp, SalesTotals)| PeriodResponse {
            at: Time(*at),
            orders: totals.orders,
            revenue: AmountText::of(totals.revenue, currency),
            refunded_orders: totals.refunded_orders,
            refunded: AmountText::of(totals.refunded, currency),
        };
        Self {
            from: periods.from.into(),
            to: periods.to.into(),
            by,
            time_zone,
            complete_to: statistics.progress.complete_to.into(),
            currency: currency.code(),
            data: periods.starts.iter().zip(periods.totals(statistics)).map(period).collect(),
        }
    }
}
