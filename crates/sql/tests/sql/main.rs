//! The store contract on both dialects, and the adapter's behavior on failures.
//!
//! The MySQL half needs a server: set `TEST_MYSQL_URL`, or run `make test`, which starts one.

#![expect(clippy::disallowed_methods, reason = "tests have no store whose runtime they could spawn on")]

mod books;
mod contract;
mod doctor;
mod errors;
mod hosts;
mod locks;
mod migrations;
mod outages;
mod packets;
mod plans;
mod reads;
mod search;
mod server;
mod settings;
mod statements;
