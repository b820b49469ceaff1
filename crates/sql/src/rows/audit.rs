use jangteo_domain::UserId;
use jangteo_domain::audit::{AuditEntry, AuditReason};
use jangteo_domain::id::AuditEntryId;

use crate::rows::rows;
use crate::types::{At, Id, LongText, RawVarchar, Varchar};

rows! {
    /// A line of the audit log. What another release may have worded is read as text.
    AuditEntryRow of audit_log {
        id: Id<AuditEntryId>,
    } {
        created_at: At,
        actor: Varchar<UserId>,
        action: RawVarchar<64>,
        subject_kind: RawVarchar<20>,
        subject_id: RawVarchar<64>,
        reason: Option<Varchar<AuditReason>>,
        body: LongText,
    }
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
        }
    }
}

impl From<AuditEntryRow> for AuditEntry {
    fn from(row: AuditEntryRow) -> Self {
        Self {
            id: row.id.0,
            at: row.created_at.0,
            actor: row.actor.0,
            action: row.action.0,
            subject_kind: row.subject_kind.0,
            subject_id: row.subject_id.0,
            reason: row.reason.map(|reason| reason.0),
            body: row.body.0,
        }
    }
}
