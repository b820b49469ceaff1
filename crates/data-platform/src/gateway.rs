use std::error::Error as _;
use std::num::IntErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use jangteo_domain::delivery::{DataPlatform, DeliveryFailure, StoredEvent};
use reqwest::header::{CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::cloud_event::{CONTENT_TYPE, CloudEvent};
use crate::destination::{Destination, InvalidDestination, PermittedAddresses};
use crate::signature::{SIGNATURE_HEADER, Signature};

/// Address and credentials of the data platform.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Target of the POST requests.
    pub destination: Destination,
    /// Signing key; events are unsigned without one.
    pub secret: Option<SecretString>,
    /// Maximum duration of one attempt, from connecting to the end of the response head.
    pub timeout: Duration,
}

/// The data platform over HTTP. Redirects are not followed. Only the head of a response is read, so that an endless
/// body costs nothing.
#[derive(Debug, Clone)]
pub struct HttpDataPlatform {
    client: Client,
    url: Url,
    secret: Option<SecretString>,
}

/// The HTTP client cannot be built.
#[derive(Debug, Error)]
#[error("the client of the data platform cannot be built")]
pub struct InvalidGateway(#[source] reqwest::Error);

impl HttpDataPlatform {
    /// Creates the client without network access.
    ///
    /// # Errors
    /// A missing TLS provider or root certificate.
    pub fn new(settings: GatewaySettings) -> Result<Self, InvalidGateway> {
        let GatewaySettings { destination, secret, timeout } = settings;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(PermittedAddresses))
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .user_agent(concat!("jangteo/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(InvalidGateway)?;
        Ok(Self { client, url: destination.url(), secret })
    }
}

/// Maximum time to connect: an unreachable host fails sooner than a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

#[async_trait]
impl DataPlatform for HttpDataPlatform {
    async fn deliver(&self, event: &StoredEvent) -> Result<(), DeliveryFailure> {
        let body = CloudEvent::of(event)
            .and_then(|event| serde_json::to_vec(&event))
            .map_err(|error| DeliveryFailure::Permanent { reason: format!("the stored body is not JSON: {error}") })?;
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE_HEADER, CONTENT_TYPE);
        if let Some(secret) = &self.secret {
            let signature = Signature::sign(secret.expose_secret().as_bytes(), unix_seconds(), &body);
            request = request.header(SIGNATURE_HEADER, signature.to_string());
        }
        let response = request
            .body(body)
            .send()
            .await
            .map_err(|error| DeliveryFailure::Transient { reason: error_text(&error), retry_after: None })?;
        map_response(response.status(), response.headers())
    }
}

/// Maps a response: 2xx is receipt; 4xx other than 408, 425 and 429 is a permanent failure; all others are transient.
fn map_response(status: StatusCode, headers: &HeaderMap) -> Result<(), DeliveryFailure> {
    let reason = format!("HTTP {}", status.as_u16());
    let is_transient =
        matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    if status.is_success() {
        Ok(())
    } else if status.is_client_error() && !is_transient {
        Err(DeliveryFailure::Permanent { reason })
    } else {
        Err(DeliveryFailure::Transient { reason, retry_after: retry_after(headers, SystemTime::now()) })
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, §10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(Duration::MAX),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).ok(),
    }
}

/// Error text without the URL, which may contain a credential.
fn error_text(error: &reqwest::Error) -> String {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    let text = if causes.any(|cause| cause.is::<InvalidDestination>()) {
        "the name resolves to a link-local address or a metadata service"
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection failed"
    };
    text.to_owned()
}

fn unix_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use reqwest::dns::{Name, Resolve, Resolving};

    use super::*;

    struct OnlyMetadata;

    impl Resolve for OnlyMetadata {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(async { Err(InvalidDestination::Metadata.into()) })
        }
    }

    #[tokio::test]
    async fn a_name_of_a_metadata_service_is_the_reason() {
        // Already installed by another test of this process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().dns_resolver(Arc::new(OnlyMetadata)).build().expect("a client");
        let error = client.get("http://data.example/").send().await.expect_err("no address");
        assert!(error_text(&error).contains("metadata"), "{}", error_text(&error));
    }

    fn headers(retry_after: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, retry_after.parse().expect("a header"))])
    }

    fn is_rejected(status: u16) -> bool {
        let status = StatusCode::from_u16(status).expect("a status");
        matches!(map_response(status, &HeaderMap::new()), Err(DeliveryFailure::Permanent { .. }))
    }

    #[test]
    fn accepts_only_2xx_as_receipt() {
        for status in 100..600 {
            let received = map_response(StatusCode::from_u16(status).expect("a status"), &HeaderMap::new()).is_ok();
            assert_eq!(received, (200..300).contains(&status), "{status}");
        }
    }

    #[test]
    fn fails_permanently_only_on_a_permanent_4xx() {
        for status in 300..600 {
            let is_permanent = (400..500).contains(&status) && ![408, 425, 429].contains(&status);
            assert_eq!(is_rejected(status), is_permanent, "{status}");
        }
    }

    #[test]
    fn reads_retry_after_as_seconds_and_as_a_date() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 00:00:00 GMT").expect("a date");
        assert_eq!(retry_after(&headers("7"), now), Some(Duration::from_secs(7)));
        let date = headers("Sat, 21 Nov 2026 00:01:00 GMT");
        assert_eq!(retry_after(&date, now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after(&headers("99999999999999999999"), now), Some(Duration::MAX));
        assert_eq!(retry_after(&headers("soon"), now), None);
        assert_eq!(retry_after(&headers("Sat, 21 Nov 2020 00:00:00 GMT"), now), None);
    }
}
