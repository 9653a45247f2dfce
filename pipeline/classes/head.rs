//! What a mill's own samples teach about classes.
//!
//! ```text
//! confirmed (Descriptor, Class) ─▶ standardised ─▶ one weight per figure and class ─▶ Head
//! Head, rules' answer, Descriptor ─▶ the class of whoever was right more often
//! ```
//!
//! A head is a softmax regression over the descriptor's figures, the score left out because another
//! model scores differently. How often it and the rules are right is counted on the samples, each
//! told by a head that has not seen it; only that decides between the two. It is silent on flaws
//! unlike all samples, and leaves alone what the rules call a class of which there are none. The
//! same samples in the same order give the same head. It looks at no pixel.

use serde::{Deserialize, Serialize};

use super::{Class, Descriptor, N_FIGURES, class_of};

/// Samples that a class must have.
pub const FEWEST_SAMPLES: usize = 5;
/// Classes that a head must tell apart.
const FEWEST_CLASSES: usize = 2;
/// Parts that the samples are counted by.
const MOST_FOLDS: usize = 10;
/// Weight of the penalty on large weights, per sample. Tried on the loom: from 0.003 to 0.1 the share
/// of right answers from 10 samples per class stays within a point.
const PENALTY: f64 = 0.02;
/// Steps of descent, and their size; the loss is convex and smooth, and flat long before the end.
const N_STEPS: usize = 500;
const STEP: f64 = 0.1;
/// The head is silent where it is less sure than this of its answer …
const LEAST_SHARE: f64 = 0.5;
/// … and where a flaw's figures are on average this many spreads from the samples' mean.
const FARTHEST: f64 = 3.0;
/// How much more often than the rules it must have been right: a few samples are a matter of luck.
const LEAST_LEAD: f64 = 0.15;
/// No figure spreads less than this: one that never differs says nothing.
const LEAST_SPREAD: f64 = 1e-6;

/// What was learned from samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The article whose flaws were the samples.
    pub(super) article: String,
    /// Names of the figures, in order.
    pub(super) figures: Vec<String>,
    /// Mean of each figure over the samples.
    pub(super) means: Vec<f64>,
    /// Spread of each figure.
    pub(super) spreads: Vec<f64>,
    /// The classes that it tells apart.
    pub(super) classes: Vec<Taught>,
    /// How the rules did on the same samples.
    pub(super) rules: Vec<Told>,
}

/// One class of a head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taught {
    /// Its samples.
    pub n_samples: usize,
    /// How often it was told rightly by heads that had not seen the sample.
    pub told: Told,
    /// One weight per figure, and the last alone.
    pub(super) weights: Vec<f64>,
}

/// How often a class was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The class, by its id.
    pub class: String,
    /// Samples that were told to be of it.
    pub n: usize,
    /// Those of them that are.
    pub n_right: usize,
}

/// Why no head can be taught.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "found {} with at least {FEWEST_SAMPLES} samples ({}), expected at least {FEWEST_CLASSES}",
    n_classes(self.found),
    listed(&self.samples)
)]
pub struct TooFewSamples {
    /// Classes with enough samples.
    pub found: usize,
    /// The classes that have any, each with how many.
    pub samples: Vec<(Class, usize)>,
}

fn n_classes(n: usize) -> String {
    format!("{n} class{}", if n == 1 { "" } else { "es" })
}

fn listed(samples: &[(Class, usize)]) -> String {
    if samples.is_empty() {
        return "no sample of any".to_owned();
    }
    let each = samples.iter().map(|(class, n)| format!("{class} {n}"));
    each.collect::<Vec<_>>().join(", ")
}

impl Head {
    /// Learns from confirmed samples of an article's flaws. Classes with too few are left out.
    ///
    /// # Errors
    /// [`TooFewSamples`] where that leaves too few classes.
    pub fn taught(article: &str, samples: &[(Descriptor, Class)]) -> Result<Self, TooFewSamples> {
        let count = |class: Class| samples.iter().filter(|(_, of)| *of == class).count();
        let is_known = |class: &Class| *class != Class::Unknown && count(*class) >= FEWEST_SAMPLES;
        let classes: Vec<Class> = Class::ALL.into_iter().filter(is_known).collect();
        if classes.len() < FEWEST_CLASSES {
            let counted = Class::ALL.map(|class| (class, count(class)));
            return Err(TooFewSamples {
                found: classes.len(),
                samples: counted.into_iter().filter(|(_, n)| *n > 0).collect(),
            });
        }
        let rows: Vec<Row> = samples
            .iter()
            .filter_map(|(descriptor, of)| {
                let class = classes.iter().position(|class| class == of)?;
                Some(Row {
                    figures: figures(descriptor),
                    class,
                    by_rules: class_of(descriptor).0,
                })
            })
            .collect();
        // Each class is dealt out over the folds in turn, so that every fold has some of each.
        let n_folds = classes.iter().map(|class| count(*class)).min();
        let n_folds = n_folds.unwrap_or(FEWEST_SAMPLES).min(MOST_FOLDS);
        let mut dealt = vec![0; classes.len()];
        let folds: Vec<usize> = rows
            .iter()
            .map(|row| {
                dealt[row.class] += 1;
                dealt[row.class] % n_folds
            })
            .collect();
        let mut told = vec![(0, 0); classes.len()];
        for fold in 0..n_folds {
            let others = rows.iter().zip(&folds).filter(|(_, of)| **of != fold);
            let others: Vec<&Row> = others.map(|(row, _)| row).collect();
            let learned = Learned::of(&others, classes.len());
            for (row, _) in rows.iter().zip(&folds).filter(|(_, of)| **of == fold) {
                if let Some(class) = learned.tell(&row.figures) {
                    told[class].0 += 1;
                    told[class].1 += usize::from(class == row.class);
                }
            }
        }
        let all: Vec<&Row> = rows.iter().collect();
        let learned = Learned::of(&all, classes.len());
        let by_rules = |class: &Class| {
            let of_it = rows.iter().filter(|row| row.by_rules == *class);
            let right = of_it.clone().filter(|row| classes[row.class] == *class);
            Told {
                class: class.as_str().to_owned(),
                n: of_it.count(),
                n_right: right.count(),
            }
        };
        let rules = Class::ALL.iter().map(by_rules);
        Ok(Self {
            article: article.to_owned(),
            figures: names(),
            means: learned.means,
            spreads: learned.spreads,
            classes: (classes.iter().zip(told).zip(learned.weights))
                .map(|((class, (n, n_right)), weights)| Taught {
                    n_samples: count(*class),
                    told: Told {
                        class: class.as_str().to_owned(),
                        n,
                        n_right,
                    },
                    weights,
                })
                .collect(),
            rules: rules.filter(|told| told.n > 0).collect(),
        })
    }

    /// The class of a flaw that the rules call `by_rules`: the head's where it is surer.
    pub fn class_of(&self, descriptor: &Descriptor, by_rules: Class) -> Class {
        let weights: Vec<&[f64]> = self.classes.iter().map(|of| &of.weights[..]).collect();
        let told = tell(&figures(descriptor), &self.means, &self.spreads, &weights);
        let Some(taught) = told.and_then(|at| self.classes.get(at)) else {
            return by_rules;
        };
        let rules = self
            .rules
            .iter()
            .find(|told| told.class == by_rules.as_str());
        let is_surer = match rules {
            Some(rules) => taught.told.share() > rules.share() + LEAST_LEAD,
            // The samples do not say how good the rules are at this.
            None => by_rules == Class::Unknown,
        };
        match Class::from_word(&taught.told.class) {
            Some(class) if is_surer => class,
            Some(_) | None => by_rules,
        }
    }

    /// The article whose flaws were the samples.
    pub fn article(&self) -> &str {
        &self.article
    }

    /// The classes that it tells apart.
    pub fn classes(&self) -> &[Taught] {
        &self.classes
    }

    /// How the rules did on the same samples, by what they told.
    pub fn rules(&self) -> &[Told] {
        &self.rules
    }
}

impl Told {
    /// Share that was right, with one right and one wrong thrown in, so that few prove little.
    pub fn share(&self) -> f64 {
        (self.n_right as f64 + 1.0) / (self.n as f64 + 2.0)
    }
}

/// Figures that a head uses: all but those of the model.
fn used() -> impl Iterator<Item = usize> {
    let names = Descriptor::FIGURES;
    (0..N_FIGURES).filter(move |at| names[*at] != "log_score")
}

/// Names of the figures that a head uses.
pub(super) fn names() -> Vec<String> {
    used()
        .map(|at| Descriptor::FIGURES[at].to_owned())
        .collect()
}

fn figures(descriptor: &Descriptor) -> Vec<f64> {
    let figures = descriptor.figures();
    used().map(|at| figures[at]).collect()
}

struct Row {
    figures: Vec<f64>,
    class: usize,
    by_rules: Class,
}

struct Learned {
    means: Vec<f64>,
    spreads: Vec<f64>,
    weights: Vec<Vec<f64>>,
}

impl Learned {
    fn of(rows: &[&Row], n_classes: usize) -> Self {
        let n = rows.len() as f64;
        let n_figures = rows.first().map_or(0, |row| row.figures.len());
        let mean = |at: usize| rows.iter().map(|row| row.figures[at]).sum::<f64>() / n;
        let means: Vec<f64> = (0..n_figures).map(mean).collect();
        let spread = |at: usize| {
            let squares = rows.iter().map(|row| (row.figures[at] - means[at]).powi(2));
            (squares.sum::<f64>() / n).sqrt().max(LEAST_SPREAD)
        };
        let spreads: Vec<f64> = (0..n_figures).map(spread).collect();
        let inputs: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| standardised(&row.figures, &means, &spreads))
            .collect();
        // Every class counts the same, however many samples it has.
        let mut counts = vec![0.0; n_classes];
        rows.iter().for_each(|row| counts[row.class] += 1.0);
        let mut weights = vec![vec![0.0; n_figures + 1]; n_classes];
        let mut before = weights.clone();
        for step in 0..N_STEPS {
            // Nesterov's momentum: the slope is taken a little ahead.
            let momentum = step as f64 / (step as f64 + 3.0);
            let ahead: Vec<Vec<f64>> = (weights.iter().zip(&before))
                .map(|(now, before)| {
                    let each = now.iter().zip(before);
                    each.map(|(now, before)| now + momentum * (now - before))
                        .collect()
                })
                .collect();
            let mut slope: Vec<Vec<f64>> = (ahead.iter())
                .map(|of| {
                    let penalty = of.iter().map(|weight| PENALTY * weight);
                    let mut penalty: Vec<f64> = penalty.collect();
                    penalty[n_figures] = 0.0;
                    penalty
                })
                .collect();
            for (row, input) in rows.iter().zip(&inputs) {
                let slices: Vec<&[f64]> = ahead.iter().map(Vec::as_slice).collect();
                let importance = 1.0 / (counts[row.class] * n_classes as f64);
                for (class, share) in shares(input, &slices).into_iter().enumerate() {
                    let off = importance * (share - f64::from(u8::from(class == row.class)));
                    for (slope, value) in slope[class].iter_mut().zip(input.iter().chain([&1.0])) {
                        *slope += off * value;
                    }
                }
            }
            before = weights;
            weights = (ahead.into_iter().zip(slope))
                .map(|(ahead, slope)| {
                    let each = ahead.into_iter().zip(slope);
                    each.map(|(ahead, slope)| ahead - STEP * slope).collect()
                })
                .collect();
        }
        Self {
            means,
            spreads,
            weights,
        }
    }

    fn tell(&self, figures: &[f64]) -> Option<usize> {
        let weights: Vec<&[f64]> = self.weights.iter().map(Vec::as_slice).collect();
        tell(figures, &self.means, &self.spreads, &weights)
    }
}

/// The class that figures speak for; `None` where that is unsure or they are unlike all samples.
fn tell(figures: &[f64], means: &[f64], spreads: &[f64], weights: &[&[f64]]) -> Option<usize> {
    let input = standardised(figures, means, spreads);
    let distance = input.iter().map(|value| value * value).sum::<f64>() / input.len() as f64;
    if distance.sqrt() > FARTHEST {
        return None;
    }
    let shares = shares(&input, weights).into_iter().enumerate();
    let (class, share) = shares.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (share >= LEAST_SHARE).then_some(class)
}

fn standardised(figures: &[f64], means: &[f64], spreads: &[f64]) -> Vec<f64> {
    let each = figures.iter().zip(means).zip(spreads);
    each.map(|((figure, mean), spread)| ((figure - mean) / spread).clamp(-10.0, 10.0))
        .collect()
}

/// Softmax of the classes' sums.
fn shares(input: &[f64], weights: &[&[f64]]) -> Vec<f64> {
    let sums: Vec<f64> = weights
        .iter()
        .map(|of| {
            let products = of.iter().zip(input.iter().chain([&1.0]));
            products.map(|(weight, value)| weight * value).sum()
        })
        .collect();
    let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = sums.iter().map(|sum| (sum - most).exp()).collect();
    let all: f64 = parts.iter().sum();
    parts.iter().map(|part| part / all).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A flaw that no rule names, of one of two kinds, never twice the same.
    fn flaw(kind: usize, nth: usize) -> Descriptor {
        // The golden ratio spreads them evenly.
        let wander = |by: usize| (((nth * 7 + by) as f64 * 0.618_034) % 1.0 - 0.5) * 0.2;
        Descriptor {
            along_mm: 3.0 + wander(1),
            across_mm: 3.0 + wander(2),
            net: -0.05,
            darkness: if kind == 0 { 0.1 } else { 0.3 } + wander(3) * 0.5,
            dark_texture: if kind == 0 { 1.0 } else { 1.4 } + wander(4),
            ..Descriptor::nothing()
        }
    }

    const KINDS: [Class; 2] = [Class::Shade, Class::Kink];

    /// Samples of both kinds in turn.
    pub(in crate::classes) fn samples(n: usize) -> Vec<(Descriptor, Class)> {
        let kinds = (0..n).map(|nth| nth % 2);
        kinds
            .enumerate()
            .map(|(nth, kind)| (flaw(kind, nth), KINDS[kind]))
            .collect()
    }

    #[test]
    fn what_samples_show_is_told_of_flaws_that_were_no_samples() {
        let head = Head::taught("a", &samples(20)).unwrap();
        for (kind, class) in KINDS.into_iter().enumerate() {
            for nth in 100..120 {
                let flaw = flaw(kind, nth);
                assert_eq!(class_of(&flaw).0, Class::Unknown);
                assert_eq!(head.class_of(&flaw, Class::Unknown), class);
            }
        }
        let told: Vec<usize> = head
            .classes()
            .iter()
            .map(|taught| taught.told.n_right)
            .collect();
        assert_eq!(told, [10, 10]);
    }

    #[test]
    fn too_few_samples_are_refused_with_how_many_each_class_has() {
        let refused = Head::taught("a", &samples(9)).unwrap_err().to_string();
        let [one, other] = KINDS;
        for said in [
            format!("found 1 class with at least {FEWEST_SAMPLES} samples"),
            format!("{one} 5"),
            format!("{other} 4"),
            format!("expected at least {FEWEST_CLASSES}"),
        ] {
            assert!(refused.contains(&said), "{said:?} in {refused:?}");
        }
        let none = Head::taught("a", &[]).unwrap_err().to_string();
        assert!(none.contains("no sample of any"), "{none}");
    }

    #[test]
    fn too_few_samples_teach_nothing() {
        let refused = |samples: &[(Descriptor, Class)]| Head::taught("a", samples).unwrap_err();
        assert_eq!(refused(&[]).found, 0);
        assert_eq!(refused(&samples(8)).found, 0);
        assert_eq!(refused(&samples(9)).found, 1);
        assert!(Head::taught("a", &samples(10)).is_ok());
    }

    #[test]
    fn where_the_rules_were_right_the_head_is_not_asked() {
        let rightly: Vec<_> = (0..20)
            .map(|nth| {
                let flaw = flaw(nth % 2, nth);
                let class = if nth % 2 == 0 {
                    Class::Unknown
                } else {
                    Class::Kink
                };
                (flaw, class)
            })
            .chain(samples(20))
            .collect();
        let mut head = Head::taught("a", &rightly).unwrap();
        head.rules = vec![Told {
            class: "nep".to_owned(),
            n: 20,
            n_right: 19,
        }];
        assert_eq!(head.class_of(&flaw(0, 3), Class::Nep), Class::Nep);
        // Of a class that no sample was called, the samples do not say how good the rules are.
        assert_eq!(head.class_of(&flaw(0, 3), Class::Hole), Class::Hole);
        head.rules[0].n_right = 1;
        assert_ne!(head.class_of(&flaw(0, 3), Class::Nep), Class::Nep);
    }

    #[test]
    fn a_flaw_unlike_all_samples_is_left_to_the_rules() {
        let head = Head::taught("a", &samples(20)).unwrap();
        let strange = Descriptor {
            along_mm: 2000.0,
            across_mm: 900.0,
            brightest: 2.0,
            ..flaw(0, 1)
        };
        assert_eq!(head.class_of(&strange, Class::Unknown), Class::Unknown);
    }

    #[test]
    fn the_same_samples_give_the_same_head() {
        assert_eq!(
            Head::taught("a", &samples(24)),
            Head::taught("a", &samples(24))
        );
    }
}
