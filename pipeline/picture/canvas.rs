//! Filled, outlined and hatched shapes on an RGB picture.
//!
//! Coordinates are pixels from the top left and may lie anywhere: what is outside is not drawn.
//! It knows neither cloth nor text.

use image::{Rgb, RgbImage};

/// The page.
pub(super) const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

/// A rectangle of pixels; half-open, empty when a side is not positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PxRect {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
}

impl PxRect {
    pub(super) fn new(x: i64, y: i64, width: i64, height: i64) -> PxRect {
        PxRect {
            x,
            y,
            width,
            height,
        }
    }

    /// From one corner to the other.
    pub(super) fn between(from: (i64, i64), to: (i64, i64)) -> PxRect {
        PxRect::new(from.0, from.1, to.0 - from.0, to.1 - from.1)
    }

    /// The same with `px` more on every side.
    pub(super) fn grown(self, px: i64) -> PxRect {
        PxRect::new(
            self.x - px,
            self.y - px,
            self.width + 2 * px,
            self.height + 2 * px,
        )
    }

    pub(super) fn right(self) -> i64 {
        self.x + self.width
    }

    pub(super) fn bottom(self) -> i64 {
        self.y + self.height
    }
}

/// The picture while it is drawn.
pub(super) struct Canvas {
    image: RgbImage,
}

impl Canvas {
    /// A white one. The sides come from layout constants and stay far below 8192.
    pub(super) fn new(width_px: i64, height_px: i64) -> Canvas {
        let side = |px: i64| u32::try_from(px.clamp(1, 8192)).unwrap_or(1);
        Canvas {
            image: RgbImage::from_pixel(side(width_px), side(height_px), WHITE),
        }
    }

    pub(super) fn into_image(self) -> RgbImage {
        self.image
    }

    pub(super) fn fill(&mut self, rect: PxRect, color: Rgb<u8>) {
        self.paint(rect, |_, _| Some(color));
    }

    /// Asks `color_at` for each pixel of `rect`; none leaves the pixel as it is.
    pub(super) fn paint(&mut self, rect: PxRect, color_at: impl Fn(i64, i64) -> Option<Rgb<u8>>) {
        let (width, height) = self.image.dimensions();
        for y in rect.y.max(0)..rect.bottom().min(i64::from(height)) {
            for x in rect.x.max(0)..rect.right().min(i64::from(width)) {
                if let Some(color) = color_at(x, y) {
                    self.image.put_pixel(x as u32, y as u32, color);
                }
            }
        }
    }

    /// A frame just inside `rect`.
    pub(super) fn outline(&mut self, rect: PxRect, thick_px: i64, color: Rgb<u8>) {
        let thick_px = thick_px.min(rect.width).min(rect.height);
        let PxRect {
            x,
            y,
            width,
            height,
        } = rect;
        self.fill(PxRect::new(x, y, width, thick_px), color);
        self.fill(
            PxRect::new(x, rect.bottom() - thick_px, width, thick_px),
            color,
        );
        self.fill(PxRect::new(x, y, thick_px, height), color);
        self.fill(
            PxRect::new(rect.right() - thick_px, y, thick_px, height),
            color,
        );
    }

    /// A filled rectangle with smooth round corners.
    pub(super) fn rounded(&mut self, rect: PxRect, radius_px: i64, color: Rgb<u8>) {
        for y in rect.y..rect.bottom() {
            for x in rect.x..rect.right() {
                let outside = |at: i64, from: i64, to: i64| {
                    (from + radius_px - at)
                        .max(at + 1 - (to - radius_px))
                        .max(0) as f64
                };
                let dx = outside(x, rect.x, rect.right());
                let dy = outside(y, rect.y, rect.bottom());
                let shade = radius_px as f64 + 0.5 - dx.hypot(dy);
                self.blend(x, y, color, if radius_px == 0 { 1.0 } else { shade });
            }
        }
    }

    /// A line one pixel wide.
    pub(super) fn line(&mut self, from: (i64, i64), to: (i64, i64), color: Rgb<u8>) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let n_steps = dx.abs().max(dy.abs()).max(1);
        for step in 0..=n_steps {
            let at = |start: i64, way: i64| start + (way * step + n_steps / 2).div_euclid(n_steps);
            self.blend(at(from.0, dx), at(from.1, dy), color, 1.0);
        }
    }

    /// Lays `color` over a pixel; `opacity` from 0 to 1.
    pub(super) fn blend(&mut self, x: i64, y: i64, color: Rgb<u8>, opacity: f64) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
            return;
        };
        if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
            *pixel = mixed(*pixel, color, opacity.clamp(0.0, 1.0));
        }
    }

    pub(super) fn paste(&mut self, picture: &RgbImage, x: i64, y: i64) {
        image::imageops::replace(&mut self.image, picture, x, y);
    }
}

/// `share` of `over`, the rest of `under`.
pub(super) fn mixed(under: Rgb<u8>, over: Rgb<u8>, share: f64) -> Rgb<u8> {
    let channel = |i: usize| {
        (f64::from(under.0[i]) * (1.0 - share) + f64::from(over.0[i]) * share).round() as u8
    };
    Rgb([channel(0), channel(1), channel(2)])
}
