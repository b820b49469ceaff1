use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use time::{Duration, UtcOffset};
use uuid::Uuid;

use crate::batch::{ATTEMPTS_MIN, Attempts, Backoff, MARKER_QUERIES_MAX, Work};
use crate::command::Outcome;
use crate::id::{BatchId, IdSource};
use crate::idempotency::{AnswerRenderer, RenderedAnswer};
use crate::money::Currency;
use crate::order::Order;
use crate::outbox::EventRenderer;
use crate::payment::{Payment, Refund};
use crate::rules::{ShopCalendar, ShopRules};
use crate::store_error::StoreError;
use crate::testing::fixtures::{won, won_currency};
use crate::time::{Date, Timestamp};

/// An id for a unit of work of which nobody will ask; each is new.
pub fn batch_id() -> BatchId {
    // Far beyond those that tests count up from 1.
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);

    SequentialIds::id(NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Ids that count up from 1; each has the form of a UUIDv7, and each sorts after those before it.
#[derive(Debug)]
pub struct SequentialIds(AtomicU64);

impl SequentialIds {
    /// Version 7 and the variant of RFC 9562, and nothing else.
    const FORM: u128 = 0x7000_8000_0000_0000_0000;

    /// Ids from number 1 on.
    pub fn new() -> Self {
        Self(AtomicU64::new(1))
    }

    /// The id of that number.
    pub fn id(number: u64) -> Uuid {
        Uuid::from_u128(Self::FORM | u128::from(number))
    }
}

impl Default for SequentialIds {
    fn default() -> Self {
        Self::new()
    }
}

impl IdSource for SequentialIds {
    fn next_id(&self) -> Uuid {
        Self::id(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A calendar in which every time is on the same day.
#[derive(Clone, Copy, Debug)]
pub struct FixedCalendar(pub Date);

impl ShopCalendar for FixedCalendar {
    fn day_of(&self, _at: Timestamp) -> Date {
        self.0
    }
}

/// The calendar of a place whose clocks are always so far from UTC.
#[derive(Clone, Copy, Debug)]
pub struct OffsetCalendar(pub UtcOffset);

impl OffsetCalendar {
    /// The calendar of UTC.
    pub const UTC: Self = Self(UtcOffset::UTC);
}

impl ShopCalendar for OffsetCalendar {
    fn day_of(&self, at: Timestamp) -> Date {
        let time = at.to_offset_date_time();
        time.checked_to_offset(self.0).unwrap_or(time).date()
    }
}

/// Does not wait between attempts; they end by their number alone.
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

/// Renders an outcome as its `Debug` text, after a fixed head.
#[derive(Clone, Copy, Debug)]
pub struct PlainAnswers;

impl AnswerRenderer for PlainAnswers {
    fn render(&self, outcome: &Outcome) -> RenderedAnswer {
        RenderedAnswer { head: "plain".to_owned(), body: format!("{outcome:?}") }
    }
}

/// Renders the body of an event as a few words.
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

/// The rules of a shop in won with the documented defaults, on UTC's calendar.
pub fn rules() -> ShopRules {
    ShopRules {
        currency: won_currency(),
        top_up_max: won(1_000_000),
        balance_max: won(10_000_000),
        order_ttl: Duration::minutes(10),
        order_lines_max: 100,
        order_quantity_max: 1_000,
        open_orders_max: 20,
        calendar: Arc::new(OffsetCalendar::UTC),
    }
}
