//! What tests need: ready-made values, ids that count up, and a backoff that does not wait. The store in memory and the
//! contract suite are the crate `jangteo-domain-testing`.
//!
//! Nothing here may be used by a program: the helpers panic where a caller makes a mistake.

pub mod fixtures;
pub mod samples;
mod support;

pub use support::{
    FixedCalendar, NoBackoff, OffsetCalendar, PlainAnswers, PlainEvents, SequentialIds, batch_id, rules,
};
