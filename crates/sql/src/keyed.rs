//! Rows that may make no sense, read one by one: where a query would fail as a whole, each row fails by itself.

use diesel::backend::Backend;
use diesel::deserialize::{FromSqlRow, StaticallySizedRow};
use diesel::row::Row;

/// A row beside its key, each as far as it can be read.
#[derive(Debug)]
pub(crate) struct Keyed<Key, Value> {
    pub key: Result<Key, String>,
    pub row: Result<Value, String>,
}

impl<Key, Value> Keyed<Key, Value> {
    /// Reads a row that begins with the columns of its key.
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
