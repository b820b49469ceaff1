//! Settings: environment variables, and keys of a TOML file by the same names in lower case. A variable beats the file,
//! and an empty one counts as absent. Nothing is started before every setting is valid. An error is one line that names
//! the setting and never shows a secret.
//!
//! | module | contents |
//! |---|---|
//! | `table` | every setting: name, type, default, meaning |
//! | `value` | the types of single settings |
//! | `source` | the file, the variables, the files of secrets |
//! | `console`, `database`, `shop`, `tokens`, `data_platform`, `log_user` | settings that depend on each other |

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use governor::Quota;
use secrecy::SecretString;

use jangteo_domain::ShopRules;
use jangteo_domain::retention::Retention;

use crate::client_address::TrustedProxies;
use crate::http::state::ShopSettings;

mod console;
mod data_platform;
mod database;
mod error;
mod log_user;
mod shop;
mod source;
mod table;
mod tokens;
mod value;

pub(crate) use console::{ConsoleSettings, OidcSettings};
pub(crate) use data_platform::DataPlatformSettings;
pub(crate) use database::{DatabaseSettings, LaneSettings};
pub(crate) use error::SettingsError;
pub(crate) use log_user::LogUser;
pub(crate) use table::help;
pub use table::{SETTINGS, Setting};
pub(crate) use tokens::{TokenKey, TokenLimits, TokenParties, TokenSettings};
pub(crate) use value::{LogFormat, TOKEN_SECRET_BYTES_MIN, TopUpBy};

use error::invalid;
use table::Values;

/// All settings, validated one by one and against each other.
#[derive(Debug)]
pub(crate) struct Settings {
    pub database: DatabaseSettings,
    pub bind: SocketAddr,
    /// `None` for metrics on the API's port.
    pub metrics_bind: Option<SocketAddr>,
    pub trusted_proxies: TrustedProxies,
    /// As written in `Origin`; empty for no CORS.
    pub cors_origins: Vec<HeaderValue>,
    pub connections_per_address_max: NonZeroUsize,
    pub keep_alive: Duration,
    /// Also of an unread body.
    pub request_head_timeout: Duration,
    pub rules: Arc<ShopRules>,
    pub shop: ShopSettings,
    pub order_sweep_interval: Duration,
    pub retention: Retention,
    pub lanes: LaneSettings,
    pub request_timeout: Duration,
    /// `None` where no key is set, which only `serve --dev` allows.
    pub tokens: Option<TokenSettings>,
    /// Also for tokens that a development key signs.
    pub token_parties: TokenParties,
    pub token_limits: TokenLimits,
    pub require_idempotency_key: bool,
    pub top_up_by: TopUpBy,
    /// Per user; `None` for no limit.
    pub rate_limit: Option<Quota>,
    /// Per address.
    pub rate_limit_anonymous: Option<Quota>,
    pub data_platform: DataPlatformSettings,
    pub console: ConsoleSettings,
    pub auto_migrate: bool,
    pub log_format: LogFormat,
    pub log_user: LogUser,
    /// Directives of `tracing_subscriber`'s `EnvFilter`.
    pub log_filter: String,
    /// The address may contain a credential.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "`None` in builds without traces"))]
    pub traces_endpoint: Option<SecretString>,
    /// The keys of the settings that are set.
    keys: BTreeSet<String>,
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
        let (values, keys) = source::read(file, variables)?;
        Self::new(values, keys)
    }

    /// Rejects the settings of a real shop: the demo signs with a key of its own, and prints admin tokens.
    ///
    /// # Errors
    /// The first setting that `serve --dev` does not accept.
    pub fn check_demo(&self) -> Result<(), SettingsError> {
        if let Some(key) = self.keys.iter().find(|key| key.starts_with("jwt_")) {
            return Err(invalid(key.to_ascii_uppercase(), "not with `serve --dev`, which has a key of its own"));
        }
        if !self.bind.ip().is_loopback() {
            return Err(invalid("BIND", "a loopback address with `serve --dev`, which prints admin tokens"));
        }
        Ok(())
    }

    fn new(values: Values, keys: BTreeSet<String>) -> Result<Self, SettingsError> {
        let database = DatabaseSettings::from(&values);
        Ok(Self {
            rules: Arc::new(shop::rules(&values)?),
            shop: shop::description(&values),
            retention: shop::retention(&values)?,
            lanes: LaneSettings::new(&values, &database)?,
            log_user: LogUser::new(&values)?,
            tokens: TokenSettings::new(&values)?,
            data_platform: DataPlatformSettings::new(&values)?,
            console: ConsoleSettings::new(&values)?,
            token_parties: TokenParties { issuer: values.jwt_issuer, audience: values.jwt_audience },
            token_limits: TokenLimits {
                lifetime_max: values.token_lifetime_max,
                key_set_stale_max: values.jwks_stale_max,
            },
            database,
            bind: values.bind,
            metrics_bind: values.metrics_bind,
            trusted_proxies: TrustedProxies {
                networks: values.trusted_proxies.0,
                header: values.client_address_header.0,
            },
            cors_origins: values.cors_origins.0,
            connections_per_address_max: values.connections_per_address_max,
            keep_alive: values.keep_alive,
            request_head_timeout: values.request_head_timeout,
            order_sweep_interval: values.order_sweep_interval,
            request_timeout: values.request_timeout,
            require_idempotency_key: values.require_idempotency_key,
            top_up_by: values.top_up_by,
            rate_limit: values.rate_limit.0,
            rate_limit_anonymous: values.rate_limit_anonymous.0,
            auto_migrate: values.auto_migrate,
            log_format: values.log_format,
            log_filter: values.rust_log,
            traces_endpoint: values.otel_exporter_otlp_endpoint.map(|collector| collector.0),
            keys,
        })
    }
}

#[cfg(test)]
mod tests;
