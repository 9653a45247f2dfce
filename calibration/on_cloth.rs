//! Edges and joints on real cloth, where `SELVEDGE_CLOTH` names a folder of it; says so aloud
//! where it does not.

use std::path::PathBuf;

use camera::{Channels, Frame, load_image};

use crate::joint::LARGEST_STEP;
use crate::{
    ClothSpan, EvenFrame, Evener, JointRows, Shift, Texture, continues, find_cloth, joint_step,
    shift,
};

/// Pixels across of a narrow lane.
const NARROW: u32 = 640;

/// File, left, right.
const EDGES_SEEN: &str = include_str!("edges_seen.csv");
/// Columns; frayed yarns leave no edge more exact than this.
const EDGE_TOLERANCE: u32 = 12;

#[test]
fn edges_lie_where_a_person_sees_them() {
    let Some(folder) = cloth_folder() else { return };
    let (mut n, mut wrong) = (0, Vec::new());
    for (file, left, right) in edges_seen() {
        let frame = load_image(&folder.join(file)).unwrap();
        let cloth = find_cloth(&frame);
        n += 1;
        let is_right = cloth.is_some_and(|cloth| {
            cloth.left().abs_diff(left) <= EDGE_TOLERANCE
                && cloth.right().abs_diff(right) <= EDGE_TOLERANCE
        });
        if !is_right {
            wrong.push(format!("{file}: {cloth:?}, seen {left}..{right}"));
        }
    }
    assert!(n > 100, "only {n} images");
    println!("{} of {n} edges are wrong: {wrong:#?}", wrong.len());
    assert!(wrong.len() * 20 <= n);
}

#[test]
fn an_image_cut_in_two_continues_itself() {
    let Some(folder) = cloth_folder() else { return };
    let (mut n, mut broken) = (0, 0);
    for (idx, (file, ..)) in edges_seen().enumerate() {
        let whole = load_image(&folder.join(file)).unwrap();
        let height = whole.height();
        let row = 16 + (idx as u32 * 97) % (height - 32);
        let [above, below] = [0..row, row..height].map(|rows| even(&part(&whole, rows)));
        n += 1;
        broken += u32::from(!goes_on(&above, &below));
    }
    println!("{broken} of {n} cuts are seen");
    assert!(broken * 50 <= n);
}

/// Windows cut from one strip at known places, its long side across as a camera sees it.
#[test]
fn the_shift_between_windows_of_a_strip_is_found_or_doubted_never_wrong() {
    let Some(folder) = cloth_folder() else { return };
    let (mut n, mut n_found, mut worst) = (0, 0, 0.0_f64);
    for (idx, (file, ..)) in edges_seen().enumerate() {
        let whole = load_image(&folder.join(file)).unwrap();
        let height = whole.height() * 5 / 8;
        let moved = (idx as u32 * 37) % (height / 2).min(whole.height() - height);
        let window = |top: u32| Texture::of(&part(&whole, top..top + height)).unwrap();
        n += 1;
        match shift(&window(moved), &window(0), None).unwrap() {
            Shift::Moved { rows, .. } => {
                let error = (rows - f64::from(moved)).abs();
                assert!(error <= 0.3, "{file}: {rows} for {moved}");
                worst = worst.max(error);
                n_found += 1;
            }
            Shift::Unknown(doubt) => println!("{file} {moved}: {doubt:?}"),
        }
    }
    println!("{n_found} of {n} shifts found, the worst wrong by {worst:.3} rows");
    assert!(n_found * 10 >= n * 9, "{n_found} of {n}");
}

/// Strips in name order are no such pairs: nearly half of them do follow each other on the
/// cloth, as their yarns show. Strips that stand farther apart in the list do not.
#[test]
fn strips_from_different_places_do_not_continue_each_other() {
    let Some(folder) = cloth_folder() else { return };
    let strips: Vec<&str> = (edges_seen().map(|(file, ..)| file))
        .filter(|file| file.starts_with("aitex"))
        .collect();
    let (mut n, mut taken) = (0, 0);
    for pair in strips.windows(4).step_by(2) {
        let [above, below] =
            [pair[0], pair[3]].map(|file| even(&load_image(&folder.join(file)).unwrap()));
        n += 1;
        taken += u32::from(goes_on(&above, &below));
    }
    println!("{taken} of {n} strange pairs are taken for one web");
    assert!(n > 50 && taken * 50 <= n);
}

/// A narrow lane shows few yarns: 640 columns out of the cloth of each image.
#[test]
fn narrow_webs_are_told_apart_too() {
    let Some(folder) = cloth_folder() else { return };
    let lane = |file: &str| {
        let whole = load_image(&folder.join(file)).unwrap();
        let cloth = find_cloth(&whole).unwrap();
        let left = cloth.left() + cloth.n_columns().saturating_sub(NARROW) / 2;
        let right = (left + NARROW).min(cloth.right());
        columns(&whole, left..right)
    };
    let strips: Vec<&str> = (edges_seen().map(|(file, ..)| file))
        .filter(|file| file.starts_with("aitex"))
        .collect();
    let step = |above: &EvenFrame, below: &EvenFrame| {
        joint_step(&JointRows::last_of(above), &JointRows::first_of(below)).unwrap()
    };
    let (mut cuts, mut strange) = (Vec::new(), Vec::new());
    for (idx, (file, ..)) in edges_seen().enumerate() {
        let whole = lane(file);
        for row in [32, 64, 96, 160].map(|row| row + (idx as u32 * 13) % 32) {
            let [above, below] =
                [0..row, row..whole.height()].map(|rows| all_cloth(&part(&whole, rows)));
            cuts.push(step(&above, &below));
        }
    }
    for distance in [3, 5, 7, 9] {
        for pair in strips.windows(distance + 1) {
            let [above, below] = [pair[0], pair[distance]].map(|file| all_cloth(&lane(file)));
            strange.push(step(&above, &below));
        }
    }
    for (name, steps) in [("cuts", &mut cuts), ("strange pairs", &mut strange)] {
        steps.sort_by(f32::total_cmp);
        let at = |share: f32| steps[(share * (steps.len() - 1) as f32) as usize];
        let shares = [0.0, 0.01, 0.05, 0.1, 0.5, 0.9, 0.99, 1.0].map(at);
        println!("{} {name}: {shares:.2?}", steps.len());
    }
    let broken = cuts.iter().filter(|step| **step >= LARGEST_STEP).count();
    let taken = strange.iter().filter(|step| **step < LARGEST_STEP).count();
    println!("{broken} cuts are seen, {taken} strange pairs are taken");
    assert!(broken * 200 <= cuts.len());
    assert!(taken * 10 <= strange.len());
}

fn all_cloth(frame: &Frame) -> EvenFrame {
    let cloth = ClothSpan::whole(frame.width()).unwrap();
    Evener::new()
        .even(frame, cloth, None, Channels::Grey)
        .unwrap()
}

fn columns(whole: &Frame, columns: std::ops::Range<u32>) -> Frame {
    let (first, end) = (columns.start as usize, columns.end as usize);
    let samples: Vec<u8> = (0..whole.height())
        .flat_map(|row| whole.row_u8(row).unwrap()[first..end].to_vec())
        .collect();
    crate::picture::frame(
        columns.end - columns.start,
        whole.height(),
        Channels::Grey,
        &samples,
    )
}

fn cloth_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SELVEDGE_CLOTH").map(PathBuf::from);
    if folder.is_none() {
        println!("not run on real cloth: SELVEDGE_CLOTH is not set");
    }
    folder
}

fn edges_seen() -> impl Iterator<Item = (&'static str, u32, u32)> {
    let lines = EDGES_SEEN.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let parts: Vec<&str> = line.split(',').collect();
        (
            parts[0],
            parts[1].parse().unwrap(),
            parts[2].parse().unwrap(),
        )
    })
}

fn even(frame: &Frame) -> EvenFrame {
    let cloth: ClothSpan = find_cloth(frame).unwrap();
    Evener::new()
        .even(frame, cloth, None, Channels::Grey)
        .unwrap()
}

fn goes_on(above: &EvenFrame, below: &EvenFrame) -> bool {
    continues(&JointRows::last_of(above), &JointRows::first_of(below))
}

fn part(whole: &Frame, rows: std::ops::Range<u32>) -> Frame {
    let width = whole.width();
    let samples: Vec<u8> = (rows.clone())
        .flat_map(|row| whole.row_u8(row).unwrap().to_vec())
        .collect();
    crate::picture::frame(width, rows.end - rows.start, Channels::Grey, &samples)
}

/// Whatever the weave, blocks that follow each other are seen to, and a lost one is missed.
#[test]
fn narrow_webs_of_every_weave_go_on_from_block_to_block() {
    let mut told = Vec::new();
    use camera::Weave::{Knit, Mesh, Plain, Satin5, Twill21, Twill31};
    for weave in [Plain, Twill21, Twill31, Satin5, Knit, Mesh] {
        let (mut n, mut broken, mut n_lost, mut taken) = (0, 0, 0, 0);
        for seed in 1..=4 {
            let blocks = blocks(weave, seed);
            for pair in blocks.windows(2) {
                n += 1;
                broken += u32::from(!goes_on(&pair[0], &pair[1]));
            }
            for pair in blocks.windows(3) {
                n_lost += 1;
                taken += u32::from(goes_on(&pair[0], &pair[2]));
            }
        }
        println!(
            "{weave:?}: {broken} of {n} joints are seen, {taken} of {n_lost} losses are taken"
        );
        told.push((weave, broken, taken));
    }
    for (weave, broken, taken) in told {
        assert_eq!(broken, 0, "{weave:?}");
        // A mesh repeats itself: that whole repeats are lost shows in the encoder alone.
        assert!(taken == 0 || weave == Mesh, "{weave:?}: {taken}");
    }
}

fn blocks(weave: camera::Weave, seed: u64) -> Vec<EvenFrame> {
    use camera::{Captured, Loom, LoomSettings, Pool, Source};
    let settings = LoomSettings {
        width: NARROW,
        frame_height: 70,
        n_frames: Some(24),
        weave,
        ..LoomSettings::new(seed)
    };
    let mut loom = Loom::new(settings).unwrap();
    let pool = Pool::new(1, loom.description().shape.n_bytes());
    let mut blocks = Vec::new();
    while let Some(Captured::Frame(frame)) = loom.next(&pool).unwrap() {
        blocks.push(even(&frame));
    }
    blocks
}
