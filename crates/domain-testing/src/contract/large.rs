use jangteo_domain::coupon::{Coupon, CouponState};
use jangteo_domain::delivery::Delivery;
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RenderedAnswer, RequestKey, StoredAnswer};
use jangteo_domain::order::{Order, OrderLine, OrderStatus};
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::{Product, ProductDetails};
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::stock::{Stock, StockMovement};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{
    NOON, account_with, campaign, campaign_details, fixed, options, order_line, order_with, pending_order,
    product_details, text, user, won,
};
use jangteo_domain::time::Timestamp;
use jangteo_domain::transaction::{Appended, Changes, LockSet, RowChanges};

use crate::contract::harness::{
    Seeds, StoreHarness, TestResult, TransactionHarness, answers, append, appended, assert_stored, commit, first_page,
    insert, locked, set, update, wide,
};
use crate::contract::samples::{self, DAY};

/// Above the parameter limit of a statement in any database.
const ROWS: u32 = 10_000;

/// A Korean name of maximum length.
fn long_name() -> String {
    "가나다라마".repeat(40)
}

fn accounts_with_entries(seeds: &Seeds<'_>) -> (Vec<PointAccount>, Changes) {
    let account = |n| {
        account_with(&user(&format!("user-{n:05}")), |record| {
            record.balance = won(i64::from(n));
            record.entries = 1;
        })
    };
    let accounts: Vec<_> = (0..ROWS).map(account).collect();
    let entries = accounts.iter().map(|account| samples::top_up(seeds, &account.user_id, 1));
    let changes = Changes { appended: appended(entries), ..insert(accounts.clone()) };
    (accounts, changes)
}

/// Accounts and ledger entries, inserted and updated.
pub async fn thousands_of_accounts_fit_one_unit_of_work(harness: &dyn TransactionHarness) -> TestResult {
    let (accounts, changes) = accounts_with_entries(&Seeds::new(harness));
    commit(harness, changes).await?;
    assert_stored(harness, &accounts).await?;
    let open = |account: &PointAccount| account_with(&account.user_id, |record| record.open_orders = 1);
    let changed: Vec<_> = accounts.iter().map(open).collect();
    commit(harness, update(accounts.into_iter().zip(changed.clone()))).await?;
    assert_stored(harness, &changed).await
}

struct Catalog {
    products: Vec<Product>,
    stocks: Vec<Stock>,
    movements: Vec<StockMovement>,
}

impl Catalog {
    fn new(seeds: &Seeds<'_>) -> Self {
        let details = ProductDetails {
            name: text(&long_name()),
            options: options(&[("color", "red")]),
            ..product_details("lamp", 1_000)
        };
        let products: Vec<_> = (0..ROWS).map(|_| Product::create(seeds.id(), details.clone(), NOON)).collect();
        let stock = |(available, product): (u64, &Product)| Stock { product_id: product.id, available, movements: 1 };
        let stocks: Vec<_> = (0..).zip(&products).map(stock).collect();
        let movements = products.iter().map(|product| samples::adjustment(seeds, product.id, 1)).collect();
        Self { products, stocks, movements }
    }

    fn insert(&self) -> Changes {
        let products = RowChanges::inserted(self.products.clone());
        Changes { products, ..insert(self.products.iter().map(|product| Stock::empty(product.id))) }
    }

    /// Changes options, fills stocks and sells one item of each product.
    fn update(&self) -> (Vec<Product>, Changes) {
        let change = |product: &Product| {
            let details = ProductDetails { options: options(&[("size", "L")]), ..product.details.clone() };
            product.change(details, NOON)
        };
        let changed: Vec<_> = self.products.iter().map(change).collect();
        let filled = self.stocks.iter().map(|stock| (Stock::empty(stock.product_id), stock.clone()));
        let sale = |product: &Product| SaleCounted { day: DAY, product_id: product.id, quantity: 1, revenue: won(1) };
        let changes = Changes {
            products: RowChanges::updated(self.products.iter().cloned().zip(changed.clone())),
            stocks: RowChanges::updated(filled),
            appended: Appended {
                stock_movements: self.movements.clone(),
                sales: self.products.iter().map(sale).collect(),
                ..Appended::default()
            },
            ..Changes::default()
        };
        (changed, changes)
    }
}

/// Products with long names and options, stocks, movements and sales.
pub async fn thousands_of_products_fit_one_unit_of_work(harness: &dyn TransactionHarness) -> TestResult {
    let catalog = Catalog::new(&Seeds::new(harness));
    commit(harness, catalog.insert()).await?;
    assert_stored(harness, &catalog.products).await?;
    let (changed, changes) = catalog.update();
    commit(harness, changes).await?;
    assert_stored(harness, &changed).await?;
    assert_stored(harness, &catalog.stocks).await
}

/// Campaigns, and coupons of one campaign and many users.
pub async fn thousands_of_coupons_fit_one_unit_of_work(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let campaigns: Vec<_> = (0..ROWS).map(|_| campaign(seeds.id(), campaign_details(fixed(1), ROWS))).collect();
    let coupon = |n| {
        let owner = user(&format!("user-{n}"));
        samples::coupon(&seeds, &campaigns[0], &owner, CouponState::Unused, Timestamp::MAX)
    };
    let coupons: Vec<_> = (0..ROWS).map(coupon).collect();
    let inserted = RowChanges::inserted(coupons.clone());
    commit(harness, Changes { coupons: inserted, ..insert(campaigns.clone()) }).await?;
    assert_stored(harness, &campaigns).await?;

    let owners = coupons.iter().map(|coupon| coupon.user_id.clone());
    let locks = LockSet {
        campaigns: set([campaigns[0].id]),
        past_recipients: set(owners.clone().map(|owner| (campaigns[0].id, owner))),
        unused_coupons_of: set(owners),
        ..LockSet::default()
    };
    let found = locked(harness, locks).await?;
    assert!(found.past_recipients.len() == coupons.len() && found.past_recipients.values().all(|received| *received));
    assert!(found.unused_coupons_of.values().flatten().eq(sorted_by_owner(&coupons)));
    assert_eq!(found.coupons.into_values().flatten().collect::<Vec<_>>(), coupons);

    let revoke = |coupon: &Coupon| coupon.revoke().expect("an unused coupon");
    let revoked: Vec<_> = coupons.iter().map(revoke).collect();
    commit(harness, update(coupons.into_iter().zip(revoked.clone()))).await?;
    assert_stored(harness, &revoked).await
}

fn sorted_by_owner(coupons: &[Coupon]) -> Vec<&jangteo_domain::id::CouponId> {
    let mut sorted: Vec<_> = coupons.iter().collect();
    sorted.sort_by(|a, b| a.user_id.cmp(&b.user_id));
    sorted.into_iter().map(|coupon| &coupon.id).collect()
}

/// Commits orders with long lines, then their payments and events.
async fn commit_orders(harness: &dyn TransactionHarness) -> Result<(Vec<Order>, Vec<OutboxEvent>), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [a, b] = seeds.lamps().await?;
    let lines = || vec![OrderLine { name: long_name(), ..order_line(b, 2, 1_000) }, order_line(a, 1, 500)];
    let orders: Vec<_> = (0..ROWS).map(|_| pending_order(seeds.id(), &owner, lines(), NOON)).collect();
    commit(harness, insert(orders.clone())).await?;

    let cancel = |(n, order): (u32, &Order)| {
        order_with(order, |record| {
            record.status = OrderStatus::Cancelled;
            record.refunds = n;
            record.lines[0].discount_share = won(i64::from(n % 2_000)); // A share is at most its line.
        })
    };
    let cancelled: Vec<_> = (1..).zip(&orders).map(cancel).collect();
    let events: Vec<_> = orders.iter().map(|order| samples::paid_event(&seeds, order, NOON)).collect();
    let payments = orders.iter().map(|order| samples::payment(&seeds, order)).collect();
    let appended = Appended { payments, outbox: events.clone(), ..Appended::default() };
    commit(harness, Changes { appended, ..update(orders.into_iter().zip(cancelled.clone())) }).await?;
    Ok((cancelled, events))
}

/// Orders with lines, their payments and events.
pub async fn thousands_of_orders_fit_one_unit_of_work(harness: &dyn TransactionHarness) -> TestResult {
    let (orders, events) = commit_orders(harness).await?;
    assert_stored(harness, &orders).await?;
    assert_stored(harness, &events.iter().map(Delivery::new).collect::<Vec<_>>()).await
}

/// Answers that exceed a database's packet in total.
pub async fn thousands_of_answers_fit_one_unit_of_work(harness: &dyn TransactionHarness) -> TestResult {
    let body = wide(500);
    let stored = |n: u32| StoredAnswer {
        request: IdempotencyKey { key: RequestKey(u128::from(n).to_be_bytes()), fingerprint: Fingerprint([1; 16]) },
        answer: RenderedAnswer { head: "201".to_owned(), body: body.clone() },
        at: NOON,
    };
    let stored: Vec<_> = (0..ROWS).map(stored).collect();
    commit(harness, append(stored.clone())).await?;
    let found = answers(harness, stored.iter().map(|answer| answer.request.key)).await?;
    assert!(found == stored, "{} answers, equal to the stored ones", stored.len());
    Ok(())
}

/// Entries, sales, products, payments and events in such numbers are read.
pub async fn thousands_of_rows_are_read(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let (accounts, changes) = accounts_with_entries(&seeds);
    commit(harness, changes).await?;
    let last = accounts.last().expect("there are accounts");
    let queries = harness.queries();
    assert_eq!(queries.points.account(&last.user_id).await?.as_ref(), Some(last));
    assert_eq!(queries.points.entries(&last.user_id, &first_page(9)).await?.len(), 1);

    let catalog = Catalog::new(&seeds);
    commit(harness, catalog.insert()).await?;
    let (changed, changes) = catalog.update();
    commit(harness, changes).await?;
    let popular = queries.sales.popular(DAY, DAY, 2 * ROWS).await?;
    assert!(popular.len() == changed.len() && popular.iter().all(|sold| sold.quantity_sold == 1));
    let ids: Vec<_> = changed.iter().map(|product| product.id).collect();
    assert_eq!(queries.products.find_many(&ids).await?.len(), changed.len());
    assert_eq!(queries.stocks.available(&set(ids)).await?.len(), changed.len());
    Ok(())
}

/// Payments and events in such numbers are stored, each once.
pub async fn thousands_of_payments_and_events_are_stored(harness: &dyn StoreHarness) -> TestResult {
    let (orders, mut events) = commit_orders(harness).await?;
    assert_eq!(harness.payments().await.len(), orders.len());
    let mut stored = harness.outbox_events().await;
    stored.sort_by_key(|event| event.id);
    events.sort_by_key(|event| event.id);
    assert!(stored == events, "{} events, equal to the stored ones", events.len());
    Ok(())
}
