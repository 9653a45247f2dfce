//! What a flaw is told to be, that no border changes it, and that a mill's samples can.
//!
//! The cloth is drawn: yarns of five pixels, one flaw, and the score map that a perfect detector
//! would give. It is cut into frames and lanes wherever the test likes, and goes through regions,
//! stitching and lane borders as on the line.

use calibration::{ClothSpan, LaneGeometry, Um};
use camera::{Buffer, Channels, Depth, FlawKind, Frame, FrameShape, LoomSettings};
use models::{CELL_PX, ScoreMap};
use ndarray::Array2;
use proptest::prelude::*;
use selvedge::borders::Borders;
use selvedge::classes::{Class, Descriptor, PixelPlace, class_of, measure};
use selvedge::flaws::{Region, Sides, regions};
use selvedge::stitch::{Flaw, FramePlace, Looked, Stitch};

use crate::pictures::{truth, write_frames};
use crate::program::{Mill, Ran};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;
const UM_PER_PX: i64 = 200;

/// A piece of cloth with one flaw.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    /// Centre, column and line.
    at: [f32; 2],
    /// Half its width and height in pixels.
    half: [f32; 2],
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Yarns in another brightness, weave and all.
    Shaded(f32),
    /// One brightness and no weave.
    Flat(f32),
    /// Bright on the left and dark on the right.
    Fold,
}

impl Drawn {
    /// 0 in its middle, 1 at its border: a box where it is a line, else an ellipse.
    fn off(&self, x: f32, y: f32) -> f32 {
        let [p, q] = [
            (x - self.at[0]) / self.half[0],
            (y - self.at[1]) / self.half[1],
        ];
        if self.half[0].max(self.half[1]) > 6.0 * self.half[0].min(self.half[1]) {
            p.abs().max(q.abs())
        } else {
            p.hypot(q)
        }
    }

    fn pixel(&self, column: usize, line: usize) -> u8 {
        let yarn = (column / 5 + line / 5) % 2;
        let cloth = 110.0 + 25.0 * yarn as f32 + ((column * 7 + line * 13) % 5) as f32;
        let (x, y) = (column as f32 + 0.5, line as f32 + 0.5);
        let value = if self.off(x, y) > 1.0 {
            cloth
        } else {
            match self.shape {
                Shape::Shaded(share) => cloth * share,
                Shape::Flat(value) => value,
                Shape::Fold if x < self.at[0] => cloth * 1.35,
                Shape::Fold => cloth * 0.65,
            }
        };
        value as u8
    }

    fn score(&self, row: usize, col: usize) -> f32 {
        let middle = |cell: usize| (cell * CELL_PX + CELL_PX / 2) as f32;
        // A cell reaches a little beyond the flaw, as smoothed scores do.
        let grown = Drawn {
            half: self.half.map(|half| half + CELL_PX as f32),
            ..*self
        };
        f32::from(u8::from(grown.off(middle(col), middle(row)) <= 1.0)) * 3.0
    }
}

/// What is told of a piece of cloth in frames that begin at these lines, and lanes that own up to
/// these columns and see a little of their neighbours. Cuts are multiples of a cell.
fn told(cloth: &Drawn, frames: &[usize], lanes: &[usize]) -> Vec<Descriptor> {
    const SHARED: usize = 32;
    let mut borders = Borders::new(lanes.len() + 1, Um(12 * UM_PER_PX));
    let ends: Vec<usize> = lanes.iter().copied().chain([WIDTH]).collect();
    let mut whole: Vec<Flaw> = Vec::new();
    for lane in 0..ends.len() {
        let first = lane.checked_sub(1).map_or(0, |before| ends[before]);
        let has = [lane > 0, lane + 1 < ends.len()];
        let seen = first.saturating_sub(if has[0] { SHARED } else { 0 })
            ..ends[lane] + if has[1] { SHARED } else { 0 };
        let cells = |px: usize| (px - seen.start) / CELL_PX;
        let sides = Sides {
            left: if has[0] { cells(first) + 3 } else { 0 },
            right: if has[1] {
                cells(ends[lane]) - 3
            } else {
                usize::MAX
            },
            owned: if has[0] { cells(first) } else { 0 }..if has[1] {
                cells(ends[lane])
            } else {
                usize::MAX
            },
        };
        let offset = Um(seen.start as i64 * UM_PER_PX);
        let geometry = LaneGeometry::new(0.2, 200.0, offset, seen.len() as u32).unwrap();
        let mut stitch = Stitch::default();
        let ends_of_frames = frames.iter().skip(1).copied().chain([HEIGHT]);
        for (top, bottom) in frames.iter().copied().zip(ends_of_frames) {
            let map = ScoreMap {
                scores: Array2::from_shape_fn(
                    ((bottom - top) / CELL_PX, seen.len() / CELL_PX),
                    |(row, col)| cloth.score(row + top / CELL_PX, col + seen.start / CELL_PX),
                ),
                judged: 0..seen.len() / CELL_PX,
            };
            let frame = frame(cloth, top..bottom, &seen);
            let span = ClothSpan::whole(frame.width()).unwrap();
            let pixels = PixelPlace {
                x_mm: seen.start as f64 * 0.2,
                y_mm: top as f64 * 0.2,
                mm_per_px: 0.2,
                lens: None,
                mm_per_line: 0.2,
                owned: sides.owned.clone(),
            };
            let place = FramePlace {
                geometry: &geometry,
                ticks: top as i64..bottom as i64,
                height: bottom - top,
                joins_above: top > 0,
            };
            let look = |region: &Region| Looked {
                crop: None,
                looks: measure(&frame, span, &map, region, &pixels),
            };
            let pieces = stitch
                .push(&place, &regions(&map, 0.7, &sides), look)
                .unwrap();
            let reached = Um(bottom as i64 * UM_PER_PX);
            let open = stitch.first_open_at_border().unwrap_or(reached);
            whole.extend(borders.push(lane, pieces, Some(reached), open));
        }
        whole.extend(borders.push(lane, stitch.finish(), None, Um(i64::MAX)));
    }
    let width = Um(WIDTH as i64 * UM_PER_PX);
    whole.iter().map(|flaw| flaw.descriptor(width)).collect()
}

fn frame(cloth: &Drawn, lines: std::ops::Range<usize>, columns: &std::ops::Range<usize>) -> Frame {
    let shape = FrameShape {
        width: columns.len() as u32,
        height: lines.len() as u32,
        channels: Channels::Grey,
        depth: Depth::Eight,
    };
    let mut pixels = Buffer::alone(shape.n_bytes());
    let places = lines
        .clone()
        .flat_map(|line| columns.clone().map(move |column| (column, line)));
    for (byte, (column, line)) in pixels.bytes_mut().iter_mut().zip(places) {
        *byte = cloth.pixel(column, line);
    }
    Frame::new(0, 0, lines.start as i64..lines.end as i64, shape, pixels).unwrap()
}

/// Each kind of flaw, and what it is.
fn kinds() -> Vec<(Shape, [f32; 2], Class)> {
    vec![
        (Shape::Shaded(0.6), [3.0, 200.0], Class::EndOut),
        (Shape::Shaded(1.4), [3.0, 200.0], Class::DoubleEnd),
        (Shape::Fold, [14.0, 200.0], Class::Crease),
        (Shape::Shaded(0.6), [300.0, 3.0], Class::Mispick),
        (Shape::Shaded(1.4), [300.0, 3.0], Class::DoublePick),
        (Shape::Shaded(0.6), [60.0, 4.0], Class::WeftCrack),
        (Shape::Flat(190.0), [60.0, 6.0], Class::Slub),
        (Shape::Shaded(0.7), [40.0, 40.0], Class::Stain),
        (Shape::Flat(12.0), [14.0, 14.0], Class::Hole),
        (Shape::Flat(250.0), [14.0, 14.0], Class::Hole),
        (Shape::Flat(220.0), [4.0, 4.0], Class::Nep),
    ]
}

#[test]
fn flaws_that_nobody_would_call_otherwise_are_told_by_their_class() {
    for (shape, half, class) in kinds() {
        let cloth = Drawn {
            at: [322.0, 238.0],
            half,
            shape,
        };
        let told = told(&cloth, &[0], &[]);
        let [descriptor] = &told[..] else {
            panic!("{cloth:?}: expected one flaw, found {told:?}");
        };
        assert_eq!(class_of(descriptor).0, class, "{cloth:?}: {descriptor:#?}");
    }
}

#[test]
fn a_mill_s_samples_change_what_flaws_are_called_and_a_damaged_file_is_refused() {
    let Some(mill) = Mill::taught() else { return };
    const N_IMAGES: i64 = 7;
    let mut settings = LoomSettings::new(77);
    settings.n_frames = Some(N_IMAGES as u64);
    for nth in 0..N_IMAGES {
        let line = 256 * nth + 80;
        settings = settings
            .with_flaw(FlawKind::Hole, line..line + 40, 500..540, 1.0)
            .with_flaw(FlawKind::Stain, line..line + 90, 1200..1290, 1.5);
    }
    let mut labels = "file,class,x,y,w,h\n".to_owned();
    for flaw in truth(&settings) {
        let (nth, top) = (flaw.ticks.start / 256, flaw.ticks.start % 256);
        // This mill calls stains shades.
        let class = if flaw.class == "stain" {
            "shade"
        } else {
            flaw.class
        };
        let columns = &flaw.columns;
        let (height, width) = (flaw.ticks.end - flaw.ticks.start, columns.len());
        let left = columns.start;
        labels += &format!("frame{nth}.png,{class},{left},{top},{width},{height}\n");
    }
    write_frames(&mill.path().join("samples"), settings);
    std::fs::write(mill.path().join("labels.csv"), labels).unwrap();
    let roll = LoomSettings {
        n_frames: Some(4),
        ..LoomSettings::new(78)
    };
    let roll = roll.with_flaw(FlawKind::Stain, 600..690, 700..790, 1.5);
    write_frames(&mill.path().join("roll"), roll);
    let inspect = |roll: &str| {
        let args = [
            "inspect",
            "--article",
            "plain",
            "--from",
            "roll",
            "--json",
            "--roll",
            roll,
        ];
        mill.run(&args)
    };
    let stain_of = |ran: &Ran| {
        let flaws = ran.json(1)["flaws"].as_array().unwrap().clone();
        let mut near = flaws.into_iter().filter(|flaw| {
            let across: [f64; 2] = serde_json::from_value(flaw["across_mm"].clone()).unwrap();
            across[0] < 158.0 && 140.0 < across[1]
        });
        near.next().unwrap()["class"].clone()
    };
    assert_eq!(stain_of(&inspect("before")), "stain");

    let teach = [
        "classes",
        "teach",
        "--article",
        "plain",
        "--labels",
        "labels.csv",
    ];
    let ran = mill.run(&[&teach[..], &["--from", "samples"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(stain_of(&inspect("after")), "shade");

    let file = mill.path().join("articles/plain/classes.json");
    let damaged = std::fs::read_to_string(&file)
        .unwrap()
        .replacen("hole", "knot", 1);
    std::fs::write(&file, damaged).unwrap();
    for ran in [
        inspect("damaged"),
        mill.run(&["classes", "show", "--article", "plain"]),
    ] {
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.err.contains("classes.json") && ran.err.contains("damaged"),
            "{ran:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn where_frames_and_lanes_cut_a_flaw_does_not_change_what_it_is(
        frame_cuts in proptest::collection::btree_set(8..112_usize, 0..4),
        lane_cut in 20..140_usize,
        has_lanes: bool,
        nudge in [0.0..16.0_f32, 0.0..16.0_f32],
    ) {
        let frames: Vec<usize> = std::iter::once(0)
            .chain(frame_cuts.into_iter().map(|cell| cell * CELL_PX))
            .collect();
        let lanes = if has_lanes { vec![lane_cut * CELL_PX] } else { Vec::new() };
        for (shape, half, _) in kinds() {
            let at = [312.0 + nudge[0], 232.0 + nudge[1]];
            let cloth = Drawn { at, half, shape };
            let whole = told(&cloth, &[0], &[]);
            let cut = told(&cloth, &frames, &lanes);
            prop_assert_eq!((whole.len(), cut.len()), (1, 1), "{:?}: {:?}", cloth, cut);
            let classes = [&whole[0], &cut[0]].map(|of| class_of(of).0);
            prop_assert_eq!(classes[0], classes[1], "{:?}: {:#?} {:#?}", cloth, whole, cut);
        }
    }
}
