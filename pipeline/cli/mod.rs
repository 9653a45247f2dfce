//! Commands: what a person or a script asks of Selvedge.
//!
//! Each command is a function from its arguments to an [`Outcome`]; errors are printed once,
//! here, with their chain. Results go to standard output, everything else to standard error.

mod accounts;
mod audit;
mod calibrate;
mod cameras;
mod check;
mod classes;
mod demo;
mod evaluate;
mod grade;
mod inspect;
mod log;
mod look;
mod progress;
mod report;
mod review;
mod run;
mod service;
mod shown;
mod store;
mod teach;
mod who;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::store::{Name, Store};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use models::Article;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use self::log::Log;
use crate::config::{LogSettings, Station};
use crate::shelf::Shelf;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; no flaw and no gap.
    Clean,
    /// Done; flaws, gaps or a difference found.
    Found,
}

/// Inspects woven cloth: teach an article from good cloth, inspect rolls, look at what was found.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    log: log::LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything at once on simulated cloth; ends with the roll map.
    Demo(demo::DemoArgs),
    /// Good cloth in, an article model out, made the article's active one.
    Teach(teach::TeachArgs),
    /// One roll through the line into the store.
    Inspect(inspect::InspectArgs),
    /// A station: all its cameras, roll after roll, until it is told to stop.
    Run(run::RunArgs),
    /// Measures a taught article on labelled images.
    Evaluate(evaluate::EvaluateArgs),
    /// What a mill's own samples teach about classes of flaws.
    #[command(subcommand)]
    Classes(classes::ClassesCommand),
    /// Measures a station: light, scale, lens, place of lanes, encoder.
    #[command(subcommand)]
    Calibrate(calibrate::CalibrateCommand),
    /// Lists the rolls in the store.
    Rolls(look::RollsArgs),
    /// One roll: its flaws, its gaps, its picture.
    Roll(look::RollArgs),
    /// One roll under buyers' rules: points, quality, and why; 0 when it is first quality under all of them.
    Grade(grade::GradeArgs),
    /// What a buyer gets with a roll: a page, a table, JSON.
    Report(report::ReportArgs),
    /// The pages on which people review rolls, until it is told to stop.
    Review(review::ReviewArgs),
    /// Looks at article models.
    #[command(subcommand)]
    Model(look::ModelCommand),
    /// Lists cameras, as --from names them.
    Cameras(cameras::CamerasArgs),
    /// Looks after the store.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// The log of what people did: looks whether it is whole, lists it.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// People who may come to the review page.
    #[command(subcommand)]
    Account(accounts::AccountCommand),
    /// Secrets that programs show instead of a password.
    #[command(subcommand)]
    Token(accounts::TokenCommand),
    /// Verifies the installation: runtime, backbone, store, models; with a station file the station too.
    Check(check::CheckArgs),
}

/// Where things are kept.
#[derive(Clone, Debug, Args)]
struct Place {
    /// The QC store.
    #[arg(
        long,
        env = "SELVEDGE_STORE",
        default_value = "selvedge.db",
        value_name = "URL"
    )]
    store: String,
    /// Folder of article models; `articles/` beside the store when left out.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.store)?)
    }

    fn look(&self) -> anyhow::Result<Store> {
        Ok(Store::open_existing(&self.store)?)
    }

    fn shelf(&self) -> Shelf {
        Shelf::new(self.models.as_deref(), &self.store)
    }
}

/// Scale and workers.
#[derive(Clone, Debug, Args)]
struct Sight {
    /// Station file with scale, place and light.
    #[arg(long, value_name = "FILE", conflicts_with = "mm_per_px")]
    station: Option<PathBuf>,
    /// Scale, both ways, in mm per pixel; 0.2 when teaching, as taught otherwise.
    #[arg(long, value_name = "MM")]
    mm_per_px: Option<f64>,
    /// Inference workers; one per processor core when left out.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

impl Sight {
    /// The station, at `usual` mm per pixel when nothing was said.
    fn station(&self, usual: f64) -> anyhow::Result<Station> {
        match (&self.station, self.mm_per_px) {
            (Some(file), _) => Station::read(file),
            (None, scale) => Station::at_scale(scale.unwrap_or(usual)),
        }
    }

    /// The station, as the model was taught when nothing was said.
    fn station_for(&self, model: &Article) -> anyhow::Result<Station> {
        let passport = model.passport();
        if self.is_given() {
            self.station(passport.mm_per_px)
        } else {
            Station::at_scales(passport.mm_per_px, passport.mm_per_line)
        }
    }

    /// Whether a scale was given at all.
    fn is_given(&self) -> bool {
        self.station.is_some() || self.mm_per_px.is_some()
    }

    fn n_workers(&self) -> anyhow::Result<usize> {
        n_workers(self.workers)
    }
}

/// As many workers as were asked for, else one per processor core.
fn n_workers(asked: Option<usize>) -> anyhow::Result<usize> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let n = asked.unwrap_or_else(cores);
    anyhow::ensure!(
        (1..=64).contains(&n),
        "found --workers {n}, expected 1 to 64"
    );
    Ok(n)
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Help that cannot be printed has nobody to read it.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let stands = matches!(cli.command, Command::Run(_));
    let of_station = if let Command::Run(args) = &cli.command {
        run::log_settings(args)
    } else {
        LogSettings::default()
    };
    let log = match cli.log.settings(of_station) {
        Ok(settings) => Log::start(&settings),
        Err(error) => return failed(&error),
    };
    let stop = match stop_on_signal(!stands) {
        Ok(stop) => stop,
        Err(error) => return failed(&error),
    };
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(&args, &stop),
        Command::Teach(args) => teach::run(&args, &stop),
        Command::Inspect(args) => inspect::run(&args, &stop),
        Command::Run(args) => run::run(&args, &stop),
        Command::Evaluate(args) => evaluate::run(&args, &stop),
        Command::Classes(command) => classes::run(&command, &stop),
        Command::Calibrate(command) => calibrate::run(&command, &stop),
        Command::Rolls(args) => look::rolls(&args),
        Command::Roll(args) => look::roll(&args),
        Command::Grade(args) => grade::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Review(args) => review::run(&args, &stop),
        Command::Model(command) => look::model(&command),
        Command::Cameras(args) => cameras::run(&args),
        Command::Store(command) => store::run(&command, &stop),
        Command::Audit(command) => audit::run(&command),
        Command::Account(command) => accounts::account(&command),
        Command::Token(command) => accounts::token(&command),
        Command::Check(args) => check::run(&args, &stop),
    };
    match outcome {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Err(error) => {
            if log.is_in_file() {
                tracing::error!(error = format!("{error:#}"), "the command failed");
            }
            failed(&error)
        }
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // Standard error that is closed leaves nothing to tell and nobody to tell it to.
    drop(writeln!(std::io::stderr(), "selvedge: {error:#}"));
    ExitCode::from(2)
}

/// Prints results on standard output. Whoever stopped reading has seen enough: the outcome,
/// and with it the exit code, stays what it is.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn say_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string(value)?)
}

/// A flag that Ctrl-C or a termination signal sets, and a terminal that is closed where `hang_up_ends`;
/// a second one ends the program at once.
fn stop_on_signal(hang_up_ends: bool) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let register = |signal| -> std::io::Result<()> {
        // In this order: the first signal only sets the flag.
        flag::register_conditional_shutdown(signal, 2, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
        Ok(())
    };
    let hang_up = hang_up_ends.then_some(SIGHUP);
    [SIGINT, SIGTERM]
        .into_iter()
        .chain(hang_up)
        .try_for_each(register)
        .context("signals cannot be handled")?;
    Ok(stop)
}

fn name(text: &str, what: &str) -> anyhow::Result<Name> {
    Name::new(text).with_context(|| format!("{what} {text:?}"))
}
