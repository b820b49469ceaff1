//! Reads whose callers are dropped.

use std::time::Duration;

use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::order::OrderFilter;
use jangteo_domain::stock::Stock;
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::testing::fixtures::{product_details, user};
use jangteo_domain::transaction::{Changes, RowChanges};
use jangteo_domain::{page::Page, product::Product, testing::fixtures::NOON};
use jangteo_sql::Dialect;
use rstest::rstest;

use crate::server::TestDatabase;

/// The number of reads. Most callers are dropped, at any moment from right after the query to after the result.
const READS: u64 = 4_000;

/// Each row identifies itself, so a result of another query would be detected.
#[rstest]
#[case::mysql(Dialect::Mysql)]
#[case::sqlite(Dialect::Sqlite)]
#[tokio::test(flavor = "multi_thread")]
async fn dropped_reads_do_not_affect_other_reads(#[case] dialect: Dialect) -> Result<(), StoreError> {
    let database = TestDatabase::of(dialect).await;
    let ids: Vec<ProductId> = (1..=50).map(|number| SequentialIds::id(number).into()).collect();
    let product =
        |(n, id): (usize, &ProductId)| Product::create(*id, product_details(&format!("lamp {n}"), 1_000), NOON);
    let stock = |(n, id): (u64, &ProductId)| Stock { available: n, ..Stock::empty(*id) };
    let products = RowChanges::inserted(ids.iter().enumerate().map(product));
    let stocks = RowChanges::inserted((0..).zip(&ids).map(stock));
    database.commit(Changes { products, stocks, ..Changes::default() }).await?;

    let queries = database.database.queries();
    let (mut answered, mut dropped) = (0, 0);
    for read in 0..READS {
        // A multiplicative hash spreads the moments evenly and reproducibly.
        let spread = read.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let index = (spread % 50) as usize;
        // On any database, one caller in eight is dropped right after its query, and one waits for the result.
        let patience = match read % 8 {
            0 => Some(0),
            1 => None,
            _ => Some(spread % 500),
        };
        let answer = async {
            match read % 3 {
                0 => Ok(queries.products.find(ids[index]).await?.map(|listing| listing.available)),
                1 => Ok(queries.products.find_many(&ids[index..=index]).await?.pop().map(|listing| listing.available)),
                _ => {
                    let page = Page { after: None, limit: 20 };
                    let orders = queries.orders.list(&OrderFilter::of_user(&user("stranger")), &page).await?;
                    assert!(orders.value.is_empty());
                    Ok::<_, StoreError>(Some(index as u64))
                }
            }
        };
        match unless_dropped(patience, answer).await {
            Some(available) => {
                assert_eq!(available?, Some(index as u64), "read {read} returned the result of another");
                answered += 1;
            }
            None => dropped += 1,
        }
    }
    assert!(answered >= READS / 8 && dropped >= READS / 8, "{answered} answered, {dropped} dropped");
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(queries.products.find(*id).await?.map(|listing| listing.available), Some(index as u64));
    }
    assert_no_transaction_is_open(&database).await;
    Ok(())
}

/// The result, or `None` after `patience` turns of the scheduler.
async fn unless_dropped<T>(patience: Option<u64>, answer: impl Future<Output = T>) -> Option<T> {
    let end = async {
        match patience {
            Some(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = end => None,
    }
}

/// Abandoned reads complete; afterwards no transaction is open.
async fn assert_no_transaction_is_open(database: &TestDatabase) {
    if database.database.dialect() == Dialect::Sqlite {
        return;
    }
    let open = async || {
        // There is no connection 0, and the list must not be empty.
        let ids: String = database.processes().await.iter().map(|process| format!(", {}", process.id)).collect();
        let count = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id";
        database.number(&format!("{count} IN (0{ids})")).await
    };
    let ended = async {
        while open().await > 0 {
            // InnoDB caches this result for 0.1 s.
            tokio::time::sleep(Duration::from_millis(110)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("no transaction stays open");
}

#[test]
fn callers_on_a_single_threaded_runtime_can_be_dropped() {
    // Like an actix worker: dropping a database call on it would panic.
    let main = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let database = main.block_on(TestDatabase::sqlite());
    let queries = database.database.queries();
    let worker = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    worker.block_on(async {
        for patience in 0..200 {
            let read = queries.orders.due(None, 10);
            let _dropped = tokio::time::timeout(Duration::from_micros(patience * 20), read).await;
        }
        queries.orders.due(None, 10).await.expect("a read");
    });
    main.block_on(async move { drop(database) });
}
