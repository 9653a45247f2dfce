//! A source whose columns are made equally bright, as the station's profile says.
//!
//! ```text
//! source ─▶ EvenLight ─▶ everything else: teaching, inspecting, measuring movement
//! ```
//!
//! It stands before all else, so that teaching and inspecting cannot differ in it. Ticks, numbers
//! and exposures without pixels pass as they are. A frame that cannot be corrected is lost, with the
//! reason: half corrected cloth would look like flaws.

use std::sync::Arc;

use anyhow::ensure;
use calibration::ColumnLight;
use camera::{CameraError, Captured, Description, Lost, LostReason, Pool, Source};

/// A source in calibrated light.
pub struct EvenLight {
    inner: Box<dyn Source>,
    light: ColumnLight,
}

impl EvenLight {
    /// `inner` in the light that was measured of its camera.
    ///
    /// # Errors
    /// When its frames are not as wide as those that were measured.
    pub fn new(inner: Box<dyn Source>, light: ColumnLight) -> anyhow::Result<Self> {
        let description = inner.description();
        ensure!(
            description.shape.width == light.width(),
            "found frames of {} px in {}, expected {} as their light was calibrated: calibrate it again",
            description.shape.width,
            description.name,
            light.width()
        );
        Ok(Self { inner, light })
    }
}

impl Source for EvenLight {
    fn description(&self) -> &Description {
        self.inner.description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let captured = self.inner.next(pool)?;
        let Some(Captured::Frame(mut frame)) = captured else {
            return Ok(captured);
        };
        Ok(Some(match self.light.correct(&mut frame) {
            Ok(()) => Captured::Frame(frame),
            Err(error) => Captured::Lost(Lost {
                camera: frame.camera,
                sequence: frame.sequence,
                ticks: frame.ticks.clone(),
                reason: LostReason::Unreadable,
                detail: error.to_string(),
                origin: frame.origin.as_ref().map(Arc::clone),
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LooseImages;

    fn light() -> ColumnLight {
        let text = r#"{"offset":[10,0,0,0],"gain":[2,1,1,0.5],"dead":[1]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn frames_are_corrected_and_one_of_another_width_is_lost_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        for (name, width) in [("1.png", 4), ("2.png", 3)] {
            let picture = image::GrayImage::from_pixel(width, 2, image::Luma([60]));
            picture.save(folder.path().join(name)).unwrap();
        }
        let images = LooseImages::open(folder.path(), 0).unwrap();
        let mut source = EvenLight::new(Box::new(images), light()).unwrap();
        let pool = Pool::new(1, 16);
        let Some(Captured::Frame(frame)) = source.next(&pool).unwrap() else {
            panic!("the first image is as wide as calibrated");
        };
        assert_eq!(frame.bytes(), [100, 80, 60, 30, 100, 80, 60, 30]);
        let Some(Captured::Lost(lost)) = source.next(&pool).unwrap() else {
            panic!("the second image is narrower than calibrated");
        };
        assert_eq!((lost.sequence, lost.ticks), (1, 2..4));
        assert!(
            lost.detail.contains("3 px wide, expected 4"),
            "{}",
            lost.detail
        );
        assert!(source.next(&pool).unwrap().is_none());
    }

    #[test]
    fn a_source_of_another_width_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        image::GrayImage::new(5, 2)
            .save(folder.path().join("1.png"))
            .unwrap();
        let images = LooseImages::open(folder.path(), 0).unwrap();
        let error = EvenLight::new(Box::new(images), light()).err().unwrap();
        assert!(
            error.to_string().contains("found frames of 5 px"),
            "{error}"
        );
    }
}
