//! The attacks of a security review, on a server of this machine: without a URL on one that this program starts itself.
//! Each attack states its expected answer. Afterwards an honest caller is still served, and of an own server the log has
//! no `ERROR` line, the sockets are closed and the books are correct.
//!
//! The suite in `tests/tests` tests features; this is the list of attacks in one place, for any build and any settings.

mod connections;
mod framing;
mod input;
mod report;
mod rights;
mod surface;
mod target;
mod tokens;
mod values;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use jangteo_testkit::{
    AUDIENCE, Backend, Database, ISSUER, SECRET, Shop, binary, eventually, raise_open_files_max, run_on,
};
use serde_json::json;

use crate::report::Report;
use crate::rights::Victim;
use crate::target::{Answer, Request, Target, loopback};

/// Beside the time of held connections, well above any normal duration.
const RUN_MAX: Duration = Duration::from_secs(1_800);
/// File descriptors of an own server.
const DESCRIPTORS: u64 = 300;

/// Attacks a server, and fails where an answer is not the expected one.
#[derive(Parser)]
#[command(name = "jangteo-attack", version)]
struct Arguments {
    /// A server on this machine, such as http://127.0.0.1:8080; by default a new one with a database of its own.
    #[arg(long, requires = "secret")]
    url: Option<String>,
    /// The server's `JWT_SECRET`, with which this program signs tokens.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// The server's `JWT_ISSUER`.
    #[arg(long, env = "JWT_ISSUER", default_value = "jangteo")]
    issuer: String,
    /// The server's `JWT_AUDIENCE`.
    #[arg(long, env = "JWT_AUDIENCE", default_value = "jangteo")]
    audience: String,
    /// Seconds for which connections are held open.
    #[arg(long, default_value_t = 200)]
    hold: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { url, secret, issuer, audience, hold } = Arguments::parse();
    raise_open_files_max();
    let hold = Duration::from_secs(hold);
    let report = match (url, secret) {
        (Some(url), Some(secret)) => {
            let target = Target { address: loopback(&url)?, secret, issuer, audience, own: None };
            attack(&target, hold).await?
        }
        _ => {
            binary(); // Built here if it is outdated.
            let database = Database::create(Backend::Sqlite).await?;
            run_on(database, RUN_MAX + hold * 3, async |shop| attack_own(&shop, hold).await).await?
        }
    };
    println!("{}\n\n{} attacks, {} failed", report.table(), report.count(), report.failures());
    Ok(if report.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Attacks a server with tight limits of its own.
async fn attack_own(shop: &Shop, hold: Duration) -> Result<Report> {
    let server = shop.server().settings([("REQUEST_HEAD_TIMEOUT", "1s"), ("REQUEST_TIMEOUT", "3s")]);
    let server = server.open_files_max(DESCRIPTORS).start().await;
    let target = |server: &jangteo_testkit::Server| -> Result<Target> {
        let address: SocketAddr = server.address().parse().context("an address and port")?;
        let [secret, issuer, audience] = [SECRET, ISSUER, AUDIENCE].map(str::to_owned);
        Ok(Target { address, secret, issuer, audience, own: Some(server.clone()) })
    };
    let mut report = attack(&target(&server)?, hold).await?;
    let limited = shop.server().setting("RATE_LIMIT_ANONYMOUS", "20/m").start().await;
    surface::spoof_addresses(&target(&limited)?, &mut report).await;
    Ok(report)
}

async fn attack(target: &Target, hold: Duration) -> Result<Report> {
    let victim = Victim::create(target).await?;
    let sockets_before = target.own.as_ref().map(|server| server.open_sockets());
    let mut report = Report::default();
    framing::attack(target, &mut report).await;
    surface::attack(target, &mut report).await;
    tokens::attack(target, &victim, &mut report).await;
    rights::attack(target, &victim, &mut report).await;
    values::attack(target, &victim, &mut report).await;
    input::attack(target, &victim, &mut report).await;
    connections::attack(target, &victim, hold, &mut report).await;
    victim.check(target, &mut report).await;
    report
        .send(
            target,
            "afterwards: an honest caller",
            "200",
            Request::get(victim.points()).bearer(&target.user(&victim.user)),
        )
        .await;
    if let (Some(server), Some(before)) = (&target.own, sockets_before) {
        eventually("the sockets of the attacks are closed", async || (server.open_sockets() <= before).then_some(()))
            .await;
        let log = server.log();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
        errors.iter().for_each(|line| eprintln!("{line}"));
        report.add("afterwards: ERROR lines in the log", "0", &Answer::Fact(errors.len().to_string()));
    }
    Ok(report)
}

/// A JSON body with one member.
fn member(name: &str, value: &str) -> String {
    format!("{{{}:{value}}}", json!(name))
}
