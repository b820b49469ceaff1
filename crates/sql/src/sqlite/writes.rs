//! How rows are written to SQLite: each statement prepared once, its rows as one JSON array in one bind; all of them
//! together in one visit to the thread that the connection lives on.

use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, SqliteConnection};
use jangteo_domain::StoreError;

use super::unit_of_work::failed_commit;
use super::{Conn, begin, classify};
use crate::bulk::{BulkDialect as _, Column, Lookup, Row, chunks, push_column, push_equal_keys, separated, statements};

/// Statements that are still to be sent.
#[derive(Default)]
pub(super) struct Writes(Vec<Statement>);

type Statement = Box<dyn FnOnce(&mut SqliteConnection) -> Result<(), StoreError> + Send>;

impl Writes {
    /// Adds new rows.
    pub(super) fn insert<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        for chunk in chunks(rows) {
            self.push(move |connection| execute(Insert::<R>::new(chunk), connection));
        }
    }

    /// Adds the rows whose keys are not there yet.
    pub(super) fn ensure<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        for chunk in chunks(rows) {
            self.push(move |connection| execute(Ensure::<R>::new(chunk), connection));
        }
    }

    /// Adds the values to the rows with these keys, which are made where they are not there yet.
    pub(super) fn accumulate<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        for chunk in chunks(rows) {
            self.push(move |connection| execute(Accumulate::<R>::new(chunk), connection));
        }
    }

    /// Writes the values of the rows with these keys, each of which must be there.
    pub(super) fn update<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        for chunk in chunks(rows) {
            self.0.push(Box::new(move |connection| {
                let wanted = chunk.rows;
                let found = execute(Update::<R>::new(chunk), connection).map_err(classify)?;
                if found == wanted {
                    return Ok(());
                }
                let table = R::TABLE;
                Err(StoreError::unexpected(format!("{found} rows of {table} were found to write {wanted}")))
            }));
        }
    }

    /// Writes rows anew, as a whole, each of which must be there.
    pub(super) fn save<R: Row + 'static>(&mut self, rows: impl IntoIterator<Item = R>) {
        self.update(rows);
    }

    /// Takes the rows away that are found.
    pub(super) fn delete<L: Lookup + 'static>(&mut self, keys: impl IntoIterator<Item = L>) {
        for chunk in chunks(keys) {
            self.push(move |connection| execute(Delete::<L>::new(chunk), connection));
        }
    }

    fn push(&mut self, statement: impl FnOnce(&mut SqliteConnection) -> QueryResult<usize> + Send + 'static) {
        self.0.push(Box::new(move |connection| statement(connection).map(|_| ()).map_err(classify)));
    }

    /// Whether nothing is left to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is time to send them.
    pub(super) fn are_many(&self) -> bool {
        false // They are prepared already, and there is no line that they could fill.
    }

    /// Begins a transaction, which they are still to be sent in.
    pub(super) async fn begin(&mut self, connection: &mut Conn) -> QueryResult<()> {
        begin(connection).await
    }

    /// Sends them, in order, up to the first that fails.
    pub(super) async fn send(&mut self, connection: &mut Conn) -> Result<(), StoreError> {
        let statements = std::mem::take(&mut self.0);
        let run = |connection: &mut SqliteConnection| Ok(execute_all(statements, connection));
        connection.spawn_blocking(run).await.map_err(classify)?
    }

    /// Sends them and commits.
    pub(super) async fn commit(&mut self, connection: &mut Conn) -> Result<(), StoreError> {
        let statements = std::mem::take(&mut self.0);
        let run = |connection: &mut SqliteConnection| {
            Ok(execute_all(statements, connection).and_then(|()| {
                let committed = AnsiTransactionManager::commit_transaction(connection);
                committed.map_err(|error| failed_commit(classify(error)))
            }))
        };
        connection.spawn_blocking(run).await.map_err(|error| failed_commit(classify(error)))?
    }
}

fn execute_all(statements: Vec<Statement>, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    statements.into_iter().try_for_each(|statement| statement(connection))
}

fn execute(statement: impl QueryFragment<Sqlite> + QueryId, connection: &mut SqliteConnection) -> QueryResult<usize> {
    ExecuteDsl::<SqliteConnection, Sqlite>::execute(statement, connection)
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
}

impl<R: Row> QueryFragment<Sqlite> for Insert<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        push_insert::<R>(&mut out)?;
        Sqlite::push_given(&mut out, &[], &self.chunk)
    }
}

impl<R: Row> QueryFragment<Sqlite> for Ensure<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        push_insert::<R>(&mut out)?;
        Sqlite::push_given(&mut out, &[], &self.chunk)?;
        push_on_conflict(&mut out, R::KEYS)?;
        out.push_sql(" DO NOTHING");
        Ok(())
    }
}

impl<R: Row> QueryFragment<Sqlite> for Accumulate<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        push_insert::<R>(&mut out)?;
        Sqlite::push_given(&mut out, &[], &self.chunk)?;
        push_on_conflict(&mut out, R::KEYS)?;
        out.push_sql(" DO UPDATE SET ");
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
        separated(&mut out, ", ", R::VALUES, |out, place, value| {
            out.push_identifier(value.name)?;
            out.push_sql(" = ");
            Sqlite::push_value(out, R::KEYS.len() + place, value)
        })?;
        out.push_sql(" FROM ");
        Sqlite::push_given(&mut out, &[], &self.chunk)?;
        out.push_sql(" WHERE ");
        push_equal_keys(&mut out, R::TABLE, R::KEYS)
    }
}

impl<L: Lookup> QueryFragment<Sqlite> for Delete<L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("DELETE FROM ");
        out.push_identifier(L::Row::TABLE)?;
        out.push_sql(" WHERE (");
        separated(&mut out, ", ", L::COLUMNS, |out, _, key| out.push_identifier(key.name))?;
        out.push_sql(") IN (SELECT ");
        separated(&mut out, ", ", L::COLUMNS, Sqlite::push_value)?;
        out.push_sql(" FROM ");
        Sqlite::push_given(&mut out, &[], &self.chunk)?;
        out.push_sql(")");
        Ok(())
    }
}

/// `INSERT INTO table (columns) SELECT cells FROM `.
fn push_insert<R: Row>(out: &mut AstPass<'_, '_, Sqlite>) -> QueryResult<()> {
    out.push_sql("INSERT INTO ");
    out.push_identifier(R::TABLE)?;
    out.push_sql(" (");
    separated(out, ", ", R::columns(), |out, _, column| out.push_identifier(column.name))?;
    out.push_sql(") SELECT ");
    separated(out, ", ", R::columns(), Sqlite::push_value)?;
    out.push_sql(" FROM ");
    Ok(())
}

/// The `WHERE true` tells the parser that the `ON` begins no join.
fn push_on_conflict(out: &mut AstPass<'_, '_, Sqlite>, keys: &[Column]) -> QueryResult<()> {
    out.push_sql(" WHERE true ON CONFLICT (");
    separated(out, ", ", keys, |out, _, key| out.push_identifier(key.name))?;
    out.push_sql(")");
    Ok(())
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use jangteo_domain::id::ProductId;

    use super::*;
    use crate::rows::stock::StockRow;
    use crate::types::{Id, Integer};

    #[test]
    fn updates_from_its_bind() {
        let product_id = Id(ProductId::from(uuid::Uuid::nil()));
        let row = StockRow { product_id, available: Integer(7), movements: Integer(1) };
        let update = debug_query::<Sqlite, _>(&Update::<StockRow>::new(chunks([row]).remove(0))).to_string();
        assert_eq!(
            update.split(" -- binds").next(),
            Some(
                "UPDATE `stocks` SET `available` = given.value ->> 1, `movements` = given.value ->> 2 \
                 FROM json_each(?) AS given WHERE `stocks`.`product_id` = unhex(given.value ->> 0)"
            )
        );
    }
}
