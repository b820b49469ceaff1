use jangteo_domain::id::BatchId;
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, IdempotencyRecord, RequestKey, RequestTag};
use jangteo_domain::{Outcome, StoreError};

use crate::rows::{corrupt, lookups, rows};
use crate::types::{At, Bytes, Id, LongText, Varchar};

rows! {
    /// A request that was answered.
    IdempotencyKeyRow of idempotency_keys {
        created_at: At,
        request_key: Bytes<16>,
    } {
        fingerprint: Bytes<16>,
        outcome: LongText,
        tag: Option<Varchar<RequestTag>>,
    }

    /// That a transaction was committed.
    CommitMarkerRow of commit_markers {
        id: Id<BatchId>,
    } {}
}

lookups! {
    /// An answered request by its key.
    AnsweredRequest finds IdempotencyKeyRow by "uq_idempotency_keys_request_key" { request_key: Bytes<16>, }
    /// The marker of a transaction; as its writer holds it locked, this waits for one that is still under way.
    MarkerOf finds CommitMarkerRow by "PRIMARY" { id: Id<BatchId>, }
}

impl TryFrom<&IdempotencyRecord> for IdempotencyKeyRow {
    type Error = StoreError;

    fn try_from(record: &IdempotencyRecord) -> Result<Self, StoreError> {
        let outcome =
            serde_json::to_string(&record.outcome).map_err(|error| StoreError::unexpected(error.to_string()))?;
        Ok(Self {
            created_at: At(record.at),
            request_key: Bytes(record.claim.key.0),
            fingerprint: Bytes(record.claim.fingerprint.0),
            outcome: LongText(outcome),
            tag: record.tag.clone().map(Varchar),
        })
    }
}

impl TryFrom<IdempotencyKeyRow> for IdempotencyRecord {
    type Error = StoreError;

    fn try_from(row: IdempotencyKeyRow) -> Result<Self, StoreError> {
        Ok(Self {
            claim: IdempotencyKey { key: RequestKey(row.request_key.0), fingerprint: Fingerprint(row.fingerprint.0) },
            outcome: serde_json::from_str::<Outcome>(&row.outcome.0).map_err(corrupt)?,
            tag: row.tag.map(|tag| tag.0),
            at: row.created_at.0,
        })
    }
}
