use crate::id::{EntryId, OrderId, UserId};
use crate::money::{Money, PositiveMoney};
use crate::point::{EntryKind, PointEntry, PointRejection};
use crate::rules::ShopRules;
use crate::time::Timestamp;

/// SHA-256 over an entry and the hash of the entry before it; all zero before the first.
pub type LedgerHash = [u8; 32];

/// What the shop keeps of one user and locks as one row: the points, and how many orders wait to be paid with them.
///
/// Changed only by [`PointAccount::apply`] and the counting of open orders.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PointAccount {
    /// Whose account it is.
    pub user_id: UserId,
    /// The points, never below zero.
    pub balance: Money,
    /// How many entries the ledger has: the sequence number of the last one.
    pub entries: u64,
    /// The hash of the last entry.
    pub hash: LedgerHash,
    /// Orders in `pending_payment`; counted here so that the limit holds on any number of servers.
    pub open_orders: u32,
    /// When the last entry was written; `None` before the first.
    pub updated_at: Option<Timestamp>,
}

impl PointAccount {
    /// The account of somebody who has never topped up.
    pub fn empty(user_id: UserId) -> Self {
        Self { user_id, balance: Money::ZERO, entries: 0, hash: [0; 32], open_orders: 0, updated_at: None }
    }

    /// Decides a top-up.
    ///
    /// # Errors
    /// In this order: [`PointRejection::TopUpLimitExceeded`], [`PointRejection::BalanceLimitExceeded`].
    pub fn top_up(
        &self,
        amount: PositiveMoney,
        rules: &ShopRules,
        id: EntryId,
        now: Timestamp,
    ) -> Result<PointEntry, PointRejection> {
        if amount.get() > rules.top_up_max {
            return Err(PointRejection::TopUpLimitExceeded { top_up_max: rules.top_up_max });
        }
        let balance = self.balance_with(amount.get(), rules)?;
        Ok(self.entry(id, EntryKind::TopUp, amount.get(), balance, None, now))
    }

    /// Decides a correction by the back office, up to the limit of the balance or down to nothing. A balance that is
    /// above the limit may be lowered.
    ///
    /// # Errors
    /// [`PointRejection::BalanceLimitExceeded`] or [`PointRejection::InsufficientPoints`], by the sign of the amount.
    pub fn adjust(
        &self,
        amount: Money,
        rules: &ShopRules,
        id: EntryId,
        now: Timestamp,
    ) -> Result<PointEntry, PointRejection> {
        let balance = if amount.is_positive() {
            self.balance_with(amount, rules)?
        } else {
            self.balance_without(amount.negated())?
        };
        Ok(self.entry(id, EntryKind::Adjustment, amount, balance, None, now))
    }

    /// Decides the debit of a payment; an amount of zero is an entry as well, so that each payment has one.
    ///
    /// # Errors
    /// [`PointRejection::InsufficientPoints`].
    pub fn pay(
        &self,
        amount: Money,
        order_id: OrderId,
        id: EntryId,
        now: Timestamp,
    ) -> Result<PointEntry, PointRejection> {
        let balance = self.balance_without(amount)?;
        Ok(self.entry(id, EntryKind::Payment, amount.negated(), balance, Some(order_id), now))
    }

    fn balance_with(&self, amount: Money, rules: &ShopRules) -> Result<Money, PointRejection> {
        let limit = PointRejection::BalanceLimitExceeded { balance: self.balance, balance_max: rules.balance_max };
        self.balance.checked_add(amount).filter(|after| *after <= rules.balance_max).ok_or(limit)
    }

    fn balance_without(&self, amount: Money) -> Result<Money, PointRejection> {
        let short = PointRejection::InsufficientPoints { balance: self.balance, required: amount };
        self.balance.checked_sub(amount).filter(|after| !after.is_negative()).ok_or(short)
    }

    /// Decides the credit of a refund. It may lift the balance above the limit for top-ups: what was paid comes back.
    ///
    /// # Errors
    /// [`PointRejection::BalanceLimitExceeded`] only where the balance would leave the range of [`Money`].
    pub fn refund(
        &self,
        amount: Money,
        order_id: OrderId,
        id: EntryId,
        now: Timestamp,
    ) -> Result<PointEntry, PointRejection> {
        let limit = PointRejection::BalanceLimitExceeded { balance: self.balance, balance_max: Money::MAX };
        let balance = self.balance.checked_add(amount).ok_or(limit)?;
        Ok(self.entry(id, EntryKind::Refund, amount, balance, Some(order_id), now))
    }

    fn entry(
        &self,
        id: EntryId,
        kind: EntryKind,
        amount: Money,
        balance_after: Money,
        order_id: Option<OrderId>,
        at: Timestamp,
    ) -> PointEntry {
        let mut entry = PointEntry {
            id,
            user_id: self.user_id.clone(),
            sequence: self.entries + 1,
            kind,
            amount,
            balance_after,
            order_id,
            at,
            hash: [0; 32],
        };
        entry.hash = entry.hash_after(&self.hash);
        entry
    }

    /// Takes an entry that was decided on this very state.
    ///
    /// # Panics
    /// When the entry is not the next one of this account: a bug in the caller, which must not reach the books.
    pub fn apply(&mut self, entry: &PointEntry) {
        assert!(
            entry.user_id == self.user_id && entry.sequence == self.entries + 1,
            "an entry was decided on another state of the account"
        );
        self.balance = entry.balance_after;
        self.entries = entry.sequence;
        self.hash = entry.hash;
        self.updated_at = Some(entry.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, user, won};

    fn account(balance: Money) -> PointAccount {
        PointAccount { balance, entries: 3, ..PointAccount::empty(user("kim")) }
    }

    fn ids() -> (OrderId, EntryId) {
        (SequentialIds::id(1).into(), SequentialIds::id(2).into())
    }

    #[test]
    fn a_payment_takes_up_to_the_last_point() {
        let (order_id, id) = ids();
        let entry = account(won(5)).pay(won(5), order_id, id, NOON).expect("it is covered");
        assert_eq!((entry.amount, entry.balance_after, entry.sequence), (won(-5), Money::ZERO, 4));
        let rejection = PointRejection::InsufficientPoints { balance: won(5), required: won(6) };
        assert_eq!(account(won(5)).pay(won(6), order_id, id, NOON), Err(rejection));
        let rejection = PointRejection::InsufficientPoints { balance: Money::ZERO, required: Money::MAX };
        assert_eq!(account(Money::ZERO).pay(Money::MAX, order_id, id, NOON), Err(rejection));
    }

    #[test]
    fn rejects_a_refund_only_where_money_ends() {
        let (order_id, id) = ids();
        let limit = PointRejection::BalanceLimitExceeded { balance: Money::MAX, balance_max: Money::MAX };
        assert_eq!(account(Money::MAX).refund(won(1), order_id, id, NOON), Err(limit));
        let entry = account(Money::MAX).refund(Money::ZERO, order_id, id, NOON).expect("nothing fits");
        assert_eq!((entry.kind, entry.order_id), (EntryKind::Refund, Some(order_id)));
    }

    #[test]
    #[should_panic(expected = "another state of the account")]
    fn an_entry_is_applied_once() {
        let (order_id, id) = ids();
        let mut account = account(won(5));
        let entry = account.pay(won(1), order_id, id, NOON).expect("it is covered");
        account.apply(&entry);
        account.apply(&entry);
    }
}
