use crate::id::ProductId;
use crate::money::Money;
use crate::page::Page;
use crate::product::{Options, Price, Product, ProductDetails, ProductListing, ProductOffer, ProductStatus};
use crate::stock::{MovementKind, Stock, StockMovement};
use crate::store_error::StoreError;
use crate::testing::contract::harness::{
    Seeds, StoreHarness, assert_conflict, first_page, look, set, walk, wide, write,
};
use crate::testing::fixtures::{NOON, noon_plus, options, order_line, pending_order, product_details, text};
use crate::time::Timestamp;

/// Details in which every field is as long and as wide as it may be, and details in which every field is short.
fn extreme_details() -> [ProductDetails; 2] {
    let names: Vec<String> = (0..Options::COUNT_MAX).map(|n| format!("{n:02}{}", wide(30))).collect();
    let value = wide(64);
    let pairs: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    let largest = ProductDetails {
        name: text(&wide(200)),
        description: text(&wide(10_000)),
        category: text(&wide(64)),
        options: options(&pairs),
        item_group_id: Some(text(&wide(64))),
        price: Price::try_from(Price::MAX).expect("the highest price"),
        status: ProductStatus::Discontinued,
    };
    let smallest = ProductDetails { status: ProductStatus::Hidden, ..product_details("0", 0) };
    [largest, smallest]
}

fn in_the_middle() -> ProductDetails {
    ProductDetails {
        description: text("two\nlines\tand 'quotes' \"of\" both \\ kinds; 100% _under_"),
        options: options(&[("color", "red"), ("Color", "Red"), ("크기", "큰")]),
        item_group_id: Some(text("lamps")),
        price: Price::try_from(ten_thousandths(199_999)).expect("a price"),
        ..product_details("램프 Lámpara", 1)
    }
}

fn ten_thousandths(ten_thousandths: i64) -> Money {
    Money::from_ten_thousandths(ten_thousandths).expect("in range")
}

async fn locked(harness: &dyn StoreHarness, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
    look(harness, async |unit| unit.products().lock_many(&set(ids.iter().copied())).await).await
}

async fn found(harness: &dyn StoreHarness, id: ProductId) -> Result<ProductListing, StoreError> {
    Ok(harness.queries().products.find(id).await?.unwrap_or_else(|| panic!("there is no product {id}")))
}

async fn offered(harness: &dyn StoreHarness, ids: &[ProductId]) -> Result<Vec<ProductOffer>, StoreError> {
    look(harness, async |unit| unit.products().lock_offers(&set(ids.iter().copied())).await).await
}

/// Every field of a product comes back, by lock and by query.
pub async fn products_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [largest, smallest] = extreme_details();
    let product = |details, created_at, updated_at| Product { id: seeds.id(), details, created_at, updated_at };
    let products = [
        product(largest, Timestamp::MIN, Timestamp::MAX),
        product(smallest, NOON, NOON),
        product(in_the_middle(), NOON, noon_plus(1)),
    ];
    let stocks = products.clone().map(|product| Stock { available: 3, ..Stock::empty(product.id) });
    write(harness, async |unit| {
        unit.products().insert_many(&products).await?;
        unit.stocks().insert_many(&stocks).await
    })
    .await?;
    let ids = products.clone().map(|product| product.id);
    assert_eq!(locked(harness, &ids).await?, products);
    assert_eq!(offered(harness, &ids).await?, products.each_ref().map(Product::offer));
    for product in products {
        assert_eq!(found(harness, product.id).await?, ProductListing { product, available: 3 });
    }
    Ok(())
}

/// Every field that can change comes back as it was changed, options that are gone included.
pub async fn changed_products_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [largest, smallest] = extreme_details();
    let before = [(in_the_middle(), 1), (in_the_middle(), 1), (largest.clone(), 1), (in_the_middle(), 1)];
    let [a, b, c, untouched] = Seeds::new(harness).products(before).await?;
    let changed =
        [a.change(largest, noon_plus(1)), b.change(smallest, Timestamp::MAX), c.change(in_the_middle(), NOON)];
    let ids = changed.clone().map(|product| product.id);
    write(harness, async |unit| {
        unit.products().lock_many(&set(ids)).await?;
        unit.products().save_many(&changed).await
    })
    .await?;
    assert_eq!(locked(harness, &ids).await?, changed);
    assert_eq!(offered(harness, &ids).await?, changed.each_ref().map(Product::offer));
    for product in changed.into_iter().chain([untouched]) {
        assert_eq!(found(harness, product.id).await?.product, product);
    }
    Ok(())
}

/// Counts of pieces come back, up to the largest.
pub async fn stocks_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let ids: [ProductId; 3] = Seeds::new(harness).lamps().await?;
    let sequence_max = u64::try_from(i64::MAX).expect("not negative");
    let stocks = [(u32::MAX, sequence_max), (0, 1), (7, 2)];
    let stocks: Vec<_> = ids
        .iter()
        .zip(stocks)
        .map(|(&product_id, (available, movements))| Stock { product_id, available, movements })
        .collect();
    let read = async |unit: &mut dyn crate::UnitOfWork| unit.stocks().lock_many(&set(ids)).await;
    write(harness, async |unit| {
        read(unit).await?;
        unit.stocks().save_many(&stocks).await
    })
    .await?;
    assert_eq!(look(harness, read).await?, stocks);
    for stock in stocks {
        assert_eq!(found(harness, stock.product_id).await?.available, stock.available);
    }
    Ok(())
}

/// Every field of a movement comes back; the newest stands first.
pub async fn stock_movements_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [lamp, other] = seeds.lamps().await?;
    let order = pending_order(seeds.id(), &owner, vec![order_line(lamp, 1, 1_000)], NOON);
    seeds.orders(std::slice::from_ref(&order)).await?;

    let largest = i64::from(u32::MAX);
    let movement = |sequence, quantity, available_after, kind, at| StockMovement {
        order_id: (kind != MovementKind::Adjustment).then_some(order.id),
        reason: (kind == MovementKind::Adjustment).then(|| text(&wide(200))),
        id: seeds.id(),
        product_id: lamp,
        sequence,
        quantity,
        available_after,
        kind,
        at,
    };
    let movements = [
        movement(1, largest, u32::MAX, MovementKind::Adjustment, Timestamp::MIN),
        movement(2, -largest, 0, MovementKind::Reservation, NOON),
        movement(3, 1, 1, MovementKind::Expiry, noon_plus(1)),
        movement(4, 2, 3, MovementKind::Cancellation, noon_plus(2)),
        movement(5, 3, 6, MovementKind::Refund, Timestamp::MAX),
    ];
    write(harness, async |unit| unit.stocks().append_movements(&movements).await).await?;

    let queries = harness.queries().stocks;
    let stored = queries.movements(lamp, &first_page(100)).await?;
    assert_eq!(stored, movements.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(queries.movements(other, &first_page(100)).await?, []);
    Ok(())
}

fn delivery(seeds: &Seeds<'_>, product_id: ProductId, sequence: u64) -> StockMovement {
    StockMovement {
        id: seeds.id(),
        product_id,
        sequence,
        quantity: 1,
        available_after: u32::try_from(sequence).expect("a small number"),
        kind: MovementKind::Adjustment,
        order_id: None,
        reason: Some(text("delivery")),
        at: NOON,
    }
}

/// Two movements cannot have one place.
pub async fn a_second_movement_of_one_sequence_number_is_a_conflict(
    harness: &dyn StoreHarness,
) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [lamp] = seeds.lamps().await?;
    let movement = || delivery(&seeds, lamp, 1);
    write(harness, async |unit| unit.stocks().append_movements(&[movement()]).await).await?;
    assert_conflict(write(harness, async |unit| unit.stocks().append_movements(&[movement()]).await).await);
    assert_eq!(harness.queries().stocks.movements(lamp, &first_page(100)).await?.len(), 1);
    Ok(())
}

/// A walk through the movements gives each once, whatever is added meanwhile.
pub async fn movement_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [lamp] = seeds.lamps().await?;
    let movements: Vec<_> = (1..=5).map(|sequence| delivery(&seeds, lamp, sequence)).collect();
    write(harness, async |unit| unit.stocks().append_movements(&movements).await).await?;

    let queries = harness.queries().stocks;
    let newest = queries.movements(lamp, &first_page(2)).await?;
    write(harness, async |unit| unit.stocks().append_movements(&[delivery(&seeds, lamp, 6)]).await).await?;
    let rest = Page { after: newest.last().map(|movement| movement.sequence), limit: 100 };
    let seen = [newest, queries.movements(lamp, &rest).await?].concat();
    assert_eq!(seen, movements.iter().rev().cloned().collect::<Vec<_>>());

    let read = async |page| queries.movements(lamp, &page).await;
    let all = walk(2, |movement: &StockMovement| movement.sequence, read).await?;
    assert!(all.iter().map(|movement| movement.sequence).eq((1..=6).rev()), "{all:?}");
    Ok(())
}

/// Two products cannot have one id.
pub async fn a_second_product_of_one_id_is_a_conflict(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [lamp] = Seeds::new(harness).products([(product_details("lamp", 1), 0)]).await?;
    let second = lamp.change(product_details("another", 2), NOON);
    assert_conflict(write(harness, async |unit| unit.products().insert_many(&[second]).await).await);
    assert_eq!(found(harness, lamp.id).await?.product, lamp);
    Ok(())
}
