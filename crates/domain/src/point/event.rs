use sha2::{Digest, Sha256};

use crate::id::{EntryId, OrderId, UserId};
use crate::money::Money;
use crate::point::LedgerHash;
use crate::time::Timestamp;

/// A line of an account's ledger: written once, never changed. It is the event by which a balance moves.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PointEntry {
    /// The entry's id.
    pub id: EntryId,
    /// Whose ledger it stands in.
    pub user_id: UserId,
    /// Its place in that ledger: 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// Why the balance moved.
    pub kind: EntryKind,
    /// By how much: above zero into the account, below zero out of it.
    pub amount: Money,
    /// The balance after it.
    pub balance_after: Money,
    /// The order that it paid or refunded.
    pub order_id: Option<OrderId>,
    /// When it was written.
    pub at: Timestamp,
    /// [`PointEntry::hash_after`] of the entry before it, so that a later change of any line shows.
    pub hash: LedgerHash,
}

impl PointEntry {
    /// SHA-256 of the hash of the entry before (32 zero bytes for the first) and of every field of this one, each in
    /// its own fixed width, big-endian; the user id comes with its length.
    pub fn hash_after(&self, previous: &LedgerHash) -> LedgerHash {
        let user_id = self.user_id.as_str().as_bytes();
        let order_id = self.order_id.map_or([0; 16], |id| id.uuid().into_bytes());
        Sha256::new()
            .chain_update(previous)
            .chain_update(self.id.uuid().as_bytes())
            .chain_update((user_id.len() as u64).to_be_bytes())
            .chain_update(user_id)
            .chain_update(self.sequence.to_be_bytes())
            .chain_update([self.kind.code()])
            .chain_update(self.amount.ten_thousandths().to_be_bytes())
            .chain_update(self.balance_after.ten_thousandths().to_be_bytes())
            .chain_update(order_id)
            .chain_update(self.at.unix_microseconds().to_be_bytes())
            .finalize()
            .into()
    }
}

/// Why a balance moved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum EntryKind {
    /// The user put points in.
    Charge,
    /// An order was paid.
    Payment,
    /// An order's payment came back.
    Refund,
    /// The back office corrected the balance.
    Adjustment,
}

impl EntryKind {
    /// The number that stands for it in the ledger's hash; never to be changed.
    fn code(self) -> u8 {
        match self {
            Self::Charge => 1,
            Self::Payment => 2,
            Self::Refund => 3,
            Self::Adjustment => 4,
        }
    }
}
