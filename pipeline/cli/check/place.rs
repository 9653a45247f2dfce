//! What is around a station: its disk, who may read and write there, its clock, its page, and who
//! hears its alarms.

use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use store::{Store, StoreError, now_us};

use super::super::Place;
use super::super::run::{dated, read_token};
use super::{Findings, Told};
use crate::config::{OutputSettings, Station};
use crate::outputs::ARE_BUILT_IN;
use crate::record::CROPS_RESERVE_BYTES;

/// How long a receiver or the clock's keeper may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The year began in which this was written: no clock that was ever set shows an earlier time.
const EARLIEST_US: i64 = 1_767_225_600 * 1_000_000;
/// Microseconds of a day.
const DAY_US: i64 = 86_400 * 1_000_000;
/// Where a web server listens whose address says no port.
const HTTP_PORT: u16 = 80;

pub(super) fn check(
    file: &Path,
    station: &Station,
    place: &Place,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let url = &place.store;
    match Store::try_writing(url) {
        Ok(()) => {
            let told = "takes what is written".to_owned();
            findings.tell("store", Ok(Told::Good(told)))?;
            findings.tell("disk", disk(url))?;
        }
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => findings.tell("store", Err(error.into()))?,
    }
    for folder in folders(file, url) {
        findings.tell("folder", folder_is_own(&folder))?;
    }
    let settings = &station.standing;
    if let Some(token) = &settings.token_file {
        findings.tell("token", token_is_secret(token))?;
    }
    if let Some(log) = &station.log.file {
        findings.tell("log", log_has_place(log))?;
    }
    findings.tell("clock", clock())?;
    match settings.listen {
        Some(listen) => {
            let found = TcpListener::bind(listen)
                .map(|_| Told::Good(format!("{listen} is free")))
                .with_context(|| {
                    format!("{listen} cannot be listened on: does a station stand already?")
                });
            findings.tell("page", found)?;
        }
        None => {
            let told = "none: the station shows nothing of itself (page.listen)".to_owned();
            findings.tell("page", Ok(Told::Note(told)))?;
        }
    }
    receivers(&station.outputs, findings)
}

/// What is free, and for how long at the rate so far.
fn disk(url: &str) -> anyhow::Result<Told> {
    let store = Store::open_existing(url)?;
    let Some(free) = store.free_bytes()? else {
        let told = "the server's own; what is free there is not known here".to_owned();
        return Ok(Told::Note(told));
    };
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    let reserve = CROPS_RESERVE_BYTES >> 20;
    ensure!(
        free >= CROPS_RESERVE_BYTES,
        "found {} MiB free, expected {reserve} MiB or more: flaws are written without their pictures now, make room",
        free >> 20
    );
    let told = format!(
        "{:.1} GiB free; below {reserve} MiB flaws lose their pictures",
        gib(free as f64)
    );
    // Rolls that are inspected again count from their latest run: a rate that is rather too high.
    let began = store.rolls()?.iter().map(|roll| roll.started_at_us).min();
    let days = began.map_or(0.0, |began| (now_us() - began) as f64 / DAY_US as f64);
    let written = std::fs::metadata(file_of(url)).map_or(0, |facts| facts.len());
    if days < 1.0 || written == 0 {
        return Ok(Told::Good(told));
    }
    let per_day = written as f64 / days;
    Ok(Told::Good(format!(
        "{told}; {:.2} GiB a day over {days:.0} days: enough for {:.0} more",
        gib(per_day),
        free as f64 / per_day
    )))
}

/// The store's file.
fn file_of(url: &str) -> &Path {
    Path::new(url.strip_prefix("sqlite:").unwrap_or(url))
}

/// Folders that others must not change: of the station file, and of the store where it is a file.
fn folders(file: &Path, url: &str) -> Vec<PathBuf> {
    let mut folders = vec![folder_of(file)];
    if !url.contains("://") && url != ":memory:" {
        folders.push(folder_of(file_of(url)));
    }
    folders.dedup();
    folders
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|parent| *parent != Path::new(""));
    folder.unwrap_or(Path::new(".")).to_owned()
}

fn folder_is_own(folder: &Path) -> anyhow::Result<Told> {
    let facts = folder.metadata();
    let mode = facts
        .with_context(|| format!("folder {folder:?}"))?
        .permissions()
        .mode();
    ensure!(
        mode & 0o002 == 0,
        "found {folder:?} writable by everybody (mode {:o}), expected by its owner alone: `chmod o-w`",
        mode & 0o7777
    );
    Ok(Told::Good(format!(
        "{folder:?} is closed to others' writing"
    )))
}

fn token_is_secret(file: &Path) -> anyhow::Result<Told> {
    read_token(file)?;
    let mode = file.metadata()?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "found {file:?} readable by others than its owner (mode {:o}), expected 600: whoever reads it can begin and end rolls; `chmod 600`",
        mode & 0o777
    );
    Ok(Told::Good(format!("{file:?} is its owner's alone")))
}

fn log_has_place(file: &Path) -> anyhow::Result<Told> {
    let folder = folder_of(file);
    ensure!(
        folder.is_dir(),
        "found no folder {folder:?}, expected the one of the log's files: make it, or the log goes to standard error"
    );
    Ok(Told::Good(format!("{} and the day", file.display())))
}

/// Whether the clock was set, and whether somebody keeps it right.
fn clock() -> anyhow::Result<Told> {
    let now = now_us();
    let told = dated(SystemTime::now());
    ensure!(
        now >= EARLIEST_US,
        "found {told}, expected 2026 or later: set the clock, rolls are dated by it"
    );
    match is_kept() {
        Some(true) => Ok(Told::Good(format!("{told}, synchronised"))),
        Some(false) => anyhow::bail!(
            "found {told}, not synchronised, expected a time service: `timedatectl set-ntp true`"
        ),
        None => Ok(Told::Note(format!(
            "{told}; whether it is synchronised cannot be told here (no timedatectl that answers)"
        ))),
    }
}

/// Whether the kernel holds the clock for synchronised, as systemd reads it there; `None` where
/// systemd does not answer. To ask the kernel itself takes code that this program forbids itself.
fn is_kept() -> Option<bool> {
    let mut asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let since = Instant::now();
    while asked.try_wait().ok()?.is_none() {
        if since.elapsed() >= PATIENCE {
            asked.kill().ok()?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let answer = asked.wait_with_output().ok()?;
    match answer.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// Whether those that hear of alarms can be reached, and what they are told with is there.
fn receivers(outputs: &OutputSettings, findings: &mut Findings) -> anyhow::Result<()> {
    if *outputs == OutputSettings::default() {
        return Ok(());
    }
    if !ARE_BUILT_IN {
        let error = "found [outputs] in the station file, but this build has none, expected one with the Cargo feature `outputs`";
        return findings.tell("outputs", Err(anyhow::anyhow!(error)));
    }
    if let Some(modbus) = &outputs.modbus {
        findings.tell("modbus", answers(&modbus.address))?;
    }
    if let Some(mqtt) = &outputs.mqtt {
        findings.tell("mqtt", answers((mqtt.host.as_str(), mqtt.port)))?;
        if let Some((_, variable)) = &mqtt.login
            && std::env::var_os(variable).is_none()
        {
            let error = anyhow::anyhow!(
                "found no environment variable {variable}, expected the broker's password in it"
            );
            findings.tell("mqtt", Err(error))?;
        }
    }
    if let Some(webhook) = &outputs.webhook {
        findings.tell("webhook", answers(host_of(&webhook.url)))?;
    }
    Ok(())
}

/// Host and port of a web address.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_with_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if is_with_port {
        host.to_owned()
    } else {
        format!("{host}:{HTTP_PORT}")
    }
}

/// Whether somebody takes a connection at `address`; nothing is said to them.
fn answers(address: impl ToSocketAddrs + std::fmt::Debug) -> anyhow::Result<Told> {
    let places = address
        .to_socket_addrs()
        .with_context(|| format!("{address:?} is no known host"))?;
    let mut refused = None;
    for place in places {
        match TcpStream::connect_timeout(&place, PATIENCE) {
            Ok(_) => return Ok(Told::Good(format!("{place} takes connections"))),
            Err(error) => refused = Some((place, error)),
        }
    }
    let (place, error) = refused.context("found a host without an address")?;
    Err(error).with_context(|| {
        format!("{place} cannot be reached, expected a receiver there: is it on, and the cable in?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_address_is_reached_at_its_port_or_at_the_usual_one() {
        for (url, host) in [
            ("http://mill/hook", "mill:80"),
            ("http://mill:8080/hook?x=1:2", "mill:8080"),
            ("http://[::1]/", "[::1]:80"),
            ("http://[::1]:81", "[::1]:81"),
        ] {
            assert_eq!(host_of(url), host);
        }
    }
}
