//! Lists are read a page at a time, by key, so that a walk misses and repeats nothing that existed throughout.

use crate::time::Timestamp;

/// Which part of a list to read: the rows after a key, in the list's order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<Key> {
    /// The key of the last row already seen; `None` at the start.
    pub after: Option<Key>,
    /// The most rows to answer, 1 or more.
    pub limit: u32,
}

/// A value and the database's time when it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsOf<T> {
    /// The database's clock.
    pub now: Timestamp,
    /// What was read.
    pub value: T,
}
