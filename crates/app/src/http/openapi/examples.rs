//! The examples of request and response bodies, by operation. Tests send each request to a server and compare the
//! response with its example.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Operation;

static EXAMPLES: LazyLock<BTreeMap<String, Example>> =
    LazyLock::new(|| serde_json::from_str(include_str!("examples.json")).expect("the examples are JSON"));

/// The bodies of one call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Absent for operations without a body.
    pub request: Option<Value>,
    /// The body of the success.
    pub response: Value,
}

/// The example of the operation with that id.
pub fn of(operation_id: &str) -> Option<&'static Example> {
    EXAMPLES.get(operation_id)
}

/// Adds the example to the operation.
pub fn add(operation: &mut Operation) {
    let Some(example) = operation.operation_id.as_deref().and_then(of) else { return };
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for content in body.content.values_mut() {
            if let RefOr::T(content) = content {
                content.example = example.request.clone();
            }
        }
    }
    for status in ["200", "201", "202"] {
        if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) {
            for content in response.content.values_mut() {
                if let RefOr::T(content) = content {
                    content.example = Some(example.response.clone());
                }
            }
        }
    }
}
