use jangteo_domain::id::{EntryId, OrderId};
use jangteo_domain::point::{EntryKind, PointAccount, PointAccountRecord, PointEntry};
use jangteo_domain::{StoreError, UserId};

use crate::rows::{lookups, rows};
use crate::types::{Amount, At, Bytes, Code, Id, Integer, Varchar, codes};

rows! {
    /// An account.
    PointAccountRow of point_accounts {
        user_id: Varchar<UserId>,
    } {
        balance: Amount,
        entries: Integer<u64>,
        hash: Bytes<32>,
        open_orders: Integer<u32>,
        updated_at: Option<At>,
    }

    /// A line of a ledger.
    PointEntryRow of point_entries {
        id: Id<EntryId>,
    } {
        user_id: Varchar<UserId>,
        sequence: Integer<u64>,
        kind: Code<EntryKind>,
        amount: Amount,
        balance_after: Amount,
        order_id: Option<Id<OrderId>>,
        created_at: At,
        hash: Bytes<32>,
    }
}

lookups! {
    /// An account by its user.
    AccountOf finds PointAccountRow by "PRIMARY" { user_id: Varchar<UserId>, }
}

codes! {
    EntryKind {
        TopUp = "top_up",
        Payment = "payment",
        Refund = "refund",
        Adjustment = "adjustment",
    }
}

impl From<&PointAccount> for PointAccountRow {
    fn from(account: &PointAccount) -> Self {
        Self {
            user_id: Varchar(account.user_id.clone()),
            balance: Amount(account.balance),
            entries: Integer(account.entries),
            hash: Bytes(account.hash),
            open_orders: Integer(account.open_orders),
            updated_at: account.updated_at.map(At),
        }
    }
}

impl TryFrom<PointAccountRow> for PointAccount {
    type Error = StoreError;

    fn try_from(row: PointAccountRow) -> Result<Self, StoreError> {
        Ok(Self::from_stored(row.into())?)
    }
}

impl From<PointAccountRow> for PointAccountRecord {
    fn from(row: PointAccountRow) -> Self {
        Self {
            user_id: row.user_id.0,
            balance: row.balance.0,
            entries: row.entries.0,
            hash: row.hash.0,
            open_orders: row.open_orders.0,
            updated_at: row.updated_at.map(|at| at.0),
        }
    }
}

impl From<&PointEntry> for PointEntryRow {
    fn from(entry: &PointEntry) -> Self {
        Self {
            id: Id(entry.id),
            user_id: Varchar(entry.user_id.clone()),
            sequence: Integer(entry.sequence),
            kind: Code(entry.kind),
            amount: Amount(entry.amount),
            balance_after: Amount(entry.balance_after),
            order_id: entry.order_id.map(Id),
            created_at: At(entry.at),
            hash: Bytes(entry.hash),
        }
    }
}

impl From<PointEntryRow> for PointEntry {
    fn from(row: PointEntryRow) -> Self {
        Self {
            id: row.id.0,
            user_id: row.user_id.0,
            sequence: row.sequence.0,
            kind: row.kind.0,
            amount: row.amount.0,
            balance_after: row.balance_after.0,
            order_id: row.order_id.map(|id| id.0),
            at: row.created_at.0,
            hash: row.hash.0,
        }
    }
}
