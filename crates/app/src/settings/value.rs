//! The types of single settings.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use governor::Quota;
use ipnet::IpNet;
use jangteo_domain::Currency;
use jangteo_sql::Tls;
use jsonwebtoken::Algorithm;
use reqwest::Url;
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

use crate::calendar::TimeZoneCalendar;

/// An HS256 secret has at least as many bytes as the hash (RFC 7518, 3.2).
pub const TOKEN_SECRET_BYTES_MIN: usize = 32;
/// Its hashes are known outside of the server, and a shorter key could be guessed.
const HMAC_KEY_BYTES_MIN: usize = 16;
/// A repeated word has fewer; 32 random hexadecimal digits have more.
const SECRET_BYTES_DISTINCT_MIN: usize = 12;
/// Examples of earlier documents.
const PUBLISHED_SECRETS: [&str; 1] = ["at least 32 bytes that nobody else knows"];

/// The type of a setting.
pub trait Value: Sized {
    /// Parses a value as written.
    ///
    /// # Errors
    /// The accepted values, never the rejected one: it may be secret.
    fn parse(text: &str) -> Result<Self, Cow<'static, str>>;
}

/// Deserializes a setting from text. Numbers and booleans of a file count as text.
pub fn parsed<'de, D: Deserializer<'de>, T: Value>(deserializer: D) -> Result<T, D::Error> {
    T::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Empty text is `None`.
impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        Ok(text.into())
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        from_str(text, "true or false")
    }
}

impl Value for NonZeroU32 {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        from_str(text, "a number above zero")
    }
}

impl Value for NonZeroUsize {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        from_str(text, "a number above zero")
    }
}

impl Value for SocketAddr {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        from_str(text, "an address and port, such as 0.0.0.0:8080")
    }
}

impl Value for Duration {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let duration = humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero());
        duration.ok_or("a duration above zero, such as 500ms, 10s or 10m".into())
    }
}

impl Value for Decimal {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        Self::from_str_exact(text).map_err(|_| "an amount of money, such as 1000000".into())
    }
}

impl Value for Currency {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        Self::from_code(text).ok_or("a currency code of ISO 4217 with at most 4 decimals, such as KRW".into())
    }
}

impl Value for TimeZoneCalendar {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        Self::of(text).ok_or("a time zone of the IANA database, such as Asia/Seoul".into())
    }
}

/// Networks, each an address with the length of its prefix, or a single address.
pub struct Networks(pub Vec<IpNet>);

impl Value for Networks {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let network = |text: &str| text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
        let networks = text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(network);
        let networks: Result<_, _> = networks.collect();
        networks.map(Self).map_err(|_| "addresses or networks, such as 10.0.0.0/8, separated by commas".into())
    }
}

/// Origins of pages, as browsers send them in `Origin`.
pub struct Origins(pub Vec<HeaderValue>);

impl Value for Origins {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let origin = |text: &str| {
            let url = Url::parse(text).ok()?;
            let is_origin = matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text;
            if is_origin { text.parse().ok() } else { None }
        };
        let origins = text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(origin);
        let origins: Option<_> = origins.collect();
        origins.map(Self).ok_or("origins, such as https://shop.example, separated by commas; without a path".into())
    }
}

/// The name of a header with addresses.
pub struct AddressHeader(pub HeaderName);

impl Value for AddressHeader {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let name = HeaderName::from_str(text).ok().filter(|name| *name != header::FORWARDED);
        name.map(Self).ok_or("a header of plain addresses, such as X-Forwarded-For; not Forwarded".into())
    }
}

/// Requests of a caller: `600/m`, or `off` for no limit.
pub struct RateLimit(pub Option<Quota>);

impl Value for RateLimit {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if text == "off" {
            return Ok(Self(None));
        }
        let quota = text.split_once('/').and_then(|(count, unit)| {
            let count: NonZeroU32 = count.trim().parse().ok()?;
            match unit.trim() {
                "s" => Some(Quota::per_second(count)),
                "m" => Some(Quota::per_minute(count)),
                "h" => Some(Quota::per_hour(count)),
                _ => None,
            }
        });
        let quota = quota.ok_or("a number per second, minute or hour, such as 600/m, or off")?;
        Ok(Self(Some(quota)))
    }
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people, in color on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

impl Value for LogFormat {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json".into()),
        }
    }
}

/// Users in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogUserForm {
    /// By their ids.
    Plain,
    /// By keyed hashes of them.
    Hash,
}

impl Value for LogUserForm {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "plain" => Ok(Self::Plain),
            "hash" => Ok(Self::Hash),
            _ => Err("plain or hash".into()),
        }
    }
}

/// Who tops up points, beside the back office.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopUpBy {
    /// The user, and payment services.
    Owner,
    /// Payment services: tokens with the scope `points:top-up`.
    Scope,
}

impl Value for TopUpBy {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "owner" => Ok(Self::Owner),
            "scope" => Ok(Self::Scope),
            _ => Err("owner or scope".into()),
        }
    }
}

/// Whether a part of the server is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

impl Value for Switch {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("on or off".into()),
        }
    }
}

/// The URL of an OpenID provider, as its tokens have it in `iss`.
#[derive(Clone)]
pub struct Issuer(pub Url);

impl Value for Issuer {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let url = Url::parse(text).ok().filter(|url| url.query().is_none() && url.fragment().is_none());
        let is_local = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let url = url.filter(|url| url.scheme() == "https" || url.scheme() == "http" && is_local(url));
        url.map(Self).ok_or("an https URL, such as https://login.example; or http on this machine".into())
    }
}

/// An http or https URL, which may contain a credential.
#[derive(Clone)]
pub struct WebUrl(pub SecretString);

impl Value for WebUrl {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let url = Url::parse(text).ok();
        match url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            Some(_) => Ok(Self(text.into())),
            None => Err("an http or https URL, such as https://data.example/events".into()),
        }
    }
}

/// A collector of traces; only builds that send traces accept one.
pub struct TraceCollector(pub SecretString);

impl Value for TraceCollector {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if !cfg!(feature = "otel") {
            return Err("this server was built without traces; build it with `--features jangteo/otel`".into());
        }
        let WebUrl(url) = WebUrl::parse(text).map_err(|_| "an http or https URL, such as http://127.0.0.1:4318")?;
        Ok(Self(url))
    }
}

/// The URL of a database, with a password.
pub struct DatabaseUrl(pub SecretString);

impl Value for DatabaseUrl {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let rest = text.strip_prefix("sqlite:").or_else(|| text.strip_prefix("mysql://"));
        match rest.filter(|rest| !rest.is_empty()) {
            Some(_) => Ok(Self(text.into())),
            None => Err("sqlite:PATH or mysql://user:password@host:port/name".into()),
        }
    }
}

/// The number of lanes: given, or by the kind of the database.
#[derive(Clone, Copy)]
pub enum WriteLanes {
    Auto,
    Count(NonZeroU32),
}

impl Value for WriteLanes {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "auto" => Ok(Self::Auto),
            count => count.parse().map(Self::Count).map_err(|_| "a number above zero, or auto".into()),
        }
    }
}

/// Transport security to the database.
pub struct DatabaseTls(pub Tls);

impl Value for DatabaseTls {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "verify" => Ok(Self(Tls::Verify)),
            "encrypt" => Ok(Self(Tls::Encrypt)),
            "off" => Ok(Self(Tls::Off)),
            _ => Err("verify, encrypt or off".into()),
        }
    }
}

impl Value for Algorithm {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "HS256" => Ok(Self::HS256),
            "RS256" => Ok(Self::RS256),
            "ES256" => Ok(Self::ES256),
            "EdDSA" => Ok(Self::EdDSA),
            _ => Err("HS256, RS256, ES256 or EdDSA".into()),
        }
    }
}

/// The secret of HS256.
pub struct TokenSecret(pub SecretString);

impl Value for TokenSecret {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        secret(text, TOKEN_SECRET_BYTES_MIN).map(Self)
    }
}

/// The location of a JSON Web Key Set.
pub enum KeySetLocation {
    File(PathBuf),
    Url(Url),
}

impl Value for KeySetLocation {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let url = Url::parse(text).map_err(|_| "a file or an https URL, such as https://id.example/keys")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL without user and password".into());
        }
        let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => Ok(Self::Url(url)),
            "http" if is_local => Ok(Self::Url(url)),
            _ => Err("https, unless the host is this machine".into()),
        }
    }
}

/// The key of keyed hashes: signatures of events, users in the log.
pub struct HmacKey(pub SecretString);

impl Value for HmacKey {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        secret(text, HMAC_KEY_BYTES_MIN).map(Self)
    }
}

/// A secret of at least `min` bytes that is neither monotonous nor printed in our documents.
fn secret(text: &str, min: usize) -> Result<SecretString, Cow<'static, str>> {
    if text.len() < min {
        return Err(format!("at least {min} bytes").into());
    }
    if text.bytes().collect::<BTreeSet<_>>().len() < SECRET_BYTES_DISTINCT_MIN {
        return Err(
            format!("at least {SECRET_BYTES_DISTINCT_MIN} different bytes, as of `openssl rand -base64 48`").into()
        );
    }
    if PUBLISHED_SECRETS.contains(&text) {
        return Err("it is printed in the documentation; create one by `openssl rand -base64 48`".into());
    }
    Ok(text.into())
}

fn from_str<T: FromStr>(text: &str, expected: &'static str) -> Result<T, Cow<'static, str>> {
    text.parse().map_err(|_| expected.into())
}
