use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::audit::AuditChain;
use crate::coupon::CampaignChange;
use crate::idempotency::{Fingerprint, IdempotencyKey, RenderedAnswer, RequestKey, StoredAnswer};
use crate::order::Cancellation;
use crate::product::ProductDetails;
use crate::testing::SequentialIds;
use crate::testing::fixtures::{
    NOON, account_with, campaign, campaign_details, event, fixed, noon_plus, order_line, pending_order,
    product_details, text, user, won, won_currency,
};

fn id<Id: From<uuid::Uuid>>(number: u64) -> Id {
    SequentialIds::id(number).into()
}

fn order() -> Order {
    pending_order(id(1), &user("kim"), vec![order_line(id(2), 1, 100)], NOON)
}

fn product() -> Product {
    Product::create(id(2), product_details("lamp", 100), NOON)
}

fn stock() -> Stock {
    Stock { available: 5, ..Stock::empty(id(2)) }
}

fn account(balance: i64) -> PointAccount {
    account_with(&user("kim"), |record| record.balance = won(balance))
}

fn nine_coupons() -> CouponCampaign {
    campaign(id(3), campaign_details(fixed(1), 9))
}

/// A coupon of campaign 3 for kim.
fn coupon(number: u64) -> Coupon {
    nine_coupons().issue(&user("kim"), false, id(number), NOON).expect("an open campaign").1
}

fn delivery() -> Delivery {
    Delivery::new(&event(id(5), id(1), 1))
}

fn chain(entries: u64) -> AuditChain {
    AuditChain { entries, ..AuditChain::empty(user("root")) }
}

fn empty_set() -> WorkingSet {
    WorkingSet::new(BTreeMap::new(), Locked::nothing(NOON))
}

/// A set with one declared, existing row of each table.
fn full_set() -> WorkingSet {
    let locked = Locked {
        campaigns: [(id(3), Some(nine_coupons()))].into(),
        past_recipients: [((id(3), user("kim")), true)].into(),
        unused_coupons_of: [(user("kim"), [id(4)].into())].into(),
        coupons: [(id(4), Some(coupon(4)))].into(),
        products: [(id(2), Some(LockedProduct::Whole(product())))].into(),
        skus: [(text("A"), Some(id(2)))].into(),
        stocks: [(id(2), Some(stock()))].into(),
        accounts: [(user("kim"), Some(account(5)))].into(),
        events: [(id(5), Some(delivery()))].into(),
        audit_chains: [(user("root"), Some(chain(1)))].into(),
        ..Locked::nothing(NOON)
    };
    WorkingSet::new([(id(1), Some(order()))].into(), locked)
}

/// A set with the same declared rows, all absent.
fn declared_set() -> WorkingSet {
    let locked = Locked {
        campaigns: [(id(3), None)].into(),
        past_recipients: [((id(3), user("kim")), false)].into(),
        unused_coupons_of: [(user("kim"), BTreeSet::new())].into(),
        coupons: [(id(4), None)].into(),
        products: [(id(2), None)].into(),
        skus: [(text("A"), None)].into(),
        stocks: [(id(2), None)].into(),
        accounts: [(user("kim"), None)].into(),
        events: [(id(5), None)].into(),
        audit_chains: [(user("root"), None)].into(),
        ..Locked::nothing(NOON)
    };
    WorkingSet::new([(id(1), None)].into(), locked)
}

/// A read of one table; returns whether the row exists.
type Read = fn(&WorkingSet) -> bool;

const READS: [(&str, Read); 12] = [
    ("order", |set| set.order(id(1)).is_some()),
    ("campaign", |set| set.campaign(id(3)).is_some()),
    ("recipient", |set| set.has_received_coupon(id(3), &user("kim"))),
    ("unused coupons of", |set| set.unused_coupons_of(&user("kim")).next().is_some()),
    ("coupon", |set| set.coupon(id(4)).is_some()),
    ("product", |set| set.product(id(2)).is_some()),
    // An offer is a part of the product.
    ("product", |set| set.offer(id(2)).is_some()),
    ("SKU", |set| set.product_of_sku(&text("A")).is_some()),
    ("stock", |set| set.stock(id(2)).is_some()),
    ("account", |set| set.account(&user("kim")).balance.is_positive()),
    ("event", |set| set.delivery(id(5)).is_some()),
    ("audit chain", |set| set.audit_chain(&user("root")).entries > 0),
];

fn panic_message<T>(run: impl FnOnce() -> T) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    Some(text.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a panic with a message"))
}

#[test]
fn reading_an_undeclared_row_panics_in_every_table() {
    let set = empty_set();
    for (table, read) in READS {
        let message = panic_message(|| read(&set)).unwrap_or_else(|| panic!("an undeclared {table} is read"));
        let expected = format!("no command of the batch declared {table} ");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[test]
fn declared_rows_are_found_or_absent() {
    let [full, declared] = [full_set(), declared_set()];
    for (table, read) in READS {
        assert!(read(&full), "{table} exists");
        assert!(!read(&declared), "{table} is absent");
    }
    assert_eq!(declared.account(&user("kim")), PointAccount::empty(user("kim")));
}

#[test]
fn a_product_that_is_declared_as_an_offer_cannot_be_read_whole() {
    let products = [(id(2), Some(LockedProduct::Offer(product().offer())))].into();
    let set = WorkingSet::new(BTreeMap::new(), Locked { products, ..Locked::nothing(NOON) });
    assert_eq!(set.offer(id(2)), Some(product().offer()));
    assert!(panic_message(|| set.product(id(2)).cloned()).is_some());
}

#[test]
fn a_sku_is_found_at_the_product_that_has_it_last() {
    let locked = Locked { skus: [(text("A"), Some(id(2))), (text("B"), None)].into(), ..Locked::nothing(NOON) };
    let mut set = WorkingSet::new(BTreeMap::new(), locked);
    let mut take = |number, sku: Option<&str>| {
        let details = ProductDetails { sku: sku.map(text), ..product_details("lamp", 1) };
        let products = vec![Product::create(id(number), details, NOON)];
        set.absorb(States { products, ..States::default() }, Appended::default());
        [text("A"), text("B")].map(|sku| set.product_of_sku(&sku))
    };
    assert_eq!(take(2, Some("B")), [None, Some(id(2))]);
    assert_eq!(take(3, Some("A")), [Some(id(3)), Some(id(2))]);
    assert_eq!(take(2, None), [Some(id(3)), None]);
    assert_eq!(take(4, Some("C")), [Some(id(3)), None], "an undeclared SKU is not recorded");
}

#[test]
fn a_decision_that_changes_a_row_twice_panics() {
    let twice: [States; 8] = [
        States { orders: vec![order(), order()], ..States::default() },
        States { campaigns: vec![nine_coupons(); 2], ..States::default() },
        States { coupons: vec![coupon(4), coupon(4)], ..States::default() },
        States { products: vec![product(), product()], ..States::default() },
        States { stocks: vec![stock(), stock()], ..States::default() },
        States { accounts: vec![account(1), account(2)], ..States::default() },
        States { events: vec![delivery(), delivery()], ..States::default() },
        States { audit_chains: vec![chain(1), chain(2)], ..States::default() },
    ];
    for states in twice {
        let message = panic_message(|| full_set().absorb(states.clone(), Appended::default()));
        assert!(message.is_some_and(|message| message.contains("a decision changes a row twice")), "{states:?}");
    }
}

#[test]
fn existing_rows_are_updated_and_absent_rows_inserted() {
    let more = CampaignChange { quantity: Some(10), ..CampaignChange::default() };
    let raised = nine_coupons().change(&more, noon_plus(1)).expect("more coupons");
    let Ok(Cancellation::Unpaid(cancelled)) = order().cancel(won_currency(), NOON) else {
        panic!("an unpaid order is cancellable");
    };
    let after = States {
        orders: vec![cancelled.clone()],
        campaigns: vec![raised.clone()],
        coupons: vec![coupon(4).revoke().expect("an unused coupon")],
        products: vec![product().change(product_details("chair", 1), noon_plus(1))],
        stocks: vec![Stock { available: 4, ..stock() }],
        accounts: vec![account(6)],
        events: vec![delivery().redeliver(noon_plus(1))],
        audit_chains: vec![chain(2)],
    };
    let [mut full, mut declared] = [full_set(), declared_set()];
    for set in [&mut full, &mut declared] {
        set.absorb(after.clone(), Appended::default());
    }
    assert_eq!(full.order(id(1)), Some(&cancelled));
    assert_eq!(declared.order(id(1)), Some(&cancelled));

    let States { orders, campaigns, coupons, products, stocks, accounts, events, audit_chains } = after.clone();
    let updated = Changes {
        orders: RowChanges::updated([(order(), cancelled)]),
        campaigns: RowChanges::updated([(nine_coupons(), raised)]),
        coupons: RowChanges::updated([(coupon(4), coupons[0].clone())]),
        products: RowChanges::updated([(product(), products[0].clone())]),
        stocks: RowChanges::updated([(stock(), stocks[0].clone())]),
        accounts: RowChanges::updated([(account(5), accounts[0].clone())]),
        events: RowChanges::updated([(delivery(), events[0].clone())]),
        audit_chains: RowChanges::updated([(chain(1), audit_chains[0].clone())]),
        appended: Appended::default(),
    };
    assert_eq!(full.into_changes(), updated);
    let inserted = Changes {
        orders: RowChanges::inserted(orders),
        campaigns: RowChanges::inserted(campaigns),
        coupons: RowChanges::inserted(coupons),
        products: RowChanges::inserted(products),
        stocks: RowChanges::inserted(stocks),
        accounts: RowChanges::inserted(accounts),
        events: RowChanges::inserted(events),
        audit_chains: RowChanges::inserted(audit_chains),
        appended: Appended::default(),
    };
    assert_eq!(declared.into_changes(), inserted);
}

#[test]
fn a_row_that_is_changed_back_is_no_change() {
    let mut set = full_set();
    for balance in [6, 5] {
        set.absorb(States { accounts: vec![account(balance)], ..States::default() }, Appended::default());
    }
    assert_eq!(set.into_changes(), Changes::default());
}

#[test]
fn a_row_is_written_once_in_its_final_state() {
    let mut set = full_set();
    let new = |available| Stock { available, ..Stock::empty(id(9)) };
    for (balance, available) in [(6, 1), (7, 2)] {
        let states = States { accounts: vec![account(balance)], stocks: vec![new(available)], ..States::default() };
        set.absorb(states, Appended::default());
    }
    let expected = Changes {
        accounts: RowChanges::updated([(account(5), account(7))]),
        stocks: RowChanges::inserted([new(2)]),
        ..Changes::default()
    };
    assert_eq!(set.into_changes(), expected);
}

#[test]
fn rows_are_written_in_ascending_order_of_their_keys() {
    let mut set = empty_set();
    for number in [3, 1, 2] {
        set.absorb(States { stocks: vec![Stock::empty(id(number))], ..States::default() }, Appended::default());
    }
    assert_eq!(set.into_changes().stocks, RowChanges::inserted([1, 2, 3].map(|number| Stock::empty(id(number)))));
}

#[test]
fn a_coupon_issued_in_the_batch_is_a_candidate_and_counts_as_received() {
    let mut set = declared_set();
    set.absorb(States { coupons: vec![coupon(4)], ..States::default() }, Appended::default());
    assert_eq!(set.unused_coupons_of(&user("kim")).collect::<Vec<_>>(), [&coupon(4)]);
    assert!(set.has_received_coupon(id(3), &user("kim")));
}

/// A later payment of the same batch may use a coupon that a refund has restored.
#[test]
fn a_coupon_restored_in_the_batch_is_a_candidate() {
    let used = coupon(4).use_for(id(1), NOON);
    let locked = Locked {
        unused_coupons_of: [(user("kim"), BTreeSet::new())].into(),
        coupons: [(id(4), Some(used.clone()))].into(),
        ..Locked::nothing(NOON)
    };
    let mut set = WorkingSet::new(BTreeMap::new(), locked);
    let restored = used.restore(id(1), NOON).expect("a valid coupon");
    set.absorb(States { coupons: vec![restored.clone()], ..States::default() }, Appended::default());
    assert_eq!(set.unused_coupons_of(&user("kim")).collect::<Vec<_>>(), [&restored]);
}

#[test]
fn a_product_created_in_the_batch_is_on_offer() {
    let mut set = declared_set();
    set.absorb(States { products: vec![product()], ..States::default() }, Appended::default());
    assert_eq!((set.product(id(2)), set.offer(id(2))), (Some(&product()), Some(product().offer())));
}

#[test]
fn appended_rows_alone_are_a_change() {
    let answer = |key| StoredAnswer {
        request: IdempotencyKey { key: RequestKey([key; 16]), fingerprint: Fingerprint([0; 16]) },
        answer: RenderedAnswer { head: String::new(), body: String::new() },
        at: NOON,
    };
    let mut set = full_set();
    assert_eq!(set.clone().into_changes(), Changes::default());
    for answers in [vec![answer(3), answer(1)], vec![answer(2)]] {
        set.absorb(States::default(), Appended { answers, ..Appended::default() });
    }
    let changes = set.into_changes();
    assert_ne!(changes, Changes::default());
    assert_eq!(changes.appended.answers, [1, 2, 3].map(answer));
}
