use jangteo_domain::Currency;
use jangteo_domain::testing::{SequentialIds, samples};
use serde_json::Value;

use crate::http::respond::problem::{Language, Occurrence, problem_of_rejection};

fn schemas() -> serde_json::Map<String, Value> {
    let document = serde_json::to_value(super::openapi()).expect("JSON");
    document["components"]["schemas"].as_object().expect("schemas").clone()
}

/// The schema and all schemas nested in it.
fn all_within(schema: &Value) -> Vec<&Value> {
    let within: Vec<&Value> = match schema {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    std::iter::once(schema).chain(within.into_iter().flat_map(all_within)).collect()
}

fn may_be_null(schema: &Value) -> bool {
    all_within(schema).into_iter().any(|schema| {
        let types = schema["type"].as_array().into_iter().flatten().chain([&schema["type"]]);
        types.into_iter().any(|name| name == "null")
    })
}

#[test]
fn optional_members_of_responses_are_absent_rather_than_null() {
    for (name, schema) in schemas().iter().filter(|(name, _)| name.ends_with("Response") || *name == "Problem") {
        for schema in all_within(schema).into_iter().filter(|schema| schema["properties"].is_object()) {
            let is_required =
                |member: &str| schema["required"].as_array().is_some_and(|all| all.contains(&member.into()));
            let members = schema["properties"].as_object().expect("an object");
            let doubtful: Vec<_> = members
                .iter()
                .filter(|(member, schema)| !is_required(member) && may_be_null(schema))
                .map(|(member, _)| member)
                .collect();
            assert!(doubtful.is_empty(), "{name}: is {doubtful:?} absent or null?");
        }
    }
}

#[test]
fn every_object_has_a_schema() {
    let schemas = schemas();
    for (name, schema) in &schemas {
        for object in all_within(schema).into_iter().filter(|schema| schema["type"] == "object") {
            let is_described = object["properties"].is_object() || object.get("additionalProperties").is_some();
            assert!(is_described, "{name}: {object}");
        }
    }
}

#[test]
fn every_operation_is_described() {
    let document = serde_json::to_value(super::openapi()).expect("JSON");
    let tags: Vec<&Value> = document["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    let paths = document["paths"].as_object().expect("paths").values();
    for operation in paths.flat_map(|item| item.as_object().expect("operations").values()) {
        let id = &operation["operationId"];
        for name in ["summary", "description"] {
            assert!(operation[name].as_str().is_some_and(|text| text.len() > 5), "{id} has no {name}");
        }
        assert!(operation["tags"].as_array().is_some_and(|of| of.len() == 1 && tags.contains(&&of[0])), "{id}");
        for status in operation["responses"].as_object().expect("responses").keys() {
            assert!(status.parse::<u16>().is_ok(), "{id}: {status} is no status");
        }
        if let Some(body) = operation["requestBody"]["content"]["application/json"].as_object() {
            assert!(body.contains_key("example"), "{id} has no example");
        }
    }
}

#[actix_web::test]
async fn the_members_of_rejections_are_described() {
    let problem = &schemas()["Problem"];
    let described = |name: &str| all_within(problem).into_iter().any(|schema| schema["properties"][name].is_object());
    let occurrence =
        Occurrence { request_id: "r-1".to_owned(), instance: "/v1/orders".to_owned(), language: Language::English };
    let won = Currency::from_code("KRW").expect("a currency");
    for rejection in samples::rejections(&SequentialIds::new()) {
        let answer = problem_of_rejection(&rejection, won).render(&occurrence);
        let body = actix_web::body::to_bytes(answer.into_body()).await.expect("a body in memory");
        let body: serde_json::Map<String, Value> = serde_json::from_slice(&body).expect("an object");
        let unknown: Vec<_> = body.keys().filter(|name| !described(name)).collect();
        assert!(unknown.is_empty(), "{rejection:?} carries {unknown:?}");
    }
}
