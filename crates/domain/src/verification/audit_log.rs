use time::Duration;

use crate::audit::{AuditChain, AuditEntry};
use crate::id::UserId;
use crate::store_error::StoreError;
use crate::time::Timestamp;
use crate::verification::finding::Finding;
use crate::verification::run::Verification;
use crate::verification::text::Text;
use crate::verification::walk::{AuditChains, ChainedAuditEntries, UnchainedAuditEntries, Walk};

/// Upper bound of a rollout, during which servers of the release 0.2.0 write entries without links beside chained ones.
const ROLLOUT_MAX: Duration = Duration::days(1);

/// Compares each chain with its entries.
pub(super) async fn verify(audit: &mut Verification<'_>) -> Result<(), StoreError> {
    let mut chains = Walk::<AuditChains>::default();
    let mut entries = Walk::<ChainedAuditEntries>::default();
    let mut first_at: Option<Timestamp> = None;
    while let Some(chain) = chains.next(audit).await? {
        strays(audit, &mut entries, Some(&chain.actor)).await?;
        let mut last = AuditChain::empty(chain.actor.clone());
        while let Some(entry) = entries.next_if(audit, |entry| entry.actor == chain.actor).await? {
            first_at = Some(first_at.map_or(entry.at, |first| first.min(entry.at)));
            compare(audit, &mut last, &entry);
        }
        audit.expect(last.entries == chain.entries, || {
            let [counted, found] = [chain.entries, last.entries];
            finding(&chain.actor, format!("the chain counts {counted} entries, but the last entry is {found}"))
        });
        audit.expect(last.hash == chain.hash, || {
            finding(&chain.actor, "the hash of the chain is not the hash of its last entry".to_owned())
        });
    }
    strays(audit, &mut entries, None).await?;

    let chained_until = first_at.map(|first| first.saturating_add(ROLLOUT_MAX));
    let mut entries = Walk::<UnchainedAuditEntries>::default();
    while let Some(entry) = entries.next(audit).await? {
        audit.expect(chained_until.is_none_or(|until| entry.at <= until), || {
            let at = entry.at.text();
            finding(
                &entry.actor,
                format!("entry {} of {at} has no link, but all entries were chained by then", entry.id),
            )
        });
    }
    Ok(())
}

/// Reports entries without a chain, before the next chain.
async fn strays(
    audit: &mut Verification<'_>,
    entries: &mut Walk<ChainedAuditEntries>,
    next_chain: Option<&UserId>,
) -> Result<(), StoreError> {
    while let Some(entry) = entries.next_if(audit, |entry| next_chain.is_none_or(|next| entry.actor < *next)).await? {
        audit.find(finding(&entry.actor, format!("entry {} has no chain", entry.id)));
    }
    Ok(())
}

/// Compares an entry with the chain before it, and continues from the stored values, so that one wrong entry is one
/// finding.
fn compare(audit: &mut Verification<'_>, last: &mut AuditChain, entry: &AuditEntry) {
    let Some(link) = entry.link else { return };
    let wrong = |description: String| finding(&entry.actor, format!("entry {}: {description}", link.sequence));
    audit.expect(link.sequence == last.entries.saturating_add(1), || wrong(format!("follows entry {}", last.entries)));
    audit.expect(link.hash == entry.hash_after(&last.hash, link.sequence), || {
        wrong("its hash does not match: this entry or an earlier one was changed".to_owned())
    });
    (last.entries, last.hash) = (link.sequence, link.hash);
}

fn finding(actor: &UserId, description: String) -> Finding {
    Finding::AuditLog { actor: actor.clone(), description }
}
