//! What tests need, this crate's and other teams': a store in memory, ready-made values, and the contract that every
//! store keeps.
//!
//! Nothing here may be used by a program: the store forgets everything when it is dropped, and the helpers panic
//! where a caller makes a mistake.

pub mod contract;
pub mod fixtures;
pub mod memory;
pub mod samples;
mod shop;
mod support;

pub use memory::MemoryStore;
pub use shop::TestShop;
pub use support::{FixedCalendar, NoBackoff, OffsetCalendar, SequentialIds, batch_id, rules};
