//! Background work. Each worker runs until it is cancelled; any number of servers may run it.

pub mod pruner;
pub mod relay;
pub mod search_indexer;
pub mod statistics;
pub mod sweeper;
pub mod verification;
