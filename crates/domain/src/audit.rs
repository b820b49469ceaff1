//! The audit log: every change by the back office adds an entry in the same transaction. Entries never change, and the
//! entries of each actor are chained.

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::id::{AuditEntryId, CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::page::Page;
use crate::store_error::StoreError;
use crate::text::Text;
use crate::time::Timestamp;
use crate::token::TokenId;

/// The back office's reason for a change.
pub type AuditReason = Text<1, 200>;

/// The id of a request, as logged.
pub type RequestId = Text<1, 64>;

/// SHA-256 over an entry and the hash of its actor's entry before it; all zero before the first.
pub type AuditHash = [u8; 32];

/// The caller of an audited request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are those of AuditEntry")]
pub struct AuditedCaller {
    pub actor: UserId,
    pub request_id: Option<RequestId>,
    pub address: Option<IpAddr>,
}

/// A caller without a request, such as a command of the command line.
impl From<UserId> for AuditedCaller {
    fn from(actor: UserId) -> Self {
        Self { actor, request_id: None, address: None }
    }
}

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
    /// The id of the request; `None` for other callers, and for the release 0.2.0.
    pub request_id: Option<String>,
    /// The client's address, under the same conditions.
    pub address: Option<String>,
    /// `None` in entries of the release 0.2.0, which has no chains.
    pub link: Option<AuditLink>,
}

/// The place of an entry in its actor's chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditLink {
    /// 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// [`AuditEntry::hash_after`] of the previous entry's hash, which makes later changes detectable.
    pub hash: AuditHash,
}

impl AuditEntry {
    /// SHA-256 of the previous hash (32 zero bytes for the first entry), the sequence number and every other field. Numbers
    /// are big-endian; a text is prefixed with its length, an absent one is the length 2^64 - 1.
    pub fn hash_after(&self, previous: &AuditHash, sequence: u64) -> AuditHash {
        let texts = [
            Some(self.actor.as_str()),
            Some(&self.action),
            Some(&self.subject_kind),
            Some(&self.subject_id),
            self.reason.as_ref().map(Text::as_str),
            Some(&self.body),
            self.request_id.as_deref(),
            self.address.as_deref(),
        ];
        let mut hasher = Sha256::new()
            .chain_update(previous)
            .chain_update(self.id.uuid().as_bytes())
            .chain_update(sequence.to_be_bytes())
            .chain_update(self.at.unix_microseconds().to_be_bytes());
        for text in texts {
            let length = text.and_then(|text| u64::try_from(text.len()).ok()).unwrap_or(u64::MAX);
            hasher.update(length.to_be_bytes());
            hasher.update(text.unwrap_or_default());
        }
        hasher.finalize().into()
    }
}

/// The head of an actor's chain: one row per actor, locked by each audited change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditChain {
    /// The author of the entries.
    pub actor: UserId,
    /// The sequence number of the last entry.
    pub entries: u64,
    /// The hash of the last entry.
    pub hash: AuditHash,
}

impl AuditChain {
    /// The chain before its first entry; it is not stored yet.
    pub fn empty(actor: UserId) -> Self {
        Self { actor, entries: 0, hash: [0; 32] }
    }

    /// The chain with a further entry, and that entry with its link.
    pub fn append(&self, entry: AuditEntry) -> (Self, AuditEntry) {
        let sequence = self.entries.checked_add(1).expect("a chain has fewer than 2^64 entries");
        let hash = entry.hash_after(&self.hash, sequence);
        let chain = Self { actor: self.actor.clone(), entries: sequence, hash };
        (chain, AuditEntry { link: Some(AuditLink { sequence, hash }), ..entry })
    }
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
    /// A revoked token.
    Token(TokenId),
    /// A table that an operator rebuilds.
    Table(&'static str),
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
            Self::Token(_) => "token",
            Self::Table(_) => "table",
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
            Self::Token(id) => id.as_str().fmt(f),
            Self::Table(name) => name.fmt(f),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, noon_plus, text, user};

    fn entry() -> AuditEntry {
        AuditEntry {
            id: SequentialIds::id(1).into(),
            at: NOON,
            actor: user("root"),
            action: "adjust_points".to_owned(),
            subject_kind: "user".to_owned(),
            subject_id: "kim".to_owned(),
            reason: Some(text("found")),
            body: "{}".to_owned(),
            request_id: Some("r-1".to_owned()),
            address: Some("192.0.2.7".to_owned()),
            link: None,
        }
    }

    /// Existing chains must verify forever: this hash must never change.
    #[test]
    fn the_hash_of_an_entry_is_stable() {
        let (chain, _) = AuditChain::empty(user("root")).append(entry());
        let hex: String = chain.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "143fc563715184843f214424dcb38fd777c0eb23898f13938bbf9939961ed346");
    }

    #[test]
    fn every_field_changes_the_hash() {
        let other = || "other".to_owned();
        let changed = [
            entry(),
            AuditEntry { id: SequentialIds::id(2).into(), ..entry() },
            AuditEntry { at: noon_plus(1), ..entry() },
            AuditEntry { actor: user("Root"), ..entry() },
            AuditEntry { action: other(), ..entry() },
            AuditEntry { subject_kind: other(), ..entry() },
            AuditEntry { subject_id: other(), ..entry() },
            AuditEntry { subject_kind: "userk".to_owned(), subject_id: "im".to_owned(), ..entry() },
            AuditEntry { reason: None, ..entry() },
            AuditEntry { body: String::new(), ..entry() },
            AuditEntry { request_id: None, ..entry() },
            AuditEntry { request_id: Some(String::new()), ..entry() },
            AuditEntry { address: None, ..entry() },
        ];
        let mut hashes: Vec<_> = changed.iter().map(|entry| entry.hash_after(&[0; 32], 1)).collect();
        hashes.extend([entry().hash_after(&[1; 32], 1), entry().hash_after(&[0; 32], 2)]);
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), changed.len() + 2);
    }

    #[test]
    fn a_chain_links_its_entries() {
        let (first, linked) = AuditChain::empty(user("root")).append(entry());
        assert_eq!(linked.link, Some(AuditLink { sequence: 1, hash: first.hash }));
        let (second, linked) = first.append(entry());
        assert_eq!((second.entries, linked.link.map(|link| link.sequence)), (2, Some(2)));
        assert_eq!(second.hash, entry().hash_after(&first.hash, 2));
    }
}
