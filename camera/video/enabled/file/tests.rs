//! Videos written by the test itself and read back as a roll.

use std::fs;
use std::path::PathBuf;

use opencv::core::{CV_8UC3, Mat, Scalar, Size};
use opencv::prelude::*;
use opencv::videoio::{CAP_FFMPEG, VideoWriter};
use tempfile::TempDir;

use super::*;
use crate::{Loom, LoomSettings};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 64;
const N_FRAMES: u64 = 12;

fn cloth() -> Vec<Frame> {
    let mut settings = LoomSettings::new(5);
    (settings.width, settings.frame_height) = (WIDTH, HEIGHT);
    settings.n_frames = Some(N_FRAMES);
    frames(&mut Loom::new(settings).unwrap())
}

/// Everything a source hands out, in memory of its own; nothing of it may be lost.
fn frames(source: &mut dyn Source) -> Vec<Frame> {
    let (frames, lost) = read(source);
    assert!(lost.is_empty(), "{lost:?}");
    frames
}

fn read(source: &mut dyn Source) -> (Vec<Frame>, Vec<Lost>) {
    let pool = Pool::new(64, source.description().shape.n_bytes());
    let (mut frames, mut lost, mut end) = (Vec::new(), Vec::new(), 0);
    while let Some(captured) = source.next(&pool).unwrap() {
        assert_eq!(captured.ticks().start, end, "ticks run on");
        end = captured.ticks().end;
        match captured {
            Captured::Frame(frame) => frames.push(frame),
            Captured::Lost(one) => lost.push(one),
        }
    }
    assert!(source.next(&pool).unwrap().is_none(), "the end is the end");
    (frames, lost)
}

/// Writes frames with this codec; colour is tinted so that its planes differ.
fn video(name: &str, codec: &[u8; 4], frames: &[Frame], is_colour: bool) -> (TempDir, PathBuf) {
    let pictures: Vec<_> = frames.iter().map(|frame| (frame, is_colour)).collect();
    written(name, codec, &pictures)
}

/// Writes each frame grey or tinted, sample by sample.
fn mixed(name: &str, pictures: &[(&Frame, bool)]) -> (TempDir, PathBuf) {
    written(name, b"RGBA", pictures)
}

fn written(name: &str, codec: &[u8; 4], pictures: &[(&Frame, bool)]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let (code, place) = (i32::from_le_bytes(*codec), path.to_str().unwrap());
    let size = Size::new(WIDTH as i32, HEIGHT as i32);
    let mut writer =
        VideoWriter::new_with_backend(place, CAP_FFMPEG, code, 25.0, size, true).unwrap();
    assert!(writer.is_opened().unwrap(), "{name} with {codec:?}");
    for (frame, is_colour) in pictures {
        let (rows, columns) = (size.height, size.width);
        let mut picture =
            Mat::new_rows_cols_with_default(rows, columns, CV_8UC3, Scalar::all(0.0)).unwrap();
        let samples = picture.data_bytes_mut().unwrap();
        for (pixel, &grey) in samples.chunks_exact_mut(3).zip(frame.bytes()) {
            pixel.copy_from_slice(&if *is_colour {
                [grey, grey / 2, 255 - grey]
            } else {
                [grey; 3]
            });
        }
        writer.write(&picture).unwrap();
    }
    writer.release().unwrap();
    (folder, path)
}

/// The largest difference of a sample to what was written.
fn worst(woven: &Frame, read: &Frame, is_colour: bool) -> u8 {
    assert_eq!(woven.height(), read.height());
    let pairs: Vec<(u8, u8)> = if is_colour {
        let planes = |grey: u8| [255 - grey, grey / 2, grey];
        let expected = woven.bytes().iter().flat_map(|&grey| planes(grey));
        expected.zip(read.bytes().iter().copied()).collect()
    } else {
        (woven.bytes().iter().copied())
            .zip(read.bytes().iter().copied())
            .collect()
    };
    assert_eq!(pairs.len(), read.bytes().len());
    pairs.iter().map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn a_video_is_the_same_roll() {
    let cloth = cloth();
    for (name, codec, is_colour, tolerance) in [
        // Raw samples: to the pixel, in colour too.
        ("raw.avi", b"RGBA", true, 0),
        ("raw.mkv", b"RGBA", false, 0),
        // Lossless, but limited to luma of 16 to 235 on its way.
        ("luma.avi", b"FFV1", false, 2),
        ("luma.mkv", b"FFV1", false, 2),
        ("jpeg.avi", b"MJPG", false, 60),
        ("mpeg4.mp4", b"mp4v", false, 90),
    ] {
        let (_folder, path) = video(name, codec, &cloth, is_colour);
        let mut source = VideoFile::open(&path, 3, None).unwrap();
        let description = source.description().clone();
        assert_eq!(description.n_frames, Some(N_FRAMES), "{name}");
        let channels = if is_colour {
            Channels::Rgb
        } else {
            Channels::Grey
        };
        assert_eq!(description.shape.channels, channels, "{name}");
        assert!(!description.live);
        let back = frames(&mut source);
        assert_eq!(back.len(), cloth.len(), "{name}");
        for (woven, read) in cloth.iter().zip(&back) {
            assert_eq!((read.camera, read.sequence), (3, woven.sequence));
            assert_eq!(read.ticks, woven.ticks);
            assert_eq!(read.origin.as_deref(), Some(name));
            let worst = worst(woven, read, is_colour);
            assert!(worst <= tolerance, "{name}: {worst} of {tolerance}");
        }
    }
}

#[test]
fn a_video_is_known_by_its_content_and_no_part_of_its_name_means_anything() {
    for name in [
        "no extension",
        "picture%04d.png",
        "concat:a|b",
        "videotestsrc ! appsink",
        "a.txt",
    ] {
        let (folder, path) = video("roll.avi", b"MJPG", &cloth()[..3], false);
        let named = folder.path().join(name);
        fs::rename(&path, &named).unwrap();
        assert!(crate::claims_to_be_video(&named), "{name}");
        let mut source = VideoFile::open(&named, 0, None).unwrap();
        assert_eq!(frames(&mut source).len(), 3, "{name}");
    }
}

#[test]
fn channels_are_as_asked() {
    let cloth = cloth();
    let (_folder, path) = video("raw.avi", b"RGBA", &cloth[..2], true);
    let mut source = VideoFile::open(&path, 0, Some(Channels::Grey)).unwrap();
    let grey = frames(&mut source);
    for (&sample, &found) in cloth[0].bytes().iter().zip(grey[0].bytes()) {
        let expected = super::super::luma(&[sample, sample / 2, 255 - sample]);
        assert_eq!(found, expected);
    }
}

#[test]
fn a_black_beginning_says_nothing_of_colour() {
    let black = |frame: &Frame| {
        let mut buffer = crate::Buffer::alone(frame.bytes().len());
        buffer.bytes_mut().fill(0);
        Frame::new(0, 0, 0..64, frame.shape(), buffer).unwrap()
    };
    let mut cloth = cloth();
    let blank = black(&cloth[0]);
    // `video` tints black too, so the beginning is written without.
    let (_folder, path) = mixed("raw.avi", &[(&blank, false), (&cloth.remove(0), true)]);
    let source = VideoFile::open(&path, 0, None).unwrap();
    assert_eq!(source.description().shape.channels, Channels::Rgb);
}

#[test]
fn colour_in_a_grey_roll_is_told() {
    let cloth = cloth();
    let mut pictures: Vec<_> = cloth.iter().map(|frame| (frame, false)).collect();
    pictures[10].1 = true;
    let (_folder, path) = mixed("raw.avi", &pictures);
    let (frames, lost) = read(&mut VideoFile::open(&path, 0, None).unwrap());
    assert_eq!((frames.len(), lost.len()), (11, 1));
    assert_eq!(
        (lost[0].sequence, lost[0].reason),
        (10, LostReason::Unreadable)
    );
    assert!(
        lost[0].detail.contains("colour, expected grey"),
        "{}",
        lost[0].detail
    );
}

#[test]
fn a_video_that_is_cut_off_says_how_many_pictures_came() {
    for (name, codec) in [
        ("roll.avi", b"MJPG"),
        ("roll.mkv", b"FFV1"),
        ("raw.avi", b"RGBA"),
    ] {
        let (_folder, path) = video(name, codec, &cloth(), false);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let (frames, lost) = read(&mut VideoFile::open(&path, 0, None).unwrap());
        println!("{name}: {} frames, {lost:?}", frames.len());
        assert!((3..10).contains(&frames.len()), "{name}: {}", frames.len());
        let n_lost: i64 = lost
            .iter()
            .map(|lost| lost.ticks.end - lost.ticks.start)
            .sum();
        let whole = N_FRAMES as i64 * i64::from(HEIGHT);
        assert_eq!(n_lost + frames.len() as i64 * i64::from(HEIGHT), whole);
        assert_eq!(lost.last().unwrap().ticks.end, whole);
        let detail = &lost.last().unwrap().detail;
        let expected = format!("found {} pictures, expected 12", frames.len());
        assert!(detail.contains(&expected), "{detail}");
    }
}

#[test]
fn a_picture_that_cannot_be_decoded_is_lost_in_its_place() {
    let (_folder, path) = video("roll.avi", b"MJPG", &cloth(), false);
    let mut bytes = fs::read(&path).unwrap();
    // Pictures follow each other behind `movi`, each with its name and its length.
    let mut chunk = bytes.windows(4).position(|name| name == b"movi").unwrap() + 4;
    let length = |chunk: usize| {
        assert_eq!(&bytes[chunk..chunk + 4], b"00dc");
        u32::from_le_bytes(bytes[chunk + 4..chunk + 8].try_into().unwrap()) as usize
    };
    for _ in 0..5 {
        chunk += 8 + length(chunk).next_multiple_of(2);
    }
    let (start, end) = (chunk + 8, chunk + 8 + length(chunk));
    bytes[start..end].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (frames, lost) = read(&mut VideoFile::open(&path, 0, None).unwrap());
    println!("{} frames, {lost:?}", frames.len());
    let whole = cloth();
    for frame in &frames {
        assert!(
            worst(&whole[frame.sequence as usize], frame, false) <= 60,
            "{}",
            frame.sequence
        );
    }
    assert_eq!((frames.len(), lost.len()), (11, 1));
    assert_eq!(lost[0].sequence, 5);
}

#[test]
fn what_is_no_video_is_told_with_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, avi) = video("roll.avi", b"MJPG", &cloth()[..3], false);
    let (_folder, mp4) = video("roll.mp4", b"mp4v", &cloth()[..3], false);
    let (avi, mp4) = (fs::read(avi).unwrap(), fs::read(mp4).unwrap());
    let cases: [(&str, &[u8], &str); 7] = [
        (
            "text.mp4",
            b"This is no video.",
            "the text \"This is no video\"",
        ),
        (
            "list.mp4",
            b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
            "the text",
        ),
        ("empty.avi", b"", "begins with nothing"),
        ("noise.mkv", &[0xFE; 4000], "bytes [fe"),
        ("head.avi", &avi[..300], "expected"),
        ("cut.mp4", &mp4[..mp4.len() / 2], "cut off or damaged"),
        (
            "only.mkv",
            &[0x1A, 0x45, 0xDF, 0xA3, 1, 2, 3],
            "Matroska without a video",
        ),
    ];
    for (name, bytes, expected) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let said = VideoFile::open(&path, 0, None).unwrap_err().to_string();
        println!("{said}");
        assert!(
            said.contains(expected) && said.contains(name),
            "{name}: {said}"
        );
    }
    for path in [
        folder.path().join("missing.mp4"),
        folder.path().to_owned(),
        "/dev/null".into(),
    ] {
        let error = VideoFile::open(&path, 0, None).unwrap_err();
        assert!(matches!(error, CameraError::NoVideo { .. }), "{error}");
    }
}

#[test]
fn a_pool_too_small_is_an_error_and_a_closed_one_ends_it() {
    let (_folder, path) = video("roll.avi", b"MJPG", &cloth()[..3], false);
    let mut source = VideoFile::open(&path, 0, None).unwrap();
    let error = source.next(&Pool::new(1, 16)).unwrap_err();
    assert!(matches!(
        error,
        CameraError::BufferTooSmall { size: 16, .. }
    ));
    let pool = Pool::new(1, source.description().shape.n_bytes());
    pool.close();
    assert!(source.next(&pool).unwrap().is_none());
}
