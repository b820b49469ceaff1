//! The audit log: every change by the back office leaves a line, written in the transaction of the change. Lines are
//! only added.

use std::fmt;

use async_trait::async_trait;

use crate::id::{AuditEntryId, CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::page::Page;
use crate::store_error::StoreError;
use crate::text::Text;
use crate::time::Timestamp;

/// Why something was changed, as the back office worded it.
pub type AuditReason = Text<1, 200>;

/// A line of the audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// The line's id.
    pub id: AuditEntryId,
    /// When, by the database's clock.
    pub at: Timestamp,
    /// The user who made the change.
    pub actor: UserId,
    /// The [name](crate::command::Decide::name) of the command, of whichever release wrote the line.
    pub action: String,
    /// The kind of what was changed: the [`Subject::kind`] of whichever release wrote the line.
    pub subject_kind: String,
    /// The id of what was changed, as text.
    pub subject_id: String,
    /// The reason, where one was given.
    pub reason: Option<AuditReason>,
    /// The body that the change was answered with, as it was sent; nothing parses it.
    pub body: String,
}

/// What a command is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each carries the id of what it is named after")]
pub enum Subject {
    User(UserId),
    Product(ProductId),
    Campaign(CampaignId),
    Coupon(CouponId),
    Order(OrderId),
    Event(EventId),
}

impl Subject {
    /// A short name of its kind; stored, so that one must never mean something else.
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

/// Which lines to list; `None` matches every line.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct AuditFilter {
    /// The user who made the change.
    pub actor: Option<UserId>,
    /// The id of what was changed, as text.
    pub subject_id: Option<String>,
}

/// Reads the audit log.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait AuditQueries: Send + Sync {
    /// The lines that match the filter, newest first; the page's key is a line's id. A line that cannot be read is left
    /// out and logged; it never fails the page.
    async fn list(&self, filter: &AuditFilter, page: &Page<AuditEntryId>) -> Result<Vec<AuditEntry>, StoreError>;
}
