//! A custom write store, in [`store`]: the minimum to run the shop on another database.
//!
//! `cargo run -p jangteo-domain --example own_store` runs a purchase on it; `cargo test -p jangteo-domain --example
//! own_store` runs the contract suite of all stores.

mod store;

use std::sync::Arc;

use jangteo_domain::command::{AdjustStock, CouponChoice, CreateProduct, PayOrder, PlaceOrder, TopUpPoints};
use jangteo_domain::id::{OrderId, ProductId};
use jangteo_domain::testing::fixtures::{customer, order_lines, positive, product_details, text, user};
use jangteo_domain::testing::{NoBackoff, PlainEvents, SequentialIds, rules};
use jangteo_domain::{Answer, BatchExecutor, Command, Reply, Request, StoreError};

use crate::store::OwnStore;

/// A top-up, a product, an order and its payment, all in one transaction.
async fn trade() -> Result<(), StoreError> {
    let executor = BatchExecutor {
        factory: Arc::new(OwnStore::default()),
        rules: Arc::new(rules()),
        ids: Arc::new(SequentialIds::new()),
        events: Arc::new(PlainEvents),
        backoff: Arc::new(NoBackoff),
    };
    let kim = user("kim");
    let [product_id, order_id] = [1 << 32, 2 << 32].map(SequentialIds::id);
    let (product_id, order_id): (ProductId, OrderId) = (product_id.into(), order_id.into());
    let lines = order_lines(&[(product_id, 2)]);
    let commands: [Command; 5] = [
        TopUpPoints { user_id: kim.clone(), amount: positive(50_000) }.into(),
        CreateProduct { product_id, details: product_details("lamp", 12_000) }.into(),
        AdjustStock { product_id, quantity: 5, reason: text("delivery") }.into(),
        PlaceOrder { order_id, user_id: kim.clone(), lines, expected_total: None }.into(),
        PayOrder { order_id, actor: customer(&kim), coupon: CouponChoice::Best }.into(),
    ];
    for answer in executor.execute(&commands.map(Request::new)).await {
        match answer? {
            Answer::Decided { outcome: Ok(Reply::OrderPaid(payment)), .. } => {
                let [paid, left] = [payment.amount, payment.balance_after].map(|amount| rules().currency.show(amount));
                println!("paid {paid}, {left} left");
            }
            Answer::Decided { outcome: Ok(_), .. } => {}
            other => panic!("each command succeeds, but the answer is {other:?}"),
        }
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
