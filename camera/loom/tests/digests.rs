//! Cloth that was woven once is woven the same for ever: golden rolls and kept results rest on it.

use super::*;

/// FNV-1a over every byte of the web and over the truth.
fn digest(settings: LoomSettings) -> u64 {
    let (web, truth) = woven(settings);
    let boxes = truth.iter().flat_map(|flaw| {
        let columns = flaw.columns.clone();
        [
            flaw.ticks.start,
            flaw.ticks.end,
            i64::from(columns.start),
            i64::from(columns.end),
        ]
    });
    let bytes = boxes.flat_map(i64::to_le_bytes).chain(web);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn the_default_cloth_is_what_it_always_was() {
    let first_two = LoomSettings {
        n_frames: Some(2),
        ..LoomSettings::new(1)
    };
    assert_eq!(digest(first_two), 151737794788144055);
}

#[test]
fn every_older_setting_weaves_what_it_always_wove() {
    let digests = [Weave::Plain, Weave::Twill21, Weave::Twill31].map(|weave| {
        digest(LoomSettings {
            weave,
            sensor_seed: 9,
            flaws_per_megapixel: 25.0,
            left: Beside::Cloth,
            warp_pitch_px: 5.3,
            ..settings(128, 24)
        })
    });
    assert_eq!(
        digests,
        [
            2316193407687233485,
            14458569839841166322,
            4463835562005141912
        ]
    );
}

#[test]
fn every_older_flaw_looks_as_it_always_did() {
    let kinds = [
        FlawKind::EndOut,
        FlawKind::Mispick,
        FlawKind::Slub,
        FlawKind::Knot,
        FlawKind::Nep,
        FlawKind::Hole,
        FlawKind::Stain,
        FlawKind::Contamination,
        FlawKind::Selvedge,
    ];
    let mut all = settings(200, 5);
    for (place, kind) in (0..).zip(kinds) {
        let start = 20 + 100 * place;
        all = all.with_flaw(kind, start..start + 60, 200..260, 0.9);
    }
    all.lost = [3].into();
    assert_eq!(digest(all), 15764944393110113351);
}
