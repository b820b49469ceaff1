use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::interval;

use jangteo_domain::delivery::EventQueue;

use crate::problem::chain;
use crate::telemetry;

/// How often what waits is counted.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts what waits in the outbox again and again, for the figures, until `stop` becomes true or its sender is gone.
pub async fn sample_backlog(queue: Arc<dyn EventQueue>, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(INTERVAL);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
        }
        match queue.backlog().await {
            Ok(backlog) => {
                // Counts are far from the 2^52 up to which an f64 is exact.
                metrics::gauge!(telemetry::OUTBOX_EVENTS, "state" => "pending").set(backlog.pending as f64);
                metrics::gauge!(telemetry::OUTBOX_EVENTS, "state" => "dead").set(backlog.dead as f64);
                metrics::gauge!(telemetry::OUTBOX_LAG_SECONDS).set(backlog.oldest.unwrap_or_default());
            }
            Err(error) => {
                tracing::debug!(kind = error.kind(), cause = chain(&error), "what waits cannot be counted");
            }
        }
    }
}
