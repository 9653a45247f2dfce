//! How grave a flaw is, in a word that a mill can check with a ruler.
//!
//! 1. **Size**, by the longer side of its box, in the steps of ASTM D5430: up to 75 mm `minor`, up
//!    to 150 mm `moderate`, up to 230 mm `major`, beyond that `severe`.
//! 2. **How much it shows**: one step graver where its pixels differ from the cloth around by half
//!    of that cloth's brightness or more, because that is seen in passing; one step milder where
//!    they differ by less than a tenth, because that is hardly seen from the inspection table.
//! 3. **Class**: a hole, a smash and a seam are always `severe`; no buyer takes them whatever their
//!    size.
//!
//! It is not a grade: points are counted from lengths and a buyer's rules alone.

use std::fmt;

use super::{Class, Descriptor};

/// How grave a flaw is. The word is the same in the store and in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Up to 75 mm of usual contrast.
    Minor,
    /// Up to 150 mm.
    Moderate,
    /// Up to 230 mm.
    Major,
    /// Longer, or not to be had in any size.
    Severe,
}

/// The ends of the steps of ASTM D5430, 3, 6 and 9 inches, in mm.
const STEPS_MM: [f64; 3] = [75.0, 150.0, 230.0];
/// Share of the cloth's brightness from which a difference is seen in passing.
const GLARING: f64 = 0.5;
/// Share below which it is hardly seen from 1 m.
const FAINT: f64 = 0.1;

/// How grave a flaw of `class` is.
pub fn severity_of(descriptor: &Descriptor, class: Class) -> Severity {
    if matches!(class, Class::Hole | Class::Smash | Class::Seam) {
        return Severity::Severe;
    }
    let length_mm = descriptor.along_mm.max(descriptor.across_mm);
    let size = STEPS_MM.iter().filter(|end| length_mm > **end).count();
    let step = match descriptor.contrast {
        Some(contrast) if contrast >= GLARING => size + 1,
        Some(contrast) if contrast < FAINT => size.saturating_sub(1),
        // Where brightness tells nothing, size alone does.
        Some(_) | None => size,
    };
    Severity::ALL[step.min(Severity::ALL.len() - 1)]
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Severity; 4] = [
        Severity::Minor,
        Severity::Moderate,
        Severity::Major,
        Severity::Severe,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Moderate => "moderate",
            Self::Major => "major",
            Self::Severe => "severe",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn severity(length_mm: f64, contrast: Option<f64>, class: Class) -> Severity {
        let descriptor = Descriptor {
            along_mm: 1.0,
            across_mm: length_mm,
            contrast,
            ..Descriptor::nothing()
        };
        severity_of(&descriptor, class)
    }

    #[test]
    fn size_alone_gives_the_steps_of_the_four_point_system() {
        let usual = |mm| severity(mm, Some(0.3), Class::Slub);
        assert_eq!(usual(75.0), Severity::Minor);
        assert_eq!(usual(75.1), Severity::Moderate);
        assert_eq!(usual(150.1), Severity::Major);
        assert_eq!(usual(230.0), Severity::Major);
        assert_eq!(usual(230.1), Severity::Severe);
        assert_eq!(severity(100.0, None, Class::Unknown), Severity::Moderate);
    }

    #[test]
    fn what_glares_is_a_step_graver_and_what_is_faint_a_step_milder() {
        assert_eq!(severity(20.0, Some(0.5), Class::Stain), Severity::Moderate);
        assert_eq!(severity(300.0, Some(0.9), Class::Stain), Severity::Severe);
        assert_eq!(severity(100.0, Some(0.09), Class::Stain), Severity::Minor);
        assert_eq!(severity(20.0, Some(0.0), Class::Stain), Severity::Minor);
    }

    #[test]
    fn a_hole_is_severe_however_small_and_faint() {
        for class in [Class::Hole, Class::Smash, Class::Seam] {
            assert_eq!(severity(1.0, Some(0.01), class), Severity::Severe);
        }
    }
}
