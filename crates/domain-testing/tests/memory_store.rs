//! The store contract, on the in-memory store.

use jangteo_domain_testing::MemoryStore;

mod transaction {
    use super::*;

    jangteo_domain_testing::transaction_contract!(async { MemoryStore::new() });
}

mod store {
    use super::*;

    jangteo_domain_testing::store_contract!(async { MemoryStore::new() });
}
