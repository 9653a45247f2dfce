//! Properties of the ledger, over random cloth, stations and losses.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use calibration::{LaneGeometry, WebRect, um_from_mm};
use camera::{
    Beside, CameraError, Captured, Description, Fault, Faulty, FlawKind, Loom, LoomSettings, Lost,
    LostReason, Pool, Source, Weave,
};
use models::Scorer;
use proptest::prelude::*;
use selvedge::config::Station;
use selvedge::tiles::GapReason;
use store::RunState;

use super::faults::Unreliable;
use super::focus::{blur, with_bytes};
use crate::texture::{MM_PER_PX, TextureArticle, clean_cloth, loom, station};
use crate::told::inspected;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn inspected_gaps_and_beside_are_the_web_exactly(
        seed in 0..1000_u64,
        frame_height in 1..=400_u32,
        cloth_width in 64..1200_u32,
        tables in (table(), table()),
        n_frames in 1..=5_u64,
        lost in proptest::collection::btree_set(0..5_u64, 0..4),
        twill in any::<bool>(),
        mm_per_px in MM_PER_PX * 0.985..MM_PER_PX * 1.015,
        mm_per_line in 0.05..0.7_f64,
        offset_mm in -2000.0..2000.0_f64,
        n_workers in 1..4_usize,
    ) {
        let (left, right) = tables;
        let settings = LoomSettings {
            width: cloth_width + table_px(left) + table_px(right),
            frame_height,
            n_frames: Some(n_frames),
            weave: if twill { Weave::Twill31 } else { Weave::Plain },
            left,
            right,
            lost: lost.clone(),
            ..LoomSettings::new(seed)
        };
        let mut station = station();
        station.lanes[0].mm_per_px = mm_per_px;
        station.lanes[0].mm_per_line = mm_per_line;
        station.lanes[0].offset = um_from_mm(offset_mm);
        check(settings, &station, n_workers);
    }
}

/// Frames of a roll on which things happen.
const N_FRAMES: u64 = 40;

/// What happens to a stretch of a roll.
#[derive(Clone, Debug)]
enum Happening {
    /// The camera, its light or its cable failed on a frame.
    Fault(Fault),
    /// The line did not keep up for some frames.
    Overload(u64),
    /// Some frames are blurred over these columns.
    Blurred(u64, Range<usize>),
    /// Some frames show another article.
    OtherCloth(u64),
    /// A seam, so many lines behind the frame's beginning, of so many lines.
    Seam(i64, i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        prop_oneof![
            Just(Fault::Lost),
            Just(Fault::Late),
            (32..=128_u32).prop_map(|n_lines| Fault::Torn { n_lines }),
            (1..4_u64).prop_map(|n_frames| Fault::Gone { n_frames }),
            (1..4_u64).prop_map(|n_frames| Fault::Silent { n_frames }),
            Just(Fault::Dark),
            Just(Fault::Glare),
        ]
        .prop_map(Happening::Fault),
        (1..4_u64).prop_map(Happening::Overload),
        (1..8_u64, 0..4_usize, 1..=4_usize).prop_map(|(n, from, parts)| Happening::Blurred(
            n,
            from * 160..((from + parts) * 160).min(640)
        )),
        (1..14_u64).prop_map(Happening::OtherCloth),
        (0..128_i64, 20..150_i64).prop_map(|(from, n)| Happening::Seam(from, n)),
    ]
}

/// A roll as the plan has it.
struct Eventful {
    usual: Faulty<Loom>,
    other: Box<dyn Source>,
    plan: BTreeMap<u64, Happening>,
}

impl Eventful {
    fn new(seed: u64, plan: BTreeMap<u64, Happening>) -> Self {
        let cloth = |seed| LoomSettings {
            n_frames: Some(N_FRAMES),
            ..clean_cloth(seed)
        };
        let mut usual = cloth(seed);
        let mut faults = BTreeMap::new();
        for (nth, happening) in &plan {
            let tick = *nth as i64 * 128;
            match happening {
                Happening::Fault(fault) => {
                    faults.insert(*nth, *fault);
                }
                Happening::Seam(from, n_lines) => {
                    let lines = tick + from..tick + from + n_lines;
                    usual = usual.with_flaw(FlawKind::Seam, lines, 0..1, 1.0);
                }
                Happening::Overload(_) | Happening::Blurred(..) | Happening::OtherCloth(_) => {}
            }
        }
        let other = LoomSettings {
            weave: Weave::Twill31,
            ..cloth(seed + 1)
        };
        Self {
            usual: Faulty::new(Loom::new(usual).unwrap(), faults),
            other: loom(other),
            plan,
        }
    }

    /// What happens to this frame, if anything.
    fn here(&self, frame: u64) -> Option<&Happening> {
        let (nth, happening) = self.plan.range(..=frame).next_back()?;
        let n_frames = match happening {
            Happening::Overload(n) | Happening::Blurred(n, _) | Happening::OtherCloth(n) => *n,
            Happening::Fault(_) | Happening::Seam(..) => 0,
        };
        (frame < nth + n_frames).then_some(happening)
    }
}

impl Source for Eventful {
    fn description(&self) -> &Description {
        self.usual.description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let Some(captured) = self.usual.next(pool)? else {
            return Ok(None);
        };
        let Captured::Frame(frame) = captured else {
            return Ok(Some(captured));
        };
        Ok(Some(match self.here(frame.sequence).cloned() {
            Some(Happening::Overload(_)) => Captured::Lost(Lost {
                camera: 0,
                sequence: frame.sequence,
                ticks: frame.ticks.clone(),
                reason: LostReason::Overload,
                detail: "as it was told to".to_owned(),
                origin: None,
            }),
            Some(Happening::Blurred(_, columns)) => Captured::Frame(blur(&frame, &columns, 2.5)),
            Some(Happening::OtherCloth(_)) => {
                let other = Pool::new(1, self.other.description().shape.n_bytes());
                let mut shown = frame.bytes().to_vec();
                while let Some(Captured::Frame(strange)) = self.other.next(&other)? {
                    if strange.sequence == frame.sequence {
                        let n_bytes = shown.len();
                        shown.copy_from_slice(&strange.bytes()[..n_bytes]);
                        break;
                    }
                }
                Captured::Frame(with_bytes(&frame, &shown))
            }
            Some(Happening::Fault(_) | Happening::Seam(..)) | None => Captured::Frame(frame),
        }))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happens_to_a_roll_its_ledger_adds_up(
        seed in 0..1000_u64,
        plan in proptest::collection::btree_map(0..N_FRAMES, happening(), 0..8),
        fails in any::<bool>(),
        n_workers in 1..4_usize,
    ) {
        let taught = TextureArticle::clean();
        let unreliable = |scorer| -> Box<dyn Scorer> {
            if fails { Box::new(Unreliable(scorer)) } else { scorer }
        };
        let scorers = taught.scorers(n_workers).into_iter().map(unreliable).collect();
        let source = Box::new(Eventful::new(seed, plan));
        let stop = AtomicBool::new(false);
        let told = inspected(&taught.article, &station(), scorers, source, &stop);
        told.assert_adds_up();
        prop_assert_eq!(told.state, RunState::Done);
        prop_assert_eq!(told.width_um, 640 * 200);
        for (_, _, reason) in told.gaps() {
            prop_assert!(GapReason::from_word(reason).is_some(), "{}", reason);
        }
    }
}

fn table() -> impl Strategy<Value = Beside> {
    prop_oneof![
        Just(Beside::Cloth),
        (1..200_u32).prop_map(Beside::DarkTable),
        (1..200_u32).prop_map(Beside::WhiteTable),
    ]
}

fn table_px(beside: Beside) -> u32 {
    match beside {
        Beside::Cloth => 0,
        Beside::DarkTable(px) | Beside::WhiteTable(px) => px,
    }
}

/// The ledger of a roll: it adds up, no place is told twice, and each lost frame is a gap.
fn check(settings: LoomSettings, station: &Station, n_workers: usize) {
    let taught = TextureArticle::taught();
    let lane = &station.lanes[0];
    let um_per_line = lane.mm_per_line * 1e3;
    let geometry =
        LaneGeometry::new(lane.mm_per_px, um_per_line, lane.offset, settings.width).unwrap();
    let height = i64::from(settings.frame_height);
    let n_frames = settings.n_frames.unwrap() as i64;
    let lost: Vec<WebRect> = settings
        .lost
        .iter()
        .map(|nth| *nth as i64)
        .filter(|nth| *nth < n_frames)
        .map(|nth| {
            geometry
                .rect(nth * height..(nth + 1) * height, 0..settings.width)
                .unwrap()
        })
        .collect();
    let web = geometry
        .rect(0..n_frames * height, 0..settings.width)
        .unwrap();

    let stop = AtomicBool::new(false);
    let scorers = taught.scorers(n_workers);
    let article = taught.at_mm_per_line(lane.mm_per_line);
    let told = inspected(&article, station, scorers, loom(settings), &stop);
    told.assert_adds_up();
    assert_eq!(told.state, RunState::Done);
    assert_eq!(told.length_um, web.along.length().get());
    assert_eq!(told.width_um, web.across.length().get());
    for rect in lost {
        let is_told = told.gaps().iter().any(|([from, to], across, reason)| {
            *from <= rect.along.start().get()
                && rect.along.end().get() <= *to
                && *across == [rect.across.start().get(), rect.across.end().get()]
                && *reason == "frame_lost"
        });
        assert!(is_told, "{rect:?} is no gap of {:?}", told.gaps());
    }
}
