//! Every weave, every flaw on it, colour, depth and speed.

use super::*;

fn cloth(weave: Weave, dyes: Option<Dyes>) -> LoomSettings {
    LoomSettings {
        weave,
        dyes,
        warp_pitch_px: 7.0,
        weft_pitch_px: 6.0,
        ..settings(100, 5)
    }
}

const BLUE: Dyes = Dyes {
    warp: [0.35, 0.5, 1.0],
    weft: [0.9, 0.95, 1.0],
};

/// Where this kind is tried out: ticks and columns.
fn place(kind: FlawKind) -> (Range<i64>, Range<u32>) {
    match kind {
        FlawKind::EndOut | FlawKind::DoubleEnd => (95..330, 300..301),
        FlawKind::Mispick | FlawKind::DoublePick => (203..204, 300..301),
        FlawKind::Slub => (190..205, 250..390),
        FlawKind::Knot => (193..207, 300..315),
        FlawKind::Nep => (197..204, 300..307),
        FlawKind::Float => (198..202, 300..340),
        FlawKind::Hole => (180..220, 300..330),
        FlawKind::Stain | FlawKind::DyeStain => (160..240, 300..390),
        FlawKind::Contamination => (180..220, 300..400),
        FlawKind::Crease => (100..330, 300..324),
        FlawKind::StartMark => (180..220, 300..301),
        FlawKind::WeftCrack => (197..206, 200..450),
        FlawKind::Seam => (180..240, 300..301),
        FlawKind::Selvedge => (150..330, 120..140),
    }
}

/// The changed pixels, by line and column whatever the number of channels.
fn changed(good: &[u8], bad: &[u8], n_channels: usize) -> Vec<(i64, u32)> {
    let pixels = good
        .chunks_exact(n_channels)
        .zip(bad.chunks_exact(n_channels));
    let places = pixels.enumerate().filter(|(_, (a, b))| a != b);
    places
        .map(|(i, _)| ((i / WIDTH as usize) as i64, (i % WIDTH as usize) as u32))
        .collect()
}

#[test]
fn every_flaw_on_every_weave_lies_in_its_box_and_shows() {
    for dyes in [None, Some(BLUE)] {
        let n_channels = if dyes.is_some() { 3 } else { 1 };
        for weave in Weave::ALL {
            let (good, _) = woven(cloth(weave, dyes));
            for kind in FlawKind::ALL.into_iter().chain([FlawKind::Seam]) {
                let (ticks, columns) = place(kind);
                let flawed = cloth(weave, dyes).with_flaw(kind, ticks, columns, 1.0);
                if Loom::new(flawed.clone()).is_err() {
                    let is_known = (weave, kind) == (Weave::Knit, FlawKind::DoubleEnd)
                        || (kind, dyes) == (FlawKind::DyeStain, None);
                    assert!(is_known, "{kind:?} on {weave:?}");
                    continue;
                }
                let (bad, truth) = woven(flawed);
                let [flaw] = truth.as_slice() else {
                    panic!("{truth:?}")
                };
                let changed = changed(&good, &bad, n_channels);
                for (tick, column) in &changed {
                    let is_in = flaw.ticks.contains(tick) && flaw.columns.contains(column);
                    assert!(
                        is_in,
                        "{kind:?} on {weave:?}: tick {tick} column {column}, {flaw:?}"
                    );
                }
                assert!(
                    changed.len() > 12,
                    "{kind:?} on {weave:?}: {} changed",
                    changed.len()
                );
            }
        }
    }
}

#[test]
fn what_a_knit_cannot_have_is_refused_in_words() {
    let refused = |kind, ticks: Range<i64>, columns: Range<u32>| {
        let knit = cloth(Weave::Knit, None).with_flaw(kind, ticks, columns, 1.0);
        Loom::new(knit).unwrap_err().to_string()
    };
    assert!(refused(FlawKind::DoubleEnd, 10..90, 300..301).contains("no ends"));
    assert!(refused(FlawKind::Float, 10..90, 300..304).contains("no ends"));
    assert!(refused(FlawKind::DyeStain, 10..90, 300..350).contains("dyes"));
}

#[test]
fn random_flaws_of_every_kind_lie_on_every_weave() {
    for weave in Weave::ALL {
        let random = LoomSettings {
            width: 3000,
            flaws_per_megapixel: 4.0,
            random_kinds: FlawKind::ALL.to_vec(),
            frame_height: 500,
            n_frames: Some(80),
            ..cloth(weave, Some(BLUE))
        };
        let truth = Loom::new(random).unwrap().truth();
        let classes: std::collections::BTreeSet<_> = truth.iter().map(|flaw| flaw.class).collect();
        assert_eq!(classes.len(), if weave == Weave::Knit { 14 } else { 15 });
        for kind in FlawKind::ALL {
            let is_there = truth.iter().any(|flaw| flaw.class == kind.class());
            let cannot = (weave, kind) == (Weave::Knit, FlawKind::DoubleEnd);
            assert!(is_there != cannot, "{kind:?} on {weave:?}");
        }
    }
}

#[test]
fn new_weaves_and_colour_are_one_web_whatever_the_frame_height() {
    for (weave, dyes) in [
        (Weave::Satin5, None),
        (Weave::Knit, None),
        (Weave::Mesh, Some(BLUE)),
    ] {
        let of = |frame_height, n| {
            woven(LoomSettings {
                flaws_per_megapixel: 20.0,
                random_kinds: FlawKind::ALL.to_vec(),
                frame_height,
                n_frames: Some(n),
                ..cloth(weave, dyes)
            })
        };
        assert!(of(7, 120) == of(120, 7), "{weave:?}");
    }
}

#[test]
fn a_dye_stain_shows_in_colour_and_not_in_grey() {
    let dyed = || LoomSettings {
        noise: 0.0,
        ..cloth(Weave::Plain, Some(BLUE))
    };
    let (good, _) = woven(dyed());
    let (bad, _) = woven(dyed().with_flaw(FlawKind::DyeStain, 160..240, 300..390, 1.0));
    let grey = |rgb: &[u8]| {
        0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2])
    };
    let (mut most_grey, mut most_red) = (0.0_f32, 0_i32);
    for (a, b) in good.chunks_exact(3).zip(bad.chunks_exact(3)) {
        most_grey = most_grey.max((grey(a) - grey(b)).abs());
        most_red = most_red.max((i32::from(a[0]) - i32::from(b[0])).abs());
    }
    assert!(most_grey < 1.5 && most_red > 15, "{most_grey} {most_red}");
}

#[test]
fn sixteen_bits_are_the_same_cloth_finer() {
    let (eight, _) = woven(cloth(Weave::Plain, None));
    let (sixteen, _) = woven(LoomSettings {
        depth: Depth::Sixteen,
        ..cloth(Weave::Plain, None)
    });
    for (eight, sixteen) in eight.iter().zip(sixteen.chunks_exact(2)) {
        let fine = f32::from(u16::from_ne_bytes([sixteen[0], sixteen[1]])) / 257.0;
        assert!((fine - f32::from(*eight)).abs() <= 0.51, "{eight} {fine}");
    }
}

#[test]
fn under_a_changing_speed_the_truth_in_ticks_is_where_pixels_changed() {
    let slow_and_fast = |frame_height, n| LoomSettings {
        ticks_per_line: 8,
        speed: vec![
            SpeedStep {
                line: 50,
                speed: 1.0,
            },
            SpeedStep {
                line: 200,
                speed: 2.5,
            },
            SpeedStep {
                line: 350,
                speed: 0.3,
            },
        ],
        frame_height,
        n_frames: Some(n),
        ..cloth(Weave::Plain, None)
    };
    let (good, _) = woven(slow_and_fast(100, 5));
    let flaws = |settings: LoomSettings| {
        settings
            .with_flaw(FlawKind::Hole, 1000..1300, 300..330, 1.0)
            .with_flaw(FlawKind::Stain, 4200..4400, 200..260, 1.0)
    };
    let (bad, truth) = woven(flaws(slow_and_fast(100, 5)));
    assert_eq!(truth.len(), 2);
    assert!(woven(flaws(slow_and_fast(25, 20))) == (bad.clone(), truth.clone()));

    let mut loom = Loom::new(slow_and_fast(1, 500)).unwrap();
    let pool = Pool::new(1, loom.description().shape.n_bytes());
    let mut ticks = Vec::new();
    while let Some(captured) = loom.next(&pool).unwrap() {
        ticks.push(captured.ticks());
    }
    assert!(ticks.windows(2).all(|two| two[0].end == two[1].start));
    let height = |line: usize| ticks[line].end - ticks[line].start;
    assert_eq!([height(10), height(200), height(450)], [8, 20, 2]);
    let changed = changed(&good, &bad, 1);
    for flaw in &truth {
        let of = changed
            .iter()
            .filter(|(_, column)| flaw.columns.contains(column));
        let lines: Vec<_> = of.map(|(line, _)| *line as usize).collect();
        let (first, last) = (lines[0], lines[lines.len() - 1]);
        for line in [first, last] {
            assert!(
                overlap(&ticks[line], &flaw.ticks),
                "{flaw:?} on line {line}: {:?}",
                ticks[line]
            );
        }
        let shown = ticks[last].end - ticks[first].start;
        assert!(
            (shown - (flaw.ticks.end - flaw.ticks.start)).abs() < 60,
            "{flaw:?} {shown}"
        );
    }
}

#[test]
fn a_lamp_that_drifts_changes_the_light_along_the_web() {
    let drifting = LoomSettings {
        lamp_drift: 0.4,
        noise: 0.0,
        frame_height: 50,
        n_frames: Some(300),
        ..cloth(Weave::Plain, None)
    };
    let (web, _) = woven(drifting);
    let row = WIDTH as usize;
    let means: Vec<u32> = web
        .chunks_exact(50 * row)
        .map(|frame| {
            frame
                .iter()
                .skip(300)
                .step_by(row)
                .map(|&grey| u32::from(grey))
                .sum::<u32>()
                / 50
        })
        .collect();
    let (least, most) = (means.iter().min().unwrap(), means.iter().max().unwrap());
    assert!(*most as f32 > *least as f32 * 1.25, "{least} {most}");
}

#[test]
fn dead_columns_are_as_many_as_asked_for() {
    let dead = |n_dead_columns| {
        let settings = LoomSettings {
            noise: 0.0,
            n_dead_columns,
            ..cloth(Weave::Plain, None)
        };
        woven(settings).0
    };
    let (none, five) = (dead(0), dead(5));
    let columns: std::collections::BTreeSet<_> = changed(&none, &five, 1)
        .into_iter()
        .map(|(_, column)| column)
        .collect();
    // One of them may lie where a table is black or saturated anyway.
    assert!((3..=5).contains(&columns.len()), "{columns:?}");
}
