//! Sharp cloth and the same cloth blurred: simulated, and real where `SELVEDGE_CLOTH` names a folder.

use std::path::PathBuf;

use camera::{Captured, Channels, Loom, LoomSettings, Pool, Source, Weave, load_image};
use opencv::core::{BORDER_REFLECT_101, Mat, Size};
use opencv::imgproc::gaussian_blur;
use opencv::prelude::{MatTraitConst, MatTraitConstManual};

use super::*;
use crate::find_cloth;

/// Share of the least taught sharpness below which cloth counts as blurred.
const LIMIT: f64 = 0.6;

/// The frame through a lens that blurs by a Gaussian of `sigma` px.
fn blurred(frame: &Frame, sigma: f64) -> Frame {
    let rows: Vec<&[u8]> = (0..frame.height())
        .map(|row| frame.row_u8(row).unwrap())
        .collect();
    let sharp = Mat::from_slice_2d(&rows).unwrap();
    let mut soft = Mat::default();
    let border = BORDER_REFLECT_101;
    gaussian_blur(&sharp, &mut soft, Size::new(0, 0), sigma, sigma, border).unwrap();
    assert!(soft.is_continuous());
    let (width, height) = (frame.width(), frame.height());
    crate::picture::frame(width, height, Channels::Grey, soft.data_bytes().unwrap())
}

/// Sharpness of each quarter, of all frames that show cloth.
fn seen(frames: &[Frame], sigma: Option<f64>) -> Vec<Sharpness> {
    let seen = frames.iter().filter_map(|frame| {
        let cloth = find_cloth(frame)?;
        Some(match sigma {
            None => sharpness(frame, cloth).unwrap(),
            Some(sigma) => sharpness(&blurred(frame, sigma), cloth).unwrap(),
        })
    });
    seen.collect()
}

/// Share of quarters whose sharpness lies below the limit, where the first `n_taught` frames were taught.
fn share_below(all: &[Sharpness], taught: &[Sharpness]) -> f64 {
    let (mut n, mut n_below) = (0, 0);
    for part in 0..N_FOCUS_PARTS {
        let seen = |all: &[Sharpness]| -> Vec<Focus> {
            all.iter().filter_map(|seen| seen[part]).collect()
        };
        let least = |of: fn(&Focus) -> f64| {
            let all = seen(taught);
            all.iter().map(of).fold(f64::INFINITY, f64::min) * LIMIT
        };
        let (sharpness, contrast) = (
            least(|focus| focus.sharpness),
            least(|focus| focus.contrast),
        );
        for focus in seen(all) {
            n += 1;
            n_below += usize::from(focus.sharpness < sharpness && focus.contrast < contrast);
        }
    }
    assert!(n > 0, "no quarter showed cloth");
    n_below as f64 / f64::from(n)
}

fn check(name: &str, frames: &[Frame]) {
    let sharp = seen(frames, None);
    let taught = &sharp[..sharp.len().div_ceil(2)];
    let shares = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
        .map(|sigma| (sigma, share_below(&seen(frames, Some(sigma)), taught)));
    println!("{name}: {shares:.2?} of the quarters are blurred");
    assert_eq!(share_below(&sharp, taught), 0.0, "{name}: sharp cloth");
    for (sigma, share) in shares {
        assert!(
            sigma < 2.0 || share == 1.0,
            "{name}: sigma {sigma}: {share}"
        );
    }
}

#[test]
fn simulated_cloth_of_every_weave_is_told_from_its_blurred_self() {
    for weave in Weave::ALL {
        let settings = LoomSettings {
            width: 1200,
            frame_height: 96,
            n_frames: Some(10),
            weave,
            ..LoomSettings::new(7)
        };
        let mut loom = Loom::new(settings).unwrap();
        let pool = Pool::new(10, loom.description().shape.n_bytes());
        let mut frames = Vec::new();
        while let Some(Captured::Frame(frame)) = loom.next(&pool).unwrap() {
            frames.push(frame);
        }
        check(&format!("{weave:?}"), &frames);
    }
}

#[test]
fn real_cloth_is_told_from_its_blurred_self() {
    let Some(folder) = std::env::var_os("SELVEDGE_CLOTH").map(PathBuf::from) else {
        println!("not run on real cloth: SELVEDGE_CLOTH is not set");
        return;
    };
    for fabric in ["00", "02", "03"] {
        let good = folder.join("aitex").join(fabric).join("good");
        let entries = std::fs::read_dir(good).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let frames: Vec<Frame> = files.iter().map(|file| load_image(file).unwrap()).collect();
        check(&format!("AITEX {fabric}"), &frames);
    }
}

#[test]
fn what_shows_no_cloth_or_is_too_low_tells_nothing() {
    use crate::picture::{picture, weave};
    let whole = ClothSpan::whole(800).unwrap();
    let low = picture(800, FEWEST_LINES - 1, |row, column| weave(1, row, column));
    assert_eq!(sharpness(&low, whole).unwrap(), [None; N_FOCUS_PARTS]);
    let flat = picture(800, 60, |_, _| 90.0);
    assert_eq!(sharpness(&flat, whole).unwrap(), [None; N_FOCUS_PARTS]);
    let narrow = ClothSpan::new(0, 300, 800).unwrap();
    let high = picture(800, 60, |row, column| weave(1, row, column));
    let seen = sharpness(&high, narrow).unwrap();
    assert!(seen[0].is_some() && seen[1..] == [None; 3], "{seen:?}");
    let beyond = ClothSpan::whole(900).unwrap();
    assert!(sharpness(&high, beyond).is_err());
}
