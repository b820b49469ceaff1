//! `jangteo grants`: the privileges of the database user that serves.

use std::str::FromStr;

use anyhow::Context as _;

use crate::settings::Settings;
use crate::startup;

/// A user of the database, as `NAME` or `NAME@HOST`; on any host by default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseUser {
    name: String,
    host: String,
}

impl FromStr for DatabaseUser {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, host) = text.rsplit_once('@').unwrap_or((text, "%"));
        let is_plain = |c: char| !c.is_control() && !['\'', '"', '`', '\\'].contains(&c);
        match [name, host].iter().all(|part| !part.is_empty() && part.chars().all(is_plain)) {
            true => Ok(Self { name: name.to_owned(), host: host.to_owned() }),
            false => Err("a user is NAME or NAME@HOST, without quotes"),
        }
    }
}

/// Prints a statement for each table.
pub fn print(settings: &Settings, user: &DatabaseUser) -> anyhow::Result<()> {
    let statements = startup::database_settings(settings).grants(&user.name, &user.host).context("DATABASE_URL")?;
    println!("-- For a server with AUTO_MIGRATE=false. Execute them again after each `jangteo migrate`.");
    statements.iter().for_each(|statement| println!("{statement}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("serve", Some(("serve", "%")))]
    #[case("serve@10.0.0.%", Some(("serve", "10.0.0.%")))]
    #[case("a@b@localhost", Some(("a@b", "localhost")))]
    #[case("", None)]
    #[case("serve@", None)]
    #[case("@localhost", None)]
    #[case("a'b", None)]
    #[case("a\\b", None)]
    #[case("a\nb", None)]
    fn a_user_has_a_name_and_a_host(#[case] text: &str, #[case] expected: Option<(&str, &str)>) {
        let read = text.parse::<DatabaseUser>().ok();
        assert_eq!(read.as_ref().map(|user| (user.name.as_str(), user.host.as_str())), expected);
    }
}
