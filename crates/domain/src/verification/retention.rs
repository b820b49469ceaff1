use time::Duration;

use crate::retention::PruneTarget;
use crate::store_error::StoreError;
use crate::verification::{Finding, Verification};

/// How much longer than it should a row may be there: servers look for old rows only now and then, and delete them in
/// small batches.
const GRACE: Duration = Duration::hours(1);

/// That what is only kept for a while is not kept for longer. The oldest row is compared with the newest and not with
/// the clock, as nothing is deleted while no server runs, and books that were restored are not wrong for being old.
pub(super) async fn verify(audit: &mut Verification<'_>) -> Result<(), StoreError> {
    for of in PruneTarget::ALL {
        let Some((oldest, newest)) = audit.books.kept(of).await? else { continue };
        let limit = audit.retention.of(of);
        audit.expect(newest.since(oldest) <= limit.saturating_add(GRACE), || Finding::Retention {
            of,
            what: format!("is kept since {oldest:?}, longer than {limit}"),
        });
    }
    Ok(())
}
