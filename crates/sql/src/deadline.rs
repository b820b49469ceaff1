//! The deadline of a search. MySQL has a time limit of its own for each statement.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Upper bound of a search: no read outlasts its caller, as with MySQL's limit.
const SEARCH_MAX: Duration = Duration::from_secs(2);

/// A time in milliseconds of this process's clock, as a bind of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub i64);

static CLOCK_START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Deadline {
    /// Of a search that begins now.
    pub(crate) fn of_search() -> Self {
        let deadline = CLOCK_START.elapsed().saturating_add(SEARCH_MAX);
        Self(i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX))
    }

    pub(crate) fn is_over(self) -> bool {
        i64::try_from(CLOCK_START.elapsed().as_millis()).unwrap_or(i64::MAX) > self.0
    }
}
