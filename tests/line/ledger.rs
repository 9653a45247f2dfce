//! Properties of the ledger, over random cloth, stations and losses.

use std::sync::atomic::AtomicBool;

use calibration::{LaneGeometry, WebRect, um_from_mm};
use camera::{Beside, LoomSettings, Weave};
use proptest::prelude::*;
use selvedge::config::Station;
use store::RunState;

use crate::texture::{MM_PER_PX, TextureArticle, loom, station};
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
