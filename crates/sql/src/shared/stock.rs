use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::page::Page;
use jangteo_domain::stock::{StockMovement, StockQueries};

use super::store::Store;
use crate::bulk::{Find, READ_BYTES_MAX, chunks};
use crate::rows::stock::{StockMovementRow, StockOf, StockRow};
use crate::schema::stock_movements;
use crate::types::{Id, before};

#[async_trait]
impl StockQueries for Store {
    async fn movements(&self, product_id: ProductId, page: &Page<u64>) -> Result<Vec<StockMovement>, StoreError> {
        let page = page.clone();
        let movements = self.read_lagging(move |connection| {
            async move {
                let movements = stock_movements::table
                    .filter(stock_movements::product_id.eq(Id(product_id)))
                    .filter(stock_movements::sequence.lt(before(page.after)))
                    .order(stock_movements::sequence.desc())
                    .limit(page.limit.into())
                    .select(StockMovementRow::as_select());
                Ok(movements.load(connection).await?)
            }
            .boxed()
        });
        Ok(movements.await?.into_iter().map(Into::into).collect())
    }

    async fn available(&self, ids: &BTreeSet<ProductId>) -> Result<BTreeMap<ProductId, u64>, StoreError> {
        let chunks = chunks(ids.iter().map(|id| StockOf { product_id: Id(*id) }), READ_BYTES_MAX);
        let stocks = self.read(move |connection| {
            async move {
                let mut stocks = Vec::new();
                for chunk in chunks {
                    stocks.append(&mut Find::<StockOf>::new(chunk).load::<StockRow>(connection).await?);
                }
                Ok(stocks)
            }
            .boxed()
        });
        Ok(stocks.await?.into_iter().map(|stock| (stock.product_id.0, stock.available.0)).collect())
    }
}
