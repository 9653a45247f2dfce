//! The truth about labelled images: masks, and the defects in them.
//!
//! A mask belongs to an image by its name: `NAME_mask*.png`, or `NAME.png`; where there are
//! several, a pixel is defective when any of them says so. A value above 127 is a defect. A
//! defect is an 8-connected set of such pixels.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use image::GrayImage;
use models::{CELL_PX, ScoreMap};

use crate::ranking::PixelRanking;

/// A folder of masks, listed once.
pub struct MaskFolder {
    folder: PathBuf,
    /// Names without their extension, sorted, with their files.
    files: Vec<(String, PathBuf)>,
}

/// Defective pixels of one image, each with the number of its defect from 1; 0 is good.
pub struct Mask {
    width: usize,
    height: usize,
    defect_of: Vec<u32>,
    n_defects: u32,
}

impl MaskFolder {
    /// Lists the masks in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("folder of masks {folder:?} cannot be read");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let is_png = |path: &Path| {
                path.extension()
                    .is_some_and(|ext| ext.eq_ignore_ascii_case("png"))
            };
            if let Some(name) = path.file_stem().and_then(|name| name.to_str())
                && is_png(&path)
            {
                files.push((name.to_owned(), path));
            }
        }
        files.sort();
        Ok(Self {
            folder: folder.to_owned(),
            files,
        })
    }

    /// The masks for `image`, laid over each other; `None` without any.
    ///
    /// # Errors
    /// When a mask cannot be read or is not of the image's size.
    pub fn find(&self, image: &Path, width: u32, height: u32) -> anyhow::Result<Option<Mask>> {
        let stem = image.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.with_context(|| format!("{image:?} has no name that a mask could have"))?;
        let first = self.files.partition_point(|(name, _)| name.as_str() < stem);
        let with_stem = self.files[first..]
            .iter()
            .take_while(|(name, _)| name.starts_with(stem));
        let belongs = |name: &str| name == stem || name[stem.len()..].starts_with("_mask");
        let files: Vec<&PathBuf> = with_stem
            .filter(|(name, _)| belongs(name))
            .map(|(_, file)| file)
            .collect();
        if files.is_empty() {
            tracing::debug!(image = %image.display(), folder = %self.folder.display(), "no mask");
            return Ok(None);
        }
        let mut is_defective = vec![false; width as usize * height as usize];
        for file in files {
            let mask = read(file)?;
            ensure!(
                mask.dimensions() == (width, height),
                "mask {file:?} is {} x {}, expected {width} x {height} as its image",
                mask.width(),
                mask.height()
            );
            for (is_defective, pixel) in is_defective.iter_mut().zip(mask.pixels()) {
                *is_defective |= pixel.0[0] > 127;
            }
        }
        Ok(Some(Mask::of(
            &is_defective,
            width as usize,
            height as usize,
        )))
    }
}

impl Mask {
    fn of(is_defective: &[bool], width: usize, height: usize) -> Self {
        let mut defect_of = vec![0; is_defective.len()];
        let mut n_defects = 0;
        let mut stack = Vec::new();
        for start in 0..is_defective.len() {
            if !is_defective[start] || defect_of[start] != 0 {
                continue;
            }
            n_defects += 1;
            defect_of[start] = n_defects;
            stack.push(start);
            while let Some(at) = stack.pop() {
                let (row, col) = (at / width, at % width);
                for near_row in row.saturating_sub(1)..(row + 2).min(height) {
                    for near_col in col.saturating_sub(1)..(col + 2).min(width) {
                        let near = near_row * width + near_col;
                        if is_defective[near] && defect_of[near] == 0 {
                            defect_of[near] = n_defects;
                            stack.push(near);
                        }
                    }
                }
            }
        }
        Self {
            width,
            height,
            defect_of,
            n_defects,
        }
    }

    /// Defects in the image.
    pub fn n_defects(&self) -> usize {
        self.n_defects as usize
    }

    /// Whether a box of pixels, columns and rows half-open, holds any of a defect.
    pub fn touches(&self, [left, right]: [usize; 2], [top, bottom]: [usize; 2]) -> bool {
        let columns = left.min(self.width)..right.min(self.width);
        (top..bottom.min(self.height)).any(|row| {
            let row = &self.defect_of[row * self.width..][..self.width];
            columns.start < columns.end && row[columns.clone()].iter().any(|defect| *defect > 0)
        })
    }

    /// Enters every pixel under the judged cells of `map` into `ranking`; only pixels in `cloth`
    /// columns count.
    pub fn rank(&self, map: &ScoreMap, cloth: std::ops::Range<usize>, ranking: &mut PixelRanking) {
        let mut defects = vec![Vec::new(); self.n_defects()];
        for row in 0..map.scores.nrows() {
            for col in map.judged.clone() {
                let score = map.scores[[row, col]];
                let left = (col * CELL_PX).max(cloth.start);
                let right = ((col + 1) * CELL_PX).min(cloth.end).min(self.width);
                let mut n_good = 0;
                for y in row * CELL_PX..((row + 1) * CELL_PX).min(self.height) {
                    for x in left..right {
                        match self.defect_of[y * self.width + x] {
                            0 => n_good += 1,
                            defect => defects[defect as usize - 1].push(score),
                        }
                    }
                }
                ranking.add_good(score, n_good);
            }
        }
        for scores in &defects {
            ranking.add_defect(scores);
        }
    }

    /// An image without a defect.
    pub fn good(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self::of(&vec![false; width * height], width, height)
    }
}

fn read(file: &Path) -> anyhow::Result<GrayImage> {
    let mut reader = image::ImageReader::open(file)
        .and_then(image::ImageReader::with_guessed_format)
        .with_context(|| format!("mask {file:?} cannot be read"))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(u16::MAX.into());
    limits.max_image_height = Some(u16::MAX.into());
    reader.limits(limits);
    Ok(reader
        .decode()
        .with_context(|| format!("mask {file:?} is not a readable image"))?
        .into_luma8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn mask(drawing: &[&str]) -> Mask {
        let flat: Vec<bool> = drawing.concat().bytes().map(|byte| byte == b'#').collect();
        Mask::of(&flat, drawing[0].len(), drawing.len())
    }

    #[test]
    fn touching_corners_are_one_defect() {
        assert_eq!(mask(&["#...", ".#..", "...#"]).n_defects(), 2);
    }

    #[test]
    fn only_pixels_of_cloth_count() {
        let truth = mask(&["#.......", "........"]);
        let map = ScoreMap {
            scores: Array2::ones((1, 2)),
            judged: 0..2,
        };
        let ranked = |cloth| {
            let mut ranking = PixelRanking::default();
            truth.rank(&map, cloth, &mut ranking);
            ranking.auroc()
        };
        assert_eq!(ranked(1..8), None);
        assert_eq!(ranked(0..6), Some(0.5));
    }

    #[test]
    fn masks_are_found_by_name_and_checked_for_size() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, width| {
            GrayImage::from_pixel(width, 2, image::Luma([255]))
                .save(folder.path().join(name))
                .unwrap();
        };
        save("a_mask1.png", 4);
        save("a_mask2.png", 4);
        save("ab.png", 4);
        let masks = MaskFolder::open(folder.path()).unwrap();
        let find = |name, width| masks.find(Path::new(name), width, 2);
        assert_eq!(find("x/a.png", 4).unwrap().unwrap().n_defects(), 1);
        assert!(find("x/b.png", 4).unwrap().is_none());
        let error = find("x/a.png", 5).err().unwrap();
        assert!(error.to_string().contains("expected 5 x 2"), "{error}");
    }
}
