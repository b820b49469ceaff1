use crate::id::UserId;
use crate::money::Money;
use crate::point::{EntryKind, LedgerHash, PointAccountRecord, PointEntry};
use crate::store_error::StoreError;
use crate::time::Timestamp;
use crate::verification::walk::{Accounts, Entries, OpenOrders, Walk};
use crate::verification::{Finding, Verification};

/// Each account against its entries and its open orders.
pub(super) async fn verify(audit: &mut Verification<'_>) -> Result<(), StoreError> {
    let mut accounts = Walk::<Accounts>::new();
    let mut entries = Walk::<Entries>::new();
    let mut open_orders = Walk::<OpenOrders>::new();
    while let Some(account) = accounts.next(audit).await? {
        let user_id = &account.user_id;
        strays(audit, &mut entries, &mut open_orders, Some(user_id)).await?;

        let mut ledger = Ledger::new(user_id);
        while let Some(entry) = entries.next_if(audit, |entry| entry.user_id == *user_id).await? {
            ledger.take(audit, &entry);
        }
        ledger.compare(audit, &account);

        let counted = open_orders.next_if(audit, |(user, _)| user == user_id).await?.map_or(0, |(_, count)| count);
        audit.expect(account.open_orders == counted, || Finding::Account {
            user_id: user_id.clone(),
            what: format!("counts {} open orders; there are {counted}", account.open_orders),
        });
    }
    strays(audit, &mut entries, &mut open_orders, None).await
}

/// Entries and open orders of users before the next account: users who have none.
async fn strays(
    audit: &mut Verification<'_>,
    entries: &mut Walk<Entries>,
    open_orders: &mut Walk<OpenOrders>,
    next_account: Option<&UserId>,
) -> Result<(), StoreError> {
    let is_stray = |user_id: &UserId| next_account.is_none_or(|next| user_id < next);
    while let Some(entry) = entries.next_if(audit, |entry| is_stray(&entry.user_id)).await? {
        let what = format!("entry {} has no account", entry.sequence);
        audit.find(Finding::Account { user_id: entry.user_id, what });
    }
    while let Some((user_id, count)) = open_orders.next_if(audit, |(user_id, _)| is_stray(user_id)).await? {
        audit.find(Finding::Account { user_id, what: format!("{count} open orders have no account") });
    }
    Ok(())
}

/// A ledger that is added up line by line.
struct Ledger<'a> {
    user_id: &'a UserId,
    entries: u64,
    balance: Option<Money>,
    hash: LedgerHash,
    last_at: Option<Timestamp>,
}

impl<'a> Ledger<'a> {
    fn new(user_id: &'a UserId) -> Self {
        Self { user_id, entries: 0, balance: Some(Money::ZERO), hash: [0; 32], last_at: None }
    }

    fn take(&mut self, audit: &mut Verification<'_>, entry: &PointEntry) {
        let finding = |what: String| Finding::Account {
            user_id: self.user_id.clone(),
            what: format!("entry {}: {what}", entry.sequence),
        };
        audit.expect(entry.sequence == self.entries.saturating_add(1), || {
            finding(format!("follows entry {}", self.entries))
        });
        let right_sign = match entry.kind {
            EntryKind::TopUp => entry.amount.is_positive(),
            EntryKind::Payment => !entry.amount.is_positive(),
            EntryKind::Refund => !entry.amount.is_negative(),
            EntryKind::Adjustment => true,
        };
        audit.expect(right_sign, || finding(format!("a {:?} of {:?}", entry.kind, entry.amount)));
        let belongs_to_order = matches!(entry.kind, EntryKind::Payment | EntryKind::Refund);
        audit.expect(entry.order_id.is_some() == belongs_to_order, || {
            finding(format!("a {:?} with order {:?}", entry.kind, entry.order_id))
        });
        let balance = self.balance.and_then(|balance| balance.checked_add(entry.amount));
        audit.expect(balance == Some(entry.balance_after), || {
            finding(format!("the balance is {:?} after it, not {:?}", balance, entry.balance_after))
        });
        audit.expect(!entry.balance_after.is_negative(), || finding("the balance is below zero".to_owned()));
        audit.expect(entry.hash == entry.hash_after(&self.hash), || {
            finding("its hash does not fit: this line or one before it was changed".to_owned())
        });
        // Goes on from what the line says, so that one wrong line is one finding.
        self.entries = entry.sequence;
        self.balance = Some(entry.balance_after);
        self.hash = entry.hash;
        self.last_at = Some(entry.at);
    }

    fn compare(&self, audit: &mut Verification<'_>, account: &PointAccountRecord) {
        let finding = |what: String| Finding::Account { user_id: self.user_id.clone(), what };
        audit.expect(!account.balance.is_negative(), || finding(format!("the balance is {:?}", account.balance)));
        audit.expect(self.balance == Some(account.balance), || {
            finding(format!("the balance is {:?}; the ledger says {:?}", account.balance, self.balance))
        });
        audit.expect(self.entries == account.entries, || {
            finding(format!("counts {} entries; the ledger ends with {}", account.entries, self.entries))
        });
        audit.expect(self.hash == account.hash, || finding("its hash is not that of its last entry".to_owned()));
        audit.expect(self.last_at == account.updated_at, || {
            finding(format!("was changed at {:?}; its last entry is of {:?}", account.updated_at, self.last_at))
        });
    }
}
