//! Idempotency: key, fingerprint and answer of a request are stored in the transaction of its effect, so that a retried
//! request has one effect and one answer.

use std::sync::Arc;

use crate::outcome::Outcome;
use crate::time::Timestamp;

/// 128 bits of a SHA-256 over caller, operation and the client's own key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestKey(pub [u8; 16]);

/// 128 bits of a SHA-256 over the content of the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub [u8; 16]);

/// The identity of a request that may be retried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// The same for each retry.
    pub key: RequestKey,
    /// The content; a known key with another fingerprint is a reused key.
    pub fingerprint: Fingerprint,
}

/// A response as it is sent. Both parts are opaque here: only their renderer reads them, in any release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenderedAnswer {
    /// The transport's data besides the body, at most [`RenderedAnswer::HEAD_LENGTH_MAX`] bytes.
    pub head: String,
    /// At most [`RenderedAnswer::BODY_LENGTH_MAX`] bytes.
    pub body: String,
}

impl RenderedAnswer {
    /// In bytes.
    pub const HEAD_LENGTH_MAX: usize = 200;
    /// In bytes; an order of 100 lines with the longest names needs less than a tenth.
    pub const BODY_LENGTH_MAX: usize = 4 << 20;
}

/// The answer of a completed request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct StoredAnswer {
    pub request: IdempotencyKey,
    pub answer: RenderedAnswer,
    /// The time of the answer, by the database's clock.
    pub at: Timestamp,
}

/// Renders the outcome of one request, in its language and with its path, id and currency.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait AnswerRenderer: Send + Sync {
    /// The response to send. A pure function of the outcome.
    fn render(&self, outcome: &Outcome) -> RenderedAnswer;
}

/// A renderer, shared by the request and its lane.
pub type SharedRenderer = Arc<dyn AnswerRenderer>;
