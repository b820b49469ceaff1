//! The audit log: whatever somebody of the back office changes leaves a line, written in the transaction of the change.
//! Lines are only ever added.

use std::fmt;

use async_trait::async_trait;

use crate::command::{Command, Context, Reply};
use crate::id::{AuditEntryId, CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::page::Page;
use crate::store_error::StoreError;
use crate::text::Text;
use crate::time::Timestamp;

/// Why something was changed, in the words of whoever changed it.
pub type AuditReason = Text<1, 200>;

/// A line of the audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// The line's id.
    pub id: AuditEntryId,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: UserId,
    /// What was done: the [name](Command::name) of the command, of whichever version of this program wrote it.
    pub action: String,
    /// To what it was done.
    pub subject: Subject,
    /// Why, where a reason was given.
    pub reason: Option<AuditReason>,
    /// What came of it.
    pub reply: Reply,
}

impl AuditEntry {
    /// The line of a command that was not rejected.
    pub(crate) fn of(actor: &UserId, command: &Command, reply: &Reply, context: &Context<'_>) -> Self {
        Self {
            id: AuditEntryId::next(context.ids),
            at: context.now,
            actor: actor.clone(),
            action: command.name().to_owned(),
            subject: command.subject(),
            reason: command.reason().cloned(),
            reply: reply.clone(),
        }
    }
}

/// What a command is about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each carries the id of what it is named after")]
pub enum Subject {
    User(UserId),
    Product(ProductId),
    Campaign(CampaignId),
    Coupon(CouponId),
    Order(OrderId),
    Event(EventId),
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

/// Adds to the audit log, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait AuditRepository: Send {
    /// Adds new lines.
    async fn append_many(&mut self, entries: &[AuditEntry]) -> Result<(), StoreError>;
}

/// Which lines to list; what is `None` does not matter.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct AuditFilter {
    /// Those of this actor.
    pub actor: Option<UserId>,
    /// Those about what has this id, written as text.
    pub subject: Option<String>,
}

/// Reads the audit log for showing.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait AuditQueries: Send + Sync {
    /// The lines that the filter lets through, newest first; the page's key is a line's id.
    async fn list(&self, filter: &AuditFilter, page: &Page<AuditEntryId>) -> Result<Vec<AuditEntry>, StoreError>;
}
