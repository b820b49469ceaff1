//! For tests on the Jangteo domain, this workspace's and other teams': a store in memory, a shop to trade in, and the
//! contract that every store must pass.
//!
//! | item | use |
//! |---|---|
//! | [`MemoryStore`] | all ports on maps, with a clock that tests set |
//! | [`TestShop`] | short ways to fill a shop on any store, and to trade in it |
//! | [`transaction_contract!`] | one test of each promise of the write port, for a store of your own |
//! | [`store_contract!`] | one test of each promise of the read ports, the event queue, pruning and the books |
//!
//! Nothing here may be used by a program: the store forgets everything when it is dropped, and the helpers panic where
//! a caller makes a mistake.

pub mod contract;
pub mod memory;
mod shop;
#[cfg(test)]
mod verification_tests;

pub use memory::MemoryStore;
pub use shop::TestShop;
