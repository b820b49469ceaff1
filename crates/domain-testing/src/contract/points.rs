use jangteo_domain::page::Page;
use jangteo_domain::point::PointEntry;
use jangteo_domain::testing::fixtures::user;

use crate::contract::harness::{Seeds, StoreHarness, TestResult, append, commit, first_page, insert, update, walk};
use crate::contract::samples;

/// Every field of an account is returned, as inserted and as updated; `None` without an account.
pub async fn every_field_of_accounts_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let accounts = samples::accounts();
    let changed = samples::changed_accounts(&accounts);
    let queries = harness.queries().points;
    let updated = update(accounts.clone().into_iter().zip(changed.clone()));
    for (changes, expected) in [(insert(accounts.clone()), accounts), (updated, changed)] {
        commit(harness, changes).await?;
        for account in expected {
            assert_eq!(queries.account(&account.user_id).await?, Some(account));
        }
    }
    assert_eq!(queries.account(&user("stranger")).await?, None);
    Ok(())
}

/// Every field of a ledger's entries is returned, the newest first.
pub async fn every_field_of_entries_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner, other] = seeds.users(["kim", "other"]).await?;
    let [order] = seeds.orders_of(&owner).await?;
    let entries = samples::entries(&seeds, &owner, order.id);
    commit(harness, append(entries.clone())).await?;
    let queries = harness.queries().points;
    let stored = queries.entries(&owner, &first_page(100)).await?;
    assert_eq!(stored, entries.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(queries.entries(&other, &first_page(100)).await?, []);
    Ok(())
}

/// A walk through a ledger returns each entry once despite concurrent inserts.
pub async fn ledger_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let entries: Vec<_> = (1..=7).map(|sequence| samples::top_up(&seeds, &owner, sequence)).collect();
    commit(harness, append(entries.clone())).await?;

    let points = harness.queries().points;
    let newest = points.entries(&owner, &first_page(3)).await?;
    commit(harness, append([samples::top_up(&seeds, &owner, 8)])).await?;
    let rest = Page { after: newest.last().map(|entry| entry.sequence), limit: 100 };
    let seen = [newest, points.entries(&owner, &rest).await?].concat();
    assert_eq!(seen, entries.into_iter().rev().collect::<Vec<_>>());

    for limit in [1, 2, 100] {
        let read = async |page| points.entries(&owner, &page).await;
        let walked = walk(limit, |entry: &PointEntry| entry.sequence, read).await?;
        assert!(walked.iter().map(|entry| entry.sequence).eq((1..=8).rev()), "by {limit}: {walked:?}");
    }
    Ok(())
}
