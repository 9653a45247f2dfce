//! Where and when a figure was measured, and what it cost in processor time.
//!
//! A figure without its machine, date, commit and compiler is worth nothing a month later:
//! [`describe`] says them in the words in which `benches/runs/` keeps them. What the system
//! does not tell is `unknown`, never left out.

use std::process::Command;
use std::thread::available_parallelism;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Machine, date, commit and compiler, one a line.
pub(crate) fn describe() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok();
    let cpu = cpu.as_deref().and_then(model_name).unwrap_or("unknown");
    let date = OffsetDateTime::now_utc().format(&Rfc3339).ok();
    let commit = said_by("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = said_by("git", &["status", "--porcelain", "--untracked-files=no"]);
    let changed = if changed.is_some() {
        " and changes"
    } else {
        ""
    };
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load.as_deref().and_then(|text| text.split(' ').next());
    format!(
        "machine  {cpu}, {} cores, load {} before\ndate     {}\ncommit   {}{changed}\nrustc    {}",
        n_cores(),
        load.unwrap_or("unknown"),
        date.as_deref().unwrap_or("unknown"),
        commit.as_deref().unwrap_or("unknown"),
        said_by("rustc", &["--version"])
            .as_deref()
            .unwrap_or("unknown"),
    )
}

/// Cores that this process may use.
pub(crate) fn n_cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

fn model_name(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// What a program prints, if it runs and prints something.
fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
