//! Streams from a real RTSP server on the loopback interface, and videos as the program sees them.
//!
//! The server is GStreamer's, run by the system's Python; where it is not installed, a test says
//! `NOT RUN` aloud.

#![cfg(feature = "video")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use camera::{
    Captured, Channels, Lost, LostReason, Pool, Source, Stream, StreamAddress, StreamSettings,
};

use selvedge::source::SourceSpec;

use crate::program::Mill;
use crate::{not_run, tree};

/// The Python that has GStreamer's bindings; another one may come first in the path.
const PYTHON: &str = "/usr/bin/python3";
/// Frames a second.
const RATE: u32 = 15;
/// Lines of a frame.
const HEIGHT: i64 = 240;

/// A server that ends with its test.
struct Server {
    child: Child,
    /// It ends when this is closed.
    _input: ChildStdin,
}

impl Server {
    /// `None`, aloud, where there is no server to be had.
    fn start(port: u16, transport: &str, login: &[&str]) -> Option<Self> {
        let has_server = Command::new(PYTHON)
            .args([
                "-c",
                "import gi; gi.require_version('GstRtspServer', '1.0')",
            ])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !has_server {
            not_run("no RTSP server; see setup/test-packages.txt");
            return None;
        }
        let mut child = Command::new(PYTHON)
            .arg(tree("tests/video/server.py"))
            .args([&port.to_string(), &RATE.to_string(), transport])
            .args(login)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        let input = child.stdin.take().unwrap();
        Some(Self {
            child,
            _input: input,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn address(port: u16) -> StreamAddress {
    format!("rtsp://127.0.0.1:{port}/cloth").parse().unwrap()
}

fn settings() -> StreamSettings {
    let mut settings = StreamSettings::new(2);
    settings.patience = Duration::from_millis(700);
    settings
}

fn open(port: u16) -> (Stream, Pool) {
    let stream = Stream::open(&address(port), settings()).unwrap();
    let pool = Pool::new(4, stream.description().shape.n_bytes());
    (stream, pool)
}

/// What comes until `enough` has had enough; ticks and sequence run on all the while.
fn read(
    stream: &mut Stream,
    pool: &Pool,
    from: i64,
    mut enough: impl FnMut(&Captured) -> bool,
) -> (Vec<Lost>, u32, i64) {
    let (mut lost, mut n_frames, mut end) = (Vec::new(), 0, from);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let captured = stream.next(pool).unwrap().unwrap();
        let ticks = captured.ticks();
        assert_eq!(ticks.start, end, "ticks run on");
        assert_eq!(captured.sequence() as i64 * HEIGHT, ticks.start);
        end = ticks.end;
        let is_enough = enough(&captured);
        match captured {
            Captured::Frame(frame) => {
                assert_eq!((frame.width(), frame.height(), frame.camera), (320, 240, 2));
                n_frames += 1;
            }
            Captured::Lost(one) => lost.push(one),
        }
        if is_enough {
            return (lost, n_frames, end);
        }
        assert!(Instant::now() < deadline, "{n_frames} frames, {lost:?}");
    }
}

#[test]
fn a_stream_is_read_frame_after_frame_and_shows_movement() {
    let port = free_port();
    let Some(_server) = Server::start(port, "tcp", &[]) else {
        return;
    };
    let (mut stream, pool) = open(port);
    let description = stream.description().clone();
    assert_eq!(description.shape.channels, Channels::Rgb);
    assert_eq!((description.live, description.n_frames), (true, None));
    let (mut pictures, mut last) = (0, Vec::new());
    let (lost, n_frames, _) = read(&mut stream, &pool, 0, |captured| {
        if let Captured::Frame(frame) = captured {
            assert_ne!(last, frame.bytes(), "the picture moves");
            last = frame.bytes().to_vec();
            pictures += 1;
        }
        pictures == 2 * RATE
    });
    // The server itself may skip frames on a busy machine; then the stream's clock says so.
    assert!(
        lost.iter().all(|lost| lost.reason == LostReason::FrameLost),
        "{lost:?}"
    );
    assert_eq!(n_frames, 2 * RATE);
    pool.close();
    assert!(
        stream.next(&pool).unwrap().is_none(),
        "a closed pool ends it"
    );
}

#[test]
fn a_camera_that_dies_is_lost_and_comes_back_with_its_ticks_accounted_for() {
    let port = free_port();
    let Some(server) = Server::start(port, "tcp", &[]) else {
        return;
    };
    let (mut stream, pool) = open(port);
    let mut n = 0;
    let (_, _, end) = read(&mut stream, &pool, 0, |captured| {
        n += u32::from(matches!(captured, Captured::Frame(_)));
        n == RATE
    });

    let died = Instant::now();
    drop(server);
    let mut told = Instant::now();
    let mut n_told = 0;
    let (lost, n_late, end) = read(&mut stream, &pool, end, |captured| {
        // A stop is looked for between two exposures.
        assert!(
            told.elapsed() < Duration::from_secs(1),
            "{:?}",
            told.elapsed()
        );
        told = Instant::now();
        n_told += u32::from(matches!(captured, Captured::Lost(_)));
        n_told == 3
    });
    assert!(
        lost.iter()
            .all(|lost| lost.reason == LostReason::CameraLost),
        "{lost:?}"
    );
    assert!(lost[0].detail.contains("nominal"), "{}", lost[0].detail);

    let _server = Server::start(port, "tcp", &[]).unwrap();
    let mut n_back = 0;
    let (more, _, _) = read(&mut stream, &pool, end, |captured| {
        n_back += u32::from(matches!(captured, Captured::Frame(_)));
        n_back == 5
    });
    let seconds = died.elapsed().as_secs_f64();
    let lines: i64 = lost
        .iter()
        .chain(&more)
        .map(|lost| lost.ticks.end - lost.ticks.start)
        .sum();
    let frames = f64::from(n_late + n_back) + lines as f64 / HEIGHT as f64;
    // What is left over is what the network still held when the server died.
    let expected = seconds * f64::from(RATE);
    assert!(
        (frames - expected).abs() < 0.25 * expected + 5.0,
        "{frames} frames in {seconds} s"
    );
}

#[test]
fn a_stop_is_noticed_long_before_a_slow_camera_owes_a_picture() {
    let port = free_port();
    let Some(server) = Server::start(port, "tcp", &[]) else {
        return;
    };
    // A picture in 100 seconds, so that nothing is told lost before that.
    let mut settings = settings();
    settings.frames_per_second = Some(0.01);
    let stop = Arc::new(AtomicBool::new(false));
    let stream = Stream::open(&address(port), settings).unwrap();
    let mut stream = stream.until(Arc::clone(&stop));
    let pool = Pool::new(4, stream.description().shape.n_bytes());
    assert!(stream.next(&pool).unwrap().is_some());
    drop(server);

    let begun = Instant::now();
    let (_nobody, never) = mpsc::sync_channel::<()>(0);
    let stopping = std::thread::Builder::new().name("stop".into());
    let stopping = stopping
        .spawn(move || {
            // Whenever it comes: here most likely while the camera is gone.
            assert!(never.recv_timeout(Duration::from_secs(2)).is_err());
            stop.store(true, Ordering::Relaxed);
        })
        .unwrap();
    while let Some(captured) = stream.next(&pool).unwrap() {
        // What the network still held.
        assert!(matches!(captured, Captured::Frame(_)), "{captured:?}");
    }
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    stopping.join().unwrap();
}

#[test]
fn nobody_there_and_somebody_who_says_nothing_are_told_in_time() {
    let begun = Instant::now();
    let error = Stream::open(&address(free_port()), settings()).unwrap_err();
    assert!(error.to_string().contains("nobody answers"), "{error}");

    // Accepts and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut settings = settings();
    settings.open_wait = Duration::from_secs(2);
    let error = Stream::open(&address(port), settings).unwrap_err();
    assert!(
        error.to_string().contains("nothing that can be decoded"),
        "{error}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_server_that_offers_only_udp_can_be_refused() {
    let port = free_port();
    let Some(_server) = Server::start(port, "udp", &[]) else {
        return;
    };
    let Some(mill) = Mill::taught() else { return };
    let url = format!("rtsp://127.0.0.1:{port}/cloth");
    let program = Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(["teach", "--article", "plain", "--from", &url])
        .current_dir(mill.path())
        .env("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
        .output()
        .unwrap();
    let said = String::from_utf8(program.stderr).unwrap();
    assert_eq!(program.status.code(), Some(2), "{said}");
    assert!(said.contains("no picture from"), "{said}");
}

#[test]
fn a_password_opens_the_stream_and_is_never_told() {
    let port = free_port();
    let Some(_server) = Server::start(port, "tcp", &["joe", "s3cret"]) else {
        return;
    };
    let with = |login: &str| format!("rtsp://{login}@127.0.0.1:{port}/cloth");
    let address: StreamAddress = with("joe:s3cret").parse().unwrap();
    let stream = Stream::open(&address, settings()).unwrap();
    assert_eq!(
        stream.description().name,
        format!("rtsp://127.0.0.1:{port}/cloth")
    );
    drop(stream);

    let Some(mill) = Mill::taught() else { return };
    let url = with("joe:wr0ng");
    let teach = ["teach", "--article", "plain", "--from", &url];
    let ran = mill.run(&teach);
    ran.refuses(&["no picture from rtsp://127.0.0.1"]);
    assert!(!format!("{ran:?}").contains("wr0ng"), "{ran:?}");
}

#[test]
fn a_text_named_like_a_video_is_refused_with_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roll.mp4");
    std::fs::write(&path, "only a text").unwrap();
    let spec: SourceSpec = path.to_str().unwrap().parse().unwrap();
    let Err(error) = spec.open(0, &Default::default(), &Arc::default()) else {
        panic!("a text is no video");
    };
    let said = format!("{error:#}");
    assert!(
        said.contains("the text \"only a text\", expected AVI"),
        "{said}"
    );
}
