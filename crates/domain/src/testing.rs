//! Test support: fixtures, sequential ids, and a backoff without pauses. The in-memory store and the contract suite are in
//! the crate `jangteo-domain-testing`.
//!
//! Not for production: the helpers panic on invalid input.

pub mod fixtures;
pub mod samples;
mod support;

pub use fixtures::rules;
pub use support::{FixedCalendar, NoBackoff, OffsetCalendar, PlainAnswers, PlainEvents, SequentialIds, batch_id};
