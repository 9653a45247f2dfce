//! Ticks from an encoder that a camera reads: its value when a frame's first line was exposed.
//!
//! Ticks begin at 0 with the first frame. While a camera is gone nobody counts; when it is back
//! its encoder says how far the cloth ran, unless the camera was without power and counts anew.
//! Then that cannot be told, and is told so. A camera that sees cloth run back gives values that
//! fall; such a frame lies behind, and whoever captures it says so.

/// A camera's encoder.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Its value where ticks are 0.
    origin: Option<i64>,
}

/// Where a frame lies by its encoder, and what lies before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// From here on; whatever lies between passed unseen.
    At(i64),
    /// The encoder was set back while the camera was gone: how much cloth passed is unknown, and
    /// the frame follows at once.
    Unknown,
}

impl Encoder {
    /// Where a frame with the encoder at `value` begins, when all up to `next_tick` is accounted
    /// for; `was_gone` where the camera was in between.
    pub(crate) fn tick(&mut self, value: i64, next_tick: i64, was_gone: bool) -> Tick {
        let origin = *self.origin.get_or_insert(value.wrapping_sub(next_tick));
        let tick = value.wrapping_sub(origin);
        if was_gone && tick < next_tick {
            self.origin = Some(value.wrapping_sub(next_tick));
            return Tick::Unknown;
        }
        Tick::At(tick)
    }

    /// From its last value on everything lies so many ticks further.
    pub(crate) fn put_off(&mut self, n_ticks: i64) {
        self.origin = self.origin.map(|origin| origin.wrapping_sub(n_ticks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_begin_at_zero_and_follow_the_encoder() {
        let mut encoder = Encoder::default();
        assert_eq!(encoder.tick(1_000, 0, false), Tick::At(0));
        assert_eq!(encoder.tick(1_400, 400, false), Tick::At(400));
        assert_eq!(encoder.tick(2_000, 800, false), Tick::At(1_000));
        // Cloth that ran back lies behind.
        assert_eq!(encoder.tick(1_900, 1_400, false), Tick::At(900));
    }

    #[test]
    fn an_encoder_that_counts_anew_does_not_know_what_passed() {
        let mut encoder = Encoder::default();
        assert_eq!(encoder.tick(50, 0, false), Tick::At(0));
        assert_eq!(encoder.tick(900, 100, true), Tick::At(850));
        assert_eq!(encoder.tick(3, 950, true), Tick::Unknown);
        assert_eq!(encoder.tick(103, 1_050, false), Tick::At(1_050));
        encoder.put_off(5);
        assert_eq!(encoder.tick(203, 1_155, false), Tick::At(1_155));
    }
}
