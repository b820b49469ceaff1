//! The verification detects every kind of damage to the books, and nothing else.

use std::sync::Arc;

use time::Duration;
use time::macros::date;
use uuid::Uuid;

use jangteo_domain::audit::{AuditChain, AuditEntry};
use jangteo_domain::batch::{Answer, Recording, Request};
use jangteo_domain::command::{ChangeCampaign, Command, CouponChoice, Outcome, RefundOrder, RevokeCoupon};
use jangteo_domain::coupon::{CampaignChange, CouponState};
use jangteo_domain::id::{AuditEntryId, BatchId, CampaignId, CouponId, OrderId, ProductId, UserId, first_id_at};
use jangteo_domain::money::Money;
use jangteo_domain::order::{OrderRecord, OrderStatus};
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::page::Page;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::point::{EntryKind, PointAccountRecord, PointEntry};
use jangteo_domain::retention::{PruneTarget, Retention};
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::statistics::{Counter, SalesTotals, Step, quarter_of};
use jangteo_domain::stock::{MovementKind, Stock};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{
    NOON, campaign_details, fixed, noon_plus, order_lines, percent, positive, text, user, won,
};
use jangteo_domain::testing::{PlainAnswers, SequentialIds};
use jangteo_domain::time::Timestamp;
use jangteo_domain::verification::{
    Finding, MockBooks, Part, RebuildError, Rows, Summary, Unreadable, rebuild_daily_sales, verify,
};

use crate::memory::tables::{Table, Tables};
use crate::{MemoryStore, TestShop};

/// The retention of events exceeds the time span of every test here.
const RETENTION: Retention = Retention { answered_requests: Duration::days(1), delivered_events: Duration::days(90) };

/// A shop after commands of all kinds.
struct BusyShop {
    store: MemoryStore,
    lamp: ProductId,
    chair: ProductId,
    kim: UserId,
    campaign: CampaignId,
    /// Used by the order `paid`.
    used: CouponId,
    /// Used by the order `refunded`, restored with it, and unused since.
    restored: CouponId,
    paid: OrderId,
    partly: OrderId,
    refunded: OrderId,
    cancelled: OrderId,
    expired: OrderId,
    open: OrderId,
}

impl BusyShop {
    async fn new() -> Result<Self, StoreError> {
        let store = MemoryStore::new();
        let shop = TestShop::new(store.factory());
        let lamp = shop.lamp(1_000, 100).await?;
        let chair = shop.lamp(333, 100).await?;
        let kim = shop.user("kim", 50_000).await?;
        let lee = shop.user("lee", 50_000).await?;
        let campaign = shop.campaign(campaign_details(percent(10), 3)).await?;
        let other_campaign = shop.campaign(campaign_details(fixed(500), 3)).await?;
        let [used, restored] = [shop.coupon(campaign, &kim).await?, shop.coupon(campaign, &lee).await?];
        let revoked = shop.coupon(other_campaign, &kim).await?;
        run(&shop, RevokeCoupon { coupon_id: revoked }).await?;
        let more = CampaignChange { quantity: Some(5), ..CampaignChange::default() };
        let more = ChangeCampaign { campaign_id: campaign, change: more };
        run(&shop, more).await?;

        let lines = [(lamp, 2), (chair, 3)];
        let [paid, partly, refunded, cancelled, expired] = [
            shop.order(&kim, &lines).await?,
            shop.order(&lee, &lines).await?,
            shop.order(&lee, &lines).await?,
            shop.order(&kim, &lines).await?,
            shop.order(&kim, &lines).await?,
        ];
        store.advance(Duration::minutes(1));
        decided(shop.pay(paid, &kim, CouponChoice::Named(used)).await?);
        decided(shop.pay(partly, &lee, CouponChoice::None).await?);
        decided(shop.pay(refunded, &lee, CouponChoice::Best).await?);
        decided(shop.cancel(cancelled, &kim).await?);
        store.advance(Duration::minutes(1));
        for (order_id, lines, restock) in
            [(partly, [(lamp, 1)], true), (partly, [(chair, 1)], false), (refunded, [(chair, 2)], false)]
        {
            let reason = text("broken");
            let refund = RefundOrder { order_id, lines: order_lines(&lines), restock, reason };
            run(&shop, refund).await?;
        }
        decided(shop.cancel(refunded, &lee).await?);
        // A coupon that expires before its order's refund stays used.
        let late_coupon = shop.coupon(other_campaign, &lee).await?;
        let late = shop.order(&lee, &lines).await?;
        decided(shop.pay(late, &lee, CouponChoice::Named(late_coupon)).await?);
        store.advance(Duration::days(31));
        decided(shop.cancel(late, &lee).await?);
        decided(shop.expire(expired).await?);
        let open = shop.order(&kim, &[(chair, 1)]).await?;
        store.pruning().prune(PruneTarget::CommitMarkers, Retention::COMMIT_MARKERS, u32::MAX).await?;
        Ok(Self { store, lamp, chair, kim, campaign, used, restored, paid, partly, refunded, cancelled, expired, open })
    }

    async fn verify(&self) -> Result<(Vec<Finding>, Summary), StoreError> {
        verify_store(&self.store).await
    }
}

/// Runs a command of the back office.
async fn run(shop: &TestShop, command: impl Into<Command>) -> Result<(), StoreError> {
    let audited_as = Some(user("root").into());
    let recording = Some(Recording { idempotency: None, audited_as, renderer: Arc::new(PlainAnswers) });
    let mut answers = shop.executor.execute(&[Request { recording, ..Request::new(command) }]).await;
    match answers.pop().expect("an answer")? {
        Answer::Decided { outcome, .. } => decided(outcome),
        other @ (Answer::Replayed(_) | Answer::KeyReused) => panic!("without a key the answer is {other:?}"),
    }
    Ok(())
}

#[track_caller]
fn decided(outcome: Outcome) {
    outcome.expect("a command that is not rejected");
}

async fn verify_store(store: &MemoryStore) -> Result<(Vec<Finding>, Summary), StoreError> {
    let mut books = store.books().open().await?;
    let mut findings = Vec::new();
    let summary = verify(&mut *books, &RETENTION, &mut (), &mut |finding| findings.push(finding)).await?;
    Ok((findings, summary))
}

fn change<Key: Ord + Clone, Row: Clone>(table: &mut Table<Key, Row>, key: &Key, change: impl FnOnce(&mut Row)) {
    change(Arc::make_mut(table).get_mut(key).expect("a row to damage"));
}

fn remove<Key: Ord + Clone, Row: Clone>(table: &mut Table<Key, Row>, key: &Key) {
    Arc::make_mut(table).remove(key).expect("a row to remove");
}

fn more(money: &mut Money) {
    *money = money.checked_add(won(1)).expect("in range");
}

#[tokio::test]
async fn the_books_of_a_busy_shop_agree() -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    count_statistics(&shop.store).await?;
    let (findings, summary) = shop.verify().await?;
    assert_eq!(findings, []);
    assert_eq!(summary.taken_at, shop.store.time());
    assert_eq!((summary.rows() > 0, summary.findings()), (true, 0));
    let parts: Vec<Part> = summary.parts.iter().map(|part| part.part).collect();
    assert_eq!(parts, Part::ALL);
    assert!(summary.parts.iter().all(|part| part.rows > 0 || part.part == Part::Retention));
    Ok(())
}

#[tokio::test]
async fn the_books_of_an_empty_shop_agree() -> Result<(), StoreError> {
    let (findings, summary) = verify_store(&MemoryStore::new()).await?;
    assert_eq!((findings, summary.rows()), (vec![], 0));
    Ok(())
}

fn account(tables: &mut Tables, shop: &BusyShop, damage: impl FnOnce(&mut PointAccountRecord)) {
    change(&mut tables.accounts, &shop.kim, damage);
}

fn entry(tables: &mut Tables, shop: &BusyShop, damage: impl FnOnce(&mut PointEntry)) {
    change(&mut tables.entries, &(shop.kim.clone(), 1), damage);
}

fn stock(tables: &mut Tables, shop: &BusyShop, damage: impl FnOnce(&mut Stock)) {
    change(&mut tables.stocks, &shop.lamp, damage);
}

fn order(tables: &mut Tables, id: OrderId, damage: impl FnOnce(&mut OrderRecord)) {
    change(&mut tables.orders, &id, damage);
}

fn payment(tables: &mut Tables, shop: &BusyShop, damage: impl FnOnce(&mut Payment)) {
    change(&mut tables.payments, &shop.paid, damage);
}

fn refund(tables: &mut Tables, shop: &BusyShop, damage: impl FnOnce(&mut Refund)) {
    change(&mut tables.refunds, &(shop.partly, 1), damage);
}

/// The place of the back office's entry with this sequence number, 1 to 5.
fn audited(tables: &Tables, sequence: u64) -> AuditEntryId {
    tables.audit_links[&(user("root"), sequence)]
}

fn audit(tables: &mut Tables, sequence: u64, damage: impl FnOnce(&mut AuditEntry)) {
    let id = audited(tables, sequence);
    change(&mut tables.audit, &id, damage);
}

fn audit_chain(tables: &mut Tables, damage: impl FnOnce(&mut AuditChain)) {
    change(&mut tables.audit_chains, &user("root"), damage);
}

/// Adds a copy of an entry without a link, as the release 0.2.0 writes it.
fn add_unchained(tables: &mut Tables, at: Timestamp) {
    let entry = tables.audit[&audited(tables, 1)].clone();
    let entry = AuditEntry { id: unknown(), at, link: None, actor: user("kim"), ..entry };
    Arc::make_mut(&mut tables.audit).insert(entry.id, entry);
}

/// An id without a row.
fn unknown<Id: From<Uuid>>() -> Id {
    SequentialIds::id(u64::MAX).into()
}

/// Generates a test for each kind of damage: the change, and the start of its finding.
macro_rules! damages {
    ($($name:ident: $damage:expr => $expected:literal;)*) => {
        mod finds {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() -> Result<(), StoreError> {
                    assert_found($damage, $expected).await
                }
            )*
        }
    };
}

damages! {
    // Accounts and their ledgers.
    a_balance: |tables, shop| account(tables, shop, |row| more(&mut row.balance)) => "account kim: the balance is";
    a_negative_balance: |tables, shop| account(tables, shop, |row| row.balance = won(-1)) => "account kim: the balance is -1,";
    a_count_of_entries: |tables, shop| account(tables, shop, |row| row.entries += 1) => "account kim: counts";
    the_hash_of_an_account: |tables, shop| account(tables, shop, |row| row.hash[0] ^= 1) => "account kim: its hash is not";
    a_count_of_open_orders: |tables, shop| account(tables, shop, |row| row.open_orders = 0) => "account kim: counts 0 open orders";
    a_count_of_reserved_items: |tables, shop| account(tables, shop, |row| row.reserved_quantity = 0) => "account kim: counts 0 reserved items";
    the_time_of_an_account: |tables, shop| account(tables, shop, |row| row.updated_at = None) => "account kim: was changed at none";
    no_account: |tables, shop| remove(&mut tables.accounts, &shop.kim) => "account kim: entry 1 has no account";
    an_amount: |tables, shop| entry(tables, shop, |row| more(&mut row.amount)) => "account kim: entry 1: the balance is";
    a_negative_top_up: |tables, shop| entry(tables, shop, |row| row.amount = won(-1)) => "account kim: entry 1: the top_up of -1 has the wrong sign";
    a_balance_after: |tables, shop| entry(tables, shop, |row| more(&mut row.balance_after)) => "account kim: entry 2: the balance is";
    a_balance_below_zero: |tables, shop| entry(tables, shop, |row| row.balance_after = won(-1)) => "account kim: entry 1: the balance is below";
    the_kind_of_an_entry: |tables, shop| entry(tables, shop, |row| row.kind = EntryKind::Adjustment) => "account kim: entry 1: its hash";
    the_time_of_an_entry: |tables, shop| entry(tables, shop, |row| row.at = noon_plus(-1)) => "account kim: entry 1: its hash";
    the_hash_of_an_entry: |tables, shop| entry(tables, shop, |row| row.hash[31] ^= 1) => "account kim: entry 2: its hash";
    a_top_up_of_an_order: |tables, shop| entry(tables, shop, |row| row.order_id = Some(shop.open)) => "account kim: entry 1: the order of the top_up is";
    no_entry: |tables, shop| remove(&mut tables.entries, &(shop.kim.clone(), 1)) => "account kim: entry 2: follows entry 0";
    // Stocks and their movements.
    a_stock: |tables, shop| stock(tables, shop, |row| row.available += 1) => "stock {lamp}: ";
    a_count_of_movements: |tables, shop| stock(tables, shop, |row| row.movements += 1) => "stock {lamp}: counts";
    no_stock: |tables, shop| remove(&mut tables.stocks, &shop.lamp) => "stock {lamp}: the product has no stock";
    no_product: |tables, shop| remove(&mut tables.products, &shop.lamp) => "stock {lamp}: there is no such product";
    the_quantity_of_a_movement: |tables, shop| change(&mut tables.movements, &(shop.lamp, 1), |row| row.quantity += 1) => "stock {lamp}: movement 1: 0 ";
    the_kind_of_a_movement: |tables, shop| change(&mut tables.movements, &(shop.lamp, 2), |row| row.kind = MovementKind::Refund) => "stock {lamp}: movement 2: the refund of -2";
    a_movement_without_its_order: |tables, shop| change(&mut tables.movements, &(shop.lamp, 2), |row| row.order_id = None) => "stock {lamp}: movement 2: the order of the reservation is none";
    a_movement_of_another_order: |tables, shop| change(&mut tables.movements, &(shop.lamp, 2), |row| row.order_id = Some(shop.open)) => "order {paid}: the reservation movements are";
    a_movement_of_no_order: |tables, shop| change(&mut tables.movements, &(shop.lamp, 2), |row| row.order_id = Some(unknown())) => "order {unknown}: a stock movement names it";
    the_time_of_a_movement: |tables, shop| change(&mut tables.movements, &(shop.lamp, 2), |row| row.at = noon_plus(1)) => "order {paid}: the reservation of product {lamp} was at";
    no_movement: |tables, shop| remove(&mut tables.movements, &(shop.lamp, 2)) => "stock {lamp}: movement 3: follows movement 1";
    // Orders.
    no_order: |tables, shop| remove(&mut tables.orders, &shop.paid) => "order {paid}: a payment names it";
    a_total: |tables, shop| order(tables, shop.open, |row| more(&mut row.total)) => "order {open}: costs";
    no_lines: |tables, shop| order(tables, shop.open, |row| row.lines.clear()) => "order {open}: has no lines";
    a_quantity: |tables, shop| order(tables, shop.open, |row| row.lines[0].quantity += 1) => "order {open}: the reservation movements are";
    a_price: |tables, shop| order(tables, shop.paid, |row| more(&mut row.lines[0].unit_price)) => "order {paid}: costs";
    a_price_out_of_range: |tables, shop| order(tables, shop.open, |row| { row.lines[0].unit_price = Money::MAX; row.lines[0].quantity = 2 }) => "order {open}: a line costs more";
    a_share: |tables, shop| order(tables, shop.paid, |row| more(&mut row.lines[0].discount_share)) => "order {paid}: the discount is";
    a_share_beyond_its_line: |tables, shop| order(tables, shop.paid, |row| row.lines[0].discount_share = won(2_001)) => "order {paid}: the discount share of product {lamp}";
    a_paid_order_that_is_unpaid: |tables, shop| order(tables, shop.paid, |row| row.status = OrderStatus::PendingPayment) => "order {paid}: is pending_payment, but has payment terms";
    a_paid_order_that_expired: |tables, shop| order(tables, shop.paid, |row| row.status = OrderStatus::Expired) => "order {paid}: the expiry movements are";
    an_expired_order_that_is_unpaid: |tables, shop| order(tables, shop.expired, |row| row.status = OrderStatus::PendingPayment) => "order {expired}: the expiry movements are";
    a_cancelled_order_that_expired: |tables, shop| order(tables, shop.cancelled, |row| row.status = OrderStatus::Expired) => "order {cancelled}: the cancellation movements are";
    an_open_order_that_is_paid: |tables, shop| order(tables, shop.open, |row| row.status = OrderStatus::Paid) => "order {open}: is paid, but has no payment terms";
    another_user: |tables, shop| order(tables, shop.paid, |row| row.user_id = user("lee")) => "order {paid}: another user's ledger";
    the_time_that_it_expires: |tables, shop| order(tables, shop.open, |row| row.expires_at = NOON) => "order {open}: expires before";
    the_time_that_it_was_paid: |tables, shop| order(tables, shop.paid, |row| row.paid.as_mut().expect("payment terms").at = noon_plus(-1)) => "order {paid}: was paid at";
    an_amount_paid: |tables, shop| order(tables, shop.paid, |row| more(&mut row.paid.as_mut().expect("payment terms").amount)) => "order {paid}: discount 300";
    a_discount_without_a_coupon: |tables, shop| order(tables, shop.paid, |row| row.paid.as_mut().expect("payment terms").coupon_id = None) => "order {paid}: has a discount";
    // Payments, refunds and events.
    no_payment: |tables, shop| remove(&mut tables.payments, &shop.paid) => "order {paid}: has 0 payments";
    the_amount_of_a_payment: |tables, shop| payment(tables, shop, |row| more(&mut row.amount)) => "order {paid}: its payment";
    the_balance_of_a_payment: |tables, shop| payment(tables, shop, |row| more(&mut row.balance_after)) => "order {paid}: its payment";
    the_day_of_a_payment: |tables, shop| payment(tables, shop, |row| row.sales_day = date!(2029 - 01 - 01)) => "order {paid}: its payment";
    a_payment_of_no_order: |tables, shop| { let payment = tables.payments[&shop.paid].clone(); Arc::make_mut(&mut tables.payments).insert(unknown(), Payment { order_id: unknown(), ..payment }); } => "order {unknown}: a payment names it";
    no_debit: |tables, shop| remove(&mut tables.entries, &(shop.kim.clone(), 2)) => "order {paid}: the ledger entries are none";
    a_refunded_sum: |tables, shop| order(tables, shop.partly, |row| more(&mut row.refunded)) => "order {partly}: the refunded amount is ";
    more_refunded_than_paid: |tables, shop| order(tables, shop.paid, |row| row.refunded = won(9_999)) => "order {paid}: more was refunded than paid: 9999 of";
    a_count_of_refunds: |tables, shop| order(tables, shop.partly, |row| row.refunds = u32::MAX) => "order {partly}: counts 4294967295 refunds";
    a_refunded_quantity: |tables, shop| order(tables, shop.partly, |row| row.lines[0].refunded_quantity = 0) => "order {partly}: counts 0 refunded ";
    a_partly_refunded_order: |tables, shop| order(tables, shop.partly, |row| row.status = OrderStatus::Refunded) => "order {partly}: is refunded with 2 refunds";
    a_refunded_order: |tables, shop| order(tables, shop.refunded, |row| row.status = OrderStatus::Paid) => "order {refunded}: is paid with 2 refunds";
    no_refund: |tables, shop| remove(&mut tables.refunds, &(shop.partly, 2)) => "order {partly}: counts 2 refunds, but there are 1";
    the_amount_of_a_refund: |tables, shop| refund(tables, shop, |row| more(&mut row.amount)) => "order {partly}: refund 1 is";
    the_line_of_a_refund: |tables, shop| refund(tables, shop, |row| row.lines[0].amount = won(5_000)) => "order {partly}: 5000 was refunded for 1 of 2 items";
    a_refund_of_nothing: |tables, shop| refund(tables, shop, |row| row.lines.clear()) => "order {partly}: refund 1 has no line";
    a_refund_of_another_product: |tables, shop| refund(tables, shop, |row| row.lines[0].product_id = unknown()) => "order {partly}: products were refunded";
    the_time_of_a_refund: |tables, shop| refund(tables, shop, |row| row.at = NOON) => "order {partly}: refund 1 was before";
    a_restocked_refund: |tables, shop| refund(tables, shop, |row| row.restocked = false) => "order {partly}: the refund movements are";
    a_refund_of_no_order: |tables, shop| { let refund = tables.refunds[&(shop.partly, 1)].clone(); Arc::make_mut(&mut tables.refunds).insert((unknown(), 1), Refund { order_id: unknown(), ..refund }); } => "order {unknown}: a refund names it";
    no_event_of_a_payment: |tables, shop| remove(&mut tables.outbox, &(shop.paid, 1)) => "order {paid}: the events are none";
    no_event_of_a_refund: |tables, shop| remove(&mut tables.outbox, &(shop.partly, 3)) => "order {partly}: the events are";
    an_event_of_an_unpaid_order: |tables, shop| { let event = tables.outbox[&(shop.paid, 1)].clone(); Arc::make_mut(&mut tables.outbox).insert((shop.open, 1), OutboxEvent { order_id: shop.open, ..event }); } => "order {open}: the events are 1 jangteo.order.paid.v1, not none";
    an_event_of_no_order: |tables, shop| { let event = tables.outbox[&(shop.paid, 1)].clone(); Arc::make_mut(&mut tables.outbox).insert((unknown(), 1), OutboxEvent { order_id: unknown(), ..event }); } => "order {unknown}: an event names it";
    // Campaigns and coupons.
    a_count_of_coupons: |tables, shop| change(&mut tables.campaigns, &shop.campaign, |row| row.issued += 1) => "campaign {campaign}: counts 3 issued";
    too_many_coupons: |tables, shop| change(&mut tables.campaigns, &shop.campaign, |row| row.details.quantity = 1) => "campaign {campaign}: issued 2 coupons of 1";
    no_campaign: |tables, shop| remove(&mut tables.campaigns, &shop.campaign) => "coupon {used}: its campaign {campaign} does not exist";
    a_campaign_that_was_not_open: |tables, shop| change(&mut tables.campaigns, &shop.campaign, |row| row.details.issue_opens_at = noon_plus(60)) => "coupon {used}: was issued at";
    a_second_coupon_of_a_user: |tables, shop| change(&mut tables.coupons, &shop.restored, |row| row.user_id = shop.kim.clone()) => "campaign {campaign}: user kim has more than one coupon";
    no_coupon: |tables, shop| remove(&mut tables.coupons, &shop.used) => "order {paid}: was paid with coupon {used}, which does not exist";
    a_used_coupon_in_state_unused: |tables, shop| change(&mut tables.coupons, &shop.used, |row| row.state = CouponState::Unused) => "order {paid}: was paid with coupon {used}, which is not used by it";
    a_coupon_of_an_order_paid_without_it: |tables, shop| change(&mut tables.coupons, &shop.restored, |row| row.state = CouponState::Used { order_id: shop.paid, at: NOON }) => "coupon {restored}: was used by order {paid}, which was not paid with it";
    a_coupon_used_by_no_order: |tables, shop| change(&mut tables.coupons, &shop.restored, |row| row.state = CouponState::Used { order_id: unknown(), at: NOON }) => "coupon {restored}: was used by order {unknown}, which does not exist";
    a_coupon_that_was_not_restored: |tables, shop| change(&mut tables.coupons, &shop.restored, |row| row.state = CouponState::Used { order_id: shop.refunded, at: noon_plus(60) }) => "order {refunded}: was paid with coupon {restored}, which was not restored";
    the_time_of_use: |tables, shop| change(&mut tables.coupons, &shop.used, |row| row.state = CouponState::Used { order_id: shop.paid, at: NOON }) => "coupon {used}: was used at";
    another_users_coupon: |tables, shop| change(&mut tables.coupons, &shop.used, |row| row.user_id = user("park")) => "order {paid}: was paid with coupon {used}, which is another user's";
    a_coupon_that_had_expired: |tables, shop| change(&mut tables.coupons, &shop.used, |row| row.valid_until = noon_plus(60)) => "order {paid}: was paid with coupon {used}, outside the validity of the coupon";
    a_coupon_for_larger_orders: |tables, shop| change(&mut tables.coupons, &shop.used, |row| row.terms.min_order_amount = Some(positive(3_000))) => "order {paid}: was paid with coupon {used}, which requires a larger order";
    a_coupon_of_another_discount: |tables, shop| change(&mut tables.coupons, &shop.used, |row| row.terms.discount = percent(11)) => "order {paid}: was paid with coupon {used}, with a discount of";
    // Daily sales.
    a_sold_quantity: |tables, shop| change(&mut tables.sales, &(date!(2030 - 01 - 01), shop.lamp), |row| row.0 += 1) => "sales 2030-01-01 {lamp}: the paid orders differ from the daily sales by -1 ";
    revenue: |tables, shop| change(&mut tables.sales, &(date!(2030 - 01 - 01), shop.chair), |row| more(&mut row.1)) => "sales 2030-01-01 {chair}: the paid orders differ from the daily sales by 0 ";
    no_sales: |tables, shop| remove(&mut tables.sales, &(date!(2030 - 01 - 01), shop.lamp)) => "sales 2030-01-01 {lamp}: ";
    sales_without_orders: |tables, shop| { Arc::make_mut(&mut tables.sales).insert((date!(2020 - 01 - 01), shop.lamp), (1, won(1))); } => "sales 2020-01-01 {lamp}: the paid orders differ from the daily sales by -1 ";
    // The audit log.
    the_body_of_an_audit_entry: |tables, _| audit(tables, 2, |row| row.body = "{}".to_owned()) => "audit_log root: entry 2: its hash";
    the_address_of_an_audit_entry: |tables, _| audit(tables, 5, |row| row.address = Some("192.0.2.7".to_owned())) => "audit_log root: entry 5: its hash";
    the_hash_of_an_audit_entry: |tables, _| audit(tables, 2, |row| row.link.as_mut().expect("a link").hash[0] ^= 1) => "audit_log root: entry 3: its hash";
    no_link: |tables, _| audit(tables, 2, |row| row.link = None) => "audit_log root: entry 3: follows entry 1";
    no_audit_entry: |tables, _| { let id = audited(tables, 2); remove(&mut tables.audit, &id) } => "audit_log root: entry 3: follows entry 1";
    no_last_audit_entry: |tables, _| { let id = audited(tables, 5); remove(&mut tables.audit, &id) } => "audit_log root: the chain counts 5 entries, but the last entry is 4";
    an_audit_entry_of_another_actor: |tables, _| audit(tables, 1, |row| row.actor = user("kim")) => "audit_log kim: entry ";
    a_count_of_audit_entries: |tables, _| audit_chain(tables, |row| row.entries = 6) => "audit_log root: the chain counts 6";
    the_hash_of_an_audit_chain: |tables, _| audit_chain(tables, |row| row.hash[0] ^= 1) => "audit_log root: the hash of the chain";
    no_audit_chain: |tables, _| remove(&mut tables.audit_chains, &user("root")) => "audit_log root: entry ";
    a_forged_audit_entry: |tables, shop| add_unchained(tables, shop.store.time()) => "audit_log kim: entry ";
}

/// Damages a busy shop and asserts a finding. Names of rows in braces are replaced by their ids.
async fn assert_found(damage: impl FnOnce(&mut Tables, &BusyShop), expected: &str) -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    shop.store.damage(|tables| damage(tables, &shop));
    let names = [
        ("lamp", shop.lamp.to_string()),
        ("chair", shop.chair.to_string()),
        ("campaign", shop.campaign.to_string()),
        ("used", shop.used.to_string()),
        ("restored", shop.restored.to_string()),
        ("paid", shop.paid.to_string()),
        ("partly", shop.partly.to_string()),
        ("refunded", shop.refunded.to_string()),
        ("cancelled", shop.cancelled.to_string()),
        ("expired", shop.expired.to_string()),
        ("open", shop.open.to_string()),
        ("unknown", unknown::<OrderId>().to_string()),
    ];
    let expected = names
        .into_iter()
        .fold(expected.to_owned(), |expected, (name, id)| expected.replace(&format!("{{{name}}}"), &id));
    let (findings, summary) = shop.verify().await?;
    assert_eq!(usize::try_from(summary.findings()).ok(), Some(findings.len()));
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.iter().any(|finding| finding.starts_with(&expected)), "no {expected:?} in {findings:#?}");
    Ok(())
}

#[tokio::test]
async fn a_finding_has_its_kind_and_ids() -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    let day = date!(2030 - 01 - 01);
    shop.store.damage(|tables| change(&mut tables.sales, &(day, shop.lamp), |row| row.0 += 1));
    let (findings, summary) = shop.verify().await?;
    let [finding] = &findings[..] else { panic!("one finding, not {findings:?}") };
    assert_eq!(finding.kind(), "sales");
    assert_eq!(finding.ids(), [("day", day.to_string()), ("product_id", shop.lamp.to_string())]);
    let of_parts: Vec<u64> = summary.parts.iter().map(|part| part.findings).collect();
    assert_eq!(of_parts, [0, 0, 0, 0, 1, 0, 0, 0]);
    Ok(())
}

/// Lists of several pages are read to their end, each row once.
#[tokio::test]
async fn long_lists_are_read_to_their_end() -> Result<(), StoreError> {
    let store = MemoryStore::new();
    let shop = TestShop::new(store.factory());
    let users = 2_001;
    for number in 0..users {
        shop.user(&format!("user-{number:04}"), 1).await?;
    }
    let (findings, summary) = verify_store(&store).await?;
    assert_eq!((findings, summary.rows()), (vec![], 2 * users));
    store.damage(|tables| change(&mut tables.accounts, &user("user-2000"), |row| more(&mut row.balance)));
    assert_eq!(verify_store(&store).await?.1.findings(), 1);
    Ok(())
}

/// The first wrong days are reported by product, the others by day.
#[tokio::test]
async fn many_wrong_days_are_reported_within_bounds() -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    shop.store.damage(|tables| {
        let sales = Arc::make_mut(&mut tables.sales);
        for day in (1..=40).map(|days| date!(2020 - 01 - 01) + Duration::days(days)) {
            sales.insert((day, shop.lamp), (1, won(1)));
            sales.insert((day, shop.chair), (1, won(1)));
        }
    });
    let (findings, _) = shop.verify().await?;
    let by_day = |finding: &&Finding| matches!(finding, Finding::Sales { product_id: None, .. });
    assert_eq!((findings.len(), findings.iter().filter(by_day).count()), (31 * 2 + 9, 9));
    Ok(())
}

async fn count_statistics(store: &MemoryStore) -> Result<(), StoreError> {
    let mut counter = Counter::new(Uuid::from_u128(1));
    while let Step::Advanced { .. } = counter.step(&*store.statistics_count()).await? {}
    Ok(())
}

/// A final quarter that differs, lacks or is empty is a finding; later quarters are still being counted.
#[tokio::test]
async fn wrong_final_quarters_are_found() -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    count_statistics(&shop.store).await?;
    let (paid, cancelled) = (NOON, quarter_of(shop.store.time()));
    let totals = |orders, revenue| SalesTotals { orders, revenue: won(revenue), ..SalesTotals::default() };
    for (starts_at, row, findings) in [
        (paid, Some(totals(9, 1)), 1),
        (paid, None, 1),
        (noon_plus(900), Some(totals(1, 1)), 1),
        (noon_plus(-900), Some(totals(1, 1)), 1),
        (cancelled, Some(totals(1, 1)), 0),
    ] {
        let mut before = None;
        shop.store.damage(|tables| {
            let quarters = Arc::make_mut(&mut tables.quarters);
            before = quarters.remove(&starts_at);
            quarters.extend(row.map(|row| (starts_at, row)));
        });
        let found = shop.verify().await?.0;
        shop.store.damage(|tables| {
            let quarters = Arc::make_mut(&mut tables.quarters);
            quarters.remove(&starts_at);
            quarters.extend(before.map(|row| (starts_at, row)));
        });
        assert_eq!(found.len(), findings, "{found:?}");
        if let [finding] = &found[..] {
            assert!(matches!(finding, Finding::Statistics { starts_at: at, .. } if *at == starts_at), "{finding}");
        }
    }
    Ok(())
}

/// An unreadable row is a finding, and the verification continues.
#[tokio::test]
async fn unreadable_rows_are_found_once() -> Result<(), StoreError> {
    let unreadable = Unreadable { table: "daily_sales", key: "2030-01-01 ?".to_owned(), what: "no id".to_owned() };
    let mut books = MockBooks::new();
    books.expect_taken_at().returning(|| Ok(NOON));
    books.expect_retained().returning(|_| Ok(None));
    macro_rules! expect_nothing {
        ($($expect:ident)*) => {$(
            books.$expect().returning(|_, _| Ok(Rows { rows: vec![], unreadable: vec![], next: None }));
        )*};
    }
    expect_nothing! {
        expect_accounts expect_open_orders expect_entries expect_products expect_stocks expect_movements expect_orders
        expect_stray_order_lines expect_payments expect_refunds expect_stray_refund_lines expect_entries_by_order
        expect_movements_by_order expect_events expect_campaigns expect_coupons expect_audit_chains
        expect_chained_audit_entries expect_unchained_audit_entries expect_quarter_hours
    }
    books.expect_quarter_hours_final_to().returning(|| Ok(NOON));
    let sale = SaleCounted {
        day: date!(2030 - 01 - 01),
        product_id: SequentialIds::id(1).into(),
        quantity: 1,
        revenue: won(1),
    };
    let (row, wrong) = (sale.clone(), unreadable.clone());
    books
        .expect_daily_sales()
        .returning(move |_, _| Ok(Rows { rows: vec![row.clone()], unreadable: vec![wrong.clone()], next: None }));
    let mut findings = Vec::new();
    verify(&mut books, &RETENTION, &mut (), &mut |finding| findings.push(finding)).await?;
    assert_eq!(findings[0], Finding::Unreadable(unreadable));
    assert_eq!(findings[1].ids(), [("day", sale.day.to_string()), ("product_id", sale.product_id.to_string())]);
    assert_eq!(findings.len(), 2);
    Ok(())
}

/// Servers of the release 0.2.0 write entries without links before a rollout and during it.
#[tokio::test]
async fn entries_without_links_are_accepted_until_the_end_of_a_rollout() -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    let entries = shop.store.queries().audit.list(&Default::default(), &Page { after: None, limit: 9 }).await?;
    let first_at = entries.last().expect("the first entry").at;
    let day = Duration::days(1);
    for (age, findings) in [(-day, 0), (day, 0), (day + Duration::microseconds(1), 1)] {
        shop.store.damage(|tables| add_unchained(tables, first_at.saturating_add(age)));
        assert_eq!(shop.verify().await?.1.findings(), findings, "{age}");
    }
    shop.store.damage(|tables| {
        tables.audit_chains = Table::default();
        Arc::make_mut(&mut tables.audit).retain(|_, entry| entry.link.is_none());
    });
    assert_eq!(shop.verify().await?.0, [], "no entry has a link yet");
    Ok(())
}

/// A missing event is a finding until the end of its retention.
#[tokio::test]
async fn a_missing_event_is_a_finding_only_within_its_retention() -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    let order = shop.store.queries().orders.find(shop.paid).await?.value;
    let paid_at = order.and_then(|order| order.paid.clone()).expect("a paid order").at;
    shop.store.damage(|tables| remove(&mut tables.outbox, &(shop.paid, 1)));
    let limit = RETENTION.delivered_events;
    for (age, findings) in [(limit - Duration::microseconds(1), 1), (limit, 0)] {
        shop.store.set_time(paid_at.saturating_add(age));
        assert_eq!(shop.verify().await?.1.findings(), findings, "{age}");
    }
    Ok(())
}

#[tokio::test]
async fn rows_that_should_have_been_pruned_are_found() -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    let day = Duration::days(1);
    let marker = |at| (BatchId::from(first_id_at(at)), at);
    shop.store.damage(|tables| {
        *Arc::make_mut(&mut tables.markers) = [marker(NOON), marker(NOON.saturating_add(day))].into();
    });
    assert_eq!(shop.verify().await?.0, []);
    let late = NOON.saturating_add(day + Duration::hours(1) + Duration::milliseconds(1));
    shop.store.damage(|tables| {
        Arc::make_mut(&mut tables.markers).extend([marker(late)]);
    });
    let (findings, _) = shop.verify().await?;
    let [finding @ Finding::Retention { of: PruneTarget::CommitMarkers, .. }] = &findings[..] else {
        panic!("one finding of the markers: {findings:?}");
    };
    assert_eq!(finding.ids(), [("of", "commit_markers".to_owned())]);
    // The newest row determines the allowed age of the oldest: a shop that is offline deletes nothing.
    shop.store.advance(Duration::days(365));
    assert_eq!(shop.verify().await?.1.findings(), 1);
    Ok(())
}

#[tokio::test]
async fn rebuilding_correct_sales_changes_nothing() -> Result<(), RebuildError> {
    let shop = BusyShop::new().await?;
    let (before, commits) = (shop.store.snapshot(), shop.store.commits());
    assert_eq!(rebuild_daily_sales(&*shop.store.books(), &mut ()).await?, 0);
    assert_eq!((shop.store.snapshot(), shop.store.commits()), (before, commits));
    Ok(())
}

#[tokio::test]
async fn rebuilding_repairs_wrong_missing_and_negative_sales() -> Result<(), RebuildError> {
    let shop = BusyShop::new().await?;
    let before = shop.store.snapshot();
    let day = date!(2030 - 01 - 01);
    shop.store.damage(|tables| {
        change(&mut tables.sales, &(day, shop.lamp), |row| *row = (-7, won(-7)));
        remove(&mut tables.sales, &(day, shop.chair));
    });
    assert_eq!(rebuild_daily_sales(&*shop.store.books(), &mut ()).await?, 2);
    assert_eq!(shop.store.snapshot(), before);
    assert_eq!(rebuild_daily_sales(&*shop.store.books(), &mut ()).await?, 0);
    Ok(())
}

#[tokio::test]
async fn sales_are_not_rebuilt_from_invalid_orders() -> Result<(), StoreError> {
    let shop = BusyShop::new().await?;
    shop.store.damage(|tables| order(tables, shop.paid, |row| row.lines[0].discount_share = won(-1)));
    let before = shop.store.snapshot();
    let rebuilt = rebuild_daily_sales(&*shop.store.books(), &mut ()).await;
    assert!(matches!(rebuilt, Err(RebuildError::Damaged(Finding::Order { order_id, .. })) if order_id == shop.paid));
    assert_eq!(shop.store.snapshot(), before);
    Ok(())
}
