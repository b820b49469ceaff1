//! Progress of the run: a bar on a terminal, otherwise a line for each step.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
}

impl Progress {
    /// `planned` is the estimated duration of the run.
    pub fn new(planned: Duration) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(millis(planned)), target);
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {percent:>3}% {msg}");
        bar.set_style(style.expect("the template is right").progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, is_terminal }
    }

    pub fn step(&self, name: impl Into<String>) {
        let name = name.into();
        if !self.is_terminal {
            eprintln!("{name}");
        }
        self.bar.set_message(name);
    }

    /// Adds `time` of the planned duration.
    pub fn advance(&self, time: Duration) {
        self.bar.inc(millis(time));
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
