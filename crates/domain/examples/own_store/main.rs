//! A custom write store, in [`store`]: the minimum to run the shop on another database.
//!
//! `cargo run -p jangteo-domain --example own_store` runs a purchase on it; `cargo test -p jangteo-domain --example
//! own_store` runs the contract suite of all stores.

mod store;

use std::sync::Arc;

use jangteo_domain::command::CouponChoice;
use jangteo_domain::testing::rules;
use jangteo_domain::{Reply, StoreError};
use jangteo_domain_testing::TestShop;

use crate::store::OwnStore;

/// A top-up, a product, an order and its payment, each in its own transaction.
async fn trade() -> Result<(), StoreError> {
    let shop = TestShop::new(Arc::new(OwnStore::default()));
    let kim = shop.user("kim", 50_000).await?;
    let lamp = shop.lamp(12_000, 5).await?;
    let order_id = shop.order(&kim, &[(lamp, 2)]).await?;
    match shop.pay(order_id, &kim, CouponChoice::Best).await? {
        Ok(Reply::OrderPaid(payment)) => {
            let [paid, left] = [payment.amount, payment.balance_after].map(|amount| rules().currency.show(amount));
            println!("paid {paid}, {left} left");
        }
        other => panic!("the order can be paid, but the outcome is {other:?}"),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StoreError> {
    trade().await
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use jangteo_domain::UnitOfWorkFactory;
    use jangteo_domain_testing::contract::{Concurrency, TransactionHarness};

    use super::*;

    #[async_trait]
    impl TransactionHarness for OwnStore {
        fn factory(&self) -> Arc<dyn UnitOfWorkFactory> {
            Arc::new(self.clone())
        }

        fn concurrency(&self) -> Concurrency {
            Concurrency::SingleWriter
        }

        async fn break_connections(&self) -> bool {
            false
        }
    }

    jangteo_domain_testing::transaction_contract!(std::future::ready(OwnStore::default()));

    #[test]
    fn the_example_runs() {
        main().expect("a working store");
    }
}
