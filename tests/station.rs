//! A station that stands: rolls one after the other, orders, cameras that fail, the page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::Mill;

const TOKEN: &str = "a-token-that-is-long-enough";
/// Longest time that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A station of two simulated cameras over one web, of article `plain`.
struct Stood {
    mill: Mill,
    station: Child,
    page: SocketAddr,
}

impl Stood {
    fn up(more: &[&str]) -> Option<Self> {
        Self::up_with("", "", more)
    }

    /// With `settings` and `tables` in its file too.
    fn up_with(settings: &str, tables: &str, more: &[&str]) -> Option<Self> {
        let mill = Mill::taught()?;
        // A port that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let page = free.local_addr().unwrap();
        let lane = |offset: f64| {
            format!("[[lane]]\nfrom = \"loom:1\"\nmm_per_px = 0.2\noffset_mm = {offset}\n")
        };
        let file = format!(
            "name = \"table 3\"\narticle = \"plain\"\nloom_m_per_min = 4.0\n{settings}{}{}[page]\nlisten = \"{page}\"\ntoken_file = \"token\"\n{tables}",
            lane(0.0),
            lane(380.0)
        );
        std::fs::write(mill.path().join("station.toml"), file).unwrap();
        std::fs::write(mill.path().join("token"), TOKEN).unwrap();
        drop(free);
        let station = Command::new(env!("CARGO_BIN_EXE_selvedge"))
            .current_dir(mill.path())
            .args(["run", "station.toml"])
            .args(more)
            .env("SELVEDGE_LOG", "info")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stood = Self {
            mill,
            station,
            page,
        };
        stood.until("the page answers", || stood.try_get("/live.json").is_some());
        let exposes = |camera: &Value| camera["n_frames"].as_u64() > Some(0);
        stood.until("every camera exposes", || {
            stood.live()["cameras"]
                .as_array()
                .unwrap()
                .iter()
                .all(exposes)
        });
        Some(stood)
    }

    /// Waits until something is so.
    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < PATIENCE, "{what} did not come to be");
            std::thread::yield_now();
        }
    }

    fn ask(&self, request: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.page).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, body.to_owned()))
    }

    fn try_get(&self, path: &str) -> Option<(u16, String)> {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: station\r\nConnection: close\r\n\r\n"
        ))
    }

    fn live(&self) -> Value {
        serde_json::from_str(&self.try_get("/live.json").unwrap().1).unwrap()
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        let n = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: station\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {n}\r\n\r\n{body}"
        ))
        .unwrap()
    }

    /// Logs in with the password that the station told when it first began, and gives back the cookie.
    fn log_in(&mut self) -> String {
        let lines = BufReader::new(self.station.stdout.take().unwrap()).lines();
        let password = lines.map(Result::unwrap).find_map(|line| {
            let (_, told) = line.split_once("password ")?;
            told.split(' ').next().map(str::to_owned)
        });
        let form = format!("name=admin&password={}", password.unwrap());
        let n = form.len();
        let mut stream = TcpStream::connect(self.page).unwrap();
        write!(stream, "POST /login HTTP/1.1\r\nHost: station\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {n}\r\n\r\n{form}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let cookie = answer
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "));
        cookie.unwrap().split(';').next().unwrap().to_owned()
    }

    fn scan(&mut self, line: &str) {
        let input = self.station.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Frames that the rolls have dealt with.
    fn n_frames(&self) -> u64 {
        self.live()["n_frames"].as_u64().unwrap()
    }

    fn n_rolls(&self) -> u64 {
        self.live()["n_rolls"].as_u64().unwrap()
    }

    fn roll(&self, roll: &str) -> Value {
        let told = self.mill.run(&["roll", roll, "--json"]);
        serde_json::from_str(&told.out).unwrap()
    }

    fn terminate(&mut self) -> (Option<i32>, Duration) {
        let pid = self.station.id().to_string();
        let since = Instant::now();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
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

/// Area of a roll's coverage in µm², and of its length times width.
fn accounted(roll: &Value) -> (f64, f64) {
    let of = |key: &str| roll[key].as_f64().unwrap();
    let gaps: f64 = (roll["gaps"].as_array().unwrap().iter())
        .map(|gap| gap["area_mm2"].as_f64().unwrap())
        .sum();
    let beside = of("beside_mm2");
    (
        of("inspected_mm2") + gaps + beside,
        of("length_mm") * of("width_mm"),
    )
}

#[test]
fn rolls_follow_each_other_and_each_is_accounted_for() {
    let Some(mut stood) = Stood::up(&[]) else {
        return;
    };
    stood.scan("R-1");
    stood.until("R-1 is seen", || stood.n_frames() >= 6);
    let (status, told) = stood.post("/rolls/begin", r#"{"roll": "R-2"}"#);
    assert_eq!(status, 200, "{told}");
    stood.until("R-1 is done and R-2 is seen", || {
        stood.n_rolls() == 1 && stood.n_frames() >= 14
    });
    stood.scan("END");
    stood.until("R-2 is done", || stood.n_rolls() == 2);
    for roll in ["R-1", "R-2"] {
        let roll = stood.roll(roll);
        let (sum, whole) = accounted(&roll);
        assert!(
            (sum - whole).abs() < 1e-3 * whole,
            "{sum} of {whole}: {roll}"
        );
        assert_eq!(roll["gaps"], serde_json::json!([]), "{roll}");
        assert!(roll["length_mm"].as_f64().unwrap() > 50.0, "{roll}");
    }
    let (code, took) = stood.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_seam_ends_a_roll_and_the_ordered_one_begins_there() {
    let settings = "loom_seam_every_m = 0.5\n";
    let Some(mut stood) = Stood::up_with(settings, "[rolls]\nseam = \"ends\"\n", &[]) else {
        return;
    };
    stood.scan("R-1");
    stood.until("R-1 is on", || stood.live()["roll"]["roll"] == "R-1");
    let (status, told) = stood.post("/rolls/begin", r#"{"roll": "R-2"}"#);
    assert_eq!(status, 200, "{told}");
    assert!(
        told.contains("roll R-2 of article plain begins at the next seam"),
        "{told}"
    );
    assert_eq!(stood.n_rolls(), 0, "it is waited for");
    stood.until("a seam ends R-1", || stood.n_rolls() == 1);
    stood.until("R-2 is on", || stood.live()["roll"]["roll"] == "R-2");
    // Nobody orders: the next one begins by itself.
    stood.until("a seam ends R-2", || stood.n_rolls() == 2);
    stood.until("R-2-2 is on", || stood.live()["roll"]["roll"] == "R-2-2");
    stood.scan("END");
    stood.until("R-2-2 is done", || stood.n_rolls() == 3);
    assert_eq!(stood.terminate().0, Some(0));
    let of = |value: &Value| value.as_f64().unwrap();
    for name in ["R-1", "R-2"] {
        let roll = stood.roll(name);
        let (sum, whole) = accounted(&roll);
        assert!(
            (sum - whole).abs() < 1e-3 * whole,
            "{sum} of {whole}: {roll}"
        );
        let length = of(&roll["length_mm"]);
        let gaps = roll["gaps"].as_array().unwrap();
        assert!(!gaps.is_empty(), "{roll}");
        // The whole seam lies at the end of the roll that it ends.
        for gap in gaps {
            assert_eq!(gap["reason"], "seam", "{roll}");
            let [from, to] = [0, 1].map(|end| of(&gap["along_mm"][end]));
            assert!(length - 40.0 < from && from < length - 10.0, "{roll}");
            assert!(length - 12.0 < to && to <= length, "{roll}");
        }
        // Nothing across is left of it, at the end of this roll or at the beginning of the next. Lines along
        // the warp are the second camera's own: the model was taught with the first.
        for flaw in roll["flaws"].as_array().unwrap() {
            let span = |key: &str| [0, 1].map(|end| of(&flaw[key][end]));
            let ([from, to], [left, right]) = (span("along_mm"), span("across_mm"));
            let is_near = from < 20.0 || to > length - 60.0;
            let is_line = to - from > right - left;
            let is_faint = of(&flaw["score"]) < 2.0;
            assert!(!is_near || is_line || is_faint, "{roll}");
        }
    }
    // From seam to seam, to within its being askew.
    let length = of(&stood.roll("R-2")["length_mm"]);
    assert!((length - 500.0).abs() < 4.0, "{length}");
    let store = stood.mill.path().join("selvedge.db");
    let store = store::Store::open_existing(&store.display().to_string()).unwrap();
    let events = store.loose_events(100).unwrap();
    let told: Vec<&str> = (events.iter().filter(|event| event.kind == "roll_by_seam"))
        .map(|event| event.message.as_str())
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("roll R-2-2 of the same article begins there"),
        "{told:?}"
    );
}

#[test]
fn a_page_that_is_stalled_and_flooded_costs_the_roll_nothing() {
    const N_STALLED: usize = 150;
    const N_FLOODING: usize = 8;
    let Some(mut stood) = Stood::up_with("loom_flaws_per_mpx = 4.0\n", "", &[]) else {
        return;
    };
    let cookie = stood.log_in();
    stood.scan("R-1");
    stood.until("R-1 is seen", || stood.n_frames() >= 4);
    let run = stood.roll("R-1")["run"].as_str().unwrap().to_owned();
    let stalled: Vec<TcpStream> = (0..N_STALLED)
        .map(|_| {
            let mut stream = TcpStream::connect(stood.page).unwrap();
            stream
                .write_all(b"POST /login HTTP/1.1\r\nContent-Length: 9000\r\n")
                .unwrap();
            stream
        })
        .collect();
    let (is_over, n_answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..N_FLOODING {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for path in ["/rolls", "/trends", "/audit", &format!("/runs/{run}")] {
                        let asked = stood.ask(&format!("GET {path} HTTP/1.1\r\nHost: station\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"));
                        if asked.is_some_and(|(status, _)| status == 200) {
                            n_answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        let before = stood.n_frames();
        stood.until("the roll goes on", || stood.n_frames() >= before + 30);
        is_over.store(true, Ordering::Relaxed);
    });
    drop(stalled);
    assert!(n_answered.into_inner() > 20, "it was a flood");
    stood.scan("END");
    stood.until("R-1 is done", || stood.n_rolls() == 1);
    let roll = stood.roll("R-1");
    let (sum, whole) = accounted(&roll);
    assert!((sum - whole).abs() < 1e-3 * whole, "{sum} of {whole}");
    assert_eq!(roll["gaps"], serde_json::json!([]), "nothing was dropped");
    let n_flaws = roll["flaws"].as_array().unwrap().len() as u64;
    assert!(n_flaws > 0 && stood.live()["n_flaws"].as_u64() == Some(n_flaws));
}

#[test]
fn a_wrong_order_is_refused_before_anything_happens() {
    let Some(stood) = Stood::up(&["--roll", "R-1"]) else {
        return;
    };
    stood.until("R-1 is on", || stood.live()["roll"]["roll"] == "R-1");
    let (status, told) = stood.post("/rolls/begin", r#"{"roll": "R-2", "article": "nix"}"#);
    assert_eq!(status, 409);
    assert!(told.contains("nothing was taught for article"), "{told}");
    assert_eq!(stood.live()["roll"]["roll"], "R-1");
    let (status, page) = stood.try_get("/").unwrap();
    assert_eq!(status, 200);
    assert!(page.contains("roll R-1 · article plain"), "{page}");
    stood.until("the cameras expose", || {
        stood.try_get("/health").unwrap().0 == 200
    });
    let figures = stood.try_get("/metrics").unwrap().1;
    assert!(
        figures.contains("selvedge_camera_exposing{camera=\"2\"} 1"),
        "{figures}"
    );
}

#[test]
fn a_station_that_is_terminated_keeps_its_roll_as_cut_off() {
    let Some(mut stood) = Stood::up(&["--roll", "R-1"]) else {
        return;
    };
    stood.until("R-1 is seen", || stood.n_frames() >= 4);
    let (code, took) = stood.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let listed = stood.mill.run(&["rolls"]).out;
    assert!(listed.contains("aborted"), "{listed}");
}

#[cfg(feature = "outputs")]
#[test]
fn an_alarm_of_the_line_stops_the_machine_until_a_person_has_seen_it() {
    use crate::outputs::free_port;
    use crate::outputs::plc::{Plc, Write as Written};

    const STOP: u16 = 3;
    const BEAT: u16 = 10;
    let port = free_port();
    let plc = Plc::start(port);
    let tables = format!(
        "[alarms]\nper_metre = 2\nstop = [\"per_metre\"]\n\
         [outputs.modbus]\naddress = \"127.0.0.1:{port}\"\nheartbeat = {{ register = {BEAT}, every_ms = 20 }}\n\
         stop = {{ coil = {STOP}, active = \"on\" }}\n"
    );
    let Some(mut stood) = Stood::up_with("loom_flaws_per_mpx = 0.8\n", &tables, &[]) else {
        return;
    };
    // The line lives before any roll is on.
    plc.wait_for(&Written::Registers(BEAT, vec![3]));
    stood.scan("R-1");
    plc.wait_for(&Written::Coil(STOP, true));
    let live = stood.live();
    let alarm = &live["alarms"][0];
    assert_eq!(
        (&alarm["id"], &alarm["cause"]),
        (&1.into(), &"per_metre".into()),
        "{live}"
    );
    let page = stood.try_get("/").unwrap().1;
    assert!(page.contains("alarm 1: 2 flaws within a metre"), "{page}");
    // A flaw is told before the ledger reaches it.
    stood.until("the strip shows a flaw", || {
        let strip = stood.try_get("/ribbon.svg").unwrap().1;
        strip.contains("stroke=") && strip.contains(" m</title></rect>")
    });

    let (status, told) = stood.post("/alarms/acknowledge", r#"{"id": 7, "by": "Ayla"}"#);
    assert_eq!(status, 409);
    assert!(told.contains("found no alarm 7 that waits"), "{told}");
    stood.scan("ACK;1;Ayla");
    plc.wait_for(&Written::Coil(STOP, false));
    assert_eq!(stood.terminate().0, Some(0));

    let store = stood.mill.path().join("selvedge.db");
    let store = store::Store::open_existing(&store.display().to_string()).unwrap();
    let events = store.loose_events(100).unwrap();
    let find = |kind: &str| events.iter().find(|event| event.kind == kind).unwrap();
    let raised = &find("alarm_raised").message;
    assert!(raised.starts_with("roll R-1: alarm "), "{raised}");
    let seen = (events.iter()).find(|event| event.message.contains("acknowledged by Ayla"));
    assert_eq!(seen.unwrap().kind, "alarm_acknowledged");
}
