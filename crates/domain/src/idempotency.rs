//! Requests that may be sent again: the key, the fingerprint and the answer are stored in the transaction of the effect,
//! so that a request has one effect and one answer however often it is sent.

use std::sync::Arc;

use crate::command::Outcome;
use crate::time::Timestamp;

/// 128 bits of a SHA-256 over caller, operation and the client's own key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestKey(pub [u8; 16]);

/// 128 bits of a SHA-256 over what the request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub [u8; 16]);

/// The identity of a request that may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// Its key.
    pub key: RequestKey,
    /// What it asks for; a key that comes with another fingerprint is reused.
    pub fingerprint: Fingerprint,
}

/// An answer as it is sent. Both parts are opaque here: whoever rendered them reads them, in whatever release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenderedAnswer {
    /// What the transport needs besides the body, at most [`RenderedAnswer::HEAD_LENGTH_MAX`] bytes.
    pub head: String,
    /// The body, at most [`RenderedAnswer::BODY_LENGTH_MAX`] bytes.
    pub body: String,
}

impl RenderedAnswer {
    /// The most bytes of a head.
    pub const HEAD_LENGTH_MAX: usize = 200;
    /// The most bytes of a body; an order of 100 lines with the longest names takes less than a tenth.
    pub const BODY_LENGTH_MAX: usize = 4 << 20;
}

/// A request that was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredAnswer {
    /// Which request it was.
    pub request: IdempotencyKey,
    /// What it was answered.
    pub answer: RenderedAnswer,
    /// When, by the database's clock.
    pub at: Timestamp,
}

/// Renders the outcome of one request: it knows the language, path, id and currency of that request.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait AnswerRenderer: Send + Sync {
    /// The answer to send. A pure function of the outcome.
    fn render(&self, outcome: &Outcome) -> RenderedAnswer;
}

/// A renderer, shared by the request and its lane.
pub type SharedRenderer = Arc<dyn AnswerRenderer>;
