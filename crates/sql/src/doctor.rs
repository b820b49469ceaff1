//! Checks of a database for operators: its properties and settings, and the guarantees that Jangteo does not give on
//! it. Each dialect reads facts and evaluates them by pure functions. Nothing is written and no file is created.

use std::borrow::Cow;
use std::time::SystemTime;

use crate::error::OpenError;
use crate::settings::DatabaseSettings;
use crate::{Dialect, mysql, sqlite};

/// A property of the database, evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `host:port`, the path of a file, or `all hosts`.
    pub target: String,
    /// The server's variable, or a word for other properties.
    pub name: &'static str,
    /// Without passwords.
    pub value: String,
    /// With advice unless it is `Ok`.
    pub state: State,
}

/// The value to set, and the guarantee that is lost without it.
pub type Advice = Cow<'static, str>;

/// The evaluation of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// All guarantees hold.
    Ok,
    /// Jangteo runs, with a guarantee less.
    Warning(Advice),
    /// Jangteo does not run, or its books would not stay correct.
    Refused(Advice),
    /// The user lacks the privilege to read it.
    Unknown(Advice),
}

impl State {
    /// In lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning(_) => "warning",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }

    /// `None` if all guarantees hold.
    pub fn advice(&self) -> Option<&str> {
        match self {
            Self::Ok => None,
            Self::Warning(advice) | Self::Refused(advice) | Self::Unknown(advice) => Some(advice),
        }
    }
}

/// The checks of one target.
pub(crate) struct Checks {
    target: String,
    list: Vec<Check>,
}

impl Checks {
    pub(crate) fn of(target: impl Into<String>) -> Self {
        Self { target: target.into(), list: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<String>, state: State) {
        self.list.push(Check { target: self.target.clone(), name, value: value.into(), state });
    }

    /// Adds a check that is `Ok` if it holds.
    pub(crate) fn require(&mut self, name: &'static str, value: impl Into<String>, holds: bool, otherwise: State) {
        self.add(name, value, if holds { State::Ok } else { otherwise });
    }

    pub(crate) fn into_list(self) -> Vec<Check> {
        self.list
    }
}

pub(crate) fn warning(advice: impl Into<Advice>) -> State {
    State::Warning(advice.into())
}

pub(crate) fn refused(advice: impl Into<Advice>) -> State {
    State::Refused(advice.into())
}

impl DatabaseSettings {
    /// Checks the databases of both URLs. A host that does not respond is a check too. `now` is this machine's clock,
    /// compared with those of the hosts.
    ///
    /// # Errors
    /// The first invalid setting.
    pub async fn examine(&self, now: fn() -> SystemTime) -> Result<Vec<Check>, OpenError> {
        match self.dialect()? {
            Dialect::Mysql => mysql::doctor::examine(self, now).await,
            Dialect::Sqlite => sqlite::doctor::examine(self).await,
        }
    }
}
