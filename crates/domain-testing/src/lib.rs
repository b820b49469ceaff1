//! Test support for the Jangteo domain: an in-memory store, a test shop, and the contract of every store.
//!
//! | item | use |
//! |---|---|
//! | [`MemoryStore`] | all ports on maps, with a settable clock |
//! | [`TestShop`] | shortcuts to fill and use a shop on any store |
//! | [`transaction_contract!`] | one test per promise of the write port, for your own store |
//! | [`store_contract!`] | one test per promise of the read ports, the event queue, pruning and the books |
//!
//! For tests only: the store is volatile, and the helpers panic on misuse.

pub mod contract;
pub mod memory;
mod shop;
#[cfg(test)]
mod verification_tests;

pub use memory::MemoryStore;
pub use shop::{TestShop, place};
