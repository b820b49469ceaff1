use jangteo_domain::id::BatchId;
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RenderedAnswer, RequestKey, StoredAnswer};

use crate::rows::{lookups, rows};
use crate::types::{At, Bytes, Id, Integer, LongText, RawVarchar};

rows! {
    IdempotencyKeyRow of idempotency_keys {
        created_at: At,
        request_key: Bytes<16>,
    } {
        fingerprint: Bytes<16>,
        head: RawVarchar<{ RenderedAnswer::HEAD_LENGTH_MAX }>,
        body: LongText,
    }

    /// Evidence of a commit, or that it can never take effect. The database sets its time.
    CommitMarkerRow of commit_markers {
        id: Id<BatchId>,
    } {
        is_tombstone: Integer<u8>,
    }
}

impl CommitMarkerRow {
    pub fn new(id: BatchId) -> Self {
        Self { id: Id(id), is_tombstone: Integer(0) }
    }

    /// Rules the transaction out.
    pub fn tombstone(id: BatchId) -> Self {
        Self { id: Id(id), is_tombstone: Integer(1) }
    }
}

lookups! {
    AnsweredRequest finds IdempotencyKeyRow by "uq_idempotency_keys_request_key" { request_key: Bytes<16>, }
    /// A transaction's marker. Its writer has it locked, so a locking query waits for an open transaction.
    MarkerOf finds CommitMarkerRow by "PRIMARY" { id: Id<BatchId>, }
}

impl From<&StoredAnswer> for IdempotencyKeyRow {
    fn from(stored: &StoredAnswer) -> Self {
        Self {
            created_at: At(stored.at),
            request_key: Bytes(stored.request.key.0),
            fingerprint: Bytes(stored.request.fingerprint.0),
            head: RawVarchar(stored.answer.head.clone()),
            body: LongText(stored.answer.body.clone()),
        }
    }
}

impl From<IdempotencyKeyRow> for StoredAnswer {
    fn from(row: IdempotencyKeyRow) -> Self {
        Self {
            request: IdempotencyKey { key: RequestKey(row.request_key.0), fingerprint: Fingerprint(row.fingerprint.0) },
            answer: RenderedAnswer { head: row.head.0, body: row.body.0 },
            at: row.created_at.0,
        }
    }
}
