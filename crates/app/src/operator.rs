//! The operator at the command line: their name in the audit log, and commands that the write path runs for them.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use nix::unistd::{User, geteuid};

use jangteo_domain::audit::AuditedCaller;
use jangteo_domain::idempotency::{AnswerRenderer, RenderedAnswer};
use jangteo_domain::{Answer, BatchExecutor, Command, Currency, Outcome, Recording, Reply, Request, UserId};

use crate::error_chain::chain;
use crate::http;

/// The maximum length of a user id.
const ACTOR_LENGTH_MAX: usize = 64;

/// The actor `cli:NAME`, by the name of this process's user.
pub fn caller() -> AuditedCaller {
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    actor(&name).into()
}

/// Names of the operating system may have more characters than user ids, and be longer.
fn actor(name: &str) -> UserId {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:|@-".contains(c);
    let name = name.chars().map(|c| if allowed(c) { c } else { '_' });
    let actor: String = "cli:".chars().chain(name).take(ACTOR_LENGTH_MAX).collect();
    actor.parse().expect("characters of a user id, not too many")
}

/// Runs a command that is recorded in the audit log.
///
/// # Errors
/// Errors of the store, and rejections.
pub async fn execute(executor: &BatchExecutor, command: impl Into<Command>) -> anyhow::Result<Reply> {
    let renderer = Arc::new(ResponseBody(executor.rules.currency));
    let recording = Recording { idempotency: None, audited_as: Some(caller()), renderer };
    let request = Request { recording: Some(recording), ..Request::new(command) };
    match executor.execute(&[request]).await.pop() {
        Some(Ok(Answer::Decided { outcome, rendered: _ })) => Ok(outcome?),
        Some(Err(error)) => Err(anyhow!(chain(&error))),
        Some(Ok(Answer::Replayed(_) | Answer::KeyReused)) | None => bail!("the command has no answer"),
    }
}

/// Renders the body of the response that a client of the API gets.
pub struct ResponseBody(pub Currency);

impl AnswerRenderer for ResponseBody {
    fn render(&self, outcome: &Outcome) -> RenderedAnswer {
        let body = outcome.as_ref().map_or_else(|_| String::new(), |reply| http::success(reply, self.0).body);
        RenderedAnswer { head: String::new(), body }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("root", "cli:root")]
    #[case("SHOP\\kim park", "cli:SHOP_kim_park")]
    #[case("김", "cli:_")]
    #[case(&"a".repeat(100), &format!("cli:{}", "a".repeat(60)))]
    fn the_actor_is_a_user_id(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(actor(name).as_str(), expected);
    }
}
