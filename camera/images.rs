//! A folder of images, or one image, as a source.
//!
//! ```text
//! folder ──▶ names in natural order ──▶ headers ──▶ shape of the roll
//!                     └──────────────▶ one file per `next` ──▶ Frame | Lost
//! ```
//!
//! Opening reads only headers. The roll's frames have the width, channels and depth that
//! most files have; a file of another kind, or one that cannot be decoded, becomes
//! [`Lost`] with its place, and the rest goes on. One line is one tick, running on from
//! file to file. Ends after the last file. Sub-folders are not searched, orientation and
//! colour profiles are not applied, and of a file with several pictures only the first
//! is read.

mod decode;
mod natural;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use self::decode::{Decoder, Refusal};
use crate::{
    Buffer, CameraError, Captured, Description, Frame, FrameShape, Lost, LostReason, Pool, Source,
    TicksFrom,
};

/// A source over image files.
#[derive(Debug)]
pub struct ImageFolder {
    camera: u16,
    description: Description,
    files: Vec<Listed>,
    skipped: Vec<PathBuf>,
    /// Index of the file that comes next; also its sequence number.
    next_idx: usize,
    next_tick: i64,
    scratch: Vec<u8>,
}

/// One file and what its header says.
#[derive(Debug)]
struct Listed {
    path: PathBuf,
    header: Result<FrameShape, Refusal>,
}

/// What lies in a folder.
struct Listing {
    images: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

impl ImageFolder {
    /// Opens a folder of images or one image file for the camera with this index.
    ///
    /// # Errors
    /// `CannotOpen`, `NoImages` for a folder without image files, `NoReadableImage` where
    /// no header of any of them can be read.
    pub fn open(path: &Path, camera: u16) -> Result<Self, CameraError> {
        let Listing {
            images,
            others: skipped,
        } = list(path)?;
        let files: Vec<Listed> = images
            .into_iter()
            .map(|path| Listed {
                header: Decoder::header(&path),
                path,
            })
            .collect();
        let Some(shape) = usual_shape(files.iter().filter_map(|file| file.header.as_ref().ok()))
        else {
            return Err(none_readable(path, &files));
        };
        let description = Description {
            name: path.display().to_string(),
            shape,
            ticks_per_line: 1,
            ticks: TicksFrom::Nominal,
            n_frames: Some(files.len() as u64),
            live: false,
            continuous: false,
        };
        let (next_idx, next_tick) = (0, 0);
        Ok(Self {
            camera,
            description,
            files,
            skipped,
            next_idx,
            next_tick,
            scratch: Vec::new(),
        })
    }

    /// What else lies in the folder and was not taken for an image: other extensions,
    /// hidden files, sub-folders.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Why the listed file cannot be part of this roll, as far as its header tells.
    fn refusal(&self, file: &Listed) -> Option<Refusal> {
        let expected = self.description.shape;
        match &file.header {
            Err(refusal) => Some(refusal.clone()),
            Ok(found) if !found.fits_roll_of(expected) => Some(Refusal::other_shape(
                *found,
                &format!("as most files here: {}", without_height(expected)),
            )),
            Ok(_) => None,
        }
    }

    /// The pixels of the listed file, or why it has none.
    fn pixels(&mut self, idx: usize, buffer: &mut Buffer) -> Result<FrameShape, Refusal> {
        let file = &self.files[idx];
        if let Some(refusal) = self.refusal(file) {
            return Err(refusal);
        }
        let listed = file.header.clone()?;
        let decoder = Decoder::open(&file.path)?;
        if decoder.shape() != listed {
            let expected = format!("{listed} as when the folder was opened");
            return Err(Refusal::other_shape(decoder.shape(), &expected));
        }
        decoder.decode_into(
            &mut buffer.bytes_mut()[..listed.n_bytes()],
            &mut self.scratch,
        )?;
        Ok(listed)
    }
}

impl Source for ImageFolder {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let Some(file) = self.files.get(self.next_idx) else {
            return Ok(None);
        };
        let height = match &file.header {
            Ok(shape) => shape.height,
            Err(_) => self.description.shape.height,
        };
        let path = file.path.clone();
        let origin = name_of(&path);
        let ticks = self.next_tick..self.next_tick + i64::from(height);

        let refusal = match self.refusal(file) {
            Some(refusal) => refusal,
            None => {
                let (needed, size) = (self.description.shape.n_bytes(), pool.buffer_bytes());
                if needed > size {
                    return Err(CameraError::BufferTooSmall { needed, size });
                }
                let Some(mut buffer) = pool.take() else {
                    return Ok(None);
                };
                match self.pixels(self.next_idx, &mut buffer) {
                    Ok(shape) => {
                        let sequence = self.pass(&ticks);
                        let mut frame = Frame::new(self.camera, sequence, ticks, shape, buffer)?;
                        frame.taken_at = written_at(&path);
                        frame.origin = Some(origin);
                        return Ok(Some(Captured::Frame(frame)));
                    }
                    Err(refusal) => refusal,
                }
            }
        };
        Ok(Some(Captured::Lost(Lost {
            camera: self.camera,
            sequence: self.pass(&ticks),
            ticks,
            reason: LostReason::Unreadable,
            detail: format!("{origin:?} {refusal}"),
            origin: Some(origin),
        })))
    }
}

impl ImageFolder {
    /// Leaves the present file behind; gives its sequence number.
    fn pass(&mut self, ticks: &Range<i64>) -> u64 {
        self.next_idx += 1;
        self.next_tick = ticks.end;
        self.next_idx as u64 - 1
    }
}

/// The image files directly in a folder, in natural order: img2 before img10. A path to
/// one file gives that file.
///
/// # Errors
/// `CannotOpen`, `NoImages`.
pub fn image_files(path: &Path) -> Result<Vec<PathBuf>, CameraError> {
    Ok(list(path)?.images)
}

/// One image of any size by itself, in memory of its own: sequence 0, ticks from 0.
///
/// # Errors
/// `Unreadable`, with what was found and what was expected.
pub fn load_image(path: &Path) -> Result<Frame, CameraError> {
    let read = || {
        let decoder = Decoder::open(path)?;
        let shape = decoder.shape();
        let mut buffer = Buffer::alone(shape.n_bytes());
        decoder.decode_into(buffer.bytes_mut(), &mut Vec::new())?;
        Ok((shape, buffer))
    };
    let (shape, buffer) = read().map_err(|refusal: Refusal| CameraError::Unreadable {
        path: path.to_path_buf(),
        detail: refusal.to_string(),
    })?;
    let mut frame = Frame::new(0, 0, 0..i64::from(shape.height), shape, buffer)?;
    frame.taken_at = written_at(path);
    frame.origin = Some(name_of(path));
    Ok(frame)
}

fn list(path: &Path) -> Result<Listing, CameraError> {
    let cannot_open = |error: io::Error| CameraError::CannotOpen {
        path: path.into(),
        error,
    };
    if !fs::metadata(path).map_err(cannot_open)?.is_dir() {
        return Ok(Listing {
            images: vec![path.into()],
            others: Vec::new(),
        });
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot_open)? {
        paths.push(entry.map_err(cannot_open)?.path());
    }
    paths.sort_by(|a, b| natural::compare(&name_of(a), &name_of(b)).then_with(|| a.cmp(b)));
    let (images, others): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| is_image(path));
    if images.is_empty() {
        let found = match others.first() {
            None => "nothing at all".to_owned(),
            Some(first) => format!(
                "{} other entries, such as {:?}",
                others.len(),
                name_of(first)
            ),
        };
        return Err(CameraError::NoImages {
            path: path.into(),
            found,
        });
    }
    Ok(Listing { images, others })
}

/// True for what claims to be an image: a visible entry with the extension of one that is
/// no folder. Whether it keeps the promise shows when its header is read.
fn is_image(path: &Path) -> bool {
    const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "dib", "webp"];
    let hidden = name_of(path).starts_with('.');
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    !hidden
        && EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
        && !path.is_dir()
}

/// The width, channels and depth that most files have, of equals the one that comes
/// first; as high as the highest of those files.
fn usual_shape<'a>(shapes: impl Iterator<Item = &'a FrameShape>) -> Option<FrameShape> {
    let mut kinds: Vec<(FrameShape, usize)> = Vec::new();
    for &shape in shapes {
        match kinds.iter_mut().find(|(kind, _)| kind.fits_roll_of(shape)) {
            Some((kind, n)) => {
                kind.height = kind.height.max(shape.height);
                *n += 1;
            }
            None => kinds.push((shape, 1)),
        }
    }
    // `max_by_key` gives the last of equals, so the search runs backwards.
    kinds
        .into_iter()
        .rev()
        .max_by_key(|&(_, n)| n)
        .map(|(kind, _)| kind)
}

fn none_readable(path: &Path, files: &[Listed]) -> CameraError {
    let first = files.iter().find_map(|file| {
        let refusal = file.header.as_ref().err()?;
        Some(format!("{:?} {refusal}", name_of(&file.path)))
    });
    let first = first.unwrap_or_default();
    CameraError::NoReadableImage {
        path: path.into(),
        n_files: files.len(),
        first,
    }
}

fn without_height(shape: FrameShape) -> String {
    let whole = shape.to_string();
    let kind = whole.split_once(' ').map_or("", |(_, kind)| kind);
    format!("{} px wide, {kind}", shape.width)
}

fn name_of(path: &Path) -> Arc<str> {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into()
}

/// When the file was last written, or the epoch where the file system does not know.
fn written_at(path: &Path) -> SystemTime {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified());
    written.unwrap_or(SystemTime::UNIX_EPOCH)
}
