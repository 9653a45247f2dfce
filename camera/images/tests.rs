//! Folders of images, good and bad, written at test time.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma,
    LumaA, Rgb, Rgba,
};
use tempfile::TempDir;

use super::*;
use crate::{Channels, Depth};

const FORMATS: [(&str, ImageFormat); 5] = [
    ("png", ImageFormat::Png),
    ("jpg", ImageFormat::Jpeg),
    ("tif", ImageFormat::Tiff),
    ("bmp", ImageFormat::Bmp),
    ("webp", ImageFormat::WebP),
];

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        fs::write(self.path().join(name), bytes).unwrap();
        self
    }

    fn grey(self, name: &str, width: u32, height: u32) -> Self {
        self.file(name, &encoded(&grey(width, height), ImageFormat::Png))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// One line per exposure: ticks, then `ok` or what was lost.
    fn exposures(&self) -> Vec<String> {
        let mut source = ImageFolder::open(self.path(), 3).unwrap();
        let pool = Pool::new(1, source.description().shape.n_bytes());
        let mut lines = Vec::new();
        while let Some(captured) = source.next(&pool).unwrap() {
            assert_eq!(captured.sequence(), lines.len() as u64);
            assert_eq!(captured.camera(), 3);
            let ticks = captured.ticks();
            lines.push(match captured {
                Captured::Frame(_) => format!("{}..{} ok", ticks.start, ticks.end),
                Captured::Lost(lost) => format!("{}..{} {}", ticks.start, ticks.end, lost.detail),
            });
        }
        assert_eq!(source.description().n_frames, Some(lines.len() as u64));
        lines
    }
}

fn grey(width: u32, height: u32) -> DynamicImage {
    GrayImage::from_fn(width, height, |x, y| Luma([(x * 5 + y * 3) as u8])).into()
}

fn colour(width: u32, height: u32) -> DynamicImage {
    ImageBuffer::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 200_u8])).into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Loads what was encoded, and checks its kind and samples (`f32` rows of grey).
fn check(name: &str, bytes: &[u8], channels: Channels, depth: Depth, expected: &[[f32; 2]]) {
    let folder = Folder::new().file(name, bytes);
    let frame = load_image(&folder.path().join(name)).unwrap();
    assert_eq!(
        (frame.shape().channels, frame.shape().depth),
        (channels, depth),
        "{name}"
    );
    assert_eq!(frame.height() as usize, expected.len());
    for (row, expected) in expected.iter().enumerate() {
        let mut found = [0.0; 2];
        frame.grey_row_into(row as u32, &mut found);
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 0.5,
                "{name} row {row}: {found} for {expected}"
            );
        }
    }
}

#[test]
fn every_format_gives_its_grey_samples() {
    let image = grey(37, 11);
    for (extension, format) in FORMATS {
        // These store grey as colour, or as a palette.
        let as_colour = format == ImageFormat::WebP;
        let image = if as_colour {
            image.to_rgb8().into()
        } else {
            image.clone()
        };
        let name = format!("strip.{extension}");
        let folder = Folder::new().file(&name, &encoded(&image, format));
        let frame = load_image(&folder.path().join(&name)).unwrap();
        assert_eq!(
            (frame.width(), frame.height(), frame.ticks.clone()),
            (37, 11, 0..11)
        );
        let channels = if as_colour {
            Channels::Rgb
        } else {
            Channels::Grey
        };
        assert_eq!(frame.shape().channels, channels, "{name}");
        let most = if format == ImageFormat::Jpeg {
            16.0
        } else {
            0.01
        };
        let grey = grey(37, 11).into_luma8();
        let mut row = [0.0; 37];
        for y in 0..11 {
            frame.grey_row_into(y, &mut row);
            for (x, found) in row.iter().enumerate() {
                let expected = f32::from(grey.get_pixel(x as u32, y)[0]);
                assert!(
                    (found - expected).abs() <= most,
                    "{name} {x},{y}: {found} for {expected}"
                );
            }
        }
    }
}

#[test]
fn sixteen_bits_are_kept() {
    let image: ImageBuffer<Luma<u16>, _> =
        ImageBuffer::from_vec(2, 2, vec![0_u16, 257, 65535, 25700]).unwrap();
    for (extension, format) in [("png", ImageFormat::Png), ("tiff", ImageFormat::Tiff)] {
        let bytes = encoded(&image.clone().into(), format);
        let expected = [[0.0, 1.0], [255.0, 100.0]];
        check(
            &format!("a.{extension}"),
            &bytes,
            Channels::Grey,
            Depth::Sixteen,
            &expected,
        );
    }
}

#[test]
fn alpha_is_dropped_in_both_depths() {
    let image = GrayAlphaImage::from_vec(2, 1, vec![10, 0, 20, 255]).unwrap();
    let bytes = encoded(&image.into(), ImageFormat::Png);
    check(
        "a.png",
        &bytes,
        Channels::Grey,
        Depth::Eight,
        &[[10.0, 20.0]],
    );

    let image: ImageBuffer<LumaA<u16>, _> =
        ImageBuffer::from_vec(2, 1, vec![2570_u16, 0, 5140, 9]).unwrap();
    let bytes = encoded(&image.into(), ImageFormat::Png);
    check(
        "a.png",
        &bytes,
        Channels::Grey,
        Depth::Sixteen,
        &[[10.0, 20.0]],
    );

    let image: ImageBuffer<Rgba<u8>, _> =
        ImageBuffer::from_vec(2, 1, vec![9_u8, 9, 9, 0, 100, 0, 0, 128]).unwrap();
    for (extension, format) in [("png", ImageFormat::Png), ("webp", ImageFormat::WebP)] {
        let bytes = encoded(&image.clone().into(), format);
        let name = format!("a.{extension}");
        check(&name, &bytes, Channels::Rgb, Depth::Eight, &[[9.0, 29.9]]);
    }

    let image: ImageBuffer<Rgba<u16>, _> =
        ImageBuffer::from_vec(2, 1, vec![257_u16, 257, 257, 0, 0, 25700, 0, 0]).unwrap();
    let bytes = encoded(&image.into(), ImageFormat::Png);
    check(
        "a.png",
        &bytes,
        Channels::Rgb,
        Depth::Sixteen,
        &[[1.0, 58.7]],
    );
}

#[test]
fn a_bitmap_with_a_grey_palette_is_grey_and_with_a_coloured_one_colour() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::bmp::BmpEncoder::new(&mut bytes);
    encoder
        .encode(&[3, 250], 2, 1, ExtendedColorType::L8)
        .unwrap();
    check(
        "a.bmp",
        &bytes,
        Channels::Grey,
        Depth::Eight,
        &[[3.0, 250.0]],
    );

    let mut bytes = Vec::new();
    let mut palette = [[0, 0, 0]; 256];
    (palette[3], palette[250]) = ([100, 0, 0], [0, 100, 0]);
    let mut encoder = image::codecs::bmp::BmpEncoder::new(&mut bytes);
    encoder
        .encode_with_palette(&[3, 250], 2, 1, ExtendedColorType::L8, Some(&palette))
        .unwrap();
    check(
        "a.bmp",
        &bytes,
        Channels::Rgb,
        Depth::Eight,
        &[[29.9, 58.7]],
    );
}

/// A PNG of 2 x 1 pixels, made by hand for what the encoder does not write: `kind` and
/// `bits` as in its header, one line of packed `samples`.
fn png_by_hand(kind: u8, bits: u8, palette: &[u8], samples: &[u8]) -> Vec<u8> {
    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let named = [&name[..], data].concat();
        let crc = !named.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
            })
        });
        [
            &(data.len() as u32).to_be_bytes()[..],
            &named,
            &crc.to_be_bytes(),
        ]
        .concat()
    }
    let line = [&[0], samples].concat();
    let (a, b) = line.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let n = line.len() as u16;
    // One stored block of a zlib stream.
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend([n.to_le_bytes(), (!n).to_le_bytes()].concat());
    stream.extend(line);
    stream.extend((b << 16 | a).to_be_bytes());
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(chunk(
        b"IHDR",
        &[0, 0, 0, 2, 0, 0, 0, 1, bits, kind, 0, 0, 0],
    ));
    if !palette.is_empty() {
        bytes.extend(chunk(b"PLTE", palette));
    }
    bytes.extend(chunk(b"IDAT", &stream));
    bytes.extend(chunk(b"IEND", &[]));
    bytes
}

#[test]
fn palettes_become_colour_and_few_bits_become_eight() {
    let palette = [0, 0, 0, 100, 0, 0, 0, 100, 0];
    for (bits, samples) in [(8, &[1, 2][..]), (4, &[0x12]), (2, &[0b0110_0000])] {
        let bytes = png_by_hand(3, bits, &palette, samples);
        check(
            "a.png",
            &bytes,
            Channels::Rgb,
            Depth::Eight,
            &[[29.9, 58.7]],
        );
    }
    for (bits, samples) in [(4, 0x0f), (2, 0b0011_0000), (1, 0b0100_0000)] {
        let bytes = png_by_hand(0, bits, &[], &[samples]);
        check(
            "a.png",
            &bytes,
            Channels::Grey,
            Depth::Eight,
            &[[0.0, 255.0]],
        );
    }
}

#[test]
fn content_decides_the_format() {
    let bytes = encoded(&grey(8, 8), ImageFormat::Png);
    let folder = Folder::new().file("a.jpg", &bytes);
    assert_eq!(load_image(&folder.path().join("a.jpg")).unwrap().width(), 8);
}

#[test]
fn ticks_run_on_in_natural_order_and_the_last_block_may_be_short() {
    let folder = Folder::new()
        .grey("img10.png", 16, 3)
        .grey("img2.png", 16, 8)
        .grey("img1.png", 16, 8);
    assert_eq!(folder.exposures(), ["0..8 ok", "8..16 ok", "16..19 ok"]);
    let source = ImageFolder::open(folder.path(), 0).unwrap();
    assert_eq!(source.description().shape.height, 8);
    let names: Vec<_> = image_files(folder.path())
        .unwrap()
        .iter()
        .map(|path| name_of(path))
        .collect();
    assert_eq!(
        names.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["img1.png", "img2.png", "img10.png"]
    );
}

#[test]
fn frames_know_their_file_and_buffers_come_home() {
    let folder = Folder::new().grey("a.png", 16, 8).grey("b.png", 16, 8);
    let mut source = ImageFolder::open(folder.path(), 0).unwrap();
    let pool = Pool::new(1, source.description().shape.n_bytes());
    for name in ["a.png", "b.png"] {
        let Some(Captured::Frame(frame)) = source.next(&pool).unwrap() else {
            panic!("{name}")
        };
        assert_eq!(frame.origin.as_deref(), Some(name));
        assert_eq!(pool.n_out(), 1);
    }
    assert!(source.next(&pool).unwrap().is_none());
    assert_eq!(pool.n_out(), 0);
}

#[test]
fn bad_files_are_lost_with_their_place_and_the_rest_goes_on() {
    let whole = encoded(&grey(16, 8), ImageFormat::Png);
    let folder = Folder::new()
        .grey("1.png", 16, 8)
        .file("2.png", &whole[..whole.len() / 2])
        .file("3.png", b"no image at all")
        .file("4.png", b"")
        .grey("5.png", 20, 5)
        .file("6.png", &encoded(&colour(16, 6), ImageFormat::Png))
        .file("7.gif.png", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;")
        .grey("8.png", 16, 8);
    let expected = [
        "0..8 ok",
        "8..16 \"2.png\" cannot be decoded: ",
        "16..24 \"3.png\" is no image, expected png, jpeg, tiff, bmp or webp",
        "24..32 \"4.png\" is empty, expected png, jpeg, tiff, bmp or webp",
        "32..37 \"5.png\" is 20x5 8 bit grey, expected as most files here: 16 px wide, 8 bit grey",
        "37..43 \"6.png\" is 16x6 8 bit colour, expected as most files here: 16 px wide, 8 bit grey",
        "43..51 \"7.gif.png\" is Gif, expected png, jpeg, tiff, bmp or webp",
        "51..59 ok",
    ];
    let found = folder.exposures();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found:?} for {expected:?}");
    }
}

#[test]
fn of_a_mixed_folder_the_most_common_kind_wins() {
    let colour = encoded(&colour(16, 8), ImageFormat::Png);
    let folder = Folder::new()
        .grey("1.png", 16, 8)
        .file("2.png", &colour)
        .file("3.png", &colour);
    let source = ImageFolder::open(folder.path(), 0).unwrap();
    assert_eq!(source.description().shape.channels, Channels::Rgb);
    assert!(folder.exposures()[0].contains("is 16x8 8 bit grey, expected"));
}

#[test]
fn of_two_equally_common_kinds_the_first_wins() {
    let folder = Folder::new().grey("1.png", 20, 8).grey("2.png", 16, 8);
    assert_eq!(
        ImageFolder::open(folder.path(), 0)
            .unwrap()
            .description()
            .shape
            .width,
        20
    );
}

#[test]
fn a_file_cut_anywhere_is_never_taken_for_a_whole_one() {
    let image = GrayImage::from_fn(64, 64, |x, y| Luma([(x * x + y * 31) as u8]));
    for (extension, format) in FORMATS {
        let whole = encoded(&image.clone().into(), format);
        // PNG and TIFF may end in bytes that hold no pixels.
        for cut in (0..whole.len() - 32).step_by(29) {
            let name = format!("a.{extension}");
            let folder = Folder::new().file(&name, &whole[..cut]);
            let result = load_image(&folder.path().join(&name));
            assert!(
                result.is_err(),
                "{name} cut to {cut} of {} bytes",
                whole.len()
            );
        }
    }
}

#[test]
fn a_jpeg_with_a_broken_code_is_refused_and_not_filled_with_grey() {
    let image = GrayImage::from_fn(256, 256, |x, y| Luma([(x * x + y * 31) as u8]));
    let mut bytes = encoded(&image.into(), ImageFormat::Jpeg);
    let sector = bytes.len() / 4;
    bytes[sector..sector + 512].fill(0xff);
    let folder = Folder::new().file("a.jpg", &bytes);
    let error = load_image(&folder.path().join("a.jpg"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot be decoded as jpeg"), "{error}");
}

#[test]
fn an_absurd_header_is_unreadable() {
    // A bitmap header that promises 60,000 x 60,000 pixels.
    let mut bytes = encoded(&grey(16, 8), ImageFormat::Bmp);
    bytes[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
    bytes[22..26].copy_from_slice(&60_000_u32.to_le_bytes());
    let folder = Folder::new()
        .file("huge.bmp", &bytes)
        .grey("fine.png", 16, 8);
    let found = folder.exposures();
    assert_eq!(found[0], "0..8 ok");
    assert!(
        found[1].starts_with("8..16 \"huge.bmp\" says it is 60000x60000"),
        "{}",
        found[1]
    );
}

#[test]
fn float_samples_are_refused() {
    let image: ImageBuffer<Rgb<f32>, _> = ImageBuffer::from_vec(1, 1, vec![0.1_f32; 3]).unwrap();
    let bytes = encoded(&image.into(), ImageFormat::Tiff);
    let folder = Folder::new().file("a.tif", &bytes);
    let error = load_image(&folder.path().join("a.tif"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("expected 8 or 16 bit integers"), "{error}");
}

#[test]
fn what_is_no_image_is_skipped_and_named() {
    let folder = Folder::new()
        .grey("a.png", 16, 8)
        .file("labels.csv", b"x")
        .file("readme", b"x")
        .file(".hidden.png", b"x");
    fs::create_dir(folder.path().join("masks.png")).unwrap();
    let source = ImageFolder::open(folder.path(), 0).unwrap();
    let mut skipped: Vec<_> = source.skipped().iter().map(|path| name_of(path)).collect();
    skipped.sort();
    let names: Vec<_> = skipped.iter().map(|name| &**name).collect();
    assert_eq!(names, [".hidden.png", "labels.csv", "masks.png", "readme"]);
    assert_eq!(source.description().n_frames, Some(1));
}

#[test]
fn one_file_is_a_source_too() {
    let folder = Folder::new().grey("a.png", 16, 8).grey("b.png", 16, 8);
    let source = ImageFolder::open(&folder.path().join("b.png"), 0).unwrap();
    assert_eq!(source.description().n_frames, Some(1));
}

#[test]
fn a_file_that_changed_since_it_was_listed_is_lost() {
    let folder = Folder::new().grey("a.png", 16, 8);
    let mut source = ImageFolder::open(folder.path(), 0).unwrap();
    let folder = folder.grey("a.png", 16, 90);
    let pool = Pool::new(1, source.description().shape.n_bytes());
    let Some(Captured::Lost(lost)) = source.next(&pool).unwrap() else {
        panic!("taken")
    };
    assert_eq!(lost.ticks, 0..8);
    assert!(
        lost.detail.contains("as when the folder was opened"),
        "{}",
        lost.detail
    );
    drop(folder);
}

#[test]
fn folders_without_images_say_what_was_found() {
    let folder = Folder::new();
    let error = ImageFolder::open(folder.path(), 0).unwrap_err().to_string();
    assert!(error.contains("found nothing at all"), "{error}");

    let folder = folder.file("notes.txt", b"x");
    let error = ImageFolder::open(folder.path(), 0).unwrap_err().to_string();
    assert!(
        error.contains("1 other entries, such as \"notes.txt\""),
        "{error}"
    );

    let error = ImageFolder::open(&folder.path().join("nowhere"), 0).unwrap_err();
    assert!(matches!(error, CameraError::CannotOpen { .. }));

    let folder = folder.file("bad.png", b"x").file("worse.png", b"");
    let error = ImageFolder::open(folder.path(), 0).unwrap_err().to_string();
    assert!(error.contains("none of the 2 image files"), "{error}");
    assert!(error.contains("\"bad.png\" is no image"), "{error}");
}
