use std::collections::HashMap;

use rstest::rstest;

use super::*;

fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let variables: HashMap<_, _> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::from_sources(None, variables)
}

#[test]
fn a_shop_needs_no_settings_but_a_key() {
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
    assert!(settings.data_platform.url.is_none() && settings.data_platform.secret.is_none());
    assert_eq!(settings.data_platform.timeout, Duration::from_secs(10));
    assert_eq!(settings.data_platform.retry, RetryPolicy::default());
    assert!(settings.tokens.is_none() && settings.auto_migrate && !settings.require_idempotency_key);
}

#[test]
fn mysql_has_two_lanes_unless_told_otherwise() {
    let mysql = ("DATABASE_URL", "mysql://shop:secret@localhost:3306/shop");
    assert_eq!(load(&[mysql]).expect("settings").lanes.write_lanes.get(), 2);
    assert_eq!(load(&[mysql, ("WRITE_LANES", "4")]).expect("settings").lanes.write_lanes.get(), 4);
}

#[test]
fn an_empty_variable_is_none() {
    assert!(load(&[("METRICS_BIND", ""), ("JWT_SECRET", "")]).expect("settings").metrics_bind.is_none());
}

#[rstest]
#[case("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318")]
#[case("BIND", "8080")]
#[case("BIND", "localhost")]
#[case("METRICS_BIND", "x")]
#[case("DATABASE_URL", "postgres://localhost/shop")]
#[case("DATABASE_URL", "sqlite:")]
#[case("DATABASE_READ_URL", "x")]
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
#[case("REQUIRE_IDEMPOTENCY_KEY", "yes")]
#[case("RATE_LIMIT", "600")]
#[case("RATE_LIMIT", "0/m")]
#[case("DATA_PLATFORM_URL", "data.example")]
#[case("DATA_PLATFORM_URL", "ftp://data.example/events")]
#[case("DATA_PLATFORM_URL", "https://")]
#[case("DATA_PLATFORM_SECRET", "short")]
#[case("DATA_PLATFORM_TIMEOUT", "0s")]
#[case("DATA_PLATFORM_TIMEOUT", "6m")]
#[case("DATA_PLATFORM_PAUSE_FIRST", "soon")]
#[case("DATA_PLATFORM_PAUSE_MAX", "500ms")]
#[case("AUTO_MIGRATE", "1")]
#[case("LOG_FORMAT", "xml")]
fn a_wrong_setting_is_named_in_one_line(#[case] name: &str, #[case] value: &str) {
    let error = load(&[(name, value)]).expect_err("a wrong setting").to_string();
    assert!(error.starts_with(&format!("{name}: ")) && !error.contains('\n'), "{error}");
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
#[case(&[("JWT_SECRET", "0123456789abcdef0123456789abcdef"), ("JWT_JWKS", "keys.json")])]
fn keys_and_algorithms_must_fit(#[case] variables: &[(&str, &str)]) {
    assert!(load(variables).is_err());
}

#[rstest]
#[case("https://keys.example/jwks", true)]
#[case("http://localhost:8081/jwks", true)]
#[case("keys.json", false)]
fn keys_come_from_an_address_or_a_file(#[case] place: &str, #[case] is_url: bool) {
    let settings = load(&[("JWT_JWKS", place), ("JWT_ALGORITHM", "ES256")]).expect("settings");
    let key = settings.tokens.expect("a key").key;
    assert_eq!(matches!(key, TokenKey::KeySetUrl(_)), is_url);
}

#[test]
fn a_file_gives_way_to_variables() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "currency = \"USD\"\ntop_up_max = \"19.99\"\norder_lines_max = 7\n").expect("written");
    let variables = HashMap::from([("ORDER_LINES_MAX".to_owned(), "8".to_owned())]);
    let rules = Settings::from_sources(Some(file.path()), variables).expect("settings").rules;
    assert_eq!((rules.currency.code(), rules.order_lines_max), ("USD", 8));
}

#[rstest]
#[case("currenci = \"USD\"")]
#[case("currency = ")]
#[case("[currency]\nname = \"USD\"")]
fn a_wrong_file_is_told_in_one_line(#[case] content: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), content).expect("written");
    let error = Settings::from_sources(Some(file.path()), HashMap::new()).expect_err("a wrong file").to_string();
    assert!(error.starts_with("the configuration file: ") && !error.contains('\n'), "{error}");
}

#[test]
fn limits_that_contradict_each_other_are_rejected() {
    let error = load(&[("ORDER_LINES_MAX", "4000000000"), ("ORDER_QUANTITY_MAX", "4000000000")]);
    assert!(error.is_err());
}

#[test]
fn a_collector_is_taken_by_a_build_that_sends_traces_only() {
    let loaded = load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]);
    assert_eq!(loaded.is_ok(), cfg!(feature = "otel"), "{loaded:?}");
}
