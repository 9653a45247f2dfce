//! A mill's labelled images, made into samples of flaws with their classes.
//!
//! ```text
//! labels.csv: file,class or file,class,x,y,w,h ─┐
//! folder of images ─▶ the line ─▶ flaws ────────┴▶ (Descriptor, Class) …
//! ```
//!
//! A label without a box is of the image's highest flaw; one with a box, in pixels, of the
//! highest flaw that touches it. Images are judged each by itself, as by `evaluate`. A label whose flaw
//! was not found, or whose image was not looked at, is told and left out.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail, ensure};
use models::{Article, Scorer};

use crate::classes::{Class, Descriptor};
use crate::config::Station;
use crate::evaluate::{ImageFlaw, LANE, Looked, image_flaws, look_at_images};

/// What a person says of one flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassLabel {
    /// Name of the image, without its folder.
    pub file: String,
    /// What it shows.
    pub class: Class,
    /// Columns and rows, half-open, that hold it; `None` for the image's highest flaw.
    pub place: Option<[[usize; 2]; 2]>,
}

/// Samples of an article's flaws.
#[derive(Default)]
pub struct ClassSamples {
    /// Flaws that were found, with their classes.
    pub samples: Vec<(Descriptor, Class)>,
    /// Labels that came to nothing, and why.
    pub left_out: Vec<String>,
}

/// Reads labels.
///
/// # Errors
/// When the file cannot be read, or a line is none; the line is named.
pub fn read_labels(path: &Path) -> anyhow::Result<Vec<ClassLabel>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("labels {path:?} cannot be read"))?;
    let mut labels = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let is_heading = nth == 0 && line.trim_start().starts_with("file,");
        if line.trim().is_empty() || is_heading {
            continue;
        }
        let label =
            label_of(line).with_context(|| format!("line {} of labels {path:?}", nth + 1))?;
        labels.push(label);
    }
    ensure!(
        !labels.is_empty(),
        "labels {path:?} are empty, expected lines of file,class"
    );
    Ok(labels)
}

fn label_of(line: &str) -> anyhow::Result<ClassLabel> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let (file, class, place) = match cells[..] {
        [file, class] => (file, class, None),
        [file, class, x, y, width, height] => {
            let px = |text: &str| {
                let number = text.parse::<u32>();
                let number =
                    number.with_context(|| format!("found {text:?}, expected whole pixels"));
                number.map(|px| px as usize)
            };
            let (x, y) = (px(x)?, px(y)?);
            let ends = [[x, x + px(width)?], [y, y + px(height)?]];
            (file, class, Some(ends))
        }
        _ => bail!("found {line:?}, expected file,class or file,class,x,y,w,h"),
    };
    let Some(class) = Class::from_word(class) else {
        let known = Class::ALL.map(Class::as_str).join(", ");
        bail!("found class {class:?}, expected one of {known}");
    };
    Ok(ClassLabel {
        file: file.to_owned(),
        class,
        place,
    })
}

/// Looks for the labelled flaws in the images of `folder`. `progress` is called after each image
/// with the number of images.
///
/// # Errors
/// When the folder cannot be read, or the line fails or is stopped.
pub fn find_samples(
    model: &Article,
    station: &Station,
    folder: &Path,
    labels: &[ClassLabel],
    scorers: Vec<Box<dyn Scorer>>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<ClassSamples> {
    let lane = &station.lanes[LANE];
    let mut judge = model.judge_alone(LANE, lane.mm_per_cell_row());
    let mut found = ClassSamples::default();
    let mut is_met = vec![false; labels.len()];
    look_at_images(
        model,
        station,
        folder,
        scorers,
        stop,
        &mut |image, n_files| {
            match image {
                Looked::Seen(file, seen) => {
                    let name = file.file_name().unwrap_or_default().to_string_lossy();
                    let map = judge.judge(&seen.block);
                    let flaws = image_flaws(seen, &map, lane, None)?;
                    for (label, is_met) in labels.iter().zip(&mut is_met) {
                        if label.file == name {
                            *is_met = true;
                            found.add(label, &flaws);
                        }
                    }
                }
                Looked::Missed(problem) => found.left_out.push(problem),
            }
            progress(n_files);
            Ok(())
        },
    )?;
    for (label, _) in labels.iter().zip(is_met).filter(|(_, is_met)| !is_met) {
        let file = &label.file;
        found
            .left_out
            .push(format!("{file}: no such image was looked at in {folder:?}"));
    }
    Ok(found)
}

impl ClassSamples {
    fn add(&mut self, label: &ClassLabel, flaws: &[ImageFlaw]) {
        let meets = |a: [usize; 2], b: [usize; 2]| a[0] < b[1] && b[0] < a[1];
        let is_there = |flaw: &&ImageFlaw| {
            label
                .place
                .is_none_or(|[x, y]| meets(flaw.x_px, x) && meets(flaw.y_px, y))
        };
        let highest = flaws
            .iter()
            .filter(is_there)
            .max_by(|a, b| a.score.total_cmp(&b.score));
        match highest {
            Some(flaw) => self.samples.push((flaw.descriptor.clone(), label.class)),
            None => self.left_out.push(format!(
                "{}: no {} was found there",
                label.file, label.class
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_file_a_class_and_perhaps_a_box() {
        let label = label_of("a.png, stain").unwrap();
        assert_eq!((label.file.as_str(), label.class), ("a.png", Class::Stain));
        assert_eq!(label.place, None);
        let boxed = label_of("a.png,hole,10,20,5,6").unwrap();
        assert_eq!(boxed.place, Some([[10, 15], [20, 26]]));
    }

    #[test]
    fn what_is_no_label_is_refused_with_what_was_expected() {
        for line in [
            "a.png",
            "a.png,whatever",
            "a.png,hole,1,2,3",
            "a.png,hole,-1,2,3,4",
        ] {
            let error = format!("{:#}", label_of(line).unwrap_err());
            assert!(error.contains("expected"), "{line}: {error}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "file,class\na.png,hole\n\nb.png,hule\n").unwrap();
        let error = format!("{:#}", read_labels(file.path()).unwrap_err());
        assert!(
            error.contains("line 4") && error.contains("hule"),
            "{error}"
        );
    }
}
