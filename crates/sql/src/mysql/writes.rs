//! How rows are written to MySQL: as plain text, and all that a transaction writes in as few packets as the server
//! takes, nearly always one.
//!
//! A server spends less on parsing literals than on unpacking them from a bind of JSON (see docs/performance.md), and
//! one packet takes one round trip for as many statements as there are in it. What a caller sent can still never be part
//! of a statement: see [`Literals`].

use std::borrow::Cow;

use diesel::QueryResult;
use diesel::connection::TransactionManagerStatus;
use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection as _, TransactionManager as _};
use jangteo_domain::StoreError;
use jangteo_domain::id::BatchId;
use jangteo_domain::money::Money;
use jangteo_domain::time::{Date, Timestamp};

use super::server::{Framing, Server};
use super::store::Session;
use super::{bounded, explain};
use crate::bulk::{Column, Lookup, Row};
use crate::rows::idempotency::CommitMarkerRow;
use crate::types::{SqlValues, push_day, push_digits, push_hexadecimal, push_integer};

/// The most rows of one `UPDATE` or `DELETE`: each is a branch of the statement, and servers take them one inside the
/// other.
const BRANCHES_MAX: usize = 256;

/// What begins a compound statement: an error rolls back and is passed on.
const COMPOUND: &str = "BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END; ";
/// What a compound statement within a transaction begins with: by itself it must not run.
const WITHIN_TRANSACTION: &str = "IF @@in_transaction = 0 THEN SIGNAL SQLSTATE '40001' \
                                  SET MESSAGE_TEXT = 'the transaction was rolled back'; END IF; ";

/// Statements that are still to be sent.
#[derive(Debug)]
pub(super) struct Writes {
    server: Server,
    text: String,
    /// Where each statement ends.
    ends: Vec<usize>,
    /// Why they cannot be sent.
    failed: Option<StoreError>,
}

/// Begins a transaction that writes, with the marker.
pub(super) async fn begin(session: &mut Session, marker: Option<CommitMarkerRow>) -> QueryResult<()> {
    let mut writes = Writes::new(session);
    writes.insert(marker);
    let begin = match writes.server.framing {
        Framing::Several => Cow::Owned(format!("BEGIN;{}", writes.text)),
        Framing::Compound if !writes.text.is_empty() => {
            Cow::Owned(format!("{COMPOUND}START TRANSACTION;{}END", writes.text))
        }
        Framing::Compound | Framing::OneByOne => Cow::Borrowed("BEGIN"),
    };
    AnsiTransactionManager::begin_transaction_sql(&mut session.connection, &begin).await?;
    if writes.server.framing == Framing::OneByOne {
        for statement in writes.statements() {
            session.connection.batch_execute(statement).await?;
        }
    }
    Ok(())
}

/// Makes sure that a transaction whose marker is not there never takes effect: it has ended, as its marker's lock was
/// waited for.
pub(super) async fn rule_out(_session: &mut Session, _id: BatchId) -> Result<(), StoreError> {
    Ok(())
}

/// A statement about rows, but for the rows.
struct Shape<'a> {
    table: &'static str,
    head: &'a str,
    separator: &'static str,
    tail: &'a str,
    rows_max: usize,
}

impl Writes {
    /// Nothing yet, for this connection.
    pub(super) fn new(session: &Session) -> Self {
        Self::to(session.server)
    }

    fn to(server: Server) -> Self {
        Self { server, text: String::new(), ends: Vec::new(), failed: None }
    }

    /// Adds new rows.
    pub(super) fn insert<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        self.push_inserts(rows, "");
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
        // Where a row is not there the power is out of range, as nothing else that a statement can say would be.
        let tail = format!(
            ") AS given LEFT JOIN {table} FORCE INDEX (PRIMARY) ON {keys} SET {values} \
             WHERE {table}.{key} IS NOT NULL OR POW(10, 1000 + LENGTH(given.{key}));"
        );
        let (head, separator) = ("UPDATE (SELECT ", " UNION ALL SELECT ");
        let shape = Shape { table, head, separator, tail: &tail, rows_max: BRANCHES_MAX };
        self.push_statements(rows, &shape, |out, row, is_first| {
            let mut names = R::columns().map(|column| column.name);
            // The first branch names the columns for all.
            row.put(&mut Literals::named(out, &mut names, is_first));
        });
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
        let table = L::Row::TABLE;
        let columns: Vec<&str> = L::COLUMNS.iter().map(|column| column.name).collect();
        let head = format!("DELETE FROM {table} WHERE ({}) IN ((", columns.join(", "));
        let shape = Shape { table, head: &head, separator: "), (", tail: "));", rows_max: BRANCHES_MAX };
        self.push_statements(keys, &shape, |out, key, _| key.put(&mut Literals::new(out)));
    }

    /// Sends them, in order and up to the first that fails, and commits in the last packet. The marker is not among
    /// them: it must have been written before, or who asks for it while the packet is still under way would find nothing
    /// to wait for.
    pub(super) async fn commit(mut self, session: &mut Session) -> Result<(), StoreError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        self.push("COMMIT;");
        self.end_statement();
        for packet in self.packets() {
            if let Err(error) = bounded(session.connection.batch_execute(&packet)).await {
                return Err(explain(error, &mut session.connection).await);
            }
        }
        let status = AnsiTransactionManager::transaction_manager_status_mut(&mut session.connection);
        *status = TransactionManagerStatus::default();
        Ok(())
    }

    fn statements(&self) -> impl Iterator<Item = &str> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.text[begin..*end])
    }

    /// The packets to send, one after the other.
    fn packets(&self) -> Vec<Cow<'_, str>> {
        match self.server.framing {
            Framing::Several => self.grouped().map(Cow::Borrowed).collect(),
            Framing::Compound => {
                let framed = |group: &str| Cow::Owned(format!("{COMPOUND}{WITHIN_TRANSACTION}{group}END"));
                self.grouped().map(framed).collect()
            }
            Framing::OneByOne => self.statements().map(Cow::Borrowed).collect(),
        }
    }

    /// As many statements together as a packet takes.
    fn grouped(&self) -> impl Iterator<Item = &str> {
        let mut groups: Vec<(usize, usize)> = Vec::new();
        let mut begin = 0;
        for &end in &self.ends {
            match groups.last_mut() {
                Some((first, last)) if end.saturating_sub(*first) <= self.server.packet_bytes_max() => *last = end,
                Some(_) | None => groups.push((begin, end)),
            }
            begin = end;
        }
        groups.into_iter().map(|(begin, end)| &self.text[begin..end])
    }

    fn push_inserts<R: Row>(&mut self, rows: impl IntoIterator<Item = R>, on_duplicate: &str) {
        let columns: Vec<&str> = R::columns().map(|column| column.name).collect();
        let head = format!("INSERT INTO {} ({}) VALUES (", R::TABLE, columns.join(","));
        let tail = format!("){on_duplicate};");
        let shape = Shape { table: R::TABLE, head: &head, separator: "),(", tail: &tail, rows_max: usize::MAX };
        self.push_statements(rows, &shape, |out, row, _| row.put(&mut Literals::new(out)));
    }

    /// Adds statements about as many of the rows as a packet takes; a larger row has one of its own.
    fn push_statements<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        shape: &Shape<'_>,
        put: impl Fn(&mut String, &T, bool),
    ) {
        let (mut begin, mut rows_in_it) = (self.text.len(), 0_usize);
        let put_first = |writes: &mut Self, row: &T| {
            writes.push(shape.head);
            put(&mut writes.text, row, true);
        };
        for row in rows {
            if rows_in_it == 0 {
                put_first(self, &row);
            } else {
                let before = self.text.len();
                self.push(shape.separator);
                put(&mut self.text, &row, false);
                let bytes = self.text.len().saturating_sub(begin).saturating_add(shape.tail.len());
                if rows_in_it >= shape.rows_max || bytes > self.server.packet_bytes_max() {
                    self.text.truncate(before);
                    self.close(shape, begin, rows_in_it);
                    (begin, rows_in_it) = (self.text.len(), 0);
                    put_first(self, &row);
                }
            }
            rows_in_it = rows_in_it.saturating_add(1);
        }
        if rows_in_it > 0 {
            self.close(shape, begin, rows_in_it);
        }
    }

    fn close(&mut self, shape: &Shape<'_>, begin: usize, rows: usize) {
        self.push(shape.tail);
        self.end_statement();
        let bytes = self.text.len().saturating_sub(begin);
        if rows == 1 && bytes > self.server.row_bytes_max() {
            let what = format!(
                "a row of {} takes {bytes} bytes, and the server's max_allowed_packet allows {}",
                shape.table,
                self.server.row_bytes_max()
            );
            self.failed.get_or_insert(StoreError::unexpected(what));
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn end_statement(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// Writes values as literals with commas in between.
///
/// Numbers and times are digits, bytes are hexadecimal, and text is quoted: a quote in it is doubled and a backslash and
/// a NUL are escaped. Sessions set the mode and the character set by which a server reads that, and in UTF-8 no byte of a
/// longer character is a quote or a backslash. So nothing that a caller sent can end a literal.
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
        self.push(|out| push_quoted(out, text));
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

fn push_quoted(out: &mut String, text: &str) {
    out.push('\'');
    let mut begin = 0;
    for at in memchr::memchr3_iter(b'\'', b'\\', 0, text.as_bytes()) {
        out.push_str(&text[begin..at]);
        out.push_str(match text.as_bytes()[at] {
            b'\'' => "''",
            b'\\' => "\\\\",
            _ => "\\0",
        });
        begin = at.saturating_add(1);
    }
    out.push_str(&text[begin..]);
    out.push('\'');
}

#[cfg(test)]
mod tests;
