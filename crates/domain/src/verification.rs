//! Verification of the books: every denormalized value is recomputed from its rows and compared.
//!
//! [`verify`] merges the tables of one snapshot, each read by page in key order, in constant memory. The rows come
//! through the port [`Books`]; there is no SQL here.
//!
//! | part | checks |
//! |---|---|
//! | [`Part::Ledger`] | each balance is the sum of its entries, the hash chain is intact, and the open order count is correct |
//! | [`Part::Stock`] | each stock is the sum of its movements |
//! | [`Part::Orders`] | each order has a valid state and times, and agrees with its lines, payment, refunds, ledger entries, stock movements, events and coupon |
//! | [`Part::Coupons`] | each campaign counts its coupons, within its quantity and one per user; each used coupon has one order |
//! | [`Part::Sales`] | the daily sales equal the paid orders net of refunds |
//! | [`Part::AuditLog`] | each actor's entries form one chain up to its head; entries without a link are of the time before chains |
//! | [`Part::Statistics`] | the final quarters of the statistics equal the payments and refunds |
//! | [`Part::Retention`] | no row exceeds its retention time |
//!
//! [`rebuild_daily_sales`] corrects the daily sales, and [`Counter::start_over`](crate::statistics::Counter::start_over)
//! the statistics, the tables that can be derived from the others.

mod audit_log;
mod books;
mod coupons;
mod finding;
mod ledger;
mod orders;
mod rebuild;
mod retention;
mod run;
mod runs;
mod sales;
mod statistics;
mod stock;
mod text;
mod walk;

pub use books::{Books, BooksCorrection, BooksFactory, EventOutline, OpenOrders, Rows, StrayLines, Unreadable};
#[cfg(any(test, feature = "mock"))]
pub use books::{MockBooks, MockBooksCorrection, MockBooksFactory};
pub use finding::{Finding, Part};
pub use rebuild::{RebuildError, rebuild_daily_sales};
pub use run::{PartSummary, Progress};
#[cfg(any(test, feature = "mock"))]
pub use runs::MockVerificationRuns;
pub use runs::{
    Begun, HEARTBEAT_INTERVAL, HEARTBEAT_MAX, RunEnd, RunProgress, RunStatus, VerificationRun, VerificationRuns,
};

use crate::retention::Retention;
use crate::store_error::StoreError;
use crate::time::Timestamp;
use run::Verification;

/// The result of a verification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Time of the snapshot, by the database's clock.
    pub taken_at: Timestamp,
    /// In the order of [`Part::ALL`].
    pub parts: Vec<PartSummary>,
}

impl Summary {
    /// Rows read; a row read by two parts counts twice.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Findings of all parts.
    pub fn findings(&self) -> u64 {
        self.parts.iter().map(|part| part.findings).sum()
    }
}

/// Verifies the books of one snapshot and passes each finding to `report` at once. Events beyond their `retention` may
/// be absent.
///
/// # Errors
/// Any error of the store. Earlier findings stay reported.
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
    let counted = orders::verify(&mut audit, taken_at).await?;
    audit.begin(Part::Coupons);
    coupons::verify(&mut audit).await?;
    audit.begin(Part::Sales);
    sales::verify(&mut audit, &counted.sold).await?;
    audit.begin(Part::AuditLog);
    audit_log::verify(&mut audit).await?;
    audit.begin(Part::Statistics);
    statistics::verify(&mut audit, &counted.quarters).await?;
    audit.begin(Part::Retention);
    retention::verify(&mut audit).await?;
    Ok(Summary { taken_at, parts: audit.parts })
}
