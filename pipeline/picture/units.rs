//! Lengths, areas, shares and scores as a person reads them.
//!
//! A share is rounded down and a small area gets a small unit: something never reads as nothing,
//! and nearly everything never reads as everything.

const UM_PER_M: f64 = 1e6;
const UM_PER_MM: f64 = 1e3;

/// `1.200 m`, `1000.00 m`.
pub(super) fn metres(um: i64) -> String {
    let metres = um as f64 / UM_PER_M;
    if metres.abs() < 10.0 {
        format!("{metres:.3} m")
    } else {
        format!("{metres:.2} m")
    }
}

/// `12.3 mm`, `1800 mm`.
pub(super) fn millimetres(um: i64) -> String {
    format!("{} mm", bare_millimetres(um))
}

/// `12.3`, `1800`.
pub(super) fn bare_millimetres(um: i64) -> String {
    let mm = um as f64 / UM_PER_MM;
    if mm.abs() < 100.0 {
        format!("{mm:.1}")
    } else {
        format!("{mm:.0}")
    }
}

/// `1.80 m²`, `12.5 cm²`, `0.04 mm²`.
pub(super) fn area(um2: i128) -> String {
    let mm2 = um2 as f64 / (UM_PER_MM * UM_PER_MM);
    match mm2.abs() {
        0.0 => "0 m²".to_owned(),
        size if size < 1e2 => format!("{mm2:.2} mm²"),
        size if size < 1e5 => format!("{:.1} cm²", mm2 / 1e2),
        size if size < 1e9 => format!("{:.2} m²", mm2 / 1e6),
        _ => format!("{:.0} m²", mm2 / 1e6),
    }
}

/// `99.98 %` of `whole`, rounded down; none when there is no whole.
pub(super) fn share(part: i128, whole: i128) -> Option<String> {
    let hundredths = part
        .clamp(0, whole.max(0))
        .checked_mul(10_000)?
        .checked_div(whole)?;
    Some(match hundredths {
        10_000 => "100 %".to_owned(),
        _ => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
    })
}

/// `1.83`, `2.5e9`.
pub(super) fn score(score: f64) -> String {
    if score.abs() < 1e5 {
        format!("{score:.2}")
    } else {
        format!("{score:.1e}")
    }
}

/// Marks at round positions between `from_um` and `to_um` that are at least `least_um` apart:
/// where, and what is written there.
pub(super) fn ticks(from_um: f64, to_um: f64, least_um: f64, unit: TickUnit) -> Vec<(f64, String)> {
    /// More would not be readable; only positions beyond what `f64` resolves ask for more.
    const N_MOST: usize = 64;
    let step = round_up(least_um.max(1.0));
    let first = (from_um / step).ceil();
    (0..N_MOST)
        .map(|i| (first + i as f64) * step)
        .take_while(|um| *um <= to_um)
        .map(|um| (um, unit.label(um, step)))
        .collect()
}

/// The unit of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TickUnit {
    Metre,
    Millimetre,
}

impl TickUnit {
    fn label(self, um: f64, step_um: f64) -> String {
        let (per_unit, name) = match self {
            TickUnit::Metre => (UM_PER_M, "m"),
            TickUnit::Millimetre => (UM_PER_MM, "mm"),
        };
        let decimals = (per_unit / step_um).log10().ceil().clamp(0.0, 6.0) as usize;
        format!("{:.decimals$} {name}", um / per_unit)
    }
}

/// The next of 1, 2, 5, 10, 20, 50 .. that is not below `um`.
fn round_up(um: f64) -> f64 {
    next_of(&[1.0, 2.0, 5.0, 10.0], um)
}

/// A row's length that people can add up in their heads, not below `um`.
pub(super) fn round_row(um: f64) -> f64 {
    next_of(
        &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0],
        um,
    )
}

fn next_of(mantissas: &[f64], value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    mantissas
        .iter()
        .map(|mantissa| mantissa * power)
        .find(|candidate| *candidate >= value)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_all_is_never_written_as_all() {
        assert_eq!(share(999_999, 1_000_000).unwrap(), "99.99 %");
        assert_eq!(share(1_000_000, 1_000_000).unwrap(), "100 %");
        assert_eq!(share(0, 0), None);
    }

    #[test]
    fn a_small_area_is_never_written_as_none() {
        assert_eq!(area(0), "0 m²");
        assert_eq!(area(10_000), "0.01 mm²");
        assert_eq!(area(1_250_000_000), "12.5 cm²");
        assert_eq!(area(1_800_000_000_000), "1.80 m²");
    }

    #[test]
    fn ticks_stand_at_round_positions() {
        let labels = |from, to, least, unit| {
            let ticks = ticks(from, to, least, unit);
            ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>()
        };
        assert_eq!(
            labels(0.0, 1.2e6, 0.3e6, TickUnit::Metre),
            ["0.0 m", "0.5 m", "1.0 m"]
        );
        assert_eq!(labels(1.0, 1.8e6, 0.6e6, TickUnit::Millimetre), ["1000 mm"]);
        assert!(labels(-9e18, 9e18, 0.0, TickUnit::Metre).len() <= 64);
    }
}
