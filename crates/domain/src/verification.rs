//! The proof of the books: everything that is kept twice is counted anew from the rows and compared.
//!
//! [`verify`] reads one snapshot of all tables, each in the order of its key, a page at a time, and merges them; its
//! memory does not grow with the tables. It knows no SQL: the rows come through the port [`Books`].
//!
//! | part | what it proves |
//! |---|---|
//! | [`Part::Ledger`] | each account's balance is the sum of its entries, line by line, hash by hash; open orders are counted right |
//! | [`Part::Stock`] | each stock is the sum of its movements, line by line |
//! | [`Part::Orders`] | each order is in a legal state and agrees with its lines, payment, refunds, ledger entries, stock movements, events and coupon |
//! | [`Part::Coupons`] | each campaign issued what it counts and no more, one each; each used coupon has its one order |
//! | [`Part::Sales`] | the daily sales are those of the paid orders, net of refunds |

mod books;
mod coupons;
mod finding;
mod ledger;
mod orders;
mod sales;
mod stock;
mod walk;

pub use books::{Books, BooksFactory, EventOutline, Rows, Unreadable};
pub use finding::{Finding, Part};

use crate::store_error::StoreError;

/// Watches a verification that takes long.
pub trait Progress: Send {
    /// A part begins.
    fn part(&mut self, part: Part);
    /// So many more rows were read.
    fn rows(&mut self, count: u64);
}

/// What a verification read.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Summary {
    /// How many rows, of all tables; a row that two parts read counts twice.
    pub rows: u64,
    /// How many findings.
    pub findings: u64,
}

/// Proves the books of one snapshot; hands each finding to `report` as it comes.
///
/// # Errors
/// Those of the store. What was found before stays reported.
pub async fn verify(
    books: &mut dyn Books,
    progress: &mut dyn Progress,
    report: &mut (dyn FnMut(Finding) + Send),
) -> Result<Summary, StoreError> {
    let mut audit = Audit { books, progress, report, summary: Summary::default() };
    audit.begin(Part::Ledger);
    ledger::verify(&mut audit).await?;
    audit.begin(Part::Stock);
    stock::verify(&mut audit).await?;
    audit.begin(Part::Orders);
    let sold = orders::verify(&mut audit).await?;
    audit.begin(Part::Coupons);
    coupons::verify(&mut audit).await?;
    audit.begin(Part::Sales);
    sales::verify(&mut audit, sold).await?;
    Ok(audit.summary)
}

/// A verification under way: where rows come from, and where findings go.
struct Audit<'a> {
    books: &'a mut dyn Books,
    progress: &'a mut dyn Progress,
    report: &'a mut (dyn FnMut(Finding) + Send),
    summary: Summary,
}

impl Audit<'_> {
    fn begin(&mut self, part: Part) {
        self.progress.part(part);
    }

    fn find(&mut self, finding: Finding) {
        self.summary.findings += 1;
        (self.report)(finding);
    }

    /// Reports the finding unless the condition holds.
    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> Finding) {
        if !holds {
            self.find(finding());
        }
    }

    /// Counts a page's rows, reports those that cannot be read, and answers the rest.
    fn take<Key, Row>(&mut self, page: Rows<Key, Row>) -> Vec<Row> {
        let count = page.rows.len() + page.unreadable.len();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.summary.rows += count;
        self.progress.rows(count);
        for unreadable in page.unreadable {
            self.find(Finding::Unreadable(unreadable));
        }
        page.rows
    }
}
