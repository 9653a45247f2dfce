//! `selvedge report`: what a buyer gets with a roll.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use review::{Report, Units};
use store::{Name, RunId, Store};

use super::review::Graded;
use super::who::Kept;
use super::{Outcome, name, say};
use crate::config::USUAL_RULES;

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Number of the roll; its latest run is reported.
    roll: String,
    /// Reports this run of the roll.
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Writes a page that holds its pictures and needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes one JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes flaws and gaps as a table.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Lengths in inches and yards, in the page.
    #[arg(long)]
    inch: bool,
    /// Rules under which it is graded: a file, or the name of built-in ones; may be given more than once.
    #[arg(long, value_name = "FILE|NAME", default_value = USUAL_RULES)]
    rules: Vec<String>,
    #[command(flatten)]
    kept: Kept,
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<Outcome> {
    ensure!(
        args.html.is_some() || args.json.is_some() || args.csv.is_some(),
        "found no form of report, expected --html FILE, --json FILE or --csv FILE, or several of them"
    );
    let roll = name(&args.roll, "roll")?;
    let store = args.kept.place.look()?;
    let run = run_of(&store, &roll, args.run.as_deref())?;
    let graded = Graded::under(&args.rules)?;
    let report = Report::of(&store, run, &graded, &args.kept.chain()?)
        .with_context(|| format!("roll {:?} cannot be reported", roll.as_str()))?;
    let units = if args.inch {
        Units::Inch
    } else {
        Units::Metric
    };
    if let Some(file) = &args.html {
        write(file, &report.html(units)?)?;
    }
    if let Some(file) = &args.json {
        write(file, &report.json()?)?;
    }
    if let Some(file) = &args.csv {
        write(file, &report.csv())?;
    }
    Ok(Outcome::Clean)
}

/// The run that is asked for, of that roll.
fn run_of(store: &Store, roll: &Name, run: Option<&str>) -> anyhow::Result<RunId> {
    let runs = store.runs_of(roll)?;
    let Some(run) = run else {
        let latest = runs.first().map(|run| run.id);
        return latest.with_context(|| {
            format!(
                "found no roll {:?} in the store, expected one of those that `selvedge rolls` lists",
                roll.as_str()
            )
        });
    };
    let id: RunId = run.parse().context("--run")?;
    ensure!(
        runs.iter().any(|run| run.id == id),
        "found no run {id} of roll {:?}",
        roll.as_str()
    );
    Ok(id)
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("{file:?} cannot be written"))?;
    say(&format!("report: {}", file.display()))
}
