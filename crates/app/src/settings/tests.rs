use std::num::NonZeroU32;

use jangteo_data_platform::Destination;
use jangteo_domain::delivery::RetryPolicy;
use rstest::rstest;
use secrecy::ExposeSecret as _;

use super::*;

fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let variables: HashMap<_, _> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::from_sources(None, variables)
}

#[test]
fn every_setting_but_the_key_has_a_default() {
    let settings = load(&[]).expect("the defaults");
    assert_eq!(settings.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.database.url.expose_secret(), "sqlite:jangteo.db");
    assert_eq!(settings.rules.currency.code(), "KRW");
    assert_eq!(settings.rules.order_ttl, time::Duration::minutes(10));
    assert_eq!(settings.lanes.batch_max.get(), 256);
    assert_eq!(settings.lanes.queue_max.get(), 10_000);
    assert_eq!(settings.lanes.queue_wait_max, Duration::from_millis(500));
    assert_eq!(settings.lanes.write_lanes.get(), 1);
    assert_eq!(settings.request_timeout, Duration::from_secs(10));
    assert_eq!(settings.rate_limit, NonZeroU32::new(600).map(Quota::per_minute));
    assert_eq!(settings.rate_limit_anonymous, settings.rate_limit);
    assert!(settings.data_platform.destination.is_none() && settings.data_platform.secret.is_none());
    assert_eq!(settings.data_platform.timeout, Duration::from_secs(10));
    assert_eq!(settings.data_platform.retry, RetryPolicy::default());
    let TokenLimits { lifetime_max, key_set_stale_max } = settings.token_limits;
    assert_eq!((lifetime_max.as_secs(), key_set_stale_max.as_secs()), (86_400, 3_600));
    assert!(settings.tokens.is_none() && settings.auto_migrate && !settings.require_idempotency_key);
}

#[test]
fn mysql_has_two_lanes_by_default() {
    let mysql = ("DATABASE_URL", "mysql://shop:secret@localhost:3306/shop");
    assert_eq!(load(&[mysql]).expect("settings").lanes.write_lanes.get(), 2);
    assert_eq!(load(&[mysql, ("WRITE_LANES", "4")]).expect("settings").lanes.write_lanes.get(), 4);
}

#[test]
fn an_empty_variable_counts_as_absent() {
    assert!(load(&[("METRICS_BIND", ""), ("JWT_SECRET", "")]).expect("settings").metrics_bind.is_none());
}

#[rstest]
#[case("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318")]
#[case("BIND", "8080")]
#[case("BIND", "localhost")]
#[case("METRICS_BIND", "x")]
#[case("CLIENT_ADDRESS_HEADER", "Forwarded")]
#[case("CLIENT_ADDRESS_HEADER", "two words")]
#[case("TRUSTED_PROXIES", "10.0.0.0/40")]
#[case("TRUSTED_PROXIES", "10.0.0.1, proxy.example")]
#[case("CORS_ORIGINS", "*")]
#[case("CORS_ORIGINS", "shop.example")]
#[case("CORS_ORIGINS", "https://shop.example/")]
#[case("CORS_ORIGINS", "https://shop.example, null")]
#[case("CONNECTIONS_PER_ADDRESS_MAX", "0")]
#[case("KEEP_ALIVE", "75")]
#[case("REQUEST_HEAD_TIMEOUT", "0s")]
#[case("DATABASE_URL", "postgres://localhost/shop")]
#[case("DATABASE_URL", "sqlite:")]
#[case("DATABASE_READ_URL", "x")]
#[case("DATABASE_TLS", "on")]
#[case("DATABASE_POOL_MAX", "0")]
#[case("CURRENCY", "WON")]
#[case("SHOP_TIME_ZONE", "Asia/Atlantis")]
#[case("ORDER_TTL", "10")]
#[case("ORDER_TTL", "0s")]
#[case("ORDER_SWEEP_INTERVAL", "soon")]
#[case("TOP_UP_MAX", "1.5")]
#[case("TOP_UP_MAX", "much")]
#[case("ORDER_LINES_MAX", "-1")]
#[case("BATCH_MAX", "0")]
#[case("WRITE_LANES", "2")]
#[case("QUEUE_MAX", "many")]
#[case("QUEUE_WAIT_MAX", "0s")]
#[case("REQUEST_TIMEOUT", "10")]
#[case("JWT_ALGORITHM", "none")]
#[case("JWT_ALGORITHM", "RS256")]
#[case("JWT_SECRET", "short")]
#[case("JWT_SECRET", "secretsecretsecretsecretsecretsecret")]
#[case("JWT_SECRET", "at least 32 bytes that nobody else knows")]
#[case("REQUIRE_IDEMPOTENCY_KEY", "yes")]
#[case("RATE_LIMIT", "600")]
#[case("RATE_LIMIT", "0/m")]
#[case("RATE_LIMIT_ANONYMOUS", "many")]
#[case("DATA_PLATFORM_URL", "data.example")]
#[case("DATA_PLATFORM_URL", "ftp://data.example/events")]
#[case("DATA_PLATFORM_URL", "https://")]
#[case("DATA_PLATFORM_URL", "http://data.example/events")]
#[case("DATA_PLATFORM_URL", "https://169.254.169.254/")]
#[case("DATA_PLATFORM_SECRET", "short")]
#[case("DATA_PLATFORM_SECRET", "0123456789a0123456789a")]
#[case("DATA_PLATFORM_TIMEOUT", "0s")]
#[case("DATA_PLATFORM_TIMEOUT", "6m")]
#[case("DATA_PLATFORM_PAUSE_FIRST", "soon")]
#[case("DATA_PLATFORM_PAUSE_MAX", "500ms")]
#[case("CONSOLE", "true")]
#[case("CONSOLE_OIDC_ISSUER", "login.example")]
#[case("CONSOLE_OIDC_ISSUER", "http://login.example")]
#[case("CONSOLE_OIDC_ISSUER", "https://login.example/?tenant=1")]
#[case("AUTO_MIGRATE", "1")]
#[case("LOG_FORMAT", "xml")]
fn an_invalid_setting_is_named_in_one_line(#[case] name: &str, #[case] value: &str) {
    let error = load(&[(name, value)]).expect_err("an invalid setting").to_string();
    assert!(error.starts_with(&format!("{name}: ")) && !error.contains('\n'), "{error}");
}

#[rstest]
#[case(&[], None)]
#[case(&[("BIND", "[::1]:8080"), ("DATABASE_URL", "sqlite:demo.db")], None)]
#[case(&[("BIND", "0.0.0.0:8080")], Some("BIND"))]
#[case(&[("BIND", "192.0.2.1:8080")], Some("BIND"))]
#[case(&[("JWT_SECRET", "0123456789abcdef0123456789abcdef")], Some("JWT_SECRET"))]
#[case(&[("JWT_ISSUER", "jangteo")], Some("JWT_ISSUER"))]
#[case(&[("JWT_JWKS", "keys.json"), ("JWT_ALGORITHM", "ES256")], Some("JWT_ALGORITHM"))]
fn the_demo_rejects_settings_of_a_real_shop(#[case] variables: &[(&str, &str)], #[case] rejected: Option<&str>) {
    let checked = load(variables).expect("settings").check_demo();
    let named = checked.err().map(|error| error.to_string().split(':').next().map(str::to_owned).unwrap_or_default());
    assert_eq!(named.as_deref(), rejected);
}

#[test]
fn a_secret_is_never_shown() {
    let secret = "0123456789abcdef0123456789abcdef-do-not-show";
    let settings = load(&[
        ("JWT_SECRET", secret),
        ("DATABASE_URL", "mysql://shop:do-not-show@host/shop"),
        ("DATA_PLATFORM_URL", "https://shop:do-not-show@data.example/events"),
        ("DATA_PLATFORM_SECRET", secret),
    ]);
    assert!(!format!("{:?}", settings.expect("settings")).contains("do-not-show"));
    for name in ["JWT_SECRET", "DATA_PLATFORM_SECRET"] {
        let error = load(&[(name, "do-not-show")]).expect_err("a short secret");
        assert!(!error.to_string().contains("do-not-show"));
    }
}

#[rstest]
#[case(&[("JWT_SECRET", "0123456789abcdef0123456789abcdef"), ("JWT_ALGORITHM", "RS256")])]
#[case(&[("JWT_PUBLIC_KEY_FILE", "key.pem"), ("JWT_ALGORITHM", "HS256")])]
#[case(&[("JWT_PUBLIC_KEY_FILE", "key.pem")])]
#[case(&[("JWT_JWKS", "keys.json"), ("JWT_ALGORITHM", "HS256")])]
#[case(&[("JWT_JWKS", "http://keys.example/jwks"), ("JWT_ALGORITHM", "RS256")])]
#[case(&[("JWT_JWKS", "http://localhost.example/jwks"), ("JWT_ALGORITHM", "RS256")])]
#[case(&[("JWT_JWKS", "http://localhost:x@keys.example/jwks"), ("JWT_ALGORITHM", "RS256")])]
#[case(&[("JWT_JWKS", "https://shop:secret@keys.example/jwks"), ("JWT_ALGORITHM", "RS256")])]
#[case(&[("JWT_JWKS", "https://"), ("JWT_ALGORITHM", "RS256")])]
#[case(&[("JWT_JWKS", "ftp://keys.example/jwks"), ("JWT_ALGORITHM", "RS256")])]
#[case(&[("JWT_SECRET", "0123456789abcdef0123456789abcdef"), ("JWT_JWKS", "keys.json")])]
fn keys_and_algorithms_must_fit(#[case] variables: &[(&str, &str)]) {
    assert!(load(variables).is_err());
}

#[rstest]
#[case("https://keys.example/jwks", true)]
#[case("http://localhost:8081/jwks", true)]
#[case("keys.json", false)]
fn a_key_set_is_a_url_or_a_file(#[case] location: &str, #[case] is_url: bool) {
    let settings = load(&[("JWT_JWKS", location), ("JWT_ALGORITHM", "ES256")]).expect("settings");
    let key = settings.tokens.expect("a key").key;
    assert_eq!(matches!(key, TokenKey::KeySetUrl(_)), is_url);
}

#[test]
fn http_to_another_machine_is_allowed_explicitly() {
    let url = ("DATA_PLATFORM_URL", "http://data.example/events");
    let error = load(&[url]).expect_err("unencrypted").to_string();
    assert!(error.contains("DATA_PLATFORM_ALLOW_HTTP=true"), "{error}");
    assert!(load(&[url, ("DATA_PLATFORM_ALLOW_HTTP", "true")]).expect("settings").data_platform.destination.is_some());
}

#[test]
fn a_variable_beats_the_file() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "currency = \"USD\"\ntop_up_max = \"19.99\"\norder_lines_max = 7\n").expect("written");
    let variables = HashMap::from([("ORDER_LINES_MAX".to_owned(), "8".to_owned())]);
    let rules = Settings::from_sources(Some(file.path()), variables).expect("settings").rules;
    assert_eq!((rules.currency.code(), rules.order_lines_max), ("USD", 8));
}

#[test]
fn the_console_signs_in_at_an_issuer_as_a_client_or_not_at_all() {
    let issuer = ("CONSOLE_OIDC_ISSUER", "http://127.0.0.1:9000/tenant");
    let client = ("CONSOLE_OIDC_CLIENT_ID", "console");
    let missing = |variables: &[(&str, &str)]| load(variables).expect_err("half of the client").to_string();
    assert!(missing(&[issuer]).starts_with("CONSOLE_OIDC_CLIENT_ID: "));
    assert!(missing(&[client]).starts_with("CONSOLE_OIDC_ISSUER: "));
    let console = load(&[issuer, client, ("CONSOLE", "off")]).expect("settings").console;
    let oidc = console.oidc.expect("a client");
    assert_eq!((oidc.issuer.as_str(), oidc.scopes.as_str()), ("http://127.0.0.1:9000/tenant", "openid admin"));
    assert!(!console.is_served && load(&[]).expect("settings").console.oidc.is_none());
}

#[test]
fn limits_that_contradict_each_other_are_rejected() {
    let error = load(&[("ORDER_LINES_MAX", "4000000000"), ("ORDER_QUANTITY_MAX", "4000000000")]);
    assert!(error.is_err());
}

#[test]
fn only_a_build_that_sends_traces_accepts_a_collector() {
    let loaded = load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]);
    assert_eq!(loaded.is_ok(), cfg!(feature = "otel"), "{loaded:?}");
}

#[test]
fn every_default_is_valid_and_absent_where_it_is_empty() {
    let defaults = SETTINGS.iter().filter(|setting| !setting.default.is_empty());
    let defaults: Vec<(String, &str)> = defaults.map(|setting| (variable(setting), setting.default)).collect();
    for (name, default) in &defaults {
        load(&[(name, default)]).unwrap_or_else(|error| panic!("{error}"));
    }
    let written: Vec<_> = defaults.iter().map(|(name, default)| (name.as_str(), *default)).collect();
    let written = Settings { keys: BTreeSet::new(), ..load(&written).expect("the defaults") };
    assert_eq!(format!("{written:?}"), format!("{:?}", load(&[]).expect("the defaults")));
}

#[test]
fn the_help_lists_every_setting_once_with_its_default_and_its_meaning() {
    let text = help();
    let mut names = BTreeSet::new();
    for setting in SETTINGS {
        assert!(!setting.meaning.is_empty() && !setting.meaning.contains(['\n', '|']), "{setting:?}");
        let variables: Vec<_> = setting.variables().collect();
        let default =
            if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
        let entry = format!("  {}\n          {}{default}\n", variables.join(", "), setting.meaning);
        assert_eq!(text.matches(&entry).count(), 1, "{entry}");
        assert!(variables.into_iter().all(|name| names.insert(name)), "{setting:?}");
    }
}

fn variable(setting: &Setting) -> String {
    setting.variables().next().expect("a name")
}

/// A file with that text.
fn file_with(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("UTF-8")
}

#[test]
fn every_secret_may_come_from_a_file() {
    let url = file_with("mysql://shop:secret@localhost/shop\n");
    let read_url = file_with("mysql://shop:secret@replica/shop\r\n");
    let secret = file_with("0123456789abcdef0123456789abcdef\n");
    let platform = file_with("https://shop:secret@data.example/events\n");
    let settings = load(&[
        ("DATABASE_URL_FILE", path(&url)),
        ("DATABASE_READ_URL_FILE", path(&read_url)),
        ("JWT_SECRET_FILE", path(&secret)),
        ("DATA_PLATFORM_SECRET_FILE", path(&secret)),
        ("DATA_PLATFORM_URL_FILE", path(&platform)),
    ])
    .expect("settings");
    assert_eq!(settings.database.url.expose_secret(), "mysql://shop:secret@localhost/shop");
    let read_url = settings.database.read_url.expect("a replica");
    assert_eq!(read_url.expose_secret(), "mysql://shop:secret@replica/shop");
    let Some(TokenSettings { key: TokenKey::Secret(key), .. }) = settings.tokens else { panic!("no secret") };
    assert_eq!(key.expose_secret(), "0123456789abcdef0123456789abcdef");
    assert_eq!(settings.data_platform.secret.expect("a secret").expose_secret(), key.expose_secret());
    let destination = Destination::parse("https://shop:secret@data.example/events", false);
    assert_eq!(settings.data_platform.destination, destination.ok());
}

#[test]
fn the_configuration_file_may_name_the_file_of_a_secret() {
    let secret = file_with("0123456789abcdef0123456789abcdef");
    let file = file_with(&format!("jwt_secret_file = {:?}\n", path(&secret)));
    assert!(Settings::from_sources(Some(file.path()), HashMap::new()).expect("settings").tokens.is_some());
}

#[rstest]
#[case("DATABASE_URL", "sqlite:shop.db")]
#[case("DATABASE_READ_URL", "mysql://localhost/shop")]
#[case("JWT_SECRET", "0123456789abcdef0123456789abcdef")]
#[case("DATA_PLATFORM_SECRET", "0123456789abcdef")]
#[case("DATA_PLATFORM_URL", "https://data.example/events")]
#[case("OTEL_EXPORTER_OTLP_ENDPOINT", "https://traces.example")]
fn a_secret_and_its_file_exclude_each_other(#[case] name: &str, #[case] value: &str) {
    let file = file_with(value);
    let file_name = format!("{name}_FILE");
    let error = load(&[(name, value), (&file_name, path(&file))]).expect_err("both are set").to_string();
    assert_eq!(error, format!("{file_name}: set it or {name}, not both"));
}

#[test]
fn the_file_of_a_secret_must_be_readable_and_the_secret_valid() {
    let error = load(&[("JWT_SECRET_FILE", "/nowhere")]).expect_err("no file").to_string();
    assert!(error.starts_with("JWT_SECRET_FILE: the file cannot be read"), "{error}");
    let file = file_with("do-not-show\n");
    let error = load(&[("JWT_SECRET_FILE", path(&file))]).expect_err("a short secret").to_string();
    assert_eq!(error, "JWT_SECRET: at least 32 bytes");
    let file = file_with("\n");
    let error = load(&[("DATA_PLATFORM_SECRET_FILE", path(&file))]).expect_err("no secret").to_string();
    assert_eq!(error, "DATA_PLATFORM_SECRET_FILE: the file is empty");
}

#[rstest]
#[case(
    "jwt_secret = \"do-not-show\nbind = \"127.0.0.1:8080\"\n",
    "the configuration file: line 1, column 26: not valid TOML"
)]
#[case("currency = \"KRW\"\ndo-not-show\n", "the configuration file: line 2, column 12: not valid TOML")]
#[case("currency = do-not-show\n", "the configuration file: line 1, column 12: not valid TOML")]
#[case("do-not-show = 1\ndo-not-show = 2\n", "the configuration file: line 2, column 1: not valid TOML")]
#[case("order_lines_max = 99999999999999999999\n", "the configuration file: not valid TOML")]
#[case("jwt_secret = [\"do-not-show\"]\n", "JWT_SECRET: one value, no list or table")]
#[case("jwt_secret_file = [\"do-not-show\"]\n", "JWT_SECRET_FILE: the path of a file")]
#[case("[jwt_secret]\na = \"do-not-show\"\n", "JWT_SECRET: one value, no list or table")]
#[case("currency = \"do-not-show\"\n", "CURRENCY: a currency code of ISO 4217 with at most 4 decimals, such as KRW")]
#[case("currency = ", "the configuration file: line 1, column 12: not valid TOML")]
#[case("currenci = \"USD\"", "the configuration file: unknown setting currenci; `jangteo serve --help` lists all")]
fn an_invalid_file_is_located_and_not_shown(#[case] text: &str, #[case] expected: &str) {
    let file = file_with(text);
    let error = Settings::from_sources(Some(file.path()), HashMap::new()).expect_err("an invalid file").to_string();
    assert_eq!(error, expected);
}
