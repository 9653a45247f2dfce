//! Where frames come from, as a person names it.
//!
//! `--from` is a folder or file of images, or `loom:SEED` for simulated cloth. Other schemes
//! are refused by name. [`LooseImages`] is the source in which every image, of whatever size,
//! stands alone; a folder that is one roll is [`camera::ImageFolder`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use camera::{
    Captured, Description, ImageFolder, Loom, LoomSettings, Lost, LostReason, Pool, Source,
    image_files, load_image,
};

/// Scale at which the loom is taken to be seen, in mm per pixel.
pub const LOOM_MM_PER_PX: f64 = 0.2;

/// A parsed `--from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// A folder of images, or one image.
    Images(PathBuf),
    /// Good simulated cloth from this seed.
    Loom(u64),
}

impl SourceSpec {
    /// Opens the source as one roll.
    ///
    /// # Errors
    /// What the source says, with its name.
    pub fn open(&self) -> anyhow::Result<Box<dyn Source>> {
        Ok(match self {
            SourceSpec::Images(path) => {
                let folder = ImageFolder::open(path, 0)?;
                for skipped in folder.skipped() {
                    tracing::info!(file = %skipped.display(), "not an image, skipped");
                }
                Box::new(folder)
            }
            SourceSpec::Loom(seed) => Box::new(Loom::new(LoomSettings::new(*seed))?),
        })
    }
}

impl FromStr for SourceSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(seed) = text.strip_prefix("loom:") {
            let seed = seed
                .parse()
                .with_context(|| format!("found seed {seed:?}, expected a whole number"))?;
            return Ok(SourceSpec::Loom(seed));
        }
        for scheme in ["rtsp://", "v4l2:", "genicam:"] {
            if text.starts_with(scheme) {
                bail!(
                    "{scheme} is not built into this version; expected a folder or file of images, or loom:SEED"
                );
            }
        }
        Ok(SourceSpec::Images(PathBuf::from(text)))
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceSpec::Images(path) => write!(f, "{}", path.display()),
            SourceSpec::Loom(seed) => write!(f, "loom:{seed}"),
        }
    }
}

/// Images that have nothing to do with each other: any size, any kind, each one frame.
pub struct LooseImages {
    files: Vec<PathBuf>,
    next: usize,
    tick: i64,
    description: Description,
}

impl LooseImages {
    /// All images of `folder`, in natural order; or one image.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let files = image_files(folder)?;
        let shape = files
            .iter()
            .find_map(|file| load_image(file).ok())
            .map(|frame| frame.shape())
            .with_context(|| format!("found no readable image in {folder:?}"))?;
        Ok(Self {
            description: Description {
                name: folder.display().to_string(),
                shape,
                ticks_per_line: 1,
                n_frames: Some(files.len() as u64),
                live: false,
            },
            files,
            next: 0,
            tick: 0,
        })
    }

    /// The files, in the order of their frames.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Source for LooseImages {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, _pool: &Pool) -> Result<Option<Captured>, camera::CameraError> {
        let Some(file) = self.files.get(self.next) else {
            return Ok(None);
        };
        let sequence = self.next as u64;
        self.next += 1;
        Ok(Some(match load_image(file) {
            Ok(mut frame) => {
                let height = i64::from(frame.height());
                frame.sequence = sequence;
                frame.ticks = self.tick..self.tick + height;
                self.tick += height;
                Captured::Frame(frame)
            }
            Err(error) => Captured::Lost(Lost {
                camera: 0,
                sequence,
                ticks: self.tick..self.tick,
                reason: LostReason::Unreadable,
                detail: error.to_string(),
                origin: Some(file.display().to_string().into()),
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_they_are_written() {
        assert_eq!("loom:7".parse::<SourceSpec>().unwrap(), SourceSpec::Loom(7));
        assert_eq!(
            "some/folder".parse::<SourceSpec>().unwrap(),
            SourceSpec::Images("some/folder".into())
        );
    }

    #[test]
    fn what_is_not_built_in_is_refused_by_name() {
        let error = "rtsp://host/stream".parse::<SourceSpec>().unwrap_err();
        assert!(error.to_string().contains("rtsp://"), "{error}");
        assert!("loom:seven".parse::<SourceSpec>().is_err());
    }
}
