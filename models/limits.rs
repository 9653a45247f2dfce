//! How small a flaw an article's model finds: what teaching measured with flaws of its own.
//!
//! The card is part of the passport. Each line of it is one kind of planted flaw at one contrast:
//! the size that is found in nine cases of ten, and the size that is so with 95 % confidence. A
//! size that was not reached within what was planted is left open, never guessed. It measures
//! nothing and says nothing of kinds that were not planted.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::article::{Article, keep};
use crate::file::read_file;
use crate::onnx::read::read_model;
use crate::passport::{PASSPORT_KEY, Passport, between};

/// Lines that a card may have, and flaws that one may rest on: beyond anything that is planted.
const MOST_LINES: usize = 256;
const MOST_PLANTED: u64 = 1 << 32;
/// No size is larger, mm.
const LARGEST_SIZE: f64 = 100_000.0;

/// The detection limits of a model, on the cloth that it was taught on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Good cloth that flaws were planted into, each frame as often as it was taken, in m².
    pub cloth_m2: f64,
    /// One line per kind and contrast.
    pub kinds: Vec<DetectionLimit>,
}

/// What became of the planted flaws of one kind and contrast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectionLimit {
    /// What was planted.
    pub kind: String,
    /// How much darker or brighter than the cloth it was, in standard deviations of the cloth's
    /// own brightness around it; `None` where a flaw shows what lies under the cloth.
    pub contrast: Option<f64>,
    /// What its size is: `diameter`, `length` or `depth`.
    pub size_is: String,
    /// Flaws that were planted.
    pub n_planted: u64,
    /// Those of them that were flagged.
    pub n_found: u64,
    /// Smallest size that was planted, mm.
    pub from_mm: f64,
    /// Largest size that was planted, mm.
    pub to_mm: f64,
    /// Size that is found in nine cases of ten, mm; `None` when it was not reached.
    pub size_mm: Option<f64>,
    /// Size of which that holds with 95 % confidence, mm; `None` when it was not reached.
    pub bound_mm: Option<f64>,
}

impl Limits {
    /// Says what cannot be right, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        between("limits.cloth_m2", self.cloth_m2, 0.0, f64::MAX)?;
        if self.kinds.len() > MOST_LINES {
            return Err(format!(
                "found {} lines in limits.kinds, expected at most {MOST_LINES}",
                self.kinds.len()
            ));
        }
        self.kinds.iter().try_for_each(DetectionLimit::check)
    }
}

impl DetectionLimit {
    fn check(&self) -> Result<(), String> {
        let Self { from_mm, to_mm, .. } = *self;
        if self.n_planted > MOST_PLANTED || self.n_found > self.n_planted {
            return Err(format!(
                "found limits of {:?} with {} of {} flaws found, expected at most all of {MOST_PLANTED}",
                self.kind, self.n_found, self.n_planted
            ));
        }
        between("limits.from_mm", from_mm, 0.0, LARGEST_SIZE)?;
        between("limits.to_mm", to_mm, from_mm, LARGEST_SIZE)?;
        let mut least = from_mm;
        for (name, size) in [
            ("limits.size_mm", self.size_mm),
            ("limits.bound_mm", self.bound_mm),
        ] {
            if let Some(size) = size {
                between(name, size, least, to_mm)?;
                least = size;
            }
        }
        match self.contrast {
            Some(contrast) => between("limits.contrast", contrast, 0.0, 1e6),
            None => Ok(()),
        }
    }
}

impl Article {
    /// Writes the same model once more, into the same folder under another digest, with `limits` in
    /// its passport. This one's file stays.
    ///
    /// # Errors
    /// [`ModelError::BadPassport`] when the limits contradict themselves; otherwise what was wrong
    /// with the file, or what the disk refused.
    pub fn with_limits(&self, limits: Limits) -> Result<Self, ModelError> {
        let bad = |reason| ModelError::BadPassport {
            path: self.path().to_owned(),
            reason,
        };
        let passport = Passport {
            limits: Some(limits),
            ..self.passport().clone()
        };
        passport.check().map_err(bad)?;
        let json = serde_json::to_string(&passport).map_err(|error| bad(error.to_string()))?;
        let bytes = read_file(self.path())?;
        let mut model = read_model(&bytes).map_err(|source| ModelError::NotOnnx {
            path: self.path().to_owned(),
            source,
        })?;
        model.set_metadata(PASSPORT_KEY, &json);
        keep(self.path().parent().unwrap_or(Path::new("")), &model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> DetectionLimit {
        DetectionLimit {
            kind: "dot, dark".to_owned(),
            contrast: Some(2.0),
            size_is: "diameter".to_owned(),
            n_planted: 90,
            n_found: 60,
            from_mm: 0.4,
            to_mm: 4.0,
            size_mm: Some(1.2),
            bound_mm: Some(1.5),
        }
    }

    fn check(change: impl Fn(&mut DetectionLimit)) -> Result<(), String> {
        let mut line = line();
        change(&mut line);
        let limits = Limits {
            cloth_m2: 0.5,
            kinds: vec![line],
        };
        limits.check()
    }

    #[test]
    fn a_card_that_contradicts_itself_is_refused() {
        check(|_| ()).unwrap();
        check(|line| (line.size_mm, line.bound_mm) = (None, None)).unwrap();
        let wrong: [fn(&mut DetectionLimit); 6] = [
            |line| line.n_found = 91,
            |line| line.to_mm = 0.3,
            |line| line.size_mm = Some(5.0),
            |line| line.bound_mm = Some(1.0),
            |line| line.from_mm = f64::NAN,
            |line| line.contrast = Some(-1.0),
        ];
        for change in wrong {
            let told = check(change).unwrap_err();
            assert!(told.contains("expected"), "{told}");
        }
    }
}
