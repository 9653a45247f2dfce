//! Text in the embedded bitmap font, for any text whatever.
//!
//! Roll numbers and classes come from outside: what the font lacks is drawn as `?`, what is too
//! long is cut, control characters become blanks. It does not lay out; every call is one line.

use image::Rgb;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::canvas::Canvas;

/// What a text is for, and so how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// Ticks and captions.
    Small,
    /// Numbers and classes of flaws.
    SmallBold,
    /// Sentences.
    Body,
    /// Headings of parts, values of facts.
    Heading,
    /// The page's heading.
    Title,
}

/// Drawn in place of what does not fit.
const CUT_MARK: &str = "..";

impl Face {
    fn raster(self) -> (FontWeight, RasterHeight) {
        match self {
            Face::Small => (FontWeight::Regular, RasterHeight::Size16),
            Face::SmallBold => (FontWeight::Bold, RasterHeight::Size16),
            Face::Body => (FontWeight::Regular, RasterHeight::Size20),
            Face::Heading => (FontWeight::Bold, RasterHeight::Size20),
            Face::Title => (FontWeight::Bold, RasterHeight::Size32),
        }
    }

    /// Height of a line without leading, pixels.
    pub(super) fn height_px(self) -> i64 {
        self.raster().1.val() as i64
    }

    /// Width of any one character, pixels.
    pub(super) fn char_px(self) -> i64 {
        let (weight, height) = self.raster();
        get_raster_width(weight, height) as i64
    }
}

/// How wide `text` will be, pixels.
pub(super) fn width_px(text: &str, face: Face) -> i64 {
    text.chars().count() as i64 * face.char_px()
}

/// `text`, cut so that it is at most `room_px` wide.
pub(super) fn fitted(text: &str, face: Face, room_px: i64) -> String {
    let n_room = usize::try_from(room_px / face.char_px()).unwrap_or(0);
    if text.chars().nth(n_room).is_none() {
        return text.to_owned();
    }
    let n_kept = n_room.saturating_sub(CUT_MARK.len());
    let kept: String = text.chars().take(n_kept).collect();
    format!("{}{CUT_MARK}", kept.trim_end())
}

/// `text` in lines of at most `room_px`, broken between words; at most `most` of them, and what does not
/// fit is cut.
pub(super) fn wrapped(text: &str, face: Face, room_px: i64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let n_lines = lines.len();
        match lines.last_mut() {
            Some(line)
                if n_lines == most || width_px(&format!("{line} {word}"), face) <= room_px =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let cut = lines.iter().map(|line| fitted(line, face, room_px));
    cut.collect()
}

/// Draws one line with its top left corner at `x`, `y`.
pub(super) fn draw(canvas: &mut Canvas, x: i64, y: i64, text: &str, face: Face, color: Rgb<u8>) {
    let (weight, height) = face.raster();
    let mut left = x;
    for c in text.chars() {
        let shown = if c.is_control() { ' ' } else { c };
        let glyph = get_raster(shown, weight, height).or_else(|| get_raster('?', weight, height));
        let rows = glyph.iter().flat_map(|glyph| glyph.rows()).zip(y..);
        for (row, row_y) in rows {
            for (&ink, pixel_x) in row.iter().zip(left..) {
                if ink > 0 {
                    canvas.blend(pixel_x, row_y, color, f64::from(ink) / 255.0);
                }
            }
        }
        left += face.char_px();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_to_its_room() {
        for room_px in [-5, 0, 1, 40, 200] {
            let cut = fitted(&"ß".repeat(500), Face::Body, room_px);
            assert!(width_px(&cut, Face::Body) <= room_px.max(2 * Face::Body.char_px()));
        }
        assert_eq!(fitted("roll 4711", Face::Body, 500), "roll 4711");
    }

    #[test]
    fn a_sentence_is_broken_between_words_and_ends_with_its_room() {
        let room = 10 * Face::Small.char_px();
        let wrapped = |text: &str, most| wrapped(text, Face::Small, room, most).join("|");
        assert_eq!(wrapped("removed on a day", 3), "removed on|a day");
        assert_eq!(wrapped("one two three four five", 2), "one two|three fo..");
        assert_eq!(wrapped("incomprehensible", 2), "incompre..");
        assert_eq!(wrapped(" ", 2), "");
    }

    #[test]
    fn what_the_font_lacks_is_a_question_mark() {
        let drawn = |text: &str| {
            let mut canvas = Canvas::new(100, 40);
            draw(&mut canvas, 0, 0, text, Face::Title, Rgb([0, 0, 0]));
            canvas.into_image()
        };
        assert_eq!(drawn("布🧵"), drawn("??"));
        assert_eq!(drawn("a\u{7}b"), drawn("a b"));
        assert_ne!(drawn("Ö×²·ł"), drawn("?????"));
    }
}
