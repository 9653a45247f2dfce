//! `selvedge store retention`: what the store holds, what would go by rule, and letting it go.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use store::{Amount, FileBytes, KindPlan, RetentionKind, now_us};

use super::{Outcome, Place, say, say_json};
use crate::config::{RawKeep, RawRetention, RetentionSettings, Station};
use crate::retention::{bytes, day, remove, rule, rules_of, things};

/// Longest rest after a step.
const REST: Duration = Duration::from_millis(20);

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Shows what would go by the rules of a station or by those given here; --apply lets it go.
    Retention(RetentionArgs),
}

#[derive(Debug, Args)]
pub(super) struct RetentionArgs {
    /// Station file with a [retention] section.
    #[arg(long, value_name = "FILE", conflicts_with = "limits")]
    station: Option<PathBuf>,
    #[command(flatten)]
    limits: Limits,
    /// Removes what goes now, at once and for good.
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    place: Place,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Rules without a station file.
#[derive(Debug, Args)]
#[group(id = "limits", multiple = true)]
struct Limits {
    /// Keeps places below the threshold for so many days.
    #[arg(long, value_name = "N")]
    candidates_days: Option<u32>,
    /// Keeps at most so much of them.
    #[arg(long, value_name = "GIB")]
    candidates_gib: Option<f64>,
    /// Keeps pictures of flaws for so many days.
    #[arg(long, value_name = "N")]
    crops_days: Option<u32>,
    /// Keeps at most so much of them.
    #[arg(long, value_name = "GIB")]
    crops_gib: Option<f64>,
    /// Keeps events for so many days.
    #[arg(long, value_name = "N")]
    events_days: Option<u32>,
    /// Keeps at most so much of them.
    #[arg(long, value_name = "GIB")]
    events_gib: Option<f64>,
}

impl Limits {
    fn settings(&self) -> anyhow::Result<RetentionSettings> {
        let keep = |days: Option<u32>, gib: Option<f64>| {
            (days.is_some() || gib.is_some()).then_some(RawKeep { days, gib })
        };
        let raw = RawRetention {
            candidates: keep(self.candidates_days, self.candidates_gib),
            crops: keep(self.crops_days, self.crops_gib),
            events: keep(self.events_days, self.events_gib),
        };
        raw.checked()
    }
}

pub(super) fn run(command: &StoreCommand, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let StoreCommand::Retention(args) = command;
    retention(args, stop)
}

fn retention(args: &RetentionArgs, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    let settings = match &args.station {
        Some(file) => Station::read(file)?.retention,
        None => args.limits.settings()?,
    };
    ensure!(
        !(args.apply && settings.is_all()),
        "found --apply without a rule, expected a station file with [retention], or a limit such as --crops-days 365"
    );
    // Looked at first: a mistyped store must not be made.
    let looked = args.place.look()?;
    // A line that writes to the same store has its turn after each step.
    let go_on = &mut |took: Duration| {
        std::thread::sleep(took.min(REST));
        !stop.load(Ordering::Relaxed)
    };
    let plan = looked.retention_plan(&rules_of(&settings), now_us(), go_on)?;
    let mut plan = plan.context("stopped before everything was counted; nothing was removed")?;
    let would_go = !plan.is_empty();
    let mut gone = Vec::new();
    if args.apply && would_go {
        gone = remove(&mut args.place.open()?, &mut plan, go_on)?;
    }
    let file = looked.file_bytes()?;
    if args.json {
        say_json(&report(&plan.kinds, &gone, file, args.apply))?;
    } else {
        tell(&plan.kinds, &gone, file, args.apply)?;
    }
    ensure!(
        !args.apply || plan.is_empty(),
        "stopped before everything had gone; the same command goes on"
    );
    Ok(if would_go {
        Outcome::Found
    } else {
        Outcome::Clean
    })
}

fn tell(
    kinds: &[KindPlan],
    gone: &[(RetentionKind, Amount)],
    file: Option<FileBytes>,
    is_applied: bool,
) -> anyhow::Result<()> {
    for kind in kinds {
        let oldest = match kind.oldest_us {
            Some(oldest) => format!(", the oldest of {}", day(oldest)),
            None => String::new(),
        };
        say(&format!(
            "{}: {} ({}){oldest}; kept {}",
            things(kind.kind),
            kind.all.n,
            bytes(kind.all.bytes),
            rule(kind)
        ))?;
        let amount = |amount: Amount| format!("{} ({})", amount.n, bytes(amount.bytes));
        if is_applied {
            let gone = gone.iter().find(|(of, _)| *of == kind.kind);
            let gone = gone.map_or(Amount::default(), |(_, gone)| *gone);
            say(&format!("  removed            {}", amount(gone)))?;
        } else {
            say(&format!("  would go now       {}", amount(kind.now)))?;
        }
        say(&format!(
            "  in the next 7 days {}, at {} a day",
            amount(kind.within_week),
            bytes(kind.bytes_per_day)
        ))?;
    }
    if let Some(file) = file {
        say(&format!(
            "the file has {}, {} of them free in it: what goes makes room in the file, which does not shrink",
            bytes(file.all),
            bytes(file.reusable)
        ))?;
    }
    if kinds.iter().all(|kind| kind.keep.is_all()) {
        say("no rule: everything is kept; see [retention] of the station file, or --help")?;
    }
    Ok(())
}

fn report(
    kinds: &[KindPlan],
    gone: &[(RetentionKind, Amount)],
    file: Option<FileBytes>,
    is_applied: bool,
) -> serde_json::Value {
    let amount = |amount: Amount| serde_json::json!({"n": amount.n, "bytes": amount.bytes});
    let kinds = kinds.iter().map(|kind| {
        let removed = gone.iter().find(|(of, _)| *of == kind.kind);
        let removed = removed.map_or(Amount::default(), |(_, gone)| *gone);
        serde_json::json!({
            "kind": kind.kind.as_str(),
            "days": kind.keep.days,
            "most_bytes": kind.keep.bytes,
            "all": amount(kind.all),
            "oldest": kind.oldest_us.map(day),
            "now": amount(kind.now),
            "within_day": amount(kind.within_day),
            "within_week": amount(kind.within_week),
            "bytes_per_day": kind.bytes_per_day,
            "removed": is_applied.then(|| amount(removed)),
        })
    });
    serde_json::json!({
        "kinds": kinds.collect::<Vec<_>>(),
        "file_bytes": file.map(|file| file.all),
        "reusable_bytes": file.map(|file| file.reusable),
    })
}
