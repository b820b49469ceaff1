//! What the adapter promises: the contract of every store, and how it behaves when the database does not.
//!
//! The MySQL half needs a server: `TEST_MYSQL_URL` names it, `make test` starts one.

mod books;
mod contract;
mod errors;
mod locks;
mod migrations;
mod outages;
mod reads;
mod server;
mod settings;
mod statements;
