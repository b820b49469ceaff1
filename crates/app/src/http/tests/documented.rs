//! The operations of the OpenAPI document. [`check`] runs on every response that a test receives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use actix_web::dev::ResourceDef;
use actix_web::http::Method;
use utoipa::openapi::{HttpMethod, RefOr};

use super::client::Answer;
use crate::http::openapi::{self, common_problems, operations_of};
use crate::http::respond::problem::{CONTENT_TYPE, ProblemCode};

/// An operation of the document.
pub struct Operation {
    pub id: String,
    pub method: Method,
    pub path: String,
    /// The listed codes by status.
    pub codes: BTreeMap<String, BTreeSet<String>>,
    /// The codes that its handler declares, without those of similar operations.
    pub own_codes: BTreeSet<String>,
    pattern: ResourceDef,
}

pub static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let mut document = openapi::openapi();
    let paths = document.paths.paths.iter_mut();
    let operations =
        paths.flat_map(|(path, item)| operations_of(item).map(|(method, api)| Operation::of(path, &method, api)));
    operations.collect()
});

impl Operation {
    fn of(path: &str, method: &HttpMethod, operation: &utoipa::openapi::path::Operation) -> Self {
        let codes: BTreeMap<_, _> = operation
            .responses
            .responses
            .iter()
            .filter_map(|(status, response)| match response {
                RefOr::T(response) if response.content.contains_key(CONTENT_TYPE) => {
                    Some((status.clone(), listed_codes(&response.description)))
                }
                RefOr::T(_) | RefOr::Ref(_) => None,
            })
            .collect();
        let common = common_problems(path, method, operation);
        let common: BTreeSet<_> = common.iter().map(|code| code.kind().code.to_owned()).collect();
        let method = match method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Put => Method::PUT,
            other => panic!("an operation by {}", serde_json::json!(other)),
        };
        Self {
            id: operation.operation_id.clone().expect("an id"),
            method,
            path: path.to_owned(),
            own_codes: codes.values().flatten().filter(|code| !common.contains(*code)).cloned().collect(),
            codes,
            pattern: ResourceDef::new(path),
        }
    }

    /// The operation of a request, static paths before paths with an id.
    fn find(method: &Method, path: &str) -> Option<&'static Self> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let matching = OPERATIONS.iter().filter(|one| one.pattern.is_match(path));
        let routed = matching.min_by_key(|one| one.path.matches('{').count())?;
        OPERATIONS.iter().find(|one| one.method == method && one.path == routed.path)
    }
}

/// The codes of a description, which lists one a line.
fn listed_codes(description: &str) -> BTreeSet<String> {
    let lines = description.lines().map(|line| line.strip_prefix("- `").and_then(|line| line.split_once("`: ")));
    lines.map(|line| line.unwrap_or_else(|| panic!("not a list of codes: {description}")).0.to_owned()).collect()
}

/// Checks that the document lists the problem of a response; returns the id of the operation and the code.
#[track_caller]
pub fn check(method: &Method, path: &str, answer: &Answer) -> Option<(String, String)> {
    if answer.header("content-type") != CONTENT_TYPE || answer.body.is_empty() {
        return None;
    }
    let code = answer.code();
    let Some(operation) = Operation::find(method, path) else {
        let of_routing = [ProblemCode::NotFound, ProblemCode::MethodNotAllowed].map(|code| code.kind().code);
        assert!(of_routing.contains(&code.as_str()), "{method} {path} is no operation, and responds with {code}");
        return None;
    };
    let is_listed = operation.codes.get(answer.status.as_str()).is_some_and(|codes| codes.contains(&code));
    assert!(is_listed, "the document does not list {} {code} of {}", answer.status.as_u16(), operation.id);
    Some((operation.id.clone(), code))
}

/// The codes of no operation: unmatched requests, and a command that no client sends.
const UNLISTED: [ProblemCode; 3] = [ProblemCode::NotFound, ProblemCode::MethodNotAllowed, ProblemCode::OrderNotDue];

#[test]
fn the_document_lists_every_code() {
    let listed: BTreeSet<&str> =
        OPERATIONS.iter().flat_map(|one| one.codes.values().flatten()).map(String::as_str).collect();
    let expected = ProblemCode::ALL.iter().filter(|code| !UNLISTED.contains(code)).map(|code| code.kind().code);
    assert_eq!(listed, expected.collect());
}

#[test]
fn operations_under_v1_list_their_4xx_responses() {
    for one in OPERATIONS.iter().filter(|one| one.path.starts_with("/v1")) {
        assert!(["401", "406", "429"].iter().all(|status| one.codes.contains_key(*status)), "{}", one.id);
    }
}

#[test]
fn operation_ids_are_unique() {
    let ids: BTreeSet<&str> = OPERATIONS.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), OPERATIONS.len());
    assert!(ids.contains("placeOrder"), "{ids:?}");
}
