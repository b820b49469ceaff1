//! The audit log: every change by the back office adds an entry in the same transaction. Entries never change.

use std::fmt;

use async_trait::async_trait;

use crate::id::{AuditEntryId, CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::page::Page;
use crate::store_error::StoreError;
use crate::text::Text;
use crate::time::Timestamp;

/// The back office's reason for a change.
pub type AuditReason = Text<1, 200>;

/// An entry of the audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct AuditEntry {
    pub id: AuditEntryId,
    /// By the database's clock.
    pub at: Timestamp,
    /// The author of the change.
    pub actor: UserId,
    /// The [name](crate::command::Command::name) of the command, in the release that wrote the entry.
    pub action: String,
    /// The [`Subject::kind`], in the release that wrote the entry.
    pub subject_kind: String,
    /// The id of the [`Subject`], as text.
    pub subject_id: String,
    pub reason: Option<AuditReason>,
    /// The body of the response to the change, as sent; never parsed.
    pub body: String,
}

/// The main aggregate of a command.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each variant carries the id of its aggregate")]
pub enum Subject {
    User(UserId),
    Product(ProductId),
    Campaign(CampaignId),
    Coupon(CouponId),
    Order(OrderId),
    Event(EventId),
}

impl Subject {
    /// A short name of the kind. Stored: its meaning must never change.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Product(_) => "product",
            Self::Campaign(_) => "campaign",
            Self::Coupon(_) => "coupon",
            Self::Order(_) => "order",
            Self::Event(_) => "event",
        }
    }
}

/// The id alone, as text.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Product(id) => id.fmt(f),
            Self::Campaign(id) => id.fmt(f),
            Self::Coupon(id) => id.fmt(f),
            Self::Order(id) => id.fmt(f),
            Self::Event(id) => id.fmt(f),
        }
    }
}

/// Selects entries; `None` matches every entry.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct AuditFilter {
    /// The author of the change.
    pub actor: Option<UserId>,
    /// The id of the [`Subject`], as text.
    pub subject_id: Option<String>,
}

/// Reads the audit log, without locks.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait AuditQueries: Send + Sync {
    /// The entries that match the filter, newest first; the page's key is an entry's id. An entry that cannot be read is
    /// left out and logged; it never fails the page.
    async fn list(&self, filter: &AuditFilter, page: &Page<AuditEntryId>) -> Result<Vec<AuditEntry>, StoreError>;
}
