//! The Jangteo server and its commands: settings, wiring, HTTP, workers. The rules of the shop are in the domain crate.
//!
//! ```text
//! cli ── settings ── startup ──┬─ http ── lanes ── (domain) ── (sql)
//!                              ├─ sweeper ──┘
//!                              ├─ relay ── (sql), (data-platform)
//!                              ├─ pruner ── (sql)
//!                              └─ verification ── (domain) ── (sql)
//! ```
//!
//! Only `startup` depends on the store. Only `lanes` writes, except for the relay, which records delivery outcomes,
//! the pruner, which deletes expired rows, `jangteo rebuild`, which corrects denormalized tables, and `operator`, which
//! runs commands of the command line.

mod auth;
mod backoff;
mod calendar;
mod catalog_version;
pub mod cli;
mod client_address;
mod cursor_keys;
mod demo;
mod error_chain;
pub mod http;
mod idempotency;
mod import;
mod lanes;
mod operator;
pub mod settings;
mod startup;
mod system;
mod telemetry;
mod trace_parent;
#[cfg(feature = "otel")]
mod traces;
mod user_label;
mod workers;
