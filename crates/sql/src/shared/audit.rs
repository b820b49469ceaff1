use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::audit::{AuditEntry, AuditFilter, AuditQueries, AuditRepository};
use jangteo_domain::id::AuditEntryId;
use jangteo_domain::page::Page;

use super::Db;
use super::store::Store;
use super::unit_of_work::Transaction;
use crate::rows::audit::AuditEntryRow;
use crate::schema::audit_log;
use crate::types::before_id;

#[async_trait]
impl AuditRepository for Transaction {
    async fn append_many(&mut self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let rows: Vec<AuditEntryRow> = entries.iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        self.insert(rows).await
    }
}

#[async_trait]
impl AuditQueries for Store {
    async fn list(&self, filter: &AuditFilter, page: &Page<AuditEntryId>) -> Result<Vec<AuditEntry>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        let entries = self.read(move |connection| {
            async move {
                let mut entries = audit_log::table
                    .filter(audit_log::id.lt(before_id(page.after)))
                    .order(audit_log::id.desc())
                    .limit(page.limit.into())
                    .select(AuditEntryRow::as_select())
                    .into_boxed::<Db>();
                if let Some(actor) = filter.actor {
                    entries = entries.filter(audit_log::actor.eq(String::from(actor)));
                }
                if let Some(subject) = filter.subject {
                    entries = entries.filter(audit_log::subject_id.eq(subject));
                }
                Ok(entries.load(connection).await?)
            }
            .boxed()
        });
        entries.await?.into_iter().map(TryInto::try_into).collect()
    }
}
