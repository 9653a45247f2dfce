//! What memory a long run holds.

/// Memory of this process that is in RAM, in KiB; `None` where the system does not tell.
pub(crate) fn resident_kib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
