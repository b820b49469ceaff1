//! Revoked tokens. Every server has the whole list in memory and compares tokens with it; no request reads it.

use async_trait::async_trait;

use crate::id::{RevocationId, UserId};
use crate::page::Page;
use crate::store_error::StoreError;
use crate::text::Text;
use crate::time::Timestamp;

/// The id of a token: its claim `jti`.
pub type TokenId = Text<1, 255>;

/// A revocation of tokens. It never changes, and is deleted after its end.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Revocation {
    pub id: RevocationId,
    pub tokens: RevokedTokens,
    /// When all of these tokens have expired.
    pub expires_at: Timestamp,
    /// By the database's clock.
    pub at: Timestamp,
}

/// The tokens of a revocation.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub enum RevokedTokens {
    One(TokenId),
    /// Those with an earlier claim `iat`, or none.
    OfUser {
        user_id: UserId,
        issued_before: Timestamp,
    },
}

/// Reads revocations.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait RevocationQueries: Send + Sync {
    /// All stored revocations from the primary, in no order.
    async fn all(&self) -> Result<Vec<Revocation>, StoreError>;

    /// The newest first; the page's key is an id.
    async fn list(&self, page: &Page<RevocationId>) -> Result<Vec<Revocation>, StoreError>;
}
