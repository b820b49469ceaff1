//! The rules of the shop and its retention.

use std::sync::Arc;
use std::time::Duration;

use jangteo_domain::retention::Retention;
use jangteo_domain::{Money, ShopRules};
use rust_decimal::Decimal;

use crate::http::state::ShopSettings;
use crate::settings::error::{SettingsError, invalid};
use crate::settings::table::Values;

/// Clients may rely on their keys for a day.
const IDEMPOTENCY_RETENTION_MIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The rules, whose limits fit together.
pub fn rules(values: &Values) -> Result<ShopRules, SettingsError> {
    let currency = values.currency;
    let amount = |name: &str, amount: Decimal| -> Result<Money, SettingsError> {
        currency.parse(amount).map_err(|_| invalid(name, format!("an amount of {}", currency.code())))
    };
    let rules = ShopRules {
        currency,
        top_up_max: amount("TOP_UP_MAX", values.top_up_max)?,
        balance_max: amount("BALANCE_MAX", values.balance_max)?,
        order_ttl: in_range("ORDER_TTL", values.order_ttl)?,
        order_lines_max: values.order_lines_max.get(),
        order_quantity_max: values.order_quantity_max.get(),
        open_orders_max: values.open_orders_max.get(),
        unpaid_orders_max: values.unpaid_orders_max.get(),
        reserved_quantity_max: values.reserved_quantity_max.get(),
        calendar: Arc::new(values.shop_time_zone.clone()),
    };
    rules.check().map_err(|error| SettingsError::Limits(error.to_string()))?;
    Ok(rules)
}

/// The settings that everybody may read.
pub fn description(values: &Values) -> ShopSettings {
    ShopSettings { name: values.shop_name.clone(), time_zone: values.shop_time_zone.clone(), is_demo: false }
}

/// The ages at which rows are deleted.
pub fn retention(values: &Values) -> Result<Retention, SettingsError> {
    if values.idempotency_retention < IDEMPOTENCY_RETENTION_MIN {
        return Err(invalid("IDEMPOTENCY_RETENTION", "at least 24h"));
    }
    Ok(Retention {
        answered_requests: in_range("IDEMPOTENCY_RETENTION", values.idempotency_retention)?,
        delivered_events: in_range("EVENT_RETENTION", values.event_retention)?,
    })
}

fn in_range(name: &str, duration: Duration) -> Result<time::Duration, SettingsError> {
    duration.try_into().map_err(|_| invalid(name, "too long"))
}
