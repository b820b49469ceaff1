//! What the callers know: every write with its key, each time that it was sent, and what was heard of it.
//!
//! A caller knows nothing but answers. So nothing in here is read from the shop: what the journal says at the end is what
//! the shop is held against.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jangteo_tests::{Answer, RawAnswer};
use reqwest::Method;
use serde_json::Value;

/// The header of an answer that was given before.
const REPLAYED: &str = "idempotent-replayed";
/// How long a write may take to be answered for good once all is well again.
const RESOLVE_MAX: Duration = Duration::from_secs(60);
/// Between two attempts, which is what the shop asks of callers in `Retry-After`, only less patient.
const PAUSE: Duration = Duration::from_millis(50);
/// How many writes are repeated at a time.
const AT_ONCE: usize = 24;

/// What a write does: the commands that callers have, as the domain calls them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    TopUpPoints,
    AdjustPoints,
    PlaceOrder,
    PayOrder,
    CancelOrder,
    RefundOrder,
    IssueCoupon,
    RevokeCoupon,
    AdjustStock,
    CreateProduct,
    ChangeProduct,
    CreateCampaign,
    ChangeCampaign,
    RedeliverEvent,
}

/// A write as it is sent, each time the same.
#[derive(Clone, Debug)]
pub struct Write {
    /// What it does.
    pub deed: Operation,
    /// Whose token it carries; `None` is the back office's.
    pub user_id: Option<String>,
    /// POST or PATCH.
    pub method: Method,
    /// Where it goes.
    pub path: String,
    /// What is sent.
    pub body: Value,
    /// What makes it the same write, however often it is sent.
    pub key: String,
}

/// What came of sending a write once.
#[derive(Clone, Debug)]
pub enum Observed {
    /// A success or a rejection: what became of it, for good.
    Expected { told: Expected, is_replayed: bool },
    /// An error that says that nothing happened.
    NothingHappened,
    /// The first one is still being carried out; this one did nothing.
    InProgress,
    /// No answer, or one that says that nobody knows.
    Nothing,
    /// A failure that no fault excuses.
    Failed(String),
}

/// An answer for good.
#[derive(Clone, PartialEq, Eq)]
pub struct Expected {
    /// The status code.
    pub status: u16,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Expected {
    /// Whether the write took effect.
    pub fn is_success(&self) -> bool {
        self.status < 300
    }

    /// Whether it comes again, byte for byte, when the write does.
    fn is_stored(&self) -> bool {
        self.is_success() || self.status == 409
    }

    /// The document.
    pub fn document(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Observed {
    /// What an answer says.
    pub fn of(answer: Answer) -> Self {
        let is_replayed = answer.header(REPLAYED).is_some();
        Self::of_parts(answer.status, is_replayed, answer.body)
    }

    /// What an answer says that came over a connection of the caller's own.
    pub fn of_raw(answer: RawAnswer) -> Self {
        answer.check_rules();
        let is_replayed = answer.header(REPLAYED).is_some();
        Self::of_parts(answer.status, is_replayed, answer.body)
    }

    fn of_parts(status: u16, is_replayed: bool, body: Vec<u8>) -> Self {
        let code = || serde_json::from_slice::<Value>(&body).ok().map(|problem| problem["code"].clone());
        let code = if status < 400 { None } else { code() };
        match (status, code.as_ref().and_then(Value::as_str)) {
            (409, Some("REQUEST_IN_PROGRESS")) => Self::InProgress,
            (503, Some("OUTCOME_UNKNOWN")) => Self::Nothing,
            (503, Some("DATABASE_UNAVAILABLE" | "OVERLOADED" | "SHUTTING_DOWN" | "NOT_READY")) => Self::NothingHappened,
            (200..300 | 404 | 409, _) => Self::Expected { told: Expected { status, body }, is_replayed },
            _ => Self::Failed(format!("{status}: {}", String::from_utf8_lossy(&body))),
        }
    }
}

/// A write and its story.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was sent.
    pub write: Write,
    /// What became of it, once somebody was told.
    pub told: Option<Expected>,
    /// Answers that were given for the first time.
    firsts: u32,
    /// Answers that were given again.
    replays: u32,
    /// Times that it was sent and nothing certain came back.
    silences: u32,
    /// Whether nobody knew what became of it when the fault was over.
    was_in_doubt: bool,
    /// What it was told otherwise than before.
    contradictions: Vec<String>,
}

impl Entry {
    fn hear(&mut self, heard: Observed) {
        match heard {
            Observed::Expected { told, is_replayed } => {
                *(if is_replayed { &mut self.replays } else { &mut self.firsts }) += 1;
                match &self.told {
                    Some(before) if *before != told => {
                        self.contradictions.push(format!("told {before:?} and then {told:?}"));
                    }
                    Some(_) => {}
                    None => self.told = Some(told),
                }
            }
            Observed::NothingHappened | Observed::InProgress => {}
            Observed::Nothing => self.silences += 1,
            Observed::Failed(what) => {
                self.silences += 1;
                self.contradictions.push(format!("failed: {what}"));
            }
        }
    }

    /// What was untrue about what was said of it.
    fn violations(&self) -> Vec<String> {
        let mut violations = self.contradictions.clone();
        let is_stored = self.told.as_ref().is_some_and(Expected::is_stored);
        if is_stored && self.firsts > 1 {
            violations.push(format!("decided {} times", self.firsts));
        }
        if self.replays > 0 && self.firsts == 0 && self.silences == 0 {
            violations.push("it was said that nothing had happened, and it had".to_owned());
        }
        if self.told.as_ref().is_some_and(|told| told.status == 404) {
            violations.push("what it names was acknowledged, and is not there".to_owned());
        }
        violations
    }
}

/// All writes of one round.
#[derive(Default)]
pub struct Journal(Mutex<Vec<Entry>>);

/// The figures of a journal.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Writes that were made.
    pub writes: u64,
    /// Writes of which nobody knew what had become of them when the fault was over …
    pub in_doubt: u64,
    /// … and of those, the ones that had taken effect or been rejected before they were repeated.
    pub had_happened: u64,
    /// What was said and was not so.
    pub violations: Vec<String>,
}

impl Journal {
    /// Notes a write that is about to be sent, and answers its place.
    pub fn open(&self, write: Write) -> usize {
        let mut entries = self.entries();
        let (told, contradictions) = (None, Vec::new());
        entries.push(Entry { write, told, firsts: 0, replays: 0, silences: 0, was_in_doubt: false, contradictions });
        entries.len() - 1
    }

    /// Notes what was heard of a write, and answers what is known of it now.
    pub fn hear(&self, place: usize, heard: Observed) -> Option<Expected> {
        let mut entries = self.entries();
        entries[place].hear(heard);
        entries[place].told.clone()
    }

    /// All that was written, with what became of it.
    pub fn read(&self) -> Vec<Entry> {
        self.entries().clone()
    }

    /// Repeats every write that nobody knows of with its key until it is answered for good, and then every write once
    /// more, which must be told the same.
    ///
    /// # Panics
    /// When a write is not answered for good although all is well.
    pub async fn record(&self, send: impl AsyncFn(Write) -> Observed) {
        let unknown: Vec<usize> = {
            let mut entries = self.entries();
            let unknown = entries.iter_mut().enumerate().filter(|(_, entry)| entry.told.is_none());
            unknown.map(|(place, entry)| (entry.was_in_doubt = true, place).1).collect()
        };
        let send = &send;
        iter(unknown).map(|place| self.ask(place, send)).buffer_unordered(AT_ONCE).collect::<()>().await;
        let is_stored = |entry: &Entry| entry.told.as_ref().is_some_and(Expected::is_stored);
        let kept: Vec<usize> =
            self.entries().iter().enumerate().filter(|(_, entry)| is_stored(entry)).map(|(place, _)| place).collect();
        iter(kept).map(|place| self.ask(place, send)).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Sends a write until it is answered for good.
    async fn ask(&self, place: usize, send: &impl AsyncFn(Write) -> Observed) {
        let write = self.entries()[place].write.clone();
        let asking = async {
            loop {
                let heard = send(write.clone()).await;
                let is_told = matches!(heard, Observed::Expected { .. });
                self.hear(place, heard);
                if is_told {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let asked = tokio::time::timeout(RESOLVE_MAX, asking).await;
        asked.unwrap_or_else(|_| panic!("not answered within {RESOLVE_MAX:?} though all is well: {write:?}"));
    }

    /// How many writes somebody was told of.
    pub fn told(&self) -> usize {
        self.entries().iter().filter(|entry| entry.told.is_some()).count()
    }

    /// What it all comes to.
    pub fn statistics(&self) -> Statistics {
        let mut figures = Statistics::default();
        for entry in &*self.entries() {
            figures.writes += 1;
            figures.in_doubt += u64::from(entry.was_in_doubt);
            figures.had_happened += u64::from(entry.was_in_doubt && entry.firsts == 0);
            let write = &entry.write;
            let named = |violation| format!("{:?} {} {}: {violation}", write.deed, write.path, write.key);
            figures.violations.extend(entry.violations().into_iter().map(named));
        }
        figures
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.0.lock().expect("no panic while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn journal() -> (Journal, usize) {
        let journal = Journal::default();
        let place = journal.open(Write {
            deed: Operation::TopUpPoints,
            user_id: Some("kim".to_owned()),
            method: Method::POST,
            path: "/v1/users/kim/points/top-ups".to_owned(),
            body: json!({ "amount": "1" }),
            key: "key".to_owned(),
        });
        (journal, place)
    }

    fn told(body: &str, is_replayed: bool) -> Observed {
        Observed::Expected { told: Expected { status: 201, body: body.into() }, is_replayed }
    }

    #[test]
    fn believes_one_story() {
        let (journal, place) = journal();
        for heard in [Observed::NothingHappened, told("a", false), Observed::InProgress, told("a", true)] {
            journal.hear(place, heard);
        }
        assert!(journal.statistics().violations.is_empty());
    }

    #[test]
    fn finds_a_second_effect() {
        let (journal, place) = journal();
        journal.hear(place, told("a", false));
        journal.hear(place, told("a", false));
        assert_eq!(journal.statistics().violations.len(), 1);
    }

    #[test]
    fn finds_another_story() {
        let (journal, place) = journal();
        journal.hear(place, told("a", false));
        journal.hear(place, told("b", true));
        assert_eq!(journal.statistics().violations.len(), 1);
    }

    #[test]
    fn finds_that_something_had_happened_where_nothing_was_said_to_have() {
        let (journal, place) = journal();
        journal.hear(place, Observed::NothingHappened);
        journal.hear(place, told("a", true));
        assert_eq!(journal.statistics().violations.len(), 1);
        journal.hear(place, Observed::Nothing);
        assert!(journal.statistics().violations.is_empty(), "the one without an answer may have been it");
    }

    #[tokio::test]
    async fn repeats_what_nobody_knows_and_counts_what_had_happened() {
        let (journal, place) = journal();
        journal.hear(place, Observed::Nothing);
        journal.record(async |_| told("a", true)).await;
        let figures = journal.statistics();
        assert_eq!((figures.writes, figures.in_doubt, figures.had_happened), (1, 1, 1));
        assert!(figures.violations.is_empty());
    }
}
