//! The delivery of events.

use std::time::Duration;

use jangteo_domain::delivery::RetryPolicy;
use secrecy::SecretString;

use crate::settings::error::{SettingsError, invalid};
use crate::settings::table::Values;

/// A shutdown waits for the deliveries in flight.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// The receiver of events and the retry policy.
#[derive(Debug)]
pub struct DataPlatformSettings {
    /// It may contain a credential. Events wait in the outbox without it.
    pub url: Option<SecretString>,
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
        Ok(Self {
            url: values.data_platform_url.as_ref().map(|url| url.0.clone()),
            secret: values.data_platform_secret.as_ref().map(|secret| secret.0.clone()),
            timeout: values.data_platform_timeout,
            retry,
        })
    }
}
