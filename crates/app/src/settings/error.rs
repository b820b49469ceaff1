use std::borrow::Cow;

use thiserror::Error;

/// An invalid setting, or settings that contradict each other.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file is unreadable, is no TOML, or has an unknown key.
    #[error("the configuration file: {0}")]
    File(String),
    /// A value is invalid by itself, or beside another setting.
    #[error("{name}: {reason}")]
    Invalid {
        /// The environment variable, in upper case.
        name: String,
        /// The accepted values, without the rejected one: it may be secret.
        reason: Cow<'static, str>,
    },
    /// The limits of the shop contradict each other.
    #[error("the limits of the shop: {0}")]
    Limits(String),
}

pub fn invalid(name: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> SettingsError {
    SettingsError::Invalid { name: name.into(), reason: reason.into() }
}
