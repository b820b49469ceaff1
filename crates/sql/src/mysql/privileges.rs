//! The privileges that a server needs, table by table. It never changes or deletes what is only appended.

/// A table and the privileges on it.
pub(super) type OnTable = (&'static str, &'static [&'static str]);

const READ: &[&str] = &["SELECT"];
const APPEND: &[&str] = &["SELECT", "INSERT"];
/// An upsert needs both INSERT and UPDATE. On MySQL a locking read needs UPDATE or DELETE.
const CHANGE: &[&str] = &["SELECT", "INSERT", "UPDATE"];
const EXPIRE: &[&str] = &["SELECT", "INSERT", "DELETE"];

/// Every table, for `serve`, `relay` and all commands but `migrate`. The end-to-end tests run a shop with exactly these.
pub(super) const SERVING: [OnTable; 29] = [
    ("__diesel_schema_migrations", READ),
    ("audit_chains", CHANGE),
    ("audit_log", APPEND),
    ("book_corrections", APPEND),
    ("commit_markers", EXPIRE),
    ("coupon_campaigns", CHANGE),
    ("coupons", CHANGE),
    ("cursor_keys", APPEND),
    ("daily_sales", CHANGE),
    ("heartbeats", CHANGE),
    ("idempotency_keys", EXPIRE),
    ("order_lines", CHANGE),
    ("orders", CHANGE),
    ("outbox_events", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("payments", APPEND),
    ("point_accounts", CHANGE),
    ("point_entries", APPEND),
    ("product_options", EXPIRE),
    ("product_search_grams", EXPIRE),
    ("product_search_texts", EXPIRE),
    ("products", CHANGE),
    ("quarter_hour_count", CHANGE),
    ("quarter_hours", EXPIRE),
    ("refund_lines", APPEND),
    ("refunds", APPEND),
    ("stock_movements", APPEND),
    ("stocks", CHANGE),
    ("token_revocations", EXPIRE),
    ("verifications", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
];

/// The statements that grant them to a user.
pub(super) fn grants(database: &str, user: &str, host: &str) -> Vec<String> {
    let database = database.replace('`', "``");
    let grant = |(table, privileges): &OnTable| {
        format!("GRANT {} ON `{database}`.`{table}` TO '{user}'@'{host}';", privileges.join(", "))
    };
    SERVING.iter().map(grant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_name_each_table_of_the_database() {
        let statements = grants("my`shop", "serve", "10.0.0.%");
        assert_eq!(statements.len(), SERVING.len());
        assert_eq!(statements[2], "GRANT SELECT, INSERT ON `my``shop`.`audit_log` TO 'serve'@'10.0.0.%';");
    }
}
