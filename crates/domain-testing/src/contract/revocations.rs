use jangteo_domain::audit::Subject;
use jangteo_domain::command::{Reply, RevokeTokens, TokensToRevoke};
use jangteo_domain::retention::PruneTarget;
use jangteo_domain::testing::fixtures::{NOON, noon_plus, text, user};
use jangteo_domain::time::Timestamp;
use jangteo_domain::token::{Revocation, RevokedTokens};
use time::Duration;

use crate::TestShop;
use crate::contract::commits::revocation;
use crate::contract::harness::{Seeds, StoreHarness, TestResult, append, commit, first_page, walk, wide};
use crate::contract::samples::LONGEST;

/// Both kinds are returned as stored, with the longest ids and all times; lists return the newest first.
pub async fn every_field_of_revocations_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let of_user = |user_id, issued_before| RevokedTokens::OfUser { user_id, issued_before };
    let mut revocations = [(); 4].map(|()| revocation(&seeds));
    revocations[0].tokens = RevokedTokens::One(text(&wide(255)));
    revocations[1].tokens = of_user(user(LONGEST), Timestamp::MIN);
    revocations[2].tokens = of_user(user("kim"), Timestamp::MAX);
    (revocations[1].expires_at, revocations[1].at) = (Timestamp::MAX, Timestamp::MIN);
    commit(harness, append(revocations.clone())).await?;
    let queries = harness.queries().revocations;
    let mut all = queries.all().await?;
    all.sort_by_key(|revocation| revocation.id);
    assert_eq!(all, revocations);
    let mut walked = walk(3, |row: &Revocation| row.id, async |page| queries.list(&page).await).await?;
    walked.reverse();
    assert_eq!(walked, revocations);
    Ok(())
}

/// The end decides, not the age.
pub async fn only_revocations_past_their_end_are_pruned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let now = harness.queries().clock.now().await?;
    let ends = [Timestamp::MIN, NOON.min(now.saturating_sub(Duration::HOUR)), now.saturating_add(Duration::HOUR)];
    let revocations = ends.map(|expires_at| Revocation { expires_at, at: noon_plus(0), ..revocation(&seeds) });
    commit(harness, append(revocations.clone())).await?;
    let prune = async |limit| harness.pruning().prune(PruneTarget::TokenRevocations, Duration::HOUR, limit).await;
    assert_eq!((prune(1).await?, prune(9).await?, prune(9).await?), (1, 1, 0));
    assert_eq!(harness.queries().revocations.all().await?, revocations[2..]);
    Ok(())
}

/// The command stores its revocation, by the database's clock.
pub async fn revoked_tokens_are_listed(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let tokens = TokensToRevoke::OfUser { user_id: user("kim"), issued_before: None };
    let reply = shop.run(RevokeTokens { tokens, lifetime_max: Duration::HOUR }).await?.expect("a revocation");
    assert_eq!(reply.subject(), Subject::User(user("kim")));
    let Reply::TokensRevoked(revocation) = reply else { panic!("a revocation, not {reply:?}") };
    assert_eq!(revocation.expires_at, revocation.at.saturating_add(Duration::HOUR));
    assert_eq!(harness.queries().revocations.list(&first_page(9)).await?, [revocation]);
    Ok(())
}
