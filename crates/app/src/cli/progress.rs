use std::fmt::Display;
use std::io::{Write as _, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jangteo_domain::verification::{Part, Progress};

const REDRAW: Duration = Duration::from_millis(100);

/// Progress of a scan of the books, on standard error if it is a terminal.
#[derive(Clone)]
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} rows, {elapsed}");
        let bar = ProgressBar::new_spinner().with_style(style.expect("a template"));
        if !bar.is_hidden() {
            bar.enable_steady_tick(REDRAW);
        }
        Self(bar)
    }

    /// Prints a line on standard output, above the bar.
    pub fn print(&self, line: &dyn Display) {
        // A closed pipe is no error.
        let _closed = self.0.suspend(|| writeln!(stdout(), "{line}"));
    }

    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn part(&mut self, part: Part) {
        self.0.set_message(part.name());
    }

    fn rows(&mut self, count: u64) {
        self.0.inc(count);
    }
}
