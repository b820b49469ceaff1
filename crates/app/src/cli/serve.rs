use anyhow::bail;

use crate::auth::Authenticator;
use crate::cli::{init_logs, secret_for_tokens, told_to_end};
use crate::demo::{self, DemoDataPlatform};
use crate::settings::Settings;
use crate::startup::Server;

/// Serves the API.
pub async fn run(mut settings: Settings, dev: bool, check_config: bool) -> anyhow::Result<()> {
    if dev && settings.tokens.is_none() && !check_config {
        settings.tokens = Some(demo::token_settings(&settings)?);
    }
    let tokens = match &settings.tokens {
        Some(tokens) => tokens,
        None if dev => return Ok(()),
        None => bail!("JWT_SECRET: set it, JWT_PUBLIC_KEY_FILE or JWT_JWKS, or try the shop with `serve --dev`"),
    };
    let authenticator = Authenticator::new(tokens, &settings.token_parties).await?;
    if check_config {
        return Ok(());
    }
    init_logs(&settings)?;
    let stopped = told_to_end()?;
    let platform =
        if dev && settings.data_platform.url.is_none() { Some(demo::data_platform(&mut settings)?) } else { None };
    let server = Server::start(&settings, authenticator).await?;
    if dev {
        server.seed().await?;
    }
    println!("listening on http://{}", server.address());
    if dev {
        let events = platform.as_ref().map(DemoDataPlatform::address);
        let secret = secret_for_tokens(&settings).ok();
        print!("{}", demo::welcome(server.address(), secret.as_ref(), &settings.token_parties, events)?);
    }
    let served = server.run_until(stopped).await;
    if let Some(platform) = platform {
        platform.stop().await;
    }
    served
}
