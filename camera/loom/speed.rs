//! How the web runs under the camera: which encoder ticks each exposed line covers.
//!
//! With an encoder that triggers every line, a line of the camera is a line of cloth. Without
//! one the camera exposes steadily and the web does as it likes; the ticks then tell what cloth a
//! line covers. A place follows from the line's number alone, whatever frame it falls into.

use std::ops::Range;

use super::LoomSettings;

/// The course of one web.
#[derive(Clone, Debug)]
pub(super) struct Course {
    ticks_per_line: i64,
    /// From an exposed line on: lines of cloth passed before it, speed there, and what each
    /// further line adds to the speed.
    legs: Vec<Leg>,
}

#[derive(Clone, Copy, Debug)]
struct Leg {
    line: f64,
    passed: f64,
    speed: f64,
    gain: f64,
}

impl Course {
    pub(super) fn new(settings: &LoomSettings) -> Self {
        let mut legs: Vec<Leg> = Vec::new();
        let steps = &settings.speed;
        if let Some(first) = steps.first().filter(|first| first.line > 0) {
            legs.push(Leg {
                line: 0.0,
                passed: 0.0,
                speed: first.speed,
                gain: 0.0,
            });
        }
        for (nth, step) in steps.iter().enumerate() {
            let line = step.line as f64;
            let next = steps.get(nth + 1);
            let gain = next.map_or(0.0, |next| {
                (next.speed - step.speed) / (next.line - step.line) as f64
            });
            legs.push(Leg {
                line,
                passed: legs.last().map_or(0.0, |leg| leg.passed_at(line)),
                speed: step.speed,
                gain,
            });
        }
        Self {
            ticks_per_line: i64::from(settings.ticks_per_line),
            legs,
        }
    }

    /// Ticks of a line of cloth.
    pub(super) fn ticks_per_line(&self) -> i64 {
        self.ticks_per_line
    }

    /// The first tick of an exposed line.
    pub(super) fn tick(&self, line: i64) -> i64 {
        let at = line as f64;
        let after = self.legs.partition_point(|leg| leg.line <= at);
        match self.legs.get(after.saturating_sub(1)) {
            None => line.saturating_mul(self.ticks_per_line),
            Some(leg) => (leg.passed_at(at) * self.ticks_per_line as f64).round() as i64,
        }
    }

    /// The ticks that are seen on an exposed line: at least one, even where the web all but stands.
    pub(super) fn seen(&self, line: i64) -> Range<i64> {
        let start = self.tick(line);
        start..self.tick(line + 1).max(start + 1)
    }

    /// The lines of cloth that these ticks touch.
    pub(super) fn cloth_lines(&self, ticks: &Range<i64>) -> Range<i64> {
        let first = ticks.start.div_euclid(self.ticks_per_line);
        let last = (ticks.end - 1).div_euclid(self.ticks_per_line);
        first..last + 1
    }
}

impl Leg {
    fn passed_at(self, line: f64) -> f64 {
        let on = line - self.line;
        self.passed + on * (self.speed + 0.5 * self.gain * on)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpeedStep;
    use super::*;

    fn course(steps: &[(u64, f64)], ticks_per_line: u32) -> Course {
        let step = |&(line, speed): &(u64, f64)| SpeedStep { line, speed };
        Course::new(&LoomSettings {
            speed: steps.iter().map(step).collect(),
            ticks_per_line,
            ..LoomSettings::new(1)
        })
    }

    #[test]
    fn a_triggered_line_is_a_line_of_cloth() {
        let course = course(&[], 4);
        assert_eq!(course.seen(3), 12..16);
        assert_eq!(course.cloth_lines(&(12..16)), 3..4);
    }

    #[test]
    fn ticks_follow_the_speed_and_no_tick_is_left_out() {
        let course = course(&[(100, 1.0), (200, 3.0), (300, 0.5)], 10);
        assert_eq!(course.tick(100), 1000);
        assert_eq!(course.tick(200), 1000 + 2000);
        assert_eq!(course.tick(300), 3000 + 1750);
        assert_eq!(course.tick(400), 4750 + 500);
        for line in 0..500 {
            assert_eq!(course.seen(line).end, course.seen(line + 1).start);
        }
    }

    #[test]
    fn a_crawling_web_is_still_seen() {
        let course = course(&[(0, 0.1)], 1);
        assert!((0..100).all(|line| course.seen(line).end - course.seen(line).start == 1));
    }
}
