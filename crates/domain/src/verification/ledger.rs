use crate::id::UserId;
use crate::money::Money;
use crate::point::{EntryKind, LedgerHash, PointAccountRecord, PointEntry};
use crate::store_error::StoreError;
use crate::time::Timestamp;
use crate::verification::finding::Finding;
use crate::verification::run::Verification;
use crate::verification::text::Text;
use crate::verification::walk::{Accounts, Entries, OrdersOfUsers, Walk};

/// Compares each account with its entries and open orders.
pub(super) async fn verify(audit: &mut Verification<'_>) -> Result<(), StoreError> {
    let mut accounts = Walk::<Accounts>::default();
    let mut entries = Walk::<Entries>::default();
    let mut open_orders = Walk::<OrdersOfUsers>::default();
    while let Some(account) = accounts.next(audit).await? {
        let user_id = &account.user_id;
        strays(audit, &mut entries, &mut open_orders, Some(user_id)).await?;

        let mut ledger = Ledger::new(user_id);
        while let Some(entry) = entries.next_if(audit, |entry| entry.user_id == *user_id).await? {
            ledger.take(audit, &entry);
        }
        ledger.compare(audit, &account);

        let counted = open_orders.next_if(audit, |counted| counted.user_id == *user_id).await?;
        let (orders, quantity) = counted.map_or((0, 0), |counted| (counted.orders, counted.quantity));
        audit.expect(account.open_orders == orders, || Finding::Account {
            user_id: user_id.clone(),
            description: format!("counts {} open orders, but there are {orders}", account.open_orders),
        });
        audit.expect(account.reserved_quantity == quantity, || Finding::Account {
            user_id: user_id.clone(),
            description: format!("counts {} reserved items, but there are {quantity}", account.reserved_quantity),
        });
    }
    strays(audit, &mut entries, &mut open_orders, None).await
}

/// Reports entries and open orders of users without an account, before the next account.
async fn strays(
    audit: &mut Verification<'_>,
    entries: &mut Walk<Entries>,
    open_orders: &mut Walk<OrdersOfUsers>,
    next_account: Option<&UserId>,
) -> Result<(), StoreError> {
    let is_stray = |user_id: &UserId| next_account.is_none_or(|next| user_id < next);
    while let Some(entry) = entries.next_if(audit, |entry| is_stray(&entry.user_id)).await? {
        let description = format!("entry {} has no account", entry.sequence);
        audit.find(Finding::Account { user_id: entry.user_id, description });
    }
    while let Some(counted) = open_orders.next_if(audit, |counted| is_stray(&counted.user_id)).await? {
        let description = format!("{} open orders have no account", counted.orders);
        audit.find(Finding::Account { user_id: counted.user_id, description });
    }
    Ok(())
}

/// The running totals of a ledger.
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
        let finding = |description: String| Finding::Account {
            user_id: self.user_id.clone(),
            description: format!("entry {}: {description}", entry.sequence),
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
        audit.expect(right_sign, || {
            finding(format!("the {} of {} has the wrong sign", entry.kind.text(), entry.amount.text()))
        });
        let belongs_to_order = matches!(entry.kind, EntryKind::Payment | EntryKind::Refund);
        audit.expect(entry.order_id.is_some() == belongs_to_order, || {
            finding(format!("the order of the {} is {}", entry.kind.text(), entry.order_id.text()))
        });
        let balance = self.balance.and_then(|balance| balance.checked_add(entry.amount));
        audit.expect(balance == Some(entry.balance_after), || {
            finding(format!("the balance is {}, but the sum is {}", entry.balance_after.text(), balance.text()))
        });
        audit.expect(!entry.balance_after.is_negative(), || finding("the balance is below zero".to_owned()));
        audit.expect(entry.hash == entry.hash_after(&self.hash), || {
            finding("its hash does not match: this entry or an earlier one was changed".to_owned())
        });
        // Continues from the stored values, so that one wrong entry is one finding.
        self.entries = entry.sequence;
        self.balance = Some(entry.balance_after);
        self.hash = entry.hash;
        self.last_at = Some(entry.at);
    }

    fn compare(&self, audit: &mut Verification<'_>, account: &PointAccountRecord) {
        let finding = |description: String| Finding::Account { user_id: self.user_id.clone(), description };
        audit.expect(!account.balance.is_negative(), || {
            finding(format!("the balance is {}, below zero", account.balance.text()))
        });
        audit.expect(self.balance == Some(account.balance), || {
            finding(format!(
                "the balance is {}, but the ledger sums up to {}",
                account.balance.text(),
                self.balance.text()
            ))
        });
        audit.expect(self.entries == account.entries, || {
            finding(format!("counts {} entries, but the last entry is {}", account.entries, self.entries))
        });
        audit.expect(self.hash == account.hash, || finding("its hash is not the hash of its last entry".to_owned()));
        audit.expect(self.last_at == account.updated_at, || {
            let [changed, last] = [account.updated_at.text(), self.last_at.text()];
            finding(format!("was changed at {changed}, but its last entry was written at {last}"))
        });
    }
}
