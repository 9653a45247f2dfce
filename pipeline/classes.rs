//! What kind of flaw it is, and how grave.
//!
//! ```text
//! a piece's pixels ─▶ Looks ─▶ summed up ─▶ Descriptor ─┬▶ rules ─┐
//!                                                       └▶ head ──┴▶ Kind { class, severity }
//! ```
//!
//! While its frame is at hand each piece of a flaw is measured ([`measure()`]); pieces add up, so
//! where frames, tiles and lanes cut a flaw changes nothing. When it is whole, the rules name it;
//! where a head was taught on a mill's own samples and is surer, it does. The words are a closed
//! list, because grading, reports and statistics go by them. Nothing here decides whether there is a
//! flaw.

mod descriptor;
mod head;
mod head_file;
mod looks;
mod measure;
mod rules;
mod severity;

use std::fmt;

pub use descriptor::{Descriptor, N_FIGURES};
pub use head::{FEWEST_SAMPLES, Head, Taught, Told, TooFewSamples};
pub use head_file::{KeptHead, read_head, write_head};
pub use looks::{Looks, Marks, Mean, Moments, Stroke};
pub use measure::{PixelPlace, measure};
pub use rules::class_of;
pub use severity::{Severity, severity_of};

/// What kind of flaw it is. The id is the word in the store and in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A missing or broken end: a dark line along the warp.
    EndOut,
    /// Two ends where one should be: a bright line along the warp.
    DoubleEnd,
    /// A line along the warp from the reed.
    ReedMark,
    /// An end woven too tight.
    TightEnd,
    /// A missing or broken pick: a dark line along the weft.
    Mispick,
    /// Two picks in one shed: a bright line along the weft.
    DoublePick,
    /// Where the loom stood: a bar along the weft.
    StartMark,
    /// A band along the weft of another shade.
    Bar,
    /// A place where the picks stand apart.
    WeftCrack,
    /// A snarl of yarn.
    Kink,
    /// A thick place in a yarn.
    Slub,
    /// A knot.
    Knot,
    /// A small tangle of fibres.
    Nep,
    /// A ball of fibres on the cloth.
    FuzzyBall,
    /// A yarn that is not tied in.
    Float,
    /// Many broken yarns in one place.
    Smash,
    /// A hole.
    Hole,
    /// Oil, rust, dye.
    Stain,
    /// A foreign fibre, fly.
    Contamination,
    /// A fold that was pressed in.
    Crease,
    /// A selvedge that is cut, torn, slack or frayed.
    Selvedge,
    /// Another shade over a wide area.
    Shade,
    /// A sewn seam.
    Seam,
    /// None of these can be told.
    Unknown,
}

/// What a flaw is, and how grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its class.
    pub class: Class,
    /// Its severity.
    pub severity: Severity,
}

impl Kind {
    /// What the rules say, or the head where there is one and it is surer.
    pub fn of(descriptor: &Descriptor, head: Option<&Head>) -> Self {
        let (by_rules, _) = class_of(descriptor);
        let class = head.map_or(by_rules, |head| head.class_of(descriptor, by_rules));
        Self {
            class,
            severity: severity_of(descriptor, class),
        }
    }
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 24] = [
        Self::EndOut,
        Self::DoubleEnd,
        Self::ReedMark,
        Self::TightEnd,
        Self::Mispick,
        Self::DoublePick,
        Self::StartMark,
        Self::Bar,
        Self::WeftCrack,
        Self::Kink,
        Self::Slub,
        Self::Knot,
        Self::Nep,
        Self::FuzzyBall,
        Self::Float,
        Self::Smash,
        Self::Hole,
        Self::Stain,
        Self::Contamination,
        Self::Crease,
        Self::Selvedge,
        Self::Shade,
        Self::Seam,
        Self::Unknown,
    ];

    /// Its id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndOut => "end_out",
            Self::DoubleEnd => "double_end",
            Self::ReedMark => "reed_mark",
            Self::TightEnd => "tight_end",
            Self::Mispick => "mispick",
            Self::DoublePick => "double_pick",
            Self::StartMark => "start_mark",
            Self::Bar => "bar",
            Self::WeftCrack => "weft_crack",
            Self::Kink => "kink",
            Self::Slub => "slub",
            Self::Knot => "knot",
            Self::Nep => "nep",
            Self::FuzzyBall => "fuzzy_ball",
            Self::Float => "float",
            Self::Smash => "smash",
            Self::Hole => "hole",
            Self::Stain => "stain",
            Self::Contamination => "contamination",
            Self::Crease => "crease",
            Self::Selvedge => "selvedge",
            Self::Shade => "shade",
            Self::Seam => "seam",
            Self::Unknown => "unknown",
        }
    }

    /// The class with this id.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
