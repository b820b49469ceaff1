use crate::money::Money;
use crate::point::{EntryKind, PointAccount, PointEntry};
use crate::store_error::StoreError;
use crate::testing::contract::harness::{
    Seeds, StoreHarness, account, assert_conflict, assert_unexpected, first_page, look, set, walk, write,
};
use crate::testing::fixtures::{NOON, order_line, pending_order, user, won};
use crate::time::Timestamp;

/// The longest user id, of every kind of character.
const LONGEST: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.:|@-012345";

/// A balance, the counts and the times of an account come back as they were written, by lock and by query.
pub async fn accounts_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let sequence_max = u64::try_from(i64::MAX).expect("not negative");
    let accounts = [
        PointAccount {
            user_id: user(LONGEST),
            balance: Money::MAX,
            entries: sequence_max,
            hash: [0xff; 32],
            open_orders: u32::MAX,
            updated_at: Some(Timestamp::MAX),
        },
        PointAccount {
            balance: Money::from_ten_thousandths(1).expect("in range"),
            updated_at: Some(Timestamp::MIN),
            ..PointAccount::empty(user("a"))
        },
        PointAccount::empty(user("b")),
    ];
    let ids = set(accounts.iter().map(|account| account.user_id.clone()));
    let locked = write(harness, async |unit| {
        unit.points().ensure_many(&ids).await?;
        unit.points().lock_many(&ids).await?;
        unit.points().save_many(&accounts).await?;
        unit.points().lock_many(&ids).await
    })
    .await?;
    assert_eq!(locked, accounts);
    assert_eq!(look(harness, async |unit| unit.points().lock_many(&ids).await).await?, accounts);
    for expected in accounts {
        assert_eq!(account(harness, &expected.user_id).await?, expected);
    }
    assert_eq!(harness.queries().points.account(&user("nobody")).await?, None);
    Ok(())
}

/// `alice` and `Alice` are two users.
pub async fn accounts_are_told_apart_by_case(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [upper, lower] = Seeds::new(harness).users(["Alice", "alice"]).await?;
    write(harness, async |unit| {
        let [account] = &mut unit.points().lock_many(&set([lower.clone()])).await?[..] else {
            panic!("one account has the name alice");
        };
        account.balance = won(5);
        unit.points().save_many(std::slice::from_ref(account)).await
    })
    .await?;
    assert_eq!(account(harness, &lower).await?.balance, won(5));
    assert_eq!(account(harness, &upper).await?, PointAccount::empty(upper));
    Ok(())
}

/// An account is made for those who have none, and the others' stay as they are.
pub async fn ensuring_accounts_keeps_those_that_exist(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [old] = Seeds::new(harness).users(["old"]).await?;
    let rich = PointAccount { balance: won(7), entries: 1, ..PointAccount::empty(old.clone()) };
    write(harness, async |unit| {
        unit.points().lock_many(&set([old.clone()])).await?;
        unit.points().save_many(std::slice::from_ref(&rich)).await
    })
    .await?;

    let new = user("new");
    write(harness, async |unit| unit.points().ensure_many(&set([new.clone(), old.clone()])).await).await?;
    assert_eq!(account(harness, &old).await?, rich);
    assert_eq!(account(harness, &new).await?, PointAccount::empty(new));
    Ok(())
}

/// Every field of a ledger's entry comes back; the newest stands first.
pub async fn ledger_entries_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner, other] = seeds.users(["owner", "other"]).await?;
    let [lamp] = seeds.lamps().await?;
    let order = pending_order(seeds.id(), &owner, vec![order_line(lamp, 1, 1_000)], NOON);
    seeds.orders(std::slice::from_ref(&order)).await?;

    let entry = |sequence, kind, amount, balance_after, order_id, at, hash| PointEntry {
        id: seeds.id(),
        user_id: owner.clone(),
        sequence,
        kind,
        amount,
        balance_after,
        order_id,
        at,
        hash: [hash; 32],
    };
    let smallest = Money::from_ten_thousandths(1).expect("in range");
    let entries = [
        entry(1, EntryKind::TopUp, Money::MAX, Money::MAX, None, Timestamp::MIN, 0),
        entry(2, EntryKind::Payment, Money::MAX.negated(), Money::ZERO, Some(order.id), NOON, 1),
        entry(3, EntryKind::Refund, smallest, smallest, Some(order.id), NOON, 0x7f),
        entry(4, EntryKind::Adjustment, smallest.negated(), Money::ZERO, None, Timestamp::MAX, 0xff),
    ];
    write(harness, async |unit| unit.points().append_entries(&entries).await).await?;

    let stored = harness.queries().points.entries(&owner, &first_page(100)).await?;
    assert_eq!(stored, entries.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(harness.queries().points.entries(&other, &first_page(100)).await?, []);
    Ok(())
}

/// Two entries cannot have one place in a ledger.
pub async fn a_second_entry_of_one_sequence_number_is_a_conflict(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let entry = || top_up(&seeds, &owner, 1);
    write(harness, async |unit| unit.points().append_entries(&[entry()]).await).await?;
    assert_conflict(write(harness, async |unit| unit.points().append_entries(&[entry()]).await).await);
    assert_eq!(harness.queries().points.entries(&owner, &first_page(100)).await?.len(), 1);
    Ok(())
}

fn top_up(seeds: &Seeds<'_>, owner: &crate::id::UserId, sequence: u64) -> PointEntry {
    PointEntry {
        id: seeds.id(),
        user_id: owner.clone(),
        sequence,
        kind: EntryKind::TopUp,
        amount: won(1),
        balance_after: won(i64::try_from(sequence).expect("a small number")),
        order_id: None,
        at: NOON,
        hash: [0; 32],
    }
}

/// The store rejects what the domain would never write, and keeps nothing of the unit of work.
pub async fn a_negative_balance_is_an_error_and_keeps_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [a, b] = Seeds::new(harness).users(["a", "b"]).await?;
    let rich = PointAccount { balance: won(1), ..PointAccount::empty(a.clone()) };
    let poor = PointAccount { balance: won(-1), ..PointAccount::empty(b.clone()) };
    let result = write(harness, async |unit| {
        unit.points().lock_many(&set([a.clone(), b.clone()])).await?;
        unit.points().save_many(&[rich]).await?;
        unit.points().save_many(&[poor]).await
    });
    assert_unexpected(result.await);
    for id in [a, b] {
        assert_eq!(account(harness, &id).await?, PointAccount::empty(id));
    }
    Ok(())
}

/// A walk through a ledger gives each entry once, whatever is added meanwhile.
pub async fn ledger_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let entries: Vec<_> = (1..=7).map(|sequence| top_up(&seeds, &owner, sequence)).collect();
    write(harness, async |unit| unit.points().append_entries(&entries).await).await?;

    let points = harness.queries().points;
    let newest = points.entries(&owner, &first_page(3)).await?;
    write(harness, async |unit| unit.points().append_entries(&[top_up(&seeds, &owner, 8)]).await).await?;
    let rest = crate::page::Page { after: newest.last().map(|entry| entry.sequence), limit: 100 };
    let seen = [newest, points.entries(&owner, &rest).await?].concat();
    assert_eq!(seen, entries.iter().rev().cloned().collect::<Vec<_>>());

    for limit in [1, 2, 100] {
        let read = async |page| points.entries(&owner, &page).await;
        let sequences = walk(limit, |entry: &PointEntry| entry.sequence, read).await?;
        assert!(sequences.iter().map(|entry| entry.sequence).eq((1..=8).rev()), "by {limit}: {sequences:?}");
    }
    Ok(())
}
