//! Rows of each lockable table: two stored ones and a missing one.

use std::time::Duration;

use jangteo_domain::audit::AuditChain;
use jangteo_domain::coupon::{CampaignChange, Coupon, CouponCampaign, CouponState};
use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::UserId;
use jangteo_domain::order::{Order, OrderStatus};
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::{Product, ProductDetails};
use jangteo_domain::stock::Stock;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::testing::fixtures::{
    NOON, account_with, campaign, campaign_details, fixed, noon_plus, order_line, order_with, pending_order,
    product_details, user, won,
};
use jangteo_domain::time::Timestamp;
use jangteo_domain::transaction::{Changes, LockSet, ProductDepth, RowChanges};

use crate::contract::harness::{Keys, LockableRow, Seeds, TransactionHarness, View, appended, commit, set, update};
use crate::contract::samples;

pub(super) struct Sample<Row> {
    pub stored: [Row; 2],
    pub absent: Row,
    pub change: fn(&Row) -> Row,
}

pub(super) struct Rows {
    pub orders: Sample<Order>,
    pub campaigns: Sample<CouponCampaign>,
    pub coupons: Sample<Coupon>,
    pub products: Sample<Product>,
    pub stocks: Sample<Stock>,
    pub accounts: Sample<PointAccount>,
    pub events: Sample<Delivery>,
    pub audit_chains: Sample<AuditChain>,
}

/// A way to lock rows.
pub(super) struct Lockable {
    pub name: &'static str,
    /// The keys of two stored rows, unordered, and of a missing one.
    pub keys: [Keys; 3],
    /// An update of the first row.
    pub change: Changes,
}

impl<Row: LockableRow> Sample<Row> {
    fn lockable(&self, name: &'static str, [own, other]: [usize; 2]) -> Lockable {
        let rows = [&self.stored[own], &self.stored[other], &self.absent];
        let keys = rows.map(|row| Keys::of::<Row>([row.key()]));
        Lockable { name, keys, change: self.update(own) }
    }

    /// Updates a stored row.
    pub fn update(&self, place: usize) -> Changes {
        let row = &self.stored[place];
        update([(row.clone(), (self.change)(row))])
    }

    /// Updates the missing row.
    pub fn update_absent(&self) -> Changes {
        update([(self.absent.clone(), (self.change)(&self.absent))])
    }
}

impl Rows {
    pub async fn seed(harness: &dyn TransactionHarness) -> Result<Self, StoreError> {
        let seeds = Seeds::new(harness);
        let users = ["a", "b", "c"].map(user);
        let details: [ProductDetails; 3] =
            [("lamp", 1), ("chair", 2), ("table", 3)].map(|(n, p)| product_details(n, p));
        let [a, b, c] = details.map(|details| Product::create(seeds.id(), details, NOON));
        let line = || vec![order_line(a.id, 1, 1)];
        let orders = users.each_ref().map(|user| pending_order(seeds.id(), user, line(), NOON));
        let campaigns = [(); 3].map(|()| campaign(seeds.id(), campaign_details(fixed(1), 9)));
        let coupon = |campaign, owner| samples::coupon(&seeds, campaign, owner, CouponState::Unused, Timestamp::MAX);
        let coupons =
            [coupon(&campaigns[0], &users[0]), coupon(&campaigns[1], &users[1]), coupon(&campaigns[1], &users[2])];
        let events = orders.each_ref().map(|order| samples::paid_event(&seeds, order, NOON));
        let rows = Self {
            orders: sample(orders, |order| order_with(order, |record| record.status = OrderStatus::Cancelled)),
            campaigns: sample(campaigns, |campaign| {
                let more = CampaignChange { quantity: Some(10), ..CampaignChange::default() };
                campaign.change(&more, noon_plus(1)).expect("more coupons")
            }),
            coupons: sample(coupons, |coupon| coupon.revoke().expect("an unused coupon")),
            stocks: sample([&a, &b, &c].map(|product| Stock { available: 5, ..Stock::empty(product.id) }), |stock| {
                Stock { available: 3, movements: 1, ..stock.clone() }
            }),
            products: sample([a, b, c], |product| product.change(product_details("bed", 4), noon_plus(1))),
            audit_chains: sample(users.clone().map(AuditChain::empty), |chain| AuditChain {
                entries: 1,
                hash: [1; 32],
                ..chain.clone()
            }),
            accounts: sample(users.map(PointAccount::empty), |account| {
                account_with(&account.user_id, |record| {
                    record.balance = won(5);
                    record.entries = 1;
                })
            }),
            events: sample(events.each_ref().map(Delivery::new), |delivery| {
                delivery.claim(SequentialIds::id(1), Duration::from_secs(60), NOON)
            }),
        };
        let [first, second, _] = events;
        let changes = Changes {
            orders: RowChanges::inserted(rows.orders.stored.clone()),
            campaigns: RowChanges::inserted(rows.campaigns.stored.clone()),
            coupons: RowChanges::inserted(rows.coupons.stored.clone()),
            products: RowChanges::inserted(rows.products.stored.clone()),
            stocks: RowChanges::inserted(rows.stocks.stored.clone()),
            accounts: RowChanges::inserted(rows.accounts.stored.clone()),
            events: RowChanges::default(),
            audit_chains: RowChanges::inserted(rows.audit_chains.stored.clone()),
            appended: appended([first, second]),
        };
        commit(harness, changes).await?;
        Ok(rows)
    }

    /// Each table, whole products and offers, and coupons as candidates. No two changes update the same row.
    pub fn lockables(&self) -> Vec<Lockable> {
        const FIRST: [usize; 2] = [0, 1];
        const SECOND: [usize; 2] = [1, 0];

        let Self { orders, campaigns, coupons, products, stocks, accounts, events, audit_chains } = self;
        let mut offers = products.lockable("offers", SECOND);
        for keys in &mut offers.keys {
            keys.locks.products.values_mut().for_each(|depth| *depth = ProductDepth::Offer);
        }
        let [a, b, c] = self.users();
        let candidates = Lockable { keys: [b, a, c].map(candidates_of), ..coupons.lockable("candidates", SECOND) };
        vec![
            orders.lockable("orders", FIRST),
            campaigns.lockable("campaigns", FIRST),
            coupons.lockable("coupons", FIRST),
            candidates,
            products.lockable("products", FIRST),
            offers,
            stocks.lockable("stocks", FIRST),
            accounts.lockable("accounts", FIRST),
            events.lockable("events", FIRST),
            audit_chains.lockable("audit chains", FIRST),
        ]
    }

    pub fn users(&self) -> [UserId; 3] {
        let [a, b] = self.accounts.stored.each_ref();
        [a, b, &self.accounts.absent].map(|account| account.user_id.clone())
    }

    /// The keys of all stored rows.
    pub fn all(&self) -> Keys {
        let mut all = Keys::default();
        for Lockable { keys: [a, b, _], .. } in self.lockables() {
            for Keys { first, locks } in [a, b] {
                let LockSet { campaigns, past_recipients, unused_coupons_of, coupons, products, stocks, .. } = locks;
                all.first.orders.extend(first.orders);
                all.locks.campaigns.extend(campaigns);
                all.locks.past_recipients.extend(past_recipients);
                all.locks.unused_coupons_of.extend(unused_coupons_of);
                all.locks.coupons.extend(coupons);
                products.into_iter().for_each(|(id, depth)| all.locks.add_product(id, depth));
                all.locks.stocks.extend(stocks);
                all.locks.accounts.extend(locks.accounts);
                all.locks.events.extend(locks.events);
                all.locks.audit_chains.extend(locks.audit_chains);
            }
        }
        all
    }
}

fn sample<Row: Clone>([first, second, absent]: [Row; 3], change: fn(&Row) -> Row) -> Sample<Row> {
    Sample { stored: [first, second], absent, change }
}

fn candidates_of(user_id: UserId) -> Keys {
    Keys { locks: LockSet { unused_coupons_of: set([user_id]), ..LockSet::default() }, ..Keys::default() }
}

pub(super) fn count((first, locked): &View) -> usize {
    first.orders.values().flatten().count()
        + locked.campaigns.values().flatten().count()
        + locked.coupons.values().flatten().count()
        + locked.products.values().flatten().count()
        + locked.stocks.values().flatten().count()
        + locked.accounts.values().flatten().count()
        + locked.events.values().flatten().count()
        + locked.audit_chains.values().flatten().count()
}

/// The rows found, without the time.
pub(super) fn timeless((first, mut locked): View) -> View {
    locked.now = NOON;
    (first, locked)
}
