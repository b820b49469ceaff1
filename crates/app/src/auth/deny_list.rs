//! The deny list: the revoked tokens, the same on all servers. Each server reads it again and again, and compares every
//! token with it in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::timeout;

use jangteo_domain::token::{Revocation, RevocationQueries, RevokedTokens, TokenId};
use jangteo_domain::{StoreError, UserId};

use crate::error_chain::chain;

/// The pause between readings.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// The claims that a revocation names.
#[derive(Clone, Debug)]
pub(super) struct TokenClaims {
    /// `None` also for an id that no revocation can name.
    pub id: Option<TokenId>,
    pub user_id: UserId,
    /// In seconds since 1970.
    pub issued_at: Option<f64>,
}

/// The revoked tokens, as last read.
#[derive(Default)]
pub struct DenyList {
    current: RwLock<Arc<Revoked>>,
    changed: Notify,
}

#[derive(Default)]
struct Revoked {
    token_ids: HashSet<TokenId>,
    /// For each user the time before which tokens are revoked, in seconds since 1970.
    users: HashMap<UserId, f64>,
    /// `None` before the first reading.
    read_at: Option<SystemTime>,
}

impl DenyList {
    /// Whether the token is revoked. A token without a time of issue is, if any of its user's are.
    pub(super) fn denies(&self, token: &TokenClaims) -> bool {
        let revoked = self.current();
        let is_before = |time: &f64| token.issued_at.is_none_or(|issued_at| issued_at < *time);
        token.id.as_ref().is_some_and(|id| revoked.token_ids.contains(id))
            || revoked.users.get(&token.user_id).is_some_and(is_before)
    }

    /// The time of the last successful reading, 1970 for none.
    pub fn read_at(&self) -> SystemTime {
        self.current().read_at.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Reads the list once.
    ///
    /// # Errors
    /// Errors of the store; the list stays as it was.
    pub async fn read(&self, revocations: &dyn RevocationQueries) -> Result<(), StoreError> {
        let read_at = SystemTime::now();
        self.replace(revocations.all().await?, read_at);
        Ok(())
    }

    /// Reads the list soon: it has changed.
    pub fn refresh(&self) {
        self.changed.notify_one();
    }

    /// Reads the list every five seconds and after each [`refresh`](Self::refresh), until it is dropped.
    pub async fn keep_current(self: Arc<Self>, revocations: Arc<dyn RevocationQueries>) {
        loop {
            // An elapsed time is the usual end of the wait.
            let _elapsed = timeout(RELOAD_INTERVAL, self.changed.notified()).await;
            if let Err(error) = self.read(&*revocations).await {
                tracing::warn!(kind = error.kind(), cause = chain(&error), "the revoked tokens cannot be read");
            }
        }
    }

    fn replace(&self, revocations: Vec<Revocation>, read_at: SystemTime) {
        let mut revoked = Revoked { read_at: Some(read_at), ..Revoked::default() };
        for Revocation { tokens, .. } in revocations {
            match tokens {
                RevokedTokens::One(id) => drop(revoked.token_ids.insert(id)),
                RevokedTokens::OfUser { user_id, issued_before } => {
                    let time = issued_before.unix_microseconds() as f64 / 1e6;
                    let latest = revoked.users.entry(user_id).or_insert(time);
                    *latest = latest.max(time);
                }
            }
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(revoked);
    }

    fn current(&self) -> Arc<Revoked> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use jangteo_domain::Timestamp;
    use jangteo_domain::testing::SequentialIds;
    use jangteo_domain::testing::fixtures::{NOON, noon_plus, text, user};
    use jangteo_domain::token::MockRevocationQueries;
    use rstest::rstest;

    use super::*;

    fn revocation(tokens: RevokedTokens) -> Revocation {
        Revocation { id: SequentialIds::id(1).into(), tokens, expires_at: NOON, at: NOON }
    }

    fn of_user(name: &str, issued_before: Timestamp) -> Revocation {
        revocation(RevokedTokens::OfUser { user_id: user(name), issued_before })
    }

    const NOON_SECONDS: f64 = 1_893_499_200.0;

    #[rstest]
    #[case::another_token(Some("t-2"), "lee", Some(NOON_SECONDS), false)]
    #[case::no_id(None, "lee", None, false)]
    #[case::its_id(Some("t-1"), "lee", Some(NOON_SECONDS), true)]
    #[case::the_case_of_ids_differs(Some("T-1"), "lee", Some(NOON_SECONDS), false)]
    #[case::issued_before(None, "kim", Some(NOON_SECONDS + 9.0), true)]
    #[case::issued_a_fraction_before(Some("t-2"), "kim", Some(NOON_SECONDS + 9.999), true)]
    #[case::issued_then(None, "kim", Some(NOON_SECONDS + 10.0), false)]
    #[case::issued_at_an_unknown_time(None, "kim", None, true)]
    #[case::the_case_of_users_differs(None, "Kim", Some(NOON_SECONDS), false)]
    fn a_token_is_denied_by_its_id_or_by_its_user_and_time(
        #[case] id: Option<&str>,
        #[case] name: &str,
        #[case] issued_at: Option<f64>,
        #[case] is_denied: bool,
    ) {
        let denied = DenyList::default();
        let one = revocation(RevokedTokens::One(text("t-1")));
        // Of several times of a user the latest counts.
        let list = vec![of_user("kim", noon_plus(5)), one, of_user("kim", noon_plus(10)), of_user("kim", NOON)];
        denied.replace(list, SystemTime::UNIX_EPOCH);
        assert_eq!(denied.denies(&TokenClaims { id: id.map(text), user_id: user(name), issued_at }), is_denied);
    }

    #[tokio::test]
    async fn a_failed_reading_changes_nothing() {
        let kim = TokenClaims { id: None, user_id: user("kim"), issued_at: None };
        let denied = DenyList::default();
        assert_eq!((denied.denies(&kim), denied.read_at()), (false, SystemTime::UNIX_EPOCH));
        let mut revocations = MockRevocationQueries::new();
        revocations.expect_all().times(1).returning(|| Ok(vec![of_user("kim", NOON)]));
        revocations.expect_all().times(1).returning(|| Err(StoreError::unexpected("no answer")));
        denied.read(&revocations).await.expect("a list");
        let read_at = denied.read_at();
        assert!(denied.read(&revocations).await.is_err());
        assert_eq!((denied.denies(&kim), denied.read_at()), (true, read_at));
        assert!(read_at > SystemTime::UNIX_EPOCH);
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_is_read_every_five_seconds_and_after_a_change() {
        let denied = Arc::new(DenyList::default());
        let (read, mut reads) = tokio::sync::mpsc::unbounded_channel();
        let mut revocations = MockRevocationQueries::new();
        revocations.expect_all().returning(move || {
            read.send(()).expect("the test listens");
            Ok(Vec::new())
        });
        let worker = tokio::spawn(Arc::clone(&denied).keep_current(Arc::new(revocations)));
        let begun = tokio::time::Instant::now();
        reads.recv().await;
        assert_eq!(begun.elapsed(), RELOAD_INTERVAL);
        denied.refresh();
        reads.recv().await;
        assert_eq!(begun.elapsed(), RELOAD_INTERVAL, "at once");
        reads.recv().await;
        assert_eq!(begun.elapsed(), 2 * RELOAD_INTERVAL);
        worker.abort();
    }
}
