//! What keeps a station running: `check`, logs, the service manager, settings read anew, cameras that
//! do not answer when it begins to stand.

mod check;

mod log;

mod service;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::Mill;

/// Longest time that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "a-token-that-is-long-enough";

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// Writes the station file of `mill`: article `plain` on `lanes`, a page at `page`, and `more` tables.
pub(crate) fn write_station(mill: &Mill, page: SocketAddr, lanes: &str, more: &str) {
    let file = format!(
        "name = \"table 3\"\narticle = \"plain\"\n{lanes}[page]\nlisten = \"{page}\"\ntoken_file = \"token\"\n{more}"
    );
    std::fs::write(mill.path().join("station.toml"), file).unwrap();
    let token = mill.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let secret = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(token, secret).unwrap();
}

/// A lane of simulated cloth.
fn loom_lane(offset_mm: f64) -> String {
    format!("[[lane]]\nfrom = \"loom:1\"\nmm_per_px = 0.2\noffset_mm = {offset_mm}\n")
}

/// A station that stands, ended with its test.
pub(crate) struct Stood {
    station: Child,
    page: SocketAddr,
}

impl Stood {
    /// Lets the station of `mill` stand whose page is at `page`.
    pub(crate) fn up(mill: &Mill, page: SocketAddr, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
        command
            .current_dir(mill.path())
            .args(["run", "station.toml"])
            .env_remove("SELVEDGE_STORE")
            .env("SELVEDGE_LOG", "info")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let stood = Self {
            station: command.spawn().unwrap(),
            page,
        };
        until("the page answers", || {
            stood.ask("GET /live.json", "").is_some()
        });
        stood
    }

    fn ask(&self, what: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.page).ok()?;
        let n = body.len();
        let request = format!(
            "{what} HTTP/1.1\r\nHost: station\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {n}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, body.to_owned()))
    }

    pub(crate) fn live(&self) -> Value {
        serde_json::from_str(&self.ask("GET /live.json", "").unwrap().1).unwrap()
    }

    fn begin(&self, roll: &str) -> (u16, String) {
        let order = serde_json::json!({ "roll": roll }).to_string();
        self.ask("POST /rolls/begin", &order).unwrap()
    }

    fn end(&self) -> (u16, String) {
        self.ask("POST /rolls/end", "").unwrap()
    }

    /// Waits until every camera has shown something.
    fn until_exposing(&self) {
        until("every camera exposes", || {
            let live = self.live();
            let mut cameras = live["cameras"].as_array().unwrap().iter();
            cameras.all(|camera| camera["n_frames"].as_u64() > Some(0))
        });
    }

    fn signal(&self, signal: &str) {
        let pid = self.station.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn terminate(&mut self) -> (Option<i32>, Duration) {
        let since = Instant::now();
        self.signal("-TERM");
        let ended = self.station.wait().unwrap();
        (ended.code(), since.elapsed())
    }
}

impl Drop for Stood {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.station.kill());
        drop(self.station.wait());
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what} did not come to be");
        std::thread::yield_now();
    }
}

#[test]
fn a_camera_that_does_not_answer_at_first_keeps_no_other_from_exposing() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let (page, nobody) = (free_address(), free_address());
    let dead =
        format!("[[lane]]\nfrom = \"rtsp://{nobody}/cloth\"\nmm_per_px = 0.2\noffset_mm = 380.0\n");
    write_station(&mill, page, &(loom_lane(0.0) + &dead), "");
    let mut stood = Stood::up(&mill, page, &[]);
    until(
        "the first exposes and the second is told to be gone",
        || {
            let live = stood.live();
            let cameras = &live["cameras"];
            let why = cameras[1]["why"].as_str().unwrap_or_default();
            cameras[0]["n_frames"].as_u64() > Some(1) && why.contains("rtsp://")
        },
    );
    let live = stood.live();
    assert_eq!(live["cameras"][1]["doing"], "gone");
    let (status, told) = stood.begin("R-1");
    assert_eq!(status, 409, "{told}");
    assert!(
        told.contains("a camera that has shown nothing yet"),
        "{told}"
    );
    let (status, health) = stood.ask("GET /health", "").unwrap();
    assert_eq!(status, 503);
    assert!(health.contains("camera 2: gone"), "{health}");
    let (code, took) = stood.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn cloth_from_files_is_no_camera_and_is_refused_at_once() {
    let mill = Mill::empty();
    let lane = "[[lane]]\nfrom = \"roll\"\nmm_per_px = 0.2\n";
    write_station(&mill, free_address(), lane, "");
    let ran = mill.run(&["run", "station.toml"]);
    ran.refuses(&["lane 1: roll holds its cloth and waits", "selvedge inspect"]);
}
