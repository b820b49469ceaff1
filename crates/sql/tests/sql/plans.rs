//! The plans of the lists on SQLite, which chooses an index by the statement alone: it has no statistics of the rows. Each
//! list follows an index in its order, so that a page reads no more rows of a larger table.

use jangteo_domain::StoreError;
use jangteo_domain::audit::AuditFilter;
use jangteo_domain::coupon::{CouponFilter, CouponStatus};
use jangteo_domain::delivery::DeliveryState;
use jangteo_domain::id::ProductId;
use jangteo_domain::order::{OrderFilter, OrderStatus};
use jangteo_domain::page::Page;
use jangteo_domain::product::{PriceRange, ProductFilter, ProductSort};
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::testing::fixtures::{user, won};
use jangteo_domain_testing::TestShop;
use time::macros::date;

use crate::server::TestDatabase;
use crate::statements;

/// The step of a plan that sorts the rows.
const SORTS: &str = "USE TEMP B-TREE FOR ORDER BY";

fn first<K>() -> Page<K> {
    Page { after: None, limit: 20 }
}

/// Checks the statements since the last check.
fn assert_sorted_by_index(database: &TestDatabase, list: &str) {
    let texts = statements::take();
    assert!(!texts.is_empty(), "{list}: no statement");
    // The products that sold are found by their sales, which no index has in their order.
    for text in texts.iter().filter(|text| text.starts_with("SELECT") && !text.contains("ORDER BY sales.sold")) {
        let plan = database.plan(text);
        assert!(!plan.is_empty() && plan.iter().all(|step| !step.contains(SORTS)), "{list}: {plan:#?}\n{text}");
    }
}

fn product_filters() -> Vec<ProductFilter> {
    let sorts = [
        ProductSort::Newest,
        ProductSort::PriceAscending,
        ProductSort::PriceDescending,
        ProductSort::Name,
        ProductSort::Popular { since: date!(2026 - 01 - 01) },
    ];
    let prices = PriceRange { min: Some(won(1)), max: Some(won(9)) };
    let filters = |sort| {
        let all = ProductFilter {
            all_states: true,
            category: None,
            options: Vec::new(),
            text: None,
            price: PriceRange::default(),
            in_stock: false,
            max_available: None,
            sort,
        };
        let on_sale = ProductFilter { all_states: false, ..all.clone() };
        let in_stock = ProductFilter { in_stock: true, ..on_sale.clone() };
        let mut filters = vec![all.clone(), on_sale.clone(), in_stock];
        match sort {
            ProductSort::PriceAscending | ProductSort::PriceDescending => {
                filters.extend([all, on_sale].map(|filter| ProductFilter { price: prices, ..filter }));
            }
            ProductSort::Newest | ProductSort::Popular { .. } => {
                let category = Some("lamps".to_owned().try_into().expect("a category"));
                filters.extend([all, on_sale].map(|filter| ProductFilter { category: category.clone(), ..filter }));
            }
            ProductSort::Name => {}
        }
        filters
    };
    sorts.into_iter().flat_map(filters).collect()
}

fn order_filters(product_id: ProductId) -> Vec<OrderFilter> {
    use OrderStatus::{Cancelled, Expired, Paid, PartiallyRefunded, PendingPayment, Refunded};
    let product_id = Some(product_id);
    let of = [
        OrderFilter::default(),
        OrderFilter::of_user(&user("kim")),
        OrderFilter { product_id, ..OrderFilter::default() },
        OrderFilter { product_id, ..OrderFilter::of_user(&user("kim")) },
    ];
    let statuses = [PendingPayment, Paid, PartiallyRefunded, Refunded, Cancelled, Expired].map(Some);
    let with = |filter: OrderFilter| statuses.map(|status| OrderFilter { status, ..filter.clone() });
    let filters = of.iter().cloned().chain(of.iter().cloned().flat_map(with));
    // All unpaid orders are those of a few minutes.
    let are_few =
        |filter: &OrderFilter| *filter == OrderFilter { status: Some(PendingPayment), ..OrderFilter::default() };
    filters.filter(|filter| !are_few(filter)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_list_follows_an_index_in_its_order() -> Result<(), StoreError> {
    statements::record();
    let database = TestDatabase::sqlite().await;
    let queries = database.database.queries();
    queries.clock.now().await?; // Opens a connection.
    statements::take();
    for filter in product_filters() {
        queries.products.list(&filter, &first()).await?;
        assert_sorted_by_index(&database, &format!("{filter:?}"));
    }
    // The orders of a product are found by their ids. Beyond ten ids, SQLite takes an index of one value for better.
    let shop = TestShop::new(database.database.unit_of_work_factory());
    let (lamp, buyer) = (shop.lamp(1_000, 100).await?, shop.user("kim", 10_000).await?);
    for _ in 0..first::<()>().limit {
        shop.order(&buyer, &[(lamp, 1)]).await?;
    }
    statements::take();
    for filter in order_filters(lamp) {
        queries.orders.list(&filter, &first()).await?;
        assert_sorted_by_index(&database, &format!("{filter:?}"));
    }
    for state in [None, Some(DeliveryState::Pending), Some(DeliveryState::Delivered), Some(DeliveryState::Dead)] {
        queries.deliveries.list(state, &first()).await?;
        assert_sorted_by_index(&database, &format!("events {state:?}"));
    }
    for (actor, subject_id) in [(false, false), (true, false), (false, true), (true, true)] {
        let filter =
            AuditFilter { actor: actor.then(|| user("kim")), subject_id: subject_id.then(|| "kim".to_owned()) };
        queries.audit.list(&filter, &first()).await?;
        assert_sorted_by_index(&database, &format!("{filter:?}"));
    }
    let statuses = [CouponStatus::Usable, CouponStatus::Used, CouponStatus::Expired, CouponStatus::Revoked];
    for filter in statuses.map(CouponFilter::Only).into_iter().chain([CouponFilter::All]) {
        queries.coupons.coupons_of_campaign(SequentialIds::id(1).into(), filter, &first()).await?;
        assert_sorted_by_index(&database, &format!("coupons of a campaign, {filter:?}"));
        queries.coupons.coupons(&user("kim"), filter, &first()).await?;
        assert_sorted_by_index(&database, &format!("coupons of a user, {filter:?}"));
    }
    queries.coupons.campaigns(&first()).await?;
    assert_sorted_by_index(&database, "campaigns");
    queries.points.entries(&user("kim"), &first()).await?;
    assert_sorted_by_index(&database, "entries");
    queries.stocks.movements(SequentialIds::id(1).into(), &first()).await?;
    assert_sorted_by_index(&database, "movements");
    Ok(())
}
