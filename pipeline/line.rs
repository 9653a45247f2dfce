//! The line: every channel and every thread of an inspection, on one screen.
//!
//! ```text
//! capture ──frames──▶ tiler ┐                                     (one pair per lane)
//! capture ──frames──▶ tiler ┴──work──▶ worker × N ──scored──▶ the caller's thread: reorder, consume
//!    ▲                  │                                         │            └──pages──▶ record
//!    └── pool ◀─────────│────────────── frames go home ───────────┤
//!                       └◀──────────────── tickets ───────────────┘
//! ```
//!
//! Lanes share the workers and nothing else: a live lane that waits for its camera makes no other
//! lane wait, and one whose camera fails ends alone. Files wait for each other within a few metres,
//! so that what must be held for a lane beside is bounded. Stopping is the end of the stream: sources end or
//! `stop` is set, each stage drains what it holds and drops its sender. Threads are joined in flow
//! order. When the consumer fails, its receivers are dropped and everything upstream ends; its
//! error is the one that is told.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use anyhow::{Context, anyhow};
use camera::{CaptureCounts, Captured, Pool, Source, capture};
use crossbeam::channel::{Receiver, bounded};
use models::Scorer;
use store::{RunId, Store};

use crate::channel::{Depths, Policy, Tx, channel};
use crate::delivery::Delivery;
use crate::inference::{Scored, score_tiles};
use crate::judging::{Gather, Ordered};
use crate::record::{Page, Written, record};
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
    /// One per lane, from the left.
    pub feeds: Vec<Feed>,
    /// One per worker.
    pub scorers: Vec<Box<dyn Scorer>>,
    /// Ends the line cleanly when set.
    pub stop: &'a AtomicBool,
    /// Shows how full its channels are.
    pub depths: Depths,
}

/// What comes from one lane.
pub struct Feed {
    /// Where its frames come from.
    pub source: Box<dyn Source>,
    /// What becomes of a frame that the line has no room for.
    pub policy: Policy,
    /// What ends before this tick is passed over.
    pub from_tick: i64,
    /// Cloth per tick, µm.
    pub um_per_tick: f64,
    /// How they are cut.
    pub tiler: Tiler,
}

impl Feed {
    /// All that `source` has, on a line of its own.
    pub fn of(source: Box<dyn Source>, tiler: Tiler) -> Self {
        Self {
            policy: policy_of(&*source),
            source,
            from_tick: i64::MIN,
            um_per_tick: 1.0,
            tiler,
        }
    }
}

/// What becomes of a frame of `source` that a line has no room for: cloth that passes does not wait.
pub fn policy_of(source: &dyn Source) -> Policy {
    if source.description().live {
        Policy::DropAndMark
    } else {
        Policy::Block
    }
}

/// How the capture of each lane ended, from the left.
pub type Endings = Vec<anyhow::Result<CaptureCounts>>;

/// Runs a line to its end; `consume` gets everything of each lane in cloth order, on this thread,
/// with the index of the lane. How lanes take turns is chance.
///
/// # Errors
/// What `consume` returned, else the first stage that failed, by name. A source that failed is
/// none: its lane has ended, and how is among the endings.
pub fn run(
    line: Line<'_>,
    consume: &mut dyn FnMut(usize, Ordered) -> anyhow::Result<()>,
) -> anyhow::Result<Endings> {
    let Line {
        feeds,
        scorers,
        stop,
        depths,
    } = line;
    let n_workers = scorers.len().max(1);
    // One per item of a lane between its tiler and the consumer: what `reorder` holds back is
    // bounded.
    let n_tickets = 4 * n_workers + 4;
    let (mut work, work_rx) = channel("work", n_workers, Policy::Block);
    depths.show("work".to_owned(), &mut work);
    let (mut scored, scored_rx) = channel("scored", n_workers, Policy::Block);
    depths.show("scored".to_owned(), &mut scored);

    std::thread::scope(|scope| {
        let mut lanes = Vec::new();
        let (mut capturing, mut tiling, mut pools) = (Vec::new(), Vec::new(), Vec::new());
        for (lane, feed) in feeds.into_iter().enumerate() {
            let Feed {
                mut source,
                policy,
                from_tick,
                um_per_tick,
                tiler,
            } = feed;
            let description = source.description();
            // A frame is at least two items, so the pool never runs dry before the tickets do.
            let n_buffers = FRAMES_HELD + FRAMES_DEPTH + n_tickets / 2;
            let pool = Pool::new(n_buffers, description.shape.n_bytes());
            let (mut frames, frames_rx) = channel("frames", FRAMES_DEPTH, policy);
            depths.show(format!("frames {}", lane + 1), &mut frames);
            let (tickets, returned) = bounded::<()>(n_tickets);
            pools.push(pool.clone());
            lanes.push(LaneOrder::new(returned, um_per_tick, !description.live));
            capturing.push(spawn(scope, format!("capture {lane}"), move || {
                let mut delivery = Delivery::new(frames);
                let deliver = |captured: Captured| {
                    if captured.ticks().end <= from_tick {
                        return ControlFlow::Continue(());
                    }
                    delivery.deliver(captured)
                };
                let counts = capture(&mut *source, &pool, stop, deliver);
                delivery.finish(lane, counts.as_ref().err());
                Ok(counts.context("the source failed"))
            })?);
            let work = work.clone();
            tiling.push(spawn(scope, format!("tiler {lane}"), move || {
                tile(tiler, &frames_rx, |numbered| {
                    let gone = || anyhow!("the stages behind the tiler are gone");
                    tickets.send(()).map_err(|_| gone())?;
                    work.send(numbered).map_err(|_| gone())
                })
            })?);
        }
        drop(work);
        let mut working = Vec::new();
        for (index, mut scorer) in scorers.into_iter().enumerate() {
            let (work_rx, scored) = (work_rx.clone(), scored.clone());
            working.push(spawn(scope, format!("worker {index}"), move || {
                score_tiles(&mut *scorer, &work_rx, &scored);
                Ok(())
            })?);
        }
        drop((work_rx, scored));

        let consumed = consume_in_order(&scored_rx, &mut lanes, consume);
        // Whoever still sends learns that nobody listens; whoever waits for a buffer wakes.
        drop((scored_rx, lanes));
        if consumed.is_err() {
            pools.iter().for_each(Pool::close);
        }
        let captured: anyhow::Result<Endings> = join_all(capturing);
        let tiled = join_all(tiling);
        let worked = join_all(working);
        consumed?;
        let endings = captured?;
        tiled?;
        worked?;
        Ok(endings)
    })
}

/// Runs `body` with a recorder behind it: what `body` sends is written by a thread of its own,
/// and is on the disk when this returns.
///
/// # Errors
/// The recorder's, if it failed, because `body` then only saw that it was gone; else `body`'s.
pub fn recorded<T>(
    (store, run): (&mut Store, RunId),
    depths: &Depths,
    announce: &mut (dyn FnMut(Written<'_>) + Send),
    body: impl FnOnce(&Tx<Page>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (mut pages, pages_rx) = channel("pages", PAGES_DEPTH, Policy::Block);
    depths.show("pages".to_owned(), &mut pages);
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

/// A lane's results on their way back into order.
struct LaneOrder {
    reorder: Reorder<Scored>,
    gather: Gather,
    /// The tickets that come back with them.
    returned: Receiver<()>,
    /// Tickets that have not been given back yet: the lane is ahead of the others.
    n_owed: usize,
    um_per_tick: f64,
    /// Whether its source can wait.
    can_wait: bool,
    /// Cloth along that has been consumed, µm; infinite once the lane has ended.
    reached: f64,
}

/// How far a lane whose source can wait may be ahead of another one of them, µm.
const MOST_AHEAD: f64 = 2e6;

impl LaneOrder {
    fn new(returned: Receiver<()>, um_per_tick: f64, can_wait: bool) -> Self {
        Self {
            reorder: Reorder::default(),
            gather: Gather::default(),
            returned,
            n_owed: 0,
            um_per_tick,
            can_wait,
            reached: f64::NEG_INFINITY,
        }
    }

    fn note(&mut self, ordered: &Ordered) {
        let end = match ordered {
            Ordered::Frame(seen) => seen.head.frame.ticks.end,
            Ordered::Missed(missed) => missed.ticks.end,
            Ordered::Ended => {
                self.reached = f64::INFINITY;
                return;
            }
        };
        self.reached = self.reached.max(end as f64 * self.um_per_tick);
    }
}

/// Gives back what lanes are owed that are not too far ahead.
fn give_back(lanes: &mut [LaneOrder]) -> anyhow::Result<()> {
    let waiting = lanes.iter().filter(|lane| lane.can_wait);
    let last = waiting
        .map(|lane| lane.reached)
        .fold(f64::INFINITY, f64::min);
    for lane in lanes {
        if lane.can_wait && lane.reached.is_finite() && lane.reached > last + MOST_AHEAD {
            continue;
        }
        for _ in 0..std::mem::take(&mut lane.n_owed) {
            lane.returned.recv().context("the tiler gave no ticket")?;
        }
    }
    Ok(())
}

fn consume_in_order(
    scored: &Receiver<Numbered<Scored>>,
    lanes: &mut [LaneOrder],
    consume: &mut dyn FnMut(usize, Ordered) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for numbered in scored {
        let index = numbered.lane;
        let lane = lanes.get_mut(index);
        let lane =
            lane.with_context(|| format!("found work of lane {index}, which is not there"))?;
        lane.reorder.push(numbered);
        while let Some(item) = lane.reorder.next_in_order() {
            lane.n_owed += 1;
            if let Some(ordered) = lane.gather.push(item) {
                lane.note(&ordered);
                consume(index, ordered)?;
            }
        }
        give_back(lanes)?;
    }
    let n_waiting: usize = lanes.iter().map(|lane| lane.reorder.n_waiting()).sum();
    anyhow::ensure!(
        n_waiting == 0,
        "a worker ended before its work: {n_waiting} results wait for one that never came"
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

/// Joins all, whatever becomes of each; the first that failed is told.
fn join_all<T>(handles: Vec<ScopedJoinHandle<'_, anyhow::Result<T>>>) -> anyhow::Result<Vec<T>> {
    let joined: Vec<_> = handles.into_iter().map(join).collect();
    joined.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use camera::{Lost, LostReason};

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
            delivery.finish(0, None);
            assert_eq!(last.join().unwrap(), vec![40..50]);
        });
    }
}
