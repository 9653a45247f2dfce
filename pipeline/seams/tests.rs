//! What is a seam of levels that are given, row by row.

use proptest::prelude::*;

use super::*;

/// mm per pixel and per row.
const SCALE: f64 = 0.2;
const N_CHUNKS: usize = 32;
const CHUNK_PX: usize = 20;
/// Rows of cloth before and behind what is drawn.
const BEFORE: usize = 300;
const BEHIND: usize = 60;

/// Cloth on which `draw` says the change of each row and chunk, as a share of the level, over `n` rows.
fn cloth(n: usize, draw: impl Fn(usize, usize) -> f32) -> Vec<[f32; N_CHUNKS]> {
    let row = |row: usize| {
        std::array::from_fn(|chunk| {
            // Three per cent of unrest.
            let unrest = ((row * 7 + chunk * 13) % 11) as f32 / 5.0 - 1.0;
            let drawn = row.checked_sub(BEFORE).filter(|row| *row < n);
            let change = drawn.map_or(0.0, |row| draw(row, chunk));
            100.0 * (1.0 + 0.03 * unrest + change)
        })
    };
    (0..BEFORE + n + BEHIND).map(row).collect()
}

fn row_light(rows: &[[f32; N_CHUNKS]]) -> RowLight {
    RowLight::given(N_CHUNKS, N_CHUNKS * CHUNK_PX, rows.concat())
}

/// The seams of these rows as one frame.
fn seams(rows: &[[f32; N_CHUNKS]]) -> Vec<Range<u64>> {
    let mut watch = SeamWatch::new(SCALE, SCALE);
    let mut found = watch.see(&row_light(rows));
    found.extend(watch.forget());
    found.into_iter().map(|seam| seam.rows).collect()
}

/// Two ridges with a furrow between them, over `n` rows.
fn folded(row: usize, n: usize, chunk: usize) -> f32 {
    let ridge = 0.45 + 0.05 * ((chunk * 5) % 7) as f32 / 7.0;
    match row * 10 / n {
        0 | 9 => 0.1,
        1..=3 | 6..=8 => ridge,
        _ => -0.3,
    }
}

#[test]
fn two_ridges_with_a_furrow_from_selvedge_to_selvedge_are_a_seam() {
    let found = seams(&cloth(50, |row, chunk| folded(row, 50, chunk)));
    assert_eq!(found.len(), 1, "{found:?}");
    let rows = &found[0];
    assert!(
        (303..=307).contains(&rows.start) && (343..=347).contains(&rows.end),
        "{rows:?}"
    );
}

#[test]
fn a_seam_may_be_askew_by_a_centimetre() {
    let askew = |per_chunk: f32| {
        let shift = move |chunk: usize| (chunk as f32 * per_chunk) as usize;
        seams(&cloth(400, |row, chunk| {
            let row = row.checked_sub(shift(chunk)).filter(|row| *row < 130);
            row.map_or(0.0, |row| folded(row, 130, chunk))
        }))
    };
    assert_eq!(askew(1.5).len(), 1);
    assert_eq!(askew(8.0).len(), 0, "this is a fold");
}

#[test]
fn whatever_else_goes_across_is_no_seam() {
    let thin = |row: usize| if row < 5 { -0.7 } else { 0.0 };
    let fading = |row: usize| -0.35 * (1.0 - row as f32 / 60.0);
    let band = |row: usize| if row < 60 { 0.6 } else { 0.0 };
    // A lamp that flickers does the same to all of it.
    let lamp = |row: usize| folded(row, 50, 0);
    type Drawn<'a> = (&'a str, &'a dyn Fn(usize, usize) -> f32);
    let drawn: [Drawn<'_>; 9] = [
        ("plain", &|_, _| 0.0),
        ("pick", &|row, _| thin(row)),
        ("two picks", &|row, _| thin(row % 15)),
        ("start mark", &|row, _| fading(row)),
        ("bright bar", &|row, chunk| {
            band(row) * (1.0 + 0.02 * chunk as f32)
        }),
        ("crack", &|row, chunk| {
            -band(row) * (1.0 + 0.02 * chunk as f32)
        }),
        ("flicker", &|row, _| lamp(row)),
        ("wide seam", &|row, chunk| folded(row, 400, chunk)),
        ("half a seam", &|row, chunk| {
            if chunk < 24 {
                folded(row, 50, chunk)
            } else {
                0.0
            }
        }),
    ];
    for (name, draw) in drawn {
        let n = if name == "wide seam" { 400 } else { 50 };
        let found = seams(&cloth(n, draw));
        assert_eq!(found, [], "{name}");
    }
}

#[test]
fn a_seam_is_none_where_the_cloth_breaks_off_or_has_just_begun() {
    let rows = cloth(50, |row, chunk| folded(row, 50, chunk));
    assert_eq!(seams(&rows[..BEFORE + 30]), [], "half of it was seen");
    assert_eq!(
        seams(&rows[BEFORE - 50..]),
        [],
        "nothing is known to be usual"
    );
    assert_eq!(seams(&rows[..BEFORE + 52]).len(), 1, "it had just ended");
    // What follows does not continue: the half before and the half behind are none.
    let mut watch = SeamWatch::new(SCALE, SCALE);
    assert_eq!(watch.see(&row_light(&rows[..BEFORE + 20])), []);
    assert_eq!(watch.forget(), []);
    assert_eq!(watch.see(&row_light(&rows[BEFORE + 30..])), []);
    assert_eq!(watch.open().count(), 0);
}

#[test]
fn what_may_become_a_seam_is_open_until_that_is_known() {
    let rows = cloth(50, |row, chunk| folded(row, 50, chunk));
    let mut watch = SeamWatch::new(SCALE, SCALE);
    watch.see(&row_light(&rows[..BEFORE]));
    assert_eq!(watch.open().count(), 0);
    watch.see(&row_light(&rows[BEFORE..BEFORE + 30]));
    let (id, from) = watch.open().next().unwrap();
    assert!((302..310).contains(&from), "{from}");
    assert!(watch.is_open(id) && !watch.is_seam(id));
    assert_eq!(watch.see(&row_light(&rows[BEFORE + 30..])).len(), 1);
    assert!(!watch.is_open(id) && watch.is_seam(id));
    // A level that stays is usual after three centimetres.
    let rows = cloth(600, |_, _| 0.5);
    let mut watch = SeamWatch::new(SCALE, SCALE);
    watch.see(&row_light(&rows[..BEFORE + 100]));
    assert_eq!(watch.open().count(), 1);
    watch.see(&row_light(&rows[BEFORE + 100..BEFORE + 250]));
    assert_eq!(watch.open().count(), 0);
}

proptest! {
    #[test]
    fn where_frames_begin_changes_no_seam(
        height in 20..200_usize,
        noise in 0.0..0.4_f32,
        cuts in prop::collection::vec(1..90_usize, 1..40),
    ) {
        let draw = |row: usize, chunk: usize| {
            folded(row, height, chunk) + noise * ((row * 31 + chunk * 17) % 13) as f32 / 13.0
        };
        let rows = cloth(height, draw);
        let whole = seams(&rows);
        let mut watch = SeamWatch::new(SCALE, SCALE);
        let (mut found, mut rest) = (Vec::new(), &rows[..]);
        for n in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (frame, behind) = rest.split_at((*n).min(rest.len()));
            found.extend(watch.see(&row_light(frame)));
            rest = behind;
        }
        found.extend(watch.forget());
        let found: Vec<Range<u64>> = found.into_iter().map(|seam| seam.rows).collect();
        prop_assert_eq!(&found, &whole);
        prop_assert_eq!(watch.n_seen(), rows.len() as u64);
    }
}
