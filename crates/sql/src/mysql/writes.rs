//! How rows are written to MySQL: as plain text, and all that a transaction writes in one packet.
//!
//! A server spends less on parsing literals than on unpacking them from a bind of JSON (see docs/performance.md), and
//! one packet takes one round trip for as many statements as there are in it. What a caller sent can still never be part
//! of a statement: see [`Literals`].

use std::fmt::Write as _;

use diesel::QueryResult;
use diesel::connection::TransactionManagerStatus;
use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection as _, TransactionManager as _};
use jangteo_domain::StoreError;
use jangteo_domain::money::Money;
use jangteo_domain::time::{Date, Timestamp};

use super::unit_of_work::failed_commit;
use super::{Conn, bounded, classify};
use crate::bulk::{Column, Lookup, Record, Row};
use crate::types::{SqlValues, push_day, push_digits, push_hexadecimal, push_integer};

/// The most rows of one `UPDATE` or `DELETE`: each is a branch of the statement, and servers take them one inside the
/// other.
const BRANCHES_MAX: usize = 256;
/// How many bytes of statements are sent together, and the most of one `INSERT`, a single larger row aside: well below
/// the 16 MiB that a MariaDB server takes in one packet unless it is told otherwise.
const PACKET_BYTES: usize = 1 << 20;

/// What a server says of a commit that failed, and of nothing else (1180).
const COMMIT_FAILED: &str = "during COMMIT";

/// Statements that are still to be sent.
#[derive(Debug, Default)]
pub(super) struct Writes(String);

impl Writes {
    /// Adds new rows.
    pub(super) fn insert<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        self.push_inserts(rows, "");
    }

    /// Adds the rows whose keys are not there yet.
    pub(super) fn ensure<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        // Not INSERT IGNORE, which would also swallow broken constraints and clip what does not fit.
        let (table, key) = (R::TABLE, R::KEYS[0].name);
        self.push_inserts(rows, &format!(" ON DUPLICATE KEY UPDATE {key} = {table}.{key}"));
    }

    /// Adds the values to the rows with these keys, which are made where they are not there yet.
    pub(super) fn accumulate<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        let sum = |column: &Column| format!("{0} = {1}.{0} + VALUES({0})", column.name, R::TABLE);
        let sums: Vec<String> = R::VALUES.iter().map(sum).collect();
        self.push_inserts(rows, &format!(" ON DUPLICATE KEY UPDATE {}", sums.join(", ")));
    }

    /// Writes the values of the rows with these keys, each of which must be there.
    pub(super) fn update<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        let table = R::TABLE;
        let equal = |column: &Column| format!("{table}.{0} = given.{0}", column.name);
        let keys: Vec<String> = R::KEYS.iter().map(equal).collect();
        let values: Vec<String> = R::VALUES.iter().map(equal).collect();
        let (keys, values, key) = (keys.join(" AND "), values.join(", "), R::KEYS[0].name);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            self.0.push_str("UPDATE (");
            for (index, row) in rows.by_ref().take(BRANCHES_MAX).enumerate() {
                self.0.push_str(if index == 0 { "SELECT " } else { " UNION ALL SELECT " });
                let mut names = R::columns().map(|column| column.name);
                // The first branch names the columns for all.
                row.put(&mut Literals::named(&mut self.0, &mut names, index == 0));
            }
            // Where a row is not there the power is out of range, as nothing else that a statement can say would be.
            self.push(format_args!(
                ") AS given LEFT JOIN {table} FORCE INDEX (PRIMARY) ON {keys} SET {values} \
                 WHERE {table}.{key} IS NOT NULL OR POW(10, 1000 + LENGTH(given.{key}));"
            ));
        }
    }

    /// Writes rows anew, as a whole, each of which must be known to be there: it would be made otherwise. That spares the
    /// server the table in between that [`update`](Self::update) takes.
    pub(super) fn save<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        let given = |column: &Column| format!("{0} = VALUES({0})", column.name);
        let values: Vec<String> = R::VALUES.iter().map(given).collect();
        self.push_inserts(rows, &format!(" ON DUPLICATE KEY UPDATE {}", values.join(", ")));
    }

    /// Takes the rows away that are found.
    pub(super) fn delete<L: Lookup>(&mut self, keys: impl IntoIterator<Item = L>) {
        let columns: Vec<&str> = L::COLUMNS.iter().map(|column| column.name).collect();
        let mut keys = keys.into_iter().peekable();
        while keys.peek().is_some() {
            self.push(format_args!("DELETE FROM {} WHERE ({}) IN (", L::Row::TABLE, columns.join(", ")));
            self.push_tuples(keys.by_ref().take(BRANCHES_MAX));
            self.0.push_str(");");
        }
    }

    /// Whether nothing is left to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is time to send them.
    pub(super) fn are_many(&self) -> bool {
        self.0.len() >= PACKET_BYTES
    }

    /// Begins a transaction with them: if one fails, there is none.
    pub(super) async fn begin(&mut self, connection: &mut Conn) -> QueryResult<()> {
        AnsiTransactionManager::begin_transaction_sql(connection, &format!("BEGIN;{}", self.0)).await?;
        self.0.clear();
        Ok(())
    }

    /// Sends them, in order, up to the first that fails.
    pub(super) async fn send(&mut self, connection: &mut Conn) -> Result<(), StoreError> {
        let statements = std::mem::take(&mut self.0);
        bounded(connection.batch_execute(&statements)).await.map_err(classify)
    }

    /// Sends them and commits, in one packet. The marker is not among them: it must have been written before, or who asks
    /// for it while the packet is still under way would find nothing to wait for.
    pub(super) async fn commit(&mut self, connection: &mut Conn) -> Result<(), StoreError> {
        let is_alone = self.is_empty();
        let mut statements = std::mem::take(&mut self.0);
        statements.push_str("COMMIT");
        let has_failed_before = |error: &StoreError| match error {
            StoreError::Unexpected(cause) | StoreError::Corrupt(cause) => {
                !is_alone && !cause.to_string().contains(COMMIT_FAILED)
            }
            StoreError::Conflict(_) | StoreError::Unavailable(_) | StoreError::CommitUnknown(_) => false,
        };
        match bounded(connection.batch_execute(&statements)).await.map_err(classify) {
            Ok(()) => {
                *AnsiTransactionManager::transaction_manager_status_mut(connection) =
                    TransactionManagerStatus::default();
                Ok(())
            }
            Err(error) if has_failed_before(&error) => Err(error),
            Err(error) => Err(failed_commit(error)),
        }
    }

    fn push_inserts<R: Row>(&mut self, rows: impl IntoIterator<Item = R>, on_duplicate: &str) {
        let columns: Vec<&str> = R::columns().map(|column| column.name).collect();
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            self.push(format_args!("INSERT INTO {} ({}) VALUES ", R::TABLE, columns.join(", ")));
            let begins_at = self.0.len();
            while let Some(row) = rows.next_if(|_| self.0.len() - begins_at < PACKET_BYTES) {
                self.0.push_str(if self.0.len() == begins_at { "(" } else { "),(" });
                row.put(&mut Literals::new(&mut self.0));
            }
            self.push(format_args!("){on_duplicate};"));
        }
    }

    fn push_tuples(&mut self, records: impl Iterator<Item = impl Record>) {
        for (index, record) in records.enumerate() {
            self.0.push_str(if index == 0 { "(" } else { ", (" });
            record.put(&mut Literals::new(&mut self.0));
            self.0.push(')');
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a string does not fail");
    }
}

/// Writes values as literals with commas in between.
///
/// Numbers and times are digits; text is either made of characters that mean nothing inside of quotes or is written in
/// hexadecimal, whatever it holds. So nothing that a caller sent can end a literal.
struct Literals<'a, 'n> {
    out: &'a mut String,
    /// What the columns are called, where the literals are to carry names.
    names: Option<&'n mut dyn Iterator<Item = &'static str>>,
    is_first: bool,
}

impl<'a, 'n> Literals<'a, 'n> {
    fn new(out: &'a mut String) -> Self {
        Self { out, names: None, is_first: true }
    }

    fn named(out: &'a mut String, names: &'n mut dyn Iterator<Item = &'static str>, wanted: bool) -> Self {
        Self { out, names: wanted.then_some(names), is_first: true }
    }

    fn push(&mut self, write: impl FnOnce(&mut String)) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(',');
        }
        write(self.out);
        if let Some(name) = self.names.as_mut().and_then(|names| names.next()) {
            self.out.push_str(" AS ");
            self.out.push_str(name);
        }
    }
}

impl SqlValues for Literals<'_, '_> {
    fn null(&mut self) {
        self.push(|out| out.push_str("NULL"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.push(|out| {
            out.push_str("x'");
            push_hexadecimal(out, bytes);
            out.push('\'');
        });
    }

    fn text(&mut self, text: &str) {
        let is_harmless = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\'' && byte != b'\\';
        self.push(|out| {
            if text.bytes().all(is_harmless) {
                out.push('\'');
                out.push_str(text);
            } else {
                out.push_str("_utf8mb4 x'");
                push_hexadecimal(out, text.as_bytes());
            }
            out.push('\'');
        });
    }

    fn integer(&mut self, number: i128) {
        self.push(|out| push_integer(out, number));
    }

    fn money(&mut self, amount: Money) {
        self.push(|out| {
            let ten_thousandths = amount.ten_thousandths().unsigned_abs();
            if amount.is_negative() {
                out.push('-');
            }
            push_integer(out, ten_thousandths / 10_000);
            out.push('.');
            push_digits::<4>(out, (ten_thousandths % 10_000) as u32);
        });
    }

    fn time(&mut self, at: Timestamp) {
        let at = at.to_offset_date_time();
        let (hour, minute, second, microsecond) = at.time().as_hms_micro();
        self.push(|out| {
            out.push_str("TIMESTAMP'");
            push_day(out, at.date());
            for (separator, number) in [(' ', hour), (':', minute), (':', second)] {
                out.push(separator);
                push_digits::<2>(out, number.into());
            }
            out.push('.');
            push_digits::<6>(out, microsecond);
            out.push('\'');
        });
    }

    fn day(&mut self, day: Date) {
        self.push(|out| {
            out.push_str("DATE'");
            push_day(out, day);
            out.push('\'');
        });
    }
}

#[cfg(test)]
mod tests {
    use jangteo_domain::UserId;

    use super::*;
    use crate::rows::point::PointAccountRow;
    use crate::rows::product::{OptionsOf, ProductSearchTextRow};
    use crate::rows::sales::DailySaleRow;
    use crate::rows::stock::StockRow;
    use crate::types::{Amount, Bytes, Day, Id, Integer, LongText, Varchar};

    fn written(write: impl FnOnce(&mut Writes)) -> String {
        let mut writes = Writes::default();
        write(&mut writes);
        writes.0
    }

    #[test]
    fn an_update_names_its_columns_once_and_fails_where_a_row_is_not_there() {
        assert_eq!(
            written(|writes| writes.update([StockRow::numbered(1), StockRow::numbered(2)])),
            "UPDATE (SELECT x'00000000000000000000000000000001' AS product_id,1 AS available,1 AS movements \
             UNION ALL SELECT x'00000000000000000000000000000002',2,1) AS given \
             LEFT JOIN stocks FORCE INDEX (PRIMARY) ON stocks.product_id = given.product_id \
             SET stocks.available = given.available, stocks.movements = given.movements \
             WHERE stocks.product_id IS NOT NULL OR POW(10, 1000 + LENGTH(given.product_id));"
        );
    }

    #[test]
    fn a_row_is_saved_as_a_whole() {
        assert_eq!(
            written(|writes| writes.save([StockRow::numbered(1), StockRow::numbered(2)])),
            "INSERT INTO stocks (product_id, available, movements) VALUES \
             (x'00000000000000000000000000000001',1,1),(x'00000000000000000000000000000002',2,1) \
             ON DUPLICATE KEY UPDATE available = VALUES(available), movements = VALUES(movements);"
        );
    }

    #[test]
    fn an_update_of_many_rows_is_more_than_one_statement() {
        let text = written(|writes| writes.update((0..=BRANCHES_MAX as u32).map(StockRow::numbered)));
        assert_eq!(text.matches("UPDATE (").count(), 2);
    }

    #[test]
    fn an_insert_is_split_before_it_is_more_than_a_server_takes_and_no_row_is_lost() {
        let text = |number| ProductSearchTextRow {
            product_id: Id::numbered(number),
            search_text: LongText("한".repeat(999)),
        };
        let text = written(|writes| writes.insert((0..1_000).map(text)));
        let statements: Vec<&str> = text.split_terminator(';').collect();
        assert!(statements.len() > 1 && statements.iter().all(|text| text.len() < 2 * PACKET_BYTES));
        let rows = |statement: &&str| statement.matches("_utf8mb4 x'").count();
        assert_eq!(statements.iter().map(rows).sum::<usize>(), 1_000);
    }

    #[test]
    fn sums_are_made_by_the_server_from_exact_numbers() {
        let day = Date::from_calendar_date(2026, time::Month::March, 1).expect("a day");
        let revenue = Amount(Money::from_ten_thousandths(-15_000).expect("an amount"));
        let row = DailySaleRow { day: Day(day), product_id: Id::numbered(1), quantity: Integer(-2), revenue };
        assert_eq!(
            written(|writes| writes.accumulate([row])),
            "INSERT INTO daily_sales (day, product_id, quantity, revenue) VALUES \
             (DATE'2026-03-01',x'00000000000000000000000000000001',-2,-1.5000) ON DUPLICATE KEY UPDATE \
             quantity = daily_sales.quantity + VALUES(quantity), revenue = daily_sales.revenue + VALUES(revenue);"
        );
    }

    #[test]
    fn amounts_and_times_are_written_to_their_last_digit() {
        let literal = |write: &dyn Fn(&mut Literals)| {
            let mut text = String::new();
            write(&mut Literals::new(&mut text));
            text
        };
        for ten_thousandths in [0, 1, -1, 9_999, -10_000, 123_456_789, -Money::MAX.ten_thousandths()] {
            let amount = Money::from_ten_thousandths(ten_thousandths).expect("an amount");
            assert_eq!(literal(&|out| out.money(amount)), amount.to_decimal().to_string());
        }
        for (microseconds, written) in [
            (0, "TIMESTAMP'1970-01-01 00:00:00.000000'"),
            (1_772_323_199_000_007, "TIMESTAMP'2026-02-28 23:59:59.000007'"),
            (253_402_300_799_999_999, "TIMESTAMP'9999-12-31 23:59:59.999999'"),
        ] {
            let at = Timestamp::try_from(microseconds).expect("a time");
            assert_eq!(literal(&|out| out.time(at)), written);
        }
        assert_eq!(literal(&|out| out.integer(i128::from(i64::MIN))), "-9223372036854775808");
    }

    #[test]
    fn what_a_caller_sent_cannot_end_its_literal() {
        let account = |name: &str| PointAccountRow {
            user_id: Varchar(UserId::try_from(name.to_owned()).expect("a user's id")),
            balance: Amount(Money::ZERO),
            entries: Integer(0),
            hash: Bytes([0; 32]),
            open_orders: Integer(0),
            updated_at: None,
        };
        let text = |text: &str| {
            written(|writes| {
                writes.insert([ProductSearchTextRow {
                    product_id: Id::numbered(1),
                    search_text: LongText(text.to_owned()),
                }])
            })
        };
        assert!(written(|writes| writes.insert([account("kim")])).contains("VALUES ('kim',"));
        assert!(text("a \"b\"; -- c").contains(",'a \"b\"; -- c')"));
        for hostile in ["'", "\\", "\\'", "a'); DROP TABLE stocks; --", "\0", "\n", "가'", "\u{7f}"] {
            let hexadecimal: String = hostile.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(text(hostile).ends_with(&format!(",_utf8mb4 x'{hexadecimal}');")), "{}", text(hostile));
        }
    }

    #[test]
    fn rows_are_deleted_by_their_keys() {
        let keys = [OptionsOf { product_id: Id::numbered(1) }, OptionsOf { product_id: Id::numbered(2) }];
        assert_eq!(
            written(|writes| writes.delete(keys)),
            "DELETE FROM product_options WHERE (product_id) IN ((x'00000000000000000000000000000001'), \
             (x'00000000000000000000000000000002'));"
        );
    }
}
