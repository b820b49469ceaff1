//! The search for a text equals a substring test, on every way that a search can take.

use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::page::Page;
use jangteo_domain::product::{PriceRange, Product, ProductDetails, ProductFilter, ProductKey, ProductSort};
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::testing::fixtures::{NOON, product_details, text, won};
use jangteo_domain::transaction::{Appended, Changes, LockSet, ProductDepth, RowChanges};
use jangteo_sql::{Database, DatabaseSettings, Dialect, SearchLimits};
use mysql_async::prelude::Queryable as _;
use rstest::rstest;
use time::macros::date;

use crate::server::TestDatabase;

/// The index alone, even for the smallest shop.
const INDEX: SearchLimits = SearchLimits { first: 0, sample: 1, candidates: 10_000, unindexed: 1_000 };

/// Products with names of few letters, so that all pairs are frequent and many words are nowhere.
fn products() -> Vec<Product> {
    let letters = ["가", "나", "🎈", "a", "B", "Σ", " ", "\u{1f389}", "İ"];
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        letters[(state >> 33) as usize % letters.len()]
    };
    let mut word = |letters| (0..letters).map(|_| letter()).collect::<String>().trim().to_owned();
    let product = |number: u64| {
        let details = ProductDetails {
            description: text(&word(number % 7)),
            ..product_details(&format!("{}가", word(1 + number % 5)), i64::try_from(number % 10).expect("a digit"))
        };
        Product::create(SequentialIds::id(number).into(), details, NOON)
    };
    (1..=120).map(product).collect()
}

async fn filled(dialect: Dialect, products: &[Product]) -> Result<TestDatabase, StoreError> {
    let database = TestDatabase::of(dialect).await;
    let stocks = RowChanges::inserted(products.iter().map(|product| Stock::empty(product.id)));
    // A third of the products have sales, some of which were refunded.
    let sold = products.iter().step_by(3).zip((0..4).cycle());
    let sales = sold.map(|(product, quantity)| SaleCounted {
        day: date!(2026 - 01 - 02),
        product_id: product.id,
        quantity,
        revenue: won(1),
    });
    let appended = Appended { sales: sales.collect(), ..Appended::default() };
    let products = RowChanges::inserted(products.iter().cloned());
    database.commit(Changes { products, stocks, appended, ..Changes::default() }).await?;
    Ok(database)
}

/// The same database with other limits.
async fn limited(database: &TestDatabase, search_limits: SearchLimits) -> Database {
    let settings = DatabaseSettings { search_limits, ..database.settings.clone() };
    Database::open(settings).await.expect("valid settings")
}

fn filter(wanted: Option<&str>, sort: ProductSort) -> ProductFilter {
    let (category, options, price) = (None, vec![], PriceRange::default());
    ProductFilter {
        all_states: false,
        category,
        options,
        text: wanted.map(text),
        price,
        in_stock: false,
        max_available: None,
        sort,
    }
}

/// The ids of a list, read by pages.
async fn ids(database: &Database, filter: &ProductFilter) -> Result<Vec<ProductId>, StoreError> {
    let (mut ids, mut after): (Vec<_>, Option<ProductKey>) = (Vec::new(), None);
    loop {
        let page = Page { after: after.take(), limit: 20 };
        let rows = database.queries().products.list(filter, &page).await?;
        ids.extend(rows.iter().map(|(listing, _)| listing.product.id));
        match rows.last() {
            Some((_, key)) if rows.len() == 20 => after = Some(key.clone()),
            _ => return Ok(ids),
        }
    }
}

async fn found(database: &Database, wanted: &str) -> Result<usize, StoreError> {
    Ok(ids(database, &filter(Some(wanted), ProductSort::Newest)).await?.len())
}

#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_a_search_equals_a_substring_test(#[case] dialect: Dialect) -> Result<(), StoreError> {
    let products = products();
    let database = filled(dialect, &products).await?;
    let contains = |id: &ProductId, wanted: &str| {
        let details = &products.iter().find(|product| product.id == *id).expect("a known product").details;
        let is_in = |text: &str| text.to_lowercase().contains(&wanted.to_lowercase());
        is_in(details.name.as_str()) || is_in(details.description.as_str())
    };
    let ways = [
        SearchLimits::default(),
        INDEX,
        // The first products fill some of the pages.
        SearchLimits { first: 30, ..INDEX },
        // All products, as there are too many candidates.
        SearchLimits { candidates: 0, ..INDEX },
    ];
    let since = date!(2026 - 01 - 01);
    let sorts = [
        ProductSort::Newest,
        ProductSort::PriceAscending,
        ProductSort::PriceDescending,
        ProductSort::Name,
        ProductSort::Popular { since },
    ];
    let prices = [PriceRange::default(), PriceRange { min: Some(won(3)), max: Some(won(6)) }];
    for (sort, price) in sorts.into_iter().flat_map(|sort| prices.map(|price| (sort, price))) {
        let filter = |wanted, sort| ProductFilter { price, ..filter(wanted, sort) };
        let all = ids(&database.database, &filter(None, sort)).await?;
        assert_eq!(all.len(), products.iter().filter(|product| is_within(price, product)).count());
        for limits in ways {
            let database = limited(&database, limits).await;
            for wanted in
                ["가", "나", "🎈", "\u{1f389}🎈", "a", "Ab", "σ", "가 a", "나나나", "i̇", "aΣ", "없음", "가나", "b"]
            {
                let expected: Vec<_> = all.iter().copied().filter(|id| contains(id, wanted)).collect();
                let found = ids(&database, &filter(Some(wanted), sort)).await?;
                assert_eq!(found, expected, "{wanted:?} by {limits:?}, {sort:?}, {price:?}");
            }
        }
    }
    Ok(())
}

fn is_within(range: PriceRange, product: &Product) -> bool {
    let price = product.details.price.get();
    range.min.is_none_or(|min| min <= price) && range.max.is_none_or(|max| price <= max)
}

/// Changes one product under its lock.
async fn change(database: &TestDatabase, product: &Product, details: ProductDetails) -> Result<Product, StoreError> {
    let mut unit = database.begin().await?;
    let mut rows = LockSet::default();
    rows.add_product(product.id, ProductDepth::Whole);
    unit.lock(&rows).await?;
    let after = product.change(details, NOON);
    let products = RowChanges::updated([(product.clone(), after.clone())]);
    unit.commit(Changes { products, ..Changes::default() }).await?;
    Ok(after)
}

#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn the_index_follows_name_and_description_only(#[case] dialect: Dialect) -> Result<(), StoreError> {
    let lamp = Product::create(SequentialIds::id(1).into(), product_details("lamp", 1), NOON);
    let database = filled(dialect, std::slice::from_ref(&lamp)).await?;
    let index = limited(&database, INDEX).await;
    let chair = ProductDetails { description: text("of oak"), ..product_details("chair", 1) };
    let chair = change(&database, &lamp, chair).await?;
    for (wanted, expected) in [("lamp", 0), ("chair", 1), ("oak", 1)] {
        assert_eq!(found(&index, wanted).await?, expected, "{wanted}");
    }
    // A marked text would be overwritten.
    let mark = |text| format!("UPDATE product_search_texts SET search_text = CONCAT(search_text, '{text}')");
    database.execute(&mark(" marked")).await;
    let price = won(7).try_into().expect("a price");
    let cheap = change(&database, &chair, ProductDetails { price, ..chair.details.clone() }).await?;
    let marked = "SELECT COUNT(*) FROM product_search_texts WHERE search_text LIKE '%marked'";
    assert_eq!(database.number(marked).await, 1);
    change(&database, &cheap, ProductDetails { description: text("of ash"), ..cheap.details.clone() }).await?;
    assert_eq!(database.number(marked).await, 0);
    assert_eq!((found(&index, "oak").await?, found(&index, "ash").await?), (0, 1));
    Ok(())
}

/// A server of 0.2 writes the text alone, without the separator in front, and no words.
#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn products_of_an_older_server_are_found_and_indexed(#[case] dialect: Dialect) -> Result<(), StoreError> {
    let product = |number| Product::create(SequentialIds::id(number).into(), product_details("lamp", 1), NOON);
    let products: Vec<_> = (1..=5).map(product).collect();
    let database = filled(dialect, &products).await?;
    let index = limited(&database, INDEX).await;
    // Two are new, one is changed.
    let of = |number: u128| format!("x'{:032x}'", uuid::Uuid::from(products[number as usize].id).as_u128());
    let (new, other, changed) = (of(0), of(1), of(2));
    database.execute(&format!("DELETE FROM product_search_grams WHERE product_id IN ({new}, {other})")).await;
    let write = |text: &str, id: &str| {
        format!("UPDATE product_search_texts SET search_text = '{text}\u{1f}' WHERE product_id = {id}")
    };
    for statement in [write("lamp", &new), write("lamp", &other), write("chair", &changed)] {
        database.execute(&statement).await;
    }
    database.execute(&format!("UPDATE products SET name = 'Chair' WHERE id = {changed}")).await;
    for database in [&index, &limited(&database, SearchLimits { unindexed: 2, ..INDEX }).await] {
        assert_eq!((found(database, "lamp").await?, found(database, "chair").await?), (4, 1));
    }

    assert_eq!(index.index_search_texts(2).await?, 2);
    // Two servers at once: each product is indexed once.
    let (one, other) = tokio::join!(index.index_search_texts(2), index.index_search_texts(2));
    assert_eq!(one.unwrap_or(0) + other.unwrap_or(0), 1);
    assert_eq!(index.index_search_texts(2).await?, 0);
    let strict = limited(&database, SearchLimits { unindexed: 0, ..INDEX }).await;
    assert_eq!((found(&strict, "lamp").await?, found(&strict, "chair").await?), (4, 1));
    Ok(())
}

#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_mends_the_index(#[case] dialect: Dialect) -> Result<(), StoreError> {
    let product = |number| Product::create(SequentialIds::id(number).into(), product_details("lamp", 1), NOON);
    let products: Vec<_> = (1..=5).map(product).collect();
    let database = filled(dialect, &products).await?;
    let index = limited(&database, INDEX).await;
    database.execute("DELETE FROM product_search_grams; DELETE FROM product_search_texts").await;
    assert_eq!(found(&index, "lamp").await?, 0);
    let (mut sizes, mut last) = (Vec::new(), None);
    loop {
        let ids = index.rebuild_search_index(last, 2).await?;
        sizes.push(ids.len());
        last = ids.last().copied();
        if last.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1, 0]);
    assert_eq!(found(&index, "lamp").await?, 5);
    Ok(())
}

/// MySQL limits the memory of a search in the index: at a million bytes, tens of thousands of products exceed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_beyond_the_servers_memory_reads_all_products() -> Result<(), StoreError> {
    let lamp = Product::create(SequentialIds::id(1).into(), product_details("lamp", 1), NOON);
    let database = filled(Dialect::Mysql, &[lamp]).await?;
    let index = limited(&database, INDEX).await;
    let digits = "(SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION \
                  SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    let number = "a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d";
    let insert = format!(
        "INSERT INTO product_search_grams SELECT UNHEX(LPAD(HEX(1000 + {number}), 32, '0')), 'x006c0061 x0061006d' \
         FROM {digits} a, {digits} b, {digits} c, {digits} e, {digits} f WHERE f.d < 4"
    );
    database.execute(&insert).await;
    let mut session = database.session().await;
    let before: u64 =
        session.query_first("SELECT @@innodb_ft_result_cache_limit").await.expect("a setting").expect("a value");
    session.query_drop("SET GLOBAL innodb_ft_result_cache_limit = 1000000").await.expect("the right to set it");
    let direct = "SELECT COUNT(*) FROM product_search_grams WHERE MATCH (grams) AGAINST ('+x006c0061' IN BOOLEAN MODE)";
    let direct = session.query_first::<u64, _>(direct).await;
    let found = found(&index, "lam").await;
    session.query_drop(format!("SET GLOBAL innodb_ft_result_cache_limit = {before}")).await.expect("the same right");
    direct.expect_err("the search in the index exceeds the memory");
    assert_eq!(found?, 1);
    Ok(())
}

/// A table lock stands for the long run of a search.
#[tokio::test(flavor = "multi_thread")]
async fn slow_searches_end_in_time_and_leave_other_reads_alone() -> Result<(), StoreError> {
    let lamp = Product::create(SequentialIds::id(1).into(), product_details("lamp", 1), NOON);
    let database = filled(Dialect::Mysql, std::slice::from_ref(&lamp)).await?;
    let one = DatabaseSettings { search_pool_max: 1, pool_max: 1, ..database.settings.clone() };
    let one = Database::open(one).await.expect("valid settings");
    let mut session = database.session().await;
    session.query_drop("LOCK TABLES product_search_texts WRITE").await.expect("the right to lock");
    let (slow, waiting, other) =
        tokio::join!(found(&one, "lamp"), found(&one, "chair"), async { one.queries().products.find(lamp.id).await });
    assert!(other?.is_some());
    for search in [slow, waiting] {
        assert_eq!(search.expect_err("it ends").kind(), "unavailable");
    }
    session.query_drop("UNLOCK TABLES").await.expect("no locks");
    assert_eq!(found(&one, "lamp").await?, 1);
    Ok(())
}
