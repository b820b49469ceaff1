//! Group commit: concurrent items are queued, run in batches and answered individually.
//!
//! A database commits a few thousand times a second. Callers that arrive during one commit share the next, so throughput
//! exceeds the commit rate. The crate is generic over items and storage: each lane has a [`BatchRunner`].
//!
//! ```text
//! submit ──┐                      ┌─ lane 0: take a batch → BatchRunner::run → reply to each  ─┐
//! submit ──┼─ places (queue_max) ─┤                                                            ├─→ callers
//! submit ──┘      by affinity     └─ lane 1: …                                                 ─┘
//! ```
//!
//! # Guarantees
//! - **Order.** The items of a lane run in order of acceptance. Equal affinities share a lane.
//! - **No batching delay.** There is no timer: an idle lane runs a single item immediately. Items that arrive meanwhile are
//!   the next batch, up to [`Settings::batch_max`]; of a long queue, the first half.
//! - **Bounds.** At most [`Settings::queue_max`] items are queued over all lanes; further items are rejected immediately.
//!   An item not started by its [`Deadlines`] is discarded and takes no place in a batch, so batches are full under any
//!   load.
//! - **No partial cancellation.** A lane is a task of its own. A timeout or closed connection of a caller does not cancel
//!   an accepted item.
//! - **Known effects.** [`SubmitError`] distinguishes "not run" from "unknown".
//! - **Panic isolation.** After a panic of a runner, the answers of that batch are unknown, and the lane continues with the
//!   next.
//!
//! # Invariants
//! The crate never drops a runner's future before completion, never runs an item twice or after reporting it as not run,
//! and never sends an answer to another item's caller.

mod accepted;
mod drain;
mod group_commit;
mod lane;
mod observer;

#[cfg(test)]
mod tests;

pub use drain::Drain;
pub use group_commit::{Deadlines, GroupCommit, Settings, SubmitError, start, start_observed};
pub use lane::BatchRunner;
pub use observer::{BatchOutcome, BatchReport, Observer};
