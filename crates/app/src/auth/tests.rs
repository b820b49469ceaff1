use jsonwebtoken::jwk::Jwk;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use jangteo_domain::Timestamp;
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::token::{MockRevocationQueries, Revocation, RevokedTokens};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const LIMITS: TokenLimits =
    TokenLimits { lifetime_max: Duration::from_secs(24 * 60 * 60), key_set_stale_max: Duration::from_secs(60 * 60) };

fn parties() -> TokenParties {
    TokenParties { issuer: "issuer".to_owned(), audience: "shop".to_owned() }
}

async fn authenticator() -> Authenticator {
    let settings = TokenSettings { algorithm: Algorithm::HS256, key: TokenKey::Secret(SECRET.into()) };
    Authenticator::new(&settings, &parties(), LIMITS).await.expect("a secret")
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// Valid claims with changes; `null` removes a claim.
fn claims(changed: Value) -> Value {
    let mut claims = json!({"sub": "kim", "iss": "issuer", "aud": "shop", "exp": now() + 60, "scope": "openid admin"});
    for (name, value) in changed.as_object().expect("an object") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn token(header: &Header, claims: &Value) -> String {
    encode(header, claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
}

#[rstest]
#[case(json!({}), true)]
#[case(json!({"scope": "openid administrator"}), false)]
#[case(json!({"scope": null}), false)]
#[case(json!({"aud": ["other", "shop"]}), true)]
#[case(json!({"exp": now() - 2}), true)]
#[case(json!({"nbf": now() + 2}), true)]
#[case(json!({"iat": now(), "exp": now() + 86_400}), true)]
#[case(json!({"iat": now() - 86_000, "exp": now() + 400}), true)]
#[case(json!({"exp": now() + 86_400}), true)]
#[tokio::test]
async fn a_valid_token_identifies_its_subject(#[case] changed: Value, #[case] is_admin: bool) {
    let token = token(&Header::default(), &claims(changed));
    let Bearer { actor, .. } = authenticator().await.authenticate(&token).await.expect("a valid token");
    assert_eq!(actor, Actor { user_id: "kim".parse().expect("a user"), is_admin });
}

#[rstest]
#[case(json!({"exp": now() - 10}))]
#[case(json!({"nbf": now() + 10}))]
#[case(json!({"iss": "other"}))]
#[case(json!({"aud": "other"}))]
#[case(json!({"sub": ""}))]
#[case(json!({"sub": "two words"}))]
#[case(json!({"sub": 7}))]
#[case(json!({"scope": ["admin"]}))]
#[case(json!({"exp": null}))]
#[case(json!({"iss": null}))]
#[case(json!({"aud": null}))]
#[case(json!({"sub": null}))]
#[case(json!({"iat": now(), "exp": now() + 86_401}))]
#[case(json!({"iat": now() - 90_000, "exp": now() + 60}))]
#[case(json!({"iat": now() + 172_800, "exp": now() + 172_860}))]
#[case(json!({"iat": "today"}))]
#[case(json!({"exp": now() + 86_460}))]
#[tokio::test]
async fn a_token_with_an_invalid_claim_is_rejected(#[case] changed: Value) {
    let token = token(&Header::default(), &claims(changed));
    assert!(authenticator().await.authenticate(&token).await.is_err());
}

#[tokio::test]
async fn another_algorithm_is_rejected() {
    let authenticator = authenticator().await;
    let hs384 = token(&Header::new(Algorithm::HS384), &claims(json!({})));
    assert!(authenticator.authenticate(&hs384).await.is_err());
    let (_, rest) = token(&Header::default(), &claims(json!({}))).split_once('.').map(own).expect("three parts");
    let (payload, _) = rest.split_once('.').expect("three parts");
    // {"alg":"none"}
    assert!(authenticator.authenticate(&format!("eyJhbGciOiJub25lIn0.{payload}.")).await.is_err());
}

fn own((first, rest): (&str, &str)) -> (String, String) {
    (first.to_owned(), rest.to_owned())
}

#[rstest]
#[case(None, true)]
#[case(Some("JWT"), true)]
#[case(Some("jwt"), true)]
#[case(Some("At+Jwt"), true)]
#[case(Some("application/at+jwt"), true)]
#[case(Some("application/jwt"), false)]
#[case(Some("dpop+jwt"), false)]
#[case(Some("id_token"), false)]
#[case(Some(""), false)]
#[tokio::test]
async fn only_access_tokens_are_accepted(#[case] typ: Option<&str>, #[case] is_accepted: bool) {
    let header = Header { typ: typ.map(str::to_owned), ..Header::default() };
    let token = token(&header, &claims(json!({})));
    assert_eq!(authenticator().await.authenticate(&token).await.is_ok(), is_accepted);
}

#[rstest]
#[case(json!({"exp": now() - 10}), "expired")]
#[case(json!({"iss": "other"}), "issuer")]
#[case(json!({"aud": null}), "claims")]
#[case(json!({"sub": "two words"}), "subject")]
#[case(json!({"scope": ["do-not-show"]}), "malformed")]
#[case(json!({"exp": now() + 90_000}), "lifetime")]
#[tokio::test]
async fn the_reason_of_a_rejection_is_one_of_few(#[case] changed: Value, #[case] reason: &str) {
    let token = token(&Header::default(), &claims(changed));
    let rejected = authenticator().await.authenticate(&token).await.expect_err("an invalid claim");
    assert_eq!(rejected.to_string(), reason);
}

#[tokio::test]
async fn a_token_signed_by_another_key_is_rejected() {
    let authenticator = authenticator().await;
    let other = EncodingKey::from_secret(b"another secret of thirty-two bytes");
    let forged = encode(&Header::default(), &claims(json!({})), &other).expect("a token");
    assert!(authenticator.authenticate(&forged).await.is_err());
    for nonsense in ["", ".", "..", "a.b.c", "Bearer"] {
        assert!(authenticator.authenticate(nonsense).await.is_err());
    }
}

#[tokio::test]
async fn unknown_critical_extensions_are_rejected() {
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
    assert!(authenticator().await.authenticate(&token(&header, &claims(json!({})))).await.is_err());
}

#[tokio::test]
async fn the_tokens_of_the_command_are_valid() {
    let user = "kim@example.com".parse().expect("a user");
    let token = sign(&SECRET.into(), &parties(), &user, ADMIN_SCOPE, Duration::from_secs(60)).expect("a token");
    let Bearer { actor, .. } = authenticator().await.authenticate(&token).await.expect("a valid token");
    assert_eq!(actor, Actor { user_id: user, is_admin: true });
}

#[tokio::test]
async fn a_key_set_ignores_shared_secrets() {
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let jwk = Jwk::from_encoding_key(&secret, Algorithm::HS256).expect("a key");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), serde_json::to_vec(&json!({"keys": [jwk]})).expect("JSON")).expect("written");
    let settings = TokenSettings { algorithm: Algorithm::ES256, key: TokenKey::KeySetFile(file.path().into()) };
    assert!(matches!(Authenticator::new(&settings, &parties(), LIMITS).await, Err(KeyError::NoKey { .. })));
}

#[tokio::test]
async fn a_missing_file_is_an_error() {
    for key in [TokenKey::KeySetFile("/nowhere".into()), TokenKey::PublicKeyFile("/nowhere".into())] {
        let settings = TokenSettings { algorithm: Algorithm::RS256, key };
        assert!(matches!(Authenticator::new(&settings, &parties(), LIMITS).await, Err(KeyError::Unreadable { .. })));
    }
}

/// Key pairs of these tests only.
const KEY_PAIRS: [(Algorithm, &[u8], &[u8]); 3] = [
    (Algorithm::RS256, include_bytes!("tests/rsa-private.pem"), include_bytes!("tests/rsa-public.pem")),
    (Algorithm::ES256, include_bytes!("tests/ec-private.pem"), include_bytes!("tests/ec-public.pem")),
    (Algorithm::EdDSA, include_bytes!("tests/ed-private.pem"), include_bytes!("tests/ed-public.pem")),
];

fn signing_key(algorithm: Algorithm, private: &[u8]) -> EncodingKey {
    let key = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(private),
        Algorithm::ES256 => EncodingKey::from_ec_pem(private),
        _ => EncodingKey::from_ed_pem(private),
    };
    key.expect("a private key")
}

async fn authenticator_by_public_key(algorithm: Algorithm, public: &[u8]) -> Authenticator {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), public).expect("written");
    let settings = TokenSettings { algorithm, key: TokenKey::PublicKeyFile(file.path().into()) };
    Authenticator::new(&settings, &parties(), LIMITS).await.expect("a public key")
}

#[tokio::test]
async fn public_keys_accept_only_tokens_of_their_algorithm() {
    for (algorithm, private, public) in KEY_PAIRS {
        let authenticator = authenticator_by_public_key(algorithm, public).await;
        let token =
            encode(&Header::new(algorithm), &claims(json!({})), &signing_key(algorithm, private)).expect("a token");
        assert!(authenticator.authenticate(&token).await.is_ok(), "{algorithm:?}");

        // Signed with the public key as a shared secret.
        let confused = encode(&Header::default(), &claims(json!({})), &EncodingKey::from_secret(public));
        assert!(authenticator.authenticate(&confused.expect("a token")).await.is_err(), "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_key_set_finds_keys_by_id() {
    let keys = KEY_PAIRS.map(|(algorithm, private, _)| {
        let mut jwk = Jwk::from_encoding_key(&signing_key(algorithm, private), algorithm).expect("a key");
        jwk.common.key_id = Some(format!("{algorithm:?}"));
        jwk
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), serde_json::to_vec(&json!({"keys": keys})).expect("JSON")).expect("written");
    for (algorithm, private, _) in KEY_PAIRS {
        let settings = TokenSettings { algorithm, key: TokenKey::KeySetFile(file.path().into()) };
        let authenticator = Authenticator::new(&settings, &parties(), LIMITS).await.expect("a key set");
        let token = |key_id: Option<String>| {
            let header = Header { kid: key_id, ..Header::new(algorithm) };
            encode(&header, &claims(json!({})), &signing_key(algorithm, private)).expect("a token")
        };
        assert!(authenticator.authenticate(&token(Some(format!("{algorithm:?}")))).await.is_ok(), "{algorithm:?}");
        assert!(authenticator.authenticate(&token(None)).await.is_ok(), "the only key of {algorithm:?}");
        assert!(authenticator.authenticate(&token(Some("unknown".to_owned()))).await.is_err(), "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_cached_verification_accepts_no_other_token() {
    for (algorithm, private, public) in KEY_PAIRS {
        let authenticator = authenticator_by_public_key(algorithm, public).await;
        let token = |changed| {
            encode(&Header::new(algorithm), &claims(changed), &signing_key(algorithm, private)).expect("a token")
        };
        let valid = token(json!({}));
        let first = authenticator.authenticate(&valid).await.expect("a valid token");
        let second = authenticator.authenticate(&valid).await.expect("a valid token");
        assert_eq!(first, second);

        let (signed, signature) = valid.rsplit_once('.').expect("three parts");
        let others = token(json!({"sub": "lee"}));
        let (signed_for_lee, _) = others.rsplit_once('.').expect("three parts");
        let forged = [format!("{signed_for_lee}.{signature}"), format!("{signed}."), format!("{valid}=")];
        for forged in forged {
            assert!(authenticator.authenticate(&forged).await.is_err(), "{algorithm:?}: {forged}");
        }
        let lee = authenticator.authenticate(&others).await.expect("a valid token");
        assert_eq!(lee.actor.user_id.as_str(), "lee");
    }
}

/// A key set in a file, and the tokens of its keys.
struct Published {
    file: tempfile::NamedTempFile,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Published {
    fn new(key_ids: &[&str]) -> Self {
        let (algorithm, private, _) = KEY_PAIRS[1];
        let file = tempfile::NamedTempFile::new().expect("a file");
        let published = Self { file, algorithm, key: signing_key(algorithm, private) };
        published.publish(key_ids);
        published
    }

    fn publish(&self, key_ids: &[&str]) {
        let keys = key_ids.iter().map(|key_id| {
            let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a key");
            jwk.common.key_id = Some((*key_id).to_owned());
            jwk
        });
        self.write(&json!({"keys": keys.collect::<Vec<_>>()}).to_string());
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file.path(), text).expect("written");
    }

    fn token(&self, key_id: &str) -> String {
        let header = Header { kid: Some(key_id.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, &claims(json!({})), &self.key).expect("a token")
    }

    async fn authenticator(&self) -> Authenticator {
        let key = TokenKey::KeySetFile(self.file.path().into());
        let settings = TokenSettings { algorithm: self.algorithm, key };
        Authenticator::new(&settings, &parties(), LIMITS).await.expect("a key set")
    }
}

async fn reload(authenticator: &Authenticator) {
    let Keys::Set(keys) = &authenticator.keys else { panic!("a key set") };
    keys.read().await;
}

#[rstest]
#[case::for_another(&["new"])]
#[case::without_another(&[])]
#[tokio::test]
async fn a_withdrawn_key_is_not_trusted_cached_or_not(#[case] key_ids: &[&str]) {
    let published = Published::new(&["old"]);
    let authenticator = published.authenticator().await;
    let old = published.token("old");
    assert!(authenticator.find_verified(&old).await.is_none(), "valid, but unknown");
    assert!(authenticator.authenticate(&old).await.is_ok());
    assert!(authenticator.find_verified(&old).await.is_some());

    published.publish(key_ids);
    reload(&authenticator).await;
    assert!(authenticator.find_verified(&old).await.is_none());
    assert!(authenticator.authenticate(&old).await.is_err());
    for key_id in key_ids {
        assert!(authenticator.authenticate(&published.token(key_id)).await.is_ok());
    }
}

#[rstest]
#[case("nonsense")]
#[case(&" ".repeat((1 << 20) + 1))]
#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_read_are_trusted_for_an_hour(#[case] text: &str) {
    let published = Published::new(&["a"]);
    let authenticator = published.authenticator().await;
    let read_at = authenticator.keys_read_at();
    let token = published.token("a");
    published.write(text);
    reload(&authenticator).await;
    tokio::time::advance(LIMITS.key_set_stale_max - Duration::from_secs(1)).await;
    assert!(authenticator.authenticate(&token).await.is_ok());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(authenticator.authenticate(&token).await.is_err(), "cached");
    assert!(authenticator.authenticate(&published.token("a")).await.is_err());
    assert_eq!(authenticator.keys_read_at(), read_at);

    published.publish(&["a"]);
    reload(&authenticator).await;
    assert!(authenticator.authenticate(&token).await.is_ok());
    assert_ne!(authenticator.keys_read_at(), read_at);
}

#[tokio::test]
async fn a_key_set_ignores_weak_keys() {
    let modulus = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, [0xff; 128]);
    let published = Published::new(&[]);
    published.write(&json!({"keys": [{"kty": "RSA", "n": modulus, "e": "AQAB"}]}).to_string());
    let key = TokenKey::KeySetFile(published.file.path().into());
    let settings = TokenSettings { algorithm: Algorithm::RS256, key };
    assert!(matches!(Authenticator::new(&settings, &parties(), LIMITS).await, Err(KeyError::NoKey { .. })));
}

fn key_set_of(algorithm: Algorithm, private: &[u8]) -> Value {
    let jwk = Jwk::from_encoding_key(&signing_key(algorithm, private), algorithm).expect("a key");
    json!({"keys": [jwk]})
}

#[tokio::test]
async fn a_key_set_is_fetched_from_its_url() {
    let (algorithm, private, _) = KEY_PAIRS[1];
    let provider = MockServer::start().await;
    let keys = ResponseTemplate::new(200).set_body_json(key_set_of(algorithm, private));
    Mock::given(method("GET")).and(path("/keys.json")).respond_with(keys).expect(1).mount(&provider).await;
    let key = TokenKey::KeySetUrl(format!("{}/keys.json", provider.uri()).parse().expect("a URL"));
    let authenticator =
        Authenticator::new(&TokenSettings { algorithm, key }, &parties(), LIMITS).await.expect("a key set");
    let token = |private| {
        encode(&Header::new(algorithm), &claims(json!({})), &signing_key(algorithm, private)).expect("a token")
    };
    assert!(authenticator.authenticate(&token(private)).await.is_ok());
    let header = Header { kid: Some("unknown".to_owned()), ..Header::new(algorithm) };
    let unknown = encode(&header, &claims(json!({})), &signing_key(algorithm, private)).expect("a token");
    for _ in 0..3 {
        assert!(authenticator.authenticate(&unknown).await.is_err(), "one fetch for all");
    }
}

/// The provider may be unavailable at start: tokens are rejected until a later fetch succeeds.
#[tokio::test]
async fn a_url_without_keys_rejects_every_token() {
    let (algorithm, private, _) = KEY_PAIRS[1];
    let provider = MockServer::start().await;
    let elsewhere = ResponseTemplate::new(302).insert_header("location", format!("{}/keys", provider.uri()));
    let keys = ResponseTemplate::new(200).set_body_json(key_set_of(algorithm, private));
    let huge = format!("{}{}", key_set_of(algorithm, private), " ".repeat(1 << 20));
    for (at, answer) in [
        ("/missing", ResponseTemplate::new(404)),
        ("/moved", elsewhere),
        ("/nonsense", ResponseTemplate::new(200).set_body_string("<html>")),
        ("/huge", ResponseTemplate::new(200).set_body_string(huge)),
        ("/keys", keys),
    ] {
        Mock::given(path(at)).respond_with(answer).mount(&provider).await;
    }
    let token = encode(&Header::new(algorithm), &claims(json!({})), &signing_key(algorithm, private));
    let token = token.expect("a token");
    for (at, is_accepted) in
        [("/missing", false), ("/moved", false), ("/nonsense", false), ("/huge", false), ("/keys", true)]
    {
        let key = TokenKey::KeySetUrl(format!("{}{at}", provider.uri()).parse().expect("a URL"));
        let authenticator = Authenticator::new(&TokenSettings { algorithm, key }, &parties(), LIMITS).await;
        let authenticator = authenticator.expect("an address");
        assert_eq!(authenticator.authenticate(&token).await.is_ok(), is_accepted, "{at}");
    }
}

/// Revokes the tokens of kim that were issued before now, and one of lee's.
async fn revoke(authenticator: &Authenticator) {
    let issued_before = Timestamp::from_offset_date_time(time::OffsetDateTime::now_utc()).expect("a time");
    let of_user = RevokedTokens::OfUser { user_id: "kim".parse().expect("a user"), issued_before };
    let one = RevokedTokens::One("t-1".to_owned().try_into().expect("an id"));
    let revocation =
        |tokens| Revocation { id: SequentialIds::id(1).into(), tokens, expires_at: Timestamp::MAX, at: Timestamp::MIN };
    let mut revocations = MockRevocationQueries::new();
    revocations.expect_all().return_once(move || Ok(vec![revocation(of_user), revocation(one)]));
    authenticator.deny_list().read(&revocations).await.expect("a list");
}

#[rstest]
#[case(json!({"iat": now() - 60}), false)]
#[case(json!({}), false)]
#[case(json!({"iat": now() + 60}), true)]
#[case(json!({"sub": "lee"}), true)]
#[case(json!({"sub": "lee", "jti": "t-1"}), false)]
#[case(json!({"sub": "lee", "jti": "t-2"}), true)]
#[case(json!({"sub": "lee", "jti": 7}), true)]
#[tokio::test]
async fn a_revoked_token_is_rejected(#[case] changed: Value, #[case] is_accepted: bool) {
    let authenticator = authenticator().await;
    let token = token(&Header::default(), &claims(changed));
    authenticator.authenticate(&token).await.expect("not revoked yet");
    revoke(&authenticator).await;
    assert_eq!(authenticator.find_verified(&token).await.is_some(), is_accepted);
    let rejected = authenticator.authenticate(&token).await.err().map(|error| error.to_string());
    assert_eq!(rejected.as_deref(), (!is_accepted).then_some("revoked"));
}
