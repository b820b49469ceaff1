use std::collections::VecDeque;

use crate::statistics::{QuarterHour, QuarterHours, SalesTotals};
use crate::store_error::StoreError;
use crate::verification::finding::Finding;
use crate::verification::run::Verification;
use crate::verification::text::Text;
use crate::verification::walk::{Quarters, Walk};

/// Compares the final quarters with the payments and refunds. Later quarters are still being counted.
pub(super) async fn verify(audit: &mut Verification<'_>, counted: &QuarterHours) -> Result<(), StoreError> {
    let final_to = audit.books.quarter_hours_final_to().await?;
    let mut counted: VecDeque<QuarterHour> = counted.iter().filter(|quarter| quarter.starts_at < final_to).collect();
    let mut stored = Walk::<Quarters>::default();
    while let Some(quarter) = stored.next_if(audit, |quarter| quarter.starts_at < final_to).await? {
        while let Some(missing) = counted.pop_front_if(|counted| counted.starts_at < quarter.starts_at) {
            compare(audit, QuarterHour { totals: SalesTotals::default(), ..missing }, missing.totals);
        }
        let same = counted.pop_front_if(|counted| counted.starts_at == quarter.starts_at);
        compare(audit, quarter, same.map_or_else(SalesTotals::default, |same| same.totals));
    }
    for missing in counted {
        compare(audit, QuarterHour { totals: SalesTotals::default(), ..missing }, missing.totals);
    }
    Ok(())
}

fn compare(audit: &mut Verification<'_>, stored: QuarterHour, counted: SalesTotals) {
    audit.expect(stored.totals == counted, || Finding::Statistics {
        starts_at: stored.starts_at,
        description: format!("has {}, but the payments and refunds are {}", text(stored.totals), text(counted)),
    });
}

fn text(totals: SalesTotals) -> String {
    let SalesTotals { orders, revenue, refunded_orders, refunded } = totals;
    let [revenue, refunded] = [revenue, refunded].map(|money| money.text());
    format!("{orders} orders for {revenue} and {refunded_orders} refunded orders for {refunded}")
}
