//! The Jangteo server and its commands: settings, wiring, HTTP, workers. No rule of the shop lives here; rules are the
//! domain's.
//!
//! ```text
//! cli ── settings ── startup ──┬─ http ── lanes ── (domain) ── (sql)
//!                              ├─ sweeper ──┘
//!                              ├─ relay ── (sql), (data-platform)
//!                              ├─ pruner ── (sql)
//!                              └─ verification ── (domain) ── (sql)
//! ```
//!
//! Only [`startup`] knows which store there is. Only [`lanes`] writes, but for the relay, which records its own
//! deliveries, the pruner, which deletes what nobody needs any more, and `jangteo rebuild`, which corrects.

pub mod auth;
mod catalog_version;
pub mod cli;
mod demo;
pub mod http;
mod idempotency;
pub mod lanes;
pub mod settings;
pub mod startup;
pub mod system;
mod telemetry;
mod trace_parent;
#[cfg(feature = "otel")]
mod traces;
mod workers;
