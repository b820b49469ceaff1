//! The settings: environment variables and, where one is named, a TOML file of the same names in lower case. A
//! variable beats the file. Everything is checked before anything is started, and every error is one line that
//! names the setting and never shows a secret.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use governor::Quota;
use jsonwebtoken::Algorithm;
use rust_decimal::Decimal;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use thiserror::Error;

use jangteo_domain::delivery::RetryPolicy;
use jangteo_domain::retention::Retention;
use jangteo_domain::{Currency, Money, ShopRules};

use crate::system::TimeZoneCalendar;

/// The fewest bytes of a secret for HS256: as many as its hash has (RFC 7518, 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// The fewest bytes of the secret that events are signed with.
const DATA_PLATFORM_SECRET_BYTES_MIN: usize = 16;
/// The longest that one attempt to deliver an event may take: a server that is told to end waits for it.
const DATA_PLATFORM_TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// Everything that an operator can set, checked.
#[derive(Debug)]
pub struct Settings {
    /// Where the shop is kept.
    pub database: DatabaseSettings,
    /// Where the API listens.
    pub bind: SocketAddr,
    /// Where the metrics listen, when not beside the API.
    pub metrics_bind: Option<SocketAddr>,
    /// The shop's rules.
    pub rules: Arc<ShopRules>,
    /// How often overdue orders are looked for.
    pub order_sweep_interval: Duration,
    /// How long what is only needed for a while is kept.
    pub retention: Retention,
    /// The write path's bounds.
    pub lanes: LaneSettings,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Who may call; `None` where no key is set, which only `serve --dev` allows.
    pub tokens: Option<TokenSettings>,
    /// Whose tokens, for whom; also of tokens made with a development key.
    pub token_parties: TokenParties,
    /// Whether every write must carry an `Idempotency-Key`.
    pub require_idempotency_key: bool,
    /// How many requests a caller may send; `None` for no limit.
    pub rate_limit: Option<Quota>,
    /// Who is told of paid and refunded orders, and how.
    pub data_platform: DataPlatformSettings,
    /// Whether `serve` migrates the database by itself.
    pub auto_migrate: bool,
    /// How logs are written.
    pub log_format: LogFormat,
    /// Which logs are written, in the words of `tracing_subscriber`'s `EnvFilter`.
    pub log_filter: String,
    /// The collector that traces are sent to, with the feature `otel`. It may hold a credential.
    pub traces_endpoint: Option<SecretString>,
}

/// Where the shop is kept.
#[derive(Debug)]
pub struct DatabaseSettings {
    /// `sqlite:PATH` or `mysql://user:password@host:port/name`.
    pub url: SecretString,
    /// A replica for reads.
    pub read_url: Option<SecretString>,
    /// The most connections for reads.
    pub pool_max: u32,
}

impl DatabaseSettings {
    /// The file of an SQLite database.
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.url.expose_secret().strip_prefix("sqlite:").map(Path::new)
    }

    /// What it is called in front of an operator: a file by its path. The address of a server may hold a secret.
    pub fn called(&self) -> String {
        self.sqlite_path().map_or_else(|| "the database".to_owned(), |path| format!("the database {}", path.display()))
    }
}

/// The write path's bounds.
#[derive(Debug, Clone, Copy)]
pub struct LaneSettings {
    /// The most commands of a transaction.
    pub batch_max: NonZeroUsize,
    /// How many transactions run at once.
    pub write_lanes: NonZeroU32,
    /// The most commands that wait.
    pub queue_max: NonZeroUsize,
    /// How long a caller's command waits for its turn.
    pub queue_wait_max: Duration,
}

/// Who is told of paid and refunded orders, and how.
#[derive(Debug)]
pub struct DataPlatformSettings {
    /// Where events are sent, `http` or `https`; without it they wait. It may hold a credential.
    pub url: Option<SecretString>,
    /// What they are signed with.
    pub secret: Option<SecretString>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long an event that was not delivered waits before it is sent again.
    pub retry: RetryPolicy,
}

/// How tokens are checked.
#[derive(Debug)]
pub struct TokenSettings {
    /// The one algorithm.
    pub algorithm: Algorithm,
    /// With what.
    pub key: TokenKey,
}

/// What signatures are checked with.
#[derive(Debug)]
pub enum TokenKey {
    /// A shared secret of at least [`SECRET_BYTES_MIN`] bytes.
    Secret(SecretString),
    /// A file with a public key in PEM.
    PublicKeyFile(PathBuf),
    /// A file with a JSON Web Key Set.
    KeySetFile(PathBuf),
    /// A web address of a JSON Web Key Set.
    KeySetUrl(String),
}

/// Who signs tokens and for whom.
#[derive(Debug, Clone)]
pub struct TokenParties {
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `aud`.
    pub audience: String,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one JSON object a line.
    Json,
}

/// A setting that is wrong.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// One that is set but means nothing.
    #[error("{name}: {reason}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What is wrong with it, without its value where that may be secret.
        reason: String,
    },
    /// The file cannot be read or holds something unknown.
    #[error("the configuration file: {0}")]
    File(String),
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let from_environment =
            NAMES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
        Self::from_sources(file, from_environment)
    }

    /// Checks settings that were read already; variables by their names in upper case.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_sources(
        file: Option<&Path>,
        variables: std::collections::HashMap<String, String>,
    ) -> Result<Self, SettingsError> {
        let mut sources = Config::builder();
        if let Some(path) = file {
            sources = sources.add_source(File::from(path).format(FileFormat::Toml));
        }
        let variables = variables.into_iter().collect();
        sources = sources.add_source(Environment::default().ignore_empty(true).source(Some(variables)));
        let raw = sources.build().and_then(Config::try_deserialize).map_err(|error| one_line(&error))?;
        Self::check(raw)
    }

    fn check(raw: Raw) -> Result<Self, SettingsError> {
        let rules = Arc::new(check_rules(&raw)?);
        let database = check_database(&raw)?;
        let is_sqlite = database.sqlite_path().is_some();
        Ok(Self {
            bind: parse("BIND", raw.bind.as_deref(), "127.0.0.1:8080", "an address and port, such as 0.0.0.0:8080")?,
            metrics_bind: optional(raw.metrics_bind.as_deref(), |text| {
                parse("METRICS_BIND", Some(text), "", "an address and port, such as 0.0.0.0:9090")
            })?,
            retention: check_retention(&raw)?,
            order_sweep_interval: duration("ORDER_SWEEP_INTERVAL", raw.order_sweep_interval.as_deref(), "1s")?,
            lanes: check_lanes(&raw, is_sqlite)?,
            request_timeout: duration("REQUEST_TIMEOUT", raw.request_timeout.as_deref(), "10s")?,
            tokens: check_tokens(&raw)?,
            token_parties: TokenParties {
                issuer: raw.jwt_issuer.clone().unwrap_or_else(|| "jangteo".to_owned()),
                audience: raw.jwt_audience.clone().unwrap_or_else(|| "jangteo".to_owned()),
            },
            require_idempotency_key: boolean(
                "REQUIRE_IDEMPOTENCY_KEY",
                raw.require_idempotency_key.as_deref(),
                "false",
            )?,
            rate_limit: rate_limit(raw.rate_limit.as_deref().unwrap_or("600/m"))?,
            data_platform: check_data_platform(&raw)?,
            auto_migrate: boolean("AUTO_MIGRATE", raw.auto_migrate.as_deref(), "true")?,
            log_format: match raw.log_format.as_deref() {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(_) => return Err(invalid("LOG_FORMAT", "text or json")),
            },
            traces_endpoint: check_traces(&raw)?,
            log_filter: raw.rust_log.unwrap_or_else(|| "info".to_owned()),
            rules,
            database,
        })
    }
}

macro_rules! raw_settings {
    ($($field:ident $name:literal,)*) => {
        /// The variables that are read; no other is looked at.
        const NAMES: &[&str] = &[$($name,)*];

        /// The settings as they were written.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            $($field: Option<String>,)*
        }
    };
}

raw_settings! {
    database_url "DATABASE_URL",
    database_read_url "DATABASE_READ_URL",
    database_pool_max "DATABASE_POOL_MAX",
    bind "BIND",
    metrics_bind "METRICS_BIND",
    currency "CURRENCY",
    shop_time_zone "SHOP_TIME_ZONE",
    order_ttl "ORDER_TTL",
    order_sweep_interval "ORDER_SWEEP_INTERVAL",
    idempotency_retention "IDEMPOTENCY_RETENTION",
    event_retention "EVENT_RETENTION",
    top_up_max "TOP_UP_MAX",
    balance_max "BALANCE_MAX",
    order_lines_max "ORDER_LINES_MAX",
    order_quantity_max "ORDER_QUANTITY_MAX",
    open_orders_max "OPEN_ORDERS_MAX",
    batch_max "BATCH_MAX",
    write_lanes "WRITE_LANES",
    queue_max "QUEUE_MAX",
    queue_wait_max "QUEUE_WAIT_MAX",
    request_timeout "REQUEST_TIMEOUT",
    jwt_algorithm "JWT_ALGORITHM",
    jwt_secret "JWT_SECRET",
    jwt_public_key_file "JWT_PUBLIC_KEY_FILE",
    jwt_jwks "JWT_JWKS",
    jwt_issuer "JWT_ISSUER",
    jwt_audience "JWT_AUDIENCE",
    require_idempotency_key "REQUIRE_IDEMPOTENCY_KEY",
    rate_limit "RATE_LIMIT",
    data_platform_url "DATA_PLATFORM_URL",
    data_platform_secret "DATA_PLATFORM_SECRET",
    data_platform_timeout "DATA_PLATFORM_TIMEOUT",
    data_platform_pause_first "DATA_PLATFORM_PAUSE_FIRST",
    data_platform_pause_max "DATA_PLATFORM_PAUSE_MAX",
    auto_migrate "AUTO_MIGRATE",
    log_format "LOG_FORMAT",
    rust_log "RUST_LOG",
    otel_exporter_otlp_endpoint "OTEL_EXPORTER_OTLP_ENDPOINT",
}

fn check_rules(raw: &Raw) -> Result<ShopRules, SettingsError> {
    let currency = Currency::from_code(raw.currency.as_deref().unwrap_or("KRW"))
        .ok_or_else(|| invalid("CURRENCY", "a currency code of ISO 4217 with at most 4 decimals, such as KRW"))?;
    let zone = raw.shop_time_zone.as_deref().unwrap_or("Asia/Seoul");
    let calendar = TimeZoneCalendar::of(zone)
        .ok_or_else(|| invalid("SHOP_TIME_ZONE", "a time zone of the IANA database, such as Asia/Seoul"))?;
    let order_ttl = duration("ORDER_TTL", raw.order_ttl.as_deref(), "10m")?;
    let rules = ShopRules {
        currency,
        top_up_max: amount("TOP_UP_MAX", raw.top_up_max.as_deref(), "1000000", currency)?,
        balance_max: amount("BALANCE_MAX", raw.balance_max.as_deref(), "10000000", currency)?,
        order_ttl: order_ttl.try_into().map_err(|_| invalid("ORDER_TTL", "too long"))?,
        order_lines_max: count("ORDER_LINES_MAX", raw.order_lines_max.as_deref(), "100")?,
        order_quantity_max: count("ORDER_QUANTITY_MAX", raw.order_quantity_max.as_deref(), "1000")?,
        open_orders_max: count("OPEN_ORDERS_MAX", raw.open_orders_max.as_deref(), "20")?,
        calendar: Arc::new(calendar),
    };
    rules.check().map_err(|error| invalid("the limits of the shop", error.to_string()))?;
    Ok(rules)
}

/// A client may count on its keys for a day, whatever an operator says.
const IDEMPOTENCY_RETENTION_MIN: Duration = Duration::from_secs(24 * 60 * 60);

fn check_retention(raw: &Raw) -> Result<Retention, SettingsError> {
    let answered_requests = duration("IDEMPOTENCY_RETENTION", raw.idempotency_retention.as_deref(), "24h")?;
    if answered_requests < IDEMPOTENCY_RETENTION_MIN {
        return Err(invalid("IDEMPOTENCY_RETENTION", "at least 24h"));
    }
    let delivered_events = duration("EVENT_RETENTION", raw.event_retention.as_deref(), "30d")?;
    let in_range = |name, duration: Duration| duration.try_into().map_err(|_| invalid(name, "too long"));
    Ok(Retention {
        answered_requests: in_range("IDEMPOTENCY_RETENTION", answered_requests)?,
        delivered_events: in_range("EVENT_RETENTION", delivered_events)?,
    })
}

fn check_database(raw: &Raw) -> Result<DatabaseSettings, SettingsError> {
    let url = raw.database_url.clone().unwrap_or_else(|| "sqlite:jangteo.db".to_owned());
    let is_database = |url: &str| {
        url.strip_prefix("sqlite:").or_else(|| url.strip_prefix("mysql://")).is_some_and(|rest| !rest.is_empty())
    };
    let forms = "sqlite:PATH or mysql://user:password@host:port/name";
    if !is_database(&url) {
        return Err(invalid("DATABASE_URL", forms));
    }
    if raw.database_read_url.as_deref().is_some_and(|url| !is_database(url)) {
        return Err(invalid("DATABASE_READ_URL", forms));
    }
    Ok(DatabaseSettings {
        url: url.into(),
        read_url: raw.database_read_url.clone().map(Into::into),
        pool_max: count("DATABASE_POOL_MAX", raw.database_pool_max.as_deref(), "16")?,
    })
}

fn check_lanes(raw: &Raw, is_sqlite: bool) -> Result<LaneSettings, SettingsError> {
    let default = if is_sqlite { "1" } else { "2" };
    let write_lanes: NonZeroU32 = parse("WRITE_LANES", raw.write_lanes.as_deref(), default, "a number above zero")?;
    if is_sqlite && write_lanes.get() > 1 {
        return Err(invalid("WRITE_LANES", "SQLite has one writer, so there is one lane"));
    }
    Ok(LaneSettings {
        batch_max: parse("BATCH_MAX", raw.batch_max.as_deref(), "256", "a number above zero")?,
        write_lanes,
        queue_max: parse("QUEUE_MAX", raw.queue_max.as_deref(), "10000", "a number above zero")?,
        queue_wait_max: duration("QUEUE_WAIT_MAX", raw.queue_wait_max.as_deref(), "500ms")?,
    })
}

fn check_data_platform(raw: &Raw) -> Result<DataPlatformSettings, SettingsError> {
    if raw.data_platform_url.as_deref().is_some_and(|url| !is_web_address(url)) {
        return Err(invalid("DATA_PLATFORM_URL", "a web address, such as https://data.example/events"));
    }
    if raw.data_platform_secret.as_ref().is_some_and(|secret| secret.len() < DATA_PLATFORM_SECRET_BYTES_MIN) {
        return Err(invalid("DATA_PLATFORM_SECRET", format!("at least {DATA_PLATFORM_SECRET_BYTES_MIN} bytes")));
    }
    let retry = RetryPolicy {
        first: duration("DATA_PLATFORM_PAUSE_FIRST", raw.data_platform_pause_first.as_deref(), "1s")?,
        longest: duration("DATA_PLATFORM_PAUSE_MAX", raw.data_platform_pause_max.as_deref(), "5m")?,
    };
    if retry.longest < retry.first {
        return Err(invalid("DATA_PLATFORM_PAUSE_MAX", "not shorter than DATA_PLATFORM_PAUSE_FIRST"));
    }
    let timeout = duration("DATA_PLATFORM_TIMEOUT", raw.data_platform_timeout.as_deref(), "10s")?;
    if timeout > DATA_PLATFORM_TIMEOUT_MAX {
        return Err(invalid("DATA_PLATFORM_TIMEOUT", "at most 5m"));
    }
    Ok(DataPlatformSettings {
        url: raw.data_platform_url.clone().map(Into::into),
        secret: raw.data_platform_secret.clone().map(Into::into),
        timeout,
        retry,
    })
}

fn check_traces(raw: &Raw) -> Result<Option<SecretString>, SettingsError> {
    let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
    match &raw.otel_exporter_otlp_endpoint {
        None => Ok(None),
        Some(_) if !cfg!(feature = "otel") => {
            Err(invalid(name, "traces are only sent by a server that was built with `--features jangteo/otel`"))
        }
        Some(url) if is_web_address(url) => Ok(Some(url.clone().into())),
        Some(_) => Err(invalid(name, "a web address, such as http://127.0.0.1:4318")),
    }
}

fn is_web_address(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn check_tokens(raw: &Raw) -> Result<Option<TokenSettings>, SettingsError> {
    let algorithm = match raw.jwt_algorithm.as_deref() {
        None => None,
        Some("HS256") => Some(Algorithm::HS256),
        Some("RS256") => Some(Algorithm::RS256),
        Some("ES256") => Some(Algorithm::ES256),
        Some("EdDSA") => Some(Algorithm::EdDSA),
        Some(_) => return Err(invalid("JWT_ALGORITHM", "HS256, RS256, ES256 or EdDSA")),
    };
    let (algorithm, key) = match (&raw.jwt_secret, &raw.jwt_public_key_file, &raw.jwt_jwks) {
        (None, None, None) if algorithm.is_none() => return Ok(None),
        (None, None, None) => {
            return Err(invalid("JWT_ALGORITHM", "needs JWT_SECRET, JWT_PUBLIC_KEY_FILE or JWT_JWKS beside it"));
        }
        (Some(secret), None, None) => {
            if secret.len() < SECRET_BYTES_MIN {
                return Err(invalid("JWT_SECRET", format!("at least {SECRET_BYTES_MIN} bytes")));
            }
            (algorithm.unwrap_or(Algorithm::HS256), TokenKey::Secret(secret.clone().into()))
        }
        (None, Some(path), None) => {
            let missing = || invalid("JWT_ALGORITHM", "RS256, ES256 or EdDSA, beside JWT_PUBLIC_KEY_FILE");
            (algorithm.ok_or_else(missing)?, TokenKey::PublicKeyFile(path.into()))
        }
        (None, None, Some(place)) => {
            let missing = || invalid("JWT_ALGORITHM", "RS256, ES256 or EdDSA, beside JWT_JWKS");
            (algorithm.ok_or_else(missing)?, key_set(place)?)
        }
        _ => return Err(invalid("JWT_SECRET", "one of JWT_SECRET, JWT_PUBLIC_KEY_FILE and JWT_JWKS, not several")),
    };
    if (algorithm == Algorithm::HS256) != matches!(key, TokenKey::Secret(_)) {
        return Err(invalid("JWT_ALGORITHM", "HS256 goes with JWT_SECRET, the others with a public key"));
    }
    Ok(Some(TokenSettings { algorithm, key }))
}

fn key_set(place: &str) -> Result<TokenKey, SettingsError> {
    if let Some(rest) = place.strip_prefix("http://") {
        let is_local = ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|host| rest.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])));
        if !is_local {
            return Err(invalid("JWT_JWKS", "keys are fetched by https only, but from this machine"));
        }
    }
    let is_url = place.starts_with("http://") || place.starts_with("https://");
    Ok(if is_url { TokenKey::KeySetUrl(place.to_owned()) } else { TokenKey::KeySetFile(place.into()) })
}

fn rate_limit(text: &str) -> Result<Option<Quota>, SettingsError> {
    if text == "off" {
        return Ok(None);
    }
    let parsed = text.split_once('/').and_then(|(count, unit)| {
        let count: NonZeroU32 = count.trim().parse().ok()?;
        match unit.trim() {
            "s" => Some(Quota::per_second(count)),
            "m" => Some(Quota::per_minute(count)),
            "h" => Some(Quota::per_hour(count)),
            _ => None,
        }
    });
    parsed.map(Some).ok_or_else(|| invalid("RATE_LIMIT", "a number a second, minute or hour, such as 600/m, or off"))
}

fn parse<T: FromStr>(
    name: &'static str,
    text: Option<&str>,
    default: &str,
    expected: &str,
) -> Result<T, SettingsError> {
    text.unwrap_or(default).parse().map_err(|_| invalid(name, expected))
}

fn optional<T>(
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, SettingsError>,
) -> Result<Option<T>, SettingsError> {
    text.map(parse).transpose()
}

fn count(name: &'static str, text: Option<&str>, default: &str) -> Result<u32, SettingsError> {
    let count: NonZeroU32 = parse(name, text, default, "a number above zero")?;
    Ok(count.get())
}

fn boolean(name: &'static str, text: Option<&str>, default: &str) -> Result<bool, SettingsError> {
    parse(name, text, default, "true or false")
}

fn duration(name: &'static str, text: Option<&str>, default: &str) -> Result<Duration, SettingsError> {
    humantime::parse_duration(text.unwrap_or(default))
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| invalid(name, "a duration above zero, such as 500ms, 10s or 10m"))
}

fn amount(name: &'static str, text: Option<&str>, default: &str, currency: Currency) -> Result<Money, SettingsError> {
    Decimal::from_str_exact(text.unwrap_or(default))
        .ok()
        .and_then(|decimal| currency.parse(decimal).ok())
        .ok_or_else(|| invalid(name, format!("an amount of {}", currency.code())))
}

fn invalid(name: &'static str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Invalid { name, reason: reason.into() }
}

fn one_line(error: &config::ConfigError) -> SettingsError {
    SettingsError::File(error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
