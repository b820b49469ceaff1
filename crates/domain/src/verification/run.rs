use crate::retention::Retention;
use crate::verification::books::{Books, Rows};
use crate::verification::finding::{Finding, Part};

/// Observes a verification.
pub trait Progress: Send {
    /// Called at the start of each part.
    fn part(&mut self, part: Part);
    /// Called after each page, with its number of rows.
    fn rows(&mut self, count: u64);
}

/// No observer.
impl Progress for () {
    fn part(&mut self, _part: Part) {}

    fn rows(&mut self, _count: u64) {}
}

/// The result of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "two numbers of a part")]
pub struct PartSummary {
    pub part: Part,
    /// Rows read, without the lines of orders and refunds.
    pub rows: u64,
    pub findings: u64,
}

/// A running verification.
pub(super) struct Verification<'a> {
    pub(super) books: &'a mut dyn Books,
    pub(super) retention: &'a Retention,
    pub(super) progress: &'a mut dyn Progress,
    pub(super) report: &'a mut (dyn FnMut(Finding) + Send),
    /// The parts so far.
    pub(super) parts: Vec<PartSummary>,
}

impl Verification<'_> {
    pub(super) fn begin(&mut self, part: Part) {
        self.parts.push(PartSummary { part, rows: 0, findings: 0 });
        self.progress.part(part);
    }

    pub(super) fn find(&mut self, finding: Finding) {
        if let Some(part) = self.parts.last_mut() {
            part.findings = part.findings.saturating_add(1);
        }
        (self.report)(finding);
    }

    /// Reports the finding unless the condition holds.
    pub(super) fn expect(&mut self, holds: bool, finding: impl FnOnce() -> Finding) {
        if !holds {
            self.find(finding());
        }
    }

    /// Counts the rows of a page, reports its unreadable rows and returns the others.
    pub(super) fn take<Key, Row>(&mut self, mut page: Rows<Key, Row>) -> Vec<Row> {
        for unreadable in std::mem::take(&mut page.unreadable) {
            self.count(1);
            self.find(Finding::Unreadable(unreadable));
        }
        self.take_again(page)
    }

    /// Counts the rows of a page read before and returns its readable rows.
    pub(super) fn take_again<Key, Row>(&mut self, page: Rows<Key, Row>) -> Vec<Row> {
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
