use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest};

use crate::http::respond::problem::{Problem, ProblemCode};

/// The condition of a write: the version in quotes that the caller has seen, `*`, or none. A weak tag is invalid, as it
/// never matches (RFC 9110, 13.1.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// # Errors
    /// `INVALID_IF_MATCH` for anything else, and for two headers.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(header::IF_MATCH);
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let written = value.to_str().ok().filter(|_| values.next().is_none()).map(|value| Self(Some(value.to_owned())));
        written.filter(Self::is_valid).ok_or(ProblemCode::InvalidIfMatch.into())
    }

    /// The expected version; `None` for any.
    pub fn version(&self) -> Option<u64> {
        self.quoted()?.parse().ok()
    }

    /// As written, for the fingerprint of the request.
    pub fn written(&self) -> Option<&str> {
        self.0.as_deref()
    }

    fn quoted(&self) -> Option<&str> {
        self.0.as_deref()?.strip_prefix('"')?.strip_suffix('"')
    }

    fn is_valid(&self) -> bool {
        let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        self.0.as_deref() == Some("*") || self.quoted().is_some_and(is_plain) && self.version().is_some()
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request.headers()))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<u64>, ProblemCode> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_str(value).expect("a value"));
        }
        IfMatch::of(&headers).map(|condition| condition.version()).map_err(|problem| problem.code())
    }

    #[test]
    fn a_condition_is_a_version_in_quotes_or_a_star() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(None));
        assert_eq!(read(&["\"3\""]), Ok(Some(3)));
        assert_eq!(read(&["\"18446744073709551615\""]), Ok(Some(u64::MAX)));
    }

    #[rstest]
    #[case(&["3"])]
    #[case(&["\"\""])]
    #[case(&["\"03\""])]
    #[case(&["\"+3\""])]
    #[case(&["\"-3\""])]
    #[case(&["\"a\""])]
    #[case(&["\"3"])]
    #[case(&["W/\"3\""])]
    #[case(&["\"3\", \"4\""])]
    #[case(&["\"18446744073709551616\""])]
    #[case(&["\"3\"", "\"3\""])]
    fn rejects_other_conditions(#[case] values: &[&str]) {
        assert_eq!(read(values), Err(ProblemCode::InvalidIfMatch));
    }
}
