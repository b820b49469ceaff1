//! Points: the account of each user and its ledger.

use std::ops::Deref;

use async_trait::async_trait;
use thiserror::Error;

use crate::id::{EntryId, OrderId, UserId};
use crate::money::{Money, PositiveMoney};
use crate::order::{Order, OrderRejection};
use crate::page::Page;
use crate::rules::ShopRules;
use crate::store_error::{InvalidRecord, StoreError};
use crate::time::{Date, Timestamp};

mod ledger;

pub use ledger::{AdjustmentReason, EntryKind, LedgerHash, PointEntry};

/// The points of one user and the counts of their orders, locked as one row. Dereferences to its
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
    /// Orders in `pending_payment`; counted here, as those below, so that the limits hold on any number of servers.
    pub open_orders: u32,
    /// The items that they reserve.
    pub reserved_quantity: u64,
    /// The day of the user's last order, in the shop's calendar.
    pub ordered_on: Option<Date>,
    /// The orders of that day that are not paid, ended ones included.
    pub unpaid_orders: u32,
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
            reserved_quantity: 0,
            ordered_on: None,
            unpaid_orders: 0,
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

    /// Counts a new order.
    ///
    /// # Errors
    /// In this order: [`OrderRejection::TooManyOpenOrders`], [`OrderRejection::TooManyUnpaidOrders`],
    /// [`OrderRejection::ReservationLimitExceeded`].
    pub fn open_order(&self, order: &Order, rules: &ShopRules) -> Result<Self, OrderRejection> {
        let ShopRules { open_orders_max, unpaid_orders_max, reserved_quantity_max, .. } = *rules;
        let open_orders = self.open_orders.checked_add(1).filter(|count| *count <= open_orders_max);
        let open_orders = open_orders.ok_or(OrderRejection::TooManyOpenOrders { open_orders_max })?;

        let today = Some(rules.calendar.day_of(order.created_at));
        let unpaid_orders = if self.ordered_on == today { self.unpaid_orders } else { 0 };
        let unpaid_orders = unpaid_orders.checked_add(1).filter(|count| *count <= unpaid_orders_max);
        let unpaid_orders = unpaid_orders.ok_or(OrderRejection::TooManyUnpaidOrders { unpaid_orders_max })?;

        let requested = order.quantity();
        let reserved = self.reserved_quantity;
        let limit = OrderRejection::ReservationLimitExceeded { reserved, requested, reserved_quantity_max };
        let sum = reserved.checked_add(requested).filter(|sum| *sum <= reserved_quantity_max.into());
        let reserved_quantity = sum.ok_or(limit)?;
        let counts =
            PointAccountRecord { open_orders, reserved_quantity, ordered_on: today, unpaid_orders, ..self.0.clone() };
        Ok(Self(counts))
    }

    /// Uncounts an open order that was cancelled or expired. A count that is too low, which only corruption can cause,
    /// becomes zero: the order ends nevertheless.
    pub fn close_order(&self, order: &Order) -> Self {
        let open_orders = self.open_orders.saturating_sub(1);
        let reserved_quantity = self.reserved_quantity.saturating_sub(order.quantity());
        Self(PointAccountRecord { open_orders, reserved_quantity, ..self.0.clone() })
    }

    /// Uncounts an open order that was paid.
    pub fn close_paid_order(&self, order: &Order, rules: &ShopRules) -> Self {
        let Self(closed) = self.close_order(order);
        let is_counted = closed.ordered_on == Some(rules.calendar.day_of(order.created_at));
        let unpaid_orders = closed.unpaid_orders.saturating_sub(u32::from(is_counted));
        Self(PointAccountRecord { unpaid_orders, ..closed })
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
    use crate::id::ProductId;
    use crate::testing::fixtures::{NOON, order_line, pending_order, user, won};
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

    fn order(quantity: u32, at: Timestamp) -> Order {
        let line = order_line(ProductId::from(SequentialIds::id(3)), quantity, 1);
        pending_order(SequentialIds::id(4).into(), &user("kim"), vec![line], at)
    }

    #[test]
    fn the_counts_of_orders_never_wrap() {
        let closed = account(Money::ZERO).close_paid_order(&order(2, NOON), &rules());
        assert_eq!((closed.open_orders, closed.reserved_quantity, closed.unpaid_orders), (0, 0, 0));
        let most = u32::MAX;
        let rules =
            ShopRules { open_orders_max: most, unpaid_orders_max: most, reserved_quantity_max: most, ..rules() };
        let today = Some(rules.calendar.day_of(NOON));
        let empty = || PointAccount::empty(user("kim")).0;
        let full = PointAccountRecord { open_orders: most, ..empty() };
        let limit = OrderRejection::TooManyOpenOrders { open_orders_max: most };
        assert_eq!(PointAccount(full).open_order(&order(1, NOON), &rules), Err(limit));
        let full = PointAccountRecord { ordered_on: today, unpaid_orders: most, ..empty() };
        let limit = OrderRejection::TooManyUnpaidOrders { unpaid_orders_max: most };
        assert_eq!(PointAccount(full).open_order(&order(1, NOON), &rules), Err(limit));
        let full = PointAccountRecord { reserved_quantity: u64::MAX, ..empty() };
        let limit =
            OrderRejection::ReservationLimitExceeded { reserved: u64::MAX, requested: 1, reserved_quantity_max: most };
        assert_eq!(PointAccount(full).open_order(&order(1, NOON), &rules), Err(limit));
    }
}
