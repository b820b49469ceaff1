//! The state that all handlers share.

use std::sync::Arc;
use std::time::Duration;

use governor::Quota;

use jangteo_domain::{Currency, IdSource, Queries, Reply, ShopRules};

use crate::http::access::Access;
use crate::http::catalog::Catalog;
use crate::http::operations::Operations;
use crate::http::respond::answer::Success;
use crate::lanes::Lanes;

/// The state that all handlers share.
#[expect(missing_docs, reason = "the fields are named after their types")]
pub struct AppState {
    pub rules: Arc<ShopRules>,
    pub queries: Queries,
    pub lanes: Lanes,
    pub ids: Arc<dyn IdSource>,
    pub catalog: Catalog,
    pub access: Access,
    pub operations: Operations,
    /// Renders the success of a command, with amounts in the currency. It knows every resource, and every resource
    /// knows this state, so it is passed in.
    pub success: fn(&Reply, Currency) -> Success,
    pub options: Options,
}

/// The operator's choices about the interface.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// From the head of a request to its response.
    pub request_timeout: Duration,
    /// Whether a write without an `Idempotency-Key` is rejected.
    pub require_idempotency_key: bool,
    /// Requests a caller; `None` for no limit.
    pub rate_limit: Option<Quota>,
    /// Whether `/metrics` is served beside the API.
    pub serve_metrics: bool,
}
