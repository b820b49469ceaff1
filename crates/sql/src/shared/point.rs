use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::page::Page;
use jangteo_domain::point::{PointAccount, PointEntry, PointQueries};
use jangteo_domain::{StoreError, UserId};

use super::store::Store;
use crate::rows::point::{PointAccountRow, PointEntryRow};
use crate::schema::{point_accounts, point_entries};
use crate::types::before;

#[async_trait]
impl PointQueries for Store {
    async fn account(&self, user_id: &UserId) -> Result<Option<PointAccount>, StoreError> {
        let user_id = user_id.clone();
        let account = self.read(move |connection| {
            async move {
                let account = point_accounts::table.find(user_id.as_str()).select(PointAccountRow::as_select());
                Ok(account.first(connection).await.optional()?)
            }
            .boxed()
        });
        account.await?.map(TryInto::try_into).transpose()
    }

    async fn entries(&self, user_id: &UserId, page: &Page<u64>) -> Result<Vec<PointEntry>, StoreError> {
        let (user_id, page) = (user_id.clone(), page.clone());
        let entries = self.read(move |connection| {
            async move {
                let entries = point_entries::table
                    .filter(point_entries::user_id.eq(user_id.as_str()))
                    .filter(point_entries::sequence.lt(before(page.after)))
                    .order(point_entries::sequence.desc())
                    .limit(page.limit.into())
                    .select(PointEntryRow::as_select());
                Ok(entries.load(connection).await?)
            }
            .boxed()
        });
        Ok(entries.await?.into_iter().map(Into::into).collect())
    }
}
