//! What one station needs: its file, its article's model, its place and its cameras.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use camera::Description;
use models::Article;
use models::onnx::Runtime;
use store::Store;

use super::super::run::{open_one, specs};
use super::super::{Place, name};
use super::{Findings, Told, lane, place};
use crate::config::Station;
use crate::fitting::check_scale;
use crate::inspect::places_of;

/// Looks at the station of `file`. Where its file cannot be used there is nothing more to look at.
pub(super) fn check(
    file: &Path,
    place: &Place,
    runtime: Option<&Runtime>,
    stop: &Arc<AtomicBool>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let read = Station::read(file).and_then(|station| {
        let specs = specs(&station).with_context(|| format!("station file {file:?}"))?;
        Ok((station, specs))
    });
    let (station, specs) = match read {
        Ok(read) => read,
        Err(error) => return findings.tell("station", Err(error)),
    };
    let told = format!(
        "{}: {} lanes",
        station.name.as_deref().unwrap_or("without a name"),
        station.lanes.len()
    );
    findings.tell("station", Ok(Told::Good(told)))?;
    let model = match model(&station, place, runtime) {
        Ok(Some((model, told))) => {
            findings.tell("article", Ok(Told::Good(told)))?;
            Some(model)
        }
        Ok(None) => {
            let told = "none is usual here; each order must name one (article = \"…\")";
            findings.tell("article", Ok(Told::Note(told.to_owned())))?;
            None
        }
        Err(error) => {
            findings.tell("article", Err(error))?;
            None
        }
    };
    place::check(file, &station, place, findings)?;
    let mut cameras = Vec::new();
    for nth in 0..station.lanes.len() {
        if stop.load(Ordering::Relaxed) {
            anyhow::bail!("stopped before every camera was looked at");
        }
        let look = Arc::new(AtomicBool::new(false));
        let what = format!("lane {}", nth + 1);
        let opened = open_one(&station, &specs, nth, &look).context("its camera does not open");
        let opened = match opened {
            Ok(opened) => opened.source,
            Err(error) => {
                findings.tell(&what, Err(error))?;
                continue;
            }
        };
        cameras.push(opened.description().clone());
        let lane = lane::Lane {
            station: &station,
            nth,
            model: model.as_ref(),
        };
        lane.check(opened, &look, stop, &what, findings)?;
    }
    if cameras.len() == station.lanes.len() {
        let cameras: Vec<&Description> = cameras.iter().collect();
        let found = places_of(&station, &cameras).map(|places| {
            Told::Good(format!(
                "{} beside each other, no strip unseen",
                places.len()
            ))
        });
        findings.tell("lanes", found)?;
    }
    Ok(())
}

/// The model of the station's usual article, and what is said of it; `None` where none is usual.
fn model(
    station: &Station,
    place: &Place,
    runtime: Option<&Runtime>,
) -> anyhow::Result<Option<(Article, String)>> {
    let Some(article) = &station.standing.article else {
        return Ok(None);
    };
    let article = name(article, "article")?;
    let model = (place.shelf()).active(&Store::open_existing(&place.store)?, &article)?;
    check_scale(&model, station)?;
    let replayed = match runtime {
        Some(runtime) => {
            model.scorer(runtime)?;
            "golden tiles replayed"
        }
        None => "golden tiles not replayed: there is no runtime",
    };
    let told = format!(
        "{article}: model {:.12}, {} mm per pixel, {replayed}",
        model.digest(),
        model.passport().mm_per_px
    );
    Ok(Some((model, told)))
}
