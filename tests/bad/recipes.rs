//! How each file in this folder was made.
//!
//! `SELVEDGE_REFRESH=1 cargo test --test main bad` writes them anew. A recipe need not give the
//! committed bytes to the last one for ever (encoders change); what a file must be is said by the
//! case that uses it.

use std::io::Cursor;

use image::{ExtendedColorType, ImageEncoder, Rgb, Rgb32FImage};

use crate::pictures::images;
use crate::texture::{bare_model, model_bytes, small_passport};

/// Width of the good frames among which bad ones lie.
pub(crate) const GOOD_WIDTH: u32 = 96;
/// Their height.
pub(crate) const GOOD_HEIGHT: u32 = 24;

/// A file's name and what makes its bytes.
pub(crate) type Recipe = (&'static str, fn() -> Vec<u8>);

pub(crate) const RECIPES: [Recipe; 25] = [
    ("truncated.png", || half(good_png())),
    ("truncated.jpg", || half(jpeg())),
    ("text.png", || {
        b"This is a letter, not a picture.\n".to_vec()
    }),
    ("empty.png", Vec::new),
    ("wider.png", || grey_png(GOOD_WIDTH + 8, GOOD_HEIGHT)),
    ("colour.png", colour_png),
    ("absurd.png", absurd_png),
    ("float.tiff", float_tiff),
    ("station_unknown_key.toml", || {
        lane("mm_per_px = 0.2\nspeed = 3\n")
    }),
    ("station_newer_profile.toml", || {
        b"profile = \"newer.profile\"\n[[lane]]\n".to_vec()
    }),
    ("newer.profile", || {
        br#"{"format":1000,"seal":"of another kind","body":[]}"#.to_vec()
    }),
    ("station_wrong_range.toml", || lane("mm_per_px = 40.0\n")),
    ("station_wrong_type.toml", || lane("mm_per_px = \"fine\"\n")),
    ("station_lanes_on_each_other.toml", || {
        [lane("mm_per_px = 0.2\n"), lane("mm_per_px = 0.2\n")].concat()
    }),
    ("station_not_toml.toml", || {
        b"lane: [mm_per_px: 0.2]\n".to_vec()
    }),
    ("no_passport.onnx", || bare_model(&[])),
    ("truncated.onnx", || {
        half(model_bytes(&small_passport("denim")))
    }),
    ("text.onnx", || b"A network would be here.\n".to_vec()),
    ("other_article.onnx", || {
        model_bytes(&small_passport("denim"))
    }),
    ("later_passport.onnx", later_passport),
    ("no_golden_tile.onnx", no_golden_tile),
    ("newer.db", newer_store),
    ("text.db", || b"This is a letter, not a store.\n".repeat(30)),
    ("foreign.db", || database("CREATE TABLE orders (n INTEGER)")),
    ("mask_wrong_size.png", || {
        grey_png(GOOD_WIDTH, GOOD_HEIGHT / 2)
    }),
];

fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 2);
    bytes
}

fn lane(keys: &str) -> Vec<u8> {
    format!("[[lane]]\n{keys}").into_bytes()
}

/// A frame of simulated cloth.
fn good_png() -> Vec<u8> {
    let image = images(super::good_frames(1)).remove(0);
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

fn jpeg() -> Vec<u8> {
    let image = images(super::good_frames(1)).remove(0);
    let mut jpeg = Cursor::new(Vec::new());
    image.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    jpeg.into_inner()
}

fn grey_png(width: u32, height: u32) -> Vec<u8> {
    let image =
        image::GrayImage::from_fn(width, height, |x, y| image::Luma([(x * 7 + y * 13) as u8]));
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

fn colour_png() -> Vec<u8> {
    let image = image::RgbImage::from_pixel(GOOD_WIDTH, GOOD_HEIGHT, Rgb([120, 60, 30]));
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

/// A whole png header that says 2,000,000,000 by 2,000,000,000 pixels.
fn absurd_png() -> Vec<u8> {
    let mut png = grey_png(8, 8);
    // Signature 8, length 4, "IHDR" 4, width 4, height 4, five bytes, then the checksum.
    png[16..20].copy_from_slice(&2_000_000_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&2_000_000_000_u32.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

/// The checksum of png chunks.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

fn float_tiff() -> Vec<u8> {
    let image = Rgb32FImage::from_pixel(12, 12, Rgb([0.5, 0.5, 0.5]));
    let bytes: Vec<u8> = image
        .as_raw()
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    let mut tiff = Cursor::new(Vec::new());
    image::codecs::tiff::TiffEncoder::new(&mut tiff)
        .write_image(&bytes, 12, 12, ExtendedColorType::Rgb32F)
        .unwrap();
    tiff.into_inner()
}

fn later_passport() -> Vec<u8> {
    let mut passport = small_passport("plain");
    passport.format += 1;
    model_bytes(&passport)
}

fn no_golden_tile() -> Vec<u8> {
    let passport = serde_json::to_string(&small_passport("plain")).unwrap();
    bare_model(&[("selvedge.passport", &passport)])
}

/// A store as a program far in the future leaves it.
fn newer_store() -> Vec<u8> {
    database(
        "CREATE TABLE selvedge_schema (version INTEGER, migrated_at INTEGER);
         INSERT INTO selvedge_schema VALUES (1000, 0)",
    )
}

fn database(sql: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    // The smallest page, for a small file.
    connection.pragma_update(None, "page_size", 512).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    std::fs::read(path).unwrap()
}
