//! Settings: environment variables, and keys of a TOML file by the same names in lower case. A variable beats the file,
//! and an empty one counts as absent. Nothing is started before every setting is valid. An error is one line that names
//! the setting and never shows a secret.
//!
//! | module | contents |
//! |---|---|
//! | `table` | every setting: name, type, default, meaning |
//! | `value` | the types of single settings |
//! | `source` | the file, the variables, the files of secrets |
//! | `database`, `shop`, `tokens`, `data_platform` | settings that depend on each other |

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use governor::Quota;
use secrecy::SecretString;
use thiserror::Error;

use jangteo_domain::ShopRules;
use jangteo_domain::retention::Retention;

mod data_platform;
mod database;
mod shop;
mod source;
mod table;
mod tokens;
mod value;

pub use data_platform::DataPlatformSettings;
pub use database::{DatabaseSettings, LaneSettings};
pub use table::{SETTINGS, Setting, help};
pub use tokens::{SECRET_BYTES_MIN, TokenKey, TokenParties, TokenSettings};
pub use value::LogFormat;

use table::Values;

/// All settings, validated.
#[derive(Debug)]
#[expect(missing_docs, reason = "the table of settings has their meanings")]
pub struct Settings {
    pub database: DatabaseSettings,
    pub bind: SocketAddr,
    /// `None` for metrics on the API's port.
    pub metrics_bind: Option<SocketAddr>,
    pub rules: Arc<ShopRules>,
    pub order_sweep_interval: Duration,
    pub retention: Retention,
    pub lanes: LaneSettings,
    pub request_timeout: Duration,
    /// `None` where no key is set, which only `serve --dev` allows.
    pub tokens: Option<TokenSettings>,
    /// Also for tokens that a development key signs.
    pub token_parties: TokenParties,
    pub require_idempotency_key: bool,
    /// Per caller; `None` for no limit.
    pub rate_limit: Option<Quota>,
    pub data_platform: DataPlatformSettings,
    pub auto_migrate: bool,
    pub log_format: LogFormat,
    /// Directives of `tracing_subscriber`'s `EnvFilter`.
    pub log_filter: String,
    /// The address may contain a credential.
    pub traces_endpoint: Option<SecretString>,
}

/// An invalid setting.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file is unreadable, or has an unknown key.
    #[error("the configuration file: {0}")]
    File(String),
    /// A value is invalid by itself, or beside another setting.
    #[error("{name}: {reason}")]
    Invalid {
        /// The variable.
        name: String,
        /// The accepted values, without the rejected one: it may be secret.
        reason: Cow<'static, str>,
    },
    /// The limits of the shop contradict each other.
    #[error("the limits of the shop: {0}")]
    Limits(String),
}

impl Settings {
    /// Reads the settings from the environment and a file.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let names = SETTINGS.iter().flat_map(Setting::variables);
        Self::from_sources(file, names.filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect())
    }

    /// Reads the settings from variables, by their names in upper case, and a file.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn from_sources(file: Option<&Path>, variables: HashMap<String, String>) -> Result<Self, SettingsError> {
        source::read(file, variables)?.try_into()
    }
}

impl TryFrom<Values> for Settings {
    type Error = SettingsError;

    fn try_from(values: Values) -> Result<Self, SettingsError> {
        let database = DatabaseSettings::from(&values);
        Ok(Self {
            rules: Arc::new(shop::rules(&values)?),
            retention: shop::retention(&values)?,
            lanes: LaneSettings::new(&values, &database)?,
            tokens: TokenSettings::new(&values)?,
            data_platform: DataPlatformSettings::new(&values)?,
            token_parties: TokenParties { issuer: values.jwt_issuer, audience: values.jwt_audience },
            database,
            bind: values.bind,
            metrics_bind: values.metrics_bind,
            order_sweep_interval: values.order_sweep_interval,
            request_timeout: values.request_timeout,
            require_idempotency_key: values.require_idempotency_key,
            rate_limit: values.rate_limit.0,
            auto_migrate: values.auto_migrate,
            log_format: values.log_format,
            log_filter: values.rust_log,
            traces_endpoint: values.otel_exporter_otlp_endpoint.map(|collector| collector.0),
        })
    }
}

fn invalid(name: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> SettingsError {
    SettingsError::Invalid { name: name.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests;
