//! What the line found, written once and durably.
//!
//! ```text
//! Page (one frame's coverage, flaws, candidates, events) ─▶ record ─▶ store, then announced
//! ```
//!
//! The only place where the line's types become the store's. Pages that wait are written
//! together, in order, in one transaction; a flaw is announced when the transaction is on the
//! disk and not before. Ends when every sender of pages is gone. A store that fails ends the
//! roll: nothing is held back in memory in the hope of better times.

use anyhow::Context;
use calibration::{Um, WebRect};
use crossbeam::channel::Receiver;
use store::{
    Batch, CoverageCell, Crop, CropPlace, EventSeverity, FlawId, NewCandidate, NewEvent, NewFlaw,
    Rect, RunId, Store, now_us,
};

use crate::roll::{Cover, CoverState};
use crate::stitch::{Cutout, Flaw};

/// What one frame adds to a roll.
#[derive(Debug, Default)]
pub struct Page {
    /// Rectangles of the ledger.
    pub coverage: Vec<Cover>,
    /// Flaws that have ended, with the width of their web.
    pub flaws: Vec<(Flaw, Um)>,
    /// Places below the threshold: where, and the score.
    pub candidates: Vec<(WebRect, f32)>,
    /// What a person should know.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// One word for it.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: EventSeverity,
    /// What was found and what was expected.
    pub message: String,
}

/// Pages that one transaction may hold; a longer one would keep readers' views old.
const MOST_PAGES: usize = 64;

/// Writes pages until there are no more; `announce` hears of each flaw that is on the disk.
///
/// # Errors
/// When the store refuses; what was announced is in it.
pub fn record(
    store: &mut Store,
    run: RunId,
    pages: &Receiver<Page>,
    announce: &mut dyn FnMut(FlawId, &NewFlaw),
) -> anyhow::Result<()> {
    while let Ok(first) = pages.recv() {
        let mut batch = Batch::default();
        let rest = pages.try_iter().take(MOST_PAGES - 1);
        for page in std::iter::once(first).chain(rest) {
            add(&mut batch, page)?;
        }
        if batch.is_empty() {
            continue;
        }
        let ids = store
            .append(run, &batch)
            .context("what was found could not be written to the store")?;
        for (id, flaw) in ids.into_iter().zip(&batch.flaws) {
            announce(id, flaw);
        }
    }
    Ok(())
}

fn add(batch: &mut Batch, page: Page) -> anyhow::Result<()> {
    for cover in page.coverage {
        batch.coverage.push(CoverageCell {
            rect: rect(&cover.rect)?,
            state: match cover.state {
                CoverState::Inspected => store::CoverState::Inspected,
                CoverState::Beside => store::CoverState::Beside,
                CoverState::Gap(reason) => store::CoverState::Gap(reason.as_str().to_owned()),
            },
        });
    }
    for (flaw, web_width) in page.flaws {
        batch.flaws.push(NewFlaw {
            class: flaw.class(web_width).to_owned(),
            rect: rect(&flaw.rect)?,
            length_um: flaw.length().get(),
            area_um2: flaw.area_um2,
            score: f64::from(flaw.score),
            severity: flaw.severity().to_owned(),
            found_at_us: now_us(),
            crop: flaw.crop.as_deref().map(crop),
        });
    }
    for (place, score) in page.candidates {
        batch.candidates.push(NewCandidate {
            rect: rect(&place)?,
            score: f64::from(score),
        });
    }
    for event in page.events {
        batch.events.push(NewEvent {
            at_us: now_us(),
            kind: event.kind.to_owned(),
            severity: event.severity,
            message: event.message,
        });
    }
    Ok(())
}

fn rect(rect: &WebRect) -> anyhow::Result<Rect> {
    let (along, across) = (rect.along, rect.across);
    Ok(Rect::new(
        along.start().get()..along.end().get(),
        across.start().get()..across.end().get(),
    )?)
}

fn crop(cutout: &Cutout) -> Crop {
    Crop {
        png: cutout.png.clone(),
        place: CropPlace {
            lane: u32::from(cutout.lane),
            frame: cutout.frame,
            x_px: cutout.x,
            y_px: cutout.y,
            width_px: cutout.width,
            height_px: cutout.height,
            margin_px: cutout.margin,
        },
    }
}
