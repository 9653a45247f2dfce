//! Several cameras side by side: one web, owned once, and a flaw on a lane border is one flaw.

use std::sync::atomic::AtomicBool;

use calibration::{Lens, um_from_mm};
use camera::{Beside, Fault, Faulty, FlawKind, Loom, LoomSettings, LoomWeb, Source};
use proptest::prelude::*;
use selvedge::config::{Lane, Station};
use selvedge::inspect::inspect;
use selvedge::record::Written;
use store::RunState;

use crate::texture::{MM_PER_PX, TextureArticle, clean_cloth, station};
use crate::told::{Told, inspected_lanes_into, inspection, store_with};

/// Columns of a lane, and columns that two lanes share.
const LANE_PX: u32 = 640;
pub(super) const SHARED_PX: u32 = 64;

/// A web in `n` lanes, with tables at its outer edges.
pub(super) fn web(seed: u64, n: u16) -> LoomSettings {
    LoomSettings {
        width: u32::from(n) * LANE_PX - (u32::from(n) - 1) * SHARED_PX,
        n_frames: Some(6),
        left: Beside::WhiteTable(48),
        right: Beside::DarkTable(32),
        ..clean_cloth(seed)
    }
}

/// The station that sees it.
fn station_of(web: &LoomWeb) -> Station {
    let lane = |first_column: u32| Lane {
        offset: um_from_mm(f64::from(first_column) * MM_PER_PX),
        ..station().lanes[0].clone()
    };
    Station {
        lanes: web
            .lanes
            .iter()
            .map(|view| lane(view.first_column))
            .collect(),
        ..station()
    }
}

pub(super) fn boxed(looms: Vec<Loom>) -> Vec<Box<dyn Source>> {
    looms
        .into_iter()
        .map(|loom| Box::new(loom) as Box<dyn Source>)
        .collect()
}

pub(super) fn inspected(web: &LoomWeb, sources: Vec<Box<dyn Source>>, n_workers: usize) -> Told {
    inspected_at(&station_of(web), web, sources, n_workers)
}

fn inspected_at(
    station: &Station,
    web: &LoomWeb,
    sources: Vec<Box<dyn Source>>,
    n_workers: usize,
) -> Told {
    let taught = TextureArticle::clean();
    let (store, run) = inspected_lanes_into(
        store_with(&taught.article),
        &taught.article,
        station,
        taught.scorers(n_workers),
        sources,
        &AtomicBool::new(false),
    );
    let told = Told::of(&store, run);
    told.assert_adds_up();
    assert_eq!(told.width_um, i64::from(web.settings.width) * 200);
    told
}

/// Flaws that come within 5 mm of these lines and columns.
fn near(told: &Told, lines: (i64, i64), columns: (i64, i64)) -> Vec<String> {
    let meets = |range: std::ops::Range<i64>, (from, to): (i64, i64)| {
        range.start <= to * 200 + 5000 && from * 200 - 5000 <= range.end
    };
    let flaws = told
        .flaws
        .iter()
        .filter(|flaw| meets(flaw.rect.along(), lines) && meets(flaw.rect.across(), columns));
    flaws
        .map(|flaw| format!("{} {:?}", flaw.class, flaw.rect))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_hole_anywhere_around_a_border_is_one_flaw(
        seed in 0..1000_u64,
        line in 20..700_i64,
        from_border in -80..80_i64,
        off in (-3..=3_i32, -3..=3_i32),
        n_workers in 1..3_usize,
    ) {
        let border = i64::from(LANE_PX - SHARED_PX / 2);
        let column = border + from_border - 15;
        let settings = web(seed, 2).with_flaw(
            FlawKind::Hole,
            line..line + 30,
            column as u32..column as u32 + 30,
            3.0,
        );
        let mut web = LoomWeb::side_by_side(settings, 2, SHARED_PX).unwrap();
        (web.lanes[1].off_columns, web.lanes[1].off_lines) = off;
        let told = inspected(&web, boxed(web.looms().unwrap()), n_workers);
        let found = near(&told, (line, line + 30), (column, column + 30));
        prop_assert_eq!(found.len(), 1, "{:?}", found);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// `inspected_at` checks that the ledger adds up to the web's length and width.
    #[test]
    fn lanes_behind_lenses_add_up_whatever_bends_them(
        bends in proptest::array::uniform2(proptest::array::uniform4(-25.0..25.0f64)),
        lost in 1..5_u64,
    ) {
        let settings = web(5, 2).with_flaw(FlawKind::Hole, 300..330, 300..330, 3.0);
        let web = LoomWeb::side_by_side(settings, 2, SHARED_PX).unwrap();
        let mut station = station_of(&web);
        for (lane, bend) in station.lanes.iter_mut().zip(bends) {
            lane.lens = Some(Lens::new(LANE_PX, bend).unwrap());
        }
        let mut sources = boxed(web.looms().unwrap());
        let right = sources.pop().unwrap();
        sources.push(Box::new(Faulty::new(right, [(lost, Fault::Lost)].into())));
        let told = inspected_at(&station, &web, sources, 2);
        let column = station.lanes[0].lens.unwrap().straight(315.0) as i64;
        prop_assert_eq!(near(&told, (300, 330), (column - 10, column + 10)).len(), 1);
    }
}

#[test]
fn a_missing_pick_over_three_lanes_is_one_flaw_of_the_webs_width() {
    let settings = web(4, 3).with_flaw(FlawKind::Mispick, 300..304, 0..1000, 4.0);
    let width = i64::from(settings.width);
    let mut web = LoomWeb::side_by_side(settings, 3, SHARED_PX).unwrap();
    web.lanes.iter_mut().for_each(|lane| lane.sensor_seed = 0);
    let told = inspected(&web, boxed(web.looms().unwrap()), 2);
    let found = near(&told, (300, 304), (0, width));
    assert_eq!(found.len(), 1, "{found:?}");
    // The classical scorer sees no further than 16 mm, so to it one pick is as thick as a bar.
    let is_along_the_weft = ["mispick", "start_mark"].map(|class| found[0].starts_with(class));
    assert!(is_along_the_weft.contains(&true), "{found:?}");
}

/// Lanes that tell of a streak of 12 columns, so far left of the border, while it runs.
fn lanes_that_tell(columns_left: u32) -> Vec<usize> {
    let first = LANE_PX - SHARED_PX / 2 - 6 - columns_left;
    let settings = web(7, 2).with_flaw(FlawKind::Stain, 40..700, first..first + 12, 4.0);
    let web = LoomWeb::side_by_side(settings, 2, SHARED_PX).unwrap();
    let taught = TextureArticle::clean();
    let mut station = station_of(&web);
    station.alarms.running = Some(um_from_mm(50.0));
    let stop = AtomicBool::new(false);
    let sources = boxed(web.looms().unwrap());
    let inspection = inspection(&taught.article, &station, taught.scorers(2), sources, &stop);
    let mut lanes = Vec::new();
    let mut announce = |written: Written<'_>| {
        if let Written::Running(running) = written {
            lanes.push(running.lane);
        }
    };
    inspect(
        inspection,
        store_with(&taught.article),
        &mut announce,
        &mut || {},
    )
    .unwrap();
    lanes
}

#[test]
fn a_running_streak_that_two_lanes_see_is_told_by_its_owner() {
    // At 50 and 100 mm, and when it has ended.
    assert_eq!(lanes_that_tell(18), [0, 0, 0]);
    assert!(
        lanes_that_tell(0).len() >= 3,
        "told by none on the very border"
    );
}

#[test]
fn a_streak_along_a_border_through_all_frames_is_one_flaw_in_whatever_order_lanes_come() {
    let border = LANE_PX - SHARED_PX / 2;
    let settings = web(7, 2).with_flaw(FlawKind::Stain, 40..700, border - 6..border + 6, 4.0);
    let web = LoomWeb::side_by_side(settings, 2, SHARED_PX).unwrap();
    let alone = inspected(&web, boxed(web.looms().unwrap()), 1);
    let found = near(
        &alone,
        (40, 700),
        (i64::from(border) - 6, i64::from(border) + 6),
    );
    assert_eq!(found.len(), 1, "{found:?}");
    for n_workers in [2, 3, 5] {
        assert_eq!(
            inspected(&web, boxed(web.looms().unwrap()), n_workers),
            alone
        );
    }
}

#[test]
fn a_camera_that_dies_makes_no_other_lane_wait_and_the_rest_of_its_lane_is_a_gap() {
    let web = LoomWeb::side_by_side(web(5, 3), 3, SHARED_PX).unwrap();
    let mut sources = boxed(web.looms().unwrap());
    let middle = web.looms().unwrap().swap_remove(1);
    sources[1] = Box::new(Faulty::new(middle, [(2, Fault::Dead)].into()));
    let told = inspected(&web, sources, 2);
    let mm = |from: u32, to: u32| [i64::from(from) * 200, i64::from(to) * 200];
    let owned = mm(
        LANE_PX - SHARED_PX / 2,
        2 * LANE_PX - SHARED_PX - SHARED_PX / 2,
    );
    assert_eq!(told.gaps(), [(mm(256, 768), owned, "camera_lost")]);
    assert_eq!(told.state, RunState::Done);
    let said = told.message.unwrap();
    assert!(said.contains("lane 2: the source failed"), "{said}");
    let lost = told
        .events
        .iter()
        .find(|(kind, _, _)| kind == "camera_lost");
    assert!(
        lost.is_some_and(|(_, _, said)| said.starts_with("lane 2")),
        "{lost:?}"
    );
}

#[test]
fn a_lane_that_begins_later_and_ends_earlier_owes_the_rest() {
    let web = LoomWeb::side_by_side(web(6, 2), 2, SHARED_PX).unwrap();
    let mut looms = web.looms().unwrap();
    let short = looms.pop().unwrap();
    let mut sources = boxed(looms);
    let plan = [(0, Fault::Silent { n_frames: 1 }), (5, Fault::Lost)];
    sources.push(Box::new(Faulty::new(short, plan.into())));
    let told = inspected(&web, sources, 2);
    let mm = |from: u32, to: u32| [i64::from(from) * 200, i64::from(to) * 200];
    let owned = mm(LANE_PX - SHARED_PX / 2, web.settings.width);
    assert_eq!(
        told.gaps(),
        [
            (mm(0, 128), owned, "frame_lost"),
            (mm(640, 768), owned, "frame_lost")
        ]
    );
}
