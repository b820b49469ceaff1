//! Points: the account of each user and its ledger.

use std::ops::Deref;

use async_trait::async_trait;
use thiserror::Error;

use crate::id::{EntryId, OrderId, UserId};
use crate::money::{Money, PositiveMoney};
use crate::order::OrderRejection;
use crate::page::Page;
use crate::rules::ShopRules;
use crate::store_error::{InvalidRecord, StoreError};
use crate::time::Timestamp;

mod ledger;

pub use ledger::{AdjustmentReason, EntryKind, LedgerHash, PointEntry};

/// The points and the count of open orders of one user, locked as one row. Dereferences to its
/// [record](PointAccountRecord), which only the methods below change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PointAccount(PointAccountRecord);

/// An account as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct PointAccountRecord {
    pub user_id: UserId,
    /// Never below zero.
    pub balance: Money,
    /// The number of ledger entries: the sequence number of the last one.
    pub entries: u64,
    /// The hash of the last entry.
    pub hash: LedgerHash,
    /// Orders in `pending_payment`; counted here so that the limit holds on any number of servers.
    pub open_orders: u32,
    /// The time of the last entry; `None` before the first.
    pub updated_at: Option<Timestamp>,
}

impl Deref for PointAccount {
    type Target = PointAccountRecord;

    fn deref(&self) -> &PointAccountRecord {
        &self.0
    }
}

/// Reasons to reject a ledger entry, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum PointRejection {
    #[error("one top-up may add at most {top_up_max:?}")]
    TopUpLimitExceeded { top_up_max: Money },
    #[error("the balance {balance:?} may not go above {balance_max:?}")]
    BalanceLimitExceeded { balance: Money, balance_max: Money },
    #[error("the balance {balance:?} does not cover {required:?}")]
    InsufficientPoints { balance: Money, required: Money },
}

impl PointAccount {
    /// The account before its first change; it is not stored yet.
    pub fn empty(user_id: UserId) -> Self {
        Self(PointAccountRecord {
            user_id,
            balance: Money::ZERO,
            entries: 0,
            hash: [0; 32],
            open_orders: 0,
            updated_at: None,
        })
    }

    /// Validates a stored record.
    ///
    /// # Errors
    /// A balance below zero.
    pub fn from_stored(record: PointAccountRecord) -> Result<Self, InvalidRecord> {
        if record.balance.is_negative() { Err(InvalidRecord("a balance below zero")) } else { Ok(Self(record)) }
    }

    /// Tops up points.
    ///
    /// # Errors
    /// In this order: [`PointRejection::TopUpLimitExceeded`], [`PointRejection::BalanceLimitExceeded`].
    pub fn top_up(
        &self,
        amount: PositiveMoney,
        rules: &ShopRules,
        id: EntryId,
        now: Timestamp,
    ) -> Result<(Self, PointEntry), PointRejection> {
        if amount.get() > rules.top_up_max {
            return Err(PointRejection::TopUpLimitExceeded { top_up_max: rules.top_up_max });
        }
        let balance = self.balance_with(amount.get(), rules)?;
        Ok(self.post(id, EntryKind::TopUp, amount.get(), balance, None, now))
    }

    /// Corrects the balance, up to its limit or down to zero. A balance above the limit may be lowered.
    ///
    /// # Errors
    /// [`PointRejection::BalanceLimitExceeded`] or [`PointRejection::InsufficientPoints`], by the sign of the amount.
    pub fn adjust(
        &self,
        amount: Money,
        rules: &ShopRules,
        id: EntryId,
        now: Timestamp,
    ) -> Result<(Self, PointEntry), PointRejection> {
        let balance = if amount.is_positive() {
            self.balance_with(amount, rules)?
        } else {
            self.balance_without(amount.negated())?
        };
        Ok(self.post(id, EntryKind::Adjustment, amount, balance, None, now))
    }

    /// Debits a payment. An amount of zero also adds an entry, so that every payment has one.
    ///
    /// # Errors
    /// [`PointRejection::InsufficientPoints`].
    pub fn pay(
        &self,
        amount: Money,
        order_id: OrderId,
        id: EntryId,
        now: Timestamp,
    ) -> Result<(Self, PointEntry), PointRejection> {
        let balance = self.balance_without(amount)?;
        Ok(self.post(id, EntryKind::Payment, amount.negated(), balance, Some(order_id), now))
    }

    /// Credits a refund. The balance may exceed the limit of top-ups: a payment is always refundable.
    ///
    /// # Errors
    /// [`PointRejection::BalanceLimitExceeded`] only when the balance would leave the range of [`Money`].
    pub fn refund(
        &self,
        amount: Money,
        order_id: OrderId,
        id: EntryId,
        now: Timestamp,
    ) -> Result<(Self, PointEntry), PointRejection> {
        let limit = PointRejection::BalanceLimitExceeded { balance: self.balance, balance_max: Money::MAX };
        let balance = self.balance.checked_add(amount).ok_or(limit)?;
        Ok(self.post(id, EntryKind::Refund, amount, balance, Some(order_id), now))
    }

    /// Counts one more open order.
    ///
    /// # Errors
    /// [`OrderRejection::TooManyOpenOrders`].
    pub fn open_order(&self, rules: &ShopRules) -> Result<Self, OrderRejection> {
        let limit = OrderRejection::TooManyOpenOrders { open_orders_max: rules.open_orders_max };
        let open_orders = self.open_orders.checked_add(1).filter(|count| *count <= rules.open_orders_max);
        Ok(Self(PointAccountRecord { open_orders: open_orders.ok_or(limit)?, ..self.0.clone() }))
    }

    /// Uncounts an order that was paid, cancelled or expired. A count of zero, which only corruption can cause, stays: the
    /// order ends nevertheless.
    pub fn close_order(&self) -> Self {
        Self(PointAccountRecord { open_orders: self.open_orders.saturating_sub(1), ..self.0.clone() })
    }

    fn balance_with(&self, amount: Money, rules: &ShopRules) -> Result<Money, PointRejection> {
        let limit = PointRejection::BalanceLimitExceeded { balance: self.balance, balance_max: rules.balance_max };
        self.balance.checked_add(amount).filter(|after| *after <= rules.balance_max).ok_or(limit)
    }

    fn balance_without(&self, amount: Money) -> Result<Money, PointRejection> {
        let short = PointRejection::InsufficientPoints { balance: self.balance, required: amount };
        self.balance.checked_sub(amount).filter(|after| !after.is_negative()).ok_or(short)
    }

    /// The account with a new entry of its ledger.
    fn post(
        &self,
        id: EntryId,
        kind: EntryKind,
        amount: Money,
        balance_after: Money,
        order_id: Option<OrderId>,
        at: Timestamp,
    ) -> (Self, PointEntry) {
        let sequence = self.entries.checked_add(1).expect("a ledger has fewer than 2^64 entries");
        let user_id = self.user_id.clone();
        let mut entry = PointEntry { id, user_id, sequence, kind, amount, balance_after, order_id, at, hash: [0; 32] };
        entry.hash = entry.hash_after(&self.hash);
        let account = PointAccountRecord {
            balance: balance_after,
            entries: sequence,
            hash: entry.hash,
            updated_at: Some(at),
            ..self.0.clone()
        };
        (Self(account), entry)
    }
}

/// Reads accounts and ledgers, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait PointQueries: Send + Sync {
    /// `None` before the first change of the account.
    async fn account(&self, user_id: &UserId) -> Result<Option<PointAccount>, StoreError>;

    /// The ledger's entries, newest first; the page's key is a sequence number.
    async fn entries(&self, user_id: &UserId, page: &Page<u64>) -> Result<Vec<PointEntry>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixtures::{NOON, user, won};
    use crate::testing::{SequentialIds, rules};

    fn account(balance: Money) -> PointAccount {
        PointAccount(PointAccountRecord { balance, entries: 3, ..PointAccount::empty(user("kim")).0 })
    }

    fn ids() -> (OrderId, EntryId) {
        (SequentialIds::id(1).into(), SequentialIds::id(2).into())
    }

    #[test]
    fn a_payment_can_debit_the_whole_balance() {
        let (order_id, id) = ids();
        let (after, entry) = account(won(5)).pay(won(5), order_id, id, NOON).expect("it is covered");
        assert_eq!((entry.amount, entry.balance_after, entry.sequence), (won(-5), Money::ZERO, 4));
        assert_eq!((after.balance, after.entries, after.hash), (Money::ZERO, 4, entry.hash));
        let rejection = PointRejection::InsufficientPoints { balance: won(5), required: won(6) };
        assert_eq!(account(won(5)).pay(won(6), order_id, id, NOON), Err(rejection));
        let rejection = PointRejection::InsufficientPoints { balance: Money::ZERO, required: Money::MAX };
        assert_eq!(account(Money::ZERO).pay(Money::MAX, order_id, id, NOON), Err(rejection));
    }

    #[test]
    fn rejects_a_refund_only_beyond_the_range_of_money() {
        let (order_id, id) = ids();
        let limit = PointRejection::BalanceLimitExceeded { balance: Money::MAX, balance_max: Money::MAX };
        assert_eq!(account(Money::MAX).refund(won(1), order_id, id, NOON), Err(limit));
        let (_, entry) = account(Money::MAX).refund(Money::ZERO, order_id, id, NOON).expect("zero fits");
        assert_eq!((entry.kind, entry.order_id), (EntryKind::Refund, Some(order_id)));
    }

    #[test]
    fn rejects_a_record_with_a_balance_below_zero() {
        let record = PointAccountRecord { balance: won(-1), ..PointAccount::empty(user("kim")).0 };
        assert!(PointAccount::from_stored(record.clone()).is_err());
        assert!(PointAccount::from_stored(PointAccountRecord { balance: Money::ZERO, ..record }).is_ok());
    }

    #[test]
    fn the_count_of_open_orders_never_wraps() {
        assert_eq!(account(Money::ZERO).close_order().open_orders, 0);
        let rules = ShopRules { open_orders_max: u32::MAX, ..rules() };
        let full = PointAccountRecord { open_orders: u32::MAX, ..PointAccount::empty(user("kim")).0 };
        let limit = OrderRejection::TooManyOpenOrders { open_orders_max: u32::MAX };
        assert_eq!(PointAccount(full).open_order(&rules), Err(limit));
    }
}
