//! Tolerant reads: an unreadable value fails its own row, not the whole query.

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::deserialize::{FromSqlRow, StaticallySizedRow};
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::row::Row;
use diesel_async::AsyncConnectionCore;
use futures_util::TryStreamExt as _;

/// A row and its key, each readable or not.
#[derive(Debug)]
pub(crate) struct Keyed<Key, Value> {
    pub key: Result<Key, String>,
    pub row: Result<Value, String>,
}

impl<Key, Value> Keyed<Key, Value> {
    /// Reads a row that begins with its key columns.
    pub(crate) fn read<'a, KeySql, ValueSql, DB>(row: &impl Row<'a, DB>) -> Self
    where
        DB: Backend,
        Key: StaticallySizedRow<KeySql, DB>,
        Value: FromSqlRow<ValueSql, DB>,
    {
        let columns = row.field_count();
        let key = Key::build_from_row(&row.partial_row(0..Key::FIELD_COUNT));
        let value = Value::build_from_row(&row.partial_row(Key::FIELD_COUNT..columns));
        Self { key: key.map_err(|error| error.to_string()), row: value.map_err(|error| error.to_string()) }
    }
}

/// Runs a query of keys and rows.
pub(crate) async fn load<Key, Value, KeySql, ValueSql, Q, C>(
    connection: &mut C,
    query: Q,
) -> QueryResult<Vec<Keyed<Key, Value>>>
where
    C: AsyncConnectionCore,
    Q: AsQuery<SqlType = (KeySql, ValueSql), Query: QueryFragment<C::Backend> + QueryId> + 'static,
    Key: StaticallySizedRow<KeySql, C::Backend>,
    Value: FromSqlRow<ValueSql, C::Backend>,
{
    let rows = connection.load(query).await?;
    rows.map_ok(|row| Keyed::read::<KeySql, ValueSql, C::Backend>(&row)).try_collect().await
}
