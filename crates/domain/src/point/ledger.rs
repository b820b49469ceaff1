use sha2::{Digest, Sha256};

use crate::id::{EntryId, OrderId, UserId};
use crate::money::Money;
use crate::text::Text;
use crate::time::Timestamp;

/// SHA-256 over an entry and the hash of the entry before it; all zero before the first.
pub type LedgerHash = [u8; 32];

/// The back office's reason for an adjustment.
pub type AdjustmentReason = Text<1, 200>;

/// An entry of an account's ledger; immutable once written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct PointEntry {
    pub id: EntryId,
    pub user_id: UserId,
    /// Position in that ledger: 1, 2, 3 … without gaps.
    pub sequence: u64,
    pub kind: EntryKind,
    /// Signed: positive credits the account.
    pub amount: Money,
    pub balance_after: Money,
    /// The paid or refunded order.
    pub order_id: Option<OrderId>,
    pub at: Timestamp,
    /// [`PointEntry::hash_after`] of the previous entry's hash, which makes later changes detectable.
    pub hash: LedgerHash,
}

impl PointEntry {
    /// SHA-256 of the previous hash (32 zero bytes for the first entry) and every field, fixed-width and big-endian; the
    /// user id is prefixed with its length.
    pub fn hash_after(&self, previous: &LedgerHash) -> LedgerHash {
        let user_id = self.user_id.as_str().as_bytes();
        let order_id = self.order_id.map_or([0; 16], |id| id.uuid().into_bytes());
        Sha256::new()
            .chain_update(previous)
            .chain_update(self.id.uuid().as_bytes())
            .chain_update(u64::try_from(user_id.len()).unwrap_or(u64::MAX).to_be_bytes())
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

macro_rules! entry_kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal,)*) => {
        /// The cause of an entry.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[expect(missing_docs, reason = "the variants are named after their meanings")]
        pub enum EntryKind {
            $($(#[$doc])* $kind,)*
        }

        impl EntryKind {
            /// In the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            fn code(self) -> u8 {
                match self {
                    $(Self::$kind => $code,)*
                }
            }
        }
    };
}

// The codes are part of the ledger's hashes and must never change.
entry_kinds! {
    TopUp = 1,
    Payment = 2,
    Refund = 3,
    /// A correction by the back office.
    Adjustment = 4,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, noon_plus, user, won};

    fn entry() -> PointEntry {
        PointEntry {
            id: SequentialIds::id(1).into(),
            user_id: user("kim"),
            sequence: 1,
            kind: EntryKind::TopUp,
            amount: won(5),
            balance_after: won(5),
            order_id: None,
            at: NOON,
            hash: [0; 32],
        }
    }

    /// Existing ledgers must verify forever: this hash must never change.
    #[test]
    fn the_hash_of_an_entry_is_stable() {
        let hex = |hash: LedgerHash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(entry().hash_after(&[0; 32])),
            "344b26e0e0fca432868ee224cef945d1128fc11df81ac806a06e971b7a220939"
        );
    }

    #[test]
    fn every_field_changes_the_hash() {
        let other: OrderId = SequentialIds::id(9).into();
        let mut changed: Vec<_> = EntryKind::ALL.iter().map(|kind| PointEntry { kind: *kind, ..entry() }).collect();
        changed.extend([
            PointEntry { id: SequentialIds::id(2).into(), ..entry() },
            PointEntry { user_id: user("lee"), ..entry() },
            PointEntry { sequence: 2, ..entry() },
            PointEntry { amount: won(6), ..entry() },
            PointEntry { balance_after: won(6), ..entry() },
            PointEntry { order_id: Some(other), ..entry() },
            PointEntry { at: noon_plus(1), ..entry() },
        ]);
        let mut hashes: Vec<_> = changed.iter().map(|entry| entry.hash_after(&[0; 32])).collect();
        hashes.push(entry().hash_after(&[1; 32]));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), changed.len() + 1);
    }

    #[test]
    fn the_hash_of_an_entry_excludes_itself() {
        let hashed = PointEntry { hash: [7; 32], ..entry() };
        assert_eq!(hashed.hash_after(&[0; 32]), entry().hash_after(&[0; 32]));
    }
}
