//! Top-ups with countable effects: compares the responses with the stored entries.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use futures_util::future::join_all;
use jangteo_testkit::{Call, Column, Response, Server, Shop, eventually};
use serde_json::json;

/// Concurrent top-ups.
const AT_ONCE: u32 = 24;
/// Maximum number of top-ups of a series, reached only if the fault never occurs.
const TOP_UPS_MAX: u32 = 1_000;

/// Concurrency of the top-ups.
#[derive(Clone, Copy, Debug)]
pub enum Callers {
    /// Several users, one after another.
    Alone,
    /// Several users concurrently.
    AtOnce,
    /// One user, with different amounts concurrently.
    AtOnceForOne,
}

impl Callers {
    pub const ALL: [Self; 3] = [Self::Alone, Self::AtOnce, Self::AtOnceForOne];
}

/// Top-ups of one kind.
pub struct Series<'a> {
    /// Contains the entries.
    pub shop: &'a Shop,
    pub server: &'a Server,
    /// Name of the series and prefix of its users.
    pub name: String,
    pub callers: Callers,
    /// Whether the requests have idempotency keys.
    pub is_keyed: bool,
}

/// A top-up, identified by its user and amount.
struct TopUp {
    user: String,
    amount: u32,
    key: Option<String>,
}

/// Numbers of requests by response and effect.
#[derive(Default, Debug)]
pub struct Tally {
    requests: usize,
    /// Responses by code, or by status on success.
    responses: BTreeMap<String, u32>,
    /// Unknown outcome, only possible if the marker is not readable.
    pub unknown: u32,
    /// Success without an effect.
    lost: u32,
    /// Error despite an effect.
    denied: u32,
    /// More than one effect.
    doubled: u32,
    /// Users with a balance other than the sum of their entries.
    unbalanced: usize,
}

impl Tally {
    /// Whether all responses match the effects, and no effect is duplicated.
    pub fn is_consistent(&self) -> bool {
        self.lost + self.denied + self.doubled == 0 && self.unbalanced == 0
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, responses, unknown, lost, denied, doubled, unbalanced } = self;
        write!(
            f,
            "{requests} requests: {lost} lost, {denied} denied, {doubled} doubled, {unknown} unknown, {unbalanced} \
             unbalanced; received {responses:?}"
        )
    }
}

impl Series<'_> {
    /// Sends top-ups at least once and while `continues` returns true, and compares responses and effects.
    pub async fn run(&self, continues: impl Fn() -> bool) -> Tally {
        let at_once = match self.callers {
            Callers::Alone => 1,
            Callers::AtOnce | Callers::AtOnceForOne => AT_ONCE,
        };
        let mut observed = Vec::new();
        let mut first = 1;
        while first == 1 || continues() && first < TOP_UPS_MAX {
            let top_ups: Vec<TopUp> = (first..first + at_once).map(|number| self.top_up(number)).collect();
            let responses = join_all(top_ups.iter().map(|top_up| top_up.responses(self.server))).await;
            observed.extend(top_ups.into_iter().zip(responses));
            first += at_once;
        }
        self.compare(&observed).await
    }

    fn top_up(&self, number: u32) -> TopUp {
        let prefix = self.prefix();
        let user = match self.callers {
            Callers::Alone | Callers::AtOnce => format!("{prefix}-{number}"),
            Callers::AtOnceForOne => prefix.clone(),
        };
        TopUp { user, amount: number, key: self.is_keyed.then(|| format!("{prefix}-{number}")) }
    }

    fn prefix(&self) -> String {
        format!("{}-{:?}-{}", self.name, self.callers, self.is_keyed)
    }

    /// Compares the responses with the database.
    async fn compare(&self, observed: &[(TopUp, Vec<Response>)]) -> Tally {
        let mut connection = self.shop.database().connect().await;
        let table = |name: &str| format!("{name} WHERE user_id LIKE '{}%'", self.prefix());
        let columns = [Column::Plain("user_id"), Column::Money("amount")];
        let read = |row: &mut jangteo_testkit::Row| (row.text(), row.number() / 10_000);
        let entries = connection.rows(&table("point_entries"), &columns, read).await;
        let columns = [Column::Plain("user_id"), Column::Money("balance")];
        let balances = connection.rows(&table("point_accounts"), &columns, read).await;
        connection.close().await;

        let mut effects: BTreeMap<(String, i64), u32> = BTreeMap::new();
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for (user, amount) in entries {
            *sums.entry(user.clone()).or_default() += amount;
            *effects.entry((user, amount)).or_default() += 1;
        }
        let mut tally = Tally { requests: observed.len(), ..Tally::default() };
        for (top_up, responses) in observed {
            let effects = effects.get(&(top_up.user.clone(), top_up.amount.into())).copied().unwrap_or_default();
            tally.add(responses, effects);
        }
        let is_unbalanced = |(user, balance): &&(String, i64)| sums.get(user).copied().unwrap_or_default() != *balance;
        tally.unbalanced = balances.iter().filter(is_unbalanced).count();
        tally
    }
}

impl TopUp {
    fn call(&self, server: &Server) -> Call {
        let path = format!("/v1/users/{}/points/top-ups", self.user);
        let call = server.user(&self.user).post(path, json!({ "amount": self.amount.to_string() }));
        match &self.key {
            Some(key) => call.key(key),
            None => call,
        }
    }

    /// All responses. A request with a key is repeated until its outcome is known.
    async fn responses(&self, server: &Server) -> Vec<Response> {
        let mut responses = vec![self.call(server).await];
        let is_final = |response: &Response| response.status < 500 && code(response) != "REQUEST_IN_PROGRESS";
        if self.key.is_some() && !is_final(&responses[0]) {
            eventually("the outcome is known", async || {
                responses.push(self.call(server).await);
                responses.last().is_some_and(is_final).then_some(())
            })
            .await;
        }
        responses
    }
}

impl Tally {
    /// Adds a request with its responses and the number of its effects.
    fn add(&mut self, responses: &[Response], effects: u32) {
        for response in responses {
            *self.responses.entry(code(response)).or_default() += 1;
        }
        let (last, before) = responses.split_last().expect("a response");
        let is_unknown = responses.iter().any(|response| code(response) == "OUTCOME_UNKNOWN");
        self.unknown += u32::from(is_unknown);
        if last.status == 201 {
            self.lost += u32::from(effects == 0);
            // A replay proves an effect that an earlier error response denied.
            let is_replayed = last.header("idempotent-replayed").is_some();
            self.denied += u32::from(!before.is_empty() && is_replayed && !is_unknown);
        } else if !is_unknown {
            self.denied += u32::from(effects > 0);
        }
        self.doubled += u32::from(effects > 1);
    }
}

/// The code of a problem, or otherwise the status.
fn code(response: &Response) -> String {
    if response.status < 400 {
        return response.status.to_string();
    }
    response.document()["code"].as_str().expect("a code").to_owned()
}
