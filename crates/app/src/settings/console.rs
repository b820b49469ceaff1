//! The console, and how its users sign in.

use reqwest::Url;

use crate::settings::error::{SettingsError, invalid};
use crate::settings::table::Values;
use crate::settings::value::{Issuer, Switch};

/// The back office in the browser.
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    pub is_served: bool,
    /// `None` where users paste a token.
    pub oidc: Option<OidcSettings>,
}

/// The client of an OpenID provider.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    pub issuer: Url,
    pub client_id: String,
    /// Separated by spaces.
    pub scopes: String,
    /// The resource of the tokens (RFC 8707), where the provider asks for one.
    pub audience: Option<String>,
}

impl ConsoleSettings {
    pub(super) fn new(values: &Values) -> Result<Self, SettingsError> {
        let client = (values.console_oidc_issuer.as_ref(), values.console_oidc_client_id.as_ref());
        let oidc = match client {
            (Some(Issuer(issuer)), Some(client_id)) => Some(OidcSettings {
                issuer: issuer.clone(),
                client_id: client_id.clone(),
                scopes: values.console_oidc_scopes.clone(),
                audience: values.console_oidc_audience.clone(),
            }),
            (None, None) => None,
            (Some(_), None) => return Err(invalid("CONSOLE_OIDC_CLIENT_ID", "set beside CONSOLE_OIDC_ISSUER")),
            (None, Some(_)) => return Err(invalid("CONSOLE_OIDC_ISSUER", "set beside CONSOLE_OIDC_CLIENT_ID")),
        };
        Ok(Self { is_served: values.console == Switch::On, oidc })
    }
}
