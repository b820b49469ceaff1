use jangteo_domain::id::RevocationId;
use jangteo_domain::store_error::InvalidRecord;
use jangteo_domain::token::{Revocation, RevokedTokens, TokenId};
use jangteo_domain::{StoreError, UserId};

use crate::rows::rows;
use crate::types::{At, Id, Varchar};

rows! {
    RevocationRow of token_revocations {
        id: Id<RevocationId>,
    } {
        token_id: Option<Varchar<TokenId>>,
        user_id: Option<Varchar<UserId>>,
        issued_before: Option<At>,
        expires_at: At,
        created_at: At,
    }
}

impl From<&Revocation> for RevocationRow {
    fn from(revocation: &Revocation) -> Self {
        let Revocation { id, tokens, expires_at, at } = revocation;
        let (token_id, user_id, issued_before) = match tokens {
            RevokedTokens::One(token_id) => (Some(Varchar(token_id.clone())), None, None),
            RevokedTokens::OfUser { user_id, issued_before } => {
                (None, Some(Varchar(user_id.clone())), Some(At(*issued_before)))
            }
        };
        Self { id: Id(*id), token_id, user_id, issued_before, expires_at: At(*expires_at), created_at: At(*at) }
    }
}

impl TryFrom<RevocationRow> for Revocation {
    type Error = StoreError;

    fn try_from(row: RevocationRow) -> Result<Self, StoreError> {
        let RevocationRow { id, token_id, user_id, issued_before, expires_at, created_at } = row;
        let tokens = match (token_id, user_id, issued_before) {
            (Some(Varchar(token_id)), None, None) => RevokedTokens::One(token_id),
            (None, Some(Varchar(user_id)), Some(At(issued_before))) => RevokedTokens::OfUser { user_id, issued_before },
            _ => return Err(InvalidRecord("a revocation of no tokens").into()),
        };
        Ok(Self { id: id.0, tokens, expires_at: expires_at.0, at: created_at.0 })
    }
}
