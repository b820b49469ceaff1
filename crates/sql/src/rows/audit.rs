use std::str::FromStr;

use jangteo_domain::audit::{AuditEntry, AuditReason, Subject};
use jangteo_domain::id::AuditEntryId;
use jangteo_domain::{Reply, StoreError, UserId};

use crate::rows::{corrupt, rows};
use crate::types::{At, Code, Id, LongText, RawVarchar, Varchar, codes};

rows! {
    /// A line of the audit log.
    AuditEntryRow of audit_log {
        id: Id<AuditEntryId>,
    } {
        created_at: At,
        actor: Varchar<UserId>,
        action: RawVarchar<64>,
        subject_kind: Code<SubjectKind>,
        subject_id: RawVarchar<64>,
        reason: Option<Varchar<AuditReason>>,
        reply: LongText,
    }
}

/// What a subject's id is the id of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubjectKind {
    User,
    Product,
    Campaign,
    Coupon,
    Order,
    Event,
}

codes! {
    SubjectKind {
        User = "user",
        Product = "product",
        Campaign = "campaign",
        Coupon = "coupon",
        Order = "order",
        Event = "event",
    }
}

impl SubjectKind {
    fn of(subject: &Subject) -> Self {
        match subject {
            Subject::User(_) => Self::User,
            Subject::Product(_) => Self::Product,
            Subject::Campaign(_) => Self::Campaign,
            Subject::Coupon(_) => Self::Coupon,
            Subject::Order(_) => Self::Order,
            Subject::Event(_) => Self::Event,
        }
    }

    fn with_id(self, id: &str) -> Result<Subject, StoreError> {
        Ok(match self {
            Self::User => Subject::User(parse(id)?),
            Self::Product => Subject::Product(parse(id)?),
            Self::Campaign => Subject::Campaign(parse(id)?),
            Self::Coupon => Subject::Coupon(parse(id)?),
            Self::Order => Subject::Order(parse(id)?),
            Self::Event => Subject::Event(parse(id)?),
        })
    }
}

fn parse<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(id: &str) -> Result<T, StoreError> {
    id.parse().map_err(corrupt)
}

impl TryFrom<&AuditEntry> for AuditEntryRow {
    type Error = StoreError;

    fn try_from(entry: &AuditEntry) -> Result<Self, StoreError> {
        let reply = serde_json::to_string(&entry.reply).map_err(|error| StoreError::unexpected(error.to_string()))?;
        Ok(Self {
            id: Id(entry.id),
            created_at: At(entry.at),
            actor: Varchar(entry.actor.clone()),
            action: RawVarchar(entry.action.clone()),
            subject_kind: Code(SubjectKind::of(&entry.subject)),
            subject_id: RawVarchar(entry.subject.to_string()),
            reason: entry.reason.clone().map(Varchar),
            reply: LongText(reply),
        })
    }
}

impl TryFrom<AuditEntryRow> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: AuditEntryRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.0,
            at: row.created_at.0,
            actor: row.actor.0,
            action: row.action.0,
            subject: row.subject_kind.0.with_id(&row.subject_id.0)?,
            reason: row.reason.map(|reason| reason.0),
            reply: serde_json::from_str::<Reply>(&row.reply.0).map_err(corrupt)?,
        })
    }
}
