//! A buyer's rules, checked: what a flaw costs, how much a metre and a roll may have.
//!
//! Rules are data. Some are built in, from `rules/` of the source tree; a mill's own are files of the same
//! kind ([`Rules::find`]). [`super::raw`] reads them and refuses what is not whole; past it
//! a longer or graver flaw never costs less than a shorter or milder one.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::length::{METRE_UM, YARD_UM};
use super::raw;
use crate::classes::{Class, Severity};

/// Rules of one buyer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Their name.
    pub name: String,
    /// Their version, as their author counts.
    pub version: String,
    /// The standard that they follow.
    pub standard: String,
    /// SHA-256 of their text: two that bear one name and version may still differ.
    pub digest: String,
    /// What points are capped by, and running flaws counted by.
    pub per: Unit,
    /// Most points for one such unit of length, whatever lies in it; `None` for no cap.
    pub most_points: Option<u32>,
    /// Width in µm above which the cap grows in proportion, in whole points, rounded down.
    pub cap_grows_from_um: Option<i64>,
    /// By which width areas are counted.
    pub width: Width,
    /// What lies wholly this near to a selvedge is not counted, in µm.
    pub edge_margin_um: i64,
    /// What lies wholly within the first or last so much is not counted, in µm.
    pub end_margin_um: i64,
    /// What a flaw costs by itself.
    pub points: Points,
    /// Points for each unit begun of a flaw that is longer than one.
    pub running: Option<u32>,
    /// Points for a flaw from edge to edge.
    pub full_width: Option<u32>,
    /// Points for a unit of length that is too narrow.
    pub narrow: Option<Narrow>,
    /// Other points for some classes, in place of [`Rules::points`].
    pub classes: BTreeMap<Class, Points>,
    /// A flaw that runs farther rejects the roll, in µm.
    pub reject_running_um: Option<i64>,
    /// Flaws that repeat over more than this reject the roll, in µm.
    pub reject_repeating_um: Option<i64>,
    /// Qualities with their limits, the best first; at least one.
    pub qualities: Vec<Quality>,
    /// The quality of a roll that keeps none of these limits.
    pub otherwise: String,
}

/// What length along the roll is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// By metres.
    Metre,
    /// By yards.
    Yard,
}

/// The width that areas are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The cloth's own, the mean over the roll.
    Actual,
    /// One that was agreed on, in µm.
    Standard(i64),
}

/// What a flaw costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Points {
    /// By its size along and across; the dearer of the two counts.
    Size {
        /// By its length along the warp.
        along: Steps,
        /// By its length along the weft.
        across: Steps,
    },
    /// By its severity, from minor to severe.
    Severity([u32; 4]),
}

/// Points by size: the first step that reaches as far as the flaw is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps(pub(super) Vec<(UpTo, u32)>);

/// How far a step reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpTo {
    /// To a length in µm, that itself included.
    Length(i64),
    /// To half of the cloth's width.
    HalfWidth,
    /// To the cloth's width.
    FullWidth,
    /// To any length.
    Any,
}

/// When cloth is too narrow, and what that costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// Least mean width of a unit of length, in µm.
    pub under_um: i64,
    /// Points for each unit that is narrower.
    pub points: u32,
}

/// A quality and what a roll must keep to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Its name.
    pub name: String,
    /// All of these are kept.
    pub limits: Vec<Limit>,
}

/// Most points by one way of counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The way of counting.
    pub rate: Rate,
    /// In thousandths of a point.
    pub most_milli: i64,
}

/// A way of counting points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rate {
    /// For 100 square metres.
    Per100M2,
    /// For 100 square yards.
    Per100Yd2,
    /// For 100 metres of length.
    Per100M,
    /// For 100 yards of length.
    Per100Yd,
    /// For the whole roll.
    Roll,
}

/// Rules that are built in.
const BUILT_IN: [&str; 4] = [
    include_str!("../../rules/four-point.toml"),
    include_str!("../../rules/four-point-yd.toml"),
    include_str!("../../rules/ten-point.toml"),
    include_str!("../../rules/house-example.toml"),
];

/// No file of rules needs more bytes.
const MOST_BYTES: u64 = 64 * 1024;

impl Rules {
    /// The built-in rules of this name, else those of this file.
    ///
    /// # Errors
    /// When there are none, or they are not whole: with key, what was found and expected.
    pub fn find(name_or_file: &str) -> anyhow::Result<Self> {
        let built_in = Self::built_in();
        let names: Vec<String> = built_in.iter().map(|rules| rules.name.clone()).collect();
        if let Some(rules) = built_in
            .into_iter()
            .find(|rules| rules.name == name_or_file)
        {
            return Ok(rules);
        }
        let path = Path::new(name_or_file);
        if !path.exists() {
            bail!("found no rules {name_or_file:?}, expected a file or one of {names:?}");
        }
        let rules = read(path).and_then(|text| Self::parse(&text));
        rules.with_context(|| format!("rules {path:?}"))
    }

    /// Those that are built in.
    pub fn built_in() -> Vec<Self> {
        let parsed = BUILT_IN.iter().map(|text| Self::parse(text));
        parsed
            .collect::<anyhow::Result<_>>()
            .expect("a test parses every built-in rule")
    }

    /// The rules of this text.
    ///
    /// # Errors
    /// With key, what was found and what was expected.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut rules = raw::parse(text)?;
        rules.digest = format!("{:x}", Sha256::digest(text));
        Ok(rules)
    }
}

/// The text of a file of rules.
fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).context("cannot be read")?;
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text);
    read.context("cannot be read as text")?;
    if text.len() as u64 > MOST_BYTES {
        bail!("found more than {MOST_BYTES} bytes, expected at most so many");
    }
    Ok(text)
}

impl Unit {
    /// Its length, in µm.
    pub fn um(self) -> i64 {
        match self {
            Self::Metre => METRE_UM,
            Self::Yard => YARD_UM,
        }
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metre => "metre",
            Self::Yard => "yard",
        }
    }
}

impl Points {
    /// What a flaw costs that is this long and this grave, on cloth of this width; µm.
    pub(super) fn of(&self, along: i64, across: i64, severity: Severity, width: i64) -> u32 {
        match self {
            Self::Size {
                along: warp,
                across: weft,
            } => warp.of(along, width).max(weft.of(across, width)),
            Self::Severity(points) => points[severity as usize],
        }
    }
}

impl Steps {
    /// Points for a size, on cloth of this width; µm.
    fn of(&self, size: i64, width: i64) -> u32 {
        let reaches = |up_to: UpTo| match up_to {
            UpTo::Length(end) => size <= end,
            // Twice the size, without rounding half of the width.
            UpTo::HalfWidth => size <= width - size,
            UpTo::FullWidth => size <= width,
            UpTo::Any => true,
        };
        let found = self.0.iter().find(|(up_to, _)| reaches(*up_to));
        found.map_or(0, |(_, points)| *points)
    }
}

impl Rate {
    /// Every way of counting.
    pub const ALL: [Self; 5] = [
        Self::Per100M2,
        Self::Per100Yd2,
        Self::Per100M,
        Self::Per100Yd,
        Self::Roll,
    ];

    /// What points are counted for, in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Per100M2 => "per 100 m²",
            Self::Per100Yd2 => "per 100 yd²",
            Self::Per100M => "per 100 m",
            Self::Per100Yd => "per 100 yd",
            Self::Roll => "on the roll",
        }
    }

    /// Points by this way of counting on a roll of this size (µm), as a fraction.
    fn fraction(self, points: u64, length: i64, width: i64) -> (i128, i128) {
        let (length, area) = (i128::from(length), i128::from(length) * i128::from(width));
        let (metre, yard) = (i128::from(METRE_UM), i128::from(YARD_UM));
        let (base, whole) = match self {
            Self::Per100M2 => (100 * metre * metre, area),
            Self::Per100Yd2 => (100 * yard * yard, area),
            Self::Per100M => (100 * metre, length),
            Self::Per100Yd => (100 * yard, length),
            Self::Roll => (1, 1),
        };
        (i128::from(points) * base, whole)
    }

    /// Points by this way of counting on a roll of this length and width (µm, more than 0).
    pub fn of(self, points: u64, length: i64, width: i64) -> f64 {
        let (points, whole) = self.fraction(points, length, width);
        points as f64 / whole as f64
    }
}

impl Limit {
    /// Whether a roll of this length and width (µm) keeps it; exactly, without rounding.
    pub(super) fn is_kept(&self, points: u64, length: i64, width: i64) -> bool {
        let (points, whole) = self.rate.fraction(points, length, width);
        points * 1000 <= i128::from(self.most_milli) * whole
    }

    /// Most points, for people.
    pub fn most(&self) -> f64 {
        self.most_milli as f64 / 1e3
    }
}
