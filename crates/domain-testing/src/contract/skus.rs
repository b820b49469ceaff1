use futures_util::future::join;

use jangteo_domain::id::ProductId;
use jangteo_domain::product::{Product, ProductDetails};
use jangteo_domain::stock::Stock;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::batch_id;
use jangteo_domain::testing::fixtures::{NOON, noon_plus, product_details, text};
use jangteo_domain::transaction::{
    Changes, FirstKeys, LockSet, Locked, LockedProduct, ProductDepth, RowChanges, UnitOfWork,
};

use crate::contract::harness::{
    Concurrency, Keys, Seeds, TestResult, TransactionHarness, assert_conflict, assert_stored, commit, insert, lock,
    pause, update,
};

fn with_sku(sku: &str) -> ProductDetails {
    ProductDetails { sku: Some(text(sku)), ..product_details("lamp", 1) }
}

fn renamed(product: &Product, sku: Option<&str>) -> (Product, Product) {
    let details = ProductDetails { sku: sku.map(text), ..product.details.clone() };
    (product.clone(), product.change(details, noon_plus(1)))
}

async fn lock_skus(
    harness: &dyn TransactionHarness,
    skus: &[&str],
    offers: &[ProductId],
) -> Result<(Box<dyn UnitOfWork>, Locked), StoreError> {
    let products = offers.iter().map(|id| (*id, ProductDepth::Offer)).collect();
    let skus = skus.iter().map(|sku| text(sku)).collect();
    let (mut unit_of_work, _) = harness.factory().begin(batch_id(), &FirstKeys::default()).await?;
    let locked = unit_of_work.lock(&LockSet { products, skus, ..LockSet::default() }).await?;
    Ok((unit_of_work, locked))
}

/// A SKU finds its product, whole, with its stock, beside products locked as offers; case matters.
pub async fn skus_are_found_with_product_and_stock(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [upper, lower, other] =
        seeds.products([(with_sku("a1"), 1), (with_sku("A1"), 2), (product_details("chair", 2), 3)]).await?;
    let (_, found) = lock_skus(harness, &["A1", "a1", "á1"], &[other.id]).await?;
    let expected = [("A1", Some(lower.id)), ("a1", Some(upper.id)), ("á1", None)];
    assert_eq!(found.skus, expected.map(|(sku, id)| (text(sku), id)).into());
    for (product, available) in [(&upper, 1), (&lower, 2)] {
        assert_eq!(found.products[&product.id], Some(LockedProduct::Whole(product.clone())));
        assert_eq!(found.stocks[&product.id], Some(Stock { available, ..Stock::empty(product.id) }));
    }
    assert_eq!(found.products[&other.id].as_ref().map(LockedProduct::offer), Some(other.offer()));
    assert_eq!((found.products.len(), found.stocks.len()), (3, 2));
    Ok(())
}

/// A row found by its SKU is locked: it can be updated, and a second locker sees the update. A product that got another
/// SKU meanwhile is a conflict.
pub async fn a_product_found_by_sku_is_locked(harness: &dyn TransactionHarness) -> TestResult {
    let [product] = Seeds::new(harness).products([(with_sku("A"), 1)]).await?;
    let (first, _) = lock_skus(harness, &["A"], &[]).await?;
    let change = async {
        pause().await;
        first.commit(update([renamed(&product, Some("B"))])).await
    };
    let (second, changed) = join(lock_skus(harness, &["A"], &[]), change).await;
    changed?;
    match second.map(|(_, locked)| locked) {
        // The SKU was looked up after the change.
        Ok(locked) => assert_eq!(locked.skus, [(text("A"), None)].into()),
        moved => assert_conflict(moved),
    }
    let (_, locked) = lock_skus(harness, &["A", "B"], &[]).await?;
    assert_eq!(locked.skus, [(text("A"), None), (text("B"), Some(product.id))].into());
    Ok(())
}

/// A SKU of another product is a conflict and stores nothing, whether it is inserted or updated.
pub async fn a_sku_that_another_product_has_is_a_conflict(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [lamp, chair] = seeds.products([(with_sku("A"), 1), (with_sku("B"), 1)]).await?;
    let table = Product::create(seeds.id(), with_sku("A"), NOON);
    assert_conflict(commit(harness, insert([table])).await);
    assert_conflict(commit(harness, update([renamed(&chair, Some("A"))])).await);
    assert_stored(harness, &[lamp, chair]).await
}

/// Products can exchange their SKUs and hand them on in one unit of work, in any order of their keys.
pub async fn skus_are_exchanged_in_one_unit_of_work(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [a, b, c] = seeds.products([(with_sku("A"), 1), (with_sku("B"), 1), (with_sku("C"), 1)]).await?;
    let new = Product::create(seeds.id(), with_sku("C"), NOON);
    let updates = [renamed(&a, Some("B")), renamed(&b, Some("A")), renamed(&c, None)];
    let changes = Changes {
        products: RowChanges { inserted: vec![new.clone()], ..update(updates.clone()).products },
        ..Changes::default()
    };
    commit(harness, changes).await?;
    let [a, b, c] = updates.map(|(_, after)| after);
    assert_stored(harness, &[a, b, c, new]).await
}

/// Of two units of work that insert one SKU, the second is a conflict, at its lock or at its commit.
pub async fn of_two_insertions_of_one_sku_the_second_is_a_conflict(harness: &dyn TransactionHarness) -> TestResult {
    if harness.concurrency() == Concurrency::SingleWriter {
        return Ok(()); // The second begins after the first has ended.
    }
    let seeds = Seeds::new(harness);
    let [first, second] = [(); 2].map(|()| Product::create(seeds.id(), with_sku("A"), NOON));
    let (first_unit, _) = lock_skus(harness, &["A"], &[]).await?;
    let (second_unit, found) = lock_skus(harness, &["A"], &[]).await?;
    assert_eq!(found.skus, [(text("A"), None)].into());
    first_unit.commit(insert([first.clone()])).await?;
    assert_conflict(second_unit.commit(insert([second.clone()])).await);
    let keys = Keys::of::<Product>([first.id, second.id]);
    let (_, (_, locked)) = lock(harness, &keys).await?;
    assert_eq!(locked.products.values().flatten().count(), 1);
    Ok(())
}
