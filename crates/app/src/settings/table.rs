//! The table of settings. The variables, the parsed types, the defaults, `jangteo serve --help` and the runbook's table
//! come from it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use jangteo_domain::Currency;
use jsonwebtoken::Algorithm;
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::calendar::TimeZoneCalendar;
use crate::settings::value::{
    AddressHeader, DatabaseTls, DatabaseUrl, HmacKey, Issuer, KeySetLocation, LogFormat, LogUserForm, Networks,
    Origins, RateLimit, Switch, TokenSecret, TopUpBy, TraceCollector, WebUrl, WriteLanes, parsed,
};

/// A row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file. A secret has a second key, for a file that contains it.
    pub keys: &'static [&'static str],
    /// Empty where the setting has no default.
    pub default: &'static str,
    /// One line, with code in backticks.
    pub meaning: &'static str,
}

impl Setting {
    /// The names of its environment variables.
    pub fn variables(&self) -> impl Iterator<Item = String> + use<> {
        self.keys.iter().map(|key| key.to_ascii_uppercase())
    }
}

macro_rules! settings {
    ($($key:ident $(| $file:ident)?: $type:ty $(= $default:literal)?, $meaning:literal;)*) => {
        /// All settings, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            keys: &[stringify!($key) $(, stringify!($file))?],
            default: concat!("" $(, $default)?),
            meaning: $meaning,
        },)*];

        /// The settings, each valid by itself.
        #[derive(Deserialize)]
        pub(super) struct Values {$(
            #[serde(deserialize_with = "parsed")]
            pub $key: $type,
        )*}
    };
}

settings! {
    database_url | database_url_file: DatabaseUrl = "sqlite:jangteo.db",
        "Database: `sqlite:PATH` or `mysql://user:password@host:port/name`; of several hosts, separated by commas, the one that accepts writes";
    database_tls: Option<DatabaseTls>,
        "TLS to MySQL: `verify`, `encrypt` or `off`; by default `verify`, and `off` for loopback addresses and sockets";
    database_ca_file: Option<PathBuf>, "File with the only trusted CAs of the database, in PEM; by default the public ones";
    database_read_url | database_read_url_file: Option<DatabaseUrl>, "Read replica, of the same kind as the database";
    read_lag_max: Duration = "2s", "Maximum age of the heartbeat on a replica that is read";
    database_pool_max: NonZeroU32 = "16", "Maximum connections for reads";
    database_search_pool_max: NonZeroU32 = "4", "Maximum connections for searches of products by text";
    bind: SocketAddr = "127.0.0.1:8080", "Address of the API";
    metrics_bind: Option<SocketAddr>, "Address of `/metrics`; by default the API's";
    client_address_header: AddressHeader = "X-Forwarded-For",
        "Header of the trusted proxies with the client's address, to which each appends that of its peer";
    trusted_proxies: Networks, "Addresses and networks of proxies, separated by commas, such as `10.0.0.0/8`";
    cors_origins: Origins, "Origins whose pages may call the API, separated by commas, such as `https://shop.example`";
    connections_per_address_max: NonZeroUsize = "256", "Maximum connections of a client's address";
    keep_alive: Duration = "75s", "Timeout of a connection between two requests";
    request_head_timeout: Duration = "5s", "Timeout of the head of a request, and of the rest of a body that is not read";
    currency: Currency = "KRW", "Currency of the shop, an ISO 4217 code with at most 4 decimals";
    shop_name: Option<String>, "Name of the shop, shown by `GET /v1/shop` and the console";
    shop_time_zone: TimeZoneCalendar = "Asia/Seoul", "Time zone of the shop's days, an IANA name";
    order_ttl: Duration = "10m", "Time to pay an order before it expires";
    order_sweep_interval: Duration = "1s", "Interval between sweeps of overdue orders";
    idempotency_retention: Duration = "24h", "Retention of idempotency keys and their responses, at least 24h";
    event_retention: Duration = "30d", "Retention of delivered events";
    top_up_max: Decimal = "1000000", "Maximum amount of a top-up";
    top_up_by: TopUpBy = "owner",
        "Who tops up points, beside the back office: `owner` for the user and payment services, or `scope` for these alone";
    balance_max: Decimal = "10000000", "Maximum balance of an account";
    order_lines_max: NonZeroU32 = "100", "Maximum lines of an order";
    order_quantity_max: NonZeroU32 = "1000", "Maximum quantity of an order line";
    open_orders_max: NonZeroU32 = "20", "Maximum unpaid orders of a user";
    reserved_quantity_max: NonZeroU32 = "1000", "Maximum items that the unpaid orders of a user reserve";
    unpaid_orders_max: NonZeroU32 = "500", "Maximum orders that a user places in a day and does not pay";
    batch_max: NonZeroUsize = "256", "Maximum commands of a transaction; 1 turns batching off";
    write_lanes: WriteLanes = "auto", "Concurrent write transactions; `auto` is 1 on SQLite and 2 on MySQL";
    queue_max: NonZeroUsize = "10000", "Maximum commands in the queue";
    queue_wait_max: Duration = "500ms", "Maximum wait of a command in the queue";
    request_timeout: Duration = "10s", "Timeout of a request";
    jwt_algorithm: Option<Algorithm>, "Signature algorithm of tokens: `HS256`, `RS256`, `ES256` or `EdDSA`";
    jwt_secret | jwt_secret_file: Option<TokenSecret>, "Secret of `HS256`, at least 32 bytes, of which 12 differ";
    jwt_public_key_file: Option<PathBuf>, "File with a public key in PEM";
    jwt_jwks: Option<KeySetLocation>, "JSON Web Key Set, a file or an https URL";
    jwks_stale_max: Duration = "1h", "Time for which a key set is trusted while it cannot be read";
    token_lifetime_max: Duration = "24h", "Maximum validity of a token, from its `iat`, or from now";
    jwt_issuer: String = "jangteo", "Claim `iss` of valid tokens";
    jwt_audience: String = "jangteo", "Claim `aud` of valid tokens";
    require_idempotency_key: bool = "false", "Reject writes without an `Idempotency-Key`";
    rate_limit: RateLimit = "600/m", "Requests of a user to a server, per `s`, `m` or `h`; or `off`";
    rate_limit_anonymous: RateLimit = "600/m",
        "Requests without a token, and rejected tokens, of a client's address to a server; or `off`";
    data_platform_url | data_platform_url_file: Option<WebUrl>,
        "Receiver of events, an https URL; or http on this machine";
    data_platform_allow_http: bool = "false", "Send events over http to another machine";
    data_platform_secret | data_platform_secret_file: Option<HmacKey>,
        "Secret for the signatures of events, at least 16 bytes, of which 12 differ";
    data_platform_timeout: Duration = "10s", "Timeout of a delivery, at most 5m";
    data_platform_pause_first: Duration = "1s", "Pause after the first failed delivery of an event; doubles with each";
    data_platform_pause_max: Duration = "5m", "Maximum pause between deliveries of an event";
    auto_migrate: bool = "true", "Migrate the database at start: `serve`, `relay`, `seed` and `import`";
    log_format: LogFormat = "text", "Format of the log on standard error: `text` or `json`";
    log_user: LogUserForm = "plain", "Users in the log: `plain` for their ids, or `hash` for keyed hashes";
    log_user_key | log_user_key_file: Option<HmacKey>,
        "Key of the hashes of `LOG_USER`, at least 16 bytes, of which 12 differ; by default derived from `JWT_SECRET`";
    rust_log: String = "info", "Log filter, such as `info,jangteo=debug`";
    console: Switch = "on", "The back office in the browser, at `/console/`: `on` or `off`";
    console_oidc_issuer: Option<Issuer>,
        "OpenID provider of the console's users, an https URL; or http on this machine";
    console_oidc_client_id: Option<String>, "The console's client id at the provider, a public client with PKCE";
    console_oidc_scopes: String = "openid admin", "Scopes that the console requests, separated by spaces";
    console_oidc_audience: Option<String>, "Resource that the console's tokens are for, where the provider asks for one";
    otel_exporter_otlp_endpoint | otel_exporter_otlp_endpoint_file: Option<TraceCollector>,
        "Trace collector (OTLP, protobuf over HTTP), an http or https URL; in builds with the feature `otel`";
}

/// The table, for `jangteo serve --help`.
pub fn help() -> String {
    let mut text = "Settings (environment variables, or keys of the configuration file in lower case):\n".to_owned();
    for setting in SETTINGS {
        let variables = setting.variables().collect::<Vec<_>>().join(", ");
        let _infallible = write!(text, "  {variables}\n          {}", setting.meaning);
        if !setting.default.is_empty() {
            let _infallible = write!(text, " [default: {}]", setting.default);
        }
        text.push('\n');
    }
    text
}
