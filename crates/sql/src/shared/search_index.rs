//! The upkeep of the search index: the texts that servers of 0.2 wrote during a rollout, and the rebuild.

use std::collections::BTreeSet;

use diesel::dsl::sql;
use diesel::sql_types::Bool;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::product::Product;
use jangteo_domain::transaction::{LockedProduct, ProductDepth};

use super::store::Store;
use super::transaction::Transaction;
use super::writes::Writes;
use crate::rows::product_search::{
    IS_UNINDEXED, ProductSearchGramsRow, ProductSearchTextRow, SearchGramsOf, SearchTextOf,
};
use crate::schema::{product_search_texts, products};
use crate::types::Id;

/// Replaces the search texts of the products and their words in the index.
pub(super) fn put_search<'p>(writes: &mut Writes, products: impl Iterator<Item = &'p Product> + Clone) {
    writes.delete(products.clone().map(|product| SearchTextOf { product_id: Id(product.id) }));
    writes.insert(products.clone().map(ProductSearchTextRow::from));
    writes.delete(products.clone().map(|product| SearchGramsOf { product_id: Id(product.id) }));
    writes.insert(products.map(ProductSearchGramsRow::from));
}

impl Store {
    pub(crate) async fn index_search_texts(&self, limit: u32) -> Result<u32, StoreError> {
        let unindexed = self.read_in_background(move |connection| {
            async move {
                let unindexed = product_search_texts::table.filter(sql::<Bool>(IS_UNINDEXED));
                let ids = unindexed.select(product_search_texts::product_id).limit(limit.into());
                Ok(ids.load::<Id<ProductId>>(connection).await?)
            }
            .boxed()
        });
        let ids: Vec<ProductId> = unindexed.await?.into_iter().map(|Id(id)| id).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        self.write_search(ids, true).await
    }

    pub(crate) async fn rebuild_search_index(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<ProductId>, StoreError> {
        let next = self.read_in_background(move |connection| {
            async move {
                let mut next =
                    products::table.select(products::id).order(products::id).limit(limit.into()).into_boxed();
                if let Some(after) = after {
                    next = next.filter(products::id.gt(Id(after)));
                }
                Ok(next.load::<Id<ProductId>>(connection).await?)
            }
            .boxed()
        });
        let ids: Vec<ProductId> = next.await?.into_iter().map(|Id(id)| id).collect();
        self.write_search(ids.clone(), false).await?;
        Ok(ids)
    }

    /// Writes the search rows of the products, all or those that are not indexed, and returns their number. The locks of
    /// the products keep other servers from changing them.
    async fn write_search(&self, ids: Vec<ProductId>, only_unindexed: bool) -> Result<u32, StoreError> {
        let writing = self.in_background_writing(move |transaction| {
            async move {
                let mut products = transaction.lock_whole_products(&ids).await?;
                if only_unindexed {
                    // Another server may have been faster.
                    let unindexed = transaction.unindexed_among(ids).await?;
                    products.retain(|product| unindexed.contains(&product.id));
                }
                let mut writes = transaction.writes();
                put_search(&mut writes, products.iter());
                Ok((u32::try_from(products.len()).unwrap_or(u32::MAX), writes))
            }
            .boxed()
        });
        writing.await
    }
}

impl Transaction {
    async fn lock_whole_products(&mut self, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
        let depths = ids.iter().map(|id| (*id, ProductDepth::Whole)).collect();
        let locked = self.lock_products(&depths).await?;
        let whole = |locked| match locked {
            LockedProduct::Whole(product) => Some(product),
            LockedProduct::Offer(_) => None,
        };
        Ok(locked.into_values().flatten().filter_map(whole).collect())
    }

    async fn unindexed_among(&mut self, ids: Vec<ProductId>) -> Result<BTreeSet<ProductId>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Id).collect();
        let unindexed = product_search_texts::table
            .filter(product_search_texts::product_id.eq_any(ids))
            .filter(sql::<Bool>(IS_UNINDEXED))
            .select(product_search_texts::product_id);
        let unindexed: Vec<Id<ProductId>> = self.run(|connection| unindexed.load(connection).boxed()).await?;
        Ok(unindexed.into_iter().map(|Id(id)| id).collect())
    }
}
