//! Users in the log.

use secrecy::SecretString;

use crate::settings::error::{SettingsError, invalid};
use crate::settings::table::Values;
use crate::settings::value::LogUserForm;

/// How the log names users.
#[derive(Debug)]
pub enum LogUser {
    Plain,
    /// By a keyed hash; without a key by one that is derived from the secret of tokens.
    Hash {
        key: Option<SecretString>,
    },
}

impl LogUser {
    pub(super) fn new(values: &Values) -> Result<Self, SettingsError> {
        let key = values.log_user_key.as_ref().map(|key| key.0.clone());
        match values.log_user {
            LogUserForm::Plain => Ok(Self::Plain),
            LogUserForm::Hash if key.is_none() && values.jwt_algorithm.is_some() && values.jwt_secret.is_none() => {
                Err(Self::missing_key())
            }
            LogUserForm::Hash => Ok(Self::Hash { key }),
        }
    }

    /// Public keys are no secret to derive a key from.
    pub fn missing_key() -> SettingsError {
        invalid("LOG_USER_KEY", "needed by LOG_USER=hash without JWT_SECRET")
    }
}
