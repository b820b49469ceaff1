use time::Duration;

use crate::retention::PruneTarget;
use crate::store_error::StoreError;
use crate::verification::finding::Finding;
use crate::verification::run::Verification;
use crate::verification::text::Text;

/// Accepted time beyond the retention: servers prune at intervals and in small batches.
const GRACE: Duration = Duration::hours(1);

/// Compares the oldest row with the newest and not with the clock: nothing is pruned while no server runs, and a
/// restored backup is valid at any age.
pub(super) async fn verify(audit: &mut Verification<'_>) -> Result<(), StoreError> {
    for of in PruneTarget::ALL {
        let Some((oldest, newest)) = audit.books.retained(of).await? else { continue };
        let limit = audit.retention.of(of);
        audit.expect(newest.since(oldest) <= limit.saturating_add(GRACE), || Finding::Retention {
            of,
            description: format!("is retained since {}, longer than {limit}", oldest.text()),
        });
    }
    Ok(())
}
