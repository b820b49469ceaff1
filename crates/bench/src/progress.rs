//! How far the run is: a bar where somebody looks at it, a line for each step where the output goes into a file.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress of a run whose length is known beforehand, roughly.
pub struct Progress {
    bar: ProgressBar,
    is_watched: bool,
}

impl Progress {
    /// A run of about so long.
    pub fn new(planned: Duration) -> Self {
        let is_watched = std::io::stderr().is_terminal();
        let target = if is_watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(millis(planned)), target);
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {percent:>3}% {msg}");
        bar.set_style(style.expect("the template is right").progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, is_watched }
    }

    /// What comes now.
    pub fn step(&self, what: impl Into<String>) {
        let what = what.into();
        if !self.is_watched {
            eprintln!("{what}");
        }
        self.bar.set_message(what);
    }

    /// So much of the planned time is over.
    pub fn advance(&self, time: Duration) {
        self.bar.inc(millis(time));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
