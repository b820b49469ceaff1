//! Statements about many rows, each of one constant text.
//!
//! The rows travel as one JSON array in one bind, which `JSON_TABLE` (MySQL) or `json_each` (SQLite) turns into a table
//! named `given`. So a statement is prepared once for a connection whatever the number of rows, meets no limit on binds,
//! and takes one round trip. Money and times travel as integers, so that no amount is ever computed in floating point.
//!
//! What a statement finds rows by is joined from `given` into the table through a named index, row by row in the order
//! given: it locks the rows that it names, in that order, and never scans.

use std::marker::PhantomData;
use std::sync::Arc;

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{HasSqlType, Text};
use diesel::sqlite::Sqlite;
use jangteo_domain::StoreError;
use serde::Serialize;

use crate::types::Kind;

/// A row as it is written; serialized it is a JSON object with the names of its columns.
pub(crate) trait Row: Serialize {
    /// The types of the key and the other columns, as they are selected.
    type SqlType;
    const TABLE: &'static str;
    const KEYS: &'static [Column];
    const VALUES: &'static [Column];
}

/// What rows are found by; serialized it is a JSON object with the names of its columns.
pub(crate) trait Lookup: Serialize {
    type Row: Row;
    const COLUMNS: &'static [Column];
    /// The index that holds the columns first; `PRIMARY` is the primary key.
    const INDEX: &'static str;
    /// Whether the rows found are locked until the transaction ends.
    const LOCKS: bool;
}

/// A column and what its values look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

/// The columns of these names and types.
macro_rules! columns {
    ($($name:ident: $type:ty,)*) => {
        &[$($crate::bulk::Column { name: stringify!($name), kind: <$type as $crate::types::Cell>::KIND }),*]
    };
}
pub(crate) use columns;

/// The most bytes of one JSON bind: well below the 16 MiB that a MariaDB server takes in one packet unless it is told
/// otherwise.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// Rows as one bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    json: String,
    /// How many rows it holds.
    pub rows: usize,
}

/// Writes rows as JSON arrays of at most [`CHUNK_BYTES_MAX`] bytes each, a single larger row aside.
///
/// # Errors
/// [`StoreError::Unexpected`] for a row that cannot be written as JSON: a bug in its type.
pub(crate) fn chunks<R: Serialize>(rows: impl IntoIterator<Item = R>) -> Result<Vec<Chunk>, StoreError> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for row in rows {
        let object = serde_json::to_string(&row).map_err(|error| StoreError::Unexpected(Arc::new(error)))?;
        match chunks.last_mut().filter(|chunk| chunk.json.len() + object.len() + 2 <= CHUNK_BYTES_MAX) {
            Some(chunk) => {
                chunk.json.push(',');
                chunk.json.push_str(&object);
                chunk.rows += 1;
            }
            None => {
                close(chunks.last_mut());
                chunks.push(Chunk { json: format!("[{object}"), rows: 1 });
            }
        }
    }
    close(chunks.last_mut());
    Ok(chunks)
}

fn close(chunk: Option<&mut Chunk>) {
    if let Some(chunk) = chunk {
        chunk.json.push(']');
    }
}

/// A statement about a chunk of rows.
macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident<$row:ident: $bound:ident>;)*) => {$(
        $(#[$meta])*
        #[derive(Debug)]
        pub(crate) struct $name<$row> {
            chunk: Chunk,
            row: PhantomData<fn() -> $row>,
        }

        impl<$row> $name<$row> {
            pub(crate) fn new(chunk: Chunk) -> Self {
                Self { chunk, row: PhantomData }
            }
        }

        // One text for each kind of row, so the type identifies the prepared statement.
        impl<$row: $bound + 'static> QueryId for $name<$row> {
            type QueryId = Self;
            const HAS_STATIC_QUERY_ID: bool = true;
        }
    )*};
}

statements! {
    /// `INSERT`s new rows.
    Insert<R: Row>;
    /// `INSERT`s the rows whose keys are not there yet and leaves the others as they are.
    Ensure<R: Row>;
    /// `INSERT`s the rows whose keys are not there yet and adds the values to the others, in the database.
    Accumulate<R: Row>;
    /// `UPDATE`s the values of the rows with these keys.
    Update<R: Row>;
    /// `DELETE`s the rows that are found.
    Delete<L: Lookup>;
    /// `SELECT`s the rows that are found, and locks them where the lookup says so.
    Find<L: Lookup>;
}

impl<L: Lookup> Query for Find<L> {
    type SqlType = <L::Row as Row>::SqlType;
}

/// What the dialects say differently.
pub(crate) trait BulkDialect: Backend + HasSqlType<Text> {
    /// Joins `given` on its left with a table on its right, read in that order.
    const JOIN: &'static str;

    /// Locks the rows of the table that are found.
    fn push_lock(out: &mut AstPass<'_, '_, Self>, table: &str) -> QueryResult<()>;

    /// The table `given` of these columns, read from one bind.
    fn push_given<'b>(out: &mut AstPass<'_, 'b, Self>, columns: Columns, chunk: &'b Chunk) -> QueryResult<()>;
    /// The value of a column of `given`, as the table stores it.
    fn push_cell(out: &mut AstPass<'_, '_, Self>, column: &Column) -> QueryResult<()>;
    /// Makes the table to the left be read through this index.
    fn push_index(out: &mut AstPass<'_, '_, Self>, index: &str) -> QueryResult<()>;
    /// What an `INSERT … SELECT` does with a key that is there already: nothing.
    fn push_keep_existing(out: &mut AstPass<'_, '_, Self>, table: &str, keys: &[Column]) -> QueryResult<()>;
    /// What an `INSERT … SELECT` does with a key that is there already: add the values.
    fn push_add_to_existing(
        out: &mut AstPass<'_, '_, Self>,
        table: &str,
        keys: &[Column],
        values: &[Column],
    ) -> QueryResult<()>;
    /// `UPDATE table … SET values … given … keys`.
    fn push_update<'b>(
        out: &mut AstPass<'_, 'b, Self>,
        table: &str,
        keys: &'static [Column],
        values: &'static [Column],
        chunk: &'b Chunk,
    ) -> QueryResult<()>;
    /// `DELETE FROM table … given … keys`.
    fn push_delete<'b>(
        out: &mut AstPass<'_, 'b, Self>,
        table: &str,
        index: &str,
        keys: &'static [Column],
        chunk: &'b Chunk,
    ) -> QueryResult<()>;
}

/// Key columns and value columns.
pub(crate) type Columns = (&'static [Column], &'static [Column]);

fn all((keys, values): Columns) -> impl Iterator<Item = &'static Column> {
    keys.iter().chain(values)
}

impl<R: Row, DB: BulkDialect> QueryFragment<DB> for Insert<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        push_insert::<R, DB>(&mut out, &self.chunk)
    }
}

impl<R: Row, DB: BulkDialect> QueryFragment<DB> for Ensure<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        push_insert::<R, DB>(&mut out, &self.chunk)?;
        DB::push_keep_existing(&mut out, R::TABLE, R::KEYS)
    }
}

impl<R: Row, DB: BulkDialect> QueryFragment<DB> for Accumulate<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        push_insert::<R, DB>(&mut out, &self.chunk)?;
        DB::push_add_to_existing(&mut out, R::TABLE, R::KEYS, R::VALUES)
    }
}

impl<R: Row, DB: BulkDialect> QueryFragment<DB> for Update<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        DB::push_update(&mut out, R::TABLE, R::KEYS, R::VALUES, &self.chunk)
    }
}

impl<L: Lookup, DB: BulkDialect> QueryFragment<DB> for Delete<L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        DB::push_delete(&mut out, L::Row::TABLE, L::INDEX, L::COLUMNS, &self.chunk)
    }
}

impl<L: Lookup, DB: BulkDialect> QueryFragment<DB> for Find<L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let table = L::Row::TABLE;
        out.push_sql("SELECT ");
        separated(&mut out, ", ", all((L::Row::KEYS, L::Row::VALUES)), |out, column| {
            push_column(out, table, column.name)
        })?;
        out.push_sql(" FROM ");
        DB::push_given(&mut out, (L::COLUMNS, &[]), &self.chunk)?;
        out.push_sql(DB::JOIN);
        out.push_identifier(table)?;
        DB::push_index(&mut out, L::INDEX)?;
        out.push_sql(" ON ");
        push_equal_keys(&mut out, table, L::COLUMNS)?;
        if L::LOCKS { DB::push_lock(&mut out, table) } else { Ok(()) }
    }
}

/// `INSERT INTO table (columns) SELECT cells FROM given`.
fn push_insert<'b, R: Row, DB: BulkDialect>(out: &mut AstPass<'_, 'b, DB>, chunk: &'b Chunk) -> QueryResult<()> {
    let columns = (R::KEYS, R::VALUES);
    out.push_sql("INSERT INTO ");
    out.push_identifier(R::TABLE)?;
    out.push_sql(" (");
    separated(out, ", ", all(columns), |out, column| out.push_identifier(column.name))?;
    out.push_sql(") SELECT ");
    separated(out, ", ", all(columns), DB::push_cell)?;
    out.push_sql(" FROM ");
    DB::push_given(out, columns, chunk)
}

/// `table.key = cell AND …`.
fn push_equal_keys<DB: BulkDialect>(
    out: &mut AstPass<'_, '_, DB>,
    table: &str,
    keys: &'static [Column],
) -> QueryResult<()> {
    separated(out, " AND ", keys, |out, key| {
        push_column(out, table, key.name)?;
        out.push_sql(" = ");
        DB::push_cell(out, key)
    })
}

fn push_column<DB: Backend>(out: &mut AstPass<'_, '_, DB>, table: &str, column: &str) -> QueryResult<()> {
    out.push_identifier(table)?;
    out.push_sql(".");
    out.push_identifier(column)
}

/// Pushes each of these, with a separator in between.
fn separated<'a, DB: Backend, T: 'a>(
    out: &mut AstPass<'_, '_, DB>,
    separator: &str,
    items: impl IntoIterator<Item = &'a T>,
    mut push: impl FnMut(&mut AstPass<'_, '_, DB>, &'a T) -> QueryResult<()>,
) -> QueryResult<()> {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push_sql(separator);
        }
        push(out, item)?;
    }
    Ok(())
}

impl BulkDialect for Mysql {
    const JOIN: &'static str = " STRAIGHT_JOIN ";

    fn push_lock(out: &mut AstPass<'_, '_, Self>, table: &str) -> QueryResult<()> {
        // MySQL must be told not to lock `given`; MariaDB cannot be told, and passes over this comment.
        out.push_sql(" FOR UPDATE /*!80001 OF ");
        out.push_identifier(table)?;
        out.push_sql(" */");
        Ok(())
    }

    fn push_given<'b>(out: &mut AstPass<'_, 'b, Self>, columns: Columns, chunk: &'b Chunk) -> QueryResult<()> {
        out.push_sql("JSON_TABLE(");
        out.push_bind_param::<Text, String>(&chunk.json)?;
        out.push_sql(", '$[*]' COLUMNS (");
        separated(out, ", ", all(columns), |out, column| {
            out.push_identifier(column.name)?;
            match column.kind {
                Kind::Bytes { length } => push_varchar(out, 2 * length),
                Kind::Varchar { length_max } => push_varchar(out, length_max),
                Kind::LongText => out.push_sql(" LONGTEXT CHARACTER SET utf8mb4"),
                Kind::Integer | Kind::Money | Kind::Time => out.push_sql(" BIGINT"),
                Kind::Day => out.push_sql(" DATE"),
            }
            // Without ERROR ON ERROR what does not fit would silently be NULL.
            out.push_sql(" PATH '$.");
            out.push_sql(column.name);
            out.push_sql("' ERROR ON ERROR");
            Ok(())
        })?;
        out.push_sql(")) AS given");
        Ok(())
    }

    fn push_cell(out: &mut AstPass<'_, '_, Self>, column: &Column) -> QueryResult<()> {
        let (before, after) = match column.kind {
            Kind::Bytes { .. } => ("UNHEX(", ")"),
            // A BIGINT times an exact literal is exact; a bound decimal would be text, and computed in DOUBLE.
            Kind::Money => ("", " * 0.0001"),
            Kind::Time => ("TIMESTAMPADD(MICROSECOND, ", ", TIMESTAMP'1970-01-01 00:00:00')"),
            Kind::Varchar { .. } | Kind::LongText | Kind::Integer | Kind::Day => ("", ""),
        };
        out.push_sql(before);
        push_column(out, "given", column.name)?;
        out.push_sql(after);
        Ok(())
    }

    fn push_index(out: &mut AstPass<'_, '_, Self>, index: &str) -> QueryResult<()> {
        out.push_sql(" FORCE INDEX (");
        out.push_identifier(index)?;
        out.push_sql(")");
        Ok(())
    }

    fn push_keep_existing(out: &mut AstPass<'_, '_, Self>, table: &str, keys: &[Column]) -> QueryResult<()> {
        // Not INSERT IGNORE, which would also swallow broken constraints and clip what does not fit.
        out.push_sql(" ON DUPLICATE KEY UPDATE ");
        separated(out, ", ", keys, |out, key| {
            out.push_identifier(key.name)?;
            out.push_sql(" = ");
            push_column(out, table, key.name)
        })
    }

    fn push_add_to_existing(
        out: &mut AstPass<'_, '_, Self>,
        table: &str,
        _keys: &[Column],
        values: &[Column],
    ) -> QueryResult<()> {
        out.push_sql(" ON DUPLICATE KEY UPDATE ");
        separated(out, ", ", values, |out, value| {
            out.push_identifier(value.name)?;
            out.push_sql(" = ");
            push_column(out, table, value.name)?;
            out.push_sql(" + ");
            Self::push_cell(out, value)
        })
    }

    fn push_update<'b>(
        out: &mut AstPass<'_, 'b, Self>,
        table: &str,
        keys: &'static [Column],
        values: &'static [Column],
        chunk: &'b Chunk,
    ) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        Self::push_given(out, (keys, values), chunk)?;
        out.push_sql(Self::JOIN);
        out.push_identifier(table)?;
        Self::push_index(out, "PRIMARY")?;
        out.push_sql(" ON ");
        push_equal_keys(out, table, keys)?;
        out.push_sql(" SET ");
        separated(out, ", ", values, |out, value| {
            push_column(out, table, value.name)?;
            out.push_sql(" = ");
            Self::push_cell(out, value)
        })
    }

    fn push_delete<'b>(
        out: &mut AstPass<'_, 'b, Self>,
        table: &str,
        index: &str,
        keys: &'static [Column],
        chunk: &'b Chunk,
    ) -> QueryResult<()> {
        out.push_sql("DELETE ");
        out.push_identifier(table)?;
        out.push_sql(" FROM ");
        Self::push_given(out, (keys, &[]), chunk)?;
        out.push_sql(Self::JOIN);
        out.push_identifier(table)?;
        Self::push_index(out, index)?;
        out.push_sql(" ON ");
        push_equal_keys(out, table, keys)
    }
}

fn push_varchar(out: &mut AstPass<'_, '_, Mysql>, length: usize) {
    out.push_sql(&format!(" VARCHAR({length}) CHARACTER SET utf8mb4"));
}

impl BulkDialect for Sqlite {
    /// CROSS JOIN keeps the order of its tables.
    const JOIN: &'static str = " CROSS JOIN ";

    fn push_lock(_out: &mut AstPass<'_, '_, Self>, _table: &str) -> QueryResult<()> {
        Ok(()) // A write transaction is the only one there is; it holds every row.
    }

    fn push_given<'b>(out: &mut AstPass<'_, 'b, Self>, _columns: Columns, chunk: &'b Chunk) -> QueryResult<()> {
        out.push_sql("json_each(");
        out.push_bind_param::<Text, String>(&chunk.json)?;
        out.push_sql(") AS given");
        Ok(())
    }

    fn push_cell(out: &mut AstPass<'_, '_, Self>, column: &Column) -> QueryResult<()> {
        let (before, after) = match column.kind {
            Kind::Bytes { .. } => ("unhex(", ")"),
            Kind::Varchar { .. } | Kind::LongText | Kind::Integer | Kind::Money | Kind::Time | Kind::Day => ("", ""),
        };
        out.push_sql(before);
        out.push_sql("given.value ->> '$.");
        out.push_sql(column.name);
        out.push_sql("'");
        out.push_sql(after);
        Ok(())
    }

    fn push_index(_out: &mut AstPass<'_, '_, Self>, _index: &str) -> QueryResult<()> {
        Ok(()) // Its planner takes the index by itself, and there are no row locks that a scan could take.
    }

    fn push_keep_existing(out: &mut AstPass<'_, '_, Self>, _table: &str, keys: &[Column]) -> QueryResult<()> {
        push_on_conflict(out, keys)?;
        out.push_sql(" DO NOTHING");
        Ok(())
    }

    fn push_add_to_existing(
        out: &mut AstPass<'_, '_, Self>,
        table: &str,
        keys: &[Column],
        values: &[Column],
    ) -> QueryResult<()> {
        push_on_conflict(out, keys)?;
        out.push_sql(" DO UPDATE SET ");
        separated(out, ", ", values, |out, value| {
            out.push_identifier(value.name)?;
            out.push_sql(" = ");
            push_column(out, table, value.name)?;
            out.push_sql(" + ");
            push_column(out, "excluded", value.name)
        })
    }

    fn push_update<'b>(
        out: &mut AstPass<'_, 'b, Self>,
        table: &str,
        keys: &'static [Column],
        values: &'static [Column],
        chunk: &'b Chunk,
    ) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        out.push_identifier(table)?;
        out.push_sql(" SET ");
        separated(out, ", ", values, |out, value| {
            out.push_identifier(value.name)?;
            out.push_sql(" = ");
            Self::push_cell(out, value)
        })?;
        out.push_sql(" FROM ");
        Self::push_given(out, (keys, values), chunk)?;
        out.push_sql(" WHERE ");
        push_equal_keys(out, table, keys)
    }

    fn push_delete<'b>(
        out: &mut AstPass<'_, 'b, Self>,
        table: &str,
        _index: &str,
        keys: &'static [Column],
        chunk: &'b Chunk,
    ) -> QueryResult<()> {
        out.push_sql("DELETE FROM ");
        out.push_identifier(table)?;
        out.push_sql(" WHERE (");
        separated(out, ", ", keys, |out, key| out.push_identifier(key.name))?;
        out.push_sql(") IN (SELECT ");
        separated(out, ", ", keys, Self::push_cell)?;
        out.push_sql(" FROM ");
        Self::push_given(out, (keys, &[]), chunk)?;
        out.push_sql(")");
        Ok(())
    }
}

/// The `WHERE true` tells SQLite's parser that the `ON` begins no join.
fn push_on_conflict(out: &mut AstPass<'_, '_, Sqlite>, keys: &[Column]) -> QueryResult<()> {
    out.push_sql(" WHERE true ON CONFLICT (");
    separated(out, ", ", keys, |out, key| out.push_identifier(key.name))?;
    out.push_sql(")");
    Ok(())
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use jangteo_domain::id::ProductId;
    use serde_json::Value;

    use super::*;
    use crate::rows::stock::{StockOf, StockRow};
    use crate::types::{Count, Id};

    fn stock(number: u32) -> StockRow {
        let product_id = ProductId::from(uuid::Uuid::from_u128(u128::from(number)));
        StockRow { product_id: Id(product_id), available: Count(number), movements: Count(1) }
    }

    fn one<R: Serialize>(row: R) -> Chunk {
        chunks([row]).expect("rows that can be written").remove(0)
    }

    #[test]
    fn rows_are_split_into_binds_that_a_server_takes_and_none_is_lost() {
        let rows = 100_000;
        let chunks = chunks((0..rows).map(stock)).expect("rows that can be written");
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.json.len() <= CHUNK_BYTES_MAX));
        let mut written = Vec::new();
        for chunk in &chunks {
            let read: Vec<Value> = serde_json::from_str(&chunk.json).expect("a JSON array");
            assert_eq!(read.len(), chunk.rows);
            written.extend(read.iter().map(|row| row["available"].as_u64().expect("a number")));
        }
        assert!(written.into_iter().eq(0..u64::from(rows)));
    }

    #[test]
    fn a_row_larger_than_a_bind_stands_alone() {
        let wide = "x".repeat(CHUNK_BYTES_MAX);
        let chunks = chunks(["a", &wide, "b"]).expect("rows that can be written");
        assert_eq!(chunks.iter().map(|chunk| chunk.rows).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn nothing_to_write_is_no_statement() {
        assert_eq!(chunks(std::iter::empty::<StockRow>()).expect("no rows"), []);
    }

    #[test]
    fn mysql_locks_by_the_primary_key_in_the_order_given() {
        let find = Find::<StockOf>::new(one(StockOf { product_id: stock(1).product_id }));
        assert_eq!(
            debug_query::<Mysql, _>(&find).to_string(),
            "SELECT `stocks`.`product_id`, `stocks`.`available`, `stocks`.`movements` FROM JSON_TABLE(?, '$[*]' COLUMNS \
             (`product_id` VARCHAR(32) CHARACTER SET utf8mb4 PATH '$.product_id' ERROR ON ERROR)) AS given \
             STRAIGHT_JOIN `stocks` FORCE INDEX (`PRIMARY`) ON `stocks`.`product_id` = UNHEX(`given`.`product_id`) \
             FOR UPDATE /*!80001 OF `stocks` */ \
             -- binds: [\"[{\\\"product_id\\\":\\\"00000000000000000000000000000001\\\"}]\"]"
        );
    }

    #[test]
    fn sqlite_updates_from_its_bind() {
        let update = debug_query::<Sqlite, _>(&Update::<StockRow>::new(one(stock(1)))).to_string();
        assert_eq!(
            update.split(" -- binds").next(),
            Some(
                "UPDATE `stocks` SET `available` = given.value ->> '$.available', \
                 `movements` = given.value ->> '$.movements' FROM json_each(?) AS given \
                 WHERE `stocks`.`product_id` = unhex(given.value ->> '$.product_id')"
            )
        );
    }
}
