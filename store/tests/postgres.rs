//! The proof that the store's statements and schema carry over to PostgreSQL: the whole life of
//! `life.rs` on a throw-away server, started here where its programs are installed.
//!
//! Run with `cargo test -p store --features postgres`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::life::check_a_whole_life;
use crate::not_run;

#[test]
fn a_life_on_postgresql() {
    if !cfg!(feature = "postgres") {
        not_run("PostgreSQL is not built in; add --features postgres");
        return;
    }
    let Some(server) = Server::start() else {
        not_run("found no PostgreSQL server programs under /usr/lib/postgresql");
        return;
    };
    check_a_whole_life(&server.url());
}

/// A PostgreSQL server of its own: own folder, own socket, no network. Ends when dropped.
struct Server {
    programs: PathBuf,
    folder: TempDir,
}

impl Server {
    fn start() -> Option<Server> {
        let versions = Path::new("/usr/lib/postgresql").read_dir().ok()?;
        let mut found: Vec<PathBuf> = versions
            .filter_map(|version| Some(version.ok()?.path().join("bin")))
            .filter(|programs| programs.join("initdb").exists())
            .collect();
        found.sort();
        let server = Server {
            programs: found.pop()?,
            folder: tempfile::tempdir().unwrap(),
        };
        if is_root() {
            // The server refuses to run as root.
            run(Command::new("chown")
                .arg("postgres")
                .arg(server.folder.path()));
        }
        run(server.program("initdb").args([
            "-A",
            "trust",
            "-U",
            "mill",
            "--no-sync",
            "-E",
            "UTF8",
        ]));
        let options = format!(
            "-c listen_addresses='' -c fsync=off -k {}",
            server.folder.path().display()
        );
        run(server
            .program("pg_ctl")
            .args(["-w", "-l"])
            .arg(server.folder.path().join("log"))
            .args(["-o", &options, "start"]));
        Some(server)
    }

    fn url(&self) -> String {
        format!(
            "postgres://mill@localhost/postgres?host={}",
            self.folder.path().display()
        )
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
        command
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(self
            .program("pg_ctl")
            .args(["-w", "-m", "immediate", "stop"]));
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

fn run(command: &mut Command) {
    // The server inherits what is not given; a pipe it holds open would never end.
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "{command:?} failed");
}
