//! Several hosts: which reads may use a replica, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use jangteo_domain::order::OrderFilter;
use jangteo_domain::page::Page;
use jangteo_domain::product::{PriceRange, Product, ProductFilter, ProductSort};
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::batch_id;
use jangteo_domain::testing::fixtures::{NOON, product_details, user};
use jangteo_domain::transaction::{Changes, RowChanges};
use jangteo_domain::{Queries, StoreError};
use jangteo_sql::{Database, DatabaseSettings};

use crate::server::TestDatabase;

/// A product in the database.
async fn product(database: &TestDatabase, items: u64) -> Result<Product, StoreError> {
    let product = Product::create(batch_id().uuid().into(), product_details("lamp", 1_000), NOON);
    let changes = Changes {
        products: RowChanges::inserted([product.clone()]),
        stocks: RowChanges::inserted([Stock { available: items, ..Stock::empty(product.id) }]),
        ..Changes::default()
    };
    database.commit(changes).await?;
    Ok(product)
}

async fn listed(queries: &Queries) -> Result<Vec<Product>, StoreError> {
    let all = ProductFilter {
        all_states: true,
        category: None,
        options: vec![],
        text: None,
        price: PriceRange::default(),
        in_stock: false,
        max_available: None,
        sort: ProductSort::Newest,
    };
    let rows = queries.products.list(&all, &Page { after: None, limit: 10 }).await?;
    Ok(rows.into_iter().map(|(listing, _)| listing.product).collect())
}

/// Lists products until the expected one is listed.
async fn lists(queries: &Queries, expected: &Product, mut each: impl AsyncFnMut()) {
    let listing = async {
        while listed(queries).await.expect("a list") != std::slice::from_ref(expected) {
            each().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), listing).await.expect("the other host is read");
}

/// The test is the replication: it copies the heartbeats, and the two schemas have different products.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_read_while_it_has_a_young_heartbeat() -> Result<(), StoreError> {
    let (primary, replica) = (TestDatabase::mysql().await, TestDatabase::mysql().await);
    let [ours, theirs] = [product(&primary, 5).await?, product(&replica, 7).await?];
    let settings = DatabaseSettings { read_url: Some(replica.settings.url.clone()), ..primary.settings.clone() };
    let database = Database::open(settings).await.expect("valid settings");
    let queries = database.queries();
    assert_eq!(listed(&queries).await?, std::slice::from_ref(&ours), "the replica has no heartbeat yet");

    let name = |database: &TestDatabase| database.settings.url.rsplit('/').next().expect("a name").to_owned();
    let copy = format!("REPLACE INTO heartbeats SELECT * FROM {}.heartbeats", name(&primary));
    lists(&queries, &theirs, async || replica.execute(&copy).await).await;

    // Rows of a user, stocks and overdue orders are read as they are; a row that the replica lacks may be new.
    replica.execute(&copy).await;
    assert_eq!(queries.stocks.available(&BTreeSet::from([ours.id, theirs.id])).await?, [(ours.id, 5)].into());
    replica.execute(&copy).await;
    assert_eq!(queries.products.find(ours.id).await?.map(|listing| listing.product), Some(ours.clone()));
    let page = Page { after: None, limit: 1 };
    assert_eq!(queries.orders.list(&OrderFilter::of_user(&user("kim")), &page).await?.value, []);

    // The copies end: the heartbeat on the replica ages.
    lists(&queries, &ours, async || {}).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_is_detected_beside_a_replica() {
    let replica = TestDatabase::mysql().await;
    let settings = DatabaseSettings {
        read_url: Some(replica.settings.url.clone()),
        ..DatabaseSettings::new("mysql://u:p@127.0.0.1:9/d")
    };
    let database = Database::open(settings).await.expect("valid settings");
    assert!(matches!(database.ping().await, Err(StoreError::Unavailable(_))));
    let due = database.queries().orders.due(None, 1).await;
    assert!(matches!(due, Err(StoreError::Unavailable(_))), "no worker reads a replica");
}
