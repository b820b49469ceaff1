//! Logs, figures and traces. Log lines go to standard error; standard output belongs to what a command answers.

use std::error::Error;
use std::io::IsTerminal;
use std::sync::OnceLock;

use anyhow::anyhow;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, registry};

use crate::settings::{LogFormat, Settings};
#[cfg(feature = "otel")]
use crate::traces::Traces;

/// An error and all its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.replace(['\n', '\r'], " ")
}

/// Requests by route, method and status: how long they took, in seconds.
pub const REQUEST_SECONDS: &str = "jangteo_http_request_duration_seconds";
/// How many commands a transaction carried.
pub const BATCH_SIZE: &str = "jangteo_batch_size";
/// How long a transaction took, retries included, in seconds.
pub const BATCH_SECONDS: &str = "jangteo_batch_duration_seconds";
/// How long the longest-waiting command of a batch stood in the queue, in seconds.
pub const QUEUE_SECONDS: &str = "jangteo_queue_wait_seconds";
/// How many commands wait now.
pub const QUEUE_DEPTH: &str = "jangteo_queue_depth";
/// Transactions that were run again, by cause.
pub const TRANSACTION_RETRIES: &str = "jangteo_transaction_retries_total";
/// Commands by name and outcome.
pub const COMMANDS: &str = "jangteo_commands_total";
/// Orders that the sweeper expired.
pub const ORDERS_EXPIRED: &str = "jangteo_orders_expired_total";
/// When this server last found no overdue order left, in seconds since 1970.
pub const ORDERS_SWEPT_TIMESTAMP: &str = "jangteo_orders_swept_timestamp_seconds";
/// Old rows that were deleted, by kind.
pub const ROWS_PRUNED: &str = "jangteo_rows_pruned_total";
/// Attempts to deliver an event, by outcome.
pub const DELIVERIES: &str = "jangteo_deliveries_total";
/// How long an attempt to deliver an event took, by outcome, in seconds.
pub const DELIVERY_SECONDS: &str = "jangteo_delivery_duration_seconds";
/// Events in the outbox that are pending or dead, by state.
pub const OUTBOX_EVENTS: &str = "jangteo_outbox_events";
/// How long the oldest pending event has waited, in seconds.
pub const OUTBOX_LAG_SECONDS: &str = "jangteo_outbox_lag_seconds";
/// Findings of the last verification of the books.
pub const VERIFICATION_FINDINGS: &str = "jangteo_verification_findings";
/// The time of the state that was verified last, in seconds since 1970.
pub const VERIFICATION_TIMESTAMP: &str = "jangteo_verification_timestamp_seconds";
/// Connections of a pool, by pool and state.
pub const POOL_CONNECTIONS: &str = "jangteo_pool_connections";
/// The most connections that a pool can have, by pool.
pub const POOL_CONNECTIONS_MAX: &str = "jangteo_pool_connections_max";

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Begins to write logs. A second call, as tests make it, changes nothing.
///
/// # Errors
/// When the filter cannot be understood.
pub fn init_logs(settings: &Settings) -> anyhow::Result<()> {
    install(registry().with(logs(settings)?));
    Ok(())
}

fn logs(settings: &Settings) -> anyhow::Result<impl Layer<Registry> + use<>> {
    let filter = EnvFilter::try_new(&settings.log_filter)
        .map_err(|_| anyhow!("RUST_LOG: not a filter, such as info,jangteo=debug"))?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    Ok(match settings.log_format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    })
}

fn install(subscriber: impl SubscriberInitExt) {
    if subscriber.try_init().is_err() {
        tracing::debug!("logs are written already");
    }
}

/// What a process that serves tells of itself: logs and, where a collector is set, traces. It is to be ended.
#[must_use = "what is left of the traces is sent at the end"]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    traces: Option<Traces>,
}

impl Telemetry {
    /// Begins to write logs and to send traces; touches no network yet. To be called on the main runtime.
    ///
    /// # Errors
    /// When the filter of the logs or the collector's address cannot be understood.
    #[cfg(feature = "otel")]
    pub fn begin(settings: &Settings) -> anyhow::Result<Self> {
        let traces = settings.traces_endpoint.as_ref().map(Traces::to).transpose()?;
        install(registry().with(logs(settings)?).with(traces.as_ref().map(Traces::layer)));
        Ok(Self { traces })
    }

    /// Begins to write logs.
    ///
    /// # Errors
    /// When their filter cannot be understood.
    #[cfg(not(feature = "otel"))]
    pub fn begin(settings: &Settings) -> anyhow::Result<Self> {
        init_logs(settings)?;
        Ok(Self {})
    }

    /// Sends what is left.
    pub async fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            traces.end().await;
        }
    }
}

/// The figures of this process; the first call begins to gather them.
pub fn statistics() -> PrometheusHandle {
    static FIGURES: OnceLock<PrometheusHandle> = OnceLock::new();
    FIGURES
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
                .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(BATCH_SIZE.to_owned()), SIZES))
                .expect("the buckets are not empty");
            let handle = builder.install_recorder().expect("figures are gathered once in a process");
            describe();
            handle
        })
        .clone()
}

fn describe() {
    metrics::describe_histogram!(REQUEST_SECONDS, metrics::Unit::Seconds, "HTTP requests by route, method and status");
    metrics::describe_histogram!(BATCH_SIZE, "Commands of a transaction");
    metrics::describe_histogram!(BATCH_SECONDS, metrics::Unit::Seconds, "Transactions, retries included");
    metrics::describe_histogram!(QUEUE_SECONDS, metrics::Unit::Seconds, "The longest wait in the queue of each batch");
    metrics::describe_gauge!(QUEUE_DEPTH, "Commands that wait");
    metrics::describe_counter!(TRANSACTION_RETRIES, "Transactions that were run again, by cause");
    metrics::describe_counter!(COMMANDS, "Commands by name and outcome");
    metrics::describe_counter!(ORDERS_EXPIRED, "Orders that were not paid in time");
    metrics::describe_gauge!(ORDERS_SWEPT_TIMESTAMP, metrics::Unit::Seconds, "When no overdue order was left");
    metrics::describe_counter!(ROWS_PRUNED, "Old rows that were deleted, by kind");
    metrics::describe_counter!(DELIVERIES, "Attempts to deliver an event, by outcome");
    metrics::describe_histogram!(DELIVERY_SECONDS, metrics::Unit::Seconds, "Attempts to deliver an event, by outcome");
    metrics::describe_gauge!(OUTBOX_EVENTS, "Events that are pending or dead, by state");
    metrics::describe_gauge!(OUTBOX_LAG_SECONDS, metrics::Unit::Seconds, "The wait of the oldest pending event");
    metrics::describe_gauge!(VERIFICATION_FINDINGS, "Findings of the last verification of the books");
    metrics::describe_gauge!(VERIFICATION_TIMESTAMP, metrics::Unit::Seconds, "The time of the state that was verified");
    metrics::describe_gauge!(POOL_CONNECTIONS, "Database connections, by pool and state");
    metrics::describe_gauge!(POOL_CONNECTIONS_MAX, "The most database connections, by pool");
}
