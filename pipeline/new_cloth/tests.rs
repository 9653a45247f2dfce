//! A loom's web, seen by an area camera in overlapping pictures, comes out as the same web.

use std::collections::VecDeque;

use camera::{Beside, Buffer, FrameShape, Loom, LoomSettings};
use models::MAX_HALO_PX;
use proptest::prelude::*;

use super::*;

const WIDTH: u32 = 384;
const HEIGHT: u32 = 160;

/// Every line of a web.
fn web(seed: u64, n_lines: u32) -> (FrameShape, Vec<u8>) {
    let mut settings = LoomSettings::new(seed);
    (settings.width, settings.frame_height, settings.n_frames) = (WIDTH, n_lines, Some(1));
    (settings.left, settings.right) = (Beside::DarkTable(24), Beside::DarkTable(24));
    let mut loom = Loom::new(settings).unwrap();
    let shape = loom.description().shape;
    match loom.next(&Pool::new(1, shape.n_bytes())).unwrap() {
        Some(Captured::Frame(frame)) => (shape, frame.bytes().to_vec()),
        other => panic!("{other:?}"),
    }
}

/// Pictures of the web that end before these lines; `None` is an exposure that is lost.
struct Pictures {
    web: Vec<u8>,
    ends: VecDeque<Option<i64>>,
    motion: Motion,
    description: Description,
    sequence: u64,
    /// Whether ticks tell where each picture ends; else they are nominal.
    has_encoder: bool,
    last_end: i64,
    /// How far an encoder's ticks of an exposure that is lost reach.
    lost_ticks: i64,
}

impl Pictures {
    fn new(seed: u64, ends: &[Option<i64>], motion: Motion, has_encoder: bool) -> Self {
        let n_lines = ends.iter().flatten().max().copied().unwrap() as u32;
        let (shape, web) = web(seed, n_lines);
        Self {
            web,
            ends: ends.iter().copied().collect(),
            motion,
            description: Description {
                name: "pictures".to_owned(),
                shape: FrameShape {
                    height: HEIGHT,
                    ..shape
                },
                ticks_per_line: 1,
                ticks: if has_encoder {
                    TicksFrom::Encoder
                } else {
                    TicksFrom::Nominal
                },
                n_frames: Some(ends.len() as u64),
                live: false,
                continuous: false,
            },
            sequence: 0,
            has_encoder,
            last_end: 0,
            lost_ticks: 0,
        }
    }
}

impl Source for Pictures {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, _pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let Some(end) = self.ends.pop_front() else {
            return Ok(None);
        };
        let sequence = self.sequence;
        self.sequence += 1;
        let height = i64::from(HEIGHT);
        let nominal = sequence as i64 * height..(sequence as i64 + 1) * height;
        let Some(end) = end else {
            return Ok(Some(Captured::Lost(Lost {
                camera: 0,
                sequence,
                ticks: if self.has_encoder {
                    self.last_end..self.last_end + self.lost_ticks
                } else {
                    nominal
                },
                reason: LostReason::FrameLost,
                detail: "told to".to_owned(),
                origin: None,
            })));
        };
        self.last_end = end;
        let line = WIDTH as usize;
        let mut buffer = Buffer::alone(self.description.shape.n_bytes());
        let lines = (end - height) as usize * line..end as usize * line;
        buffer.bytes_mut().copy_from_slice(&self.web[lines]);
        let ticks = if self.has_encoder {
            end - height..end
        } else {
            nominal
        };
        let frame = Frame::new(0, sequence, ticks, self.description.shape, buffer)?;
        Ok(Some(Captured::Frame(match self.motion {
            Motion::Up => frame,
            Motion::Down => frame.upside_down(),
        })))
    }
}

struct Reduced {
    /// Line number and samples.
    lines: Vec<(i64, Vec<u8>)>,
    lost: Vec<Lost>,
    /// Heights of frames that go on in one another; a loss lies between two lists.
    heights: Vec<Vec<u32>>,
    end: i64,
    facts: Arc<LengthFacts>,
}

fn reduced(pictures: Pictures, motion: Motion, length: LengthFrom) -> Reduced {
    let settings = NewClothSettings { motion, length };
    let mut source = NewCloth::new(Box::new(pictures), settings, Arc::default());
    let facts = source.facts();
    let pool = Pool::new(1, source.description().shape.n_bytes());
    let (mut lines, mut lost, mut end, mut sequence) = (Vec::new(), Vec::new(), None, 0);
    let mut heights = vec![Vec::new()];
    while let Some(captured) = source.next(&pool).unwrap() {
        let ticks = captured.ticks();
        assert_eq!(captured.sequence(), sequence, "sequences run on");
        sequence += 1;
        assert!(!ticks.is_empty());
        assert_eq!(ticks.start, end.unwrap_or(ticks.start), "ticks run on");
        end = Some(ticks.end);
        match captured {
            Captured::Frame(frame) => {
                assert_eq!(i64::from(frame.height()), ticks.end - ticks.start);
                assert!(frame.height() <= source.description().shape.height);
                heights.last_mut().unwrap().push(frame.height());
                let rows = frame.bytes().chunks_exact(WIDTH as usize);
                lines.extend(ticks.zip(rows.map(<[u8]>::to_vec)));
            }
            Captured::Lost(one) => {
                heights.push(Vec::new());
                lost.push(one);
            }
        }
    }
    for joined in heights.iter().filter(|joined| joined.len() > 1) {
        assert!(
            joined.iter().all(|&height| height as usize >= MAX_HALO_PX),
            "a tile beside it sees past {joined:?}"
        );
    }
    Reduced {
        lines,
        lost,
        heights,
        end: end.unwrap(),
        facts,
    }
}

/// How far the lines lie from where they belong, in lines; each must be a line of the web.
fn displaced(reduced: &Reduced, web: &[u8]) -> i64 {
    let line = WIDTH as usize;
    let of_web = |at: i64| web.get(at as usize * line..(at as usize + 1) * line);
    let places = reduced.lines.iter().map(|(at, samples)| {
        let found = [0, -1, 1, -2, 2, -3, 3].into_iter();
        let mut found = found.filter(|by| at + by >= 0);
        found
            .find(|by| of_web(at + by) == Some(&samples[..]))
            .unwrap_or_else(|| panic!("line {at} is no line of the web near it"))
            .abs()
    });
    places.max().unwrap()
}

fn ends(moves: &[i64]) -> Vec<Option<i64>> {
    let mut end = i64::from(HEIGHT);
    let first = Some(end);
    let rest = moves.iter().map(|moved| {
        end += moved;
        Some(end)
    });
    std::iter::once(first).chain(rest).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn pictures_at_any_speed_are_the_same_web_line_for_line(
        seed in 1_u64..1000,
        moves in proptest::collection::vec(0_i64..80, 5..20),
        is_down: bool,
    ) {
        let motion = if is_down { Motion::Down } else { Motion::Up };
        let ends = ends(&moves);
        let pictures = Pictures::new(seed, &ends, motion, false);
        let web = pictures.web.clone();
        let reduced = reduced(pictures, motion, LengthFrom::Pictures);
        prop_assert_eq!(reduced.facts.length_known(), LengthKnown::Measured);
        prop_assert!(reduced.lost.is_empty());
        prop_assert!(displaced(&reduced, &web) <= 1);
        let last = ends.last().unwrap().unwrap();
        prop_assert!((reduced.end - last).abs() <= 1, "{} of {last}", reduced.end);
    }

    #[test]
    fn an_encoder_gives_every_line_once_and_gaps_their_length(
        moves in proptest::collection::vec(prop_oneof![-20_i64..160, 160_i64..400], 5..20),
        is_down: bool,
    ) {
        let motion = if is_down { Motion::Down } else { Motion::Up };
        let mut ends = ends(&moves);
        for end in &mut ends {
            *end = end.map(|end| end.max(i64::from(HEIGHT)));
        }
        let pictures = Pictures::new(3, &ends, motion, true);
        let web = pictures.web.clone();
        let reduced = reduced(pictures, motion, LengthFrom::Encoder);
        prop_assert_eq!(displaced(&reduced, &web), 0);
        let farthest = ends.iter().flatten().max().copied().unwrap();
        prop_assert_eq!(reduced.end, farthest);
        let n_lost: i64 = reduced.lost.iter().map(|lost| lost.ticks.end - lost.ticks.start).sum();
        prop_assert_eq!(n_lost + reduced.lines.len() as i64, farthest);
    }
}

#[test]
fn a_lost_exposure_loses_no_cloth_that_the_next_one_shows() {
    let mut ends = ends(&[30; 12]);
    ends[6] = None;
    for (has_encoder, length) in [(false, LengthFrom::Pictures), (true, LengthFrom::Encoder)] {
        let pictures = Pictures::new(4, &ends, Motion::Up, has_encoder);
        let web = pictures.web.clone();
        let reduced = reduced(pictures, Motion::Up, length);
        assert!(reduced.lost.is_empty(), "{:?}", reduced.lost);
        assert!(displaced(&reduced, &web) <= 1);
        assert!((reduced.end - 520).abs() <= 1, "{}", reduced.end);
        assert_ne!(reduced.facts.length_known(), LengthKnown::Nominal);
    }
}

#[test]
fn cloth_that_ran_on_unseen_is_a_gap_whose_length_is_said_to_be_unknown() {
    let mut ends = ends(&[40; 20]);
    for end in &mut ends[5..13] {
        *end = None;
    }
    let pictures = Pictures::new(5, &ends, Motion::Up, false);
    let web = pictures.web.clone();
    let reduced = reduced(pictures, Motion::Up, LengthFrom::Pictures);
    // The last picture before ends at 320, the first one after begins at 520.
    let n_lost: i64 = reduced
        .lost
        .iter()
        .map(|lost| lost.ticks.end - lost.ticks.start)
        .sum();
    assert!((n_lost - 200).abs() <= 1, "{:?}", reduced.lost);
    for lost in &reduced.lost {
        assert_eq!(lost.reason, LostReason::FrameLost);
        assert!(lost.detail.contains("is not known"), "{}", lost.detail);
    }
    assert!(displaced(&reduced, &web) <= 1);
    assert_eq!(reduced.facts.length_known(), LengthKnown::Nominal);
}

#[test]
fn cloth_does_not_go_on_where_nobody_can_tell_how_far_it_moved() {
    // Each picture is of other cloth.
    let pictures = Pictures::new(6, &ends(&[400, 400, 400]), Motion::Up, false);
    let reduced = reduced(pictures, Motion::Up, LengthFrom::Pictures);
    assert_eq!(reduced.facts.n_nominal(), 3);
    assert_eq!(reduced.facts.length_known(), LengthKnown::Nominal);
    assert_eq!(reduced.end, 4 * i64::from(HEIGHT) + 3);
    assert_eq!(reduced.lost.len(), 3);
    for lost in &reduced.lost {
        assert_eq!(lost.reason, LostReason::UnknownLength);
        assert_eq!(lost.ticks.end - lost.ticks.start, 1);
        assert!(lost.detail.contains("how far"), "{}", lost.detail);
    }
}

#[test]
fn standing_cloth_gives_nothing_and_a_stop_is_still_noticed() {
    /// Shows the same picture for ever and stops after some.
    struct Standing(Pictures, Arc<AtomicBool>, u32);
    impl Source for Standing {
        fn description(&self) -> &Description {
            self.0.description()
        }
        fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
            self.0.ends.push_back(Some(i64::from(HEIGHT)));
            self.2 += 1;
            if self.2 == 6 {
                self.1.store(true, Ordering::Relaxed);
            }
            self.0.next(pool)
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let pictures = Pictures::new(7, &ends(&[]), Motion::Up, false);
    let settings = NewClothSettings {
        motion: Motion::Up,
        length: LengthFrom::Pictures,
    };
    let standing = Standing(pictures, Arc::clone(&stop), 0);
    let mut source = NewCloth::new(Box::new(standing), settings, stop);
    let pool = Pool::new(1, source.description().shape.n_bytes());
    let ticks: Vec<_> = std::iter::from_fn(|| source.next(&pool).unwrap())
        .map(|captured| (captured.ticks().start, captured.ticks().end))
        .collect();
    assert_eq!(ticks, [(0, 160)]);
    assert_eq!(source.facts().n_measured(), 5);
}

#[test]
fn frames_that_go_on_are_never_lower_than_what_a_tile_sees_beyond_them() {
    let ends = ends(&[10; 40]);
    for length in [LengthFrom::Encoder, LengthFrom::Pictures] {
        let pictures = Pictures::new(8, &ends, Motion::Up, length == LengthFrom::Encoder);
        let reduced = reduced(pictures, Motion::Up, length);
        // 160 lines and 40 times 10; the last block is what is left.
        let heights = &reduced.heights[0];
        assert!(heights.len() >= 4, "{heights:?}");
        assert!(heights[..heights.len() - 1].iter().all(|h| h % 128 == 0));
        let n_lines: u32 = heights.iter().sum();
        assert!((559..=561).contains(&n_lines), "{n_lines}");
    }
}

#[test]
fn a_jump_farther_than_can_be_seen_is_told_in_its_place() {
    let mut moves = vec![20; 30];
    moves[15] = 700;
    let pictures = Pictures::new(9, &ends(&moves), Motion::Up, false);
    let reduced = reduced(pictures, Motion::Up, LengthFrom::Pictures);
    let [lost] = &reduced.lost[..] else {
        panic!("{:?}", reduced.lost);
    };
    assert_eq!(lost.reason, LostReason::UnknownLength);
    // A picture and 15 movements, to a line.
    assert!((lost.ticks.start - 460).abs() <= 1, "{lost:?}");
    assert_eq!(reduced.facts.length_known(), LengthKnown::Nominal);
}

#[test]
fn a_first_exposure_that_is_lost_invents_no_cloth_before_it() {
    let mut ends = vec![None];
    ends.extend([1040, 1070, 1100].map(Some));
    let mut pictures = Pictures::new(10, &ends, Motion::Up, true);
    // The encoder counts from somewhere.
    pictures.last_end = 1010 - i64::from(HEIGHT);
    pictures.lost_ticks = i64::from(HEIGHT);
    let reduced = reduced(pictures, Motion::Up, LengthFrom::Encoder);
    assert_eq!(reduced.lost[0].ticks, 850..880);
    assert_eq!(reduced.lost.len(), 1);
    assert_eq!(reduced.end, 1100);
}
