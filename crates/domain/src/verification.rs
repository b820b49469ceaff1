//! The proof of the books: everything that is kept twice is counted anew from the rows and compared.
//!
//! [`verify`] reads one snapshot of all tables, each in the order of its key, a page at a time, and merges them; its
//! memory does not grow with the tables. It knows no SQL: the rows come through the port [`Books`].
//!
//! | part | what it proves |
//! |---|---|
//! | [`Part::Ledger`] | each account's balance is the sum of its entries, line by line, hash by hash; open orders are counted right |
//! | [`Part::Stock`] | each stock is the sum of its movements, line by line |
//! | [`Part::Orders`] | each order is in a legal state, its times are in order, and it agrees with its lines, payment, refunds, ledger entries, stock movements, events and coupon |
//! | [`Part::Coupons`] | each campaign issued what it counts and no more, one each; each used coupon has its one order |
//! | [`Part::Sales`] | the daily sales are those of the paid orders, net of refunds |
//! | [`Part::Retention`] | what is only kept for a while is not kept for longer |
//!
//! [`rebuild_daily_sales`] corrects the one table that can be made anew from the others.

mod books;
mod coupons;
mod finding;
mod ledger;
mod orders;
mod rebuild;
mod retention;
mod sales;
mod stock;
mod walk;

pub use books::{Books, BooksCorrection, BooksFactory, EventOutline, Rows, StrayLines, Unreadable};
#[cfg(any(test, feature = "mock"))]
pub use books::{MockBooks, MockBooksCorrection, MockBooksFactory};
pub use finding::{Finding, Part};
pub use rebuild::{RebuildError, rebuild_daily_sales};

use crate::retention::Retention;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// Watches a verification that takes long.
pub trait Progress: Send {
    /// A part begins.
    fn part(&mut self, part: Part);
    /// So many more rows were read.
    fn rows(&mut self, count: u64);
}

/// Nobody watches.
impl Progress for () {
    fn part(&mut self, _part: Part) {}

    fn rows(&mut self, _count: u64) {}
}

/// What a verification came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The time of the snapshot, by the database's clock.
    pub taken_at: Timestamp,
    /// Every part, in the order of [`Part::ALL`].
    pub parts: Vec<PartSummary>,
}

impl Summary {
    /// How many rows were read; a row that two parts read counts twice.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// How many findings there are.
    pub fn findings(&self) -> u64 {
        self.parts.iter().map(|part| part.findings).sum()
    }
}

/// What the verification of a part came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartSummary {
    /// The part.
    pub part: Part,
    /// How many rows were read; lines of orders and of refunds are read with them and not counted.
    pub rows: u64,
    /// How many findings there are.
    pub findings: u64,
}

/// Proves the books of one snapshot; hands each finding to `report` as it comes. Events that the data platform may have
/// had for as long as `retention` says need not be there.
///
/// # Errors
/// Those of the store. What was found before stays reported.
pub async fn verify(
    books: &mut dyn Books,
    retention: &Retention,
    progress: &mut dyn Progress,
    report: &mut (dyn FnMut(Finding) + Send),
) -> Result<Summary, StoreError> {
    let taken_at = books.taken_at().await?;
    let mut audit = Verification { books, retention, progress, report, parts: Vec::new() };
    audit.begin(Part::Ledger);
    ledger::verify(&mut audit).await?;
    audit.begin(Part::Stock);
    stock::verify(&mut audit).await?;
    audit.begin(Part::Orders);
    let sold = orders::verify(&mut audit, taken_at).await?;
    audit.begin(Part::Coupons);
    coupons::verify(&mut audit).await?;
    audit.begin(Part::Sales);
    sales::verify(&mut audit, &sold).await?;
    audit.begin(Part::Retention);
    retention::verify(&mut audit).await?;
    Ok(Summary { taken_at, parts: audit.parts })
}

/// A verification under way: where rows come from, and where findings go.
struct Verification<'a> {
    books: &'a mut dyn Books,
    retention: &'a Retention,
    progress: &'a mut dyn Progress,
    report: &'a mut (dyn FnMut(Finding) + Send),
    /// The parts that have begun.
    parts: Vec<PartSummary>,
}

impl Verification<'_> {
    fn begin(&mut self, part: Part) {
        self.parts.push(PartSummary { part, rows: 0, findings: 0 });
        self.progress.part(part);
    }

    fn find(&mut self, finding: Finding) {
        if let Some(part) = self.parts.last_mut() {
            part.findings = part.findings.saturating_add(1);
        }
        (self.report)(finding);
    }

    /// Reports the finding unless the condition holds.
    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> Finding) {
        if !holds {
            self.find(finding());
        }
    }

    /// Counts a page's rows, reports those that cannot be read, and answers the rest.
    fn take<Key, Row>(&mut self, mut page: Rows<Key, Row>) -> Vec<Row> {
        for unreadable in std::mem::take(&mut page.unreadable) {
            self.count(1);
            self.find(Finding::Unreadable(unreadable));
        }
        self.take_again(page)
    }

    /// Counts the rows of a page that was read before, and answers those that can be read.
    fn take_again<Key, Row>(&mut self, page: Rows<Key, Row>) -> Vec<Row> {
        self.count(page.rows.len().saturating_add(page.unreadable.len()));
        page.rows
    }

    fn count(&mut self, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        if let Some(part) = self.parts.last_mut() {
            part.rows = part.rows.saturating_add(rows);
        }
        self.progress.rows(rows);
    }
}
