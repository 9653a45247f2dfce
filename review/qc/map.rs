//! A roll as a strip in true scale: along from left to right, across from top to bottom.
//!
//! Along and across have the same scale, so that a hole is as round as it is; whoever wants to see it
//! nearer asks for more pixels a metre. A flaw is never drawn smaller than a person can point at, and
//! leads to its page; each mark says what it is. Metres count from the beginning above the strip and from the
//! end below it: a roll is unrolled from either.

use std::fmt::Write;
use std::ops::Range;

use store::{FlawId, Rect};

use super::units::Units;
use super::words::said_of;
use crate::words::escaped;

/// Pixels of a metre when nothing was asked: a web of 1.8 m is 144 px high.
pub(super) const PX_PER_M: f64 = 80.0;
/// What can be asked for.
const LEAST_PX_PER_M: f64 = 2.0;
const MOST_PX_PER_M: f64 = 4000.0;
/// Longest drawing: what browsers still draw.
const LONGEST_PX: f64 = 120_000.0;
/// Room for a line of metres.
const SCALE_PX: f64 = 18.0;
/// Smallest side of a flaw that can be pointed at.
const LEAST_PX: f64 = 7.0;
/// Least distance between two metre marks.
const MARKS_PX: f64 = 70.0;
/// Distances between marks, in metres or yards.
const STEPS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0,
];

/// What is drawn.
pub(super) struct Strip<'a> {
    /// What is shown: the roll, or a part of it.
    pub(super) place: Rect,
    /// From where to where the whole roll lies along, µm.
    pub(super) roll: Range<i64>,
    /// Cloth that was not looked at, and why.
    pub(super) gaps: &'a [(Rect, String)],
    /// Its flaws.
    pub(super) flaws: &'a [Mark],
    /// In what metres are told.
    pub(super) units: Units,
    /// The flaw that is looked at now.
    pub(super) chosen: Option<FlawId>,
}

/// A flaw on the strip.
pub(super) struct Mark {
    /// Where it leads.
    pub(super) id: FlawId,
    /// Its box.
    pub(super) rect: Rect,
    /// What it is.
    pub(super) class: String,
    /// How bad it is.
    pub(super) severity: String,
    /// What a person said of it, if any has: a word.
    pub(super) verdict: Option<String>,
}

/// The scale at which a roll of that length is drawn when `wish` was asked for, in pixels of a metre.
pub(super) fn px_per_m(wish: Option<f64>, length_um: i64) -> f64 {
    let length_m = (length_um as f64 / 1e6).max(0.01);
    let wish = wish.filter(|wish| wish.is_finite()).unwrap_or(PX_PER_M);
    let most = (LONGEST_PX / length_m).min(MOST_PX_PER_M);
    wish.clamp(LEAST_PX_PER_M.min(most), most)
}

/// The scale at which the whole roll is `px` long.
pub(super) fn whole_in(px: f64, length_um: i64) -> f64 {
    px_per_m(Some(px / (length_um as f64 / 1e6).max(0.01)), length_um)
}

/// The drawing, as HTML takes it.
pub(super) fn svg(strip: &Strip<'_>, px_per_m: f64) -> String {
    let px = px_per_m / 1e6;
    let (along, across) = (strip.place.along(), strip.place.across());
    let length = (along.end - along.start) as f64 * px;
    let width = ((across.end - across.start) as f64 * px).max(LEAST_PX);
    let height = width + 2.0 * SCALE_PX;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{length:.1}" height="{height:.1}" viewBox="0 0 {length:.1} {height:.1}" role="group" aria-label="roll map" data-px-per-m="{px_per_m:.3}"><rect class="cloth" x="0" y="{SCALE_PX}" width="{length:.1}" height="{width:.1}"/>"##
    );
    let place = |rect: &Rect, least: f64| {
        let [x, y] = [
            (rect.along().start - along.start) as f64 * px,
            (rect.across().start - across.start) as f64 * px,
        ];
        let wide = (rect.along().end - rect.along().start) as f64 * px;
        let high = (rect.across().end - rect.across().start) as f64 * px;
        // What is made larger grows to all sides, and stays within.
        let grown = |at: f64, side: f64, most: f64| {
            let large = side.max(least);
            let at = at + (side - large) / 2.0;
            (at.clamp(0.0, (most - large).max(0.0)), large)
        };
        let ((x, wide), (y, high)) = (grown(x, wide, length), grown(y, high, width));
        format!(
            r#"x="{x:.1}" y="{:.1}" width="{wide:.1}" height="{high:.1}""#,
            y + SCALE_PX
        )
    };
    for (rect, reason) in strip.gaps {
        let at = said_of(rect, strip.units);
        let reason = escaped(&reason.replace('_', " "));
        let place = place(rect, 1.0);
        write!(
            out,
            r#"<rect class="gap" {place}><title>not looked at: {reason}, {at}</title></rect>"#
        )
        .expect(TAKES_ALL);
    }
    for mark in strip.flaws {
        let at = said_of(&mark.rect, strip.units);
        let (class, severity) = (escaped(&mark.class), escaped(&mark.severity));
        let verdict = mark.verdict.as_deref().unwrap_or("not reviewed");
        let chosen = if strip.chosen == Some(mark.id) {
            " chosen"
        } else {
            ""
        };
        let place = place(&mark.rect, LEAST_PX);
        let state = verdict.split(' ').next().unwrap_or_default();
        write!(
            out,
            r#"<a href="/flaws/{id}" data-flaw="{id}"><rect class="flaw {severity} is-{state}{chosen}" {place}><title>{severity} {class}, {at}: {verdict}</title></rect></a>"#,
            id = mark.id,
            state = escaped(state),
            verdict = escaped(verdict),
        )
        .expect(TAKES_ALL);
    }
    scale(&mut out, strip, px_per_m, (length, width));
    out.push_str("</svg>");
    out
}

const TAKES_ALL: &str = "a string takes everything";

/// Metres from the beginning above, and from the end below.
fn scale(out: &mut String, strip: &Strip<'_>, px_per_m: f64, (length, width): (f64, f64)) {
    let (unit, um) = match strip.units {
        Units::Metric => ("m", 1e6),
        Units::Inch => ("yd", 914_400.0),
    };
    let px = px_per_m * um / 1e6;
    let step = STEPS.iter().find(|step| **step * px >= MARKS_PX);
    let step = *step.unwrap_or(&STEPS[STEPS.len() - 1]);
    let digits = if step < 0.1 {
        2
    } else {
        usize::from(step < 1.0)
    };
    let along = strip.place.along();
    let before = (along.start - strip.roll.start) as f64 / um;
    let behind = (strip.roll.end - along.end) as f64 / um;
    let (below, tick) = (SCALE_PX * 2.0 + width - 5.0, width + 2.0 * SCALE_PX);
    for (at, from_left) in marks(before, length / px, step) {
        let x = from_left * px;
        write!(
            out,
            r#"<path class="tick" d="M{x:.1} 0v5"/><text x="{:.1}" y="13">{at:.digits$} {unit}</text>"#,
            x + 3.0
        )
        .expect(TAKES_ALL);
    }
    for (at, from_right) in marks(behind, length / px, step) {
        let x = length - from_right * px;
        write!(
            out,
            r#"<path class="tick" d="M{x:.1} {tick:.1}v-5"/><text class="end" x="{:.1}" y="{below:.1}">{at:.digits$} {unit}</text>"#,
            x - 3.0
        )
        .expect(TAKES_ALL);
    }
}

/// Multiples of `step` between `before` and `length` behind it, and how far behind it each lies.
fn marks(before: f64, length: f64, step: f64) -> impl Iterator<Item = (f64, f64)> {
    let first = (before / step).ceil().max(0.0) as i64;
    let last = ((before + length) / step).floor() as i64;
    (first..=last).map(move |nth| (nth as f64 * step, nth as f64 * step - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(along_mm: [i64; 2], across_mm: [i64; 2]) -> Rect {
        let um = |[start, end]: [i64; 2]| start * 1000..end * 1000;
        Rect::new(um(along_mm), um(across_mm)).unwrap()
    }

    fn mark(along_mm: [i64; 2], across_mm: [i64; 2], class: &str) -> Mark {
        Mark {
            id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            rect: rect(along_mm, across_mm),
            class: class.to_owned(),
            severity: "severe".to_owned(),
            verdict: None,
        }
    }

    #[test]
    fn flaws_and_gaps_lie_in_their_places_in_true_scale() {
        let flaws = [mark([2000, 2100], [600, 800], "<script>")];
        let gaps = [(rect([1000, 1500], [0, 900]), "frame_lost".to_owned())];
        let strip = Strip {
            place: rect([0, 10_000], [-100, 1700]),
            roll: 0..10_000_000,
            gaps: &gaps,
            flaws: &flaws,
            units: Units::Metric,
            chosen: None,
        };
        let drawn = svg(&strip, 100.0);
        assert!(
            drawn.contains(r#"viewBox="0 0 1000.0 216.0""#),
            "18 px of scale on both sides: {drawn}"
        );
        let gap = r#"<rect class="gap" x="100.0" y="28.0" width="50.0" height="90.0"><title>not looked at: frame lost, 1.00 to 1.50 m"#;
        assert!(drawn.contains(gap), "{drawn}");
        let flaw = r#"x="200.0" y="88.0" width="10.0" height="20.0"><title>severe &lt;script&gt;"#;
        assert!(drawn.contains(flaw), "{drawn}");
        assert!(!drawn.contains("<script>"));
    }

    #[test]
    fn a_small_flaw_can_be_pointed_at_and_lies_on_the_cloth() {
        let flaws = [mark([9_999, 10_000], [0, 1], "nep")];
        let strip = Strip {
            place: rect([0, 10_000], [0, 1800]),
            roll: 0..10_000_000,
            gaps: &[],
            flaws: &flaws,
            units: Units::Inch,
            chosen: Some(flaws[0].id),
        };
        let drawn = svg(&strip, 10.0);
        let flaw = r#"chosen" x="93.0" y="18.0" width="7.0" height="7.0""#;
        assert!(drawn.contains(flaw), "{drawn}");
        assert!(drawn.contains(" yd</text>"));
    }

    #[test]
    fn a_part_of_a_roll_counts_from_the_roll_s_ends() {
        let strip = Strip {
            place: rect([2300, 4300], [0, 1800]),
            roll: 0..10_000_000,
            gaps: &[],
            flaws: &[],
            units: Units::Metric,
            chosen: None,
        };
        let drawn = svg(&strip, 100.0);
        let from_start = r#"<path class="tick" d="M70.0 0v5"/><text x="73.0" y="13">3 m</text>"#;
        assert!(drawn.contains(from_start), "{drawn}");
        let from_end = r#"<text class="end" x="167.0" y="211.0">6 m</text>"#;
        assert!(drawn.contains(from_end), "{drawn}");
        assert!(!drawn.contains(">2 m<") && !drawn.contains(">0 m<"));
    }

    #[test]
    fn no_scale_that_is_asked_for_makes_a_drawing_without_end() {
        for wish in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, 80.0] {
            for length_um in [0, 1_000_000, 100_000_000, i64::MAX / 4] {
                let scale = px_per_m(Some(wish), length_um);
                assert!(scale > 0.0);
                assert!(scale * length_um as f64 / 1e6 <= LONGEST_PX * 1.001);
            }
        }
        assert!((whole_in(1200.0, 100_000_000) - 12.0).abs() < 1e-9);
    }
}
