//! The deadline of a statement. SQLite has no time limit, so a condition of the statement fails after it.

use diesel::QueryResult;
use diesel::query_builder::AstPass;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Bool};
use diesel::sqlite::{Sqlite, SqliteConnection};

use crate::deadline::Deadline;

#[diesel::declare_sql_function]
extern "SQL" {
    /// True before the deadline, an error after it.
    fn is_in_time(deadline: BigInt) -> Bool;
}

/// Must be part of the connection's setup.
pub(super) fn register(connection: &mut SqliteConnection) -> QueryResult<()> {
    // Not deterministic: evaluated for each row.
    is_in_time_utils::register_nondeterministic_impl(connection, |deadline| InTime(Deadline(deadline)))
}

/// Adds the condition, which each row evaluates.
pub(super) fn push_deadline<'b>(
    out: &mut AstPass<'_, 'b, Sqlite>,
    Deadline(deadline): &'b Deadline,
) -> QueryResult<()> {
    out.push_sql(" AND is_in_time(");
    out.push_bind_param::<BigInt, _>(deadline)?;
    out.push_sql(")");
    Ok(())
}

#[derive(Debug)]
struct InTime(Deadline);

impl ToSql<Bool, Sqlite> for InTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        if self.0.is_over() {
            return Err("interrupted: the deadline of the statement is over".into()); // As an outage, see `OUTAGES`.
        }
        out.set_value(1_i32);
        Ok(IsNull::No)
    }
}

#[cfg(test)]
mod tests {
    use diesel::Connection as _;
    use diesel::connection::SimpleConnection as _;

    use super::*;
    use crate::sqlite::classify;

    #[test]
    fn a_statement_ends_at_its_deadline() {
        let mut connection = SqliteConnection::establish(":memory:").expect("a database");
        register(&mut connection).expect("a function");
        let mut count = |Deadline(deadline), rows: &str| {
            let rows = format!("WITH RECURSIVE rows (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows {rows})");
            connection.batch_execute(&format!("{rows} SELECT COUNT(*) FROM rows WHERE is_in_time({deadline})"))
        };
        count(Deadline::of_search(), "LIMIT 100").expect("it ends before");
        let error = count(Deadline(-1), "").expect_err("it ends although there are endless rows");
        assert_eq!(classify(error).kind(), "unavailable");
    }
}
