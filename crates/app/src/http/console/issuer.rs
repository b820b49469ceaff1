//! The origins that a browser connects to when it signs in at an OpenID provider.

use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::time::sleep;

use crate::system::install_crypto;

/// Timeout of a request to the provider.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two requests, while the first ones fail.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// The addresses of the discovery document (OpenID Connect Discovery, 3) that a page calls; it only visits the others.
#[derive(Deserialize)]
struct Discovery {
    token_endpoint: String,
}

/// The origins of the issuer and of its token endpoint. Asks the issuer until it responds.
pub async fn origins(issuer: &Url) -> Vec<String> {
    loop {
        match discover(issuer).await {
            Ok(token_endpoint) => {
                let mut origins = vec![origin(issuer), origin(&token_endpoint)];
                origins.dedup();
                return origins;
            }
            Err(error) => {
                tracing::warn!(%error, "CONSOLE_OIDC_ISSUER: the discovery document cannot be read yet");
            }
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Scheme, host and port, as in a content security policy.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

async fn discover(issuer: &Url) -> Result<Url, String> {
    install_crypto();
    let client = Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy();
    let address = format!("{}/.well-known/openid-configuration", issuer.as_str().trim_end_matches('/'));
    let fetch = async || client.build()?.get(address).send().await?.error_for_status()?.json::<Discovery>().await;
    let Discovery { token_endpoint } = fetch().await.map_err(|error| error.without_url().to_string())?;
    token_endpoint.parse().map_err(|_| "no valid token_endpoint".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    #[tokio::test]
    async fn the_issuer_is_asked_until_it_names_its_token_endpoint() {
        let provider = MockServer::start().await;
        let at = || Mock::given(path("/tenant/.well-known/openid-configuration"));
        let down = ResponseTemplate::new(503);
        at().respond_with(down).up_to_n_times(1).mount(&provider).await;
        let document = json!({"issuer": "x", "token_endpoint": "https://tokens.example:8443/oauth/token"});
        at().respond_with(ResponseTemplate::new(200).set_body_json(document)).mount(&provider).await;
        let issuer: Url = format!("{}/tenant", provider.uri()).parse().expect("a URL");
        assert!(discover(&issuer).await.is_err());
        assert_eq!(origins(&issuer).await, [provider.uri(), "https://tokens.example:8443".to_owned()]);
    }
}
