//! Writes to MySQL: plain-text statements, as few packets per transaction as the server accepts, usually one.
//!
//! Parsing literals costs the server less than unpacking a JSON bind (see docs/performance.md), and a packet with many
//! statements takes one round trip. User input cannot become part of a statement: see [`Literals`].

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

/// Upper bound of the rows in one `UPDATE` or `DELETE`: each row is a branch, and servers nest the branches.
const BRANCHES_MAX: usize = 256;

/// The head of a compound statement: an error rolls back and propagates.
const COMPOUND: &str = "BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END; ";
/// The head of a compound statement that must not run outside of a transaction.
const WITHIN_TRANSACTION: &str = "IF @@in_transaction = 0 THEN SIGNAL SQLSTATE '40001' \
                                  SET MESSAGE_TEXT = 'the transaction was rolled back'; END IF; ";

/// Statements that are not sent yet.
#[derive(Debug)]
pub(super) struct Writes {
    server: Server,
    text: String,
    /// The end of each statement in `text`.
    ends: Vec<usize>,
    /// The error that prevents sending.
    failed: Option<StoreError>,
}

/// Begins a write transaction and inserts its marker.
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

/// Makes a missing marker final. On one server it is: the query waited for the marker's lock, so the transaction has
/// ended. In a group, another member may still replicate the transaction: a marker of its own makes that fail, on the
/// key or in certification.
pub(super) async fn rule_out(session: &mut Session, id: BatchId) -> Result<(), StoreError> {
    if session.server.identity.group.is_none() {
        return Ok(());
    }
    let mut writes = Writes::new(session);
    writes.insert([CommitMarkerRow::tombstone(id)]);
    writes.commit(session).await
}

/// The parts of a statement around its rows.
struct Shape<'a> {
    table: &'static str,
    head: &'a str,
    separator: &'static str,
    tail: &'a str,
    rows_max: usize,
}

impl Writes {
    pub(super) fn new(session: &Session) -> Self {
        Self::to(session.server.clone())
    }

    fn to(server: Server) -> Self {
        Self { server, text: String::new(), ends: Vec::new(), failed: None }
    }

    /// Inserts rows; an existing key is an error.
    pub(super) fn insert<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        self.push_inserts(rows, "");
    }

    /// Adds the values to existing rows; inserts the missing ones.
    pub(super) fn accumulate<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        let sum = |column: &Column| format!("{0} = {1}.{0} + VALUES({0})", column.name, R::TABLE);
        let sums: Vec<String> = R::VALUES.iter().map(sum).collect();
        self.push_inserts(rows, &format!(" ON DUPLICATE KEY UPDATE {}", sums.join(", ")));
    }

    /// Updates existing rows; a missing row is an error.
    pub(super) fn update<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        let table = R::TABLE;
        let equal = |column: &Column| format!("{table}.{0} = given.{0}", column.name);
        let keys: Vec<String> = R::KEYS.iter().map(equal).collect();
        let values: Vec<String> = R::VALUES.iter().map(equal).collect();
        let (keys, values, key) = (keys.join(" AND "), values.join(", "), R::KEYS[0].name);
        // POW() is out of range for a missing row: no other expression raises an error here.
        let tail = format!(
            ") AS given LEFT JOIN {table} FORCE INDEX (PRIMARY) ON {keys} SET {values} \
             WHERE {table}.{key} IS NOT NULL OR POW(10, 1000 + LENGTH(given.{key}));"
        );
        let (head, separator) = ("UPDATE (SELECT ", " UNION ALL SELECT ");
        let shape = Shape { table, head, separator, tail: &tail, rows_max: BRANCHES_MAX };
        self.push_statements(rows, &shape, |out, row, is_first| {
            let mut names = R::columns().map(|column| column.name);
            // The first branch names the columns of all.
            row.put(&mut Literals::named(out, &mut names, is_first));
        });
    }

    /// Overwrites existing rows as a whole. It inserts a missing row, so the caller must have locked it. It is cheaper
    /// than [`update`](Self::update), which needs a derived table.
    pub(super) fn save<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) {
        let given = |column: &Column| format!("{0} = VALUES({0})", column.name);
        let values: Vec<String> = R::VALUES.iter().map(given).collect();
        self.push_inserts(rows, &format!(" ON DUPLICATE KEY UPDATE {}", values.join(", ")));
    }

    /// Deletes rows by key.
    pub(super) fn delete<L: Lookup>(&mut self, keys: impl IntoIterator<Item = L>) {
        let table = L::Row::TABLE;
        let columns: Vec<&str> = L::COLUMNS.iter().map(|column| column.name).collect();
        let head = format!("DELETE FROM {table} WHERE ({}) IN ((", columns.join(", "));
        let shape = Shape { table, head: &head, separator: "), (", tail: "));", rows_max: BRANCHES_MAX };
        self.push_statements(keys, &shape, |out, key, _| key.put(&mut Literals::new(out)));
    }

    /// Sends the statements in order until the first failure, and commits in the last packet. The marker must have been
    /// inserted before: a marker query during the commit waits for its lock.
    pub(super) async fn commit(mut self, session: &mut Session) -> Result<(), StoreError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        self.push("COMMIT;");
        self.end_statement();
        for packet in self.packets() {
            if let Err(error) = bounded(&session.server, session.connection.batch_execute(&packet)).await {
                return Err(explain(error, session).await);
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

    /// Groups of statements that fit one packet.
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

    /// Adds statements with as many rows as fit one packet; a larger row gets its own.
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
            let text = format!(
                "a row of {} takes {bytes} bytes, and the server's max_allowed_packet allows {}",
                shape.table,
                self.server.row_bytes_max()
            );
            self.failed.get_or_insert(StoreError::unexpected(text));
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn end_statement(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// Renders values as literals, separated by commas.
///
/// Numbers and times are digits, bytes are hexadecimal, text is quoted: quotes are doubled, backslashes and NULs
/// escaped. The session fixes SQL mode and character set accordingly, and no byte of a longer UTF-8 character is a
/// quote or a backslash. User input therefore cannot end a literal.
struct Literals<'a, 'n> {
    out: &'a mut String,
    /// The column names, where the literals are named.
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

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
#[cfg(test)]
mod tests;
