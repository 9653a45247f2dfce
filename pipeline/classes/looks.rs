//! What a flaw looks like, as sums.
//!
//! ```text
//! pixels of a piece ─▶ Looks ─┐
//! pixels of the next ─▶ Looks ─┴▶ absorbed: the same as if both had been measured at once
//! ```
//!
//! Everything here adds up, because a flaw is seen in pieces: frame by frame, lane by lane. Means,
//! lengths and shares are only made of the sums when the flaw is whole. Lengths are mm on the
//! web; brightness is a share of what the cloth around shows. Nothing here sees a pixel.

/// Sums over the pixels of a flaw, or of a piece of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looks {
    /// Pixels that are darker than the cloth around, beyond its own unrest.
    pub dark: Marks,
    /// Pixels that are brighter.
    pub bright: Marks,
    /// Pixels of another colour; none on grey cloth.
    pub tinted: Marks,
    /// Area that was looked at: the flaw's cells, mm².
    pub looked_mm2: f64,
    /// Sum of all differences over that area, brighter ones positive, whether marked or not, mm².
    pub net_mm2: f64,
    /// Sharpest dark spot: how much it differs, smoothed less than a yarn.
    pub sharpest_dark: f64,
    /// Sharpest bright spot.
    pub sharpest_bright: f64,
    /// Scores of its cells.
    pub scores: Mean,
    /// Squared texture of the cloth around.
    pub cloth_texture: Mean,
    /// Squared differences of the cloth around, smoothed less than a yarn: its own sharp spots.
    pub cloth_spots: Mean,
    /// Whether it comes to the cloth's left edge.
    pub at_left_edge: bool,
    /// Whether it comes to the cloth's right edge.
    pub at_right_edge: bool,
}

/// Pixels that differ from the cloth around in one way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Their area, mm².
    pub mm2: f64,
    /// Where they lie, each weighed by how much it differs.
    pub places: Moments,
    /// How much the one differs that differs most, as a share of the cloth's brightness.
    pub strongest: f64,
    /// Squared texture of these pixels, each against its own brightness.
    pub texture: Mean,
}

/// A mean that can be gone on with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// What was added.
    pub sum: f64,
    /// How often.
    pub n: f64,
}

/// Weight, centre and spread of places, in mm; x is across, y along.
///
/// Kept around the centre and joined by the rule of Chan, Golub and LeVeque ("Updating formulae
/// and a pairwise algorithm for computing sample variances", 1979): plain sums of squares would
/// lose their digits a few kilometres into a roll.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Sum of the weights.
    pub weight: f64,
    /// Centre across.
    pub x: f64,
    /// Centre along.
    pub y: f64,
    /// Weighted sums of squared distances from the centre.
    pub xx: f64,
    /// The same along.
    pub yy: f64,
    /// The same, mixed.
    pub xy: f64,
}

/// A stroke as long, as thick and as turned as what it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// Length, mm: of a bar of even weight with the same spread.
    pub length_mm: f64,
    /// Thickness, mm, made likewise.
    pub thickness_mm: f64,
    /// Angle to the weft, 0 (along the weft) to 90 (along the warp) degrees.
    pub angle_deg: f64,
}

impl Looks {
    /// Takes over another piece of the same flaw.
    pub fn absorb(&mut self, other: &Looks) {
        self.dark.absorb(&other.dark);
        self.bright.absorb(&other.bright);
        self.tinted.absorb(&other.tinted);
        self.looked_mm2 += other.looked_mm2;
        self.net_mm2 += other.net_mm2;
        self.sharpest_dark = self.sharpest_dark.max(other.sharpest_dark);
        self.sharpest_bright = self.sharpest_bright.max(other.sharpest_bright);
        self.scores.absorb(other.scores);
        self.cloth_texture.absorb(other.cloth_texture);
        self.cloth_spots.absorb(other.cloth_spots);
        self.at_left_edge |= other.at_left_edge;
        self.at_right_edge |= other.at_right_edge;
    }

    /// Dark and bright pixels together.
    pub fn marks(&self) -> Marks {
        let mut both = self.dark.clone();
        both.absorb(&self.bright);
        both
    }
}

impl Marks {
    /// Takes over another part.
    pub fn absorb(&mut self, other: &Marks) {
        self.mm2 += other.mm2;
        self.places.absorb(&other.places);
        self.strongest = self.strongest.max(other.strongest);
        self.texture.absorb(other.texture);
    }
}

impl Mean {
    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1.0;
    }

    /// Takes over another part.
    pub fn absorb(&mut self, other: Mean) {
        self.sum += other.sum;
        self.n += other.n;
    }

    /// The mean; `None` of nothing.
    pub fn get(self) -> Option<f64> {
        (self.n > 0.0).then(|| self.sum / self.n)
    }
}

impl Moments {
    /// Adds a place.
    pub fn add(&mut self, weight: f64, x: f64, y: f64) {
        self.absorb(&Moments {
            weight,
            x,
            y,
            ..Moments::default()
        });
    }

    /// Takes over other places.
    pub fn absorb(&mut self, other: &Moments) {
        let weight = self.weight + other.weight;
        if weight <= 0.0 {
            return;
        }
        let share = other.weight / weight;
        let (dx, dy) = (other.x - self.x, other.y - self.y);
        let between = self.weight * share;
        self.xx += other.xx + between * dx * dx;
        self.yy += other.yy + between * dy * dy;
        self.xy += other.xy + between * dx * dy;
        self.x += share * dx;
        self.y += share * dy;
        self.weight = weight;
    }

    /// The stroke that spreads like these places; `None` of nothing.
    pub fn stroke(&self) -> Option<Stroke> {
        if self.weight <= 0.0 {
            return None;
        }
        let [xx, yy, xy] = [self.xx, self.yy, self.xy].map(|sum| sum / self.weight);
        let (middle, half) = ((xx + yy) / 2.0, ((xx - yy) / 2.0).hypot(xy));
        // The variance of a bar of length l is l²/12.
        let side = |variance: f64| (12.0 * variance.max(0.0)).sqrt();
        let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
        Some(Stroke {
            length_mm: side(middle + half),
            thickness_mm: side(middle - half),
            angle_deg: angle.to_degrees().abs(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stroke_has_the_sides_and_the_angle_of_its_bar() {
        let mut places = Moments::default();
        for x in 0..400 {
            for y in 0..40 {
                // Far into a roll: 3 km.
                places.add(0.3, f64::from(y) * 0.1, 3e6 + f64::from(x) * 0.1);
            }
        }
        let stroke = places.stroke().unwrap();
        assert!((stroke.length_mm - 40.0).abs() < 0.1, "{stroke:?}");
        assert!((stroke.thickness_mm - 4.0).abs() < 0.1, "{stroke:?}");
        assert!((stroke.angle_deg - 90.0).abs() < 0.1, "{stroke:?}");
    }

    #[test]
    fn nothing_has_no_stroke() {
        assert_eq!(Moments::default().stroke(), None);
    }

    proptest! {
        #[test]
        fn pieces_add_up_to_the_whole_wherever_it_is_cut(
            places in proptest::collection::vec((0.01..2.0_f64, 0.0..50.0_f64, 0.0..50.0_f64), 1..60),
            cuts in proptest::collection::vec(0..60_usize, 0..4),
        ) {
            let looks = |places: &[(f64, f64, f64)]| {
                let mut looks = Looks::default();
                for &(weight, x, y) in places {
                    looks.dark.places.add(weight, x, 2e6 + y);
                    looks.dark.mm2 += weight;
                    looks.scores.add(weight);
                }
                looks
            };
            let whole = looks(&places);
            let mut pieces = Looks::default();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(places.len())).collect();
            cuts.extend([0, places.len()]);
            cuts.sort_unstable();
            for cut in cuts.windows(2) {
                pieces.absorb(&looks(&places[cut[0]..cut[1]]));
            }
            let (a, b) = (whole.dark.places.stroke().unwrap(), pieces.dark.places.stroke().unwrap());
            prop_assert!((a.length_mm - b.length_mm).abs() < 1e-6);
            prop_assert!((a.thickness_mm - b.thickness_mm).abs() < 1e-3);
            prop_assert!((whole.dark.mm2 - pieces.dark.mm2).abs() < 1e-9);
            prop_assert!((whole.scores.sum - pieces.scores.sum).abs() < 1e-9);
        }
    }
}
