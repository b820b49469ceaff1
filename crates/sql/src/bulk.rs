//! Statements that find and lock many rows.
//!
//! The lookup keys are bound as one JSON array, which `JSON_TABLE` (MySQL) or `json_each` (SQLite) expands into a table
//! named `given`. A statement is therefore prepared once per connection, has no limit on binds and takes one round
//! trip. It joins `given` to the table through a named index, in the order given: rows are locked in that order, and
//! nothing is scanned. A locking statement also returns the database's time, which saves a query for it.
//!
//! Writes are in `mysql/writes.rs` and `sqlite/writes.rs`. Money and times travel as exact numbers, never as floating
//! point.

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::{HasSqlType, Text};
use diesel::sqlite::Sqlite;

use crate::types::{JsonValues, Kind, SqlValues, TimeSql};

/// Values in the order of their columns.
pub(crate) trait Record {
    fn put(&self, out: &mut impl SqlValues);
}

/// A row to write: its key columns, then its other columns.
pub(crate) trait Row: Record {
    /// The SQL types of all columns, in `SELECT` order.
    type SqlType;
    const TABLE: &'static str;
    const KEYS: &'static [Column];
    const VALUES: &'static [Column];

    fn columns() -> impl Iterator<Item = &'static Column> {
        Self::KEYS.iter().chain(Self::VALUES)
    }
}

/// The columns by which rows are found.
pub(crate) trait Lookup: Record {
    type Row: Row;
    const COLUMNS: &'static [Column];
    /// An index that begins with the columns; `PRIMARY` is the primary key.
    const INDEX: &'static str;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

macro_rules! columns {
    ($($name:ident: $type:ty,)*) => {
        &[$($crate::bulk::Column { name: stringify!($name), kind: <$type as $crate::types::SqlValue>::KIND }),*]
    };
}
pub(crate) use columns;

/// Upper bound of one JSON bind of a read: half of the smallest `max_allowed_packet` under test.
pub(crate) const READ_BYTES_MAX: usize = 1 << 19;

/// Records as a single bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    json: String,
}

/// Serializes records as JSON arrays of column values, at most `bytes_max` bytes each. A single larger record gets a
/// chunk of its own.
pub(crate) fn chunks<R: Record>(records: impl IntoIterator<Item = R>, bytes_max: usize) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut array = String::new();
    for record in records {
        array.clear();
        record.put(&mut JsonValues::new(&mut array));
        match chunks.last_mut().filter(|chunk| chunk.json.len() + array.len() + 4 <= bytes_max) {
            Some(chunk) => {
                chunk.json.push_str("],[");
                chunk.json.push_str(&array);
            }
            None => {
                close(chunks.last_mut());
                chunks.push(Chunk { json: format!("[[{array}") });
            }
        }
    }
    close(chunks.last_mut());
    chunks
}

fn close(chunk: Option<&mut Chunk>) {
    if let Some(chunk) = chunk {
        chunk.json.push_str("]]");
    }
}

/// Statements about records of one type, with the field that has their binds.
macro_rules! statements {
    ($binds:ident: $type:ty; $($(#[$meta:meta])* $vis:vis $name:ident<$record:ident: $bound:ident>;)*) => {$(
        $(#[$meta])*
        $vis struct $name<$record> {
            $binds: $type,
            record: std::marker::PhantomData<fn() -> $record>,
        }

        impl<$record> $name<$record> {
            $vis fn new($binds: $type) -> Self {
                Self { $binds, record: std::marker::PhantomData }
            }
        }

        // The SQL text depends on the record's type alone, so the type identifies the prepared statement.
        impl<$record: $bound + 'static> diesel::query_builder::QueryId for $name<$record> {
            type QueryId = Self;
            const HAS_STATIC_QUERY_ID: bool = true;
        }
    )*};
}
pub(crate) use statements;

statements! {
    chunk: Chunk;
    /// `SELECT`s the last committed version of the rows.
    #[derive(Debug)]
    pub(crate) Find<L: Lookup>;
    /// `SELECT`s the rows and locks them until the transaction ends. Each row follows the time of its lock.
    #[derive(Debug)]
    pub(crate) Lock<L: Lookup>;
}

impl<L: Lookup> Query for Find<L> {
    type SqlType = <L::Row as Row>::SqlType;
}

impl<L: Lookup> Query for Lock<L> {
    type SqlType = (TimeSql, <L::Row as Row>::SqlType);
}

/// The dialects' SQL around `given`.
pub(crate) trait BulkDialect: Backend + HasSqlType<Text> {
    /// A join that reads its left table first.
    const JOIN: &'static str;
    /// The time when a row is read, after its lock.
    const READ_AT: &'static str;

    /// Locks the rows of these tables.
    fn push_lock(out: &mut AstPass<'_, '_, Self>, tables: &[&'static str]) -> QueryResult<()>;

    /// Renders `given` with these columns from one bind.
    fn push_given<'b>(out: &mut AstPass<'_, 'b, Self>, columns: &[Column], chunk: &'b Chunk) -> QueryResult<()>;
    /// Renders a column of `given`, by its position, in the storage format of the table.
    fn push_value(out: &mut AstPass<'_, '_, Self>, place: usize, column: &Column) -> QueryResult<()>;
    /// Forces this index on the table to the left.
    fn push_index(out: &mut AstPass<'_, '_, Self>, index: &str) -> QueryResult<()>;
}

impl<L: Lookup, DB: BulkDialect> QueryFragment<DB> for Find<L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        push_columns::<L::Row, DB>(&mut out)?;
        push_found::<L, DB>(&mut out, &self.chunk)
    }
}

impl<L: Lookup, DB: BulkDialect> QueryFragment<DB> for Lock<L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        push_select_read_at(&mut out);
        push_columns::<L::Row, DB>(&mut out)?;
        push_found::<L, DB>(&mut out, &self.chunk)?;
        DB::push_lock(&mut out, &[L::Row::TABLE])
    }
}

/// Begins a query of [`ReadAt`] with the column of the database's clock: `SELECT time, `.
pub(crate) fn push_select_read_at<DB: BulkDialect>(out: &mut AstPass<'_, '_, DB>) {
    out.push_sql("SELECT ");
    out.push_sql(DB::READ_AT);
    out.push_sql(", ");
}

pub(crate) fn push_columns<R: Row, DB: BulkDialect>(out: &mut AstPass<'_, '_, DB>) -> QueryResult<()> {
    separated(out, ", ", R::columns(), |out, _, column| push_column(out, R::TABLE, column.name))
}

/// ` FROM given JOIN table ON …`.
pub(crate) fn push_found<'b, L: Lookup, DB: BulkDialect>(
    out: &mut AstPass<'_, 'b, DB>,
    chunk: &'b Chunk,
) -> QueryResult<()> {
    out.push_sql(" FROM ");
    DB::push_given(out, L::COLUMNS, chunk)?;
    out.push_sql(DB::JOIN);
    out.push_identifier(L::Row::TABLE)?;
    DB::push_index(out, L::INDEX)?;
    out.push_sql(" ON ");
    push_equal_keys(out, L::Row::TABLE, L::COLUMNS)
}

/// `table.key = value AND …`, for the first columns of `given`.
pub(crate) fn push_equal_keys<DB: BulkDialect>(
    out: &mut AstPass<'_, '_, DB>,
    table: &str,
    keys: &'static [Column],
) -> QueryResult<()> {
    separated(out, " AND ", keys, |out, place, key| {
        push_column(out, table, key.name)?;
        out.push_sql(" = ");
        DB::push_value(out, place, key)
    })
}

pub(crate) fn push_column<DB: Backend>(out: &mut AstPass<'_, '_, DB>, table: &str, column: &str) -> QueryResult<()> {
    out.push_identifier(table)?;
    out.push_sql(".");
    out.push_identifier(column)
}

/// Pushes the items with a separator in between; the callback gets each position.
pub(crate) fn separated<'a, DB: Backend, T: 'a>(
    out: &mut AstPass<'_, '_, DB>,
    separator: &str,
    items: impl IntoIterator<Item = &'a T>,
    mut push: impl FnMut(&mut AstPass<'_, '_, DB>, usize, &'a T) -> QueryResult<()>,
) -> QueryResult<()> {
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push_sql(separator);
        }
        push(out, place, item)?;
    }
    Ok(())
}

impl BulkDialect for Mysql {
    const JOIN: &'static str = " STRAIGHT_JOIN ";

    // UTC_TIMESTAMP is the start of the statement, before any lock wait. Sessions are in UTC.
    const READ_AT: &'static str = "SYSDATE(6)";

    fn push_lock(out: &mut AstPass<'_, '_, Self>, tables: &[&'static str]) -> QueryResult<()> {
        // MySQL must not lock `given`. MariaDB has no `OF` and ignores this comment.
        out.push_sql(" FOR UPDATE /*!80001 OF ");
        separated(out, ", ", tables, |out, _, table| out.push_identifier(table))?;
        out.push_sql(" */");
        Ok(())
    }

    fn push_given<'b>(out: &mut AstPass<'_, 'b, Self>, columns: &[Column], chunk: &'b Chunk) -> QueryResult<()> {
        out.push_sql("JSON_TABLE(");
        out.push_bind_param::<Text, String>(&chunk.json)?;
        out.push_sql(", '$[*]' COLUMNS (");
        separated(out, ", ", columns, |out, place, column| {
            out.push_identifier(column.name)?;
            match column.kind {
                Kind::Bytes { length } => push_varchar(out, 2 * length),
                Kind::Varchar { length_max } => push_varchar(out, length_max),
                Kind::LongText => out.push_sql(" LONGTEXT CHARACTER SET utf8mb4"),
                Kind::Integer | Kind::Money | Kind::Time => out.push_sql(" BIGINT"),
                Kind::Day => out.push_sql(" DATE"),
            }
            // Without ERROR ON ERROR an unfitting value becomes NULL.
            out.push_sql(&format!(" PATH '$[{place}]' ERROR ON ERROR"));
            Ok(())
        })?;
        out.push_sql(")) AS given");
        Ok(())
    }

    fn push_value(out: &mut AstPass<'_, '_, Self>, _place: usize, column: &Column) -> QueryResult<()> {
        let (before, after) = match column.kind {
            Kind::Bytes { .. } => ("UNHEX(", ")"),
            // BIGINT times an exact literal is exact. A bound decimal is text, computed in DOUBLE.
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
}

fn push_varchar(out: &mut AstPass<'_, '_, Mysql>, length: usize) {
    out.push_sql(&format!(" VARCHAR({length}) CHARACTER SET utf8mb4"));
}

impl BulkDialect for Sqlite {
    /// Fixes the order of its tables.
    const JOIN: &'static str = " CROSS JOIN ";
    const READ_AT: &'static str = crate::sqlite::NOW;

    fn push_lock(_out: &mut AstPass<'_, '_, Self>, _tables: &[&'static str]) -> QueryResult<()> {
        Ok(()) // A write transaction is the only one there is; it holds every row.
    }

    fn push_given<'b>(out: &mut AstPass<'_, 'b, Self>, _columns: &[Column], chunk: &'b Chunk) -> QueryResult<()> {
        out.push_sql("json_each(");
        out.push_bind_param::<Text, String>(&chunk.json)?;
        out.push_sql(") AS given");
        Ok(())
    }

    fn push_value(out: &mut AstPass<'_, '_, Self>, place: usize, column: &Column) -> QueryResult<()> {
        let cell = format!("given.value ->> {place}");
        match column.kind {
            Kind::Bytes { .. } => out.push_sql(&format!("unhex({cell})")),
            Kind::Varchar { .. } | Kind::LongText | Kind::Integer | Kind::Money | Kind::Time | Kind::Day => {
                out.push_sql(&cell);
            }
        }
        Ok(())
    }

    fn push_index(_out: &mut AstPass<'_, '_, Self>, _index: &str) -> QueryResult<()> {
        Ok(()) // Its planner takes the index by itself, and there are no row locks that a scan could take.
    }
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use serde_json::Value;

    use super::*;
    use crate::rows::product_search::{ProductSearchTextRow, search_form};
    use crate::rows::stock::{StockOf, StockRow};
    use crate::types::{Id, LongText};

    #[test]
    fn rows_are_split_into_binds_that_a_server_takes_and_none_is_lost() {
        let rows = 200_000;
        let chunks = chunks((0..rows).map(StockRow::numbered), READ_BYTES_MAX);
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.json.len() <= READ_BYTES_MAX));
        let mut written = Vec::new();
        for chunk in &chunks {
            let read: Vec<Value> = serde_json::from_str(&chunk.json).expect("a JSON array");
            written.extend(read.iter().map(|row| row[1].as_u64().expect("a number")));
        }
        assert!(written.into_iter().eq(0..u64::from(rows)));
    }

    #[test]
    fn a_row_larger_than_a_bind_stands_alone() {
        let text =
            |text: &str| ProductSearchTextRow { product_id: Id::numbered(1), search_text: LongText(search_form(text)) };
        assert_eq!(chunks([text("a"), text(&"x".repeat(100)), text("b")], 100).len(), 3);
    }

    #[test]
    fn nothing_to_write_is_no_statement() {
        assert_eq!(chunks(std::iter::empty::<StockRow>(), 100), []);
    }

    #[test]
    fn mysql_locks_by_the_primary_key_in_the_order_given() {
        let lock = Lock::<StockOf>::new(chunks([StockOf { product_id: Id::numbered(1) }], 100).remove(0));
        assert_eq!(
            debug_query::<Mysql, _>(&lock).to_string(),
            "SELECT SYSDATE(6), `stocks`.`product_id`, `stocks`.`available`, `stocks`.`movements` FROM JSON_TABLE(?, '$[*]' COLUMNS \
             (`product_id` VARCHAR(32) CHARACTER SET utf8mb4 PATH '$[0]' ERROR ON ERROR)) AS given \
             STRAIGHT_JOIN `stocks` FORCE INDEX (`PRIMARY`) ON `stocks`.`product_id` = UNHEX(`given`.`product_id`) \
             FOR UPDATE /*!80001 OF `stocks` */ \
             -- binds: [\"[[\\\"00000000000000000000000000000001\\\"]]\"]"
        );
    }
}
