//! The service manager's socket, held by the test, and settings read anew.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{PATIENCE, Stood, free_address, loom_lane, until, write_station};
use crate::program::Mill;
use crate::{not_run, tree};

/// What a service manager hears.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn of(mill: &Mill) -> Self {
        let path = mill.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    /// The next word that is not of the status.
    fn hears(&self) -> String {
        let mut bytes = [0; 4096];
        loop {
            let n = self.socket.recv(&mut bytes).unwrap();
            let word = String::from_utf8(bytes[..n].to_vec()).unwrap();
            if !word.starts_with("STATUS=") {
                return word;
            }
        }
    }

    /// Waits for this word; only what the watchdog is told may come before.
    fn hears_of(&self, word: &str) -> String {
        let since = Instant::now();
        loop {
            assert!(since.elapsed() < PATIENCE, "{word} was not heard");
            let heard = self.hears();
            if heard.starts_with(word) {
                return heard;
            }
            assert_eq!(heard, "WATCHDOG=1\n");
        }
    }

    /// How often the watchdog is told within `time`.
    fn n_alive(&self, time: Duration) -> usize {
        let since = Instant::now();
        let mut n = 0;
        while let Some(left) = time
            .checked_sub(since.elapsed())
            .filter(|left| !left.is_zero())
        {
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut bytes = [0; 4096];
            n += self
                .socket
                .recv(&mut bytes)
                .is_ok_and(|n| bytes[..n].starts_with(b"WATCHDOG=1")) as usize;
        }
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        n
    }

    /// A station of one lane that tells this manager, whose watchdog waits for `watchdog`.
    fn starts(&self, mill: &Mill, watchdog: Duration, more: &str) -> Stood {
        let page = free_address();
        let file = format!("{more}{}", loom_lane(0.0));
        write_station(mill, page, &file, "");
        let micros = watchdog.as_micros().to_string();
        let env = [
            ("NOTIFY_SOCKET", self.path.to_str().unwrap()),
            ("WATCHDOG_USEC", &micros),
        ];
        Stood::up(mill, page, &env)
    }
}

#[test]
fn a_manager_hears_when_the_station_is_ready_reloads_and_stops() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let manager = Manager::of(&mill);
    let mut stood = manager.starts(&mill, Duration::from_secs(2), "");
    manager.hears_of("READY=1");
    manager.hears_of("WATCHDOG=1");
    stood.signal("-HUP");
    let reloads = manager.hears_of("RELOADING=1");
    let began = reloads.trim().rsplit_once("MONOTONIC_USEC=").unwrap().1;
    assert!(began.parse::<u64>().unwrap() > 0, "{reloads}");
    manager.hears_of("READY=1");
    assert_eq!(stood.live()["settings"]["refused"], serde_json::Value::Null);
    let (code, _) = stood.terminate();
    assert_eq!(code, Some(0));
    manager.hears_of("STOPPING=1");
}

#[test]
fn settings_read_anew_hold_from_the_next_roll_on_and_wrong_ones_change_nothing() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let manager = Manager::of(&mill);
    let mut stood = manager.starts(&mill, PATIENCE, "loom_m_per_min = 30.0\n");
    manager.hears_of("READY=1");
    let file = mill.path().join("station.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let reload = |text: &str| {
        std::fs::write(&file, text).unwrap();
        stood.signal("-HUP");
        manager.hears_of("RELOADING=1");
        manager.hears_of("READY=1");
    };
    reload(&text.replace("0.2", "0.25").replace("30.0", "40.0"));
    let refused = stood.live()["settings"]["refused"].to_string();
    assert!(
        refused.contains("another [[lane]], loom_m_per_min in"),
        "{refused}"
    );
    let page = stood.ask("GET /", "").unwrap().1;
    assert!(page.contains("those before hold"), "{page}");
    let roll = |roll: &str| {
        stood.until_exposing();
        let n_before = stood.live()["n_frames"].as_u64().unwrap();
        let (status, told) = stood.begin(roll);
        assert_eq!(status, 200, "{told}");
        until("the roll is seen", || {
            stood.live()["n_frames"].as_u64().unwrap() > n_before + 3
        });
        stood.end();
        until("the roll is over", || stood.live()["roll"].is_null());
        mill.run(&["roll", roll]).out
    };
    assert!(!roll("R-1").contains("too_dark"), "what held before holds");
    reload(&format!("{text}[light]\nmin_mean_level = 250.0\n"));
    assert_eq!(stood.live()["settings"]["refused"], serde_json::Value::Null);
    let told = roll("R-2");
    assert!(told.contains("too_dark"), "{told}");
    // Without an article in the file an order must name one.
    reload(&text.replace("article = \"plain\"\n", ""));
    let (status, told) = stood.begin("R-3");
    assert_eq!(status, 409);
    assert!(told.contains("found no article"), "{told}");
    assert_eq!(stood.terminate().0, Some(0));
}

#[test]
fn a_line_that_hangs_is_not_kept_alive_and_one_that_goes_on_is() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let manager = Manager::of(&mill);
    let watchdog = Duration::from_secs(2);
    let stood = manager.starts(&mill, watchdog, "loom_m_per_min = 100.0\n");
    manager.hears_of("READY=1");
    stood.until_exposing();
    let (status, told) = stood.begin("R-1");
    assert_eq!(status, 200, "{told}");
    until("the roll is seen", || {
        stood.live()["n_frames"].as_u64() > Some(3)
    });
    manager.hears_of("WATCHDOG=1");
    // Somebody locks the store: nothing can be written, the line fills up and waits.
    let locker = rusqlite::Connection::open(mill.path().join("selvedge.db")).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    until("the line hangs", || manager.n_alive(watchdog) == 0);
    assert_eq!(
        stood.ask("GET /live.json", "").unwrap().0,
        200,
        "its page answers"
    );
    locker.execute_batch("ROLLBACK").unwrap();
    manager.hears_of("WATCHDOG=1");
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = std::fs::read_to_string(tree("setup/selvedge@.service")).unwrap();
    for word in ["Type=notify", "WatchdogSec=", "Restart=on-failure", "-HUP"] {
        assert!(unit.contains(word), "{word}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("selvedge@table3.service");
    let program = env!("CARGO_BIN_EXE_selvedge");
    std::fs::write(&file, unit.replace("/usr/local/bin/selvedge", program)).unwrap();
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output();
    let Ok(verified) = verified else {
        return not_run("no systemd-analyze to verify the unit with");
    };
    assert!(verified.status.success(), "{verified:?}");
}
