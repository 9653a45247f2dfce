//! Whether a file is a video, told by its first bytes and not by its name.
//!
//! Only files that hold their own pictures are known. A play list, a description of a session or
//! a numbered sequence is no video: it would make the reader open something else.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What a video file is packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// AVI; constant frame rate, number of frames in its header.
    Avi,
    /// MP4 or QuickTime; number of frames in its index.
    Mp4,
    /// Matroska or WebM; a duration in its header.
    Matroska,
    /// MPEG streams, which announce no number of frames.
    Mpeg,
    /// Ogg, which announces no number of frames.
    Ogg,
    /// Flash video.
    Flv,
    /// Windows Media.
    Asf,
}

/// Names under which people expect a video.
const EXTENSIONS: [&str; 14] = [
    "avi", "mp4", "m4v", "mov", "mkv", "webm", "mpg", "mpeg", "ts", "m2ts", "ogv", "flv", "wmv",
    "mjpeg",
];
/// Bytes from one MPEG transport packet to the next.
const TS_PACKET: usize = 188;

impl Container {
    /// What the first bytes of `file` say; `None` for what is no video.
    ///
    /// # Errors
    /// What the system says when the file is read.
    pub fn of(file: &mut File) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        file.take(2 * TS_PACKET as u64 + 1).read_to_end(&mut head)?;
        Ok(Self::of_bytes(&head))
    }

    fn of_bytes(head: &[u8]) -> Option<Self> {
        let at = |place: usize, magic: &[u8]| {
            head.get(place..place + magic.len())
                .is_some_and(|found| found == magic)
        };
        let boxes: [&[u8]; 5] = [b"ftyp", b"moov", b"mdat", b"wide", b"free"];
        if at(0, b"RIFF") && at(8, b"AVI ") {
            Some(Self::Avi)
        } else if boxes.iter().any(|name| at(4, name)) {
            Some(Self::Mp4)
        } else if at(0, &[0x1A, 0x45, 0xDF, 0xA3]) {
            Some(Self::Matroska)
        } else if at(0, &[0, 0, 1, 0xBA])
            || at(0, &[0, 0, 1, 0xB3])
            || [0, 1, 2].iter().all(|nth| at(nth * TS_PACKET, &[0x47]))
        {
            Some(Self::Mpeg)
        } else if at(0, b"OggS") {
            Some(Self::Ogg)
        } else if at(0, b"FLV\x01") {
            Some(Self::Flv)
        } else if at(0, &[0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11]) {
            Some(Self::Asf)
        } else {
            None
        }
    }

    /// Whether its header says how many frames there are.
    pub fn announces_frames(self) -> bool {
        match self {
            Self::Avi | Self::Mp4 | Self::Matroska => true,
            Self::Mpeg | Self::Ogg | Self::Flv | Self::Asf => false,
        }
    }
}

/// True for a file that holds a video, and for one that is only named like a video, so that
/// whoever opens it says what is wrong with it as a video.
pub fn claims_to_be_video(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_named = extension.is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    });
    if path.is_dir() {
        return false;
    }
    let holds_one = || {
        // Opening a pipe or a device could wait for ever.
        path.is_file()
            && File::open(path)
                .and_then(|mut file| Container::of(&mut file))
                .is_ok_and(|container| container.is_some())
    };
    is_named || holds_one()
}

/// The first bytes of `file` as a person would want to hear of them.
#[cfg_attr(not(feature = "video"), allow(dead_code, reason = "nobody reads"))]
pub(super) fn beginning(head: &[u8]) -> String {
    let head = &head[..head.len().min(16)];
    if head.is_empty() {
        "nothing".to_owned()
    } else if head
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        format!("the text {:?}", String::from_utf8_lossy(head))
    } else {
        format!("bytes {head:02x?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_known_by_their_first_bytes() {
        for (head, expected) in [
            (&b"RIFF\x10\0\0\0AVI LIST"[..], Some(Container::Avi)),
            (b"\0\0\0\x20ftypisom", Some(Container::Mp4)),
            (b"\x1a\x45\xdf\xa3rest", Some(Container::Matroska)),
            (b"\0\0\x01\xba", Some(Container::Mpeg)),
            (b"OggS", Some(Container::Ogg)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", None),
            (b"#EXTM3U\n/etc/passwd", None),
            (b"ffconcat version 1.0", None),
            (b"v=0\r\no=- 0 0 IN IP4", None),
            (b"GG", None),
            (b"", None),
        ] {
            assert_eq!(Container::of_bytes(head), expected, "{head:?}");
        }
        let mut stream = vec![0; 400];
        for nth in [0, 188, 376] {
            stream[nth] = 0x47;
        }
        assert_eq!(Container::of_bytes(&stream), Some(Container::Mpeg));
        assert_eq!(Container::of_bytes(&stream[..300]), None);
    }

    #[test]
    fn a_video_is_known_without_its_name_and_a_name_alone_is_taken_at_its_word() {
        let folder = tempfile::tempdir().unwrap();
        let nameless = folder.path().join("roll");
        std::fs::write(&nameless, b"RIFF\x10\0\0\0AVI LIST").unwrap();
        assert!(claims_to_be_video(&nameless));
        assert!(claims_to_be_video(Path::new("missing.MP4")));
        assert!(!claims_to_be_video(Path::new("missing.png")));
        assert!(!claims_to_be_video(folder.path()));
    }
}
