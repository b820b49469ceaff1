use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use crate::audit::AuditChain;
use crate::coupon::{Coupon, CouponCampaign, CouponState};
use crate::delivery::Delivery;
use crate::id::{CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::idempotency::{RequestKey, StoredAnswer};
use crate::order::Order;
use crate::point::PointAccount;
use crate::product::{Product, Sku};
use crate::stock::Stock;
use crate::time::Timestamp;
use crate::transaction::{
    Appended, Changes, First, FirstKeys, Keyed, LockSet, Locked, LockedProduct, ProductDepth, RowChanges, Update,
};

/// The rows of a shop by key, and all appended rows.
#[derive(Default)]
pub(crate) struct Tables {
    pub orders: BTreeMap<OrderId, Order>,
    pub campaigns: BTreeMap<CampaignId, CouponCampaign>,
    pub coupons: BTreeMap<CouponId, Coupon>,
    pub products: BTreeMap<ProductId, Product>,
    pub stocks: BTreeMap<ProductId, Stock>,
    pub accounts: BTreeMap<UserId, PointAccount>,
    pub events: BTreeMap<EventId, Delivery>,
    pub audit_chains: BTreeMap<UserId, AuditChain>,
    pub answers: BTreeMap<RequestKey, StoredAnswer>,
    pub written: Appended,
}

impl Tables {
    pub fn first(&self, keys: &FirstKeys) -> First {
        let FirstKeys { answers, orders } = keys;
        First { answers: found(&self.answers, answers), orders: found(&self.orders, orders) }
    }

    /// The rows of exactly these keys, products at exactly the requested depth.
    pub fn lock(&self, keys: &LockSet, now: Timestamp) -> Locked {
        let LockSet {
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
        } = keys;
        let product_of =
            |sku: &Sku| self.products.values().find(|product| product.details.sku.as_ref() == Some(sku)).map(|p| p.id);
        let skus: BTreeMap<_, _> = skus.iter().map(|sku| (sku.clone(), product_of(sku))).collect();
        let mut products = products.clone();
        products.extend(skus.values().flatten().map(|id| (*id, ProductDepth::Whole)));
        let stocks = stocks.iter().chain(skus.values().flatten()).copied().collect();
        let has_received = |pair: &(CampaignId, UserId)| {
            self.coupons.values().any(|coupon| (coupon.campaign_id, &coupon.user_id) == (pair.0, &pair.1))
        };
        let unused_of = |user_id: &UserId| -> BTreeSet<CouponId> {
            let own = self.coupons.values().filter(|coupon| coupon.user_id == *user_id);
            own.filter(|coupon| coupon.state == CouponState::Unused).map(|coupon| coupon.id).collect()
        };
        let unused: BTreeMap<_, _> = unused_coupons_of.iter().map(|id| (id.clone(), unused_of(id))).collect();
        let coupons = coupons.iter().chain(unused.values().flatten()).copied().collect();
        let product = |(id, depth): (&ProductId, &ProductDepth)| {
            let row = self.products.get(id).map(|product| match depth {
                ProductDepth::Offer => LockedProduct::Offer(product.offer()),
                ProductDepth::Whole => LockedProduct::Whole(product.clone()),
            });
            (*id, row)
        };
        Locked {
            campaigns: found(&self.campaigns, campaigns),
            past_recipients: past_recipients.iter().map(|pair| (pair.clone(), has_received(pair))).collect(),
            unused_coupons_of: unused,
            coupons: found(&self.coupons, &coupons),
            products: products.iter().map(product).collect(),
            skus,
            stocks: found(&self.stocks, &stocks),
            accounts: found(&self.accounts, accounts),
            events: found(&self.events, events),
            audit_chains: found(&self.audit_chains, audit_chains),
            now,
        }
    }

    /// Writes the changes; panics on an update that does not match its row.
    pub fn apply(&mut self, changes: Changes) {
        let Changes { orders, campaigns, coupons, products, stocks, accounts, events, audit_chains, appended } =
            changes;
        write(&mut self.orders, orders);
        write(&mut self.campaigns, campaigns);
        write(&mut self.coupons, coupons);
        write(&mut self.products, products);
        write(&mut self.stocks, stocks);
        write(&mut self.accounts, accounts);
        write(&mut self.events, events);
        write(&mut self.audit_chains, audit_chains);
        self.events.extend(appended.outbox.iter().map(|event| (event.id, Delivery::new(event))));
        self.answers.extend(appended.answers.iter().map(|answer| (answer.request.key, answer.clone())));
        self.written.extend(appended);
    }
}

fn found<Key: Ord + Clone, Row: Clone>(table: &BTreeMap<Key, Row>, keys: &BTreeSet<Key>) -> BTreeMap<Key, Option<Row>> {
    keys.iter().map(|key| (key.clone(), table.get(key).cloned())).collect()
}

fn write<Row: Keyed + PartialEq + Debug>(table: &mut BTreeMap<Row::Key, Row>, changes: RowChanges<Row>) {
    let RowChanges { inserted, updated } = changes;
    for row in inserted {
        let key = row.key();
        assert!(table.insert(key.clone(), row).is_none(), "insert of an existing row: {key:?}");
    }
    for Update { before, after } in updated {
        assert_eq!(before.key(), after.key(), "an update changes a key");
        assert_eq!(table.insert(after.key(), after), Some(before), "an update does not match the locked row");
    }
}
