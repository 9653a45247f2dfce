//! What a station's store forgets by rule, while the station stands.
//!
//! ```text
//! every hour: plan ─▶ announced a day ago under this rule? ─▶ step ─▶ pause of 99 steps ─▶ step …
//!                                    └─ no: a warning, and nothing goes
//! ```
//!
//! A rule that is new, or was changed, removes nothing for a day after it has been announced: a slip of the
//! pen in a station file can be mended until then. The announcement is an event of the store, so a station
//! that is started every morning keeps its word. Later passes of the same rule are told by one event each.
//! A thread of its own over a connection of its own: no line waits for it but for one short transaction,
//! and it works a hundredth of the time. What it cannot do now it tries again in an hour; a full disk is
//! still [`crate::record`]'s to live with.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{
    Amount, EventSeverity, KindPlan, NewEvent, RetentionKind, RetentionPlan, RetentionRules, Store,
    now_us,
};

use crate::classes::Severity;
use crate::config::RetentionSettings;

/// How often a standing station looks.
const EVERY: Duration = Duration::from_secs(3600);
/// How much longer than each step the pause after it is.
const PAUSES_PER_STEP: u32 = 99;
/// How often a pause looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long a rule is announced before it removes anything.
const NOTICE_US: i64 = 86_400_000_000;
/// The events that tell of it.
const ANNOUNCED: &str = "retention_announced";
const REMOVED: &str = "retention";

/// The store's rules for these settings.
pub fn rules_of(settings: &RetentionSettings) -> RetentionRules {
    RetentionRules {
        candidates: settings.candidates,
        crops: settings.crops,
        events: settings.events,
        mildest_first: Severity::ALL
            .iter()
            .map(|severity| severity.as_str().to_owned())
            .collect(),
    }
}

/// What a person calls the rows of a kind.
pub fn things(kind: RetentionKind) -> &'static str {
    match kind {
        RetentionKind::Candidates => "places below the threshold",
        RetentionKind::Crops => "pictures of flaws",
        RetentionKind::Events => "events",
    }
}

/// A rule in words.
pub fn rule(plan: &KindPlan) -> String {
    let days = plan.keep.days.map(|days| match days {
        1 => "for 1 day".to_owned(),
        days => format!("for {days} days"),
    });
    let bytes = plan.keep.bytes.map(|most| format!("up to {}", bytes(most)));
    let limits: Vec<String> = days.into_iter().chain(bytes).collect();
    if limits.is_empty() {
        return "for ever".to_owned();
    }
    limits.join(" and ")
}

/// The day of a time in microseconds since 1970 UTC.
pub fn day(at_us: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(at_us.div_euclid(1_000_000));
    let at = at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    at.date().to_string()
}

/// So many bytes, for people.
pub fn bytes(n: u64) -> String {
    let n_f = n as f64;
    match n {
        0..=1_048_575 => format!("{:.1} KiB", n_f / 1024.0),
        1_048_576..=1_073_741_823 => format!("{:.1} MiB", n_f / 1_048_576.0),
        _ => format!("{:.2} GiB", n_f / 1_073_741_824.0),
    }
}

/// Carries out a plan to its end or until `go_on` says false, which is asked after each step with how
/// long that took; what went, by kind.
///
/// # Errors
/// What the store says; what went until then is gone, and is told as an event all the same where the
/// store takes one.
pub fn remove(
    store: &mut Store,
    plan: &mut RetentionPlan,
    go_on: &mut dyn FnMut(Duration) -> bool,
) -> anyhow::Result<Vec<(RetentionKind, Amount)>> {
    let mut gone = RetentionKind::ALL.map(|kind| (kind, Amount::default()));
    let mut ended = Ok(());
    loop {
        match store.retention_step(plan) {
            Ok(Some(removed)) => {
                let of_kind = gone.iter_mut().find(|(kind, _)| *kind == removed.kind);
                if let Some((_, amount)) = of_kind {
                    amount.n += removed.amount.n;
                    amount.bytes += removed.amount.bytes;
                }
                if !go_on(removed.took) {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    let gone: Vec<_> = gone
        .into_iter()
        .filter(|(_, amount)| amount.n > 0)
        .collect();
    for (kind, amount) in &gone {
        let kept = plan.kinds.iter().find(|plan| plan.kind == *kind);
        let message = format!(
            "{} {} ({}) were removed: they are kept {}",
            amount.n,
            things(*kind),
            bytes(amount.bytes),
            kept.map(rule).unwrap_or_default()
        );
        tracing::info!("{message}");
        let told = store.record_event(&event(REMOVED, EventSeverity::Info, message));
        ended = ended.and(told);
    }
    ended?;
    Ok(gone)
}

/// The body of a station's thread: keeps the store within `settings` until `stop` is set.
pub fn keep(url: &str, settings: &RetentionSettings, stop: &AtomicBool) {
    let rules = rules_of(settings);
    loop {
        let mut rest = |took: Duration| wait(took * PAUSES_PER_STEP, stop);
        if let Err(error) = keep_once(url, &rules, now_us(), &mut rest) {
            tracing::error!(
                error = format!("{error:#}"),
                "the store could not be kept within its limits; tried again in an hour"
            );
        }
        if !wait(EVERY, stop) {
            return;
        }
    }
}

/// One pass at the time `at_us`: what was announced for long enough goes, what is new is announced.
///
/// # Errors
/// What the store says.
fn keep_once(
    url: &str,
    rules: &RetentionRules,
    at_us: i64,
    rest: &mut dyn FnMut(Duration) -> bool,
) -> anyhow::Result<Vec<(RetentionKind, Amount)>> {
    let mut store = Store::open(url)?;
    let Some(mut plan) = store.retention_plan(rules, at_us, rest)? else {
        return Ok(Vec::new());
    };
    for kind in plan.kinds.clone() {
        if kind.now.n + kind.within_day.n == 0 {
            continue;
        }
        let message = format!("{} are kept {}", things(kind.kind), rule(&kind));
        match store.first_loose_event(ANNOUNCED, &message)? {
            Some(announced) if at_us - announced >= NOTICE_US => {}
            Some(_) => plan.leave(kind.kind),
            None => {
                plan.leave(kind.kind);
                tracing::warn!(
                    kind = kind.kind.as_str(),
                    n_now = kind.now.n,
                    bytes_now = kind.now.bytes,
                    bytes_within_day = kind.within_day.bytes,
                    "{message}: from tomorrow on what is beyond that goes, {} of {} now and {} more by then; change [retention] until then to keep them",
                    kind.now.n,
                    kind.all.n,
                    bytes(kind.within_day.bytes)
                );
                let mut announced = event(ANNOUNCED, EventSeverity::Warning, message);
                announced.at_us = at_us;
                store.record_event(&announced)?;
            }
        }
    }
    remove(&mut store, &mut plan, rest)
}

fn event(kind: &str, severity: EventSeverity, message: String) -> NewEvent {
    NewEvent {
        at_us: now_us(),
        kind: kind.to_owned(),
        severity,
        message,
    }
}

/// Waits; false when `stop` was set meanwhile.
fn wait(time: Duration, stop: &AtomicBool) -> bool {
    let until = Instant::now() + time;
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(LOOK));
    }
}

#[cfg(test)]
mod tests;
