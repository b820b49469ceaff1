//! The targets of `make fuzz`: the input of callers, as bytes. Each panics where a property does not hold. The tests
//! replay the corpora of earlier runs.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, get_current_timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::Sha256;

use jangteo_domain::id::{AuditEntryId, CampaignId, OrderId};
use jangteo_domain::page::Page;
use jangteo_domain::product::{ProductKey, Sku};
use jangteo_domain::time::Date;
use jangteo_domain::{Currency, Money, ShopRules, UserId};

use crate::auth::Authenticator;
use crate::calendar::TimeZoneCalendar;
use crate::cursor_keys::CursorKeys;
use crate::http::admin::audit_log::AuditQuery;
use crate::http::admin::campaigns::{ChangeCampaignRequest, CreateCampaignRequest};
use crate::http::admin::events::EventsQuery;
use crate::http::admin::orders::AllOrdersQuery;
use crate::http::admin::points::AdjustPointsRequest;
use crate::http::admin::products::bulk::BulkRequest;
use crate::http::admin::products::{ChangeProductRequest, CreateProductRequest, PutProductRequest};
use crate::http::admin::refunds::RefundOrderRequest;
use crate::http::admin::stocks::AdjustStockRequest;
use crate::http::api::coupons::CouponsQuery;
use crate::http::api::orders::{OrdersQuery, PlaceOrderRequest};
use crate::http::api::payments::PayOrderRequest;
use crate::http::api::points::TopUpPointsRequest;
use crate::http::api::popular::PopularQuery;
use crate::http::api::products::{AllProductsQuery, ProductsQuery};
use crate::http::api::quotes::QuoteRequest;
use crate::http::extract::body::{self, Nothing};
use crate::http::extract::page::{List, PageQuery};
use crate::http::extract::query;
use crate::http::respond::problem::{Problem, ProblemCode};
use crate::settings::{TokenKey, TokenLimits, TokenParties, TokenSettings};

const SECRET: &str = "a secret of the fuzz targets, 32 bytes";
const ISSUER: &str = "issuer";
const AUDIENCE: &str = "shop";
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A body of the request that the first byte selects: an accepted one has the same verdict in its canonical form, by
/// which retries are compared, and a rejected one is a client error.
pub fn body(data: &[u8]) {
    const REQUESTS: [fn(&[u8]); 14] = [
        |json| check_body(json, |request: &TopUpPointsRequest| request.amount(won()).map(drop)),
        |json| check_body(json, |request: &PlaceOrderRequest| request.check(&RULES).map(drop)),
        |json| check_body(json, |_: &QuoteRequest| Ok(())),
        |json| check_body(json, |_: &PayOrderRequest| Ok(())),
        |json| check_body(json, |_: &Nothing| Ok(())),
        |json| check_body(json, |request: &CreateProductRequest| request.details(dollar()).map(drop)),
        |json| check_body(json, |request: &ChangeProductRequest| request.change(dollar()).map(drop)),
        |json| check_body(json, |request: &AdjustStockRequest| request.check().map(drop)),
        |json| check_body(json, |request: &CreateCampaignRequest| request.plan(won()).map(drop)),
        |json| check_body(json, |request: &ChangeCampaignRequest| request.change().map(drop)),
        |json| check_body(json, |request: &RefundOrderRequest| request.check().map(drop)),
        |json| check_body(json, |request: &AdjustPointsRequest| request.check(won()).map(drop)),
        |json| check_body(json, |request: &PutProductRequest| request.command(sku(), won()).map(drop)),
        |json| check_body(json, |_: &BulkRequest| Ok(())),
    ];
    select(&REQUESTS, data);
}

/// A query string of the operation that the first byte selects.
pub fn query(data: &[u8]) {
    const OPERATIONS: [fn(&[u8]); 10] = [
        |text| check_query(text, |query: ProductsQuery| query.filter(dollar()).map(drop)),
        |text| check_query(text, |query: PopularQuery| query.check().map(drop)),
        |text| check_query(text, |query: AllOrdersQuery| query.filter().map(drop)),
        |text| check_query(text, |query: AuditQuery| query.filter().map(drop)),
        |text| check_query(text, |_: PageQuery| Ok(())),
        |text| check_query(text, |_: OrdersQuery| Ok(())),
        |text| check_query(text, |_: CouponsQuery| Ok(())),
        |text| check_query(text, |_: EventsQuery| Ok(())),
        |text| check_query(text, |_: Nothing| Ok(())),
        |text| check_query(text, |query: AllProductsQuery| ProductsQuery::from(query).filter(dollar()).map(drop)),
    ];
    select(&OPERATIONS, data);
}

/// The key of a cursor of the list that the first byte selects: unsigned it is rejected, and signed it is decoded.
pub fn cursor(data: &[u8]) {
    const LISTS: [fn(&[u8]); 6] = [
        check_cursor::<u64>,
        check_cursor::<u32>,
        check_cursor::<OrderId>,
        check_cursor::<CampaignId>,
        check_cursor::<AuditEntryId>,
        check_cursor::<(ProductKey, Option<Date>)>,
    ];
    select(&LISTS, data);
}

/// The head and the claims of a token, separated by a line feed: without the secret it is rejected, and with it only
/// valid claims are accepted. A time of less than a year counts from now.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(authenticate(text).is_err(), "a forged token is accepted");
    let Some((head, claims)) = text.split_once('\n') else { return };
    let unsigned = format!("{}.{}", encoded(head), encoded(claims));
    for signature in ["", "AAAA", head] {
        assert!(authenticate(&format!("{unsigned}.{signature}")).is_err(), "a forged token is accepted");
    }
    check_signed(head, claims);
    if let Ok(Value::Object(mut claims)) = serde_json::from_str(claims) {
        for time in ["exp", "nbf", "iat"] {
            let relative =
                claims.get(time).and_then(Value::as_i64).filter(|seconds| seconds.unsigned_abs() < 31_536_000);
            if let Some(seconds) = relative {
                claims.insert(time.to_owned(), get_current_timestamp().saturating_add_signed(seconds).into());
            }
        }
        check_signed(head, &Value::Object(claims).to_string());
    }
}

/// Runs the function that the first byte selects on the rest.
fn select(functions: &[fn(&[u8])], data: &[u8]) {
    if let Some((first, rest)) = data.split_first() {
        functions[usize::from(*first) % functions.len()](rest);
    }
}

fn check_body<T: DeserializeOwned>(json: &[u8], check: impl Fn(&T) -> Result<(), Problem>) {
    let verdict = |body: &T| check(body).map_err(|problem| client_error(&problem));
    match body::parse::<T>(json) {
        Ok(body) => {
            let again = body::parse::<T>(&body.canonical).unwrap_or_else(|_| panic!("the canonical form is rejected"));
            assert_eq!(again.canonical, body.canonical);
            assert_eq!(verdict(&again.value), verdict(&body.value));
        }
        Err(problem) => drop(client_error(&problem)),
    }
}

fn check_query<T: DeserializeOwned>(text: &[u8], check: impl FnOnce(T) -> Result<(), Problem>) {
    // Other bytes do not get past the parser of HTTP.
    if !text.iter().all(u8::is_ascii_graphic) {
        return;
    }
    let text = std::str::from_utf8(text).expect("ASCII");
    if let Err(problem) = query::parse::<T>(text).and_then(check) {
        assert_eq!(problem.code(), ProblemCode::InvalidQuery);
    }
}

fn check_cursor<Key: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(key: &[u8]) {
    static KEYS: LazyLock<Arc<CursorKeys>> = LazyLock::new(|| Arc::new(CursorKeys::of_this_process()));
    let list = List::new(&KEYS, "list");
    let page = |cursor: &str| list.page::<Key>(None, Some(cursor));
    let mut forgeries = vec![URL_SAFE_NO_PAD.encode(key)];
    forgeries.extend(std::str::from_utf8(key).map(str::to_owned));
    for cursor in forgeries {
        let rejected = page(&cursor).expect_err("a forged cursor is accepted");
        assert_eq!(rejected.code(), ProblemCode::InvalidCursor);
    }
    let signed = URL_SAFE_NO_PAD.encode([&KEYS.sign("list", key)[..], key].concat());
    match page(&signed) {
        Ok(Page { after, .. }) => {
            let after = after.expect("the key of the cursor");
            let answer = list.answer(2, &[(), ()], |()| &after, |()| ());
            let next = answer.next_cursor.expect("a cursor, as there is another row");
            assert_eq!(page(&next).expect("a cursor of the list").after, Some(after));
        }
        Err(problem) => assert_eq!(problem.code(), ProblemCode::InvalidCursor),
    }
}

fn client_error(problem: &Problem) -> ProblemCode {
    assert_eq!(problem.code().kind().status.as_u16(), 400, "{:?}", problem.code());
    problem.code()
}

fn check_signed(head: &str, claims: &str) {
    let unsigned = format!("{}.{}", encoded(head), encoded(claims));
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length");
    let signature = mac.chain_update(&unsigned).finalize().into_bytes();
    let Ok(user_id) = authenticate(&format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))) else { return };
    let read = |json: &str| serde_json::from_str::<Value>(json).expect("JSON, as it was accepted");
    let (head, claims) = (read(head), read(claims));
    assert_eq!(head["alg"], "HS256");
    assert!(head.get("crit").is_none_or(Value::is_null), "{head}");
    let typ = head["typ"].as_str().map(str::to_ascii_lowercase);
    assert!(matches!(typ.as_deref(), None | Some("jwt" | "at+jwt" | "application/at+jwt")), "{head}");
    assert_eq!(claims["sub"], user_id.as_str());
    let has = |claim: &str, wanted: &str| match &claims[claim] {
        Value::Array(items) => items.iter().any(|item| item == wanted),
        single => single == wanted,
    };
    assert!(has("iss", ISSUER) && has("aud", AUDIENCE), "{claims}");
    let now = get_current_timestamp() as f64;
    let leeway = 10.0;
    let time = |claim: &str| claims.get(claim).and_then(Value::as_f64);
    let expires_at = time("exp").expect("a time");
    assert!(expires_at > now - leeway && time("nbf").is_none_or(|from| from < now + leeway), "{claims}");
    assert!(expires_at - time("iat").unwrap_or(now) <= LIFETIME_MAX.as_secs_f64() + leeway, "{claims}");
}

/// The subject of a valid token.
fn authenticate(token: &str) -> Result<UserId, ()> {
    static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
        let settings = TokenSettings { algorithm: Algorithm::HS256, key: TokenKey::Secret(SECRET.into()) };
        let parties = TokenParties { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned() };
        let limits = TokenLimits { lifetime_max: LIFETIME_MAX, key_set_stale_max: LIFETIME_MAX };
        let ready = Authenticator::new(&settings, &parties, limits).now_or_never();
        ready.expect("a secret needs no waiting").expect("a secret")
    });
    let ready = AUTHENTICATOR.authenticate(token).now_or_never().expect("a shared secret needs no waiting");
    ready.map(|bearer| bearer.actor.user_id).map_err(drop)
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn sku() -> Sku {
    Sku::parse("MUG-RED").expect("a SKU")
}

fn won() -> Currency {
    Currency::from_code("KRW").expect("a currency")
}

fn dollar() -> Currency {
    Currency::from_code("USD").expect("a currency")
}

static RULES: LazyLock<ShopRules> = LazyLock::new(|| ShopRules {
    currency: won(),
    top_up_max: Money::MAX,
    balance_max: Money::MAX,
    order_ttl: time::Duration::minutes(10),
    order_lines_max: 3,
    order_quantity_max: 1_000,
    open_orders_max: 20,
    unpaid_orders_max: 500,
    reserved_quantity_max: 1_000,
    calendar: Arc::new(TimeZoneCalendar::of("Asia/Seoul").expect("a time zone")),
});

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn earlier_inputs_find_nothing() {
        for (name, target) in [("body", body as fn(&[u8])), ("query", query), ("cursor", cursor), ("token", token)] {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
            let inputs = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
            let mut count = 0;
            for input in inputs {
                let path = input.expect("an entry").path();
                target(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
                count += 1;
            }
            assert!(count > 10, "{name} has {count} inputs");
        }
    }

    /// The checks above are of no use if nothing is accepted.
    #[test]
    fn a_valid_token_is_accepted() {
        let token = |claims: &str| {
            let unsigned = format!("{}.{}", encoded(r#"{"alg":"HS256","typ":"JWT"}"#), encoded(claims));
            let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
            let signature = mac.chain_update(&unsigned).finalize().into_bytes();
            format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let expires_at = get_current_timestamp() + 60;
        let claims = format!(r#"{{"sub":"kim","iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{expires_at}}}"#);
        assert_eq!(authenticate(&token(&claims)).map(String::from), Ok("kim".to_owned()));
    }
}
