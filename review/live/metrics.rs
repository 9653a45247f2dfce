//! Figures of a station for a monitor, in Prometheus' text format.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>: a line of help and one of type per
//! figure, then a line per value. Labels are numbers, so that nothing needs escaping.

use std::fmt::Write;

use super::{Camera, Latency, Snapshot};

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
        "Whether every camera exposes and the line deals with what comes.",
        healthy,
    );
    out.one(
        "selvedge_line_lives",
        "gauge",
        "Whether the line deals with what comes.",
        if snapshot.lives { 1.0 } else { 0.0 },
    );
    out.one(
        "selvedge_alarms",
        "gauge",
        "Alarms that wait for a person.",
        snapshot.alarms.len() as f64,
    );
    out.queues(&snapshot.queues);
    out.latency(&snapshot.latency);
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
    out.each(
        "selvedge_camera_light_level",
        "gauge",
        "Mean level of the cloth, of 255.",
        cameras,
        |camera| camera.light,
    );
    out.each(
        "selvedge_camera_focus",
        "gauge",
        "Sharpness of the cloth, to be compared with itself.",
        cameras,
        |camera| camera.focus,
    );
    out.streams(cameras);
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

    /// The driver's names are letters, digits and underscores.
    fn streams(&mut self, cameras: &[Camera]) {
        let name = "selvedge_camera_stream_total";
        self.head(
            name,
            "counter",
            "What the camera's driver counts of its stream.",
        );
        for (camera, nth) in cameras.iter().zip(1..) {
            for (what, n) in &camera.stream {
                self.line(format_args!(
                    "{name}{{camera=\"{nth}\",what=\"{what}\"}} {n}"
                ));
            }
        }
    }

    /// Names of queues are the program's own: letters, digits and spaces.
    fn queues(&mut self, queues: &[(String, usize)]) {
        let name = "selvedge_queue_depth";
        self.head(name, "gauge", "Items in a queue when the last one came.");
        for (queue, depth) in queues {
            self.line(format_args!("{name}{{queue=\"{queue}\"}} {depth}"));
        }
    }

    fn latency(&mut self, latency: &Latency) {
        let name = "selvedge_latency_seconds";
        self.head(
            name,
            "histogram",
            "From a frame's exposure until all of it is in the store.",
        );
        let mut n = 0;
        let ends = latency
            .bin_ends_ms
            .iter()
            .map(|ms| (*ms as f64 / 1e3).to_string());
        for (end, count) in ends.chain(["+Inf".to_owned()]).zip(&latency.counts) {
            n += count;
            self.line(format_args!("{name}_bucket{{le=\"{end}\"}} {n}"));
        }
        self.line(format_args!("{name}_sum {}", latency.sum_s));
        self.line(format_args!("{name}_count {n}"));
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }
}
