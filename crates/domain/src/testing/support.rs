use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use time::UtcOffset;
use uuid::Uuid;

use crate::batch::{ATTEMPTS_MIN, Attempts, Backoff, MARKER_QUERIES_MAX, Work};
use crate::id::{BatchId, IdSource, uuid_at};
use crate::idempotency::{AnswerRenderer, RenderedAnswer};
use crate::money::Currency;
use crate::order::Order;
use crate::outbox::EventRenderer;
use crate::outcome::Outcome;
use crate::payment::{Payment, Refund};
use crate::rules::ShopCalendar;
use crate::store_error::StoreError;
use crate::time::{Date, Timestamp};

/// A unique batch id, for units of work whose id is irrelevant.
pub fn batch_id() -> BatchId {
    // Outside the range of sequential ids.
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);

    SequentialIds::id(NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Sequential ids from 1, in ascending order and UUIDv7 format. Ids with and without a time are numbered separately, so
/// that those of rows are independent of the number of transactions.
#[derive(Debug)]
pub struct SequentialIds {
    next: AtomicU64,
    next_of_row: AtomicU64,
}

impl SequentialIds {
    /// Starts at 1.
    pub fn new() -> Self {
        Self { next: AtomicU64::new(1), next_of_row: AtomicU64::new(1) }
    }

    /// The id with this number.
    pub fn id(number: u64) -> Uuid {
        uuid_at(Timestamp::MIN, number)
    }
}

impl Default for SequentialIds {
    fn default() -> Self {
        Self::new()
    }
}

impl IdSource for SequentialIds {
    fn next_id(&self) -> Uuid {
        Self::id(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn next_id_at(&self, at: Timestamp) -> Uuid {
        uuid_at(at, self.next_of_row.fetch_add(1, Ordering::Relaxed))
    }
}

/// A calendar with a single day.
#[derive(Clone, Copy, Debug)]
pub struct FixedCalendar(pub Date);

impl ShopCalendar for FixedCalendar {
    fn day_of(&self, _at: Timestamp) -> Date {
        self.0
    }
}

/// A calendar with a constant UTC offset.
#[derive(Clone, Copy, Debug)]
pub struct OffsetCalendar(pub UtcOffset);

impl OffsetCalendar {
    /// Without offset.
    pub const UTC: Self = Self(UtcOffset::UTC);
}

impl ShopCalendar for OffsetCalendar {
    fn day_of(&self, at: Timestamp) -> Date {
        let time = at.to_offset_date_time();
        time.checked_to_offset(self.0).unwrap_or(time).date()
    }
}

/// A backoff without pauses, bounded by the number of attempts.
#[derive(Clone, Copy, Debug)]
pub struct NoBackoff;

impl Backoff for NoBackoff {
    fn start(&self, work: Work) -> Box<dyn Attempts> {
        let attempts_left = match work {
            Work::Transaction => ATTEMPTS_MIN,
            Work::MarkerQuery => MARKER_QUERIES_MAX,
        };
        Box::new(CountedAttempts { attempts_left })
    }
}

struct CountedAttempts {
    attempts_left: u32,
}

#[async_trait]
impl Attempts for CountedAttempts {
    async fn pause(&mut self, _cause: &StoreError) -> bool {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        self.attempts_left > 0
    }
}

/// Renders an outcome as its `Debug` output, with a fixed head.
#[derive(Clone, Copy, Debug)]
pub struct PlainAnswers;

impl AnswerRenderer for PlainAnswers {
    fn render(&self, outcome: &Outcome) -> RenderedAnswer {
        RenderedAnswer { head: "plain".to_owned(), body: format!("{outcome:?}") }
    }
}

/// Renders a short JSON body.
#[derive(Clone, Copy, Debug)]
pub struct PlainEvents;

impl EventRenderer for PlainEvents {
    fn order_paid(&self, order: &Order, payment: &Payment, currency: Currency) -> String {
        format!("{{\"paid\":\"{} {} {}\"}}", order.id, payment.id, currency.show(payment.amount))
    }

    fn order_refunded(&self, order: &Order, refund: &Refund, currency: Currency) -> String {
        format!("{{\"refunded\":\"{} {} {}\"}}", order.id, refund.id, currency.show(refund.amount))
    }
}
