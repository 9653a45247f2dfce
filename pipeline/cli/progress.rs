//! Progress for people: a bar with rate and time left on a terminal, plain lines otherwise.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one step.
pub(super) struct Progress {
    what: &'static str,
    unit: &'static str,
    n_done: u64,
    n_total: Option<u64>,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts a step of `n_total` units.
    pub(super) fn start(what: &'static str, unit: &'static str, n_total: Option<u64>) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let now = Instant::now();
        Self {
            what,
            unit,
            n_done: 0,
            n_total,
            started: now,
            last_line: now,
            bar: on_terminal.then(|| bar(what, unit, n_total)),
        }
    }

    /// One more unit is done.
    pub(super) fn step(&mut self) {
        self.n_done += 1;
        match &self.bar {
            Some(bar) => bar.inc(1),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                self.line();
            }
            None => {}
        }
    }

    fn line(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.n_done as f64 / seconds.max(1e-9);
        let left = self
            .n_total
            .map(|total| total.saturating_sub(self.n_done) as f64 / rate.max(1e-9));
        let of = self
            .n_total
            .map_or_else(String::new, |total| format!(" of {total}"));
        let left = left.map_or_else(String::new, |left| format!(", {left:.0} s left"));
        let (what, unit, n_done) = (self.what, self.unit, self.n_done);
        // Progress that nobody can read is not worth failing for.
        drop(writeln!(
            std::io::stderr(),
            "{what}: {n_done}{of} {unit}, {rate:.1}/s{left}"
        ));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, unit: &'static str, n_total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(n_total, ProgressDrawTarget::stderr());
    let template = if n_total.is_some() {
        format!("{{prefix:>10}} {{wide_bar}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left")
    } else {
        format!("{{prefix:>10}} {{spinner}} {{pos}} {unit}, {{per_sec}}")
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.set_prefix(what);
    bar
}
