use jangteo_domain::coupon::{Coupon, CouponState};
use jangteo_domain::idempotency::{RenderedAnswer, StoredAnswer};
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::Product;
use jangteo_domain::stock::Stock;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::batch_id;
use jangteo_domain::testing::fixtures::{
    NOON, account_with, campaign, campaign_details, fixed, noon_plus, order_line, pending_order, product_details, user,
    won,
};
use jangteo_domain::time::Timestamp;
use jangteo_domain::transaction::{Changes, FirstKeys, LockSet, ProductDepth};

use crate::contract::harness::{
    Concurrency, Keys, LockableRow, Seeds, TestResult, TransactionHarness, answer, answers, append, assert_conflict,
    assert_stored, assert_unexpected, commit, commit_as, insert, lock, request, row, rows, set, view,
};
use crate::contract::lockable::{Rows, Sample, timeless};
use crate::contract::samples;

/// A duplicate key is a conflict and stores nothing: of an answer, order, product, stock, campaign, coupon, coupon of a
/// campaign and user, account, payment of an order, or the sequence number of an entry, movement or event.
pub async fn a_row_whose_key_exists_is_a_conflict(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [order] = seeds.orders().await?;
    let (owner, product_id) = (&order.user_id, order.lines[0].product_id);
    let [a, b] = [samples::seed_campaign(&seeds, 9).await?, samples::seed_campaign(&seeds, 9).await?];
    let coupon = |campaign, owner| samples::coupon(&seeds, campaign, owner, CouponState::Unused, Timestamp::MAX);
    let [stored, of_another, second] = [coupon(&a, owner), coupon(&b, &user("other")), coupon(&a, owner)];
    let product = Product::create(seeds.id(), product_details("lamp", 1), NOON);
    let rich = account_with(owner, |record| record.balance = won(7));
    let entry = || samples::top_up(&seeds, owner, 1);
    let movement = || samples::adjustment(&seeds, product_id, 1);
    let event = || samples::paid_event(&seeds, &order, NOON);
    let payment = || samples::payment(&seeds, &order);
    commit(harness, insert([stored.clone()])).await?;
    commit(harness, insert([product.clone()])).await?;
    for appended in
        [append([answer(1)]), append([payment()]), append([entry()]), append([movement()]), append([event()])]
    {
        commit(harness, appended).await?;
    }

    let other_answer = RenderedAnswer { head: "409".to_owned(), body: "{}".to_owned() };
    let duplicates = [
        ("answer", append([StoredAnswer { answer: other_answer, request: request(1, 2), at: noon_plus(1) }])),
        ("order", insert([pending_order(order.id, owner, vec![order_line(product_id, 9, 9)], noon_plus(9))])),
        ("product", insert([product.change(product_details("chair", 2), noon_plus(1))])),
        ("stock", insert([Stock { available: 99, ..Stock::empty(product_id) }])),
        ("campaign", insert([campaign(a.id, campaign_details(fixed(2), 1))])),
        ("coupon", insert([Coupon { id: stored.id, ..of_another }])),
        ("coupon of one campaign and user", insert([second])),
        ("account", insert([rich])),
        ("payment", append([payment()])),
        ("entry", append([entry()])),
        ("movement", append([movement()])),
        ("event", append([event()])),
    ];
    let keys = Keys {
        first: FirstKeys { answers: set([answer(1).request.key]), orders: set([order.id]) },
        locks: LockSet {
            campaigns: set([a.id, b.id]),
            coupons: set([stored.id]),
            products: [(product.id, ProductDepth::Whole)].into(),
            stocks: set([product_id]),
            accounts: set([owner.clone()]),
            ..LockSet::default()
        },
    };
    let before = timeless(view(harness, &keys).await?);
    for (name, mut duplicate) in duplicates {
        duplicate.appended.answers.push(answer(9));
        let id = batch_id();
        let ended = commit_as(harness, id, duplicate).await;
        assert!(matches!(ended, Err(StoreError::Conflict(_))), "{name}: {ended:?}");
        assert!(!harness.factory().committed(id).await?, "{name}");
        assert_eq!(answers(harness, [answer(9).request.key]).await?, [], "{name}");
        assert_eq!(timeless(view(harness, &keys).await?), before, "{name}");
    }
    Ok(())
}

/// Two units of work may look for the same missing account and insert it: neither waits for the other's query, and the
/// second commit is a conflict.
pub async fn of_two_insertions_of_one_account_the_second_is_a_conflict(harness: &dyn TransactionHarness) -> TestResult {
    if harness.concurrency() == Concurrency::SingleWriter {
        return Ok(()); // The second unit of work begins after the first, and finds the account.
    }
    let kim = user("kim");
    let keys = Keys::of::<PointAccount>([kim.clone()]);
    let [(first, _), (second, _)] = [lock(harness, &keys).await?, lock(harness, &keys).await?];
    let rich = account_with(&kim, |record| record.balance = won(5));
    first.commit(insert([rich.clone()])).await?;
    assert_conflict(second.commit(insert([PointAccount::empty(kim)])).await);
    assert_stored(harness, &[rich]).await
}

/// Runs a check on the sample of each lockable table.
macro_rules! for_each_table {
    ($sample:ident, $check:ident($harness:ident)) => {
        $check($harness, &$sample.orders).await?;
        $check($harness, &$sample.campaigns).await?;
        $check($harness, &$sample.coupons).await?;
        $check($harness, &$sample.products).await?;
        $check($harness, &$sample.stocks).await?;
        $check($harness, &$sample.accounts).await?;
        $check($harness, &$sample.events).await?;
        $check($harness, &$sample.audit_chains).await?;
    };
}

/// An update of an unlocked row is an error and stores nothing, even if another row of its table is locked.
pub async fn a_row_that_is_not_locked_cannot_be_updated(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    for_each_table!(sample, assert_needs_lock(harness));
    Ok(())
}

async fn assert_needs_lock<Row: LockableRow>(harness: &dyn TransactionHarness, sample: &Sample<Row>) -> TestResult {
    let [_, other] = &sample.stored;
    for keys in [Keys::default(), Keys::of::<Row>([other.key()])] {
        let (unit_of_work, _) = lock(harness, &keys).await?;
        assert_unexpected(unit_of_work.commit(with_answer(sample.update(0))).await);
        assert_stored(harness, &sample.stored).await?;
        assert_eq!(answers(harness, [answer(9).request.key]).await?, []);
    }
    Ok(())
}

/// An update of a missing row is an error and stores nothing.
pub async fn a_row_that_is_not_stored_cannot_be_updated(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    for_each_table!(sample, assert_needs_row(harness));
    Ok(())
}

async fn assert_needs_row<Row: LockableRow>(harness: &dyn TransactionHarness, sample: &Sample<Row>) -> TestResult {
    let mut changes = with_answer(sample.update(0));
    let absent = Row::table(&mut sample.update_absent()).updated.clone();
    Row::table(&mut changes).updated.extend(absent);
    assert_unexpected(commit(harness, changes).await);
    assert_eq!(rows::<Row>(harness, [sample.absent.key()]).await?, []);
    let [first, _] = &sample.stored;
    assert_eq!(row::<Row>(harness, first.key()).await?, *first);
    assert_eq!(answers(harness, [answer(9).request.key]).await?, []);
    Ok(())
}

fn with_answer(mut changes: Changes) -> Changes {
    changes.appended.answers.push(answer(9));
    changes
}

/// An update changes its own row only: two updates in one batch have their own values, and other rows are unchanged.
pub async fn updates_of_one_batch_change_their_own_rows(harness: &dyn TransactionHarness) -> TestResult {
    let sample = Rows::seed(harness).await?;
    let Rows { orders, campaigns, coupons, products, stocks, accounts, events, audit_chains } = &sample;
    let changes = Changes {
        orders: orders.update(1).orders,
        campaigns: campaigns.update(0).campaigns,
        coupons: coupons.update(1).coupons,
        products: products.update(0).products,
        stocks: stocks.update(1).stocks,
        accounts: accounts.update(0).accounts,
        events: events.update(1).events,
        audit_chains: audit_chains.update(0).audit_chains,
        ..Changes::default()
    };
    commit(harness, changes).await?;
    assert_updated(harness, orders, 1).await?;
    assert_updated(harness, campaigns, 0).await?;
    assert_updated(harness, coupons, 1).await?;
    assert_updated(harness, products, 0).await?;
    assert_updated(harness, stocks, 1).await?;
    assert_updated(harness, accounts, 0).await?;
    assert_updated(harness, events, 1).await?;
    assert_updated(harness, audit_chains, 0).await
}

async fn assert_updated<Row: LockableRow>(
    harness: &dyn TransactionHarness,
    sample: &Sample<Row>,
    place: usize,
) -> TestResult {
    let mut expected = sample.stored.clone();
    expected[place] = (sample.change)(&expected[place]);
    assert_stored(harness, &expected).await
}
