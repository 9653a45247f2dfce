//! Lanes of one web show one cloth.

use super::*;

/// Everything that differs from camera to camera switched off.
fn noiseless() -> LoomSettings {
    LoomSettings {
        width: 700,
        noise: 0.0,
        n_dead_columns: 0,
        flaws_per_megapixel: 30.0,
        random_kinds: FlawKind::ALL.to_vec(),
        ..settings(50, 12)
    }
}

/// All rows of one lane.
fn lane(web: &LoomWeb, nth: usize) -> Vec<Vec<u8>> {
    let mut loom = web.looms().unwrap().remove(nth);
    let shape = loom.description().shape;
    let pool = Pool::new(1, shape.n_bytes());
    let mut rows = Vec::new();
    while let Some(captured) = loom.next(&pool).unwrap() {
        let Captured::Frame(frame) = captured else {
            panic!("lost")
        };
        assert_eq!(usize::from(frame.camera), nth);
        rows.extend((0..shape.height).map(|row| frame.row_u8(row).unwrap().to_vec()));
    }
    rows
}

/// What lanes with one and the same camera see of the same columns: since a camera's gain
/// depends on its own columns, each is divided by what that camera makes of plain light.
fn light(web: &LoomWeb, nth: usize) -> Vec<Vec<f32>> {
    let gains = sensor::Sensor::new(&web.settings, &web.lanes[nth], true).gains();
    let scaled = |row: &Vec<u8>| {
        let levels = row.iter().zip(&gains);
        levels
            .map(|(&level, gain)| f32::from(level) / gain)
            .collect()
    };
    lane(web, nth).iter().map(scaled).collect()
}

#[test]
fn neighbours_show_the_same_cloth_and_flaws_where_they_overlap() {
    let web = LoomWeb::side_by_side(noiseless(), 3, 60).unwrap();
    let truth = web.truth().unwrap();
    assert!(truth.len() > 5, "{truth:?}");
    for loom in web.looms().unwrap() {
        assert_eq!(loom.truth(), truth);
    }
    for pair in 0..2 {
        let (left, right) = (light(&web, pair), light(&web, pair + 1));
        let off = (web.lanes[pair + 1].first_column - web.lanes[pair].first_column) as usize;
        assert_eq!(web.lanes[pair].width as usize - off, 60);
        for (line, (left, right)) in left.iter().zip(&right).enumerate() {
            for (x, (a, b)) in left[off..].iter().zip(right).enumerate() {
                // Half a grey level each, of a hundred or more.
                let is_bright = *a > 1.3 && *b > 1.3;
                assert!(
                    is_bright || (a - b).abs() < 0.012,
                    "line {line} column {x}: {a} {b}"
                );
            }
        }
    }
}

#[test]
fn lanes_together_are_the_web() {
    let web = LoomWeb::side_by_side(noiseless(), 2, 64).unwrap();
    let whole = LoomWeb {
        lanes: vec![LaneView {
            first_column: 0,
            width: 700,
            sensor_seed: 5,
            off_columns: 0,
            off_lines: 0,
        }],
        settings: noiseless(),
    };
    let whole = light(&whole, 0);
    for nth in 0..2 {
        let first = web.lanes[nth].first_column as usize;
        for (row, all) in light(&web, nth).iter().zip(&whole) {
            for (a, b) in row.iter().zip(&all[first..]) {
                assert!(*a > 1.2 || (a - b).abs() < 0.012, "{a} {b}");
            }
        }
    }
}

#[test]
fn a_misregistered_lane_is_off_by_what_it_says() {
    let right = LoomWeb::side_by_side(noiseless(), 2, 64).unwrap();
    let mut off = right.clone();
    (off.lanes[1].off_columns, off.lanes[1].off_lines) = (3, 2);
    let (right, off) = (light(&right, 1), light(&off, 1));
    for (line, row) in off.iter().enumerate().take(300) {
        for (a, b) in row[..250].iter().zip(&right[line + 2][3..]) {
            assert!(*a > 1.2 || (a - b).abs() < 0.015, "line {line}: {a} {b}");
        }
    }
}

#[test]
fn lanes_have_noise_of_their_own() {
    let noisy = LoomSettings {
        noise: 1.0,
        ..noiseless()
    };
    let web = LoomWeb::side_by_side(noisy, 2, 100).unwrap();
    let (left, right) = (light(&web, 0), light(&web, 1));
    let off = web.lanes[1].first_column as usize;
    let same = left[9][off..]
        .iter()
        .zip(&right[9])
        .filter(|(a, b)| (*a - *b).abs() < 0.003);
    assert!(same.count() < 60);
}

#[test]
fn lanes_outside_the_web_are_refused() {
    let lanes = |n, overlap| LoomWeb::side_by_side(noiseless(), n, overlap);
    assert!(lanes(0, 0).is_err() && lanes(20, 0).is_err() && lanes(2, 800).is_err());
    let mut web = lanes(2, 50).unwrap();
    web.lanes[1].first_column += 1;
    assert!(web.looms().unwrap_err().to_string().contains("lane is"));
}
