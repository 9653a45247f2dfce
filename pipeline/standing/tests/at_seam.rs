//! Rolls that end at a seam: at one place in all lanes, and not a line lost or twice.

use calibration::LightLimits;
use proptest::prelude::*;

use super::*;

/// Columns of a frame here, lines of a test's cloth, and where its seam lies.
const COLUMNS: u32 = 320;
const N_LINES: i64 = 1200;
const SEAM: Range<i64> = 600..650;

fn looks() -> Looks {
    Looks {
        mm_per_px: 0.2,
        mm_per_line: 0.2,
        um_per_tick: 200.0,
        // Two centimetres and a half, and being askew.
        within_um: 35_000,
        light: LightLimits {
            max_saturated_share: 0.5,
            min_mean_level: 8.0,
        },
    }
}

/// A frame of cloth from this line on, whose seam, if it has one, begins at `seam`; one tick a line.
fn cloth(sequence: u64, start: i64, lines: u32, seam: Option<i64>) -> Captured {
    let shape = FrameShape {
        width: COLUMNS,
        height: lines,
        channels: Channels::Grey,
        depth: Depth::Eight,
    };
    let mut buffer = Buffer::alone(shape.n_bytes());
    for (nth, row) in buffer.bytes_mut().chunks_mut(COLUMNS as usize).enumerate() {
        let line = start + nth as i64;
        let within = seam
            .map(|seam| line - seam)
            .filter(|at| (0..50).contains(at));
        for (column, level) in row.iter_mut().enumerate() {
            let yarn = (column as i64 * 7 + line * 5).rem_euclid(11) as f32;
            let ridge = 1.45 + 0.05 * ((column / 10) % 3) as f32;
            let change = match within {
                Some(5..20 | 30..45) => ridge,
                Some(20..30) => 0.7,
                Some(_) | None => 1.0,
            };
            *level = ((90.0 + yarn) * change) as u8;
        }
    }
    let ticks = start..start + i64::from(lines);
    Captured::Frame(Frame::new(0, sequence, ticks, shape, buffer).unwrap())
}

/// A camera that has shown [`N_LINES`] lines in frames of these heights, with a seam there, if any. Its queue
/// has room for more.
fn camera(heights: &[u32], seam: Option<i64>) -> Arc<Mutex<Standing>> {
    let mut exposures = Vec::new();
    let mut tick = 0;
    for (sequence, lines) in (0..).zip(heights.iter().cycle()) {
        let lines = i64::from(*lines).min(N_LINES - tick) as u32;
        if lines == 0 {
            break;
        }
        exposures.push(cloth(sequence, tick, lines, seam));
        tick += i64::from(lines);
    }
    let (tx, rx) = bounded(2 * exposures.len() + 2);
    for captured in exposures {
        tx.send(captured).unwrap();
    }
    Arc::new(Mutex::new(Standing::new(opened(), rx, true)))
}

/// Ticks that each lane hands out in a roll from `begin` on, all at the same time, and where it ends.
fn roll(cameras: &[Arc<Mutex<Standing>>], begin: &[i64]) -> (Vec<Vec<Range<i64>>>, Arc<Ends>) {
    let ends = Arc::<Ends>::default();
    let parts = cameras.iter().zip(begin).enumerate();
    let parts: Vec<RollPart> = parts
        .map(|(lane, (camera, begin))| {
            let ends = (Arc::clone(&ends), lane);
            let part = RollPart::new(Arc::clone(camera), *begin, ends, Arc::default());
            part.unwrap().ending_at_seams(looks())
        })
        .collect();
    let handed = std::thread::scope(|scope| {
        let threads = parts.into_iter().map(|mut part| {
            scope.spawn(move || {
                let shown = ticks_and_lines(&mut part);
                shown.into_iter().map(|(ticks, _)| ticks).collect()
            })
        });
        let threads: Vec<_> = threads.collect();
        let handed = threads.into_iter().map(|thread| thread.join().unwrap());
        handed.collect::<Vec<Vec<Range<i64>>>>()
    });
    (handed, ends)
}

fn ticks_and_lines(part: &mut RollPart) -> Vec<(Range<i64>, u32)> {
    let pool = Pool::new(1, 1);
    let mut shown = Vec::new();
    while let Some(captured) = part.next(&pool).unwrap() {
        let lines = match &captured {
            Captured::Frame(frame) => frame.height(),
            Captured::Lost(lost) => panic!("found {lost:?}"),
        };
        assert_eq!(captured.ticks().count(), lines as usize);
        shown.push((captured.ticks(), lines));
    }
    shown
}

/// Each lane's ticks follow each other from 0 to `length`.
fn assert_whole(handed: &[Vec<Range<i64>>], length: &[i64], what: &str) {
    for (lane, (ticks, length)) in handed.iter().zip(length).enumerate() {
        let mut next = 0;
        for ticks in ticks {
            assert_eq!(ticks.start, next, "{what}, lane {lane}");
            next = ticks.end;
        }
        assert_eq!(next, *length, "{what}, lane {lane}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_roll_ends_behind_a_seam_and_the_next_one_has_all_the_rest(
        heights in prop::collection::vec(prop_oneof![1..12_u32, 20..200_u32], 1..5),
        others in prop::collection::vec(20..200_u32, 1..3),
        apart in -100..100_i64,
    ) {
        let seams = [SEAM.start, SEAM.start + apart];
        let cameras = [camera(&heights, Some(seams[0])), camera(&others, Some(seams[1]))];
        let (first, ends) = roll(&cameras, &[0, 0]);
        let end = ends.known().unwrap();
        prop_assert!(ends.is_seam());
        // One encoder for both: where the farther one has its seam behind it, and 5 mm of cloth.
        prop_assert_eq!(end[0], end[1]);
        let behind = end[0] - (seams[0].max(seams[1]) + 50);
        prop_assert!((15..=27).contains(&behind), "{behind} lines behind the seam");
        assert_whole(&first, &end, "first roll");
        let (second, ends) = roll(&cameras, &end);
        prop_assert_eq!(ends.known(), None);
        assert_whole(&second, &[N_LINES - end[0], N_LINES - end[1]], "second roll");
    }
}

#[test]
fn a_seam_that_another_lane_has_not_ends_nothing() {
    for seams in [[Some(600), None], [None, Some(500)], [Some(200), Some(800)]] {
        let cameras = [camera(&[32], seams[0]), camera(&[50], seams[1])];
        let (handed, ends) = roll(&cameras, &[0, 0]);
        assert_eq!(ends.known(), None, "{seams:?}");
        assert_whole(&handed, &[N_LINES; 2], &format!("{seams:?}"));
    }
}

#[test]
fn a_lane_whose_camera_is_gone_does_not_count() {
    let facts = opened();
    facts.is_gone("cable".to_owned());
    let (_tx, rx) = bounded(4);
    let gone = Arc::new(Mutex::new(Standing::new(facts, rx, true)));
    let cameras = [camera(&[32], Some(600)), gone];
    let ends = Arc::<Ends>::default();
    let mut parts: Vec<RollPart> = (0..2)
        .map(|lane| {
            let place = (Arc::clone(&ends), lane);
            let part = RollPart::new(Arc::clone(&cameras[lane]), 0, place, Arc::default());
            part.unwrap().ending_at_seams(looks())
        })
        .collect();
    let gone = parts.pop().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut gone = gone;
            // What it did not show until the end is lost.
            let pool = Pool::new(1, 1);
            let shown = gone.next(&pool).unwrap().unwrap();
            assert!(matches!(shown, Captured::Lost(_)), "{shown:?}");
        });
        let handed = ticks_and_lines(&mut parts[0]);
        let end = ends.known().unwrap();
        assert_eq!(end[0], end[1]);
        let handed = vec![handed.into_iter().map(|(ticks, _)| ticks).collect()];
        assert_whole(&handed, &end[..1], "the lane that is there");
    });
}

#[test]
fn a_lane_that_does_not_answer_in_time_is_not_waited_for() {
    // It shows cloth, up to shortly before the seam, and then stands still.
    let (tx, rx) = bounded(64);
    for nth in 0..18 {
        tx.send(cloth(nth, nth as i64 * 32, 32, None)).unwrap();
    }
    let silent = Arc::new(Mutex::new(Standing::new(opened(), rx, true)));
    let ends = Arc::<Ends>::default();
    let part = |camera: &Arc<Mutex<Standing>>, lane| {
        let part = RollPart::new(
            Arc::clone(camera),
            0,
            (Arc::clone(&ends), lane),
            Arc::default(),
        );
        part.unwrap().ending_at_seams(looks())
    };
    let (mut sewn, mut silent) = (part(&camera(&[32], Some(600)), 0), part(&silent, 1));
    let since = Instant::now();
    let pool = Pool::new(1, 1);
    for _ in 0..18 {
        silent.next(&pool).unwrap().unwrap();
    }
    let handed = ticks_and_lines(&mut sewn);
    assert_eq!(ends.known(), None);
    assert!(since.elapsed() >= PATIENCE);
    let handed = vec![handed.into_iter().map(|(ticks, _)| ticks).collect()];
    assert_whole(&handed, &[N_LINES], "the lane with the seam");
    drop(tx);
}

#[test]
fn a_dark_frame_is_no_seam() {
    let (tx, rx) = bounded(64);
    for nth in 0..30_u64 {
        let mut shown = cloth(nth, nth as i64 * 40, 40, Some(1000));
        if nth == 12 {
            let Captured::Frame(frame) = &shown else {
                unreachable!()
            };
            let mut buffer = Buffer::alone(frame.bytes().len());
            buffer.bytes_mut().fill(2);
            let (ticks, shape) = (frame.ticks.clone(), frame.shape());
            shown = Captured::Frame(Frame::new(0, nth, ticks, shape, buffer).unwrap());
        }
        tx.send(shown).unwrap();
    }
    drop(tx);
    let camera = [Arc::new(Mutex::new(Standing::new(opened(), rx, true)))];
    let (handed, ends) = roll(&camera, &[0]);
    let end = ends.known().unwrap();
    assert!((1065..=1077).contains(&end[0]), "{end:?}");
    assert_whole(&handed, &end, "behind the dark frame");
}
