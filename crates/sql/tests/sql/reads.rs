//! Readers who hang up.

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

use crate::server::TestDatabase;

/// Readers, most of whom hang up, at moments from right after the question to after the answer.
const READS: u64 = 4_000;

/// Reads one of many rows that tell of themselves; an answer that belongs to another question would show.
async fn reads_hung_up_at_random_answer_nobody_else(dialect: Dialect) -> Result<(), StoreError> {
    let database = TestDatabase::of(dialect).await;
    let ids: Vec<ProductId> = (1..=50).map(|number| SequentialIds::id(number).into()).collect();
    let product =
        |(n, id): (usize, &ProductId)| Product::create(*id, product_details(&format!("lamp {n}"), 1_000), NOON);
    let stock = |(n, id): (u32, &ProductId)| Stock { available: n, ..Stock::empty(*id) };
    let products = RowChanges::inserted(ids.iter().enumerate().map(product));
    let stocks = RowChanges::inserted((0..).zip(&ids).map(stock));
    database.commit(Changes { products, stocks, ..Changes::default() }).await?;

    let queries = database.database.queries();
    let (mut answered, mut hung_up) = (0, 0);
    for read in 0..READS {
        // A multiplicative hash spreads the moments evenly and is the same in each run.
        let spread = read.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let index = (spread % 50) as usize;
        // Whatever the database's speed, one reader in eight hangs up right after asking, and one waits to the end.
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
                    let orders = queries.orders.list(&OrderFilter::of_user(&user("nobody")), &page).await?;
                    assert!(orders.value.is_empty());
                    Ok::<_, StoreError>(Some(index as u32))
                }
            }
        };
        match unless_bored(patience, answer).await {
            Some(available) => {
                assert_eq!(available?, Some(index as u32), "read {read} got the answer to another question");
                answered += 1;
            }
            None => hung_up += 1,
        }
    }
    assert!(answered >= READS / 8 && hung_up >= READS / 8, "{answered} answered, {hung_up} hung up");
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(queries.products.find(*id).await?.map(|listing| listing.available), Some(index as u32));
    }
    assert_no_transaction_is_open(&database).await;
    Ok(())
}

/// The answer, unless it takes longer than so many turns of the scheduler.
async fn unless_bored<T>(patience: Option<u64>, answer: impl Future<Output = T>) -> Option<T> {
    let bored = async {
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
        () = bored => None,
    }
}

/// Reads that were left behind end by themselves; then nothing is open.
async fn assert_no_transaction_is_open(database: &TestDatabase) {
    if database.database.dialect() == Dialect::Sqlite {
        return;
    }
    let open = async || {
        // There is no connection 0, and a list must not be empty.
        let ids: String = database.processes().await.iter().map(|process| format!(", {}", process.id)).collect();
        let count = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id";
        database.number(&format!("{count} IN (0{ids})")).await
    };
    let ended = async {
        while open().await > 0 {
            // Asked again within 0.1 s InnoDB answers what it answered before.
            tokio::time::sleep(Duration::from_millis(110)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("no transaction stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_mysql_hung_up_at_random_answer_nobody_else() -> Result<(), StoreError> {
    reads_hung_up_at_random_answer_nobody_else(Dialect::Mysql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_sqlite_hung_up_at_random_answer_nobody_else() -> Result<(), StoreError> {
    reads_hung_up_at_random_answer_nobody_else(Dialect::Sqlite).await
}

#[test]
fn callers_on_a_runtime_of_one_thread_may_hang_up_too() {
    // As an actix worker is: dropping a database call itself would panic there.
    let main = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let database = main.block_on(TestDatabase::sqlite());
    let queries = database.database.queries();
    let worker = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    worker.block_on(async {
        for patience in 0..200 {
            let read = queries.orders.due(10);
            let _hung_up = tokio::time::timeout(Duration::from_micros(patience * 20), read).await;
        }
        queries.orders.due(10).await.expect("a read that is waited for");
    });
    main.block_on(async move { drop(database) });
}
