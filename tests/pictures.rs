//! Simulated cloth as image files, with the truth about it.

use std::path::{Path, PathBuf};

use camera::{Captured, Loom, LoomSettings, PlantedFlaw, Pool, Source};
use image::GrayImage;

/// Writes every frame of a loom into `folder` as `frame<n>.png`; gives the files.
pub(crate) fn write_frames(folder: &Path, settings: LoomSettings) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).unwrap();
    let mut files = Vec::new();
    for (nth, image) in images(settings).into_iter().enumerate() {
        let file = folder.join(format!("frame{nth}.png"));
        image.save(&file).unwrap();
        files.push(file);
    }
    files
}

/// Every frame of a loom.
pub(crate) fn images(settings: LoomSettings) -> Vec<GrayImage> {
    let mut loom = Loom::new(settings).unwrap();
    let pool = Pool::new(1, loom.description().shape.n_bytes());
    let mut images = Vec::new();
    while let Some(captured) = loom.next(&pool).unwrap() {
        let Captured::Frame(frame) = captured else {
            panic!("no frame was to be lost");
        };
        let bytes = frame.bytes().to_vec();
        images.push(GrayImage::from_raw(frame.width(), frame.height(), bytes).unwrap());
    }
    images
}

/// What a loom has planted.
pub(crate) fn truth(settings: &LoomSettings) -> Vec<PlantedFlaw> {
    Loom::new(settings.clone()).unwrap().truth()
}

/// The mask of a frame of `width` by `height` pixels that begins at `first_tick`.
pub(crate) fn mask(flaws: &[PlantedFlaw], first_tick: i64, width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let tick = first_tick + i64::from(y);
        let is_flaw = flaws
            .iter()
            .any(|flaw| flaw.ticks.contains(&tick) && flaw.columns.contains(&x));
        image::Luma([if is_flaw { 255 } else { 0 }])
    })
}
