//! The suite: one file for each subject. See the crate `jangteo_tests` for how a test is run.

mod admin;
mod architecture;
mod audit_log;
mod auth;
mod commit_replies;
mod coupons;
mod delivery;
mod docs;
mod effects;
mod expiry;
mod galera;
mod hang_ups;
mod http_rules;
mod idempotency;
mod kept_answers;
mod lists;
mod mysql_faults;
mod mysql_settings;
mod operation;
mod orders;
mod overload;
mod packets;
mod payment;
mod points;
mod products;
mod races;
mod retention;
mod sqlite_commits;
mod sqlite_faults;
mod typed_client;
mod verification;

use serde_json::Value;

/// That it is the text of a UUIDv7.
#[track_caller]
fn assert_uuid_v7(value: &Value) {
    let id = value.as_str().and_then(|text| uuid::Uuid::try_parse(text).ok());
    assert_eq!(id.map(|id| id.get_version_num()), Some(7), "no UUIDv7: {value}");
}

/// That it is a time of RFC 3339 in UTC, written with a Z.
#[track_caller]
fn assert_utc(value: &Value) -> time::OffsetDateTime {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    assert!(text.ends_with('Z'), "not written with a Z: {text}");
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The names of a list's documents.
#[track_caller]
fn names(list: &Value) -> Vec<String> {
    ids(list, "name")
}

/// That text member of each of a list's documents.
#[track_caller]
fn ids(list: &Value, member: &str) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    let text = |document: &Value| document[member].as_str().map(str::to_owned);
    list.iter().map(|document| text(document).unwrap_or_else(|| panic!("no {member:?} in {document}"))).collect()
}
