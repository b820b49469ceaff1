//! Plain SQL text for the tables of the migrations: literals of both dialects, and statements over many rows.
//!
//! It knows how a value is written, not what it means; that is decided by the domain before anything gets here.

use std::fmt::Write;

use jangteo_domain::time::Date;
use jangteo_domain::{Money, Timestamp};
use uuid::Uuid;

/// The most rows of one statement, so that its text stays well below what the server takes as one packet.
pub const ROWS_MAX: usize = 1_000;

/// Whose SQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// MySQL and MariaDB: money is DECIMAL, times are DATETIME(6).
    MySql,
    /// SQLite: money is an integer of 1/10,000, times are microseconds.
    Sqlite,
}

/// Writes the literals of one row.
pub struct Row<'a> {
    text: &'a mut String,
    dialect: Dialect,
    is_first: bool,
}

impl Row<'_> {
    fn next(&mut self) -> &mut String {
        if !std::mem::replace(&mut self.is_first, false) {
            self.text.push(',');
        }
        self.text
    }

    fn put(&mut self, value: impl std::fmt::Display) -> &mut Self {
        write!(self.next(), "{value}").expect("writing to a string does not fail");
        self
    }

    /// NULL.
    pub fn null(&mut self) -> &mut Self {
        self.put("NULL")
    }

    /// The value that `write` writes, or NULL where there is none.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T) -> &mut Self) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    /// A whole number.
    pub fn integer(&mut self, number: impl Into<i128>) -> &mut Self {
        self.put(number.into())
    }

    /// An id.
    pub fn id(&mut self, id: Uuid) -> &mut Self {
        self.bytes(id.as_bytes())
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.put(format_args!("x'{}'", hex::encode(bytes)))
    }

    /// An amount.
    pub fn money(&mut self, money: Money) -> &mut Self {
        match self.dialect {
            Dialect::MySql => self.put(money.to_decimal()),
            Dialect::Sqlite => self.put(money.ten_thousandths()),
        }
    }

    /// A point in time.
    pub fn time(&mut self, at: Timestamp) -> &mut Self {
        match self.dialect {
            Dialect::MySql => {
                let time = at.to_offset_date_time();
                let (hour, minute, second, microsecond) = time.time().as_hms_micro();
                self.put(format_args!("'{} {hour:02}:{minute:02}:{second:02}.{microsecond:06}'", time.date()))
            }
            Dialect::Sqlite => self.put(at.unix_microseconds()),
        }
    }

    /// A day.
    pub fn date(&mut self, date: Date) -> &mut Self {
        self.put(format_args!("'{date}'"))
    }

    /// Text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let dialect = self.dialect;
        let out = self.next();
        out.push('\'');
        for character in text.chars() {
            match character {
                '\'' => out.push_str("''"),
                '\\' if dialect == Dialect::MySql => out.push_str("\\\\"),
                _ => out.push(character),
            }
        }
        out.push('\'');
        self
    }
}

/// One row's literals in parentheses.
fn row<T>(text: &mut String, dialect: Dialect, item: &T, write: &impl Fn(&mut Row<'_>, &T)) {
    text.push('(');
    write(&mut Row { text, dialect, is_first: true }, item);
    text.push(')');
}

/// What happens to a row whose key is there already.
#[derive(Clone, Copy)]
pub enum OnDuplicate<'a> {
    /// An error.
    Fail,
    /// These columns take the new values.
    Assign {
        /// The key, which SQLite wants named.
        key: &'a str,
        /// The columns.
        columns: &'a [&'a str],
    },
    /// The new values are added to these columns.
    Add {
        /// The key, which SQLite wants named.
        key: &'a str,
        /// The columns.
        columns: &'a [&'a str],
    },
}

impl OnDuplicate<'_> {
    fn clause(self, dialect: Dialect) -> String {
        let assignments = |columns: &[&str], add: bool| {
            let assignment = |column: &&str| match (dialect, add) {
                (Dialect::MySql, false) => format!("{column} = VALUES({column})"),
                (Dialect::MySql, true) => format!("{column} = {column} + VALUES({column})"),
                (Dialect::Sqlite, false) => format!("{column} = excluded.{column}"),
                (Dialect::Sqlite, true) => format!("{column} = {column} + excluded.{column}"),
            };
            columns.iter().map(assignment).collect::<Vec<_>>().join(", ")
        };
        let upsert = |key: &str, assignments: String| match dialect {
            Dialect::MySql => format!(" ON DUPLICATE KEY UPDATE {assignments}"),
            Dialect::Sqlite => format!(" ON CONFLICT ({key}) DO UPDATE SET {assignments}"),
        };
        match self {
            Self::Fail => String::new(),
            Self::Assign { key, columns } => upsert(key, assignments(columns, false)),
            Self::Add { key, columns } => upsert(key, assignments(columns, true)),
        }
    }
}

/// INSERT statements for the items, [`ROWS_MAX`] rows each.
pub fn insert<T>(
    dialect: Dialect,
    table: &str,
    columns: &str,
    on_duplicate: OnDuplicate<'_>,
    items: &[T],
    write: impl Fn(&mut Row<'_>, &T),
) -> Vec<String> {
    let end = on_duplicate.clause(dialect);
    let statement = |chunk: &[T]| {
        let mut text = format!("INSERT INTO {table} ({columns}) VALUES ");
        for (index, item) in chunk.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            row(&mut text, dialect, item, &write);
        }
        text.push_str(&end);
        text
    };
    items.chunks(ROWS_MAX).map(statement).collect()
}

/// A SELECT of the rows whose key is one of these, and of the time, in order of their keys; it locks them where the
/// dialect can.
pub fn select_locked<T>(
    dialect: Dialect,
    columns: &str,
    table: &str,
    key: &str,
    keys: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Row<'_>, &T),
) -> String {
    let time = match dialect {
        Dialect::MySql => "SYSDATE(6)",
        Dialect::Sqlite => "unixepoch('subsec')",
    };
    let mut text = select(dialect, &format!("{time}, {columns}"), table, key, keys, write);
    write_end(&mut text, key);
    if dialect == Dialect::MySql {
        text.push_str(" FOR UPDATE");
    }
    text
}

/// A SELECT of the rows whose key is one of these, in no order, without a lock.
pub fn select<T>(
    dialect: Dialect,
    columns: &str,
    table: &str,
    key: &str,
    keys: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Row<'_>, &T),
) -> String {
    let mut text = format!("SELECT {columns} FROM {table} WHERE {key} IN (");
    let mut row = Row { text: &mut text, dialect, is_first: true };
    for item in keys {
        write(&mut row, &item);
    }
    text.push(')');
    text
}

fn write_end(text: &mut String, key: &str) {
    write!(text, " ORDER BY {key}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(dialect: Dialect, on_duplicate: OnDuplicate<'_>, count: i64) -> Vec<String> {
        let items: Vec<i64> = (0..count).collect();
        insert(dialect, "t", "id, a", on_duplicate, &items, |row, item| {
            row.id(Uuid::nil()).money(Money::from_units(*item).expect("in range"));
        })
    }

    #[test]
    fn writes_each_dialects_literals() {
        let at = Timestamp::from_unix_microseconds(1_000_001).expect("in range");
        let write = |dialect| {
            insert(dialect, "t", "c", OnDuplicate::Fail, &[()], |row, ()| {
                row.text("it's a \\").time(at).null().optional(Some(-3), Row::integer).bytes(&[0xab]);
            })
        };
        assert_eq!(
            write(Dialect::MySql),
            ["INSERT INTO t (c) VALUES ('it''s a \\\\','1970-01-01 00:00:01.000001',NULL,-3,x'ab')"]
        );
        assert_eq!(write(Dialect::Sqlite), ["INSERT INTO t (c) VALUES ('it''s a \\',1000001,NULL,-3,x'ab')"]);
    }

    #[test]
    fn splits_rows_into_statements() {
        let statements = amounts(Dialect::Sqlite, OnDuplicate::Fail, 1_001);
        assert_eq!(statements.len(), 2);
        assert!(statements[1].ends_with("VALUES (x'00000000000000000000000000000000',10000000)"));
        assert!(amounts(Dialect::Sqlite, OnDuplicate::Fail, 0).is_empty());
    }

    #[test]
    fn says_what_happens_to_a_key_that_is_there() {
        let end = |dialect, on_duplicate| {
            let statement = amounts(dialect, on_duplicate, 1).remove(0);
            statement.split_once(" ON ").map(|(_, end)| end.to_owned())
        };
        let add = OnDuplicate::Add { key: "id", columns: &["a"] };
        assert_eq!(end(Dialect::MySql, add).as_deref(), Some("DUPLICATE KEY UPDATE a = a + VALUES(a)"));
        assert_eq!(end(Dialect::Sqlite, add).as_deref(), Some("CONFLICT (id) DO UPDATE SET a = a + excluded.a"));
    }

    #[test]
    fn locks_where_the_dialect_can() {
        let statement = |dialect| {
            select_locked(dialect, "a", "t", "id", [1, 2], |row, id| {
                row.integer(*id);
            })
        };
        assert_eq!(statement(Dialect::MySql), "SELECT SYSDATE(6), a FROM t WHERE id IN (1,2) ORDER BY id FOR UPDATE");
        assert_eq!(statement(Dialect::Sqlite), "SELECT unixepoch('subsec'), a FROM t WHERE id IN (1,2) ORDER BY id");
    }
}
