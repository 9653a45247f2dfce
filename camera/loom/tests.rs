//! The web is one, the truth is true.

mod digests;
mod lanes;
mod weaves;

use super::*;

const WIDTH: u32 = 640;

fn settings(frame_height: u32, n_frames: u64) -> LoomSettings {
    LoomSettings {
        width: WIDTH,
        frame_height,
        n_frames: Some(n_frames),
        ..LoomSettings::new(5)
    }
}

/// Weaves to the end; lost frames stay black.
fn woven(settings: LoomSettings) -> (Vec<u8>, Vec<PlantedFlaw>) {
    let mut loom = Loom::new(settings).unwrap();
    let shape = loom.description().shape;
    let pool = Pool::new(1, shape.n_bytes());
    let mut web = Vec::new();
    while let Some(captured) = loom.next(&pool).unwrap() {
        match captured {
            Captured::Frame(frame) => web.extend_from_slice(frame.bytes()),
            Captured::Lost(_) => web.resize(web.len() + shape.n_bytes(), 0),
        }
    }
    (web, loom.truth())
}

/// The box of all pixels in which two webs differ.
fn difference(a: &[u8], b: &[u8]) -> Option<(Range<i64>, Range<u32>)> {
    let mut found: Option<(Range<i64>, Range<u32>)> = None;
    for (i, _) in a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b) {
        let (tick, column) = ((i / WIDTH as usize) as i64, (i % WIDTH as usize) as u32);
        let (ticks, columns) = found.get_or_insert((tick..tick + 1, column..column + 1));
        *ticks = ticks.start.min(tick)..ticks.end.max(tick + 1);
        *columns = columns.start.min(column)..columns.end.max(column + 1);
    }
    found
}

/// Plants one flaw and checks its truth against the pixels that it changed.
fn check(kind: FlawKind, ticks: Range<i64>, columns: Range<u32>, slack: i64) {
    let (good, none) = woven(settings(100, 6));
    assert!(none.is_empty());
    let (bad, truth) = woven(settings(100, 6).with_flaw(kind, ticks, columns, 1.0));
    let [flaw] = truth.as_slice() else {
        panic!("{truth:?}")
    };
    assert_eq!(flaw.class, kind.class());
    let (ticks, columns) = difference(&good, &bad).unwrap();
    let inside = |outer: Range<i64>, inner: Range<i64>| {
        assert!(
            outer.start <= inner.start && inner.end <= outer.end,
            "{flaw:?}: {inner:?} changed"
        );
        let spare = (inner.start - outer.start).max(outer.end - inner.end);
        assert!(spare <= slack, "{flaw:?}: only {inner:?} changed");
    };
    inside(flaw.ticks.clone(), ticks);
    inside(
        i64::from(flaw.columns.start)..i64::from(flaw.columns.end),
        i64::from(columns.start)..i64::from(columns.end),
    );
}

#[test]
fn the_same_settings_weave_the_same_cloth() {
    let random = LoomSettings {
        flaws_per_megapixel: 30.0,
        ..settings(64, 4)
    };
    assert_eq!(woven(random.clone()), woven(random.clone()));
    let other = LoomSettings {
        seed: 6,
        ..random.clone()
    };
    assert_ne!(woven(random).0, woven(other).0);
}

#[test]
fn the_same_cloth_comes_out_whatever_the_frame_height() {
    for weave in [Weave::Plain, Weave::Twill21, Weave::Twill31] {
        let of = |height, n| {
            let random = LoomSettings {
                flaws_per_megapixel: 20.0,
                weave,
                ..settings(height, n)
            };
            woven(random)
        };
        let (low, truth) = of(7, 360);
        assert!(!truth.is_empty());
        assert!((low, truth) == of(360, 7), "{weave:?}");
    }
}

#[test]
fn an_endless_web_is_the_finite_one_going_on() {
    let random = LoomSettings {
        flaws_per_megapixel: 20.0,
        ..settings(512, 9)
    };
    let (web, _) = woven(random.clone());
    let mut endless = Loom::new(LoomSettings {
        n_frames: None,
        ..random
    })
    .unwrap();
    let pool = Pool::new(1, endless.description().shape.n_bytes());
    for expected in web.chunks_exact(pool.buffer_bytes()) {
        let Some(Captured::Frame(frame)) = endless.next(&pool).unwrap() else {
            panic!("lost")
        };
        assert!(frame.bytes() == expected, "frame {}", frame.sequence);
    }
}

#[test]
fn a_lost_frame_leaves_the_rest_as_it_was() {
    let (whole, _) = woven(settings(64, 4));
    let (gappy, _) = woven(LoomSettings {
        lost: [1].into(),
        ..settings(64, 4)
    });
    let frame = (64 * WIDTH) as usize;
    assert_eq!(whole[..frame], gappy[..frame]);
    assert!(gappy[frame..2 * frame].iter().all(|&grey| grey == 0));
    assert_eq!(whole[2 * frame..], gappy[2 * frame..]);
}

#[test]
fn a_lost_frame_has_its_place_and_reason() {
    let mut loom = Loom::new(LoomSettings {
        lost: [0].into(),
        ..settings(64, 2)
    })
    .unwrap();
    let pool = Pool::new(1, loom.description().shape.n_bytes());
    let Some(Captured::Lost(lost)) = loom.next(&pool).unwrap() else {
        panic!("not lost")
    };
    assert_eq!(
        (lost.sequence, lost.ticks, lost.reason),
        (0, 0..64, LostReason::FrameLost)
    );
}

#[test]
fn the_truth_of_yarn_flaws_is_where_pixels_changed() {
    // Where the yarn would lie below, its absence changes nothing: up to one pick.
    check(FlawKind::EndOut, 30..570, 301..302, 5);
    check(FlawKind::Mispick, 250..251, 300..301, 2);
}

#[test]
fn a_missing_pick_reaches_from_side_to_side_where_no_edge_is_seen() {
    let open = |height, n| LoomSettings {
        left: Beside::Cloth,
        right: Beside::Cloth,
        ..settings(height, n)
    };
    let (good, _) = woven(open(90, 40));
    for tick in [0, 1000, 2000, 3000] {
        let flawed = open(90, 40).with_flaw(FlawKind::Mispick, tick..tick + 1, 0..1, 1.0);
        let (bad, truth) = woven(flawed);
        let (_, columns) = difference(&good, &bad).unwrap();
        assert_eq!(truth[0].columns, 0..WIDTH);
        assert!(columns.start < 8 && columns.end > WIDTH - 8, "{columns:?}");
    }
}

#[test]
fn the_truth_of_local_flaws_is_where_pixels_changed_even_over_frame_borders() {
    check(FlawKind::Slub, 95..105, 250..390, 6);
    check(FlawKind::Knot, 95..107, 300..313, 3);
    check(FlawKind::Nep, 97..103, 300..306, 3);
    check(FlawKind::Hole, 180..220, 300..330, 3);
    check(FlawKind::Stain, 260..340, 300..390, 8);
    check(FlawKind::Contamination, 280..320, 300..400, 3);
    check(FlawKind::Contamination, 250..350, 300..320, 3);
}

#[test]
fn the_truth_of_cut_selvedges_is_where_pixels_changed_on_both_sides() {
    check(FlawKind::Selvedge, 150..330, 120..140, 4);
    check(FlawKind::Selvedge, 150..330, 560..580, 4);
}

#[test]
fn the_truth_of_a_seam_is_where_pixels_changed_from_side_to_side() {
    // Loops stand out of the selvedge by a few pixels, and not on every line.
    check(FlawKind::Seam, 190..250, 300..301, 10);
    let open = |frame_height, n_frames| LoomSettings {
        left: Beside::Cloth,
        right: Beside::Cloth,
        ..settings(frame_height, n_frames).with_flaw(FlawKind::Seam, 90..170, 0..1, 1.0)
    };
    let (web, truth) = woven(open(100, 3));
    assert_eq!(
        (truth[0].class, truth[0].columns.clone()),
        ("seam", 0..WIDTH)
    );
    assert_eq!(woven(open(20, 15)), (web, truth));
}

#[test]
fn random_flaws_are_all_of_the_truth() {
    let random = LoomSettings {
        flaws_per_megapixel: 30.0,
        random_kinds: FlawKind::ALL.to_vec(),
        ..settings(256, 40)
    };
    let (bad, truth) = woven(random);
    let (good, _) = woven(settings(256, 40));
    let classes: std::collections::BTreeSet<_> = truth.iter().map(|flaw| flaw.class).collect();
    assert!(classes.len() >= 10, "{classes:?}");
    for (i, (a, b)) in good.iter().zip(&bad).enumerate() {
        let (tick, column) = ((i / WIDTH as usize) as i64, (i % WIDTH as usize) as u32);
        let known = || {
            truth
                .iter()
                .any(|flaw| flaw.ticks.contains(&tick) && flaw.columns.contains(&column))
        };
        assert!(
            a == b || known(),
            "tick {tick} column {column} changed outside every box"
        );
    }
}

#[test]
fn no_contrast_is_no_flaw() {
    let (good, _) = woven(settings(200, 2));
    for kind in FlawKind::ALL {
        if kind == FlawKind::DyeStain {
            continue;
        }
        let (bad, _) = woven(settings(200, 2).with_flaw(kind, 50..90, 122..150, 0.0));
        assert!(difference(&good, &bad).is_none(), "{kind:?}");
    }
}

#[test]
fn tables_are_white_and_dark_and_the_cloth_is_between() {
    let (web, _) = woven(settings(100, 1));
    for row in web.chunks_exact(WIDTH as usize) {
        assert!(row[..110].iter().all(|&grey| grey == 255));
        assert!(row[590..].iter().all(|&grey| grey < 30));
        let cloth = &row[130..570];
        let mean = cloth.iter().map(|&grey| u32::from(grey)).sum::<u32>() / cloth.len() as u32;
        assert!((60..160).contains(&mean), "{mean}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |settings: LoomSettings| Loom::new(settings).unwrap_err().to_string();
    let base = || settings(10, 1);
    assert!(
        refused(LoomSettings {
            width: 10,
            ..base()
        })
        .contains("width is 10")
    );
    assert!(
        refused(LoomSettings {
            frame_height: 0,
            ..base()
        })
        .contains("frame_height is 0")
    );
    assert!(
        refused(LoomSettings {
            warp_pitch_px: f32::NAN,
            ..base()
        })
        .contains("warp_pitch_px")
    );
    assert!(
        refused(LoomSettings {
            left: Beside::DarkTable(570),
            ..base()
        })
        .contains("tables")
    );
    let open = LoomSettings {
        left: Beside::Cloth,
        right: Beside::Cloth,
        ..base()
    };
    assert!(refused(open.with_flaw(FlawKind::Selvedge, 0..9, 0..9, 1.0)).contains("selvedge"));
    assert!(refused(base().with_flaw(FlawKind::Nep, 10..14, 0..9, 1.0)).contains("on the web"));
}
