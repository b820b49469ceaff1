use std::collections::{BTreeMap, BTreeSet};

use jangteo_domain::id::ProductId;
use jangteo_domain::page::Page;
use jangteo_domain::product::{Product, ProductDetails, ProductListing, ProductStatus};
use jangteo_domain::stock::{Stock, StockMovement};
use jangteo_domain::testing::fixtures::{product_details, text};
use jangteo_domain::transaction::{Changes, RowChanges};

use crate::contract::harness::{Seeds, StoreHarness, TestResult, append, commit, first_page, insert, update, walk};
use crate::contract::samples;

/// Every field of a product and its stock is returned, as inserted and as updated.
pub async fn every_field_of_products_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let products = samples::products(&Seeds::new(harness));
    let stocks = samples::stocks(&products.each_ref().map(|product| product.id));
    let inserted = Changes { stocks: RowChanges::inserted(stocks.clone()), ..insert(products.clone()) };
    commit(harness, inserted).await?;
    assert_listed(harness, &products, &stocks).await?;

    let changed = samples::changed_products(&products);
    let refilled = samples::changed_stocks(&stocks);
    let mut updated = update(products.into_iter().zip(changed.clone()));
    updated.stocks = RowChanges::updated(stocks.into_iter().zip(refilled.clone()));
    commit(harness, updated).await?;
    assert_listed(harness, &changed, &refilled).await
}

async fn assert_listed(harness: &dyn StoreHarness, products: &[Product], stocks: &[Stock]) -> TestResult {
    for (product, stock) in products.iter().zip(stocks) {
        let listing = ProductListing { product: product.clone(), available: stock.available };
        assert_eq!(harness.queries().products.find(product.id).await?, Some(listing));
    }
    Ok(())
}

/// Every field of a stock's movements is returned, the newest first.
pub async fn every_field_of_movements_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [order] = seeds.orders().await?;
    let [lamp, other] = seeds.lamps().await?;
    let movements = samples::movements(&seeds, lamp, order.id);
    commit(harness, append(movements.clone())).await?;
    let queries = harness.queries().stocks;
    let stored = queries.movements(lamp, &first_page(100)).await?;
    assert_eq!(stored, movements.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(queries.movements(other, &first_page(100)).await?, []);
    Ok(())
}

/// A walk through the movements returns each once despite concurrent inserts.
pub async fn movement_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [lamp] = seeds.lamps().await?;
    let movements: Vec<_> = (1..=5).map(|sequence| samples::adjustment(&seeds, lamp, sequence)).collect();
    commit(harness, append(movements.clone())).await?;

    let queries = harness.queries().stocks;
    let newest = queries.movements(lamp, &first_page(2)).await?;
    commit(harness, append([samples::adjustment(&seeds, lamp, 6)])).await?;
    let rest = Page { after: newest.last().map(|movement| movement.sequence), limit: 100 };
    let seen = [newest, queries.movements(lamp, &rest).await?].concat();
    assert_eq!(seen, movements.into_iter().rev().collect::<Vec<_>>());

    let read = async |page| queries.movements(lamp, &page).await;
    let all = walk(2, |movement: &StockMovement| movement.sequence, read).await?;
    assert!(all.iter().map(|movement| movement.sequence).eq((1..=6).rev()), "{all:?}");
    Ok(())
}

/// A product is found by its id in every status, with its stock; unknown ids are skipped.
pub async fn products_are_found_in_every_status(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let in_status = |status| ProductDetails { status, ..product_details("lamp", 1) };
    let products = seeds
        .products([
            (in_status(ProductStatus::OnSale), 1),
            (in_status(ProductStatus::Hidden), 2),
            (in_status(ProductStatus::Discontinued), 3),
            (in_status(ProductStatus::OnSale), 4),
        ])
        .await?;
    let queries = harness.queries().products;
    let listing = |place: usize| ProductListing {
        product: products[place].clone(),
        available: u64::try_from(place).expect("a small number") + 1,
    };
    for (place, product) in products.iter().enumerate() {
        assert_eq!(queries.find(product.id).await?, Some(listing(place)));
    }
    let absent: ProductId = seeds.id();
    assert_eq!(queries.find(absent).await?, None);

    let mut found = queries.find_many(&[products[2].id, absent, products[0].id, products[1].id]).await?;
    found.sort_by_key(|listing| listing.product.id);
    assert_eq!(found, [listing(0), listing(1), listing(2)]);
    assert_eq!(queries.find_many(&[]).await?, []);
    Ok(())
}

/// Products are found by their SKUs, in every status; unknown SKUs are skipped, and case matters.
pub async fn products_are_found_by_sku(harness: &dyn StoreHarness) -> TestResult {
    let with_sku =
        |sku: Option<&str>, status| ProductDetails { sku: sku.map(text), status, ..product_details("lamp", 1) };
    let products = Seeds::new(harness)
        .products([
            (with_sku(Some("A"), ProductStatus::Hidden), 1),
            (with_sku(Some("a"), ProductStatus::OnSale), 2),
            (with_sku(Some("각"), ProductStatus::Discontinued), 3),
            (with_sku(None, ProductStatus::OnSale), 4),
        ])
        .await?;
    let queries = harness.queries().products;
    let mut found = queries.find_by_skus(&["각", "A", "á", "absent"].map(text)).await?;
    found.sort_by_key(|listing| listing.available);
    let listing = |product: &Product, available| ProductListing { product: product.clone(), available };
    assert_eq!(found, [listing(&products[0], 1), listing(&products[2], 3)]);
    assert_eq!(queries.find_by_skus(&[text("a")]).await?, [listing(&products[1], 2)]);
    assert_eq!(queries.find_by_skus(&[]).await?, []);
    Ok(())
}

/// The available items of every existing product are returned, for any number of ids.
pub async fn available_items_of_many_products_are_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let products: [_; 300] = std::array::from_fn(|items| (product_details("lamp", 1), items as u64));
    let products = seeds.products(products).await?;
    let stocks = harness.queries().stocks;
    let all: BTreeMap<ProductId, u64> = products.iter().map(|product| product.id).zip(0..).collect();
    let absent: ProductId = seeds.id();
    let ids = all.keys().copied().chain([absent]).collect();
    assert_eq!(stocks.available(&ids).await?, all);

    let one = [products[7].id].into();
    assert_eq!(stocks.available(&one).await?, [(products[7].id, 7)].into());
    assert_eq!(stocks.available(&[absent].into()).await?, BTreeMap::new());
    assert_eq!(stocks.available(&BTreeSet::new()).await?, BTreeMap::new());
    Ok(())
}
