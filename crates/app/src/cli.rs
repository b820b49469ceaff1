//! The command line of `jangteo`: arguments, exit codes, and the commands that need no file of their own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use jangteo_domain::UserId;

use crate::settings::Settings;
use crate::system::shutdown_signal;
use crate::telemetry::{Telemetry, init_logs};
use crate::{http, settings, startup};

mod doctor;
mod grants;
mod import;
mod mock_data_platform;
mod progress;
mod rebuild;
mod serve;
mod token;
mod verify;

use grants::DatabaseUser;
use mock_data_platform::MockDataPlatform;

/// The transaction core of a shop, over HTTP.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// TOML file of settings, by the variables' names in lower case; a variable beats the file
    #[arg(long, global = true, env = "JANGTEO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or SIGINT
    #[command(after_long_help = settings::help())]
    Serve {
        /// Create a development key and a demo shop, and print sample calls
        #[arg(long)]
        dev: bool,
        /// Check the settings and exit
        #[arg(long)]
        check_config: bool,
        /// Check the database too, as `jangteo doctor`
        #[arg(long, requires = "check_config")]
        connect: bool,
    },
    /// Apply the missing migrations to the database and print their names
    Migrate,
    /// Create the missing demo products and campaigns
    Seed,
    /// Import products from a file. Exit status 1 if a row is left out
    Import {
        #[command(subcommand)]
        what: Import,
    },
    /// Print a token signed with `JWT_SECRET`, or with the key of `serve --dev`; or revoke tokens
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Token {
        #[command(subcommand)]
        command: Option<TokenCommand>,
        /// Subject of the token
        #[arg(long, value_name = "USER", required = true)]
        user: Option<UserId>,
        /// Scope of the token: `admin` for the back office
        #[arg(long, default_value = "")]
        scope: String,
        /// Validity of the token
        #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// Deliver events to the data platform, without serving the API, until SIGTERM or SIGINT
    Relay,
    /// Run a mock data platform: receive events, list them at GET /events, inject faults
    MockDataPlatform(MockDataPlatform),
    /// Verify the books: recompute all denormalized data. Exit status 0 if the books agree, 1 if they disagree, 2 on an
    /// error
    Verify {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Check the database: version, topology, settings, privileges, clocks. Prints for each the value to set and the
    /// guarantee that is lost without it. Changes nothing. Exit status 1 if a check is refused or the database cannot
    /// be reached
    Doctor {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print the GRANT statements for a database user that serves without migrating: no DDL, and no UPDATE or DELETE on what
    /// is only appended
    Grants {
        /// Name of the user, or NAME@HOST
        user: DatabaseUser,
    },
    /// Rebuild a denormalized table while the shop is online
    Rebuild {
        #[command(subcommand)]
        table: RebuildTable,
    },
    /// Print the OpenAPI document
    Openapi,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Revoke a token, or all tokens of a user issued before a time
    Revoke(token::Revoke),
}

#[derive(Subcommand)]
enum Import {
    /// Products from a CSV file of Shopify, WooCommerce, Magento, our own export or a spreadsheet, by SKU. A second run
    /// changes nothing: the stock is set for new products only
    Products(import::Products),
}

#[derive(Subcommand)]
enum RebuildTable {
    /// Daily sales, from orders and refunds; prints the number of changed rows
    DailySales,
    /// Search index, from names and descriptions; prints the number of products
    SearchIndex,
    /// Statistics of the back office, from payments and refunds; prints the number of changed rows
    Statistics,
}

impl Command {
    /// The exit code of an error.
    fn exit_code_of_failure(&self) -> ExitCode {
        match self {
            // 1 means that the books disagree.
            Self::Verify { .. } => ExitCode::from(2),
            Self::Serve { .. }
            | Self::Migrate
            | Self::Seed
            | Self::Import { .. }
            | Self::Token { .. }
            | Self::Relay
            | Self::MockDataPlatform(_)
            | Self::Doctor { .. }
            | Self::Grants { .. }
            | Self::Rebuild { .. }
            | Self::Openapi => ExitCode::FAILURE,
        }
    }
}

/// Runs the command of the arguments. An error is one line on standard error.
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
        Command::Serve { dev, check_config, connect } => {
            return serve::run(settings, dev, check_config, connect).await;
        }
        Command::Doctor { json } => {
            init_logs(&settings)?;
            return doctor::run(&settings, json).await;
        }
        Command::Grants { user } => grants::print(&settings, &user)?,
        Command::Verify { json } => {
            init_logs(&settings)?;
            return verify::run(&settings, json).await;
        }
        Command::Rebuild { table: RebuildTable::DailySales } => {
            init_logs(&settings)?;
            return rebuild::daily_sales(&settings).await;
        }
        Command::Rebuild { table: RebuildTable::SearchIndex } => {
            init_logs(&settings)?;
            return rebuild::search_index(&settings).await;
        }
        Command::Rebuild { table: RebuildTable::Statistics } => {
            init_logs(&settings)?;
            return rebuild::statistics(&settings).await;
        }
        Command::Migrate => {
            init_logs(&settings)?;
            for name in startup::migrate(&settings).await? {
                println!("{name}");
            }
        }
        Command::Seed => {
            init_logs(&settings)?;
            let created = startup::seed(&settings).await?;
            println!("{created} created");
        }
        Command::Import { what: Import::Products(products) } => {
            init_logs(&settings)?;
            return products.run(&settings).await;
        }
        Command::Token { command: Some(TokenCommand::Revoke(arguments)), .. } => {
            init_logs(&settings)?;
            token::revoke(&settings, arguments).await?;
        }
        Command::Token { command: None, user, scope, ttl } => {
            let user = user.context("--user: required")?;
            println!("{}", token::signed(&settings, &user, &scope, ttl).await?);
        }
        Command::Relay => {
            let telemetry = Telemetry::start(&settings)?;
            let relayed = startup::relay(&settings, shutdown_signal()?).await;
            telemetry.shut_down().await;
            relayed?;
        }
        Command::MockDataPlatform(arguments) => {
            init_logs(&settings)?;
            arguments.run(settings.data_platform.secret, shutdown_signal()?).await?;
        }
        Command::Openapi => {}
    }
    Ok(ExitCode::SUCCESS)
}
