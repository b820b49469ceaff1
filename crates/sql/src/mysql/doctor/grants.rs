//! The privileges of the database's user, from the lines of `SHOW GRANTS`.

use std::collections::{BTreeMap, BTreeSet};

use crate::mysql::privileges::OnTable;

/// The privileges on the shop's tables.
#[derive(Debug, Default)]
pub(super) struct Grants {
    global: BTreeSet<String>,
    database: BTreeSet<String>,
    tables: BTreeMap<String, BTreeSet<String>>,
    /// Roles, and grants on columns, which are not evaluated.
    has_others: bool,
}

impl Grants {
    pub(super) fn of(lines: &[String], database: &str) -> Self {
        let mut grants = Self::default();
        for line in lines {
            let Some(rest) = line.strip_prefix("GRANT ") else { continue };
            match rest.split_once(" ON ") {
                Some((privileges, object)) => grants.add(privileges, object, database),
                None => grants.has_others = true,
            }
        }
        grants
    }

    fn add(&mut self, privileges: &str, object: &str, database: &str) {
        let names = privileges.split(',').map(|name| name.trim().to_owned());
        if object.starts_with("*.* ") {
            self.global.extend(names);
            return;
        }
        let Some((pattern, table)) = object.strip_prefix('`').and_then(|object| object.split_once("`.")) else {
            return;
        };
        let pattern = pattern.replace("``", "`");
        let table = table.strip_prefix('`').and_then(|table| table.split_once('`')).map(|(table, _)| table);
        // The database of a table is named by no pattern.
        if !table.map_or_else(|| is_like(database, &pattern), |_| pattern == database) {
            return;
        }
        match table {
            _ if privileges.contains('(') => self.has_others = true,
            None => self.database.extend(names),
            Some(table) => self.tables.entry(table.to_owned()).or_default().extend(names),
        }
    }

    /// Those of `privileges` that are not granted on the whole database.
    pub(super) fn missing(&self, privileges: &[&'static str]) -> Vec<&'static str> {
        let is_granted = |name: &str| self.global.contains(name) || self.database.contains(name);
        let is_missing = |name: &&&str| !is_granted("ALL PRIVILEGES") && !is_granted(name);
        privileges.iter().filter(is_missing).copied().collect()
    }

    /// Those that are granted neither on their table nor on the whole database, as in `UPDATE on orders`.
    pub(super) fn missing_on_tables(&self, needed: &[OnTable]) -> Vec<String> {
        let is_granted = |table: &str, privilege: &str| {
            let on_table = self.tables.get(table);
            on_table.is_some_and(|names| names.contains(privilege) || names.contains("ALL PRIVILEGES"))
        };
        let missing = |(table, privileges): &OnTable| {
            let privileges = self.missing(privileges).into_iter();
            let missing = privileges.filter(|privilege| !is_granted(table, privilege)).collect::<Vec<_>>().join(", ");
            (!missing.is_empty()).then(|| format!("{missing} on {table}"))
        };
        needed.iter().filter_map(missing).collect()
    }

    /// Whether there are grants on single tables.
    pub(super) fn has_tables(&self) -> bool {
        !self.tables.is_empty()
    }

    /// Those of `privileges` that are granted on the whole server.
    pub(super) fn global(&self, privileges: &[&'static str]) -> Vec<&'static str> {
        privileges.iter().filter(|name| self.global.contains(**name)).copied().collect()
    }

    pub(super) fn has_others(&self) -> bool {
        self.has_others
    }
}

/// Whether a name matches the pattern of a grant, with `%`, `_` and escapes.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut pattern = pattern.chars();
    let Some(first) = pattern.next() else { return name.is_empty() };
    if first == '%' {
        let starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        return starts.into_iter().any(|at| is_like(&name[at..], pattern.as_str()));
    }
    let expected = if first == '\\' { pattern.next() } else { Some(first) };
    let mut rest = name.chars();
    let found = rest.next();
    found.is_some() && (first == '_' || found == expected) && is_like(rest.as_str(), pattern.as_str())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("shop", "shop", true)]
    #[case("shop", "sho_", true)]
    #[case("shop", "%", true)]
    #[case("shop", "s%p", true)]
    #[case("my_shop", "my\\_shop", true)]
    #[case("my-shop", "my\\_shop", false)]
    #[case("shop", "sho", false)]
    #[case("shop", "shop_", false)]
    #[case("", "_", false)]
    fn a_grant_names_databases_by_a_pattern(#[case] name: &str, #[case] pattern: &str, #[case] matches: bool) {
        assert_eq!(is_like(name, pattern), matches);
    }

    #[rstest]
    #[case::all(&["GRANT ALL PRIVILEGES ON `my\\_shop`.* TO `shop`@`%`"], &[], false)]
    #[case::global(&["GRANT SELECT, INSERT ON *.* TO `shop`@`%`"], &[], false)]
    #[case::both(&["GRANT SELECT ON *.* TO `shop`@`%`", "GRANT INSERT ON `my_shop`.* TO `shop`@`%`"], &[], false)]
    #[case::too_few(&["GRANT USAGE ON *.* TO `shop`@`%`", "GRANT SELECT ON `my_shop`.* TO `shop`@`%`"], &["INSERT"], false)]
    #[case::another_database(&["GRANT ALL PRIVILEGES ON `other`.* TO `shop`@`%`"], &["SELECT", "INSERT"], false)]
    #[case::a_role(&["GRANT `clerk`@`%` TO `shop`@`%`"], &["SELECT", "INSERT"], true)]
    #[case::a_table(&["GRANT SELECT ON `my_shop`.`orders` TO `shop`@`%`"], &["SELECT", "INSERT"], false)]
    #[case::a_column(&["GRANT SELECT (id, sku), INSERT ON `my_shop`.`orders` TO `shop`@`%`"], &["SELECT", "INSERT"], true)]
    #[case::a_routine(&["GRANT EXECUTE ON PROCEDURE `my_shop`.`p` TO `shop`@`%`"], &["SELECT", "INSERT"], false)]
    fn privileges_are_those_on_the_whole_database(
        #[case] lines: &[&str],
        #[case] missing: &[&str],
        #[case] has_others: bool,
    ) {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let grants = Grants::of(&lines, "my_shop");
        assert_eq!(grants.missing(&["SELECT", "INSERT"]), missing);
        assert_eq!(grants.has_others(), has_others);
    }

    #[test]
    fn privileges_on_tables_count_for_their_table() {
        let lines = [
            "GRANT INSERT ON `my_shop`.* TO `shop`@`%`",
            "GRANT SELECT, UPDATE ON `my_shop`.`orders` TO `shop`@`%`",
            "GRANT SELECT ON `my_shop`.`payments` TO `shop`@`%`",
            "GRANT ALL PRIVILEGES ON `my_shop`.`refunds` TO `shop`@`%`",
            "GRANT SELECT ON `my\\_shop`.`coupons` TO `shop`@`%`",
        ];
        let grants = Grants::of(&lines.map(str::to_owned), "my_shop");
        let all: &[&str] = &["SELECT", "INSERT", "UPDATE"];
        let missing = grants.missing_on_tables(&[
            ("orders", all),
            ("payments", all),
            ("payments", &["SELECT"]),
            ("refunds", all),
            ("coupons", all),
        ]);
        assert_eq!(missing, ["UPDATE on payments", "SELECT, UPDATE on coupons"]);
        assert!(grants.has_tables() && !grants.has_others());
    }
}
