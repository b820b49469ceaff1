//! The names of users in the log: their ids, or keyed hashes of them (`LOG_USER`).

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jangteo_domain::UserId;
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use crate::settings::{LogUser, Settings, SettingsError, TokenKey, TokenSettings};

/// Length of a hash in bytes: users do not collide by chance.
const LENGTH: usize = 16;

/// Names users in the log.
#[derive(Clone)]
pub enum UserLabels {
    Plain,
    /// A reader of the log cannot find out the user without the key, but sees which lines are of the same one.
    Hashed(Hmac<Sha256>),
}

impl UserLabels {
    /// Without a key of its own it is derived from `JWT_SECRET`, or from the key of `serve --dev`.
    ///
    /// # Errors
    /// No key.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        match (&settings.log_user, &settings.tokens) {
            (LogUser::Plain, _) => Ok(Self::Plain),
            (LogUser::Hash { key: Some(key) }, _) => Ok(Self::hashed(key.expose_secret().as_bytes())),
            (LogUser::Hash { key: None }, Some(TokenSettings { key: TokenKey::Secret(secret), .. })) => {
                let derived = keyed(secret.expose_secret().as_bytes()).chain_update("LOG_USER").finalize();
                Ok(Self::hashed(&derived.into_bytes()))
            }
            (LogUser::Hash { key: None }, _) => Err(LogUser::missing_key()),
        }
    }

    /// Hashes with this key.
    pub fn hashed(key: &[u8]) -> Self {
        Self::Hashed(keyed(key))
    }

    /// The label of a user.
    pub fn of<'a>(&self, user_id: &'a UserId) -> Cow<'a, str> {
        match self {
            Self::Plain => Cow::Borrowed(user_id.as_str()),
            Self::Hashed(key) => {
                let hash = key.clone().chain_update(user_id.as_str()).finalize().into_bytes();
                Cow::Owned(hex::encode(&hash[..LENGTH]))
            }
        }
    }

    /// The pattern of the route of a decoded path that has a user id, if users are hashed.
    pub fn pattern(&self, path: &str) -> Option<String> {
        let Self::Hashed(_) = self else { return None };
        let (before, rest) = path.split_once("/users/")?;
        let after = rest.find('/').map_or("", |end| &rest[end..]);
        Some(format!("{before}/users/{{user_id}}{after}"))
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use jangteo_domain::testing::fixtures::user;
    use rstest::rstest;

    use super::*;

    fn labels(variables: &[(&str, &str)]) -> UserLabels {
        let variables: HashMap<_, _> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        UserLabels::new(&Settings::from_sources(None, variables).expect("settings")).expect("a key")
    }

    const HASH: (&str, &str) = ("LOG_USER", "hash");
    const SECRET: (&str, &str) = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");

    #[test]
    fn a_hash_depends_on_the_user_and_the_key_only() {
        let (kim, lee) = (user("kim"), user("lee"));
        let labels_of = |variables: &[_]| [&kim, &lee, &kim].map(|user| labels(variables).of(user).into_owned());
        assert_eq!(labels_of(&[]), ["kim", "lee", "kim"]);
        let keys: [&[_]; 3] =
            [&[HASH, SECRET], &[HASH, ("LOG_USER_KEY", SECRET.1)], &[HASH, ("LOG_USER_KEY", "0123456789abcdeg")]];
        let hashes = keys.map(labels_of);
        for [kim, lee, again] in &hashes {
            assert!(kim.len() == 2 * LENGTH && kim != lee && kim == again, "{kim} {lee} {again}");
        }
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2], "{hashes:?}");
        assert_eq!(
            hashes[1],
            labels_of(&[HASH, ("LOG_USER_KEY", SECRET.1), ("JWT_SECRET", "another-0123456789abcdef-secret-.")])
        );
    }

    #[rstest]
    #[case("/v1/users/kim/points", Some("/v1/users/{user_id}/points"))]
    #[case("/v1/users/kim", Some("/v1/users/{user_id}"))]
    #[case("/v1/admin/users/kim%2Fb/points/adjustments", Some("/v1/admin/users/{user_id}/points/adjustments"))]
    #[case("/v1/orders/1", None)]
    fn a_path_has_a_pattern_in_place_of_a_hashed_user(#[case] path: &str, #[case] logged: Option<&str>) {
        assert_eq!(UserLabels::hashed(b"key").pattern(path).as_deref(), logged);
        assert_eq!(UserLabels::Plain.pattern(path), None);
    }
}
