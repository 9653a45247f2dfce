//! The tiler: joints, rims, order, and that every cell is kept once.

use super::window::mirror;
use super::*;
use crate::config::LIGHT_LIMITS;
use camera::{Beside, Loom, LoomSettings, Pool, Source};
use models::TILE_STEP_PX;
use ndarray::{Array3, s};

fn correction(joints: Joints) -> Correction {
    Correction {
        channels: camera::Channels::Grey,
        flat_field: None,
        light: LIGHT_LIMITS,
        halo_px: 48,
        joints,
    }
}

/// All work that a loom's frames become.
fn cut(settings: LoomSettings, joints: Joints) -> Vec<Numbered<Work>> {
    let mut loom = Loom::new(settings).unwrap();
    let pool = Pool::new(8, loom.description().shape.n_bytes());
    let mut tiler = Tiler::new(0, correction(joints));
    let mut work = Vec::new();
    let mut out = |item| {
        // Frames go home, or the pool runs dry.
        let Numbered {
            lane,
            ordinal,
            item,
        } = item;
        let item = match item {
            Work::Frame(head) => {
                let (rows, cols) = head.cells();
                assert!(rows > 0 && cols > 0);
                Work::Missed(Missed {
                    camera: 0,
                    sequence: head.frame.sequence,
                    ticks: head.frame.ticks.clone(),
                    reason: GapReason::FrameLost,
                    detail: format!("{:?} {:?} {}", head.above, head.below, head.continues),
                    origin: None,
                })
            }
            item @ (Work::Tile(_) | Work::Missed(_) | Work::Ended) => item,
        };
        work.push(Numbered {
            lane,
            ordinal,
            item,
        });
        Ok(())
    };
    while let Some(captured) = loom.next(&pool).unwrap() {
        tiler.push(captured, &mut out).unwrap();
    }
    tiler.finish(&mut out).unwrap();
    work
}

fn small() -> LoomSettings {
    LoomSettings {
        width: 480,
        frame_height: 96,
        n_frames: Some(3),
        left: Beside::Cloth,
        right: Beside::Cloth,
        ..LoomSettings::new(3)
    }
}

fn rims(work: &[Numbered<Work>]) -> Vec<String> {
    work.iter()
        .filter_map(|numbered| match &numbered.item {
            Work::Missed(missed) => Some(missed.detail.clone()),
            Work::Tile(_) | Work::Frame(_) | Work::Ended => None,
        })
        .collect()
}

#[test]
fn one_web_is_joined_and_loose_pictures_are_not() {
    assert_eq!(
        rims(&cut(small(), Joints::Measured)),
        [
            "Mirrored Joined true",
            "Joined Joined true",
            "Joined Mirrored true"
        ]
    );
    assert_eq!(
        rims(&cut(small(), Joints::Loose)),
        vec!["Mirrored Mirrored false"; 3]
    );
}

#[test]
fn ordinals_count_without_a_hole() {
    let work = cut(small(), Joints::Measured);
    let ordinals: Vec<u64> = work.iter().map(|numbered| numbered.ordinal).collect();
    assert_eq!(ordinals, (0..work.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_joined_tile_sees_the_same_pixels_as_one_tall_frame() {
    let tall = LoomSettings {
        frame_height: 288,
        n_frames: Some(1),
        ..small()
    };
    let whole = cut(tall, Joints::Loose);
    let parts = cut(small(), Joints::Measured);
    let tiles = |work: &[Numbered<Work>]| -> Vec<Array3<f32>> {
        work.iter()
            .filter_map(|numbered| match &numbered.item {
                Work::Tile(tile) => Some(Array3::clone(&tile.pixels)),
                Work::Frame(_) | Work::Missed(_) | Work::Ended => None,
            })
            .collect()
    };
    let (whole, parts) = (tiles(&whole), tiles(&parts));
    // Light is evened per frame, so values differ a little; the texture must not.
    let middle = whole[0].slice(s![0, 96..96 + 192, ..]);
    let part = parts[1].slice(s![0, .., ..]);
    let worst = middle
        .iter()
        .zip(&part)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 0.1, "{worst}");
}

/// How often each pixel of a frame is kept, with cloth in `cloth`.
fn times_kept(height: usize, width: usize, cloth: ClothSpan) -> Vec<u32> {
    let mut kept = vec![0; height * width];
    let columns = columns_to_see(cloth, width);
    for (top, h) in spans(height, KEPT_HEIGHT_PX) {
        for (left, w) in spans(columns.len(), KEPT_WIDTH_PX) {
            let left = columns.start + left;
            assert!(left.is_multiple_of(TILE_STEP_PX) && top.is_multiple_of(TILE_STEP_PX));
            assert!(h.is_multiple_of(TILE_STEP_PX) && w.is_multiple_of(TILE_STEP_PX));
            assert!(h <= KEPT_HEIGHT_PX && w <= KEPT_WIDTH_PX);
            for row in top..(top + h).min(height) {
                for col in left..(left + w).min(width) {
                    kept[row * width + col] += 1;
                }
            }
        }
    }
    kept
}

#[test]
fn tiles_keep_every_cell_of_a_frame_once() {
    for (height, width) in [(1, 1), (7, 9), (256, 4096), (1200, 2448), (513, 1025)] {
        let kept = times_kept(height, width, ClothSpan::whole(width as u32).unwrap());
        assert!(kept.iter().all(|n| *n == 1), "{height} x {width}");
    }
}

#[test]
fn tiles_keep_the_cloth_and_little_of_the_table() {
    for (left, right) in [(0, 700), (33, 1500), (700, 701), (1499, 1500), (607, 1499)] {
        let kept = times_kept(9, 1500, ClothSpan::new(left, right, 1500).unwrap());
        for (col, n) in kept.iter().enumerate().map(|(at, n)| (at % 1500, *n)) {
            let is_cloth = (left as usize..right as usize).contains(&col);
            let far = col + EDGE_STEP_PX <= left as usize || col >= right as usize + EDGE_STEP_PX;
            assert!(n <= 1 && !(is_cloth && n == 0), "{left}..{right}: {col}");
            assert!(!(far && n > 0), "{left}..{right}: table is kept at {col}");
        }
    }
}

#[test]
fn a_tile_is_cut_into_the_memory_of_one_that_came_home() {
    let settings = LoomSettings {
        frame_height: 64,
        n_frames: Some(40),
        ..small()
    };
    let mut loom = Loom::new(settings).unwrap();
    let pool = Pool::new(4, loom.description().shape.n_bytes());
    let mut tiler = Tiler::new(0, correction(Joints::Measured));
    let mut places = std::collections::BTreeSet::new();
    let mut n_tiles = 0;
    let mut look = |numbered: Numbered<Work>| {
        if let Work::Tile(tile) = numbered.item {
            n_tiles += 1;
            places.insert(tile.pixels.as_ptr() as usize);
        }
        Ok(())
    };
    while let Some(captured) = loom.next(&pool).unwrap() {
        tiler.push(captured, &mut look).unwrap();
    }
    tiler.finish(&mut look).unwrap();
    assert_eq!((n_tiles, places.len()), (40, 1));
}

#[test]
fn the_mirror_does_not_repeat_its_end() {
    let seen: Vec<usize> = (-4..8).map(|at| mirror(at, 4)).collect();
    assert_eq!(seen, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
    assert_eq!(mirror(-5, 1), 0);
}

#[test]
fn a_lost_frame_is_missed_in_its_place() {
    let settings = LoomSettings {
        lost: [1].into(),
        ..small()
    };
    let work = cut(settings, Joints::Measured);
    let missed: Vec<u64> = work
        .iter()
        .filter_map(|numbered| match &numbered.item {
            Work::Missed(missed) => Some(missed.sequence),
            Work::Tile(_) | Work::Frame(_) | Work::Ended => None,
        })
        .collect();
    assert_eq!(missed, [0, 1, 2]);
}
