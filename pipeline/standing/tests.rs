//! Rolls one after the other from cameras that go on.

use std::collections::VecDeque;
use std::ops::Range;

use camera::{Channels, Depth, FrameShape, TicksFrom};
use crossbeam::channel::bounded;
use proptest::prelude::*;

use super::*;

const WIDTH: u32 = 4;

fn description(ticks_per_line: i64) -> Description {
    Description {
        name: "given".to_owned(),
        shape: FrameShape {
            width: WIDTH,
            height: 16,
            channels: Channels::Grey,
            depth: Depth::Eight,
        },
        ticks_per_line,
        ticks: TicksFrom::Encoder,
        n_frames: None,
        live: true,
        continuous: true,
    }
}

/// A frame from tick `start` on, one tick a line, of which each line says its own tick.
fn frame(sequence: u64, start: i64, lines: u32) -> Captured {
    let shape = FrameShape {
        height: lines,
        ..description(1).shape
    };
    let mut buffer = Buffer::alone(shape.n_bytes());
    for (line, bytes) in buffer.bytes_mut().chunks_mut(WIDTH as usize).enumerate() {
        bytes.fill((start + line as i64) as u8);
    }
    let ticks = start..start + i64::from(lines);
    Captured::Frame(Frame::new(0, sequence, ticks, shape, buffer).unwrap())
}

fn lost(sequence: u64, start: i64, lines: u32) -> Captured {
    Captured::Lost(Lost {
        camera: 0,
        sequence,
        ticks: start..start + i64::from(lines),
        reason: LostReason::FrameLost,
        detail: String::new(),
        origin: None,
    })
}

fn standing(exposures: Vec<Captured>, can_cut: bool) -> Arc<Mutex<Standing>> {
    let (tx, rx) = bounded(exposures.len());
    for captured in exposures {
        tx.send(captured).unwrap();
    }
    Arc::new(Mutex::new(Standing::new(opened(), rx, can_cut)))
}

/// Facts of a camera that has been opened.
fn opened() -> Arc<Facts> {
    let facts = Facts::default();
    facts.is_open(&description(1));
    Arc::new(facts)
}

fn part(camera: &Arc<Mutex<Standing>>, begin: i64, end: Option<i64>) -> RollPart {
    let ends = Arc::<Ends>::default();
    if let Some(end) = end {
        ends.set(|| Ok(vec![end])).unwrap();
    }
    RollPart::new(Arc::clone(camera), begin, (ends, 0), Arc::default()).unwrap()
}

/// All that a part hands out: ticks of each exposure, and for frames the ticks that their lines say.
fn shown(part: &mut RollPart) -> Vec<(Range<i64>, Option<Vec<u8>>)> {
    let pool = Pool::new(1, 1);
    let mut shown = Vec::new();
    while let Some(captured) = part.next(&pool).unwrap() {
        let lines = match &captured {
            Captured::Lost(_) => None,
            Captured::Frame(frame) => {
                let rows = 0..frame.height();
                Some(rows.map(|row| frame.row_u8(row).unwrap()[0]).collect())
            }
        };
        shown.push((captured.ticks(), lines));
    }
    shown
}

proptest! {
    #[test]
    fn every_line_is_in_one_roll_and_says_where(
        heights in prop::collection::vec((1_u32..9, prop::bool::weighted(0.2)), 1..20),
        cuts in prop::collection::btree_set(1_i64..100, 1..6),
    ) {
        let mut exposures = Vec::new();
        let mut tick = 0;
        for (sequence, (lines, is_lost)) in (0..).zip(&heights) {
            let make = if *is_lost { lost } else { frame };
            exposures.push(make(sequence, tick, *lines));
            tick += i64::from(*lines);
        }
        let camera = standing(exposures, true);
        let cuts: Vec<i64> = cuts.into_iter().filter(|cut| *cut < tick).chain([tick]).collect();
        let mut begin = 0;
        for end in cuts {
            let shown = shown(&mut part(&camera, begin, Some(end)));
            let mut next = 0;
            for (ticks, lines) in shown {
                prop_assert_eq!(ticks.start, next, "from {} to {}", begin, end);
                next = ticks.end;
                for (tick, said) in ticks.clone().zip(lines.into_iter().flatten()) {
                    prop_assert_eq!((tick + begin) as u8, said);
                }
            }
            prop_assert_eq!(next, end - begin);
            begin = end;
        }
    }
}

#[test]
fn a_roll_that_is_ended_while_cameras_show_has_all_that_was_handed_out_and_no_more() {
    const N_LANES: usize = 2;
    const N_ROLLS: usize = 300;
    let stop = AtomicBool::new(false);
    let facts: [Arc<Facts>; N_LANES] = [opened(), opened()];
    let mut cameras = Vec::new();
    std::thread::scope(|scope| {
        for (lane, facts) in facts.iter().enumerate() {
            let (tx, rx) = bounded(4);
            facts.note(&frame(0, 0, 1));
            tx.send(frame(0, 0, 1)).unwrap();
            let camera = Standing::new(Arc::clone(facts), rx, true);
            cameras.push(Arc::new(Mutex::new(camera)));
            let stop = &stop;
            let height = lane as u32 + 1;
            scope.spawn(move || {
                let mut tick = 1;
                for sequence in 1.. {
                    let shown = frame(sequence, tick, height);
                    tick += i64::from(height);
                    facts.note(&shown);
                    if stop.load(Ordering::Relaxed) || tx.send(shown).is_err() {
                        return;
                    }
                }
            });
        }
        let mut begin = vec![0; N_LANES];
        for roll in 0..N_ROLLS {
            let ends = Arc::<Ends>::default();
            let lanes = cameras.iter().enumerate().map(|(lane, camera)| {
                let ends = (Arc::clone(&ends), lane);
                let mut part =
                    RollPart::new(Arc::clone(camera), begin[lane], ends, Arc::default()).unwrap();
                scope.spawn(move || shown(&mut part))
            });
            let lanes: Vec<_> = lanes.collect();
            std::thread::sleep(Duration::from_micros(20 * (roll % 50) as u64));
            let known = ends.set(|| now(&facts).context("both have shown something"));
            let end = known.unwrap();
            for (lane, shown) in lanes.into_iter().enumerate() {
                let mut next = 0;
                for (ticks, _) in shown.join().unwrap() {
                    assert_eq!(ticks.start, next, "roll {roll}, lane {lane}");
                    next = ticks.end;
                }
                assert_eq!(next, end[lane] - begin[lane], "roll {roll}, lane {lane}");
            }
            begin = end;
        }
        stop.store(true, Ordering::Relaxed);
        cameras.clear();
    });
}

#[test]
fn what_came_before_a_roll_is_nobody_s() {
    let camera = standing(vec![frame(0, 0, 8), frame(1, 8, 8), frame(2, 16, 8)], true);
    let shown = shown(&mut part(&camera, 10, Some(20)));
    let lines = |ticks: Range<u8>| Some(ticks.collect::<Vec<u8>>());
    assert_eq!(shown, [(0..6, lines(10..16)), (6..10, lines(16..20))]);
}

#[test]
fn frames_that_show_cloth_again_are_not_cut() {
    let camera = standing(vec![frame(0, 0, 8), frame(1, 8, 8), frame(2, 16, 8)], false);
    let ticks = |part: &mut RollPart| -> Vec<Range<i64>> {
        shown(part).into_iter().map(|(ticks, _)| ticks).collect()
    };
    assert_eq!(ticks(&mut part(&camera, 0, Some(10))), [0..8, 8..16]);
    let rest = ticks(&mut part(&camera, 10, Some(24)));
    assert_eq!((rest.len(), rest[0].clone()), (1, 6..14));
}

#[test]
fn a_camera_that_is_silent_at_the_end_of_its_roll_has_lost_the_rest() {
    let (tx, rx) = bounded(4);
    tx.send(frame(0, 0, 8)).unwrap();
    let camera = Standing::new(opened(), rx, true);
    let camera = Arc::new(Mutex::new(camera));
    let shown = shown(&mut part(&camera, 0, Some(30)));
    assert_eq!(shown.last().unwrap(), &(8..30, None));
    drop(tx);
}

#[test]
fn a_roll_ends_when_the_station_is_to_stop() {
    let (_tx, rx) = bounded::<Captured>(1);
    let camera = Standing::new(opened(), rx, true);
    let stop = Arc::new(AtomicBool::new(true));
    let camera = Arc::new(Mutex::new(camera));
    let mut part = RollPart::new(camera, 0, (Arc::default(), 0), stop).unwrap();
    assert!(part.next(&Pool::new(1, 1)).unwrap().is_none());
}

/// A camera that shows what it has and then fails.
struct Failing(Description, VecDeque<Captured>);

impl Source for Failing {
    fn description(&self) -> &Description {
        &self.0
    }

    fn next(&mut self, _: &Pool) -> Result<Option<Captured>, CameraError> {
        self.1.pop_front().map(Some).ok_or(CameraError::CameraGone {
            name: "given".to_owned(),
            tick: 0,
        })
    }
}

/// Number, ticks, and why it is lost if it is.
type Told = (u64, Range<i64>, Option<LostReason>);

/// What is delivered of a camera that fails after each of `lives`; it ends when none is left.
fn delivered(lives: Vec<Vec<Captured>>) -> (Vec<Told>, Arc<Facts>) {
    delivered_beside(lives, || None)
}

/// The same beside cameras that say where the cloth is.
fn delivered_beside(
    lives: Vec<Vec<Captured>>,
    elsewhere: impl Fn() -> Option<i64>,
) -> (Vec<Told>, Arc<Facts>) {
    let source =
        |life: Vec<Captured>| -> Box<dyn Source> { Box::new(Failing(description(1), life.into())) };
    let mut lives = lives.into_iter();
    let first = source(lives.next().unwrap());
    let stop = AtomicBool::new(false);
    let mut open = || match lives.next() {
        Some(life) => Ok(source(life)),
        None => {
            stop.store(true, Ordering::Relaxed);
            anyhow::bail!("still gone")
        }
    };
    let facts = Arc::default();
    let mut told = Vec::new();
    let pool = Pool::new(1, 1);
    stand(
        0,
        first,
        &mut open,
        (&pool, &stop),
        &facts,
        &elsewhere,
        |captured| {
            let reason = match &captured {
                Captured::Lost(lost) => Some(lost.reason),
                Captured::Frame(_) => None,
            };
            told.push((captured.sequence(), captured.ticks(), reason));
            ControlFlow::Continue(())
        },
    );
    (told, facts)
}

#[test]
fn a_camera_that_comes_back_has_a_gap_of_what_its_encoder_says() {
    let (told, facts) = delivered(vec![
        vec![frame(0, 0, 8)],
        vec![frame(0, 40, 8), frame(1, 48, 8)],
    ]);
    let gap = Some(LostReason::CameraLost);
    assert_eq!(
        told,
        [
            (0, 0..8, None),
            (1, 8..40, gap),
            (2, 40..48, None),
            (3, 48..56, None)
        ]
    );
    assert_eq!((facts.n_failures(), facts.n_frames()), (2, 3));
    assert_eq!(facts.doing(), Doing::Gone("still gone".to_owned()));
    assert!(facts.picture(Duration::MAX).is_none(), "it is gone");
}

#[test]
fn a_camera_that_comes_late_or_counts_anew_goes_on_from_where_the_others_are() {
    let places = std::cell::RefCell::new(VecDeque::from([Some(500), Some(620)]));
    let elsewhere = || places.borrow_mut().pop_front().flatten();
    let (told, _) = delivered_beside(
        vec![vec![frame(0, 0, 8), frame(1, 8, 8)], vec![frame(0, 0, 8)]],
        elsewhere,
    );
    let gap = Some(LostReason::CameraLost);
    assert_eq!(
        told,
        [
            (0, 500..508, None),
            (1, 508..516, None),
            (2, 516..620, gap),
            (3, 620..628, None)
        ]
    );
}

#[test]
fn without_an_encoder_a_gap_only_marks_its_place() {
    let (told, _) = delivered(vec![vec![frame(0, 0, 8)], vec![frame(0, 0, 8)]]);
    let gap = Some(LostReason::UnknownLength);
    assert_eq!(told, [(0, 0..8, None), (1, 8..9, gap), (2, 9..17, None)]);
}

#[test]
fn lanes_with_an_encoder_end_where_the_farthest_is() {
    let facts = |ticks, tick| {
        let facts = Facts::default();
        facts.is_open(&Description {
            ticks,
            ..description(1)
        });
        facts.next_tick.store(tick, Ordering::Relaxed);
        Arc::new(facts)
    };
    let cameras = [
        facts(TicksFrom::Encoder, 90),
        facts(TicksFrom::Encoder, 100),
        facts(TicksFrom::Nominal, 7),
    ];
    assert_eq!(now(&cameras), Some(vec![100, 100, 7]));
    // An encoder may stand anywhere when its camera begins.
    let waits = [facts(TicksFrom::Encoder, 90), opened()];
    assert_eq!(now(&waits), None);
    // One that never answered is nowhere.
    assert_eq!(now(&[Arc::default()]), None);
}

#[test]
fn a_camera_that_does_not_answer_at_first_is_tried_until_it_does() {
    let mut n_tries = 0;
    let facts = Facts::default();
    let mut open = || -> anyhow::Result<Box<dyn Source>> {
        n_tries += 1;
        anyhow::ensure!(n_tries > 2, "nobody answers");
        assert_eq!(facts.doing(), Doing::Gone("nobody answers".to_owned()));
        assert!(facts.was_tried() && facts.description().is_none());
        Ok(Box::new(Failing(description(1), VecDeque::new())))
    };
    let stop = AtomicBool::new(false);
    assert!(first_opened(0, &mut open, &stop, &facts).is_some());
    assert_eq!(facts.description(), Some(&description(1)));
    assert_eq!(facts.doing(), Doing::Waiting);
    stop.store(true, Ordering::Relaxed);
    let mut never = || -> anyhow::Result<Box<dyn Source>> { anyhow::bail!("nobody answers") };
    assert!(first_opened(0, &mut never, &stop, &Facts::default()).is_none());
}

#[test]
fn what_nobody_takes_is_told_until_somebody_does() {
    let facts = opened();
    assert!(facts.waits().is_none() && facts.taken().is_none());
    facts.note(&frame(0, 0, 8));
    let first = facts.waits().unwrap();
    facts.note(&frame(1, 8, 8));
    assert!(facts.waits().unwrap() >= first, "the oldest counts");
    facts.is_taken();
    assert!(facts.waits().is_none() && facts.taken().is_some());
}

mod at_seam;
