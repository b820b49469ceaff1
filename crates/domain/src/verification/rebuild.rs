use thiserror::Error;

use crate::retention::Retention;
use crate::store_error::StoreError;
use crate::verification::{BooksFactory, Finding, Progress, Verification, sales};

/// Why the daily sales were not made anew.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A row that they would be made from makes no sense itself; nothing was changed.
    #[error("a row that they depend on is damaged itself: {0}")]
    Damaged(Finding),
}

/// Makes the daily sales agree with the paid orders and their refunds, while the shop is open; answers how many rows
/// changed.
///
/// It locks nothing that payments lock for longer than one write. A payment or a refund changes an order and the daily
/// sales in one transaction and by the same amount; so by how much the two differ is the same in every snapshot, and
/// stays the same whatever is sold meanwhile. That difference is counted in one snapshot and then **added** to what
/// the rows hold by then, all of it in one transaction. Two that did this at once would add it twice: hence
/// [`BooksFactory::open_to_correct`], of which only one at a time succeeds.
///
/// A row that no order accounts for is left with nothing in it.
///
/// # Errors
/// Those of the store, and [`RebuildError::Damaged`] where the orders cannot be trusted.
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
