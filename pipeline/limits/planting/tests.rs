//! Tests of where flaws are planted, and of how they look there.

use super::*;
use camera::{Beside, Loom, LoomSettings};

const SCALE: Scale = Scale {
    across: 0.2,
    along: 0.2,
};

fn cloth() -> LoomSettings {
    LoomSettings {
        width: 1024,
        frame_height: 256,
        n_frames: Some(3),
        left: Beside::WhiteTable(64),
        ..LoomSettings::new(1)
    }
}

fn long() -> LoomSettings {
    LoomSettings {
        n_frames: Some(12),
        ..cloth()
    }
}

/// How far models of the three modes see.
const HALOS_PX: [usize; 3] = [16, 24, 64];

/// All frames of a source, with their number.
fn frames(source: &mut dyn Source) -> Vec<(u64, Vec<u8>)> {
    let pool = Pool::new(1, source.description().shape.n_bytes());
    let mut frames = Vec::new();
    while let Some(Captured::Frame(frame)) = source.next(&pool).unwrap() {
        frames.push((frame.sequence, frame.bytes().to_vec()));
    }
    frames
}

fn planted(n_wanted: usize) -> (Planted, Arc<Mutex<Plan>>) {
    planted_for(24, n_wanted, cloth())
}

fn planted_for(
    halo_px: usize,
    n_wanted: usize,
    cloth: LoomSettings,
) -> (Planted, Arc<Mutex<Plan>>) {
    let plan = Arc::new(Mutex::new(Plan::new(n_wanted, halo_px, 7)));
    let good = Box::new(Loom::new(cloth).unwrap());
    (Planted::new(good, SCALE, Arc::clone(&plan)), plan)
}

#[test]
fn flaws_change_their_own_boxes_and_nothing_else() {
    let good = frames(&mut Loom::new(cloth()).unwrap());
    let (mut source, plan) = planted(40);
    let flawed = frames(&mut source);
    assert_eq!(good.len(), flawed.len());
    let mut n_marks = 0;
    for ((sequence, good), (_, flawed)) in good.iter().zip(&flawed) {
        let marks = plan.lock().unwrap().take(*sequence);
        n_marks += marks.len();
        let mut is_changed = vec![false; marks.len()];
        for (at, (before, after)) in good.iter().zip(flawed).enumerate() {
            let (row, col) = (at / 1024, at % 1024);
            let here = marks.iter().position(|(_, mark)| {
                mark.place.rows.contains(&row) && mark.place.cols.contains(&col)
            });
            if before != after {
                is_changed[here.expect("a pixel beside all flaws has changed")] = true;
            }
        }
        let unchanged = marks.iter().zip(&is_changed).filter(|(_, is)| !**is);
        for ((_, mark), _) in unchanged {
            // A pixel or two of a faint flaw may be rounded away.
            assert!(mark.size_mm < 1.0, "{mark:?} changed nothing");
        }
    }
    assert!(n_marks > 3 * KINDS.len(), "{n_marks}");
}

#[test]
fn flaws_lie_further_apart_than_any_mode_sees_and_away_from_the_edges() {
    for halo_px in HALOS_PX {
        let (mut source, plan) = planted_for(halo_px, 40, cloth());
        let (mut n_pairs, mut nearest) = (0, usize::MAX);
        for (sequence, _) in frames(&mut source) {
            let marks = plan.lock().unwrap().take(sequence);
            for (nth, (_, mark)) in marks.iter().enumerate() {
                assert!(mark.place.rows.end <= 256 && mark.place.cols.end <= 1024);
                if mark.kind.shape != Shape::Cut {
                    assert!(mark.place.cols.start >= 64 + FROM_EDGE_PX - 8, "{mark:?}");
                }
                for (_, other) in &marks[nth + 1..] {
                    n_pairs += 1;
                    nearest = nearest.min(between(&mark.place, &other.place));
                }
            }
        }
        assert!(n_pairs > 10, "{halo_px} px: {n_pairs}");
        // Whoever looks at a flaw's cells sees `halo_px` further, and scores have faded there.
        assert!(nearest >= halo_px + 38, "{halo_px} px: {nearest}");
        assert!(nearest < halo_px + 60, "{halo_px} px: {nearest}");
    }
}

/// Rows or columns between two places, whichever are more.
fn between(one: &Place, other: &Place) -> usize {
    let gap = |a: &Range<usize>, b: &Range<usize>| {
        let (before, behind) = if a.start < b.start { (a, b) } else { (b, a) };
        behind.start.saturating_sub(before.end)
    };
    gap(&one.rows, &other.rows).max(gap(&one.cols, &other.cols))
}

#[test]
fn every_kind_finds_room_however_far_a_mode_sees() {
    for halo_px in HALOS_PX {
        let (mut source, plan) = planted_for(halo_px, 2, long());
        frames(&mut source);
        let plan = plan.lock().unwrap();
        let n_planted = &plan.n_planted;
        assert!(
            n_planted.iter().all(|n| *n == 2),
            "{halo_px}: {n_planted:?}"
        );
    }
}

#[test]
fn the_same_cloth_gets_the_same_flaws_and_no_more_than_are_wanted() {
    let once = frames(&mut planted(2).0);
    assert_eq!(once, frames(&mut planted(2).0));
    let (mut source, plan) = planted_for(24, 1, long());
    let n_frames = frames(&mut source).len();
    let plan = plan.lock().unwrap();
    assert!(
        plan.n_planted.iter().all(|n| *n == 1),
        "{:?}",
        plan.n_planted
    );
    assert!(plan.is_done() && n_frames < 12, "{n_frames} frames");
}

#[test]
fn without_a_table_in_sight_no_selvedge_is_cut() {
    let bare = LoomSettings {
        left: Beside::Cloth,
        right: Beside::Cloth,
        ..long()
    };
    let (mut source, plan) = planted_for(24, 2, bare);
    frames(&mut source);
    let plan = plan.lock().unwrap();
    for (kind, n) in KINDS.iter().zip(&plan.n_planted) {
        assert_eq!(*n > 0, kind.shape != Shape::Cut, "{}", kind.name);
    }
    assert!(plan.is_done());
}
