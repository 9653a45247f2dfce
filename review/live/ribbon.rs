//! The roll so far as a picture: along from left to right, across from top to bottom.
//!
//! Along and across have scales of their own, so that a long roll fits a screen; a flaw is never drawn
//! smaller than a person can see. Every mark says what it is when it is pointed at.

use std::fmt::Write;

use super::{Placed, Ribbon};
use crate::words::escaped;

/// Size of the drawing, in its own units.
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 120.0;
/// Room below it for metres.
const SCALE: f64 = 20.0;
/// Smallest side of a flaw that is seen.
const LEAST: f64 = 4.0;
/// Steps between marks of the scale, in metres.
const STEPS_M: [f64; 9] = [0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0];
/// Most marks of the scale.
const MOST_MARKS: f64 = 12.0;

/// The drawing.
pub(crate) fn svg(ribbon: &Ribbon) -> String {
    let height = HEIGHT + SCALE;
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif" font-size="12"><title>{}</title>"#,
        told(ribbon)
    );
    let [first, end] = ribbon.across_mm;
    if ribbon.length_mm > 0.0 && end > first {
        let x = WIDTH / ribbon.length_mm;
        let y = HEIGHT / (end - first);
        rect(
            &mut out,
            [0.0, 0.0, WIDTH, HEIGHT],
            &Paint::Full("#9fc5a8"),
            "inspected",
        );
        if ribbon.from_mm > 0.0 {
            let before = [0.0, 0.0, ribbon.from_mm * x, HEIGHT];
            rect(
                &mut out,
                before,
                &Paint::Full("#c8c8c8"),
                "see the store for this part",
            );
        }
        let place = |strip: &Placed, least: f64| {
            let [along, across] = [strip.along_mm, strip.across_mm];
            let wide = ((along[1] - along[0]) * x).max(least);
            let high = ((across[1] - across[0]) * y).max(least);
            let left = ((along[0] + along[1]) / 2.0 * x - wide / 2.0).clamp(0.0, WIDTH - least);
            let top = ((across[0] + across[1]) / 2.0 - first) * y - high / 2.0;
            [left, top.clamp(0.0, HEIGHT - least), wide, high]
        };
        for gap in &ribbon.gaps {
            let said = format!("gap: {}, {}", gap.what.replace('_', " "), metres(gap));
            rect(&mut out, place(gap, 1.0), &Paint::Full("#3b3b3b"), &said);
        }
        for flaw in &ribbon.flaws {
            let severity = flaw.severity.as_deref().unwrap_or_default();
            let fill = match severity {
                "severe" => "#b00020",
                "major" => "#d9480f",
                "moderate" => "#e8890c",
                _ => "#1f5fbf",
            };
            let said = format!("{severity} {}, {}", flaw.what, metres(flaw));
            // Its box may hold much cloth that is good.
            rect(&mut out, place(flaw, LEAST), &Paint::Through(fill), &said);
        }
        scale(&mut out, ribbon.length_mm / 1e3);
    }
    out.push_str("</svg>\n");
    out
}

/// The same in words.
fn told(ribbon: &Ribbon) -> String {
    format!(
        "{:.2} m so far: {} flaws, {} gaps",
        ribbon.length_mm / 1e3,
        ribbon.flaws.len(),
        ribbon.gaps.len()
    )
}

fn metres(strip: &Placed) -> String {
    let [start, end] = strip.along_mm;
    format!("{:.3} to {:.3} m", start / 1e3, end / 1e3)
}

/// How a rectangle is painted, by colour.
enum Paint {
    /// All of it.
    Full(&'static str),
    /// Its edge, and what lies under it shows through.
    Through(&'static str),
}

fn rect(out: &mut String, [x, y, wide, high]: [f64; 4], paint: &Paint, said: &str) {
    let said = escaped(said);
    let paint = match paint {
        Paint::Full(colour) => format!(r#"fill="{colour}""#),
        Paint::Through(colour) => {
            format!(r#"fill="{colour}" fill-opacity="0.4" stroke="{colour}""#)
        }
    };
    write!(
        out,
        r#"<rect x="{x:.1}" y="{y:.1}" width="{wide:.1}" height="{high:.1}" {paint}><title>{said}</title></rect>"#
    )
    .expect("a string takes everything");
}

fn scale(out: &mut String, length_m: f64) {
    let fits = |step: &&f64| length_m / **step <= MOST_MARKS;
    let step = STEPS_M.iter().find(fits).unwrap_or(&STEPS_M[8]);
    let y = HEIGHT + SCALE - 5.0;
    for nth in 0..=(length_m / step) as usize {
        let at = nth as f64 * step;
        let x = at / length_m * WIDTH;
        let (anchor, digits) = (
            if nth == 0 { "start" } else { "middle" },
            usize::from(*step < 1.0),
        );
        // What would be cut off at the right edge is left out.
        if x < WIDTH - 15.0 {
            write!(
                out,
                r#"<text x="{x:.1}" y="{y}" text-anchor="{anchor}" fill="currentColor">{at:.digits$} m</text>"#
            )
            .expect("a string takes everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaws_and_gaps_lie_in_their_places_and_words_from_outside_are_escaped() {
        let placed = |along: [f64; 2], what: &str| Placed {
            along_mm: along,
            across_mm: [100.0, 200.0],
            what: what.to_owned(),
            severity: Some("severe".to_owned()),
        };
        let drawn = svg(&Ribbon {
            length_mm: 2400.0,
            across_mm: [0.0, 400.0],
            from_mm: 0.0,
            gaps: vec![placed([600.0, 1200.0], "frame_lost")],
            flaws: vec![placed([1800.0, 1802.0], "<script>")],
        });
        let gap = r##"<rect x="300.0" y="30.0" width="300.0" height="30.0" fill="#3b3b3b"><title>gap: frame lost, 0.600 to 1.200 m"##;
        assert!(drawn.contains(gap), "{drawn}");
        let flaw = r##"<rect x="898.5" y="30.0" width="4.0" height="30.0" fill="#b00020" fill-opacity="0.4" stroke="#b00020"><title>severe &lt;script&gt;, 1.800 to 1.802 m"##;
        assert!(drawn.contains(flaw), "{drawn}");
        assert!(drawn.contains(">2.0 m</text>"), "{drawn}");
    }

    #[test]
    fn a_roll_of_which_nothing_is_known_is_an_empty_drawing() {
        assert!(!svg(&Ribbon::default()).contains("<rect"));
    }
}
