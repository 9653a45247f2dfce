//! What the line found, written once and durably.
//!
//! ```text
//! Page (one frame's coverage, flaws, candidates, events) ─▶ record ─▶ store, then announced
//! ```
//!
//! The only place where the line's types become the store's. Pages that wait are written
//! together, in order, in one transaction; a flaw is announced when the transaction is on the
//! disk and not before. Ends when every sender of pages is gone. A store that somebody else has
//! locked is waited for, a full disk is asked once more without pictures (`room`); a store that
//! fails otherwise ends the roll: nothing is held back in memory in the hope of better times.

mod room;

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use calibration::{Um, WebRect};
use crossbeam::channel::Receiver;
use store::{
    Batch, CoverageCell, Crop, CropPlace, EventSeverity, FlawId, NewCandidate, NewCrop, NewEvent,
    NewFlaw, Rect, RunId, Store, StoreError, now_us,
};

use crate::classes::Kind;
use crate::crops::png;
use crate::roll::{Cover, CoverState};
use crate::running::Running;
use crate::stitch::{Cutout, Flaw};

pub use room::CROPS_RESERVE_BYTES;

/// What one frame adds to a roll.
#[derive(Debug, Default)]
pub struct Page {
    /// When the frame was exposed, if that is known.
    pub exposed_at: Option<SystemTime>,
    /// Rectangles of the ledger.
    pub coverage: Vec<Cover>,
    /// Flaws that have ended, and what they are.
    pub flaws: Vec<(Flaw, Kind)>,
    /// Places below the threshold: where, and the score.
    pub candidates: Vec<(WebRect, f32)>,
    /// What a person should know.
    pub events: Vec<Event>,
    /// Word of flaws that run; not written, since they are not whole.
    pub running: Vec<Running>,
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

/// What is on the disk now, in the order of the pages.
#[derive(Debug)]
pub enum Written<'a> {
    /// The run, and what was looked at earlier: all up to this place along, which is zero of a new run.
    Began(RunId, Um),
    /// A flaw.
    Flaw(FlawId, &'a NewFlaw),
    /// A flaw that runs, before it is whole; itself it is not on the disk yet.
    Running(Running),
    /// All of one page; its flaws were told just before.
    Page {
        /// When its frame was exposed, if that is known.
        exposed_at: Option<SystemTime>,
        /// What it added to the ledger.
        coverage: &'a [CoverageCell],
        /// Whether there was nothing in it to write: its frame was held back with a flaw that is
        /// still running.
        is_empty: bool,
    },
}

impl Written<'_> {
    /// Tells the log.
    pub fn log(&self) {
        match self {
            Written::Flaw(id, flaw) => tracing::info!(
                %id,
                class = flaw.class,
                along_mm = flaw.rect.along().start / 1000,
                across_mm = flaw.rect.across().start / 1000,
                "flaw"
            ),
            Written::Running(running) => tracing::warn!("{running}"),
            Written::Began(..) | Written::Page { .. } => {}
        }
    }
}

/// How long a store that another program has locked is waited for, and how long between two tries:
/// most waiting is the store's own, but a deadlock is refused at once.
const BUSY_PATIENCE: Duration = Duration::from_secs(60);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Pages that one transaction may hold; a longer one would keep readers' views old.
const MOST_PAGES: usize = 64;

/// Writes pages until there are no more; `announce` hears of what is on the disk.
///
/// # Errors
/// When the store refuses; what was announced is in it.
pub fn record(
    store: &mut Store,
    run: RunId,
    pages: &Receiver<Page>,
    announce: &mut dyn FnMut(Written<'_>),
) -> anyhow::Result<()> {
    let mut room = room::Room::default();
    while let Ok(first) = pages.recv() {
        let mut batch = Batch::default();
        let mut written = Vec::new();
        let rest = pages.try_iter().take(MOST_PAGES - 1);
        for mut page in std::iter::once(first).chain(rest) {
            let (exposed_at, is_empty) = (page.exposed_at, page.is_empty());
            let running = std::mem::take(&mut page.running);
            let n = (page.coverage.len(), page.flaws.len());
            written.push((n, running, exposed_at, is_empty));
            add(&mut batch, page)?;
        }
        // A disk that does not say how full it is says so when it is written to.
        let free_bytes = room::for_pictures(
            store.free_bytes().ok().flatten(),
            store.file_bytes().ok().flatten(),
        );
        room.prepare(&mut batch, free_bytes, Instant::now());
        let ids = if batch.is_empty() {
            Vec::new()
        } else {
            let pause = &mut || std::thread::sleep(BUSY_PAUSE);
            write(&mut batch, &mut room, pause, &mut |batch| {
                store.append(run, batch)
            })
            .context("what was found could not be written to the store")?
        };
        let mut flaws = ids.into_iter().zip(&batch.flaws);
        let mut coverage = &batch.coverage[..];
        for ((n_coverage, n_flaws), running, exposed_at, is_empty) in written {
            for (id, flaw) in flaws.by_ref().take(n_flaws) {
                announce(Written::Flaw(id, flaw));
            }
            for running in running {
                announce(Written::Running(running));
            }
            let (of_page, rest) = coverage.split_at(n_coverage);
            coverage = rest;
            announce(Written::Page {
                exposed_at,
                coverage: of_page,
                is_empty,
            });
        }
    }
    Ok(())
}

/// Writes one batch, as long as it takes another program to let go of the store, and without
/// pictures when there is no room for them.
fn write(
    batch: &mut Batch,
    room: &mut room::Room,
    pause: &mut dyn FnMut(),
    append: &mut dyn FnMut(&Batch) -> Result<Vec<FlawId>, StoreError>,
) -> Result<Vec<FlawId>, StoreError> {
    let since = Instant::now();
    let mut is_told = false;
    loop {
        match append(batch) {
            Err(StoreError::DiskFull { .. }) if room.refused(batch, Instant::now()) => {}
            Err(error @ StoreError::Busy { .. }) if since.elapsed() < BUSY_PATIENCE => {
                if !is_told {
                    tracing::warn!(%error, "the recorder waits for the store");
                    is_told = true;
                }
                pause();
            }
            written => return written,
        }
    }
}

impl Page {
    fn is_empty(&self) -> bool {
        self.coverage.is_empty()
            && self.flaws.is_empty()
            && self.candidates.is_empty()
            && self.events.is_empty()
    }
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
    for (flaw, kind) in page.flaws {
        batch.flaws.push(NewFlaw {
            class: kind.class.as_str().to_owned(),
            rect: rect(&flaw.rect)?,
            length_um: flaw.length().get(),
            area_um2: flaw.area_um2,
            score: f64::from(flaw.score),
            severity: kind.severity.as_str().to_owned(),
            found_at_us: now_us(),
            crop: flaw.crop.as_deref().and_then(crop).map(NewCrop::Kept),
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

/// The picture of a flaw; `None` where it cannot be encoded, which is told.
fn crop(cutout: &Cutout) -> Option<Crop> {
    let png = png(cutout).inspect_err(|error| {
        tracing::error!(%error, "a flaw's picture could not be encoded; the flaw is kept without it");
    });
    Some(Crop {
        png: png.ok()?,
        place: CropPlace {
            lane: u32::from(cutout.lane),
            frame: cutout.frame,
            x_px: cutout.x,
            y_px: cutout.y,
            width_px: cutout.width,
            height_px: cutout.height,
            margin_px: cutout.margin,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of one flaw with a picture.
    fn batch() -> Batch {
        let cutout = Cutout {
            samples: vec![1],
            samples_of: (camera::Channels::Grey, camera::Depth::Eight),
            lane: 0,
            frame: 7,
            x: 0,
            y: 0,
            width: 1,
            height: 1,
            margin: 0,
        };
        let flaw = NewFlaw {
            class: "hole".to_owned(),
            rect: Rect::new(0..1, 0..1).unwrap(),
            length_um: 1,
            area_um2: 1,
            score: 2.0,
            severity: "severe".to_owned(),
            found_at_us: 0,
            crop: crop(&cutout).map(NewCrop::Kept),
        };
        Batch {
            flaws: vec![flaw],
            ..Batch::default()
        }
    }

    /// What became of a batch.
    #[derive(Debug, PartialEq)]
    struct Asked {
        n_times: usize,
        n_pauses: usize,
        is_written: bool,
        batch: Batch,
    }

    /// Writes a batch to a store that refuses it like this at first.
    fn written(refusals: &[fn(String) -> StoreError]) -> Asked {
        let (mut n_times, mut n_pauses, mut batch) = (0, 0, batch());
        let pause = &mut || n_pauses += 1;
        let done = write(&mut batch, &mut room::Room::default(), pause, &mut |_| {
            n_times += 1;
            match refusals.get(n_times - 1) {
                Some(refusal) => Err(refusal("selvedge.db".to_owned())),
                None => Ok(Vec::new()),
            }
        });
        Asked {
            n_times,
            n_pauses,
            is_written: done.is_ok(),
            batch,
        }
    }

    const BUSY: fn(String) -> StoreError = |store| StoreError::Busy {
        store,
        waited_millis: 5000,
    };
    const FULL: fn(String) -> StoreError = |store| StoreError::DiskFull { store };

    #[test]
    fn a_locked_store_is_asked_again_with_everything_after_a_pause_each_time() {
        let asked = Asked {
            n_times: 3,
            n_pauses: 2,
            is_written: true,
            batch: batch(),
        };
        assert_eq!(written(&[BUSY, BUSY]), asked);
    }

    #[test]
    fn a_full_disk_is_asked_once_more_without_pictures_and_then_ends_the_roll() {
        let asked = written(&[FULL]);
        assert_eq!(
            (asked.n_times, asked.n_pauses, asked.is_written),
            (2, 0, true)
        );
        let crop = &asked.batch.flaws[0].crop;
        assert!(matches!(crop, Some(NewCrop::LeftOut { .. })), "{crop:?}");
        assert_eq!(asked.batch.events[0].kind, "crops_dropped");

        let asked = written(&[FULL, FULL]);
        assert_eq!((asked.n_times, asked.is_written), (2, false));
    }
}
