//! Points: each user's account, the ledger of its entries, and when points do not move.

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

/// One user's points and count of open orders, locked as one row. Reads like its [record](PointAccountRecord); changes
/// only by the decisions below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PointAccount(PointAccountRecord);

/// An account as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PointAccountRecord {
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

impl Deref for PointAccount {
    type Target = PointAccountRecord;

    fn deref(&self) -> &PointAccountRecord {
        &self.0
    }
}

/// Why points do not move, in the order in which it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PointRejection {
    /// One top-up may add at most so much.
    #[error("one top-up may add at most {top_up_max:?}")]
    TopUpLimitExceeded {
        /// The limit of one top-up.
        top_up_max: Money,
    },
    /// The balance after the top-up would be above the limit.
    #[error("the balance {balance:?} may not go above {balance_max:?}")]
    BalanceLimitExceeded {
        /// The balance now.
        balance: Money,
        /// The limit of a balance.
        balance_max: Money,
    },
    /// The balance does not cover the payment.
    #[error("the balance {balance:?} does not cover {required:?}")]
    InsufficientPoints {
        /// The balance now.
        balance: Money,
        /// The amount of the payment.
        required: Money,
    },
}

impl PointAccount {
    /// The account of a user who never topped up and never ordered; it is stored with its first change.
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

    /// The account of a stored record.
    ///
    /// # Errors
    /// When the balance is below zero.
    pub fn from_stored(record: PointAccountRecord) -> Result<Self, InvalidRecord> {
        if record.balance.is_negative() { Err(InvalidRecord("a balance below zero")) } else { Ok(Self(record)) }
    }

    /// Adds points.
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

    /// Debits a payment; an amount of zero is an entry as well, so that each payment has one.
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

    /// Credits a refund. It may lift the balance above the limit for top-ups: what was paid is returned.
    ///
    /// # Errors
    /// [`PointRejection::BalanceLimitExceeded`] only where the balance would leave the range of [`Money`].
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

    /// Counts one open order less, as it was paid, cancelled or expired.
    ///
    /// # Panics
    /// When none is counted: the stored count is wrong.
    pub fn close_order(&self) -> Self {
        let open_orders = self.open_orders.checked_sub(1).expect("an order that was open was counted");
        Self(PointAccountRecord { open_orders, ..self.0.clone() })
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

/// Reads accounts and ledgers; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait PointQueries: Send + Sync {
    /// The account; `None` for a user who has none yet.
    async fn account(&self, user_id: &UserId) -> Result<Option<PointAccount>, StoreError>;

    /// The ledger's entries, newest first; the page's key is an entry's sequence number.
    async fn entries(&self, user_id: &UserId, page: &Page<u64>) -> Result<Vec<PointEntry>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, user, won};

    fn account(balance: Money) -> PointAccount {
        PointAccount(PointAccountRecord { balance, entries: 3, ..PointAccount::empty(user("kim")).0 })
    }

    fn ids() -> (OrderId, EntryId) {
        (SequentialIds::id(1).into(), SequentialIds::id(2).into())
    }

    #[test]
    fn a_payment_takes_up_to_the_last_point() {
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
    fn rejects_a_refund_only_where_money_ends() {
        let (order_id, id) = ids();
        let limit = PointRejection::BalanceLimitExceeded { balance: Money::MAX, balance_max: Money::MAX };
        assert_eq!(account(Money::MAX).refund(won(1), order_id, id, NOON), Err(limit));
        let (_, entry) = account(Money::MAX).refund(Money::ZERO, order_id, id, NOON).expect("nothing fits");
        assert_eq!((entry.kind, entry.order_id), (EntryKind::Refund, Some(order_id)));
    }

    #[test]
    fn a_record_with_a_balance_below_zero_is_no_account() {
        let record = PointAccountRecord { balance: won(-1), ..PointAccount::empty(user("kim")).0 };
        assert!(PointAccount::from_stored(record.clone()).is_err());
        assert!(PointAccount::from_stored(PointAccountRecord { balance: Money::ZERO, ..record }).is_ok());
    }

    #[test]
    #[should_panic(expected = "was counted")]
    fn an_order_that_was_never_opened_cannot_be_closed() {
        account(Money::ZERO).close_order();
    }
}
