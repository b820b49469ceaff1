use async_trait::async_trait;
use diesel::{ExpressionMethods as _, QueryDsl as _, SelectableHelper as _};
use diesel_async::RunQueryDsl as _;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::id::RevocationId;
use jangteo_domain::page::Page;
use jangteo_domain::token::{Revocation, RevocationQueries};

use super::store::Store;
use crate::rows::token::RevocationRow;
use crate::schema::token_revocations;
use crate::types::before_id;

#[async_trait]
impl RevocationQueries for Store {
    async fn all(&self) -> Result<Vec<Revocation>, StoreError> {
        let reading = self.read_in_background(|connection| {
            async move {
                let query = token_revocations::table.select(RevocationRow::as_select());
                Ok(query.load(connection).await?)
            }
            .boxed()
        });
        reading.await?.into_iter().map(Revocation::try_from).collect()
    }

    async fn list(&self, page: &Page<RevocationId>) -> Result<Vec<Revocation>, StoreError> {
        let page = page.clone();
        let reading = self.read(move |connection| {
            async move {
                let query = token_revocations::table
                    .filter(token_revocations::id.lt(before_id(page.after)))
                    .order(token_revocations::id.desc())
                    .limit(page.limit.into())
                    .select(RevocationRow::as_select());
                Ok(query.load(connection).await?)
            }
            .boxed()
        });
        reading.await?.into_iter().map(Revocation::try_from).collect()
    }
}
