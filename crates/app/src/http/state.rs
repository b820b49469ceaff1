//! The state that all handlers share.

use std::sync::Arc;
use std::time::Duration;

use jangteo_domain::{Currency, Queries, Reply, ShopRules};
use tokio::sync::Semaphore;

use crate::calendar::TimeZoneCalendar;
use crate::cursor_keys::CursorKeys;
use crate::http::access::Access;
use crate::http::catalog::Catalog;
use crate::http::console::Console;
use crate::http::cors::Cors;
use crate::http::operations::Operations;
use crate::http::respond::answer::Success;
use crate::lanes::Lanes;
use crate::settings::TopUpBy;
use crate::user_label::UserLabels;

/// The state that all handlers share.
pub struct AppState {
    pub rules: Arc<ShopRules>,
    pub queries: Queries,
    pub lanes: Lanes,
    pub catalog: Catalog,
    pub access: Access,
    /// Bounds the commands of bulk requests at a time.
    pub bulk_commands: Semaphore,
    pub shop: ShopSettings,
    /// `None` without allowed origins.
    pub cors: Option<Cors>,
    pub operations: Operations,
    pub console: Console,
    pub cursor_keys: Arc<CursorKeys>,
    pub users: UserLabels,
    /// Renders the success of a command. Passed in, as it depends on all resources, which depend on this state.
    pub success: fn(&Reply, Currency) -> Success,
    pub options: Options,
}

/// Settings that describe the shop to everybody.
#[derive(Debug, Clone)]
pub struct ShopSettings {
    pub name: Option<String>,
    /// Of the shop's days.
    pub time_zone: TimeZoneCalendar,
    /// Whether it is the demo of `serve --dev`.
    pub is_demo: bool,
}

/// Settings of single requests.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// From the head of the request to the response.
    pub request_timeout: Duration,
    /// Rejects writes without an `Idempotency-Key`.
    pub require_idempotency_key: bool,
    /// Who tops up points, beside the back office.
    pub top_up_by: TopUpBy,
    /// Serves `/metrics` on the API's address.
    pub serve_metrics: bool,
}
