//! The databases that a test runs on: a file of SQLite's, and a throw-away PostgreSQL server.
//!
//! `with_postgres.sh` starts one server for all tests, because each test is a process of its own
//! under `cargo nextest`; a test takes an empty schema in it. Tests that kill a server or fill its
//! disk start their own. Nothing here touches a server that it did not start.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::not_run;

/// Names the server that all tests share: an address without a schema.
const SHARED: &str = "SELVEDGE_TEST_POSTGRES";

/// How often a start is tried.
const N_STARTS: usize = 20;

/// Runs `check` on an empty SQLite store and on an empty PostgreSQL one.
pub(crate) fn on_both(check: impl Fn(&str)) {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path().join("selvedge.db").to_str().unwrap());
    if let Some(url) = on_postgres() {
        check(&url);
    }
}

/// The address of an empty store on the shared server; says aloud why there is none.
pub(crate) fn on_postgres() -> Option<String> {
    shared_server().map(|server| empty_store(&server))
}

/// The address of the server that all tests share; says aloud why there is none.
pub(crate) fn shared_server() -> Option<String> {
    if !cfg!(feature = "postgres") {
        not_run("PostgreSQL is not built in; add --features postgres");
        return None;
    }
    let Ok(shared) = std::env::var(SHARED) else {
        not_run(
            "no PostgreSQL server; start the tests with store/tests/with_postgres.sh, as make test does",
        );
        return None;
    };
    Some(shared)
}

/// Makes a schema in `server` that no other test has; its address.
pub(crate) fn empty_store(server: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("test_{}_{nth}", std::process::id());
    // An earlier test whose process had the same number left its rows there.
    psql(server, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE"));
    psql(server, &format!("CREATE SCHEMA {schema}"));
    format!("{server}&options=-csearch_path%3D{schema}")
}

/// Runs SQL as the server's owner, besides the store.
pub(crate) fn psql(server: &str, sql: &str) -> String {
    let done = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .arg(server)
        .env("PGOPTIONS", "-c client_min_messages=warning")
        .output()
        .unwrap();
    assert!(done.status.success(), "{sql}: {done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A PostgreSQL server of a test's own: own folder, own socket, no network. Ends when dropped.
pub(crate) struct Server {
    programs: PathBuf,
    folder: TempDir,
    /// The write-ahead log lies elsewhere: a server that cannot write it ends itself, whatever
    /// became of the tables.
    log: TempDir,
}

impl Server {
    /// Starts one with its data below `folder`; says aloud why it cannot.
    pub(crate) fn start_in(folder: TempDir) -> Option<Server> {
        if !cfg!(feature = "postgres") {
            not_run("PostgreSQL is not built in; add --features postgres");
            return None;
        }
        let Some(programs) = programs() else {
            not_run("found no PostgreSQL server programs under /usr/lib/postgresql");
            return None;
        };
        let log = tempfile::tempdir().unwrap();
        let server = Server {
            programs,
            folder,
            log,
        };
        if is_root() {
            // The server refuses to run as root.
            let mut chown = Command::new("chown");
            chown.arg("postgres").arg(server.path());
            succeed(chown.arg(server.log.path()));
        }
        let options = ["-A", "trust", "-U", "mill", "--no-sync", "-E", "UTF8"];
        let mut initdb = server.program("initdb");
        initdb.args(options).arg("-X").arg(server.log.path());
        succeed(&mut initdb);
        server.start();
        Some(server)
    }

    /// Starts one.
    pub(crate) fn start_fresh() -> Option<Server> {
        Server::start_in(tempfile::tempdir().unwrap())
    }

    /// Starts it, after [`Server::crash`] too.
    pub(crate) fn start(&self) {
        // What a process has written survives that process, so a crash of the server alone loses
        // nothing without a sync.
        let options = format!(
            "-c listen_addresses='' -c fsync=off -c wal_level=minimal -c max_wal_senders=0 \
             -c max_connections=20 -c shared_buffers=8MB -k {}",
            self.path().display()
        );
        let mut start = self.program("pg_ctl");
        start.args(["-w", "-l"]).arg(self.path().join("log"));
        start.args(["-o", &options, "start"]);
        // Processes of a server that was killed hold its memory until they notice.
        let is_up = (0..N_STARTS).any(|_| outcome(&mut start).status.success());
        assert!(is_up, "{start:?} failed {N_STARTS} times");
    }

    /// Ends it at once, without a checkpoint and without a farewell to anybody.
    pub(crate) fn crash(&self) {
        succeed(
            self.program("pg_ctl")
                .args(["-w", "-m", "immediate", "stop"]),
        );
    }

    /// Ends its first process by force; the others end when they notice.
    pub(crate) fn kill(&self) {
        let file = self.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap();
        succeed(Command::new("kill").args(["-9", text.lines().next().unwrap()]));
    }

    /// The address of its own database.
    pub(crate) fn url(&self) -> String {
        let folder = self.path().display();
        format!("postgres://mill@localhost/postgres?host={folder}")
    }

    /// What the store calls it in messages.
    pub(crate) fn place(&self) -> String {
        self.url().split('?').next().unwrap().to_owned()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// One of the server's programs on this server's data, as a user that may run it.
    fn program(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.arg("-D").arg(self.path().join("data"));
        command.current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        // A test that failed may have left it down.
        let done = outcome(stop.args(["-w", "-m", "immediate", "stop"]));
        if !done.status.success() {
            not_run("a PostgreSQL server of a test was already down at its end");
        }
    }
}

/// The folder of the newest server's programs.
fn programs() -> Option<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql").read_dir().ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

fn succeed(command: &mut Command) {
    let done = outcome(command);
    assert!(done.status.success(), "{command:?} failed");
}

fn outcome(command: &mut Command) -> Output {
    // The server inherits what is not given; a pipe it holds open would never end.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .unwrap()
}
