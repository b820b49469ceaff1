//! What the adapter promises: the contract of every store, and how it behaves when the database does not.
//!
//! The MySQL half needs a server: `TEST_MYSQL_URL` names it, `make test` starts one.

#![expect(clippy::disallowed_methods, reason = "tests have no store whose runtime they could spawn on")]

mod books;
mod contract;
mod errors;
mod locks;
mod migrations;
mod outages;
mod packets;
mod reads;
mod server;
mod settings;
mod statements;
