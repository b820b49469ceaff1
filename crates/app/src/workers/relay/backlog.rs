use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use jangteo_domain::delivery::EventQueue;

use crate::error_chain::chain;
use crate::telemetry;

const INTERVAL: Duration = Duration::from_secs(5);

/// Records the size and the lag of the outbox every 5 s, until it is dropped.
pub async fn sample_backlog(queue: Arc<dyn EventQueue>) {
    let mut ticks = interval(INTERVAL);
    loop {
        ticks.tick().await;
        match queue.backlog().await {
            Ok(backlog) => {
                // Far below 2^52, up to which an f64 is exact.
                metrics::gauge!(telemetry::OUTBOX_EVENTS, "state" => "pending").set(backlog.pending as f64);
                metrics::gauge!(telemetry::OUTBOX_EVENTS, "state" => "dead").set(backlog.dead as f64);
                metrics::gauge!(telemetry::OUTBOX_LAG_SECONDS).set(backlog.oldest.unwrap_or_default());
            }
            Err(error) => {
                tracing::debug!(kind = error.kind(), cause = chain(&error), "cannot count the events of the outbox");
            }
        }
    }
}
