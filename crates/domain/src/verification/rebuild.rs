use thiserror::Error;

use crate::retention::Retention;
use crate::store_error::StoreError;
use crate::verification::books::BooksFactory;
use crate::verification::finding::Finding;
use crate::verification::run::{Progress, Verification};
use crate::verification::sales;

/// The daily sales were not rebuilt.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A source row is invalid; nothing was changed.
    #[error("a source row is invalid: {0}")]
    Damaged(Finding),
}

/// Corrects the daily sales from the paid orders and their refunds while the shop is online; returns the number of
/// changed rows.
///
/// It locks rows of payments only for one write. A payment or a refund changes an order and the daily sales by the same
/// amount in one transaction; so their difference is the same in every snapshot, despite sales in the meantime. The
/// difference is computed in one snapshot and **added** to the current rows in one transaction. Two concurrent
/// corrections would add it twice; [`BooksFactory::open_to_correct`] excludes that.
///
/// A row without an order remains, with zero values.
///
/// # Errors
/// Any error of the store; [`RebuildError::Damaged`] for an invalid order.
pub async fn rebuild_daily_sales(
    factory: &dyn BooksFactory,
    progress: &mut dyn Progress,
) -> Result<usize, RebuildError> {
    let mut correction = factory.open_to_correct().await?;
    let mut first = None;
    let mut report = |finding| {
        first.get_or_insert(finding);
    };
    let mut audit = Verification {
        books: correction.books(),
        retention: &Retention::default(),
        progress,
        report: &mut report,
        parts: Vec::new(),
    };
    let missing = sales::missing(&mut audit).await?;
    if let Some(finding) = first {
        return Err(RebuildError::Damaged(finding));
    }
    if !missing.is_empty() {
        correction.add_sales(&missing).await?;
    }
    Ok(missing.len())
}
