use jangteo_domain::UserId;
use jangteo_domain::audit::{AuditChain, AuditEntry, AuditLink, AuditReason};
use jangteo_domain::id::AuditEntryId;

use crate::rows::{lookups, mappings, rows};
use crate::types::{At, Bytes, Id, Integer, LongText, RawVarchar, Varchar};

rows! {
    /// An audit log entry. Texts of other releases are read unchecked.
    AuditEntryRow of audit_log {
        id: Id<AuditEntryId>,
    } {
        created_at: At,
        actor: Varchar<UserId>,
        action: RawVarchar<64>,
        subject_kind: RawVarchar<20>,
        subject_id: RawVarchar<255>,
        reason: Option<Varchar<AuditReason>>,
        body: LongText,
        sequence: Option<Integer<u64>>,
        request_id: Option<RawVarchar<64>>,
        address: Option<RawVarchar<45>>,
        hash: Option<Bytes<32>>,
    }

    AuditChainRow of audit_chains {
        actor: Varchar<UserId>,
    } {
        entries: Integer<u64>,
        hash: Bytes<32>,
    }
}

lookups! {
    AuditChainOf finds AuditChainRow by "PRIMARY" { actor: Varchar<UserId>, }
}

mappings! {
    AuditChain as AuditChainRow { actor: actor, entries: entries, hash: hash, }
}

impl From<&AuditEntry> for AuditEntryRow {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            id: Id(entry.id),
            created_at: At(entry.at),
            actor: Varchar(entry.actor.clone()),
            action: RawVarchar(entry.action.clone()),
            subject_kind: RawVarchar(entry.subject_kind.clone()),
            subject_id: RawVarchar(entry.subject_id.clone()),
            reason: entry.reason.clone().map(Varchar),
            body: LongText(entry.body.clone()),
            sequence: entry.link.map(|link| Integer(link.sequence)),
            request_id: entry.request_id.clone().map(RawVarchar),
            address: entry.address.clone().map(RawVarchar),
            hash: entry.link.map(|link| Bytes(link.hash)),
        }
    }
}

impl From<AuditEntryRow> for AuditEntry {
    fn from(row: AuditEntryRow) -> Self {
        let link = row.sequence.zip(row.hash);
        Self {
            id: row.id.0,
            at: row.created_at.0,
            actor: row.actor.0,
            action: row.action.0,
            subject_kind: row.subject_kind.0,
            subject_id: row.subject_id.0,
            reason: row.reason.map(|reason| reason.0),
            body: row.body.0,
            request_id: row.request_id.map(|id| id.0),
            address: row.address.map(|address| address.0),
            link: link.map(|(Integer(sequence), Bytes(hash))| AuditLink { sequence, hash }),
        }
    }
}
