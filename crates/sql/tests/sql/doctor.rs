//! Checks of the database's user, on a real server.

use std::time::SystemTime;

use jangteo_sql::DatabaseSettings;
use jangteo_sql::doctor::{Check, State};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::server::Schema;

/// A user of the server, removed at the end of the test.
struct User {
    name: String,
    administrator: Conn,
}

impl User {
    /// With the name of the schema, which is unique.
    async fn create(schema: &Schema, grants: &[&str]) -> Self {
        let mut administrator = schema.connect().await;
        let name: Option<String> = administrator.query_first("SELECT SHA2(DATABASE(), 256)").await.expect("a query");
        let name = format!("jangteo_{}", &name.expect("a schema")[..16]);
        administrator.query_drop(format!("CREATE USER {name} IDENTIFIED BY 'hush'")).await.expect("a user");
        for grant in grants {
            administrator.query_drop(format!("GRANT {grant} TO {name}")).await.expect("a grant");
        }
        Self { name, administrator }
    }

    async fn examine(&self, schema: &Schema) -> Vec<Check> {
        let url = schema.url();
        let host = url.split_once('@').expect("a login").1;
        let settings = DatabaseSettings::new(format!("mysql://{}:hush@{host}", self.name));
        settings.examine(SystemTime::now).await.expect("valid settings")
    }

    async fn remove(mut self) {
        self.administrator.query_drop(format!("DROP USER {}", self.name)).await.expect("a user");
    }
}

fn state<'a>(checks: &'a [Check], name: &str) -> &'a State {
    &checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no {name}: {checks:#?}")).state
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privileges_of_the_user_are_checked() {
    let schema = Schema::create().await;
    let user = User::create(&schema, &["SELECT, UPDATE ON *.*", "FILE ON *.*"]).await;
    let checks = user.examine(&schema).await;
    user.remove().await;
    let State::Refused(advice) = state(&checks, "privileges") else { panic!("{checks:#?}") };
    assert!(advice.starts_with("GRANT INSERT, DELETE ON "), "{advice}");
    assert!(matches!(state(&checks, "privileges to migrate"), State::Warning(_)), "{checks:#?}");
    assert!(matches!(state(&checks, "privileges on the whole server"), State::Warning(_)), "{checks:#?}");
    assert!(matches!(state(&checks, "topology"), State::Unknown(_)), "{checks:#?}");
    assert!(!format!("{checks:?}").contains("hush"), "{checks:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_a_check_without_the_password() {
    let schema = Schema::create().await;
    let user = User::create(&schema, &[]).await;
    let checks = user.examine(&schema).await;
    user.remove().await;
    let State::Refused(_) = state(&checks, "connection") else { panic!("{checks:#?}") };
    assert!(checks[0].value.contains("Access denied") && !format!("{checks:?}").contains("hush"), "{checks:#?}");
}
