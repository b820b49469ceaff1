//! An HTTP client that checks the rules of all responses.

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

/// Text that must never appear in a response: SQL, and messages of libraries and parsers.
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

/// A client with a token or an anonymous one.
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

    /// A GET request.
    pub fn get(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST request with a JSON body.
    pub fn post(&self, path: impl AsRef<str>, body: Value) -> Call {
        self.call(Method::POST, path).json(&body)
    }

    /// A PATCH request with a JSON body.
    pub fn patch(&self, path: impl AsRef<str>, body: Value) -> Call {
        self.call(Method::PATCH, path).json(&body)
    }

    /// A request without a body.
    pub fn call(&self, method: Method, path: impl AsRef<str>) -> Call {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).expect("a header's value"));
        }
        let path = path.as_ref().to_owned();
        Call { caller: self.clone(), method, path, headers, body: None }
    }
}

/// A request that is sent when it is awaited.
#[must_use = "a request is sent when it is awaited"]
#[derive(Clone)]
pub struct Call {
    caller: Caller,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Call {
    /// Sets the idempotency key.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Sets `Accept-Language`.
    pub fn language(self, languages: &str) -> Self {
        self.header(ACCEPT_LANGUAGE.as_str(), languages)
    }

    /// Replaces a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::try_from(name).expect("a header's name");
        self.headers.insert(name, HeaderValue::from_bytes(value.as_ref()).expect("a header's value"));
        self
    }

    /// Appends a header.
    pub fn also_header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a header's name");
        self.headers.append(name, HeaderValue::try_from(value).expect("a header's value"));
        self
    }

    /// Removes a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Sets a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.raw_json(body.to_string())
    }

    /// Sets a body with the JSON media type, even if it is not JSON.
    pub fn raw_json(self, body: impl Into<Vec<u8>>) -> Self {
        let mut call = self.header(CONTENT_TYPE.as_str(), "application/json");
        call.body = Some(body.into());
        call
    }

    /// Sends the request to a server that may be down.
    ///
    /// # Errors
    /// If there is no response.
    ///
    /// # Panics
    /// If the response violates a rule of all responses.
    pub async fn try_send(self) -> Result<Response, reqwest::Error> {
        let Self { caller, method, path, headers, body } = self;
        let line = format!("{method} {path}");
        let mut request = caller.client.request(method, format!("{}{path}", caller.base)).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await?.to_vec();
        let response = Response { request: line, status, headers, body };
        if status >= 500 {
            caller.watch.record_server_error(format!("a server error: {response}"));
        }
        response.check_rules();
        Ok(response)
    }
}

impl IntoFuture for Call {
    type Output = Response;
    type IntoFuture = BoxFuture<'static, Response>;

    fn into_future(self) -> Self::IntoFuture {
        let request = format!("{} {}", self.method, self.path);
        async move { self.try_send().await.unwrap_or_else(|error| panic!("{request}: no response: {error:?}")) }.boxed()
    }
}

/// A response with its request for messages.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are clear")]
pub struct Response {
    request: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A checked problem document.
#[derive(Clone, Debug)]
pub struct Problem(Value);

impl std::ops::Deref for Problem {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} responded {}: {}", self.request, self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Response {
    /// The header as text, if present.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Parses the body, regardless of the status.
    #[track_caller]
    pub fn document(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    /// Asserts the status and parses the body.
    #[track_caller]
    pub fn json(self, status: u16) -> Value {
        let response = self.expect(status);
        assert_eq!(response.header("content-type"), Some("application/json"), "{response}");
        serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{response}: {error}"))
    }

    /// Asserts the status and the code and returns the problem document.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Problem {
        assert_eq!(self.status, status, "{self}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"));
        assert_eq!(problem["code"], code, "{self}");
        Problem(problem)
    }

    /// Asserts a 400 with an error at the JSON pointer.
    #[track_caller]
    pub fn invalid_field(&self, pointer: &str) -> Problem {
        assert_eq!(self.status, 400, "{self}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"));
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        assert!(errors.iter().any(|error| error["pointer"] == pointer), "no error at {pointer:?}: {self}");
        Problem(problem)
    }

    #[track_caller]
    fn check_rules(&self) {
        let has_head_only = self.request.starts_with("HEAD ") && self.body.is_empty();
        let status = if has_head_only { 200 } else { self.status };
        check_rules(status, &self.body, |name| self.header(name), self);
    }
}

/// Asserts the rules of all responses: a request id, and for errors a problem document without internal details.
#[track_caller]
pub(crate) fn check_rules<'a>(
    status: u16,
    body: &[u8],
    header: impl Fn(&str) -> Option<&'a str>,
    response: &impl Display,
) {
    let request_id = header("x-request-id").unwrap_or_else(|| panic!("no X-Request-Id: {response}"));
    if status < 400 {
        return;
    }
    assert_eq!(header("content-type"), Some("application/problem+json"), "{response}");
    // A replay has the request id of the first request.
    let request_id = header("idempotent-replayed").is_none().then_some(request_id);
    check_problem(body, status, request_id, &response.to_string());
    let needs_retry_after = matches!(status, 429 | 503);
    assert!(!needs_retry_after || header("retry-after").is_some(), "no Retry-After: {response}");
    assert!(status != 401 || header("www-authenticate").is_some(), "no WWW-Authenticate: {response}");
    assert!(status != 405 || header("allow").is_some(), "no Allow: {response}");
}

/// Checks a problem document of RFC 9457 with the members of the API.
#[track_caller]
fn check_problem(body: &[u8], status: u16, request_id: Option<&str>, context: &str) {
    let problem: Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {context}"));
    for member in ["type", "title", "detail", "instance", "code", "request_id"] {
        let text = problem[member].as_str().unwrap_or_else(|| panic!("no text in {member:?}: {context}"));
        assert!(!text.is_empty(), "{member:?} is empty: {context}");
    }
    assert_eq!(problem["status"], status, "{context}");
    assert!(problem["retryable"].is_boolean(), "{context}");
    assert!(request_id.is_none_or(|id| problem["request_id"] == id), "{context}");
    let code = problem["code"].as_str().unwrap_or_default();
    assert!(code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit()), "{context}");
    if let Some(errors) = problem.get("errors") {
        let errors = errors.as_array().unwrap_or_else(|| panic!("errors is no list: {context}"));
        let complete = |error: &Value| error["pointer"].is_string() && error["reason"].is_string();
        assert!(!errors.is_empty() && errors.iter().all(complete), "{context}");
    }
    // The instance is the path of the request.
    let mut shown = problem.clone();
    shown["instance"].take();
    let shown = shown.to_string().to_lowercase();
    let leak = LEAKS.iter().find(|leak| shown.contains(**leak));
    assert!(leak.is_none(), "reveals {leak:?}: {context}");
}

/// Asserts that a document has all required members, and no others except optional ones.
///
/// # Panics
/// If a member is missing or unknown.
#[track_caller]
pub fn assert_fields(document: &Value, required: &[&str], optional: &[&str]) {
    let object = document.as_object().unwrap_or_else(|| panic!("no object: {document}"));
    let found: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    let missing: Vec<_> = required.iter().filter(|name| !found.contains(**name)).collect();
    let unknown: Vec<_> = found.iter().filter(|name| !required.contains(name) && !optional.contains(name)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?} in {document}");
}
