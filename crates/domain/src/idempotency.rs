//! A request that is sent again has one effect and one answer: its key, a fingerprint of it and the outcome are
//! stored in the transaction of the effect.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::command::Outcome;
use crate::store_error::StoreError;
use crate::text::Text;
use crate::time::Timestamp;

/// 128 bits of a SHA-256 over what makes a key unique: caller, method, path and the client's own key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestKey(pub [u8; 16]);

/// 128 bits of a SHA-256 over what the request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub [u8; 16]);

/// What a caller says of a request that may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// Which request it is.
    pub key: RequestKey,
    /// What it asks for.
    pub fingerprint: Fingerprint,
}

/// What whoever sends a request wants to have back when its rejection is told again; it means nothing here.
pub type RequestTag = Text<1, 80>;

/// A request that was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyRecord {
    /// What its caller said of it.
    pub claim: IdempotencyKey,
    /// What came of it.
    pub outcome: Outcome,
    /// The request's tag, where it was rejected.
    pub tag: Option<RequestTag>,
    /// When.
    pub at: Timestamp,
}

/// Reads and writes the answered requests, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait IdempotencyRepository: Send {
    /// The records of these keys that exist, in no order.
    async fn find_many(&mut self, keys: &BTreeSet<RequestKey>) -> Result<Vec<IdempotencyRecord>, StoreError>;

    /// Adds records, in order of their keys. A key that was written meanwhile is a [`StoreError::Conflict`]: the
    /// transaction, tried again, finds it.
    async fn insert_many(&mut self, records: &[IdempotencyRecord]) -> Result<(), StoreError>;
}
