//! Sewn seams: a gap at its place and no flaw of it; whatever else goes across the cloth is none.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use calibration::find_cloth;
use camera::{
    Beside, Captured, Fault, Faulty, FlawKind, ImageFolder, Loom, LoomSettings, LoomWeb, Pool,
    Source, Weave,
};
use selvedge::seams::{RowLight, SeamWatch};

use super::lanes::{self, boxed};
use crate::program::files_in;
use crate::texture::{MM_PER_PX, TextureArticle, clean_cloth, loom, station};
use crate::told::{Told, inspected};

const LINE_UM: i64 = 200;
/// How much farther than a seam its gap may reach: the margin, and a return to the usual.
const MARGIN_LINES: i64 = 56;
/// Lines of the roll that these tests look at.
const N_LINES: u32 = 2048;

fn inspect(source: Box<dyn Source>) -> Told {
    let taught = TextureArticle::clean();
    let stop = AtomicBool::new(false);
    let told = inspected(
        &taught.article,
        &station(),
        taught.scorers(2),
        source,
        &stop,
    );
    told.assert_adds_up();
    told
}

/// Cloth of [`N_LINES`] lines in frames of this height.
fn cloth(seed: u64, frame_height: u32) -> LoomSettings {
    LoomSettings {
        frame_height,
        n_frames: Some(u64::from(N_LINES / frame_height)),
        ..clean_cloth(seed)
    }
}

fn sewn(cloth: LoomSettings, lines: Range<i64>) -> LoomSettings {
    cloth.with_flaw(FlawKind::Seam, lines, 0..1, 1.0)
}

/// From where to where gaps of seams reach along, in lines; each is of one piece.
fn gaps(told: &Told) -> Vec<Range<i64>> {
    let gaps = told.gaps();
    let mut along: Vec<[i64; 2]> = (gaps.iter().filter(|gap| gap.2 == "seam"))
        .map(|gap| gap.0)
        .collect();
    along.sort_unstable();
    let mut whole: Vec<Range<i64>> = Vec::new();
    for [from, to] in along.into_iter().map(|along| along.map(|um| um / LINE_UM)) {
        match whole.last_mut() {
            Some(last) if from <= last.end => last.end = last.end.max(to),
            Some(_) | None => whole.push(from..to),
        }
    }
    whole
}

/// Flaws that come within so many lines of these.
fn near(told: &Told, lines: &Range<i64>, within: i64) -> Vec<String> {
    let boxes = told.flaws.iter().zip(told.boxes());
    let is_near = |along: Range<i64>| {
        along.start < (lines.end + within) * LINE_UM && (lines.start - within) * LINE_UM < along.end
    };
    let near = boxes.filter(|(flaw, _)| is_near(flaw.rect.along()));
    near.map(|(_, says)| says).collect()
}

/// There is this one seam: a gap around it from selvedge to selvedge, no flaw of it, and a person is told.
fn assert_one(told: &Told, seam: &Range<i64>, what: &str) {
    let found = gaps(told);
    assert_eq!(
        found.len(),
        1,
        "{what}: {:?} {:?}",
        told.gaps(),
        told.boxes()
    );
    let gap = &found[0];
    assert!(
        gap.start <= seam.start + 12 && seam.end - 12 <= gap.end,
        "{what}: {gap:?} of {seam:?}"
    );
    assert!(
        seam.start - MARGIN_LINES <= gap.start && gap.end <= seam.end + MARGIN_LINES,
        "{what}: {gap:?} of {seam:?}"
    );
    assert_eq!(near(told, gap, 0), [""; 0], "{what}, gap {gap:?}");
    // What is left of a seam is strange; cloth has faint flaws now and then. In a high frame a seam also moves
    // what its columns are held against: a line along the warp may be told beside it, up to the frame's end.
    let left = told.flaws.iter().zip(told.boxes()).filter(|(flaw, says)| {
        let (along, across) = (flaw.rect.along(), flaw.rect.across());
        let is_line = along.end - along.start > 4 * (across.end - across.start);
        let score: f64 = says.rsplit(' ').next().unwrap().parse().unwrap();
        score >= 2.0 && !is_line && near(told, gap, 100).contains(says)
    });
    let left: Vec<String> = left.map(|(_, says)| says).collect();
    assert_eq!(left, [""; 0], "{what}, gap {gap:?}");
    let events: Vec<&str> = (told.events.iter().filter(|event| event.0 == "seam"))
        .map(|event| event.2.as_str())
        .collect();
    assert_eq!(events.len(), 1, "{what}: {events:?}");
    let at = events[0].strip_prefix("a sewn seam at ").unwrap();
    let at: f64 = at.split(' ').next().unwrap().parse().unwrap();
    assert!(
        (at - gap.start as f64 * 0.0002).abs() < 0.015,
        "{what}: {events:?}"
    );
    // Nothing is inspected within.
    let [from, to] = [seam.start + 15, seam.end - 15].map(|line| line * LINE_UM);
    for cell in &told.coverage {
        let along = cell.rect.along();
        if along.start < to && from < along.end {
            assert_ne!(cell.state, store::CoverState::Inspected, "{what}: {cell:?}");
        }
    }
}

#[test]
fn a_seam_is_one_gap_whatever_frames_it_comes_in() {
    for frame_height in [32, 128, 512] {
        for (seed, lines) in [(5, 1000..1060), (5, 1000..1100), (6, 1010..1160)] {
            let told = inspect(loom(sewn(cloth(seed, frame_height), lines.clone())));
            assert_one(
                &told,
                &lines,
                &format!("{lines:?} in frames of {frame_height}"),
            );
        }
    }
}

#[test]
fn a_seam_at_a_frame_s_border_is_one_gap() {
    for start in [1024 - 62, 1024 - 48, 1024 - 30, 1024 - 8, 1024, 1024 + 6] {
        for frame_height in [32, 128] {
            let lines = start..start + 60;
            let told = inspect(loom(sewn(cloth(7, frame_height), lines.clone())));
            assert_one(
                &told,
                &lines,
                &format!("{lines:?} in frames of {frame_height}"),
            );
        }
    }
}

#[test]
fn a_seam_over_two_lanes_is_told_once() {
    let settings = sewn(lanes::web(11, 2), 300..360);
    let web = LoomWeb::side_by_side(settings, 2, lanes::SHARED_PX).unwrap();
    let told = lanes::inspected(&web, boxed(web.looms().unwrap()), 2);
    assert_one(&told, &(300..360), "two lanes");
}

#[test]
fn a_seam_at_an_end_of_the_cloth_is_a_gap_when_it_was_seen_whole() {
    let last = i64::from(N_LINES) - 75..i64::from(N_LINES) - 15;
    let told = inspect(loom(sewn(cloth(8, 128), last.clone())));
    assert_one(&told, &last, "at the end");
    // One that the roll breaks off in, or that nothing usual comes before, is a severe flaw.
    for lines in [i64::from(N_LINES) - 30..i64::from(N_LINES) + 30, 10..70] {
        let told = inspect(loom(sewn(cloth(8, 128), lines.clone())));
        assert_eq!(gaps(&told), [], "{lines:?}");
        assert!(!near(&told, &lines, 0).is_empty(), "{lines:?}");
    }
}

#[test]
fn a_seam_that_a_lost_frame_cuts_is_none_and_one_beside_it_is_one() {
    let lost = |nth: u64, lines: Range<i64>| {
        let usual = Loom::new(sewn(cloth(9, 32), lines)).unwrap();
        inspect(Box::new(Faulty::new(usual, [(nth, Fault::Lost)].into())))
    };
    // Frame 32 has lines 1024 to 1056.
    assert_eq!(gaps(&lost(32, 1000..1080)), []);
    let lines = 944..1004;
    assert_one(&lost(32, lines.clone()), &lines, "before a lost frame");
    let lines = 1250..1310;
    assert_one(&lost(32, lines.clone()), &lines, "behind a lost frame");
}

/// Kinds that can go from selvedge to selvedge and are no seam.
const ACROSS: [FlawKind; 9] = [
    FlawKind::Mispick,
    FlawKind::DoublePick,
    FlawKind::StartMark,
    FlawKind::WeftCrack,
    FlawKind::Stain,
    FlawKind::Hole,
    FlawKind::Crease,
    FlawKind::Slub,
    FlawKind::Knot,
];

/// Seams of what a source shows, without judging it.
fn seams_of(source: &mut dyn Source) -> Vec<Range<u64>> {
    let pool = Pool::new(1, source.description().shape.n_bytes());
    let mut watch = SeamWatch::new(MM_PER_PX, MM_PER_PX);
    let mut found = Vec::new();
    while let Some(captured) = source.next(&pool).unwrap() {
        let Captured::Frame(frame) = captured else {
            panic!("found a frame that is lost")
        };
        let cloth = find_cloth(&frame).unwrap();
        found.extend(watch.see(&RowLight::of(&frame, cloth)));
    }
    found.extend(watch.forget());
    found.into_iter().map(|seam| seam.rows).collect()
}

#[test]
fn whatever_else_goes_across_the_cloth_is_judged_and_is_no_seam() {
    for (seed, weave) in (20..).zip(Weave::ALL) {
        for kind in ACROSS {
            for contrast in [0.5, 1.0, 2.0] {
                let mut across = LoomSettings {
                    weave,
                    n_frames: Some(10),
                    ..clean_cloth(seed)
                };
                for (nth, height) in (0..).zip([6, 15, 40, 100]) {
                    let from = 260 + 250 * nth;
                    across = across.with_flaw(kind, from..from + height, 0..640, contrast);
                }
                let found = seams_of(&mut Loom::new(across).unwrap());
                assert_eq!(found, [], "{kind:?} at {contrast} on {weave:?}");
            }
        }
    }
    let picks = cloth(12, 128)
        .with_flaw(FlawKind::Mispick, 600..605, 0..640, 1.0)
        .with_flaw(FlawKind::StartMark, 1200..1300, 0..640, 1.0);
    let told = inspect(loom(picks));
    assert_eq!(told.gaps(), []);
    assert!(
        !near(&told, &(600..605), 5).is_empty(),
        "{:?}",
        told.boxes()
    );
}

#[test]
fn seams_are_found_on_other_weaves() {
    for (seed, weave) in (40..).zip(Weave::ALL) {
        // A mesh is so lively along that ridges hardly stand out of it.
        let is_found = weave != Weave::Mesh;
        let cloth = LoomSettings {
            weave,
            n_frames: Some(8),
            ..clean_cloth(seed)
        };
        let found = seams_of(&mut Loom::new(sewn(cloth, 500..600)).unwrap());
        assert_eq!(found.len(), usize::from(is_found), "{weave:?}: {found:?}");
    }
}

#[test]
fn a_hundred_metres_of_cloth_with_flaws_and_a_wandering_lamp_have_no_seam() {
    for (seed, weave) in (60..).zip(Weave::ALL) {
        let cloth = LoomSettings {
            weave,
            width: 256,
            frame_height: 512,
            n_frames: Some(170),
            left: Beside::Cloth,
            right: Beside::Cloth,
            flaws_per_megapixel: 2.0,
            lamp_drift: 0.3,
            lamp_slope: 0.2,
            ..LoomSettings::new(seed)
        };
        let found = seams_of(&mut Loom::new(cloth).unwrap());
        assert_eq!(found, [], "{weave:?}");
    }
}

#[test]
fn no_picture_of_real_cloth_has_a_seam() {
    let Some(folder) = std::env::var_os("SELVEDGE_CLOTH") else {
        crate::not_run("SELVEDGE_CLOTH does not name a folder of real cloth");
        return;
    };
    let aitex = PathBuf::from(folder).join("aitex");
    let mut n_looked_at = 0;
    let mut folders = Vec::new();
    for fabric in std::fs::read_dir(aitex).unwrap() {
        let fabric = fabric.unwrap().path();
        folders.extend(["good", "defective"].map(|kind| fabric.join(kind)));
    }
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let mut source = ImageFolder::open(folder, 0).unwrap();
        let pool = Pool::new(1, source.description().shape.n_bytes());
        while let Some(Captured::Frame(frame)) = source.next(&pool).unwrap() {
            let Some(cloth) = find_cloth(&frame) else {
                continue;
            };
            // Each strip runs from left to right: along it goes the warp, and neither way has a seam.
            for mm_per_row in [MM_PER_PX, MM_PER_PX / 4.0] {
                let mut watch = SeamWatch::new(MM_PER_PX, mm_per_row);
                let mut found = watch.see(&RowLight::of(&frame, cloth));
                found.extend(watch.forget());
                assert_eq!(found, [], "{folder:?}, {:?}", frame.origin);
            }
            n_looked_at += 1;
        }
    }
    assert!(n_looked_at > 100, "{n_looked_at}");
    assert!(!files_in(&folders[0]).is_empty());
}
