//! The suite: one file per subject. See the crate `jangteo_testkit` for the harness.

mod admin;
mod api_properties;
mod architecture;
mod audit_log;
mod auth;
mod cached_responses;
mod commit_replies;
mod connections;
mod coupons;
mod database_tls;
mod delivery;
mod docs;
mod doctor;
mod effects;
mod expiry;
mod failover;
mod galera;
mod grants;
mod hang_ups;
mod http_rules;
mod idempotency;
mod import;
mod late_commits;
mod lists;
mod load;
mod mysql_faults;
mod mysql_settings;
mod office;
mod one_name;
mod operation;
mod orders;
mod overload;
mod packets;
mod payment;
mod points;
mod products;
mod promotion;
mod races;
mod replica_reads;
mod retention;
mod revocations;
mod search;
mod sqlite_commits;
mod sqlite_faults;
mod typed_client;
mod verification;

use serde_json::Value;

/// Asserts the text of a UUIDv7.
#[track_caller]
fn assert_uuid_v7(value: &Value) {
    let id = value.as_str().and_then(|text| uuid::Uuid::try_parse(text).ok());
    assert_eq!(id.map(|id| id.get_version_num()), Some(7), "not a UUIDv7: {value}");
}

/// Asserts an RFC 3339 time in UTC with the suffix Z, and parses it.
#[track_caller]
fn assert_utc(value: &Value) -> time::OffsetDateTime {
    let text = value.as_str().unwrap_or_else(|| panic!("not a time: {value}"));
    assert!(text.ends_with('Z'), "no suffix Z: {text}");
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn names(list: &Value) -> Vec<String> {
    ids(list, "name")
}

/// A text member of all documents of a list.
#[track_caller]
fn ids(list: &Value, member: &str) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("not a list: {list}"));
    let text = |document: &Value| document[member].as_str().map(str::to_owned);
    list.iter().map(|document| text(document).unwrap_or_else(|| panic!("no {member:?} in {document}"))).collect()
}
