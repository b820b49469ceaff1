//! Calls over HTTP, and what every answer must keep to, whatever was asked.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::IntoFuture;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::scenario::Watch;

/// Whatever a client must never be shown: words of SQL, of the libraries and of their parsers.
const LEAKS: [&str; 20] = [
    "sqlite",
    "mysql",
    "mariadb",
    "diesel",
    "bb8:",
    "serde",
    "actix",
    "tokio",
    "rustls",
    "jsonwebtoken",
    "panicked",
    "src/",
    ".rs:",
    "insert into",
    "select ",
    "constraint",
    "at line ",
    " column ",
    "expected value",
    "invalid type:",
];

/// Somebody who calls a server.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    base: String,
    token: Option<String>,
    watch: Arc<Watch>,
}

impl Caller {
    pub(crate) fn new(client: Client, base: String, token: Option<String>, watch: Arc<Watch>) -> Self {
        Self { client, base, token, watch }
    }

    /// A GET.
    pub fn get(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST of JSON.
    pub fn post(&self, path: impl AsRef<str>, body: Value) -> Call {
        self.call(Method::POST, path).json(&body)
    }

    /// A PATCH with JSON.
    pub fn patch(&self, path: impl AsRef<str>, body: Value) -> Call {
        self.call(Method::PATCH, path).json(&body)
    }

    /// Any call, without a body so far.
    pub fn call(&self, method: Method, path: impl AsRef<str>) -> Call {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).expect("a header's value"));
        }
        let path = path.as_ref().to_owned();
        Call { caller: self.clone(), method, path, headers, body: None }
    }
}

/// A call that is sent when it is awaited.
#[must_use = "a call is sent when it is awaited"]
#[derive(Clone)]
pub struct Call {
    caller: Caller,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Call {
    /// With that idempotency key.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// With that language preferred.
    pub fn language(self, languages: &str) -> Self {
        self.header(ACCEPT_LANGUAGE.as_str(), languages)
    }

    /// With that header instead.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::try_from(name).expect("a header's name");
        self.headers.insert(name, HeaderValue::from_bytes(value.as_ref()).expect("a header's value"));
        self
    }

    /// With one more header of that name.
    pub fn also_header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a header's name");
        self.headers.append(name, HeaderValue::try_from(value).expect("a header's value"));
        self
    }

    /// Without that header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// With that JSON.
    pub fn json(self, body: &Value) -> Self {
        self.raw_json(body.to_string())
    }

    /// With that text as JSON, whether it is or not.
    pub fn raw_json(self, body: impl Into<Vec<u8>>) -> Self {
        let mut call = self.header(CONTENT_TYPE.as_str(), "application/json");
        call.body = Some(body.into());
        call
    }

    /// Sends it, where the server may be gone.
    ///
    /// # Errors
    /// When no answer comes.
    ///
    /// # Panics
    /// When the answer breaks a rule that holds for all answers.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let Self { caller, method, path, headers, body } = self;
        let what = format!("{method} {path}");
        let mut request = caller.client.request(method, format!("{}{path}", caller.base)).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await?.to_vec();
        let answer = Answer { what, status, headers, body };
        if status >= 500 {
            caller.watch.note_server_error(format!("a server error: {answer}"));
        }
        answer.check_rules();
        Ok(answer)
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = BoxFuture<'static, Answer>;

    fn into_future(self) -> Self::IntoFuture {
        let what = format!("{} {}", self.method, self.path);
        async move { self.try_send().await.unwrap_or_else(|error| panic!("{what}: no answer: {error:?}")) }.boxed()
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    what: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// The members of a problem document, once all its rules are checked.
#[derive(Clone, Debug)]
pub struct Problem(Value);

impl std::ops::Deref for Problem {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} answered {}: {}", self.what, self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    /// The header, where it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer, which must have that status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// The JSON of an answer, whatever its status.
    #[track_caller]
    pub fn document(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    /// The JSON of an answer that must have that status.
    #[track_caller]
    pub fn json(self, status: u16) -> Value {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer}");
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{answer}: {error}"))
    }

    /// The problem document of an answer that must have that status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Problem {
        assert_eq!(self.status, status, "{self}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"));
        assert_eq!(problem["code"], code, "{self}");
        Problem(problem)
    }

    /// The problem document of a 400 that finds fault with the field at that JSON pointer.
    #[track_caller]
    pub fn invalid_field(&self, pointer: &str) -> Problem {
        assert_eq!(self.status, 400, "{self}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"));
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        assert!(errors.iter().any(|error| error["pointer"] == pointer), "no fault at {pointer:?}: {self}");
        Problem(problem)
    }

    #[track_caller]
    fn check_rules(&self) {
        let has_head_only = self.what.starts_with("HEAD ") && self.body.is_empty();
        let status = if has_head_only { 200 } else { self.status };
        check_rules(status, &self.body, |name| self.header(name), self);
    }
}

/// The rules of all answers: a request id, and for errors a problem document that gives nothing away.
#[track_caller]
pub(crate) fn check_rules<'a>(
    status: u16,
    body: &[u8],
    header: impl Fn(&str) -> Option<&'a str>,
    answer: &impl Display,
) {
    let request_id = header("x-request-id").unwrap_or_else(|| panic!("no X-Request-Id: {answer}"));
    if status < 400 {
        return;
    }
    assert_eq!(header("content-type"), Some("application/problem+json"), "{answer}");
    // A replay tells what the first request was told, its id included.
    let told_to = header("idempotent-replayed").is_none().then_some(request_id);
    check_problem(body, status, told_to, &answer.to_string());
    let must_say_when = matches!(status, 429 | 503);
    assert!(!must_say_when || header("retry-after").is_some(), "no Retry-After: {answer}");
    assert!(status != 401 || header("www-authenticate").is_some(), "no WWW-Authenticate: {answer}");
    assert!(status != 405 || header("allow").is_some(), "no Allow: {answer}");
}

/// RFC 9457 with the members that the contract adds.
#[track_caller]
fn check_problem(body: &[u8], status: u16, request_id: Option<&str>, what: &str) {
    let problem: Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {what}"));
    for member in ["type", "title", "detail", "instance", "code", "request_id"] {
        let text = problem[member].as_str().unwrap_or_else(|| panic!("no text in {member:?}: {what}"));
        assert!(!text.is_empty(), "{member:?} is empty: {what}");
    }
    assert_eq!(problem["status"], status, "{what}");
    assert!(problem["retryable"].is_boolean(), "{what}");
    assert!(request_id.is_none_or(|id| problem["request_id"] == id), "{what}");
    let code = problem["code"].as_str().unwrap_or_default();
    assert!(code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit()), "{what}");
    if let Some(errors) = problem.get("errors") {
        let errors = errors.as_array().unwrap_or_else(|| panic!("errors is no list: {what}"));
        let complete = |error: &Value| error["pointer"].is_string() && error["reason"].is_string();
        assert!(!errors.is_empty() && errors.iter().all(complete), "{what}");
    }
    // The instance echoes the path, which is the caller's own.
    let mut shown = problem.clone();
    shown["instance"].take();
    let shown = shown.to_string().to_lowercase();
    let leak = LEAKS.iter().find(|leak| shown.contains(**leak));
    assert!(leak.is_none(), "gives {leak:?} away: {what}");
}

/// That a document has these members, perhaps the optional ones, and no others.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn assert_fields(document: &Value, required: &[&str], optional: &[&str]) {
    let object = document.as_object().unwrap_or_else(|| panic!("no object: {document}"));
    let found: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    let missing: Vec<_> = required.iter().filter(|name| !found.contains(**name)).collect();
    let unknown: Vec<_> = found.iter().filter(|name| !required.contains(name) && !optional.contains(name)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?} in {document}");
}
