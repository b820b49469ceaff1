//! Traces over OTLP (protobuf over HTTP), with the feature `otel`.
//!
//! A thread of the SDK sends spans in batches; no request waits for it. While the collector is unavailable, spans are
//! lost and one warning is logged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use anyhow::Context as _;
use async_trait::async_trait;
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::error_chain::chain;
use crate::system::install_crypto;
use crate::trace_parent::TraceParent;

/// The service name of all spans.
const SERVICE: &str = "jangteo";
/// Timeout of a batch of spans, and so the delay of a shutdown.
const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(3);

/// The export of spans, until it is shut down.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Exports spans to a collector, without a connection yet. Must be called on the main runtime.
    ///
    /// # Errors
    /// An endpoint that is no URL.
    pub fn to(endpoint: &SecretString) -> anyhow::Result<Self> {
        let endpoint = format!("{}/v1/traces", endpoint.expose_secret().trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .build()
            .context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
        let resource = Resource::builder().with_service_name(SERVICE).build();
        Ok(Self(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
    }

    /// The layer that exports the spans of this crate, independent of the log filter.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_filter(Targets::new().with_target(SERVICE, LevelFilter::INFO))
    }

    /// Sends the remaining spans.
    pub async fn shut_down(self) {
        // It blocks until the collector responds to a request that runs on this runtime.
        let sent = spawn_blocking(move || self.0.shutdown_with_timeout(COLLECTOR_TIMEOUT)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be sent");
        }
    }
}

/// Adds the span of a request to the caller's trace, if there is one.
pub fn begin_request(span: &Span, parent: Option<TraceParent<'_>>) {
    let parent = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(remote(parent)));
    // Fails without a collector; then the logs need no field either.
    if span.set_parent(parent).is_ok() {
        span.record("otel.kind", "server");
    }
}

fn remote(parent: TraceParent<'_>) -> SpanContext {
    // Parsed ids are hexadecimal and not zero.
    let trace_id = TraceId::from_hex(parent.trace_id).unwrap_or(TraceId::INVALID);
    let parent_id = SpanId::from_hex(parent.parent_id).unwrap_or(SpanId::INVALID);
    let flags = if parent.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(trace_id, parent_id, flags, true, TraceState::default())
}

/// Names the span of a request after its route: paths would be too many names.
pub fn end_request(span: &Span, method: &Method, route: Option<&str>, status: StatusCode) {
    let context = span.context();
    let span = context.span();
    if let Some(route) = route {
        span.update_name(format!("{method} {route}"));
    }
    if status.is_server_error() {
        span.set_status(Status::error(status.as_str().to_owned()));
    }
}

/// The client of the collector, with the HTTP and TLS libraries of the rest of the program.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
    is_unavailable: AtomicBool,
}

impl Collector {
    fn new() -> anyhow::Result<Self> {
        install_crypto();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(COLLECTOR_TIMEOUT);
        Ok(Self { client: client.build()?, runtime: Handle::current(), is_unavailable: AtomicBool::new(false) })
    }

    /// Logs changes only: spans are sent every few seconds.
    fn log_change(&self, failure: Option<String>) {
        let was_unavailable = self.is_unavailable.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(reason) if !was_unavailable => tracing::warn!(reason, "the collector is unavailable; spans are lost"),
            None if was_unavailable => tracing::info!("the collector is available again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The SDK calls this on its own thread, which has no runtime.
        let sent = self.runtime.spawn(send(self.client.clone(), request)).await?;
        self.log_change(match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("HTTP {}", response.status().as_u16())),
            Err(error) => Some(chain(error)),
        });
        Ok(sent?)
    }
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
    let received = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let status = received.status();
    let mut response = Response::new(received.bytes().await?);
    *response.status_mut() = status;
    Ok(response)
}
