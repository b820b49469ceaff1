//! The commands.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};

use jangteo_domain::UserId;

use crate::settings::{Settings, TokenKey, TokenSettings};
use crate::{auth, demo, http, startup, telemetry};

mod mock_data_platform;
mod progress;
mod rebuild;
mod serve;
mod verify;

use mock_data_platform::MockDataPlatform;

/// The transaction core of a shop, over HTTP.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// A TOML file with settings, by the names of the variables in lower case; variables beat it.
    #[arg(long, global = true, env = "JANGTEO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or SIGINT
    Serve {
        /// Make a development key and a demo shop, and print calls to try
        #[arg(long)]
        dev: bool,
        /// Check the settings and leave
        #[arg(long)]
        check_config: bool,
    },
    /// Bring the database's tables up to date
    Migrate,
    /// Make the demo products and campaigns that are not there yet
    Seed,
    /// Print a token for the configured secret, or for the key of `serve --dev`
    Token {
        /// The user that it speaks for
        #[arg(long, value_name = "USER")]
        user: UserId,
        /// What it allows: `admin` for the back office
        #[arg(long, default_value = "")]
        scope: String,
        /// How long it is valid
        #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// Deliver events to the data platform, without serving the API, until SIGTERM or SIGINT
    Relay,
    /// Be a data platform: receive events, tell them at GET /events, and fail when told to
    MockDataPlatform(MockDataPlatform),
    /// Prove the books: count everything anew that is kept twice. Exits with 0 when all of it agrees, 1 when something
    /// does not, 2 when it could not be found out
    Verify {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make anew what can be made from other tables, while the shop is open
    Rebuild {
        #[command(subcommand)]
        table: RebuildTable,
    },
    /// Print the OpenAPI document
    Openapi,
}

#[derive(Subcommand)]
enum RebuildTable {
    /// The daily sales, from the orders and their refunds; prints how many rows changed
    DailySales,
}

impl Command {
    /// What it exits with when it cannot be carried out.
    fn exit_code_of_failure(&self) -> ExitCode {
        match self {
            // 1 is said of books that disagree.
            Self::Verify { .. } => ExitCode::from(2),
            Self::Serve { .. }
            | Self::Migrate
            | Self::Seed
            | Self::Token { .. }
            | Self::Relay
            | Self::MockDataPlatform(_)
            | Self::Rebuild { .. }
            | Self::Openapi => ExitCode::FAILURE,
        }
    }
}

/// Runs the command that the arguments name. Errors are one line on standard error.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    let failure = cli.command.exit_code_of_failure();
    match execute(cli).await {
        Ok(code) => code,
        Err(error) => {
            let line = format!("{error:#}").replace(['\n', '\r'], " ");
            eprintln!("jangteo: {line}");
            failure
        }
    }
}

async fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Command::Openapi = cli.command {
        println!("{}", http::openapi().to_pretty_json()?);
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::load(cli.config.as_deref())?;
    match cli.command {
        Command::Serve { dev, check_config } => serve::run(settings, dev, check_config).await?,
        Command::Verify { json } => {
            init_logs(&settings)?;
            return verify::run(&settings, json).await;
        }
        Command::Rebuild { table: RebuildTable::DailySales } => {
            init_logs(&settings)?;
            return rebuild::daily_sales(&settings).await;
        }
        Command::Migrate => {
            init_logs(&settings)?;
            for name in startup::migrate(&settings).await? {
                println!("{name}");
            }
        }
        Command::Seed => {
            init_logs(&settings)?;
            let made = startup::seed(&settings).await?;
            println!("{made} made");
        }
        Command::Token { user, scope, ttl } => {
            println!("{}", auth::sign(&secret_for_tokens(&settings)?, &settings.token_parties, &user, &scope, ttl)?);
        }
        Command::Relay => {
            init_logs(&settings)?;
            startup::relay(&settings, told_to_end()?).await?;
        }
        Command::MockDataPlatform(arguments) => {
            init_logs(&settings)?;
            arguments.run(settings.data_platform.secret, told_to_end()?).await?;
        }
        Command::Openapi => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn init_logs(settings: &Settings) -> anyhow::Result<()> {
    telemetry::init_logs(settings.log_format, &settings.log_filter).map_err(anyhow::Error::msg)
}

/// The secret that tokens are signed with.
fn secret_for_tokens(settings: &Settings) -> anyhow::Result<SecretString> {
    match &settings.tokens {
        Some(TokenSettings { key: TokenKey::Secret(secret), .. }) => Ok(secret.clone()),
        Some(_) => bail!("JWT_ALGORITHM: tokens can only be made with HS256; ask your identity provider for one"),
        None => demo::key(settings)?.context("JWT_SECRET: not set, and there is no key of `serve --dev` here"),
    }
}

/// Ends when somebody tells the process to.
fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = interrupt.recv() => tracing::info!("SIGINT: shutting down"),
        }
    })
}
