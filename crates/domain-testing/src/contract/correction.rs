use std::fmt::Debug;

use time::Month;

use jangteo_domain::command::CouponChoice;
use jangteo_domain::id::ProductId;
use jangteo_domain::retention::Retention;
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{campaign_details, percent, user, won};
use jangteo_domain::verification::{Books, Rows, rebuild_daily_sales, verify};

use crate::TestShop;
use crate::contract::harness::{StoreHarness, TestResult, append, assert_conflict, commit, date};

/// Two users order, pay with coupons, cancel and order again.
async fn trade(shop: &TestShop) -> Result<ProductId, StoreError> {
    let [lamp, chair] = [shop.lamp(1_000, 100).await?, shop.lamp(333, 100).await?];
    let campaign = shop.campaign(campaign_details(percent(10), 9)).await?;
    for name in ["kim", "lee"] {
        let user = shop.user(name, 100_000).await?;
        shop.coupon(campaign, &user).await?;
        for is_cancelled in [true, false] {
            let order = shop.order(&user, &[(lamp, 2), (chair, 1)]).await?;
            shop.pay(order, &user, CouponChoice::Best).await?.expect("a payment");
            if is_cancelled {
                shop.cancel(order, &user).await?.expect("a cancellation");
            }
            shop.order(&user, &[(chair, 3)]).await?;
        }
    }
    Ok(lamp)
}

async fn assert_no_findings(books: &mut dyn Books) -> Result<u64, StoreError> {
    let mut findings = Vec::new();
    let summary = verify(books, &Retention::default(), &mut (), &mut |finding| findings.push(finding)).await?;
    assert_eq!(findings, []);
    Ok(summary.rows())
}

/// A later commit is not visible in open books, and does not wait for them.
pub async fn the_books_are_a_snapshot_despite_later_commits(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let lamp = trade(&shop).await?;
    let mut books = harness.books().open().await?;
    let kim = user("kim");
    let order = shop.order(&kim, &[(lamp, 1)]).await?;
    shop.pay(order, &kim, CouponChoice::None).await?.expect("a payment");
    let before = assert_no_findings(&mut *books).await?;
    let after = assert_no_findings(&mut *harness.books().open().await?).await?;
    assert!(before < after, "{before} rows before, {after} after");
    assert!(books.orders_of(&[order]).await?.rows.is_empty());
    Ok(())
}

/// Walks a list to its end by pages of a given size.
macro_rules! walk {
    ($books:ident, $list:ident, $limit:expr) => {{
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let Rows { rows: mut page, unreadable, next } = $books.$list(after, $limit).await?;
            assert_eq!(unreadable, []);
            assert!(page.len() <= $limit as usize, "a page is longer than its limit");
            rows.append(&mut page);
            match next {
                Some(next) => after = Some(next),
                None => break rows,
            }
        }
    }};
}

#[track_caller]
fn assert_walks_agree<Row: PartialEq + Debug>(list: &str, walks: [Vec<Row>; 3]) {
    let [by_one, by_two, at_once] = walks;
    assert_eq!(by_one, at_once, "{list}");
    assert_eq!(by_two, at_once, "{list}");
}

/// A list has the same rows in the same order with any page size.
pub async fn the_lists_of_the_books_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    trade(&TestShop::new(harness.factory())).await?;
    let mut books = harness.books().open().await?;
    macro_rules! assert_each {
        ($($list:ident: $rows:literal,)*) => {$(
            let walks = [walk!(books, $list, 1), walk!(books, $list, 2), walk!(books, $list, 1_000)];
            assert_eq!(walks[2].len(), $rows, stringify!($list));
            assert_walks_agree(stringify!($list), walks);
        )*};
    }
    assert_each! {
        accounts: 2, open_orders: 2, entries: 8, products: 2, stocks: 2, movements: 18, orders: 8,
        stray_order_lines: 0, payments: 4, refunds: 2, stray_refund_lines: 0, entries_by_order: 6,
        movements_by_order: 16, events: 6, campaigns: 1, coupons: 2, daily_sales: 2,
    }
    let orders = walk!(books, orders, 1_000);
    assert!(orders.iter().all(|order| !order.lines.is_empty()));
    let ids: Vec<_> = orders.iter().map(|order| order.id).collect();
    let mut found = books.orders_of(&ids).await?.rows;
    found.sort_by_key(|order| order.id);
    assert_eq!(found, orders);
    let mut coupons = walk!(books, coupons, 1_000);
    let ids: Vec<_> = coupons.iter().map(|coupon| coupon.id).collect();
    let mut found = books.coupons_of(&ids).await?.rows;
    coupons.sort_by_key(|coupon| coupon.id);
    found.sort_by_key(|coupon| coupon.id);
    assert_eq!(found, coupons);
    Ok(())
}

fn sale(product_id: ProductId, quantity: i64, revenue: i64) -> SaleCounted {
    SaleCounted { day: date(2020, Month::January, 1), product_id, quantity, revenue: won(revenue) }
}

/// A correction of wrong daily sales makes the books agree.
pub async fn a_correction_adds_to_the_rows_of_its_time(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let lamp = trade(&shop).await?;
    commit(harness, append([sale(lamp, 7, 70)])).await?;
    let mut findings = Vec::new();
    verify(&mut *harness.books().open().await?, &Retention::default(), &mut (), &mut |finding| findings.push(finding))
        .await?;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let rebuild = async || rebuild_daily_sales(&*harness.books(), &mut ()).await.expect("nothing is damaged");
    assert_eq!(rebuild().await, 1);
    assert_no_findings(&mut *harness.books().open().await?).await?;
    assert_eq!(rebuild().await, 0);
    Ok(())
}

/// Of two corrections based on the same state, one fails: the difference is not added twice.
pub async fn of_two_corrections_only_one_succeeds(harness: &dyn StoreHarness) -> TestResult {
    let lamp = trade(&TestShop::new(harness.factory())).await?;
    let first = harness.books().open_to_correct().await?;
    let second = harness.books().open_to_correct().await;
    first.add_sales(&[sale(lamp, 0, 0)]).await?;
    match second {
        Ok(second) => assert_conflict(second.add_sales(&[sale(lamp, 1, 1)]).await),
        Err(error) => assert_conflict::<()>(Err(error)),
    }
    assert_no_findings(&mut *harness.books().open().await?).await?;
    harness.books().open_to_correct().await?.add_sales(&[sale(lamp, 0, 0)]).await
}
