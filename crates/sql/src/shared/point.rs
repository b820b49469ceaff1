use std::collections::BTreeSet;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::page::Page;
use jangteo_domain::point::{PointAccount, PointEntry, PointQueries, PointRepository};
use jangteo_domain::{StoreError, UserId};

use super::store::Store;
use super::unit_of_work::Transaction;
use crate::rows::point::{AccountOf, PointAccountRow, PointEntryRow};
use crate::schema::{point_accounts, point_entries};
use crate::types::{Varchar, before};

#[async_trait]
impl PointRepository for Transaction {
    /// Locks the accounts that exist, which are nearly always all; only where some are missing it makes those and
    /// locks them as well. So the usual case takes one statement for this and for `lock_many`.
    async fn ensure_many(&mut self, ids: &BTreeSet<UserId>) -> Result<(), StoreError> {
        self.lock_accounts(ids).await?;
        let missing: BTreeSet<UserId> = ids.iter().filter(|id| !self.accounts.contains_key(*id)).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.ensure(missing.iter().map(|id| PointAccountRow::from(&PointAccount::empty(id.clone())))).await?;
        self.lock_accounts(&missing).await
    }

    async fn lock_many(&mut self, ids: &BTreeSet<UserId>) -> Result<Vec<PointAccount>, StoreError> {
        let other: BTreeSet<UserId> = ids.iter().filter(|id| !self.accounts.contains_key(*id)).cloned().collect();
        self.lock_accounts(&other).await?;
        Ok(ids.iter().filter_map(|id| self.accounts.remove(id)).collect())
    }

    async fn save_many(&mut self, accounts: &[PointAccount]) -> Result<(), StoreError> {
        self.accounts.clear(); // What was read before is out of date now.
        self.save(accounts.iter().map(PointAccountRow::from)).await
    }

    async fn append_entries(&mut self, entries: &[PointEntry]) -> Result<(), StoreError> {
        self.insert(entries.iter().map(PointEntryRow::from)).await
    }
}

impl Transaction {
    async fn lock_accounts(&mut self, ids: &BTreeSet<UserId>) -> Result<(), StoreError> {
        let rows = self.lock(ids.iter().map(|id| AccountOf { user_id: Varchar(id.clone()) })).await?;
        self.accounts
            .extend(rows.into_iter().map(PointAccount::from).map(|account| (account.user_id.clone(), account)));
        Ok(())
    }
}

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
        Ok(account.await?.map(Into::into))
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
