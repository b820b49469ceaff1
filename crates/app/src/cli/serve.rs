use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;

use crate::auth::Authenticator;
use crate::cli::{doctor, token};
use crate::demo::{self, DemoDataPlatform, DemoSignIn};
use crate::settings::{Settings, TopUpBy};
use crate::startup::{self, Server, check_database};
use crate::system::shutdown_signal;
use crate::telemetry::Telemetry;

/// Serves the API until the shutdown signal. With `check_config` it only checks the settings, with `connect` also the
/// database.
pub async fn run(mut settings: Settings, dev: bool, check_config: bool, connect: bool) -> anyhow::Result<ExitCode> {
    if dev {
        settings.check_demo()?;
    }
    check_database(&settings)?;
    if dev && !check_config {
        settings.tokens = Some(demo::token_settings(&settings)?);
        settings.shop.is_demo = true;
    }
    let authenticator = match &settings.tokens {
        Some(tokens) => Some(Authenticator::new(tokens, &settings.token_parties, settings.token_limits).await?),
        None if dev => None,
        None => bail!("JWT_SECRET: set it, JWT_PUBLIC_KEY_FILE or JWT_JWKS, or use `serve --dev` for a demo shop"),
    };
    let Some(authenticator) = authenticator.filter(|_| !check_config) else {
        return if connect { doctor::run(&settings, false).await } else { Ok(ExitCode::SUCCESS) };
    };
    let telemetry = Telemetry::start(&settings)?;
    let served = serve(settings, authenticator, dev).await;
    telemetry.shut_down().await;
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(mut settings: Settings, authenticator: Authenticator, dev: bool) -> anyhow::Result<()> {
    let stopped = shutdown_signal()?;
    if !dev && settings.top_up_by == TopUpBy::Owner {
        tracing::warn!(
            "TOP_UP_BY=owner: every user can add points to their own balance without paying; set TOP_UP_BY=scope where \
             points are worth money"
        );
    }
    if dev {
        startup::check_demo_database(&settings).await?;
    }
    let has_platform = settings.data_platform.destination.is_some();
    let platform = if dev && !has_platform { Some(demo::data_platform(&mut settings)?) } else { None };
    let sign_in = if dev { Some(Arc::new(demo_sign_in(&settings)?)) } else { None };
    let server = Server::start(&settings, authenticator, sign_in.clone()).await?;
    if dev {
        server.seed().await?;
    }
    println!("listening on http://{}", server.address());
    if let Some(sign_in) = sign_in {
        let events = platform.as_ref().map(DemoDataPlatform::address);
        print!("{}", demo::welcome(server.address(), &sign_in, events)?);
    }
    let served = server.run_until(stopped).await;
    if let Some(platform) = platform {
        platform.stop().await;
    }
    served
}

fn demo_sign_in(settings: &Settings) -> anyhow::Result<DemoSignIn> {
    let ttl = settings.token_limits.lifetime_max.min(demo::TOKEN_TTL);
    Ok(DemoSignIn::new(token::secret(settings)?, settings.token_parties.clone(), ttl))
}
