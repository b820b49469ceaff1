//! The delivery of events.

use std::time::Duration;

use jangteo_data_platform::{Destination, InvalidDestination};
use jangteo_domain::delivery::RetryPolicy;
use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::error::{SettingsError, invalid};
use crate::settings::table::Values;
use crate::settings::value::WebUrl;

/// A shutdown waits for the deliveries in flight.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// The receiver of events and the retry policy.
#[derive(Debug)]
pub struct DataPlatformSettings {
    /// Events wait in the outbox without it.
    pub destination: Option<Destination>,
    pub secret: Option<SecretString>,
    pub timeout: Duration,
    pub retry: RetryPolicy,
}

impl DataPlatformSettings {
    pub(super) fn new(values: &Values) -> Result<Self, SettingsError> {
        let retry = RetryPolicy { first: values.data_platform_pause_first, longest: values.data_platform_pause_max };
        if retry.longest < retry.first {
            return Err(invalid("DATA_PLATFORM_PAUSE_MAX", "at least DATA_PLATFORM_PAUSE_FIRST"));
        }
        if values.data_platform_timeout > TIMEOUT_MAX {
            return Err(invalid("DATA_PLATFORM_TIMEOUT", "at most 5m"));
        }
        let destination = |url: &WebUrl| Destination::parse(url.0.expose_secret(), values.data_platform_allow_http);
        Ok(Self {
            destination: values.data_platform_url.as_ref().map(destination).transpose().map_err(invalid_destination)?,
            secret: values.data_platform_secret.as_ref().map(|secret| secret.0.clone()),
            timeout: values.data_platform_timeout,
            retry,
        })
    }
}

fn invalid_destination(error: InvalidDestination) -> SettingsError {
    let advice = match error {
        InvalidDestination::Malformed | InvalidDestination::Metadata => "",
        InvalidDestination::Unencrypted => " or DATA_PLATFORM_ALLOW_HTTP=true",
    };
    invalid("DATA_PLATFORM_URL", format!("{error}{advice}"))
}
