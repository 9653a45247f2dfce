//! Which class a flaw's figures speak for, by rules that a person can read.
//!
//! Rules are asked in order and the first that holds names the class, so a rule may rely on
//! what stands above it. Their numbers were measured on the loom: weaves plain, twill 2/1, twill
//! 3/1 and satin, contrasts 0.4 to 2, seeds from 1000 on, which neither tests nor the kept matrix use
//! (`cargo bench --bench classes -- --seed 1000 --samples FILE` writes the figures). What the loom
//! does not weave was set by the names of real strips: kinks, fuzzy balls and ends that broke
//! and lie bent. Where no rule holds the flaw stays unknown, which is better than a guess that
//! somebody acts on.

use super::{Class, Descriptor};

/// One rule.
struct Rule {
    class: Class,
    /// For a person who asks why.
    why: &'static str,
    holds: fn(&Descriptor) -> bool,
}

/// The rules, first one first.
const RULES: [Rule; 21] = [
    Rule {
        class: Class::Hole,
        why: "a compact spot twice as bright as cloth, through which a bright table shows",
        holds: |of| is_spot(of) && of.brightest >= 0.9,
    },
    Rule {
        class: Class::Hole,
        why: "a compact dark spot with sharp borders and no weave in it",
        holds: |of| is_spot(of) && of.is_dark() && of.darkest >= 0.3 && of.dark_texture >= 1.4,
    },
    Rule {
        class: Class::Selvedge,
        why: "at the cloth's edge, and not a line across",
        holds: |of| {
            of.at_edge
                && of.across_mm <= 20.0
                && of.width_share < 0.3
                && of.across_mm <= 2.0 * of.along_mm
        },
    },
    Rule {
        class: Class::Crease,
        why: "a line along the warp, bright on one side and dark on the other",
        holds: |of| {
            is_warp_line(of)
                && (0.15..=0.9).contains(&of.dark_share)
                && of.offset_mm[1].abs() >= 0.8
        },
    },
    Rule {
        class: Class::EndOut,
        why: "a dark line along the warp",
        holds: |of| is_warp_line(of) && of.is_dark(),
    },
    Rule {
        class: Class::DoubleEnd,
        why: "a bright line along the warp",
        holds: is_warp_line,
    },
    Rule {
        class: Class::Stain,
        why: "a blotch of another colour, hardly brighter or darker",
        holds: |of| {
            of.tint_share >= 0.6
                && of
                    .tint_stroke
                    .is_some_and(|stroke| stroke.thickness_mm >= 2.4)
        },
    },
    Rule {
        class: Class::StartMark,
        why: "a dark bar over the width, thicker than a pick",
        holds: |of| is_weft_line(of) && of.is_dark() && dark_thickness(of) >= 2.2,
    },
    Rule {
        class: Class::Mispick,
        why: "a dark line over the width",
        holds: |of| is_weft_line(of) && of.is_dark(),
    },
    Rule {
        class: Class::DoublePick,
        why: "a bright line along the weft, longer than a thick place in a yarn",
        holds: |of| {
            !of.is_dark() && (is_weft_line(of) || of.across_mm >= 50.0_f64.max(5.0 * of.along_mm))
        },
    },
    Rule {
        class: Class::Knot,
        why: "a small lump with a shadow: sharp dark beside sharp bright",
        holds: |of| {
            longer_mm(of) <= 11.5
                && length(of) <= 6.0
                && of.dark_spot >= 2.4
                && of.bright_spot >= 3.0
        },
    },
    Rule {
        class: Class::Stain,
        why: "a dark blotch in which the weave goes on",
        holds: |of| {
            of.is_dark()
                && dark_thickness(of) >= 2.4
                && of.dark_texture <= 1.45
                && of.solidity >= 0.45
        },
    },
    Rule {
        class: Class::WeftCrack,
        why: "a straight dark place along the weft",
        holds: |of| {
            of.is_dark()
                && of.across_mm >= 1.5 * of.along_mm
                && angle(of) <= 4.0
                && dark_thickness(of) < 2.9
        },
    },
    Rule {
        class: Class::EndOut,
        why: "a long dark line near the warp's direction: an end that broke and lies bent",
        holds: |of| of.is_dark() && longer_mm(of) >= 20.0 && angle(of) >= 60.0,
    },
    Rule {
        class: Class::Contamination,
        why: "a thin dark line that follows no yarn",
        holds: |of| of.is_dark() && of.marked_mm2 >= 1.5 && length(of) >= 4.5,
    },
    Rule {
        class: Class::FuzzyBall,
        why: "a small round dark spot",
        holds: |of| of.is_dark() && of.marked_mm2 >= 1.0 && length(of) <= 3.0 && of.solidity >= 0.6,
    },
    Rule {
        class: Class::Kink,
        why: "a bright line that follows no yarn",
        holds: |of| is_bright(of) && length(of) >= 8.0 && (15.0..=60.0).contains(&angle(of)),
    },
    Rule {
        class: Class::Slub,
        why: "a bright thick place along the weft",
        holds: |of| is_bright(of) && of.across_mm >= 13.5 && thickness(of) >= 1.2,
    },
    Rule {
        class: Class::Slub,
        why: "a short thick place: brighter, smoother than the weave and longer than a lump",
        holds: |of| {
            is_bright(of)
                && length(of) >= 4.0
                && of.across_mm > 9.0
                && of.brightest < 0.31
                && of.bright_texture < 0.9
        },
    },
    Rule {
        class: Class::Float,
        why: "a bright stroke along a yarn, on top of the weave",
        holds: |of| is_bright(of) && (length(of) >= 4.0 || is_along_a_yarn(of)),
    },
    Rule {
        class: Class::Nep,
        why: "a small bright spot",
        holds: is_bright,
    },
];

/// Smallest area that says in which way a flaw differs, mm².
const STROKE_MM2: f64 = 0.3;

/// The class of a flaw, and why.
pub fn class_of(descriptor: &Descriptor) -> (Class, &'static str) {
    let rule = RULES.iter().find(|rule| (rule.holds)(descriptor));
    rule.map_or((Class::Unknown, "no rule holds"), |rule| {
        (rule.class, rule.why)
    })
}

impl Descriptor {
    /// Whether it is darker than the cloth around, all in all.
    fn is_dark(&self) -> bool {
        self.net < 0.0
    }
}

/// A line along the warp: long enough that no single thick place or fibre is.
fn is_warp_line(of: &Descriptor) -> bool {
    of.along_mm >= 25.0 && of.along_mm >= 3.0 * of.across_mm
}

/// A line across half of the web, or so long that nothing but a pick is.
fn is_weft_line(of: &Descriptor) -> bool {
    of.width_share >= 0.5 || of.across_mm >= 110.0_f64.max(5.0 * of.along_mm)
}

/// Compact, filled, and larger than a fibre's width.
fn is_spot(of: &Descriptor) -> bool {
    !of.at_edge
        && of.solidity >= 0.6
        && length(of) <= 15.0
        && thickness(of) >= 1.6_f64.max(0.4 * length(of))
}

fn is_bright(of: &Descriptor) -> bool {
    !of.is_dark() && of.marked_mm2 >= STROKE_MM2
}

/// Half as long again as it is thick, in the direction of weft or warp.
fn is_along_a_yarn(of: &Descriptor) -> bool {
    length(of) >= 1.5 * thickness(of) && !(20.0..80.0).contains(&angle(of))
}

fn longer_mm(of: &Descriptor) -> f64 {
    of.along_mm.max(of.across_mm)
}

fn length(of: &Descriptor) -> f64 {
    of.stroke.map_or(0.0, |stroke| stroke.length_mm)
}

fn thickness(of: &Descriptor) -> f64 {
    of.stroke.map_or(0.0, |stroke| stroke.thickness_mm)
}

fn dark_thickness(of: &Descriptor) -> f64 {
    of.dark_stroke.map_or(0.0, |stroke| stroke.thickness_mm)
}

/// Angle to the weft, degrees.
fn angle(of: &Descriptor) -> f64 {
    of.stroke.map_or(45.0, |stroke| stroke.angle_deg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Stroke;

    /// A flaw of this box, darker or brighter than the cloth by `net` and everywhere alike, that
    /// is one full stroke along its box.
    fn flaw(along_mm: f64, across_mm: f64, net: f64) -> Descriptor {
        let stroke = Some(Stroke {
            length_mm: along_mm.max(across_mm),
            thickness_mm: along_mm.min(across_mm),
            angle_deg: if along_mm > across_mm { 90.0 } else { 0.0 },
        });
        let is_dark = net < 0.0;
        Descriptor {
            along_mm,
            across_mm,
            width_share: across_mm / 1800.0,
            net,
            marked_mm2: along_mm * across_mm,
            solidity: 1.0,
            stroke,
            dark_share: f64::from(u8::from(is_dark)),
            dark_stroke: stroke.filter(|_| is_dark),
            bright_stroke: stroke.filter(|_| !is_dark),
            darkest: if is_dark { -net } else { 0.0 },
            brightest: if is_dark { 0.0 } else { net },
            ..Descriptor::nothing()
        }
    }

    fn turned(of: Descriptor, angle_deg: f64) -> Descriptor {
        let turn = |stroke: Stroke| Stroke {
            angle_deg,
            ..stroke
        };
        Descriptor {
            stroke: of.stroke.map(turn),
            ..of
        }
    }

    #[track_caller]
    fn check(of: &Descriptor, class: Class) {
        assert_eq!(class_of(of).0, class, "{}: {of:#?}", class_of(of).1);
    }

    #[test]
    fn through_a_hole_shows_the_table_whether_bright_or_dark() {
        check(&flaw(6.0, 5.0, 1.2), Class::Hole);
        let dark = Descriptor {
            dark_texture: 1.8,
            ..flaw(6.0, 5.0, -0.8)
        };
        check(&dark, Class::Hole);
    }

    #[test]
    fn what_lies_at_the_edge_is_the_selvedge_s_unless_it_goes_on_across() {
        let at_edge = |along_mm, across_mm| Descriptor {
            at_edge: true,
            ..flaw(along_mm, across_mm, -0.4)
        };
        check(&at_edge(12.0, 5.0), Class::Selvedge);
        check(&at_edge(1.0, 1700.0), Class::Mispick);
    }

    #[test]
    fn lines_along_the_warp_are_told_by_their_light() {
        check(&flaw(400.0, 2.0, -0.2), Class::EndOut);
        check(&flaw(400.0, 2.0, 0.2), Class::DoubleEnd);
        let fold = Descriptor {
            dark_share: 0.6,
            offset_mm: [0.0, 1.5],
            ..flaw(100.0, 5.0, -0.02)
        };
        check(&fold, Class::Crease);
    }

    #[test]
    fn lines_over_the_width_are_told_by_light_and_thickness() {
        check(&flaw(1.0, 1700.0, -0.2), Class::Mispick);
        check(&flaw(1.0, 1700.0, 0.2), Class::DoublePick);
        check(&flaw(8.0, 1700.0, -0.2), Class::StartMark);
        // A piece of a faint one.
        check(&flaw(1.0, 130.0, -0.05), Class::Mispick);
    }

    #[test]
    fn a_blotch_in_which_the_weave_goes_on_is_a_stain_and_so_is_one_of_colour_alone() {
        check(&flaw(15.0, 12.0, -0.3), Class::Stain);
        let dye = Descriptor {
            tint_share: 0.9,
            tint_stroke: Some(Stroke {
                length_mm: 15.0,
                thickness_mm: 12.0,
                angle_deg: 0.0,
            }),
            ..Descriptor::nothing()
        };
        check(&dye, Class::Stain);
    }

    #[test]
    fn a_lump_with_a_shadow_is_a_knot_and_one_without_a_nep() {
        let lump = |dark_spot| Descriptor {
            dark_spot,
            bright_spot: 6.0,
            ..flaw(2.0, 2.0, 0.3)
        };
        check(&lump(3.5), Class::Knot);
        check(&lump(1.5), Class::Nep);
    }

    #[test]
    fn dark_strokes_are_told_by_their_direction_and_straightness() {
        check(&flaw(1.2, 30.0, -0.2), Class::WeftCrack);
        check(&turned(flaw(12.0, 14.0, -0.2), 40.0), Class::Stain);
        let bent = |angle, along_mm, across_mm| Descriptor {
            solidity: 0.2,
            dark_texture: 2.0,
            ..turned(flaw(along_mm, across_mm, -0.1), angle)
        };
        check(&bent(40.0, 12.0, 14.0), Class::Contamination);
        check(&bent(75.0, 40.0, 30.0), Class::EndOut);
        check(&flaw(1.3, 1.4, -0.2), Class::FuzzyBall);
    }

    #[test]
    fn bright_strokes_are_told_by_their_direction_and_thickness() {
        check(&flaw(2.0, 30.0, 0.2), Class::Slub);
        check(&flaw(0.8, 8.0, 0.4), Class::Float);
        check(&flaw(8.0, 0.8, 0.4), Class::Float);
        check(&turned(flaw(15.0, 12.0, 0.4), 45.0), Class::Kink);
        let short = Descriptor {
            bright_texture: 0.7,
            ..flaw(2.0, 10.0, 0.2)
        };
        check(&short, Class::Slub);
    }

    #[test]
    fn where_nothing_can_be_seen_the_class_is_unknown() {
        check(&Descriptor::nothing(), Class::Unknown);
        check(&flaw(0.2, 0.3, -0.1), Class::Unknown);
    }
}
