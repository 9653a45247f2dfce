//! Where a stream comes from: `rtsp://…` or `v4l2:/dev/videoN`, with its secret kept.
//!
//! `Display` and `Debug` leave out user, password and query, so that neither a log, a name nor a
//! store ever holds them; only [`StreamAddress::secret_url`] has them, for the one call that
//! connects. Nothing that could steer OpenCV or FFmpeg otherwise gets through.

use std::fmt;
use std::str::FromStr;

use crate::CameraError;

/// A checked address of a stream.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamAddress(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Rtsp {
        /// Scheme, host, port and path: what may be shown.
        shown: String,
        /// Host and port, to knock at.
        host: String,
        port: u16,
        /// All of it.
        url: String,
    },
    V4l2(u16),
}

/// The port that RTSP has where none is named.
const RTSP_PORT: u16 = 554;
/// Longest address taken.
const LONGEST: usize = 2048;

impl FromStr for StreamAddress {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<Self, CameraError> {
        if let Some(device) = text.strip_prefix("v4l2:") {
            let number = device.strip_prefix("/dev/video").unwrap_or(device);
            return match number.parse::<u16>() {
                Ok(number) => Ok(Self(Kind::V4l2(number))),
                Err(_) => Err(refused(text, "v4l2:/dev/videoN")),
            };
        }
        match text.strip_prefix("rtsp://") {
            Some(rest) => rtsp(text, rest).ok_or_else(|| {
                refused(
                    &shown(rest),
                    "rtsp://[user:password@]host[:port]/path of printable ASCII",
                )
            }),
            // A scheme that is not known may hold a secret too.
            None => Err(refused(
                text.split(':').next().unwrap_or_default(),
                "rtsp:// or v4l2:/dev/videoN",
            )),
        }
    }
}

impl StreamAddress {
    /// The whole address with its secret; for connecting alone.
    #[cfg_attr(not(feature = "video"), allow(dead_code, reason = "nobody connects"))]
    pub(super) fn secret_url(&self) -> Option<String> {
        match &self.0 {
            Kind::V4l2(_) => None,
            Kind::Rtsp { url, .. } => Some(url.clone()),
        }
    }

    /// Host and port of a network stream.
    #[cfg_attr(not(feature = "video"), allow(dead_code, reason = "nobody connects"))]
    pub(super) fn host(&self) -> Option<(&str, u16)> {
        match &self.0 {
            Kind::V4l2(_) => None,
            Kind::Rtsp { host, port, .. } => Some((host, *port)),
        }
    }

    /// Number of a V4L2 device.
    #[cfg_attr(not(feature = "video"), allow(dead_code, reason = "nobody connects"))]
    pub(super) fn device(&self) -> Option<u16> {
        match self.0 {
            Kind::V4l2(number) => Some(number),
            Kind::Rtsp { .. } => None,
        }
    }
}

fn rtsp(url: &str, rest: &str) -> Option<StreamAddress> {
    if url.len() > LONGEST || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (authority, _) = authority_of(rest);
    let place = authority.rsplit_once('@').map_or(authority, |(_, at)| at);
    let (host, port) = match place.strip_prefix('[') {
        Some(six) => {
            let (host, port) = six.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = port.map_or(Some(RTSP_PORT), |port| port.parse().ok())?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(is_host) || url.contains(['|', '#', '!', '\\']) {
        return None;
    }
    Some(StreamAddress(Kind::Rtsp {
        shown: shown(rest),
        host: host.to_owned(),
        port,
        url: url.to_owned(),
    }))
}

/// Host and the rest; user and password may hold any character but these three.
fn authority_of(rest: &str) -> (&str, &str) {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.split_at(end)
}

/// What may be shown. A password that holds `/`, `?` or `@` unescaped must not slip through
/// either, so whatever stands before the last `@` goes, wherever it stands.
fn shown(rest: &str) -> String {
    let clean = rest.rsplit_once('@').map_or(rest, |(_, at)| at);
    let clean = clean.split(['?', '#']).next().unwrap_or_default();
    format!("rtsp://{clean}")
}

fn refused(found: &str, expected: &'static str) -> CameraError {
    CameraError::StreamAddress {
        found: found.to_owned(),
        expected,
    }
}

impl fmt::Display for StreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Rtsp { shown, .. } => f.write_str(shown),
            Kind::V4l2(number) => write!(f, "v4l2:/dev/video{number}"),
        }
    }
}

impl fmt::Debug for StreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> StreamAddress {
        text.parse().unwrap()
    }

    #[test]
    fn no_secret_is_ever_shown() {
        for text in [
            "rtsp://joe:s3cret@cam.mill:8554/one?token=s3cret",
            "rtsp://joe:s3cret@cam.mill:8554/one",
            "rtsp://s3cret@cam.mill:8554/one",
        ] {
            let address = address(text);
            assert_eq!(address.to_string(), "rtsp://cam.mill:8554/one");
            assert!(!format!("{address:?}").contains("s3cret"));
            assert!(address.secret_url().unwrap().contains("s3cret"));
        }
        for text in [
            "rtsp://joe:s3/cret@cam/one",
            "rtsp://joe:s3?cret@cam/one",
            "rtsp://joe:s3cret@/one",
            "rtsp://joe:s3cret@cam:port/one",
            "http://joe:s3cret@cam/one",
        ] {
            match text.parse::<StreamAddress>() {
                Ok(address) => {
                    assert!(!address.to_string().contains("s3"), "{address}");
                    assert!(!address.to_string().contains("cret"), "{address}");
                }
                Err(error) => {
                    let said = format!("{error} {error:?}");
                    assert!(!said.contains("s3") && !said.contains("cret"), "{said}");
                }
            }
        }
    }

    #[test]
    fn a_query_is_the_camera_s_own_and_stays() {
        for text in ["rtsp://cam/a", "rtsp://a:b@cam:8554/a?channel=1&subtype=0"] {
            assert_eq!(address(text).secret_url().as_deref(), Some(text));
        }
    }

    #[test]
    fn what_could_steer_the_library_is_refused() {
        for text in [
            "rtsp://",
            "rtsp:///path",
            "rtsp://cam/a b",
            "rtsp://cam/a\n",
            "rtsp://cam/a|b",
            "rtsp://cam:99999/a",
            "rtsp://$(id)/a",
            "v4l2:/dev/video",
            "v4l2:/dev/video0/../sda",
            "v4l2:/dev/videotestsrc ! fakesink",
            "v4l2:-1",
            "videotestsrc ! appsink",
        ] {
            assert!(text.parse::<StreamAddress>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn host_and_port_are_found_behind_a_password() {
        assert_eq!(address("rtsp://a:b@cam/x").host(), Some(("cam", 554)));
        assert_eq!(address("rtsp://[::1]:8554/x").host(), Some(("::1", 8554)));
        assert_eq!(address("v4l2:/dev/video3").device(), Some(3));
        assert_eq!(address("v4l2:/dev/video3").to_string(), "v4l2:/dev/video3");
    }
}
