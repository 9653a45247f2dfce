//! `selvedge grade`: a roll under buyers' rules. Nothing is written.

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use store::{Digest, Name, RunId, Signature, Store};

use super::who::time_of;
use super::{Outcome, Place, name, say, say_json};
use crate::grading::{FlawPoints, Grade, InspectedRoll, Rate, Rules, Stretch, Unit, grade};
use crate::roll_view::RollView;

#[derive(Debug, Args)]
pub(super) struct GradeArgs {
    /// Number of the roll; its latest run is graded.
    roll: String,
    /// A file of rules, or the name of built-in ones: four-point, four-point-yd, ten-point,
    /// house-example; may be given more than once.
    #[arg(long, value_name = "FILE|NAME", required = true)]
    rules: Vec<String>,
    /// Grades this run of the roll.
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &GradeArgs) -> anyhow::Result<Outcome> {
    let roll = name(&args.roll, "roll")?;
    let rules = args.rules.iter().map(|rules| Rules::find(rules));
    let rules = rules.collect::<anyhow::Result<Vec<_>>>()?;
    let store = args.place.look()?;
    let view = view(&store, &roll, args.run.as_deref())?;
    let inspected = view.to_grade()?;
    let mut grades = Vec::with_capacity(rules.len());
    for rules in rules {
        let (grade, signature) = signed_grade(&store, view.run.id, &inspected, &rules)?;
        grades.push(Graded {
            rules,
            grade,
            signature,
        });
    }
    if args.json {
        say_json(&report(&view, &grades))?;
    } else {
        tell(&view, &grades)?;
    }
    let is_first = grades.iter().all(|graded| graded.grade.is_first());
    Ok(if is_first {
        Outcome::Clean
    } else {
        Outcome::Found
    })
}

/// A grade under these rules, with the signature that gives what was withheld.
struct Graded {
    rules: Rules,
    grade: Grade,
    signature: Option<Signature>,
}

/// A run under `rules`, with the person's signature that gives what was withheld, where there is one.
pub(super) fn signed_grade(
    store: &Store,
    run: RunId,
    inspected: &InspectedRoll,
    rules: &Rules,
) -> anyhow::Result<(Grade, Option<Signature>)> {
    let mut graded = grade(inspected, rules);
    let signature = match graded.withheld {
        Some(_) => store.signature(run, &Digest::new(&rules.digest)?)?,
        None => None,
    };
    graded.signed = signature.as_ref().map(says_who);
    Ok((graded, signature))
}

fn says_who(signed: &Signature) -> String {
    format!(
        "first quality was signed by {} ({}) at {}: {}",
        signed.account,
        signed.role,
        time_of(signed.at_us),
        signed.why
    )
}

/// The run that is graded.
fn view(store: &Store, roll: &Name, run: Option<&str>) -> anyhow::Result<RollView> {
    let Some(run) = run else {
        return RollView::latest(store, roll);
    };
    let id: RunId = run.parse().context("--run")?;
    let view = RollView::of(store, id)?;
    let number = &view.run.roll_number;
    anyhow::ensure!(
        number == roll,
        "found run {id} of roll {:?}, expected one of roll {:?}",
        number.as_str(),
        roll.as_str()
    );
    Ok(view)
}

fn tell(view: &RollView, grades: &[Graded]) -> anyhow::Result<()> {
    say(&format!(
        "roll {}, article {}, run {}: {}",
        view.run.roll_number,
        view.run.article,
        view.run.id,
        view.warning()
            .unwrap_or_else(|| view.run.state.as_str().to_owned())
    ))?;
    for Graded { rules, grade, .. } in grades {
        say(&format!(
            "rules {}, version {} ({})",
            rules.name, rules.version, rules.standard
        ))?;
        let rate = |rate: Rate| format!("{:.2} {}", grade.rate(rate), rate.as_str());
        say(&format!(
            "  points   {} on {:.3} m x {:.0} mm: {}, {}",
            grade.points,
            mm(grade.length) / 1e3,
            mm(grade.width),
            rate(Rate::Per100M2),
            rate(Rate::Per100Yd2)
        ))?;
        for stretch in &grade.worst {
            say(&format!("  worst    {}", says(stretch, rules.per)))?;
        }
        say(&format!(
            "  quality  {}",
            grade.quality().unwrap_or("withheld")
        ))?;
        for why in grade.why.iter().chain(&grade.withheld).chain(&grade.signed) {
            say(&format!("  why      {why}"))?;
        }
    }
    Ok(())
}

fn says(stretch: &Stretch, unit: Unit) -> String {
    let nth = stretch.along.start / unit.um() + 1;
    let capped = match stretch.uncapped {
        uncapped if uncapped > stretch.points => format!(" of {uncapped}"),
        _ => String::new(),
    };
    format!(
        "{} {nth}, from {:.2} to {:.2} m: {}{capped}",
        unit.as_str(),
        mm(stretch.along.start) / 1e3,
        mm(stretch.along.end) / 1e3,
        stretch.points
    )
}

fn report(view: &RollView, grades: &[Graded]) -> Value {
    let grades: Vec<Value> = grades.iter().map(report_of).collect();
    json!({
        "roll": view.run.roll_number.as_str(),
        "article": view.run.article.as_str(),
        "run": view.run.id.to_string(),
        "state": view.run.state.as_str(),
        "grades": grades,
    })
}

fn report_of(graded: &Graded) -> Value {
    let Graded {
        rules,
        grade,
        signature,
    } = graded;
    let signed = signature.as_ref().map(|signed| {
        json!({
            "by": signed.account,
            "role": signed.role,
            "at": time_of(signed.at_us),
            "why": signed.why,
            "entry": {"chain": signed.chain, "number": signed.number},
        })
    });
    let worst = grade.worst.iter().map(|stretch| {
        json!({
            "along_mm": [mm(stretch.along.start), mm(stretch.along.end)],
            "points": stretch.points,
            "uncapped": stretch.uncapped,
        })
    });
    let flaws = grade.flaws.iter().map(|counted| flaw(counted, rules.per));
    json!({
        "rules": {
            "name": rules.name,
            "version": rules.version,
            "standard": rules.standard,
            "digest": rules.digest,
        },
        "quality": grade.quality(),
        "quality_by_points": grade.by_points,
        "withheld": grade.withheld,
        "signed": signed,
        "why": grade.why,
        "points": grade.points,
        "per_100_m2": grade.rate(Rate::Per100M2),
        "per_100_yd2": grade.rate(Rate::Per100Yd2),
        "per_100_m": grade.rate(Rate::Per100M),
        "per_100_yd": grade.rate(Rate::Per100Yd),
        "length_mm": mm(grade.length),
        "width_mm": mm(grade.width),
        "per": rules.per.as_str(),
        "worst": worst.collect::<Vec<_>>(),
        "flaws": flaws.collect::<Vec<_>>(),
    })
}

fn flaw(counted: &FlawPoints, unit: Unit) -> Value {
    let flaw = &counted.flaw;
    let span = |range: std::ops::Range<i64>| [mm(range.start), mm(range.end)];
    json!({
        "id": flaw.id,
        "class": flaw.class.as_str(),
        "severity": flaw.severity.as_str(),
        "along_mm": span(flaw.rect.along()),
        "across_mm": span(flaw.rect.across()),
        "points": counted.points,
        "by": counted.by.says(unit),
    })
}

fn mm(um: i64) -> f64 {
    um as f64 / 1e3
}
