//! A stretch of other cloth, too short to be called another article: a gap, not a flood of flaws.

use std::sync::atomic::AtomicBool;

use camera::{CameraError, Captured, Description, LoomSettings, Pool, Source, Weave};

use crate::texture::{TextureArticle, good_cloth, loom, station};
use crate::told::inspected;

/// One loom's frames, some of them replaced by another's.
pub(super) struct Spliced {
    pub(super) usual: Box<dyn Source>,
    pub(super) other: Box<dyn Source>,
    pub(super) replaced: std::ops::Range<u64>,
}

impl Source for Spliced {
    fn description(&self) -> &Description {
        self.usual.description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let usual = self.usual.next(pool)?;
        let other = self.other.next(pool)?;
        Ok(match usual {
            Some(frame) if self.replaced.contains(&frame.sequence()) => other,
            usual => usual,
        })
    }
}

#[test]
fn a_piece_of_other_cloth_is_a_gap_and_not_a_flood() {
    let taught = TextureArticle::taught();
    let other = LoomSettings {
        weave: Weave::Twill31,
        warp_pitch_px: 11.0,
        weft_pitch_px: 13.0,
        ..good_cloth(9)
    };
    let source = Spliced {
        usual: loom(good_cloth(4)),
        other: loom(other),
        replaced: 4..6,
    };
    let told = inspected(
        &taught.article,
        &station(),
        taught.scorers(2),
        Box::new(source),
        &AtomicBool::new(false),
    );
    told.assert_adds_up();
    let gaps = told.gaps();
    assert!(!gaps.is_empty());
    // Two frames of 128 lines at 0.2 mm, from the fifth on.
    for (along, _, reason) in &gaps {
        assert_eq!(*reason, "too_many_flaws");
        assert!(102_400 <= along[0] && along[1] <= 153_600, "{gaps:?}");
    }
    let n_floods = told
        .events
        .iter()
        .filter(|event| event.0 == "too_many_flaws")
        .count();
    assert_eq!(n_floods, 2, "{:?}", told.events);
    assert!(told.flaws.len() < 10, "{:?}", told.boxes());
}
