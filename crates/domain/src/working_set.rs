//! The rows that a batch holds locked: loaded once in the written order, changed in memory by events, saved once.
//!
//! The order of locks, which every writer keeps: orders, campaigns, coupons, products, stocks, point accounts, events;
//! within each in ascending order of keys. It is written here and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::AuditEntry;
use crate::command::{Command, Event};
use crate::coupon::{Coupon, CouponCampaign, CouponEvent};
use crate::delivery::Delivery;
use crate::id::{CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::order::{Order, OrderEvent};
use crate::outbox::OutboxEvent;
use crate::payment::{Payment, Refund};
use crate::point::{PointAccount, PointEntry};
use crate::product::{Product, ProductEvent, ProductOffer};
use crate::sales::{DailySales, SaleCounted};
use crate::stock::{Stock, StockMovement};
use crate::store_error::StoreError;
use crate::unit_of_work::UnitOfWork;

/// The rows that commands name, to be locked together.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Locks {
    pub orders: BTreeSet<OrderId>,
    pub campaigns: BTreeSet<CampaignId>,
    /// Users who may have had a coupon of a campaign; protected by the campaign's lock.
    pub past_recipients: BTreeSet<(CampaignId, UserId)>,
    pub coupons: BTreeSet<CouponId>,
    /// Users all of whose unused coupons are needed.
    pub unused_coupons_of: BTreeSet<UserId>,
    pub products: BTreeSet<ProductId>,
    /// Products that are ordered.
    pub offers: BTreeSet<ProductId>,
    pub stocks: BTreeSet<ProductId>,
    pub accounts: BTreeSet<UserId>,
    pub events: BTreeSet<EventId>,
}

/// What a command about an order needs to know of it to name the other rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OrderRefs {
    pub user_id: UserId,
    pub product_ids: BTreeSet<ProductId>,
    pub coupon_id: Option<CouponId>,
}

impl OrderRefs {
    pub fn of(order: &Order) -> Self {
        Self {
            user_id: order.user_id.clone(),
            product_ids: order.lines.iter().map(|line| line.product_id).collect(),
            coupon_id: order.paid.as_ref().and_then(|paid| paid.coupon_id),
        }
    }
}

/// The rows of a batch, and what is to be written beside them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct WorkingSet {
    orders: Rows<OrderId, Order>,
    orders_with_changed_lines: BTreeSet<OrderId>,
    campaigns: Rows<CampaignId, CouponCampaign>,
    past_recipients: BTreeSet<(CampaignId, UserId)>,
    coupons: Rows<CouponId, Coupon>,
    products: Rows<ProductId, Product>,
    /// What is offered of the products that are not there as a whole.
    offers: BTreeMap<ProductId, ProductOffer>,
    stocks: Rows<ProductId, Stock>,
    accounts: Rows<UserId, PointAccount>,
    deliveries: Rows<EventId, Delivery>,
    point_entries: Vec<PointEntry>,
    stock_movements: Vec<StockMovement>,
    payments: Vec<Payment>,
    refunds: Vec<Refund>,
    sales: DailySales,
    outbox: Vec<OutboxEvent>,
    audit: Vec<AuditEntry>,
}

impl WorkingSet {
    /// Locks and loads every row that the commands name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(commands: &[&Command], unit_of_work: &mut dyn UnitOfWork) -> Result<Self, StoreError> {
        let mut locks = Locks::default();
        for command in commands {
            command.rule().declare_locks(&mut locks);
        }
        let mut set = Self::default();
        if !locks.orders.is_empty() {
            let orders = unit_of_work.orders().lock_many(&locks.orders).await?;
            set.orders.load(orders.into_iter().map(|order| (order.id, order)));
        }
        set.declare_locks_of_orders(commands, &mut locks);
        set.load_coupons(&mut locks, unit_of_work).await?;
        set.load_products(&mut locks, unit_of_work).await?;
        if !locks.stocks.is_empty() {
            let stocks = unit_of_work.stocks().lock_many(&locks.stocks).await?;
            set.stocks.load(stocks.into_iter().map(|stock| (stock.product_id, stock)));
        }
        set.load_accounts(&locks.accounts, unit_of_work).await?;
        if !locks.events.is_empty() {
            let deliveries = unit_of_work.outbox().lock_many(&locks.events).await?;
            set.deliveries.load(deliveries.into_iter().map(|delivery| (delivery.event_id, delivery)));
        }
        Ok(set)
    }

    /// Lets each command about an order name the rows that it learns from it. An order that is placed by this very
    /// batch is known from the command that places it.
    fn declare_locks_of_orders(&self, commands: &[&Command], locks: &mut Locks) {
        let mut outlines: BTreeMap<OrderId, OrderRefs> = BTreeMap::new();
        for command in commands {
            if let Command::PlaceOrder(place) = command {
                let outline = OrderRefs {
                    user_id: place.user_id.clone(),
                    product_ids: place.lines.product_ids().collect(),
                    coupon_id: None,
                };
                outlines.insert(place.order_id, outline);
            }
        }
        outlines.extend(self.orders.iter().map(|(id, order)| (*id, OrderRefs::of(order))));
        for rule in commands.iter().map(|command| command.rule()) {
            if let Some(outline) = rule.order_id().and_then(|id| outlines.get(&id)) {
                rule.declare_locks_of_order(outline, locks);
            }
        }
    }

    async fn load_coupons(&mut self, locks: &mut Locks, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        if !locks.campaigns.is_empty() {
            let campaigns = unit_of_work.coupons().lock_campaigns(&locks.campaigns).await?;
            self.campaigns.load(campaigns.into_iter().map(|campaign| (campaign.id, campaign)));
        }
        if !locks.past_recipients.is_empty() {
            self.past_recipients = unit_of_work.coupons().past_recipients(&locks.past_recipients).await?;
        }
        if !locks.unused_coupons_of.is_empty() {
            locks.coupons.append(&mut unit_of_work.coupons().unused_of(&locks.unused_coupons_of).await?);
        }
        if !locks.coupons.is_empty() {
            let rows = unit_of_work.coupons().lock_many(&locks.coupons).await?;
            self.coupons.load(rows.into_iter().map(|coupon| (coupon.id, coupon)));
        }
        Ok(())
    }

    async fn load_products(&mut self, locks: &mut Locks, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        if !locks.products.is_empty() {
            // Those that are ordered among them, as a whole, too: two statements would lock in two orders.
            locks.products.append(&mut locks.offers);
            let products = unit_of_work.products().lock_many(&locks.products).await?;
            self.products.load(products.into_iter().map(|product| (product.id, product)));
        }
        if !locks.offers.is_empty() {
            let offers = unit_of_work.products().lock_offers(&locks.offers).await?;
            self.offers = offers.into_iter().map(|offer| (offer.product_id, offer)).collect();
        }
        Ok(())
    }

    async fn load_accounts(
        &mut self,
        users: &BTreeSet<UserId>,
        unit_of_work: &mut dyn UnitOfWork,
    ) -> Result<(), StoreError> {
        if users.is_empty() {
            return Ok(());
        }
        let points = unit_of_work.points();
        points.ensure_many(users).await?;
        let accounts = points.lock_many(users).await?;
        if accounts.len() != users.len() {
            return Err(StoreError::unexpected("an account that was just made is not there"));
        }
        self.accounts.load(accounts.into_iter().map(|account| (account.user_id.clone(), account)));
        Ok(())
    }

    /// The order of that id.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// The campaign of that id.
    pub fn campaign(&self, id: CampaignId) -> Option<&CouponCampaign> {
        self.campaigns.get(&id)
    }

    /// Whether the user has had a coupon of the campaign.
    pub fn has_received_coupon(&self, campaign_id: CampaignId, user_id: &UserId) -> bool {
        self.past_recipients.contains(&(campaign_id, user_id.clone()))
    }

    /// The coupon of that id.
    pub fn coupon(&self, id: CouponId) -> Option<&Coupon> {
        self.coupons.get(&id)
    }

    /// The user's coupons, in order of their ids.
    pub fn coupons_of(&self, user_id: &UserId) -> Vec<&Coupon> {
        self.coupons.iter().map(|(_, coupon)| coupon).filter(|coupon| coupon.user_id == *user_id).collect()
    }

    /// The product of that id.
    pub fn product(&self, id: ProductId) -> Option<&Product> {
        self.products.get(&id)
    }

    /// What buyers are offered of the product of that id.
    pub fn offer(&self, id: ProductId) -> Option<ProductOffer> {
        self.product(id).map(Product::offer).or_else(|| self.offers.get(&id).cloned())
    }

    /// The stock of that product.
    pub fn stock(&self, id: ProductId) -> Option<&Stock> {
        self.stocks.get(&id)
    }

    /// The user's account.
    ///
    /// # Panics
    /// When no command named it: a bug in the command, which would otherwise decide on a row that it does not hold.
    pub fn account(&self, user_id: &UserId) -> &PointAccount {
        self.accounts.get(user_id).expect("a command names the accounts that it reads")
    }

    /// How the delivery of that event goes.
    pub fn delivery(&self, id: EventId) -> Option<&Delivery> {
        self.deliveries.get(&id)
    }

    /// Takes a delivery, as if it had been loaded.
    #[cfg(test)]
    pub(crate) fn load_delivery(&mut self, delivery: Delivery) {
        self.deliveries.load([(delivery.event_id, delivery)]);
    }

    /// Makes an empty account where the user has none, as if it had been loaded.
    #[cfg(test)]
    pub(crate) fn ensure_account(&mut self, user_id: &UserId) {
        if self.accounts.get(user_id).is_none() {
            self.accounts.load([(user_id.clone(), PointAccount::empty(user_id.clone()))]);
        }
    }

    /// What is to be written beside the rows.
    #[cfg(test)]
    pub(crate) fn written(&self) -> Written<'_> {
        Written {
            point_entries: &self.point_entries,
            stock_movements: &self.stock_movements,
            payments: &self.payments,
            refunds: &self.refunds,
            sales: self.sales.iter().collect(),
            outbox: &self.outbox,
        }
    }

    /// Takes an event that was decided on this very state.
    ///
    /// # Panics
    /// When the event is about a row that is not here, or was decided on another state of it.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Product(event) => self.apply_to_product(event),
            Event::Stock(movement) => {
                self.stocks.change(&movement.product_id, |stock| stock.apply(&movement));
                self.stock_movements.push(movement);
            }
            Event::Coupon(event) => self.apply_to_coupon(event),
            Event::Order(event) => self.apply_to_order(event),
            Event::Point(entry) => {
                self.accounts.change(&entry.user_id, |account| account.apply(&entry));
                self.point_entries.push(entry);
            }
            Event::Payment(payment) => self.payments.push(payment),
            Event::Refund(refund) => self.refunds.push(refund),
            Event::Sale(sale) => self.sales.apply(&sale),
            Event::Outbox(event) => self.outbox.push(*event),
            Event::Delivery(delivery) => self.deliveries.change(&delivery.event_id.clone(), |row| *row = *delivery),
        }
    }

    fn apply_to_product(&mut self, event: ProductEvent) {
        match event {
            ProductEvent::Created(product) => {
                self.stocks.insert(product.id, Stock::empty(product.id));
                self.products.insert(product.id, product);
            }
            ProductEvent::Changed(product) => self.products.change(&product.id.clone(), |row| *row = product),
        }
    }

    fn apply_to_coupon(&mut self, event: CouponEvent) {
        match event {
            CouponEvent::CampaignCreated(campaign) => self.campaigns.insert(campaign.id, campaign),
            CouponEvent::CampaignChanged(campaign) => {
                self.campaigns.change(&campaign.id.clone(), |row| *row = campaign)
            }
            CouponEvent::Issued(coupon) => {
                self.campaigns.change(&coupon.campaign_id, |campaign| campaign.issued += 1);
                self.past_recipients.insert((coupon.campaign_id, coupon.user_id.clone()));
                self.coupons.insert(coupon.id, coupon);
            }
            CouponEvent::Changed(coupon) => self.coupons.change(&coupon.id.clone(), |row| *row = coupon),
        }
    }

    fn apply_to_order(&mut self, event: OrderEvent) {
        let open_orders_before = self.order(event.order_id()).map_or(0, open_orders);
        let order_id = event.order_id();
        match event {
            OrderEvent::Placed(order) => self.orders.insert(order_id, order),
            OrderEvent::Paid { .. }
            | OrderEvent::Expired { .. }
            | OrderEvent::Cancelled { .. }
            | OrderEvent::Refunded { .. } => {
                let lines_before = self.order(order_id).map(|order| order.lines.clone());
                self.orders.change(&order_id, |order| order.apply(&event));
                if self.order(order_id).map(|order| &order.lines) != lines_before.as_ref() {
                    self.orders_with_changed_lines.insert(order_id);
                }
            }
        }
        self.count_open_orders(order_id, open_orders_before);
    }

    /// Keeps the count of a user's open orders in step with an order that was open `before` times.
    fn count_open_orders(&mut self, order_id: OrderId, before: u32) {
        let order = self.orders.get(&order_id).expect("the event was about an order that is here");
        let after = open_orders(order);
        if before != after {
            let user_id = order.user_id.clone();
            self.accounts.change(&user_id, |account| account.open_orders = account.open_orders + after - before);
        }
    }

    /// Notes a line of the audit log.
    pub fn record(&mut self, entry: AuditEntry) {
        self.audit.push(entry);
    }

    /// Whether there is nothing to write.
    pub fn is_unchanged(&self) -> bool {
        !(self.orders.is_changed()
            || self.campaigns.is_changed()
            || self.coupons.is_changed()
            || self.products.is_changed()
            || self.stocks.is_changed()
            || self.accounts.is_changed()
            || self.deliveries.is_changed()
            || !self.audit.is_empty())
    }

    /// Writes what changed, each row once: first the rows that others refer to, then those that refer to them, so that
    /// no foreign key points to a row that is still to come; last what is written once and never changed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn save(&self, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        self.save_products(unit_of_work).await?;
        self.save_campaigns(unit_of_work).await?;
        self.save_accounts(unit_of_work).await?;
        self.save_orders(unit_of_work).await?;
        self.save_coupons(unit_of_work).await?;
        self.save_deliveries(unit_of_work).await?;
        self.append(unit_of_work).await
    }

    async fn append(&self, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        if !self.stock_movements.is_empty() {
            unit_of_work.stocks().append_movements(&self.stock_movements).await?;
        }
        if !self.point_entries.is_empty() {
            unit_of_work.points().append_entries(&self.point_entries).await?;
        }
        if !self.payments.is_empty() {
            unit_of_work.payments().insert_many(&self.payments).await?;
        }
        if !self.refunds.is_empty() {
            unit_of_work.payments().insert_refunds(&self.refunds).await?;
        }
        if !self.sales.is_empty() {
            let sales: Vec<SaleCounted> = self.sales.iter().collect();
            unit_of_work.sales().add_many(&sales).await?;
        }
        if !self.outbox.is_empty() {
            unit_of_work.outbox().append_many(&self.outbox).await?;
        }
        if !self.audit.is_empty() {
            unit_of_work.audit().append_many(&self.audit).await?;
        }
        Ok(())
    }

    async fn save_orders(&self, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        let (new, changed) = (self.orders.new_rows(), self.orders.changed_rows());
        if !new.is_empty() {
            unit_of_work.orders().insert_many(&new).await?;
        }
        if !changed.is_empty() {
            unit_of_work.orders().save_many(&changed).await?;
        }
        let with_changed_lines: Vec<Order> =
            changed.into_iter().filter(|order| self.orders_with_changed_lines.contains(&order.id)).collect();
        if !with_changed_lines.is_empty() {
            unit_of_work.orders().save_lines(&with_changed_lines).await?;
        }
        Ok(())
    }

    async fn save_campaigns(&self, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        let (new, changed) = (self.campaigns.new_rows(), self.campaigns.changed_rows());
        if !new.is_empty() {
            unit_of_work.coupons().insert_campaigns(&new).await?;
        }
        if !changed.is_empty() {
            unit_of_work.coupons().save_campaigns(&changed).await?;
        }
        Ok(())
    }

    async fn save_coupons(&self, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        let (new, changed) = (self.coupons.new_rows(), self.coupons.changed_rows());
        if !new.is_empty() {
            unit_of_work.coupons().insert_many(&new).await?;
        }
        if !changed.is_empty() {
            unit_of_work.coupons().save_many(&changed).await?;
        }
        Ok(())
    }

    async fn save_deliveries(&self, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        let changed = self.deliveries.changed_rows();
        if !changed.is_empty() {
            unit_of_work.outbox().save_many(&changed).await?;
        }
        Ok(())
    }

    async fn save_products(&self, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        let (new, changed) = (self.products.new_rows(), self.products.changed_rows());
        if !new.is_empty() {
            unit_of_work.products().insert_many(&new).await?;
        }
        if !changed.is_empty() {
            unit_of_work.products().save_many(&changed).await?;
        }
        let (new, changed) = (self.stocks.new_rows(), self.stocks.changed_rows());
        if !new.is_empty() {
            unit_of_work.stocks().insert_many(&new).await?;
        }
        if !changed.is_empty() {
            unit_of_work.stocks().save_many(&changed).await?;
        }
        Ok(())
    }

    async fn save_accounts(&self, unit_of_work: &mut dyn UnitOfWork) -> Result<(), StoreError> {
        let changed = self.accounts.changed_rows();
        if !changed.is_empty() {
            unit_of_work.points().save_many(&changed).await?;
        }
        Ok(())
    }
}

/// What a batch writes beside its rows.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Written<'a> {
    pub point_entries: &'a [PointEntry],
    pub stock_movements: &'a [StockMovement],
    pub payments: &'a [Payment],
    pub refunds: &'a [Refund],
    pub sales: Vec<SaleCounted>,
    pub outbox: &'a [OutboxEvent],
}

/// How many open orders an order is: one while it waits to be paid.
fn open_orders(order: &Order) -> u32 {
    u32::from(order.status == crate::order::OrderStatus::PendingPayment)
}

/// Rows by key, each with what became of it since it was loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rows<Key, Row>(BTreeMap<Key, (Row, RowChange)>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RowChange {
    Unchanged,
    Changed,
    New,
}

impl<Key, Row> Default for Rows<Key, Row> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Key: Ord + std::fmt::Debug, Row: Clone> Rows<Key, Row> {
    fn load(&mut self, rows: impl IntoIterator<Item = (Key, Row)>) {
        self.0.extend(rows.into_iter().map(|(key, row)| (key, (row, RowChange::Unchanged))));
    }

    fn get(&self, key: &Key) -> Option<&Row> {
        self.0.get(key).map(|(row, _)| row)
    }

    fn iter(&self) -> impl Iterator<Item = (&Key, &Row)> {
        self.0.iter().map(|(key, (row, _))| (key, row))
    }

    fn insert(&mut self, key: Key, row: Row) {
        let before = self.0.insert(key, (row, RowChange::New));
        assert!(before.is_none(), "a new row has the key of another");
    }

    fn change(&mut self, key: &Key, change: impl FnOnce(&mut Row)) {
        let (row, fate) = self.0.get_mut(key).unwrap_or_else(|| panic!("no row {key:?} is loaded"));
        change(row);
        if *fate == RowChange::Unchanged {
            *fate = RowChange::Changed;
        }
    }

    fn is_changed(&self) -> bool {
        self.0.values().any(|(_, fate)| *fate != RowChange::Unchanged)
    }

    fn new_rows(&self) -> Vec<Row> {
        self.rows_of(RowChange::New)
    }

    fn changed_rows(&self) -> Vec<Row> {
        self.rows_of(RowChange::Changed)
    }

    fn rows_of(&self, wanted: RowChange) -> Vec<Row> {
        self.0.values().filter(|(_, fate)| *fate == wanted).map(|(row, _)| row.clone()).collect()
    }
}
