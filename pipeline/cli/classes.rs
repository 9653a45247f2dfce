//! `selvedge classes`: what a mill's own samples teach about classes.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};
use models::onnx::Runtime;

use super::progress::Progress;
use super::{Outcome, Place, Sight, name, say};
use crate::class_samples::{find_samples, read_labels};
use crate::classes::Head;
use crate::fitting::{check_scale, scorers_of};

#[derive(Debug, Subcommand)]
pub(super) enum ClassesCommand {
    /// Teaches an article's classes on labelled images: at least two classes of five flaws each.
    Teach(TeachClassesArgs),
    /// What was taught, and how often it and the rules are right.
    Show(ShowClassesArgs),
}

#[derive(Debug, Args)]
pub(super) struct TeachClassesArgs {
    /// Name of the article.
    #[arg(long)]
    article: String,
    /// Lines of file,class or file,class,x,y,w,h, in pixels.
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Folder of the images.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    sight: Sight,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct ShowClassesArgs {
    /// Name of the article.
    #[arg(long)]
    article: String,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &ClassesCommand, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    match command {
        ClassesCommand::Teach(args) => teach(args, stop),
        ClassesCommand::Show(args) => show(args),
    }
}

fn teach(args: &TeachClassesArgs, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    let article = name(&args.article, "article")?;
    let labels = read_labels(&args.labels)?;
    let shelf = args.place.shelf();
    let model = shelf.active(&args.place.look()?, &article)?;
    let station = args.sight.station_for(&model)?;
    check_scale(&model, &station)?;
    let runtime = Runtime::load()?;
    let scorers = scorers_of(&model, &runtime, args.sight.n_workers()?)?;
    let mut bar: Option<Progress> = None;
    let found = find_samples(
        &model,
        &station,
        &args.from,
        &labels,
        scorers,
        stop,
        &mut |n_files| {
            let bar =
                bar.get_or_insert_with(|| Progress::start("looking", "images", Some(n_files)));
            bar.step();
        },
    )?;
    drop(bar);
    for left_out in &found.left_out {
        say(&format!("left out    {left_out}"))?;
    }
    let head = Head::taught(article.as_str(), &found.samples)?;
    shelf.keep_head(&article, &head)?;
    tell(&head)?;
    Ok(Outcome::Clean)
}

fn show(args: &ShowClassesArgs) -> anyhow::Result<Outcome> {
    let article = name(&args.article, "article")?;
    match args.place.shelf().head(&article)? {
        Some(kept) => tell(&kept.head)?,
        None => say("no classes were taught; flaws are named by the rules alone")?,
    }
    Ok(Outcome::Clean)
}

fn tell(head: &Head) -> anyhow::Result<()> {
    say(&format!("classes     taught for {:?}", head.article()))?;
    say(&format!(
        "{:<14}{:>8}{:>20}{:>20}",
        "class", "samples", "taught: right of", "rules: right of"
    ))?;
    for taught in head.classes() {
        let rules = head
            .rules()
            .iter()
            .find(|told| told.class == taught.told.class);
        let rules = rules.map_or("-".to_owned(), |told| {
            format!("{} of {}", told.n_right, told.n)
        });
        let own = format!("{} of {}", taught.told.n_right, taught.told.n);
        say(&format!(
            "{:<14}{:>8}{own:>20}{rules:>20}",
            taught.told.class, taught.n_samples
        ))?;
    }
    Ok(())
}
