//! The line: every channel and every thread of an inspection, on one screen.
//!
//! ```text
//! capture ──frames──▶ tiler ──work──▶ worker × N ──scored──▶ the caller's thread: reorder, consume
//!    ▲                  │                                         │            └──pages──▶ record
//!    └── pool ◀─────────│────────────── frames go home ───────────┤
//!                       └◀──────────────── tickets ───────────────┘
//! ```
//!
//! Stopping is the end of the stream: the source ends or `stop` is set, each stage drains what
//! it holds and drops its sender. Threads are joined in flow order. When the consumer fails,
//! its receivers are dropped and everything upstream ends; its error is the one that is told.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use anyhow::{Context, anyhow};
use camera::{CaptureCounts, Captured, Lost, LostReason, Pool, Source, capture};
use crossbeam::channel::{Receiver, bounded};
use models::Scorer;
use store::{FlawId, NewFlaw, RunId, Store};

use crate::channel::{Policy, Refused, Tx, channel};
use crate::inference::score_tiles;
use crate::judging::{Gather, Ordered};
use crate::record::{Page, record};
use crate::reorder::Reorder;
use crate::tiles::{Numbered, Tiler, Work};

/// Frames between capture and tiler.
const FRAMES_DEPTH: usize = 2;
/// Frames that tiler and consumer hold while others are captured.
const FRAMES_HELD: usize = 4;
/// Pages that may wait for the disk before the line does.
const PAGES_DEPTH: usize = 256;

/// What a line is made of.
pub struct Line<'a> {
    /// Where frames come from.
    pub source: Box<dyn Source>,
    /// How they are cut.
    pub tiler: Tiler,
    /// One per worker.
    pub scorers: Vec<Box<dyn Scorer>>,
    /// Ends the line cleanly when set.
    pub stop: &'a AtomicBool,
}

/// Runs a line to its end; `consume` gets everything in cloth order, on this thread.
///
/// # Errors
/// What `consume` returned, else the first stage that failed, by name.
pub fn run(
    line: Line<'_>,
    consume: &mut dyn FnMut(Ordered) -> anyhow::Result<()>,
) -> anyhow::Result<CaptureCounts> {
    let Line {
        mut source,
        tiler,
        scorers,
        stop,
    } = line;
    let n_workers = scorers.len().max(1);
    let policy = if source.description().live {
        Policy::DropAndMark
    } else {
        Policy::Block
    };
    // One per item between tiler and consumer: what `reorder` holds back is bounded.
    let n_tickets = 4 * n_workers + 4;
    // A frame is at least two items, so the pool never runs dry before the tickets do.
    let pool = Pool::new(
        FRAMES_HELD + FRAMES_DEPTH + n_tickets / 2,
        source.description().shape.n_bytes(),
    );
    let (frames, frames_rx) = channel("frames", FRAMES_DEPTH, policy);
    let (work, work_rx) = channel("work", n_workers, Policy::Block);
    let (scored, scored_rx) = channel("scored", n_workers, Policy::Block);
    let (tickets, returned) = bounded::<()>(n_tickets);

    std::thread::scope(|scope| {
        let frames_pool = pool.clone();
        let capturing = spawn(scope, "capture".into(), move || {
            let mut delivery = Delivery::new(frames);
            let deliver = |captured| delivery.deliver(captured);
            let counts = capture(&mut *source, &frames_pool, stop, deliver);
            delivery.finish();
            counts.context("the source failed")
        })?;
        let tiling = spawn(scope, "tiler".into(), move || {
            tile(tiler, &frames_rx, |numbered| {
                let gone = || anyhow!("the stages behind the tiler are gone");
                tickets.send(()).map_err(|_| gone())?;
                work.send(numbered).map_err(|_| gone())
            })
        })?;
        let mut working = Vec::new();
        for (index, mut scorer) in scorers.into_iter().enumerate() {
            let (work_rx, scored) = (work_rx.clone(), scored.clone());
            working.push(spawn(scope, format!("worker {index}"), move || {
                score_tiles(&mut *scorer, &work_rx, &scored);
                Ok(())
            })?);
        }
        drop((work_rx, scored));

        let consumed = consume_in_order(&scored_rx, &returned, consume);
        // Whoever still sends learns that nobody listens; whoever waits for a buffer wakes.
        drop((scored_rx, returned));
        if consumed.is_err() {
            pool.close();
        }
        let captured = join(capturing);
        let tiled = join(tiling);
        let worked: Vec<_> = working.into_iter().map(join).collect();
        consumed?;
        let counts = captured?;
        tiled?;
        worked.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
        Ok(counts)
    })
}

/// Runs `body` with a recorder behind it: what `body` sends is written by a thread of its own,
/// and is on the disk when this returns.
///
/// # Errors
/// The recorder's, if it failed, because `body` then only saw that it was gone; else `body`'s.
pub fn recorded<T>(
    store: &mut Store,
    run: RunId,
    announce: &mut (dyn FnMut(FlawId, &NewFlaw) + Send),
    body: impl FnOnce(&Tx<Page>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (pages, pages_rx) = channel("pages", PAGES_DEPTH, Policy::Block);
    std::thread::scope(|scope| {
        let recording = spawn(scope, "record".into(), move || {
            record(store, run, &pages_rx, announce)
        })?;
        let done = body(&pages);
        drop(pages);
        join(recording)?;
        done
    })
}

/// Hands exposures to the line and accounts for those that it had no room for.
struct Delivery {
    frames: Tx<Captured>,
    /// Exposures in a row that found the line full.
    dropped: Option<Lost>,
}

impl Delivery {
    fn new(frames: Tx<Captured>) -> Self {
        Self {
            frames,
            dropped: None,
        }
    }

    fn deliver(&mut self, captured: Captured) -> ControlFlow<()> {
        if let Some(dropped) = self.dropped.take()
            && let Err(refused) = self.frames.send(Captured::Lost(dropped))
        {
            match refused {
                Refused::Gone(_) => return ControlFlow::Break(()),
                Refused::Full(earlier) => {
                    self.dropped = Some(overload(earlier.ticks().start, &captured));
                    return ControlFlow::Continue(());
                }
            }
        }
        match self.frames.send(captured) {
            Ok(()) => ControlFlow::Continue(()),
            Err(Refused::Gone(_)) => ControlFlow::Break(()),
            Err(Refused::Full(captured)) => {
                self.dropped = Some(overload(captured.ticks().start, &captured));
                ControlFlow::Continue(())
            }
        }
    }

    /// Tells of what was dropped last, even if the line is still full.
    fn finish(self) {
        if let Some(dropped) = self.dropped
            && self.frames.send_waiting(Captured::Lost(dropped)).is_err()
        {
            // Downstream is gone and reports its own reason.
            tracing::debug!("the end of the stream found nobody");
        }
    }
}

/// The cloth from `start` to the end of `last`, dropped.
fn overload(start: i64, last: &Captured) -> Lost {
    Lost {
        camera: last.camera(),
        sequence: last.sequence(),
        ticks: start..last.ticks().end,
        reason: LostReason::Overload,
        detail: "the line did not keep up with the camera".to_owned(),
        origin: None,
    }
}

fn tile(
    mut tiler: Tiler,
    frames: &Receiver<Captured>,
    mut out: impl FnMut(Numbered<Work>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for captured in frames {
        tiler.push(captured, &mut out)?;
    }
    tiler.finish(&mut out)
}

fn consume_in_order(
    scored: &Receiver<Numbered<crate::inference::Scored>>,
    returned: &Receiver<()>,
    consume: &mut dyn FnMut(Ordered) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reorder = Reorder::default();
    let mut gather = Gather::default();
    for numbered in scored {
        reorder.push(numbered);
        while let Some(item) = reorder.next_in_order() {
            returned.recv().context("the tiler gave no ticket")?;
            if let Some(ordered) = gather.push(item) {
                consume(ordered)?;
            }
        }
    }
    anyhow::ensure!(
        reorder.n_waiting() == 0,
        "a worker ended before its work: {} results wait for one that never came",
        reorder.n_waiting()
    );
    Ok(())
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    body: impl FnOnce() -> anyhow::Result<T> + Send + 'scope,
) -> anyhow::Result<ScopedJoinHandle<'scope, anyhow::Result<T>>> {
    let failed = format!("thread {name:?} could not be started");
    Builder::new()
        .name(name)
        .spawn_scoped(scope, body)
        .context(failed)
}

fn join<T>(handle: ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    let name = handle.thread().name().unwrap_or("unnamed").to_owned();
    handle
        .join()
        .unwrap_or_else(|_| Err(anyhow!("it panicked")))
        .with_context(|| format!("thread {name:?} failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(sequence: u64) -> Captured {
        let start = sequence as i64 * 10;
        Captured::Lost(Lost {
            camera: 0,
            sequence,
            ticks: start..start + 10,
            reason: LostReason::CameraLost,
            detail: String::new(),
            origin: None,
        })
    }

    #[test]
    fn what_a_full_line_drops_is_told_as_one_stretch_of_cloth() {
        let (frames, rx) = channel("frames", 1, Policy::DropAndMark);
        let mut delivery = Delivery::new(frames);
        for sequence in 0..4 {
            assert!(delivery.deliver(exposure(sequence)).is_continue());
        }
        assert_eq!(rx.recv().unwrap().ticks(), 0..10);
        assert!(delivery.deliver(exposure(4)).is_continue());
        let told = rx.recv().unwrap();
        assert_eq!(told.ticks(), 10..40);
        let Captured::Lost(lost) = told else {
            panic!("a frame that was dropped came all the same");
        };
        assert_eq!(lost.reason, LostReason::Overload);
        std::thread::scope(|scope| {
            let last = scope.spawn(|| {
                rx.iter()
                    .map(|captured| captured.ticks())
                    .collect::<Vec<_>>()
            });
            delivery.finish();
            assert_eq!(last.join().unwrap(), vec![40..50]);
        });
    }
}
