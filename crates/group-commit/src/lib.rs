//! Queue → batch → replies: items that arrive together are run together and answered one by one.
//!
//! A database that can commit a few thousand times a second can do the work of many more callers,
//! when those who arrive while one commit is under way share the next. This crate is that sharing
//! and nothing else. It knows no word of what an item is or of where it is stored: a
//! [`BatchRunner`] does, and there is one for each lane.
//!
//! ```text
//! submit ──┐                      ┌─ lane 0: take what waits → BatchRunner::run → answer each ─┐
//! submit ──┼─ places (queue_max) ─┤                                                            ├─→ callers
//! submit ──┘      by affinity     └─ lane 1: …                                                 ─┘
//! ```
//!
//! # What it promises
//! - **Order.** Items of one lane are run in the order in which they were accepted. Equal
//!   affinities share a lane.
//! - **No waiting for company.** There is no timer: an idle lane takes a single item at once, and
//!   what arrives while it runs is the next batch, up to [`Settings::batch_max`]; of a
//!   long queue the first half.
//! - **Bounds.** No more than [`Settings::queue_max`] items wait, over all lanes; the next is
//!   rejected at once. No item waits longer for its turn than its caller's [`Deadlines`] says, and
//!   one that has waited too long takes no place in a batch: however many callers there are, full
//!   batches are run.
//! - **Nothing is cancelled half-way.** A lane is a task of its own. A caller that goes away, by a
//!   timeout or a closed connection, cancels nothing: its item was accepted and is run all the
//!   same.
//! - **The truth about what happened.** [`SubmitError`] tells "nothing happened" from "nobody
//!   knows".
//! - **A lane outlives its failures.** When a runner panics, the callers of that batch learn that
//!   their answer is unknown, and the lane goes on with the next.
//!
//! # What it must never do
//! Drop a runner's future before it has finished, run an item twice, run an item after its caller
//! was told that nothing happened, or give a caller the answer to another one's item.

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
