//! Aravis' fake GigE Vision camera, in a network of its own.
//!
//! Two such cameras on one address answer for each other, and each answers whoever searches for
//! any. So each test runs itself again in a network namespace where there is nothing but loopback
//! and what it starts there; that takes no privileges and changes nothing outside.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use camera::{GenicamCamera, GenicamSettings, Pool, Source};

use crate::not_run;

const PROGRAM: &str = "arv-fake-gv-camera-0.8";
pub(super) const SERIAL: &str = "T4711";
/// GigE Vision's control port.
const PORT: u16 = 3956;

/// Set where a test runs in a network of its own.
const ALONE: &str = "SELVEDGE_TEST_ALONE";
/// Loopback, with a second address to move to; then what is to be run there.
const NETWORK: &str = "ip link set lo up && ip addr add 127.0.0.2/8 dev lo && exec \"$@\"";
pub(super) const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub(super) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Runs a test, which must be the closure of a test function, in a network of its own.
pub(super) fn alone<F: FnOnce()>(test: F) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let in_network = |program: &std::path::Path| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--net"])
            // Whatever was started there ends with it.
            .args(["--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", NETWORK, "sh"])
            .arg(program)
            .env(ALONE, "1");
        command
    };
    let has_network = in_network("true".as_ref()).output();
    if !has_network.is_ok_and(|output| output.status.success()) {
        return not_run("no network of its own to be had (unshare, ip) for a GenICam camera");
    }
    let fake = Command::new(PROGRAM).arg("--help").output();
    if fake.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return not_run("no fake GenICam camera; see setup/test-packages.txt");
    }
    // `main::genicam::name_of_the_test::{{closure}}`.
    let name = std::any::type_name::<F>();
    let name = name
        .trim_start_matches("main::")
        .trim_end_matches("::{{closure}}");
    let ran = in_network(&std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{name}: {said}"
    );
}

/// A fake camera that ends with its test.
pub(super) struct Fake {
    child: Child,
    pub(super) address: Ipv4Addr,
    lost_per_thousand: &'static str,
}

impl Fake {
    pub(super) fn start(lost_per_thousand: &'static str) -> Self {
        Self {
            child: spawn(HERE, lost_per_thousand),
            address: HERE,
            lost_per_thousand,
        }
    }

    pub(super) fn die(&mut self) -> Instant {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Instant::now()
    }

    pub(super) fn start_again(&mut self, address: Ipv4Addr) {
        self.address = address;
        self.child = spawn(address, self.lost_per_thousand);
    }

    pub(super) fn open(&self, settings: &GenicamSettings) -> (GenicamCamera, Pool) {
        let camera = GenicamCamera::open(&self.address.to_string(), 2, settings).unwrap();
        let pool = Pool::new(4, camera.description().shape.n_bytes());
        (camera, pool)
    }

    pub(super) fn refusal(&self, settings: &GenicamSettings) -> String {
        let opened = GenicamCamera::open(&self.address.to_string(), 2, settings);
        opened.unwrap_err().to_string()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.die();
    }
}

/// Starts a fake camera and waits until it has taken its port.
fn spawn(address: Ipv4Addr, lost: &str) -> Child {
    let is_free = || UdpSocket::bind((address, PORT)).is_ok();
    assert!(is_free(), "{address} is in use");
    let child = Command::new(PROGRAM)
        .args(["-i", &address.to_string(), "-s", SERIAL, "-r", lost])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_free() {
        assert!(Instant::now() < deadline, "no camera at {address}");
        pause(Duration::from_millis(5));
    }
    child
}

/// Lets others run before something is looked at again.
pub(super) fn pause(time: Duration) {
    let (_nobody, never) = mpsc::sync_channel::<()>(0);
    assert!(never.recv_timeout(time).is_err());
}
