//! The rows of a batch: locked once, read and replaced by decisions, written once.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::AuditChain;
use crate::coupon::{Coupon, CouponCampaign};
use crate::delivery::Delivery;
use crate::id::{CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::order::Order;
use crate::point::PointAccount;
use crate::product::{Product, ProductOffer, Sku};
use crate::stock::Stock;
use crate::transaction::{Appended, Changes, Keyed, Locked, LockedProduct, RowChanges, States, Update};

/// The rows of a batch.
///
/// Only declared rows can be read; `None` means that the row does not exist. The existence of an undeclared row is
/// unknown, and a read of it panics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkingSet {
    orders: Table<Order>,
    campaigns: Table<CouponCampaign>,
    past_recipients: BTreeMap<(CampaignId, UserId), bool>,
    unused_coupons_of: BTreeMap<UserId, BTreeSet<CouponId>>,
    coupons: Table<Coupon>,
    products: Table<Product>,
    /// Products declared as offers only.
    offers: BTreeMap<ProductId, Option<ProductOffer>>,
    /// The product of each declared SKU.
    skus: BTreeMap<Sku, Option<ProductId>>,
    stocks: Table<Stock>,
    accounts: Table<PointAccount>,
    events: Table<Delivery>,
    audit_chains: Table<AuditChain>,
    appended: Appended,
}

#[expect(missing_docs, reason = "the getters are named after their rows")]
impl WorkingSet {
    /// From the locked rows of a transaction.
    pub fn new(orders: BTreeMap<OrderId, Option<Order>>, locked: Locked) -> Self {
        let Locked {
            campaigns,
            past_recipients,
            unused_coupons_of,
            coupons,
            products,
            skus,
            stocks,
            accounts,
            events,
            audit_chains,
            now: _,
        } = locked;
        let mut whole = BTreeMap::new();
        let mut offers = BTreeMap::new();
        for (id, product) in products {
            match product {
                Some(LockedProduct::Whole(product)) => drop(whole.insert(id, Some(product))),
                Some(LockedProduct::Offer(offer)) => drop(offers.insert(id, Some(offer))),
                None => {
                    whole.insert(id, None);
                }
            }
        }
        Self {
            orders: Table::locked(orders),
            campaigns: Table::locked(campaigns),
            past_recipients,
            unused_coupons_of,
            coupons: Table::locked(coupons),
            products: Table::locked(whole),
            offers,
            skus,
            stocks: Table::locked(stocks),
            accounts: Table::locked(accounts),
            events: Table::locked(events),
            audit_chains: Table::locked(audit_chains),
            appended: Appended::default(),
        }
    }

    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get("order", &id)
    }

    pub fn campaign(&self, id: CampaignId) -> Option<&CouponCampaign> {
        self.campaigns.get("campaign", &id)
    }

    pub fn has_received_coupon(&self, campaign_id: CampaignId, user_id: &UserId) -> bool {
        let key = (campaign_id, user_id.clone());
        self.past_recipients.get(&key).copied().unwrap_or_else(|| undeclared("recipient", &key))
    }

    pub fn coupon(&self, id: CouponId) -> Option<&Coupon> {
        self.coupons.get("coupon", &id)
    }

    /// The user's coupons that were unused at the lock or were issued or restored since, by id. Coupons used or revoked
    /// since are included.
    pub fn unused_coupons_of(&self, user_id: &UserId) -> impl Iterator<Item = &Coupon> {
        let ids = self.unused_coupons_of.get(user_id).unwrap_or_else(|| undeclared("unused coupons of", user_id));
        ids.iter().filter_map(|id| self.coupon(*id))
    }

    /// The product; panics if only its offer was declared.
    pub fn product(&self, id: ProductId) -> Option<&Product> {
        self.products.get("product", &id)
    }

    pub fn offer(&self, id: ProductId) -> Option<ProductOffer> {
        match self.offers.get(&id) {
            Some(offer) => offer.clone(),
            None => self.product(id).map(Product::offer),
        }
    }

    /// The product that has the SKU.
    pub fn product_of_sku(&self, sku: &Sku) -> Option<ProductId> {
        self.skus.get(sku).copied().unwrap_or_else(|| undeclared("SKU", sku))
    }

    pub fn stock(&self, id: ProductId) -> Option<&Stock> {
        self.stocks.get("stock", &id)
    }

    /// The user's account; empty if none is stored.
    pub fn account(&self, user_id: &UserId) -> PointAccount {
        let account = self.accounts.get("account", user_id);
        account.cloned().unwrap_or_else(|| PointAccount::empty(user_id.clone()))
    }

    pub fn delivery(&self, id: EventId) -> Option<&Delivery> {
        self.events.get("event", &id)
    }

    /// The actor's chain; empty if none is stored.
    pub fn audit_chain(&self, actor: &UserId) -> AuditChain {
        let chain = self.audit_chains.get("audit chain", actor);
        chain.cloned().unwrap_or_else(|| AuditChain::empty(actor.clone()))
    }

    /// Applies a decision that was made on the present state.
    ///
    /// # Panics
    /// If the decision changes a row twice, which is a bug of the command.
    pub fn absorb(&mut self, states: States, appended: Appended) {
        let States { orders, campaigns, coupons, products, stocks, accounts, events, audit_chains } = states;
        for coupon in &coupons {
            self.past_recipients.entry((coupon.campaign_id, coupon.user_id.clone())).and_modify(|had| *had = true);
            if let Some(ids) = self.unused_coupons_of.get_mut(&coupon.user_id) {
                ids.insert(coupon.id);
            }
        }
        self.orders.put(orders);
        self.campaigns.put(campaigns);
        self.coupons.put(coupons);
        for product in &products {
            self.skus.values_mut().filter(|id| **id == Some(product.id)).for_each(|id| *id = None);
            let own = product.details.sku.as_ref().and_then(|sku| self.skus.get_mut(sku));
            own.into_iter().for_each(|id| *id = Some(product.id));
        }
        self.products.put(products);
        self.stocks.put(stocks);
        self.accounts.put(accounts);
        self.events.put(events);
        self.audit_chains.put(audit_chains);
        self.appended.extend(appended);
    }

    /// What is to be written.
    pub fn into_changes(self) -> Changes {
        let mut appended = self.appended;
        appended.answers.sort_by_key(|answer| answer.request.key);
        Changes {
            orders: self.orders.into_changes(),
            campaigns: self.campaigns.into_changes(),
            coupons: self.coupons.into_changes(),
            products: self.products.into_changes(),
            stocks: self.stocks.into_changes(),
            accounts: self.accounts.into_changes(),
            events: self.events.into_changes(),
            audit_chains: self.audit_chains.into_changes(),
            appended,
        }
    }
}

/// The rows of one table, by key.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Table<Row: Keyed>(BTreeMap<Row::Key, Cell<Row>>);

/// A row as locked and as last decided.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Cell<Row> {
    locked: Option<Row>,
    decided: Option<Row>,
}

impl<Row: Keyed + PartialEq> Table<Row> {
    fn locked(rows: BTreeMap<Row::Key, Option<Row>>) -> Self {
        Self(rows.into_iter().map(|(key, locked)| (key, Cell { locked, decided: None })).collect())
    }

    fn get(&self, what: &str, key: &Row::Key) -> Option<&Row> {
        let cell = self.0.get(key).unwrap_or_else(|| undeclared(what, key));
        cell.decided.as_ref().or(cell.locked.as_ref())
    }

    fn put(&mut self, rows: Vec<Row>) {
        let keys: BTreeSet<_> = rows.iter().map(Row::key).collect();
        assert_eq!(keys.len(), rows.len(), "a decision changes a row twice");
        for row in rows {
            let cell = self.0.entry(row.key()).or_insert(Cell { locked: None, decided: None });
            cell.decided = Some(row);
        }
    }

    /// The rows that differ from their locked state.
    fn into_changes(self) -> RowChanges<Row> {
        let mut changes = RowChanges::default();
        for cell in self.0.into_values() {
            match (cell.locked, cell.decided) {
                (None, Some(row)) => changes.inserted.push(row),
                (Some(before), Some(after)) if before != after => changes.updated.push(Update { before, after }),
                (_, Some(_) | None) => {}
            }
        }
        changes
    }
}

fn undeclared<T>(table: &str, key: &impl std::fmt::Debug) -> T {
    panic!("no command of the batch declared {table} {key:?}")
}

#[cfg(test)]
mod tests;
