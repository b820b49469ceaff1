//! The store in memory keeps the contract of every store.

use std::sync::Arc;

use async_trait::async_trait;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::testing::MemoryStore;
use jangteo_domain::testing::contract::{Concurrency, StoreHarness, StoredEvent};
use jangteo_domain::{Queries, UnitOfWorkFactory};

struct Memory(MemoryStore);

#[async_trait]
impl StoreHarness for Memory {
    fn factory(&self) -> Arc<dyn UnitOfWorkFactory> {
        self.0.factory()
    }

    fn queries(&self) -> Queries {
        self.0.queries()
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::SingleWriter
    }

    async fn break_connections(&self) -> bool {
        self.0.break_connections();
        true
    }

    async fn payments(&self) -> Vec<Payment> {
        self.0.payments()
    }

    async fn refunds(&self) -> Vec<Refund> {
        self.0.refunds()
    }

    async fn outbox_events(&self) -> Vec<StoredEvent> {
        self.0.outbox_events().iter().map(StoredEvent::from).collect()
    }
}

jangteo_domain::contract_suite!(async { Memory(MemoryStore::new()) });
