use actix_web::http::header::{HeaderMap, HeaderName};
use uuid::Uuid;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LENGTH_MAX: usize = 64;

/// The caller's id for the request, if it is safe to log; else a new one.
pub fn of(headers: &HeaderMap) -> String {
    let is_safe = |id: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(allowed)
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_safe);
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("abc-1.2:3_4", true)]
    #[case("", false)]
    #[case("has space", false)]
    #[case("line\\nfeed", false)]
    #[case(&"a".repeat(64), true)]
    #[case(&"a".repeat(65), false)]
    fn adopts_safe_request_ids_only(#[case] given: &str, #[case] is_adopted: bool) {
        let request = TestRequest::get().insert_header((REQUEST_ID, given)).to_srv_request();
        assert_eq!(of(request.headers()) == given, is_adopted);
    }
}
