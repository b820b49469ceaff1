//! The store in memory keeps the contract of every store.

use jangteo_domain::testing::MemoryStore;

jangteo_domain::contract_suite!(async { MemoryStore::new() });
