//! How sharp good cloth looks at least.
//!
//! A tenth of the frames may be less sharp than what is kept, so that one that was not in focus does
//! not make all cloth that is out of it pass.

use calibration::{Focus, N_FOCUS_PARTS, Sharpness};

/// Share of frames that may be less sharp.
const LEFT_OUT: f64 = 0.1;

/// Finds the least sharpness of each part of a lane's columns.
#[derive(Debug, Default)]
pub struct LeastSharpness([Vec<Focus>; N_FOCUS_PARTS]);

impl LeastSharpness {
    /// Takes a frame of good cloth.
    pub fn add(&mut self, seen: &Sharpness) {
        for (all, seen) in self.0.iter_mut().zip(seen) {
            all.extend(seen);
        }
    }

    /// What goes into the passport: `None` for parts that showed no cloth.
    pub fn found(&self) -> Vec<Option<[f32; 2]>> {
        let least_by = |all: &[Focus], of: fn(&Focus) -> f64| {
            let mut all: Vec<f64> = all.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            let nth = (all.len() as f64 * LEFT_OUT) as usize;
            all.get(nth).map(|least| *least as f32)
        };
        let least = |all: &Vec<Focus>| {
            let sharpness = least_by(all, |focus| focus.sharpness)?;
            Some([sharpness, least_by(all, |focus| focus.contrast)?])
        };
        self.0.iter().map(least).collect()
    }
}

/// The lesser of what was found now and `earlier`; what was not taught once stays unknown.
pub(super) fn least_of(
    now: Vec<Option<[f32; 2]>>,
    earlier: Option<Vec<Option<[f32; 2]>>>,
) -> Vec<Option<[f32; 2]>> {
    let Some(earlier) = earlier else {
        return now;
    };
    if earlier.is_empty() {
        return now;
    }
    let both = now.into_iter().zip(earlier);
    both.map(|(now, earlier)| match (now, earlier) {
        (Some(now), Some(earlier)) => Some([now[0].min(earlier[0]), now[1].min(earlier[1])]),
        (one, other) => one.or(other),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_may_be_less_sharp_and_more_cloth_only_lowers_it() {
        let focus = |sharpness| {
            Some(Focus {
                sharpness,
                contrast: 2.0 * sharpness,
            })
        };
        let taught = |sharpness: f32| Some([sharpness, 2.0 * sharpness]);
        let mut least = LeastSharpness::default();
        for nth in 0..20 {
            let blurred = if nth == 7 {
                0.125
            } else {
                0.5 + f64::from(nth) / 64.0
            };
            least.add(&[focus(blurred), None, focus(0.25), None]);
        }
        let found = least.found();
        // The third of twenty: the blurred one and one more are left out.
        assert_eq!(found, [taught(0.5 + 1.0 / 64.0), None, taught(0.25), None]);
        assert_eq!(least_of(found.clone(), Some(Vec::new())), found);
        let earlier = vec![taught(0.75), taught(0.75), taught(0.125), None];
        let both = [found[0], taught(0.75), taught(0.125), None];
        assert_eq!(least_of(found, Some(earlier)), both);
    }
}
