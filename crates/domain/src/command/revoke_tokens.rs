use time::Duration;

use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::UserId;
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::time::Timestamp;
use crate::token::{Revocation, RevokedTokens, TokenId};
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// A revocation of tokens. Revoked ones may be revoked again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokeTokens {
    pub tokens: TokensToRevoke,
    /// Servers reject tokens that live longer.
    pub lifetime_max: Duration,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokensToRevoke {
    One {
        token_id: TokenId,
        /// The claim `exp`; `None` for the latest possible time.
        expires_at: Option<Timestamp>,
    },
    OfUser {
        user_id: UserId,
        /// `None` for now.
        issued_before: Option<Timestamp>,
    },
}

impl Decide for RevokeTokens {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, None)
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, _locks: &mut LockSet) {}

    fn decide(&self, _set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let end = |issued_until: Timestamp| issued_until.saturating_add(self.lifetime_max);
        let (tokens, expires_at) = match self.tokens.clone() {
            TokensToRevoke::One { token_id, expires_at } => {
                (RevokedTokens::One(token_id), expires_at.unwrap_or(end(context.now)))
            }
            TokensToRevoke::OfUser { user_id, issued_before } => {
                let issued_before = issued_before.unwrap_or(context.now);
                (RevokedTokens::OfUser { user_id, issued_before }, end(issued_before.max(context.now)))
            }
        };
        let revocation = Revocation { id: context.new_id(), tokens, expires_at, at: context.now };
        Ok(Decision {
            reply: Reply::TokensRevoked(revocation.clone()),
            states: States::default(),
            appended: Appended { revocations: vec![revocation], ..Appended::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::command::scene::Scene;
    use crate::testing::fixtures::{NOON, noon_plus, text, user};

    const HOUR: i64 = 3_600;

    fn one(expires_at: Option<Timestamp>) -> TokensToRevoke {
        TokensToRevoke::One { token_id: text("t-1"), expires_at }
    }

    fn of_user(issued_before: Option<Timestamp>) -> TokensToRevoke {
        TokensToRevoke::OfUser { user_id: user("kim"), issued_before }
    }

    #[rstest]
    #[case(one(None), None, noon_plus(HOUR))]
    #[case(one(Some(noon_plus(5))), None, noon_plus(5))]
    #[case(of_user(None), Some(NOON), noon_plus(HOUR))]
    #[case(of_user(Some(noon_plus(-5))), Some(noon_plus(-5)), noon_plus(HOUR))]
    #[case(of_user(Some(noon_plus(5))), Some(noon_plus(5)), noon_plus(HOUR + 5))]
    fn a_revocation_lasts_until_its_tokens_have_expired(
        #[case] tokens: TokensToRevoke,
        #[case] issued_before: Option<Timestamp>,
        #[case] expires_at: Timestamp,
    ) {
        let mut scene = Scene::new();
        let reply = scene.decide(RevokeTokens { tokens, lifetime_max: Duration::HOUR });
        let Ok(Reply::TokensRevoked(revocation)) = reply else { panic!("a revocation is expected, not {reply:?}") };
        let expected = match issued_before {
            None => RevokedTokens::One(text("t-1")),
            Some(issued_before) => RevokedTokens::OfUser { user_id: user("kim"), issued_before },
        };
        assert_eq!((&revocation.tokens, revocation.expires_at, revocation.at), (&expected, expires_at, NOON));
        assert_eq!(scene.tables.written.revocations, [revocation]);
    }
}
