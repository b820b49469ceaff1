use jangteo_domain::UserId;
use jangteo_domain::audit::{AuditEntry, AuditReason};
use jangteo_domain::id::AuditEntryId;

use crate::rows::{mappings, rows};
use crate::types::{At, Id, LongText, RawVarchar, Varchar};

rows! {
    /// An audit log entry. Texts of other releases are read unchecked.
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

mappings! {
    AuditEntry as AuditEntryRow {
        id: id, at: created_at, actor: actor, action: action, subject_kind: subject_kind, subject_id: subject_id,
        reason: reason, body: body,
    }
}
