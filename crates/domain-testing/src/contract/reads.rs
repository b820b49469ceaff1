use time::{Duration, Month};

use jangteo_domain::id::ProductId;
use jangteo_domain::page::Page;
use jangteo_domain::product::{
    Price, PriceRange, Product, ProductDetails, ProductFilter, ProductKey, ProductListing, ProductSort, ProductStatus,
};
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{NOON, options, product_details, text, won};
use jangteo_domain::time::Date;
use uuid::Uuid;

use crate::contract::harness::{
    Seeds, StoreHarness, TestResult, append, commit, date, first_page, insert, ten_thousandths, walk,
};

/// Every product on sale, the newest first.
fn everything() -> ProductFilter {
    ProductFilter {
        all_states: false,
        category: None,
        options: vec![],
        text: None,
        price: PriceRange::default(),
        in_stock: false,
        max_available: None,
        sort: ProductSort::Newest,
    }
}

/// The products that match the filter, as positions in order of creation.
async fn places(
    harness: &dyn StoreHarness,
    products: &[Product],
    filter: &ProductFilter,
) -> Result<Vec<usize>, StoreError> {
    let rows = harness.queries().products.list(filter, &first_page(100)).await?;
    let place = |(listing, _): &(ProductListing, ProductKey)| {
        let place = products.iter().position(|product| product.id == listing.product.id);
        let place = place.expect("only products that were made");
        assert_eq!(listing.product, products[place]);
        place
    };
    Ok(rows.iter().rev().map(place).collect())
}

/// A customer's list has the products on sale, sold out or not; the back office's has all.
pub async fn product_lists_have_the_products_on_sale(harness: &dyn StoreHarness) -> TestResult {
    let in_status = |status| ProductDetails { status, ..product_details("lamp", 1) };
    let products = Seeds::new(harness)
        .products([
            (in_status(ProductStatus::OnSale), 7),
            (in_status(ProductStatus::Hidden), 7),
            (in_status(ProductStatus::Discontinued), 7),
            (in_status(ProductStatus::OnSale), 0),
        ])
        .await?;
    assert_eq!(places(harness, &products, &everything()).await?, [0, 3]);
    let all_states = ProductFilter { all_states: true, ..everything() };
    assert_eq!(places(harness, &products, &all_states).await?, [0, 1, 2, 3]);

    let rows = harness.queries().products.list(&everything(), &first_page(1)).await?;
    let newest = ProductListing { product: products[3].clone(), available: 0 };
    assert_eq!(rows, [(newest, ProductKey::Newest(products[3].id))]);
    Ok(())
}

/// Categories and options match exactly; options are AND across names and OR within a name.
pub async fn product_lists_filter_by_category_and_options(harness: &dyn StoreHarness) -> TestResult {
    let product = |category, pairs: &[_]| {
        (ProductDetails { category: text(category), options: options(pairs), ..product_details("lamp", 1) }, 1)
    };
    let products = Seeds::new(harness)
        .products([
            product("Lamps", &[("color", "red"), ("size", "L")]),
            product("lamps", &[("color", "red"), ("size", "S")]),
            product("Lamps", &[("color", "blue"), ("size", "L")]),
            product("조명", &[("color", "Red"), ("재질", "나무")]),
            product("조명", &[]),
        ])
        .await?;
    let with = |wanted: &[(&str, &[&str])]| ProductFilter {
        options: wanted
            .iter()
            .map(|(name, values)| (text(name), values.iter().map(|value| text(value)).collect()))
            .collect(),
        ..everything()
    };
    for (filter, expected) in [
        (ProductFilter { category: Some(text("Lamps")), ..everything() }, vec![0, 2]),
        (ProductFilter { category: Some(text("조명")), ..everything() }, vec![3, 4]),
        (ProductFilter { category: Some(text("lamp")), ..everything() }, vec![]),
        (with(&[("color", &["red"])]), vec![0, 1]),
        (with(&[("color", &["red", "blue"])]), vec![0, 1, 2]),
        (with(&[("color", &["red", "blue"]), ("size", &["L"])]), vec![0, 2]),
        (with(&[("color", &["red"]), ("size", &["M", "S"])]), vec![1]),
        (with(&[("size", &["red"])]), vec![]),
        (with(&[("재질", &["나무"])]), vec![3]),
        (ProductFilter { category: Some(text("Lamps")), ..with(&[("color", &["blue"])]) }, vec![2]),
    ] {
        assert_eq!(places(harness, &products, &filter).await?, expected, "{filter:?}");
    }
    Ok(())
}

/// Text search covers name and description, ignores ASCII case and has no special characters.
pub async fn product_lists_filter_by_text_literally(harness: &dyn StoreHarness) -> TestResult {
    let product =
        |name, description| (ProductDetails { description: text(description), ..product_details(name, 1) }, 1);
    let products = Seeds::new(harness)
        .products([
            product("Desk LAMP", ""),
            product("chair", "goes with the lamp"),
            product("100% cotton", "under_score"),
            product("1000 cotton", "underXscore back\\slash"),
            product("램프 🎈", "it's \"quoted\""),
            product("file*", "[a-z]?"),
        ])
        .await?;
    for (wanted, expected) in [
        ("lamp", vec![0, 1]),
        ("k lAm", vec![0]),
        ("100%", vec![2]),
        ("%", vec![2]),
        ("r_s", vec![2]),
        ("back\\slash", vec![3]),
        ("\\", vec![3]),
        ("램프", vec![4]),
        ("🎈", vec![4]),
        ("it's \"q", vec![4]),
        ("*", vec![5]),
        ("[a-z]?", vec![5]),
        ("lamp chair", vec![]),
    ] {
        let filter = ProductFilter { text: Some(text(wanted)), ..everything() };
        assert_eq!(places(harness, &products, &filter).await?, expected, "{wanted}");
    }
    Ok(())
}

/// Prices are compared as numbers, both bounds included; sold-out products can be excluded.
pub async fn product_lists_filter_by_price_and_stock(harness: &dyn StoreHarness) -> TestResult {
    let cents = ProductDetails {
        price: Price::try_from(ten_thousandths(99_900)).expect("a price"),
        ..product_details("lamp", 1)
    };
    let products = Seeds::new(harness)
        .products([
            (product_details("lamp", 0), 1),
            (product_details("lamp", 9), 0),
            (cents, 3),
            (product_details("lamp", 10), u64::MAX / 2),
            (product_details("lamp", 100), 0),
        ])
        .await?;
    let between = |min: Option<i64>, max: Option<i64>| ProductFilter {
        price: PriceRange { min: min.map(won), max: max.map(won) },
        ..everything()
    };
    for (filter, expected) in [
        (between(Some(9), Some(10)), vec![1, 2, 3]),
        (between(None, Some(9)), vec![0, 1]),
        (between(Some(10), None), vec![3, 4]),
        (between(Some(11), Some(9)), vec![]),
        (ProductFilter { in_stock: true, ..everything() }, vec![0, 2, 3]),
        (ProductFilter { in_stock: true, ..between(Some(10), None) }, vec![3]),
        (ProductFilter { max_available: Some(3), ..everything() }, vec![0, 1, 2, 4]),
        (ProductFilter { max_available: Some(2), in_stock: true, ..everything() }, vec![0]),
        (ProductFilter { max_available: Some(0), ..everything() }, vec![1, 4]),
    ] {
        assert_eq!(places(harness, &products, &filter).await?, expected, "{filter:?}");
    }
    Ok(())
}

/// Products with partly equal prices, names and sales, and the order of each sort.
async fn sorted(harness: &dyn StoreHarness) -> Result<Vec<(ProductSort, Vec<ProductId>)>, StoreError> {
    let products = Seeds::new(harness)
        .products([
            (product_details("b", 10), 1),
            (product_details("B", 9), 1),
            (product_details("a", 10), 1),
            (product_details("한", 100), 1),
            (product_details("🎈", 10), 1),
            (product_details("\u{ff5e}", 9), 1),
            (product_details("a", 100), 1),
            (product_details("a 1", 0), 1),
        ])
        .await?;
    let [today, before] = [date(2030, Month::January, 2), date(2030, Month::January, 1)];
    let ids = products.map(|product| product.id);
    let sale = |day, place: usize, quantity| SaleCounted { day, product_id: ids[place], quantity, revenue: won(1) };
    let tomorrow = today.saturating_add(Duration::days(1));
    let sales = [
        sale(before, 0, 99),
        sale(today, 2, 3),
        sale(today, 3, 0),
        sale(today, 5, 3),
        sale(today, 6, 10),
        sale(tomorrow, 7, 4),
    ];
    commit(harness, append(sales)).await?;
    let of = |places: [usize; 8]| places.map(|place| ids[place]).to_vec();
    let since = |day: Date| ProductSort::Popular { since: day };
    Ok(vec![
        (ProductSort::Newest, of([7, 6, 5, 4, 3, 2, 1, 0])),
        (ProductSort::PriceAscending, of([7, 1, 5, 0, 2, 4, 3, 6])),
        (ProductSort::PriceDescending, of([6, 3, 4, 2, 0, 5, 1, 7])),
        (ProductSort::Name, of([1, 2, 6, 7, 0, 3, 5, 4])),
        (since(today), of([6, 7, 2, 5, 0, 1, 3, 4])),
        (since(before), of([0, 6, 7, 2, 5, 1, 3, 4])),
    ])
}

/// Each sort has its order, with ties by id.
pub async fn product_lists_sort_every_way(harness: &dyn StoreHarness) -> TestResult {
    for (sort, expected) in sorted(harness).await? {
        let filter = ProductFilter { sort, ..everything() };
        let rows = harness.queries().products.list(&filter, &first_page(100)).await?;
        let ids: Vec<_> = rows.iter().map(|(listing, _)| listing.product.id).collect();
        assert_eq!(ids, expected, "{sort:?}");
        for (listing, key) in &rows {
            let id = match key {
                ProductKey::Newest(id) | ProductKey::Popular(_, id) => id,
                ProductKey::Price(price, id) => {
                    assert_eq!(*price, listing.product.details.price.get());
                    id
                }
                ProductKey::Name(name, id) => {
                    assert_eq!(name, listing.product.details.name.as_str());
                    id
                }
            };
            assert_eq!(*id, listing.product.id);
        }
    }
    Ok(())
}

/// In each sort and with any page size, a walk returns each product once despite concurrent inserts.
pub async fn product_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let sorted = sorted(harness).await?;
    let queries = harness.queries().products;
    for (sort, expected) in &sorted {
        for limit in [1, 3] {
            let filter = ProductFilter { sort: *sort, ..everything() };
            let read = async |page| queries.list(&filter, &page).await;
            let rows = walk(limit, |(_, key): &(ProductListing, ProductKey)| key.clone(), read).await?;
            let ids: Vec<_> = rows.iter().map(|(listing, _)| listing.product.id).collect();
            assert_eq!(ids, *expected, "{sort:?} by {limit}");
        }
    }

    let newest = queries.list(&everything(), &first_page(3)).await?;
    let late = Product::create(ProductId::from(Uuid::max()), product_details("late", 1), NOON);
    commit(harness, insert([late])).await?;
    let rest = Page { after: newest.last().map(|(_, key)| key.clone()), limit: 100 };
    let rest = queries.list(&everything(), &rest).await?;
    let seen: Vec<_> = newest.iter().chain(&rest).map(|(listing, _)| listing.product.id).collect();
    assert_eq!(seen, sorted[0].1);
    Ok(())
}
