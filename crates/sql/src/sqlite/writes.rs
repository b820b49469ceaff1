//! Writes to SQLite: one prepared statement per table and row, all of them in one call to the connection's thread.

use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, SqliteConnection};
use jangteo_domain::StoreError;
use jangteo_domain::id::BatchId;
use jangteo_domain::money::Money;
use jangteo_domain::time::{Date, Timestamp};

use super::store::Session;
use super::{begin_write, classify};
use crate::bulk::{Column, Lookup, Record, Row, push_column, separated, statements};
use crate::rows::idempotency::CommitMarkerRow;
use crate::types::{SqlValues, push_day};

/// Statements that have not run yet.
#[derive(Default)]
pub(super) struct Writes {
    statements: Vec<Statement>,
    /// Whether a row is written in any case; a deletion may find none.
    has_rows: bool,
    /// The error that prevents running.
    failed: Option<StoreError>,
}

type Statement = Box<dyn FnOnce(&mut SqliteConnection) -> Result<(), StoreError> + Send>;

impl Writes {
    pub(super) fn new(_session: &Session) -> Self {
        Self::default()
    }

    /// Inserts rows; an existing key is an error.
    pub(super) fn insert<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        self.has_rows |= self.push(rows, |connection, values| {
            execute(Insert::<R>::new(values), connection)?;
            Ok(())
        });
    }

    /// Adds the values to existing rows; inserts the missing ones.
    pub(super) fn accumulate<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        self.has_rows |= self.push(rows, |connection, values| {
            execute(Accumulate::<R>::new(values), connection)?;
            Ok(())
        });
    }

    /// Updates existing rows; a missing row is an error.
    pub(super) fn update<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        self.has_rows |= self.push(rows, |connection, values| match execute(Update::<R>::new(values), connection)? {
            1 => Ok(()),
            found => {
                Err(StoreError::unexpected(format!("{found} rows of {} were found to write one", R::TABLE)).into())
            }
        });
    }

    /// Overwrites existing rows as a whole; a missing row is an error.
    pub(super) fn save<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        self.update(rows);
    }

    /// Deletes rows by key.
    pub(super) fn delete<L: Lookup + 'static>(&mut self, keys: impl IntoIterator<Item = L>) {
        self.push(keys, |connection, values| {
            execute(Delete::<L>::new(values), connection)?;
            Ok(())
        });
    }

    /// Adds a statement for each record; returns whether there is any.
    fn push<R: Record>(
        &mut self,
        records: impl IntoIterator<Item = R>,
        execute: impl Fn(&mut SqliteConnection, Values) -> Result<(), Failed> + Send + 'static,
    ) -> bool {
        let records: Vec<Values> = records.into_iter().map(|record| Values::of(&record)).collect();
        if records.iter().any(|values| values.out_of_range) {
            self.failed.get_or_insert(StoreError::unexpected("a number above 64 bits"));
        }
        let is_any = !records.is_empty();
        if is_any {
            let run = move |connection: &mut SqliteConnection| {
                records.into_iter().try_for_each(|values| execute(connection, values)).map_err(|Failed(error)| error)
            };
            self.statements.push(Box::new(run));
        }
        is_any
    }

    /// Runs the statements in order until the first failure, and commits.
    pub(super) async fn commit(self, session: &mut Session) -> Result<(), StoreError> {
        let Self { statements, has_rows, failed } = self;
        if let Some(failed) = failed {
            return Err(failed);
        }
        let server = session.server.clone();
        let run = move |connection: &mut SqliteConnection| {
            let run = statements.into_iter().try_for_each(|statement| statement(connection));
            Ok(run.and_then(|()| {
                let committed = AnsiTransactionManager::commit_transaction(connection);
                server.note(&committed, has_rows);
                committed.map_err(classify)
            }))
        };
        session.connection.spawn_blocking(run).await.map_err(classify)?
    }
}

/// Makes a missing marker final. After a disk error the log may still contain the transaction, and crash recovery would
/// restore it; the next commit overwrites it.
pub(super) async fn rule_out(session: &mut Session, id: BatchId) -> Result<(), StoreError> {
    if !session.server.is_in_doubt() {
        return Ok(());
    }
    let mut writes = Writes::new(session);
    writes.insert([CommitMarkerRow::tombstone(id)]);
    writes.commit(session).await
}

/// Begins a write transaction and inserts its marker.
pub(super) async fn begin(session: &mut Session, marker: Option<CommitMarkerRow>) -> QueryResult<()> {
    let begin = move |connection: &mut SqliteConnection| {
        begin_write(connection)?;
        if let Some(marker) = marker {
            execute(Insert::<CommitMarkerRow>::new(Values::of(&marker)), connection)?;
        }
        Ok(())
    };
    session.connection.spawn_blocking(begin).await
}

/// A [`StoreError`] that also converts from Diesel's errors.
struct Failed(StoreError);

impl From<diesel::result::Error> for Failed {
    fn from(error: diesel::result::Error) -> Self {
        Self(classify(error))
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

fn execute(statement: impl QueryFragment<Sqlite> + QueryId, connection: &mut SqliteConnection) -> QueryResult<usize> {
    ExecuteDsl::<SqliteConnection, Sqlite>::execute(statement, connection)
}

/// A value in SQLite's storage classes.
enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// The values of a record, one bind each.
#[derive(Default)]
struct Values {
    values: Vec<Value>,
    out_of_range: bool,
}

impl Values {
    fn of(record: &impl Record) -> Self {
        let mut values = Self::default();
        record.put(&mut values);
        values
    }

    fn push_bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>, place: usize) -> QueryResult<()> {
        match &self.values[place] {
            Value::Null => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(&None),
            Value::Integer(number) => out.push_bind_param::<BigInt, _>(number),
            Value::Text(text) => out.push_bind_param::<Text, _>(text),
            Value::Blob(bytes) => out.push_bind_param::<Binary, _>(bytes),
        }
    }
}

impl SqlValues for Values {
    fn null(&mut self) {
        self.values.push(Value::Null);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.values.push(Value::Blob(bytes.to_vec()));
    }

    fn text(&mut self, text: &str) {
        self.values.push(Value::Text(text.to_owned()));
    }

    fn integer(&mut self, number: i128) {
        let number = i64::try_from(number);
        self.out_of_range |= number.is_err();
        self.values.push(Value::Integer(number.unwrap_or_default()));
    }

    fn money(&mut self, amount: Money) {
        self.values.push(Value::Integer(amount.ten_thousandths()));
    }

    fn time(&mut self, at: Timestamp) {
        self.values.push(Value::Integer(at.unix_microseconds()));
    }

    fn day(&mut self, day: Date) {
        let mut text = String::new();
        push_day(&mut text, day);
        self.values.push(Value::Text(text));
    }
}

statements! {
    values: Values;
    /// `INSERT`s a row; an existing key is an error.
    Insert<R: Row>;
    /// `INSERT`s a row, or adds its values to the existing one.
    Accumulate<R: Row>;
    /// `UPDATE`s the row of this key.
    Update<R: Row>;
    /// `DELETE`s rows by key.
    Delete<L: Lookup>;
}

impl<R: Row> QueryFragment<Sqlite> for Insert<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        push_insert::<R>(&mut out, &self.values)
    }
}

impl<R: Row> QueryFragment<Sqlite> for Accumulate<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        push_insert::<R>(&mut out, &self.values)?;
        out.push_sql(" ON CONFLICT (");
        separated(&mut out, ", ", R::KEYS, |out, _, key| out.push_identifier(key.name))?;
        out.push_sql(") DO UPDATE SET ");
        separated(&mut out, ", ", R::VALUES, |out, _, value| {
            out.push_identifier(value.name)?;
            out.push_sql(" = ");
            push_column(out, R::TABLE, value.name)?;
            out.push_sql(" + ");
            push_column(out, "excluded", value.name)
        })
    }
}

impl<R: Row> QueryFragment<Sqlite> for Update<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        out.push_identifier(R::TABLE)?;
        out.push_sql(" SET ");
        push_equal(&mut out, ", ", R::VALUES, &self.values, R::KEYS.len())?;
        out.push_sql(" WHERE ");
        push_equal(&mut out, " AND ", R::KEYS, &self.values, 0)
    }
}

impl<L: Lookup> QueryFragment<Sqlite> for Delete<L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("DELETE FROM ");
        out.push_identifier(L::Row::TABLE)?;
        out.push_sql(" WHERE ");
        push_equal(&mut out, " AND ", L::COLUMNS, &self.values, 0)
    }
}

/// `INSERT INTO table (columns) VALUES (values)`.
fn push_insert<'b, R: Row>(out: &mut AstPass<'_, 'b, Sqlite>, values: &'b Values) -> QueryResult<()> {
    out.push_sql("INSERT INTO ");
    out.push_identifier(R::TABLE)?;
    out.push_sql(" (");
    separated(out, ", ", R::columns(), |out, _, column| out.push_identifier(column.name))?;
    out.push_sql(") VALUES (");
    for place in 0..values.values.len() {
        if place > 0 {
            out.push_sql(", ");
        }
        values.push_bind(out, place)?;
    }
    out.push_sql(")");
    Ok(())
}

/// `column = value, …`, with the values from position `from` on.
fn push_equal<'b>(
    out: &mut AstPass<'_, 'b, Sqlite>,
    separator: &str,
    columns: &'static [Column],
    values: &'b Values,
    from: usize,
) -> QueryResult<()> {
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            out.push_sql(separator);
        }
        out.push_identifier(column.name)?;
        out.push_sql(" = ");
        values.push_bind(out, from.saturating_add(place))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;

    use super::*;
    use crate::rows::sales::DailySaleRow;
    use crate::rows::stock::StockRow;

    fn text(statement: &impl QueryFragment<Sqlite>) -> String {
        let text = debug_query::<Sqlite, _>(statement).to_string();
        text.split(" -- binds").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_row_is_written_by_its_key() {
        let update = Update::<StockRow>::new(Values::of(&StockRow::numbered(7)));
        assert_eq!(text(&update), "UPDATE `stocks` SET `available` = ?, `movements` = ? WHERE `product_id` = ?");
    }

    #[test]
    fn sums_are_computed_in_the_database() {
        let row = DailySaleRow::from(&jangteo_domain::sales::SaleCounted {
            day: time::macros::date!(2026 - 03 - 01),
            product_id: uuid::Uuid::nil().into(),
            quantity: -2,
            revenue: Money::ZERO,
        });
        assert_eq!(
            text(&Accumulate::<DailySaleRow>::new(Values::of(&row))),
            "INSERT INTO `daily_sales` (`day`, `product_id`, `quantity`, `revenue`) VALUES (?, ?, ?, ?) \
             ON CONFLICT (`day`, `product_id`) DO UPDATE SET `quantity` = `daily_sales`.`quantity` + \
             `excluded`.`quantity`, `revenue` = `daily_sales`.`revenue` + `excluded`.`revenue`"
        );
    }
}
