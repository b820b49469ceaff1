//! MySQL packets are plain text; their content and size must not matter.

use std::time::{Duration, SystemTime};

use jangteo_domain::audit::{AuditEntry, AuditFilter};
use jangteo_domain::delivery::{AttemptOutcome, DeliveryOutcome, FailureReason};
use jangteo_domain::id::BatchId;
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RenderedAnswer, RequestKey, StoredAnswer};
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::page::Page;
use jangteo_domain::testing::fixtures::{NOON, user};
use jangteo_domain::testing::{SequentialIds, batch_id};
use jangteo_domain::transaction::{Appended, Changes, FirstKeys};
use jangteo_domain::{StoreError, Timestamp};

use crate::server::TestDatabase;

/// The number of texts …
const TEXTS: u32 = 3_000;
/// … and of texts in one transaction.
const AT_ONCE: usize = 750;

/// Fragments that could end a literal or begin an escape, a comment or a statement, also in another character set, and
/// letters.
const FRAGMENTS: [&str; 44] = [
    "'", "''", "\"", "`", "\\", "\\\\", "\\'", "'\\", "\\0", "\0", "\n", "\r", "\t", "\u{8}", "\u{1a}", "\\Z", "%",
    "_", "\\%", ";", "--", "-- ", "#", "/*", "*/", "/*!", "x'", "?", ":a", "@@", "');", "COMMIT;", " ", "a", "Z9",
    "가", "장터 ", "🎈", "é", "¿'", "縗", "表\\", "’", "＇",
];

/// Pseudorandom numbers (SplitMix64).
struct Random(u64);

impl Random {
    /// Takes the seed from `TEST_SEED`, or else from the clock, and prints it.
    fn seeded() -> Self {
        let clock = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs();
        let seed = std::env::var("TEST_SEED").map_or(clock, |seed| seed.parse().expect("TEST_SEED is a number"));
        println!("TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Appends a fragment or any other character.
    fn push_to(&mut self, text: &mut String) {
        let fragment = usize::try_from(self.below(FRAGMENTS.len() as u64)).expect("a small number");
        match self.below(4) {
            0 => text.extend((0..).find_map(|_| char::from_u32(u32::try_from(self.below(0x11_0000)).ok()?))),
            _ => text.push_str(FRAGMENTS[fragment]),
        }
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        (0..self.below(24)).for_each(|_| self.push_to(&mut text));
        text
    }
}

fn answer(number: u32, head: &str, body: &str) -> StoredAnswer {
    let key = RequestKey(u128::from(number).to_be_bytes());
    let answer = RenderedAnswer { head: head.to_owned(), body: body.to_owned() };
    StoredAnswer { request: IdempotencyKey { key, fingerprint: Fingerprint([0; 16]) }, answer, at: NOON }
}

fn line(number: u32, body: &str) -> AuditEntry {
    AuditEntry {
        id: SequentialIds::id(number.into()).into(),
        at: NOON,
        actor: user("admin"),
        action: "adjust_points".to_owned(),
        subject_kind: "user".to_owned(),
        subject_id: "kim".to_owned(),
        reason: None,
        body: body.to_owned(),
        request_id: None,
        address: None,
        link: None,
    }
}

/// A due event of an order of its own.
fn event(number: u32, body: &str) -> OutboxEvent {
    OutboxEvent {
        id: SequentialIds::id(number.into()).into(),
        order_id: SequentialIds::id(number.into()).into(),
        sequence: 1,
        at: Timestamp::from_unix_microseconds(0).expect("in range"),
        event_type: "jangteo.order.paid.v1".to_owned(),
        body: body.to_owned(),
    }
}

/// A prefix that fits the head of an answer.
fn shortened(text: &str) -> String {
    text.chars().take(RenderedAnswer::HEAD_LENGTH_MAX / 4).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_read_back_unchanged() -> Result<(), StoreError> {
    let mut random = Random::seeded();
    let texts: Vec<(u32, String)> = (1..=TEXTS).map(|number| (number, random.text())).collect();
    let database = TestDatabase::mysql().await;
    for texts in texts.chunks(AT_ONCE) {
        let answered = texts.iter().map(|(number, text)| answer(*number, &shortened(text), text));
        let appended = Appended {
            answers: answered.collect(),
            audit: texts.iter().map(|(number, text)| line(*number, text)).collect(),
            outbox: texts.iter().map(|(number, text)| event(*number, text)).collect(),
            ..Appended::default()
        };
        database.commit(Changes { appended, ..Changes::default() }).await?;
    }

    let expected: Vec<StoredAnswer> =
        texts.iter().map(|(number, text)| answer(*number, &shortened(text), text)).collect();
    let answers = expected.iter().map(|answer| answer.request.key).collect();
    let keys = FirstKeys { answers, ..FirstKeys::default() };
    let (unit, first) = database.database.unit_of_work_factory().begin(batch_id(), &keys).await?;
    drop(unit);
    assert_same(first.answers.into_values().flatten(), expected);

    let page = Page { after: None, limit: TEXTS };
    let mut lines = database.database.queries().audit.list(&AuditFilter::default(), &page).await?;
    lines.reverse(); // The newest is first.
    assert_same(lines, texts.iter().map(|(number, text)| line(*number, text)));

    // Updates have another form than inserts.
    let (queue, lease) = (database.database.event_queue(), SequentialIds::id(1));
    let mut claimed = queue.claim(lease, Duration::from_secs(60), TEXTS).await?;
    claimed.sort_by_key(|event| event.delivery.event_id);
    assert_same(claimed.iter().map(|event| &event.body), texts.iter().map(|(_, text)| text));
    let reason = |text: &String| FailureReason::from(text.clone());
    let outcome = |(number, text): &(u32, String)| AttemptOutcome {
        event_id: SequentialIds::id((*number).into()).into(),
        lease,
        outcome: DeliveryOutcome::Dead { reason: reason(text) },
    };
    queue.record(&texts.iter().map(outcome).collect::<Vec<_>>()).await?;
    let mut deliveries = database.database.queries().deliveries.list(None, &page_of_events()).await?;
    deliveries.sort_by_key(|delivery| delivery.event_id);
    assert_same(
        deliveries.into_iter().map(|delivery| delivery.last_error),
        texts.iter().map(|(_, text)| Some(reason(text))),
    );
    Ok(())
}

fn page_of_events<Key>() -> Page<Key> {
    Page { after: None, limit: TEXTS }
}

/// Compares one by one: a diff of all would be unreadable.
#[track_caller]
fn assert_same<T: PartialEq + std::fmt::Debug>(
    read: impl IntoIterator<Item = T>,
    written: impl IntoIterator<Item = T>,
) {
    let (mut read, mut written) = (read.into_iter(), written.into_iter());
    loop {
        match (read.next(), written.next()) {
            (None, None) => return,
            (read, written) => assert_eq!(read, written),
        }
    }
}

/// More than one packet: lines of half a MiB, half of it quotes, which are doubled.
fn large() -> Appended {
    let body = "'가".repeat(1 << 17);
    Appended { audit: (1..=24).map(|number| line(number, &body)).collect(), ..Appended::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_several_packets_is_stored_completely() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    database.commit(Changes { appended: large(), ..Changes::default() }).await?;
    let page = Page { after: None, limit: 100 };
    let mut lines = database.database.queries().audit.list(&AuditFilter::default(), &page).await?;
    lines.reverse();
    assert!(lines == large().audit, "{} entries, or different ones", lines.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_the_last_of_several_packets_stores_nothing() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let answers = vec![answer(1, "", "")];
    let appended = Appended { answers: answers.clone(), ..Appended::default() };
    database.commit(Changes { appended, ..Changes::default() }).await?;

    let factory = database.database.unit_of_work_factory();
    let id = BatchId::from(SequentialIds::id(7));
    let (unit, _) = factory.begin(id, &FirstKeys::default()).await?;
    // Answers are written last.
    let changes = Changes { appended: Appended { answers, ..large() }, ..Changes::default() };
    let error = unit.commit(changes).await.expect_err("a key that exists");
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    assert!(!factory.committed(id).await?);
    assert_eq!(database.number("SELECT COUNT(*) FROM audit_log").await, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_above_max_allowed_packet_is_rejected() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    let bytes = database.number("SELECT @@max_allowed_packet").await;
    let body = "a".repeat(bytes.try_into().expect("a length"));
    let appended = Appended { audit: vec![line(1, "a"), line(2, &body)], ..Appended::default() };
    let error = database.commit(Changes { appended, ..Changes::default() }).await.expect_err("a row above the limit");
    assert!(matches!(error, StoreError::Unexpected(_)), "{error:?}");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("audit_log") && cause.contains("max_allowed_packet"), "{cause}");
    assert_eq!(database.number("SELECT COUNT(*) FROM audit_log").await, 0);
    Ok(())
}
