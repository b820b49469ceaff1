//! Traces over OTLP (protobuf over HTTP), with the feature `otel`.
//!
//! Spans go to a thread of the SDK, which sends them by the batch; nobody ever waits for it. A collector that is away
//! costs the spans and one warning, until it is back.

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

use crate::system::install_crypto;
use crate::telemetry::chain;
use crate::trace_parent::TraceParent;

/// What the spans are of.
const SERVICE: &str = "jangteo";
/// How long a collector may take for a batch of spans, and a server that ends waits for it.
const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(3);

/// Where spans go, until it is ended.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends spans to that collector; touches no network yet. To be called on the main runtime.
    ///
    /// # Errors
    /// When the address is none.
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

    /// What hands the spans of this program over, whatever of them is logged.
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

    /// Sends what is left.
    pub async fn end(self) {
        // It blocks until the collector has answered, which it is asked on this runtime.
        let ended = spawn_blocking(move || self.0.shutdown_with_timeout(COLLECTOR_TIMEOUT)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last spans are lost");
        }
    }
}

/// Makes the span of a request one of the trace that the caller began, where there is one.
pub fn begin_request(span: &Span, parent: Option<TraceParent<'_>>) {
    let parent = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(remote(parent)));
    // Without a collector there is nothing to set, and nothing to add to the logs.
    if span.set_parent(parent).is_ok() {
        span.record("otel.kind", "server");
    }
}

fn remote(parent: TraceParent<'_>) -> SpanContext {
    // What is parsed is hexadecimal and not zero.
    let trace_id = TraceId::from_hex(parent.trace_id).unwrap_or(TraceId::INVALID);
    let parent_id = SpanId::from_hex(parent.parent_id).unwrap_or(SpanId::INVALID);
    let flags = if parent.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(trace_id, parent_id, flags, true, TraceState::default())
}

/// Names the span of a request after its route, of which there are few whatever callers send.
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

/// The way to the collector. It takes the program's own HTTP client, and so the one TLS that there is.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
    is_away: AtomicBool,
}

impl Collector {
    fn new() -> anyhow::Result<Self> {
        install_crypto();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(COLLECTOR_TIMEOUT);
        Ok(Self { client: client.build()?, runtime: Handle::current(), is_away: AtomicBool::new(false) })
    }

    /// Tells of a change only: spans are sent every few seconds.
    fn note(&self, failure: Option<String>) {
        let was_away = self.is_away.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(reason) if !was_away => tracing::warn!(reason, "the collector does not take spans; they are lost"),
            None if was_away => tracing::info!("the collector takes spans again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The SDK asks on a thread of its own, where there is no runtime.
        let sent = self.runtime.spawn(send(self.client.clone(), request)).await?;
        self.note(match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("HTTP {}", answer.status().as_u16())),
            Err(error) => Some(chain(error)),
        });
        Ok(sent?)
    }
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
    let answer = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let status = answer.status();
    let mut response = Response::new(answer.bytes().await?);
    *response.status_mut() = status;
    Ok(response)
}
