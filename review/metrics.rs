//! Figures of a station for a monitor, in Prometheus' text format.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>: a line of help and one of type per
//! figure, then a line per value. Labels are numbers, so that nothing needs escaping.

use std::fmt::Write;

use crate::{Camera, Snapshot};

/// All figures.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let mut out = Text(String::new());
    out.one(
        "selvedge_up_seconds",
        "gauge",
        "Time since the station stands.",
        snapshot.up_s,
    );
    let is_on = if snapshot.roll.is_some() { 1.0 } else { 0.0 };
    out.one("selvedge_roll_on", "gauge", "Whether a roll is on.", is_on);
    let healthy = if snapshot.wrong.is_empty() { 1.0 } else { 0.0 };
    out.one(
        "selvedge_healthy",
        "gauge",
        "Whether every camera exposes.",
        healthy,
    );
    let count = |n: u64| n as f64;
    let totals = [
        (
            "selvedge_rolls_total",
            "Rolls that came to their end.",
            snapshot.n_rolls,
        ),
        (
            "selvedge_rolls_cut_off_total",
            "Rolls that failed or were cut off.",
            snapshot.n_failed,
        ),
        (
            "selvedge_flaws_total",
            "Flaws that were written.",
            snapshot.n_flaws,
        ),
        (
            "selvedge_frames_total",
            "Frames dealt with, lost ones too.",
            snapshot.n_frames,
        ),
    ];
    for (name, help, n) in totals {
        out.one(name, "counter", help, count(n));
    }
    if let Some(free) = snapshot.free_bytes {
        out.one(
            "selvedge_store_free_bytes",
            "gauge",
            "Bytes free for the store.",
            count(free),
        );
    }
    let cameras = &snapshot.cameras;
    out.each(
        "selvedge_camera_exposing",
        "gauge",
        "Whether frames come.",
        cameras,
        |camera| Some(if camera.doing == "exposing" { 1.0 } else { 0.0 }),
    );
    out.each(
        "selvedge_camera_silent_seconds",
        "gauge",
        "Time since the last frame.",
        cameras,
        |camera| camera.silent_s,
    );
    out.each(
        "selvedge_camera_frames_total",
        "counter",
        "Frames that came.",
        cameras,
        |camera| Some(count(camera.n_frames)),
    );
    out.each(
        "selvedge_camera_lost_total",
        "counter",
        "Exposures known to be lost.",
        cameras,
        |camera| Some(count(camera.n_lost)),
    );
    out.each(
        "selvedge_camera_failures_total",
        "counter",
        "How often the camera failed.",
        cameras,
        |camera| Some(count(camera.n_failures)),
    );
    out.0
}

struct Text(String);

impl Text {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn each(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        cameras: &[Camera],
        value: impl Fn(&Camera) -> Option<f64>,
    ) {
        self.head(name, kind, help);
        for (camera, nth) in cameras.iter().zip(1..) {
            if let Some(value) = value(camera) {
                self.line(format_args!("{name}{{camera=\"{nth}\"}} {value}"));
            }
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }
}
