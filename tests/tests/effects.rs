//! Top-ups whose effects can be counted, and what callers were told of them, held against what is stored.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use futures_util::future::join_all;
use jangteo_tests::{Answer, Call, Column, Server, Shop, eventually};
use serde_json::json;

/// How many come at once.
const AT_ONCE: u32 = 24;
/// By then as many of them have met a fault as shall, or the fault never comes.
const TOP_UPS_MAX: u32 = 1_000;

/// Who tops up.
#[derive(Clone, Copy, Debug)]
pub enum Callers {
    /// Users who come one after the other.
    Alone,
    /// Users who come at once.
    AtOnce,
    /// One user, with many amounts at once.
    AtOnceForOne,
}

impl Callers {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alone, Self::AtOnce, Self::AtOnceForOne];
}

/// Top-ups of one kind.
pub struct Series<'a> {
    /// Where the entries are.
    pub shop: &'a Shop,
    /// Where the requests go.
    pub server: &'a Server,
    /// What this series is called; begins the names of its users.
    pub name: String,
    /// Who tops up.
    pub callers: Callers,
    /// Whether the requests have keys.
    pub is_keyed: bool,
}

/// A top-up of its own, known again by its user and its amount.
struct TopUp {
    user: String,
    amount: u32,
    key: Option<String>,
}

/// What requests were told, and what they did, in numbers of requests.
#[derive(Default, Debug)]
pub struct Tally {
    requests: usize,
    /// Each answer by its code, or its status where it went well.
    answers: BTreeMap<String, u32>,
    /// Told that nobody knows. Where the marker can be read nobody has to.
    pub unknown: u32,
    /// Told that it took effect, and it did not.
    lost: u32,
    /// Told that it did not take effect, and it did.
    denied: u32,
    /// Took effect more than once.
    doubled: u32,
    /// Users whose balance is not the sum of their entries.
    unbalanced: usize,
}

impl Tally {
    /// Whether nobody was told what is not so, and nothing happened twice.
    pub fn is_truthful(&self) -> bool {
        self.lost + self.denied + self.doubled == 0 && self.unbalanced == 0
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, answers, unknown, lost, denied, doubled, unbalanced } = self;
        write!(
            f,
            "{requests} requests: {lost} lost, {denied} denied, {doubled} doubled, {unknown} unknown, {unbalanced} \
             unbalanced; answered {answers:?}"
        )
    }
}

impl Series<'_> {
    /// Tops up as long as `goes_on` says so, once at least, and compares what was told with what is stored.
    pub async fn run(&self, goes_on: impl Fn() -> bool) -> Tally {
        let at_once = match self.callers {
            Callers::Alone => 1,
            Callers::AtOnce | Callers::AtOnceForOne => AT_ONCE,
        };
        let mut told = Vec::new();
        let mut first = 1;
        while first == 1 || goes_on() && first < TOP_UPS_MAX {
            let top_ups: Vec<TopUp> = (first..first + at_once).map(|number| self.top_up(number)).collect();
            let answers = join_all(top_ups.iter().map(|top_up| top_up.answers(self.server))).await;
            told.extend(top_ups.into_iter().zip(answers));
            first += at_once;
        }
        self.compare(&told).await
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

    /// Holds what was told against what is stored, which is read from the database itself.
    async fn compare(&self, told: &[(TopUp, Vec<Answer>)]) -> Tally {
        let mut connection = self.shop.database().connect().await;
        let table = |name: &str| format!("{name} WHERE user_id LIKE '{}%'", self.prefix());
        let columns = [Column::Plain("user_id"), Column::Money("amount")];
        let read = |row: &mut jangteo_tests::Row| (row.text(), row.number() / 10_000);
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
        let mut tally = Tally { requests: told.len(), ..Tally::default() };
        for (top_up, answers) in told {
            let effects = effects.get(&(top_up.user.clone(), top_up.amount.into())).copied().unwrap_or_default();
            tally.add(answers, effects);
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

    /// All answers: whoever has a key sends the request again until it is known what became of it.
    async fn answers(&self, server: &Server) -> Vec<Answer> {
        let mut answers = vec![self.call(server).await];
        let is_final = |answer: &Answer| answer.status < 500 && code(answer) != "REQUEST_IN_PROGRESS";
        if self.key.is_some() && !is_final(&answers[0]) {
            eventually("it is known what became of it", async || {
                answers.push(self.call(server).await);
                answers.last().is_some_and(is_final).then_some(())
            })
            .await;
        }
        answers
    }
}

impl Tally {
    /// Adds a request that was answered so, again and again where it has a key, and took effect so often.
    fn add(&mut self, answers: &[Answer], effects: u32) {
        for answer in answers {
            *self.answers.entry(code(answer)).or_default() += 1;
        }
        let (last, before) = answers.split_last().expect("an answer");
        let is_unknown = answers.iter().any(|answer| code(answer) == "OUTCOME_UNKNOWN");
        self.unknown += u32::from(is_unknown);
        if last.status == 201 {
            self.lost += u32::from(effects == 0);
            // What is replayed took effect when its caller was told that it did not.
            let is_replayed = last.header("idempotent-replayed").is_some();
            self.denied += u32::from(!before.is_empty() && is_replayed && !is_unknown);
        } else if !is_unknown {
            self.denied += u32::from(effects > 0);
        }
        self.doubled += u32::from(effects > 1);
    }
}

/// The code of a problem, or the status of an answer that is none.
fn code(answer: &Answer) -> String {
    if answer.status < 400 {
        return answer.status.to_string();
    }
    answer.document()["code"].as_str().expect("a code").to_owned()
}
