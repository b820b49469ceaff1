//! Logs, metrics and traces. The log goes to standard error; standard output is for the result of a command.

use std::io::IsTerminal;
use std::sync::OnceLock;

use anyhow::anyhow;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, registry};

use crate::settings::{LogFormat, Settings};
#[cfg(feature = "otel")]
use crate::traces::Traces;

/// Duration of requests in seconds, by route, method and status.
pub const REQUEST_SECONDS: &str = "jangteo_http_request_duration_seconds";
/// Requests denied by 401, 403 or 429, by status and reason.
pub const REQUESTS_DENIED: &str = "jangteo_requests_denied_total";
/// Time of the last successful reading of the key set, in seconds since 1970; 0 for none.
pub const TOKEN_KEYS_READ_TIMESTAMP: &str = "jangteo_token_keys_read_timestamp_seconds";
/// Time of the last successful reading of the deny list, in seconds since 1970.
pub const TOKEN_REVOCATIONS_READ_TIMESTAMP: &str = "jangteo_token_revocations_read_timestamp_seconds";
/// Connections beyond the maximum of their client's address.
pub const CONNECTIONS_REJECTED: &str = "jangteo_connections_rejected_total";
/// Commands per transaction, expired ones excluded.
pub const BATCH_SIZE: &str = "jangteo_batch_size";
/// Duration of a transaction with its retries, in seconds.
pub const BATCH_SECONDS: &str = "jangteo_batch_duration_seconds";
/// Longest wait in the queue of each batch, in seconds.
pub const QUEUE_SECONDS: &str = "jangteo_queue_wait_seconds";
/// Commands in the queue.
pub const QUEUE_DEPTH: &str = "jangteo_queue_depth";
/// Retried transactions, by cause.
pub const TRANSACTION_RETRIES: &str = "jangteo_transaction_retries_total";
/// Commands by name and outcome.
pub const COMMANDS: &str = "jangteo_commands_total";
/// Orders expired by the sweeper.
pub const ORDERS_EXPIRED: &str = "jangteo_orders_expired_total";
/// Overdue orders that this server cannot expire.
pub const ORDERS_STUCK: &str = "jangteo_orders_stuck";
/// Time of the last sweep after which no overdue order remained, in seconds since 1970.
pub const ORDERS_SWEPT_TIMESTAMP: &str = "jangteo_orders_swept_timestamp_seconds";
/// Last time that this server had counted the statistics up to then, in seconds since 1970.
pub const STATISTICS_COUNTED_TIMESTAMP: &str = "jangteo_statistics_counted_timestamp_seconds";
/// Deleted rows, by kind.
pub const ROWS_PRUNED: &str = "jangteo_rows_pruned_total";
/// Delivery attempts, by outcome.
pub const DELIVERIES: &str = "jangteo_deliveries_total";
/// Duration of delivery attempts in seconds, by outcome.
pub const DELIVERY_SECONDS: &str = "jangteo_delivery_duration_seconds";
/// Pending and dead events, by state.
pub const OUTBOX_EVENTS: &str = "jangteo_outbox_events";
/// Age of the oldest pending event, in seconds.
pub const OUTBOX_LAG_SECONDS: &str = "jangteo_outbox_lag_seconds";
/// Findings of the last verification of the books.
pub const VERIFICATION_FINDINGS: &str = "jangteo_verification_findings";
/// Time of the last verified snapshot, in seconds since 1970.
pub const VERIFICATION_TIMESTAMP: &str = "jangteo_verification_timestamp_seconds";
/// 1 for the database server that accepts writes, by host.
pub const WRITER: &str = "jangteo_database_writer";
/// Elections of that server.
pub const WRITER_ELECTIONS: &str = "jangteo_database_writer_elections_total";
/// Database connections, by pool and state.
pub const POOL_CONNECTIONS: &str = "jangteo_pool_connections";
/// Maximum database connections, by pool.
pub const POOL_CONNECTIONS_MAX: &str = "jangteo_pool_connections_max";

/// The target whose errors are those of callers: a malformed request, TLS on a plain port, a broken connection. Visible by
/// a directive of its own in `RUST_LOG`.
const CALLERS_ERRORS: &str = "actix_http";

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Starts the log. A second call in a process has no effect.
///
/// # Errors
/// A filter that `EnvFilter` cannot parse.
pub fn init_logs(settings: &Settings) -> anyhow::Result<()> {
    install(registry().with(logs(settings)?));
    Ok(())
}

fn logs(settings: &Settings) -> anyhow::Result<impl Layer<Registry> + use<>> {
    log_to(settings, std::io::stderr, std::io::stderr().is_terminal())
}

/// The log in the format and with the filter of the settings.
///
/// # Errors
/// A filter that `EnvFilter` cannot parse.
pub fn log_to<W>(settings: &Settings, writer: W, is_terminal: bool) -> anyhow::Result<impl Layer<Registry> + use<W>>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(format!("{CALLERS_ERRORS}=off,{}", settings.log_filter))
        .map_err(|_| anyhow!("RUST_LOG: not a filter, such as info,jangteo=debug"))?;
    let lines = fmt::layer().with_writer(writer).with_ansi(is_terminal);
    Ok(match settings.log_format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        // Spans are not nested: the list would be the current one again.
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    })
}

fn install(subscriber: impl SubscriberInitExt) {
    if subscriber.try_init().is_err() {
        tracing::debug!("the log is already started");
    }
}

/// The log and, if a collector is set, the traces of a long-running process.
#[must_use = "`shut_down` sends the last spans"]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    traces: Option<Traces>,
}

impl Telemetry {
    /// Starts the log and the export of traces, without a connection yet. Must be called on the main runtime.
    ///
    /// # Errors
    /// An invalid filter or collector.
    #[cfg(feature = "otel")]
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let traces = settings.traces_endpoint.as_ref().map(Traces::to).transpose()?;
        install(registry().with(logs(settings)?).with(traces.as_ref().map(Traces::layer)));
        Ok(Self { traces })
    }

    /// # Errors
    /// A filter that `EnvFilter` cannot parse.
    #[cfg(not(feature = "otel"))]
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        init_logs(settings)?;
        Ok(Self {})
    }

    /// Sends the last spans.
    pub async fn shut_down(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            traces.shut_down().await;
        }
    }
}

/// The metrics of this process; the first call installs their recorder.
pub fn statistics() -> PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
                .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(BATCH_SIZE.to_owned()), SIZES))
                .expect("the buckets are not empty");
            let handle = builder.install_recorder().expect("one recorder per process");
            describe();
            handle
        })
        .clone()
}

fn describe() {
    metrics::describe_histogram!(REQUEST_SECONDS, metrics::Unit::Seconds, "Requests, by route, method and status");
    metrics::describe_counter!(REQUESTS_DENIED, "Requests denied by 401, 403 or 429, by status and reason");
    metrics::describe_gauge!(TOKEN_KEYS_READ_TIMESTAMP, metrics::Unit::Seconds, "Last reading of the key set");
    metrics::describe_gauge!(TOKEN_REVOCATIONS_READ_TIMESTAMP, metrics::Unit::Seconds, "Last reading of the deny list");
    metrics::describe_counter!(CONNECTIONS_REJECTED, "Connections beyond the maximum of their client's address");
    metrics::describe_histogram!(BATCH_SIZE, "Commands per transaction");
    metrics::describe_histogram!(BATCH_SECONDS, metrics::Unit::Seconds, "Transactions with their retries");
    metrics::describe_histogram!(QUEUE_SECONDS, metrics::Unit::Seconds, "Longest wait in the queue of each batch");
    metrics::describe_gauge!(QUEUE_DEPTH, "Commands in the queue");
    metrics::describe_counter!(TRANSACTION_RETRIES, "Retried transactions, by cause");
    metrics::describe_counter!(COMMANDS, "Commands by name and outcome");
    metrics::describe_counter!(ORDERS_EXPIRED, "Orders expired by the sweeper");
    metrics::describe_gauge!(ORDERS_STUCK, "Overdue orders that this server cannot expire");
    metrics::describe_gauge!(STATISTICS_COUNTED_TIMESTAMP, metrics::Unit::Seconds, "Last count of the statistics");
    metrics::describe_gauge!(ORDERS_SWEPT_TIMESTAMP, metrics::Unit::Seconds, "Last sweep without overdue orders left");
    metrics::describe_counter!(ROWS_PRUNED, "Deleted rows, by kind");
    metrics::describe_counter!(DELIVERIES, "Delivery attempts, by outcome");
    metrics::describe_histogram!(DELIVERY_SECONDS, metrics::Unit::Seconds, "Delivery attempts, by outcome");
    metrics::describe_gauge!(OUTBOX_EVENTS, "Pending and dead events, by state");
    metrics::describe_gauge!(OUTBOX_LAG_SECONDS, metrics::Unit::Seconds, "Age of the oldest pending event");
    metrics::describe_gauge!(VERIFICATION_FINDINGS, "Findings of the last verification of the books");
    metrics::describe_gauge!(VERIFICATION_TIMESTAMP, metrics::Unit::Seconds, "Time of the last verified snapshot");
    metrics::describe_gauge!(WRITER, "1 for the database server that accepts writes");
    metrics::describe_counter!(WRITER_ELECTIONS, "Elections of the database server that accepts writes");
    metrics::describe_gauge!(POOL_CONNECTIONS, "Database connections, by pool and state");
    metrics::describe_gauge!(POOL_CONNECTIONS_MAX, "Maximum database connections, by pool");
}
