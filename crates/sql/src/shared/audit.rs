use async_trait::async_trait;
use diesel::prelude::*;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::audit::{AuditEntry, AuditFilter, AuditQueries};
use jangteo_domain::id::AuditEntryId;
use jangteo_domain::page::Page;
use tracing::warn;

use super::store::{Failure, Store};
use super::{Conn, Db};
use crate::keyed::{self, Keyed};
use crate::rows::audit::AuditEntryRow;
use crate::schema::audit_log;
use crate::types::{Id, before_id};

#[async_trait]
impl AuditQueries for Store {
    async fn list(&self, filter: &AuditFilter, page: &Page<AuditEntryId>) -> Result<Vec<AuditEntry>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.read_lagging(move |connection| async move { list(connection, &filter, page).await }.boxed()).await
    }
}

/// Reads until the page is full or the log ends. Unreadable rows do not count.
async fn list(
    connection: &mut Conn,
    filter: &AuditFilter,
    page: Page<AuditEntryId>,
) -> Result<Vec<AuditEntry>, Failure> {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let (mut after, mut entries) = (page.after, Vec::new());
    loop {
        let mut query = audit_log::table
            .filter(audit_log::id.lt(before_id(after)))
            .order(audit_log::id.desc())
            .limit(page.limit.into())
            .select((audit_log::id, <AuditEntryRow as Selectable<Db>>::construct_selection()))
            .into_boxed::<Db>();
        if let Some(actor) = &filter.actor {
            query = query.filter(audit_log::actor.eq(actor.to_string()));
        }
        if let Some(subject_id) = &filter.subject_id {
            query = query.filter(audit_log::subject_id.eq(subject_id.clone()));
        }
        let rows: Vec<Keyed<Id<AuditEntryId>, AuditEntryRow>> = keyed::load(connection, query).await?;
        let is_last = rows.len() < limit;
        let last = rows.iter().rev().find_map(|row| row.key.as_ref().ok()).map(|Id(id)| *id);
        for Keyed { key, row } in rows {
            match row {
                Ok(row) => entries.push(row.into()),
                Err(error) => {
                    let id = key.map_or_else(|_| "?".to_owned(), |Id(id)| id.to_string());
                    warn!(id, error, "a line of the audit log cannot be read");
                }
            }
        }
        entries.truncate(limit);
        if is_last || last.is_none() || entries.len() == limit {
            return Ok(entries);
        }
        after = last;
    }
}
