//! Keyset pagination: a walk misses and repeats no row that exists throughout.

use crate::time::Timestamp;

/// A page of a list: the rows after a key, in the list's order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<Key> {
    /// The key of the last row already read; `None` at the start.
    pub after: Option<Key>,
    /// At least 1.
    pub limit: u32,
}

/// A value and the database's time when it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct AsOf<T> {
    /// By the database's clock.
    pub now: Timestamp,
    pub value: T,
}
