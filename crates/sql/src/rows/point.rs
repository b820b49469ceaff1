use jangteo_domain::id::{EntryId, OrderId};
use jangteo_domain::point::{EntryKind, PointAccount, PointAccountRecord, PointEntry};
use jangteo_domain::{StoreError, UserId};

use crate::rows::{lookups, mappings, rows};
use crate::types::{Amount, At, Bytes, Code, Day, Id, Integer, Varchar, codes};

rows! {
    PointAccountRow of point_accounts {
        user_id: Varchar<UserId>,
    } {
        balance: Amount,
        entries: Integer<u64>,
        hash: Bytes<32>,
        open_orders: Integer<u32>,
        reserved_quantity: Integer<u64>,
        ordered_on: Option<Day>,
        unpaid_orders: Integer<u32>,
        updated_at: Option<At>,
    }

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

mappings! {
    PointAccountRecord as PointAccountRow {
        user_id: user_id, balance: balance, entries: entries, hash: hash, open_orders: open_orders,
        reserved_quantity: reserved_quantity, ordered_on: ordered_on, unpaid_orders: unpaid_orders,
        updated_at: updated_at,
    }
}

impl From<&PointAccount> for PointAccountRow {
    fn from(account: &PointAccount) -> Self {
        Self::from(&**account)
    }
}

impl TryFrom<PointAccountRow> for PointAccount {
    type Error = StoreError;

    fn try_from(row: PointAccountRow) -> Result<Self, StoreError> {
        Ok(Self::from_stored(row.into())?)
    }
}

mappings! {
    PointEntry as PointEntryRow {
        id: id, user_id: user_id, sequence: sequence, kind: kind, amount: amount, balance_after: balance_after,
        order_id: order_id, at: created_at, hash: hash,
    }
}
