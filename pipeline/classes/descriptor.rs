//! A whole flaw in the figures that its class is told by.
//!
//! ```text
//! box, area, Looks, width of the web ─▶ Descriptor ─▶ rules, head, severity
//! ```
//!
//! Made once, when the flaw is whole. Lengths are mm, brightness is a share of the cloth's own.
//! It decides nothing.

use calibration::{Um, WebRect, mm_from_um};

use super::{Looks, Marks, Stroke};

/// What a whole flaw is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// Length of its box along the web, mm.
    pub along_mm: f64,
    /// Length of its box across, mm.
    pub across_mm: f64,
    /// Share of the web's width that its box takes.
    pub width_share: f64,
    /// Share of its box that is flagged.
    pub fill: f64,
    /// Highest score, 1.0 = threshold.
    pub score: f64,
    /// Mean score of its cells; `None` where none was measured.
    pub mean_score: Option<f64>,
    /// Whether it comes to an edge of the cloth.
    pub at_edge: bool,
    /// Whether it comes to both.
    pub at_both_edges: bool,
    /// All that differs from the cloth around, as one stroke; `None` where nothing does.
    pub stroke: Option<Stroke>,
    /// How much what differs, in brightness or colour, differs in the mean; `None` where no pixel was
    /// looked at, 0 where none differs.
    pub contrast: Option<f64>,
    /// Area of what differs, mm².
    pub marked_mm2: f64,
    /// Share of the looked-at area that differs.
    pub marked_share: f64,
    /// Share of its stroke that what differs fills: 1 of a full bar, less of a bent line.
    pub solidity: f64,
    /// Share of dark in all that differs, each pixel counted by how much: 0 all bright, 1 all dark.
    pub dark_share: f64,
    /// Mean darkness of what is darker, as a share of the cloth's brightness.
    pub darkness: f64,
    /// Darkness of the darkest pixel.
    pub darkest: f64,
    /// Mean brightness of what is brighter.
    pub brightness: f64,
    /// Brightness of the brightest pixel.
    pub brightest: f64,
    /// What is left of the cloth's texture where it is darker, as a share of the cloth's; 1 where
    /// nothing is darker.
    pub dark_texture: f64,
    /// The same where it is brighter.
    pub bright_texture: f64,
    /// Dark part alone, as one stroke.
    pub dark_stroke: Option<Stroke>,
    /// Bright part alone.
    pub bright_stroke: Option<Stroke>,
    /// From the middle of the bright to the middle of the dark, along and across, mm; 0 where one is
    /// missing.
    pub offset_mm: [f64; 2],
    /// How far the middle of what differs lies from the middle of the box along, as a share of half
    /// the box: 0 in the middle, -1 at its first line, 1 at its last.
    pub leaning: f64,
    /// Mean difference over all that was looked at, brighter positive.
    pub net: f64,
    /// How dark its sharpest dark spot is, in times the usual spots of the cloth around.
    pub dark_spot: f64,
    /// How bright its sharpest bright spot is, likewise.
    pub bright_spot: f64,
    /// Area of changed colour, mm².
    pub tinted_mm2: f64,
    /// Its mean change of colour.
    pub tint: f64,
    /// Share of colour in all that differs: 0 only brightness, 1 only colour.
    pub tint_share: f64,
    /// Where the colour differs, as one stroke.
    pub tint_stroke: Option<Stroke>,
}

impl Descriptor {
    /// Figures of a flaw in `rect` on a web of `web_width`, with `area_um2` of flagged cells.
    pub fn of(rect: &WebRect, area_um2: i64, score: f32, looks: &Looks, web_width: Um) -> Self {
        let along_mm = mm_from_um(rect.along.length());
        let across_mm = mm_from_um(rect.across.length());
        let area_mm2 = area_um2 as f64 / 1e6;
        let marks = looks.marks();
        let cloth = looks.cloth_texture.get().unwrap_or(0.0).max(1e-9);
        let spots = looks.cloth_spots.get().unwrap_or(0.0).sqrt().max(1e-3);
        let mean = |marks: &Marks| {
            if marks.mm2 > 0.0 {
                marks.places.weight / marks.mm2
            } else {
                0.0
            }
        };
        let texture = |marks: &Marks| marks.texture.get().map_or(1.0, |own| (own / cloth).sqrt());
        let (dark, bright) = (&looks.dark, &looks.bright);
        let offset_mm = if dark.mm2 > 0.0 && bright.mm2 > 0.0 {
            [
                dark.places.y - bright.places.y,
                dark.places.x - bright.places.x,
            ]
        } else {
            [0.0; 2]
        };
        let middle_mm = mm_from_um(rect.along.start()) + along_mm / 2.0;
        Self {
            along_mm,
            across_mm,
            width_share: rect.across.length().get() as f64 / web_width.get().max(1) as f64,
            fill: area_mm2 / (along_mm * across_mm).max(1e-9),
            score: f64::from(score),
            mean_score: looks.scores.get(),
            at_edge: looks.at_left_edge || looks.at_right_edge,
            at_both_edges: looks.at_left_edge && looks.at_right_edge,
            stroke: marks.places.stroke(),
            contrast: (looks.looked_mm2 > 0.0).then(|| mean(&marks).max(mean(&looks.tinted))),
            marked_mm2: marks.mm2,
            marked_share: marks.mm2 / looks.looked_mm2.max(1e-9),
            solidity: marks.places.stroke().map_or(0.0, |stroke| {
                marks.mm2 / (stroke.length_mm * stroke.thickness_mm).max(0.01)
            }),
            dark_share: if marks.mm2 > 0.0 {
                dark.places.weight / marks.places.weight
            } else {
                0.5
            },
            darkness: mean(dark),
            darkest: dark.strongest,
            brightness: mean(bright),
            brightest: bright.strongest,
            dark_texture: texture(dark),
            bright_texture: texture(bright),
            dark_stroke: dark.places.stroke(),
            bright_stroke: bright.places.stroke(),
            offset_mm,
            leaning: if marks.mm2 > 0.0 {
                (marks.places.y - middle_mm) / (along_mm / 2.0).max(1e-9)
            } else {
                0.0
            },
            net: looks.net_mm2 / looks.looked_mm2.max(1e-9),
            dark_spot: looks.sharpest_dark / spots,
            bright_spot: looks.sharpest_bright / spots,
            tinted_mm2: looks.tinted.mm2,
            tint: mean(&looks.tinted),
            tint_share: looks.tinted.places.weight
                / (looks.tinted.places.weight + marks.places.weight).max(1e-9),
            tint_stroke: looks.tinted.places.stroke(),
        }
    }

    /// A flaw of no size that differs in nothing.
    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        let span = calibration::Span::new(Um(0), Um(0)).unwrap();
        let rect = WebRect {
            along: span,
            across: span,
        };
        Self::of(&rect, 0, 1.0, &Looks::default(), Um(1))
    }

    /// Names of the figures.
    pub const FIGURES: [&str; N_FIGURES] = [
        "log_along",
        "log_across",
        "width_share",
        "fill",
        "log_score",
        "at_edge",
        "log_length",
        "log_thickness",
        "angle",
        "log_marked_mm2",
        "marked_share",
        "solidity",
        "dark_share",
        "darkness",
        "darkest",
        "brightness",
        "brightest",
        "dark_texture",
        "bright_texture",
        "log_dark_thickness",
        "log_bright_thickness",
        "offset_along",
        "offset_across",
        "leaning",
        "net",
        "dark_spot",
        "bright_spot",
        "tint",
        "tint_share",
    ];

    /// The figures by which flaws are compared, for the head and for whoever looks for rules;
    /// always the same, in the same order, each finite.
    pub fn figures(&self) -> [f64; N_FIGURES] {
        let none = Stroke {
            length_mm: 0.0,
            thickness_mm: 0.0,
            angle_deg: 45.0,
        };
        let all = self.stroke.unwrap_or(none);
        let dark = self.dark_stroke.unwrap_or(none);
        let bright = self.bright_stroke.unwrap_or(none);
        // Sizes count by their ratios.
        let log = |mm: f64| mm.max(0.05).ln();
        let flag = |is: bool| f64::from(u8::from(is));
        [
            log(self.along_mm),
            log(self.across_mm),
            self.width_share,
            self.fill,
            self.score.max(0.05).ln(),
            flag(self.at_edge),
            log(all.length_mm),
            log(all.thickness_mm),
            all.angle_deg / 90.0,
            self.marked_mm2.max(0.01).ln(),
            self.marked_share,
            self.solidity.min(2.0),
            self.dark_share,
            self.darkness,
            self.darkest,
            self.brightness,
            self.brightest.min(3.0),
            self.dark_texture.min(3.0),
            self.bright_texture.min(3.0),
            log(dark.thickness_mm),
            log(bright.thickness_mm),
            self.offset_mm[0].clamp(-10.0, 10.0),
            self.offset_mm[1].clamp(-10.0, 10.0),
            self.leaning,
            self.net,
            self.dark_spot.min(30.0),
            self.bright_spot.min(30.0),
            self.tint,
            self.tint_share,
        ]
    }
}

/// How many figures there are.
pub const N_FIGURES: usize = 29;
