//! Who types a command, on which chain that is kept, and passwords that nobody sees.
//!
//! Whoever may read the key and write the store is the machine's own administrator: commands are entered as
//! `local:USER`, by the user that the process belongs to, not by what the environment says. A password is read
//! from the terminal, twice and unseen, or as one line from a pipe; never from an argument, which every
//! user of a machine can list.

use std::io::{BufRead, IsTerminal, Read, Write, stderr, stdin};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use rustix::process::geteuid;
use rustix::system::uname;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use store::{By, Chain, ChainKey, Name, Role, Store};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Place, name};

/// What local users' names begin with; no account may.
pub(super) const LOCAL: &str = "local:";
/// A line of a pipe that is longer is no password.
const LINE_MOST_BYTES: u64 = 4096;

/// Where what is done is kept.
#[derive(Clone, Debug, Args)]
pub(super) struct Kept {
    #[command(flatten)]
    pub(super) place: Place,
    /// The key of the log; `selvedge.key` beside the store when left out. Made at first use.
    #[arg(long, env = "SELVEDGE_KEY", value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// The chain of the log that this is entered in; this machine's name when left out.
    #[arg(long, env = "SELVEDGE_CHAIN", value_name = "NAME")]
    chain: Option<String>,
}

impl Kept {
    /// Does something in the store as the user of this machine.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&mut Store, &By<'_>) -> Result<T, store::StoreError>,
    ) -> anyhow::Result<T> {
        let mut store = self.place.open()?;
        let key = key_file(self.key.as_ref(), &self.place);
        let chain = Chain::new(self.chain()?, ChainKey::open(&key)?);
        let account = local_user()?;
        let by = By {
            chain: &chain,
            account: &account,
            role: Role::Admin,
        };
        Ok(work(&mut store, &by)?)
    }

    /// The name of the chain.
    ///
    /// # Errors
    /// When it cannot be one.
    pub(super) fn chain(&self) -> anyhow::Result<Name> {
        match &self.chain {
            Some(chain) => name(chain, "--chain"),
            None => host(),
        }
    }
}

/// The file of the key.
pub(super) fn key_file(key: Option<&PathBuf>, place: &Place) -> PathBuf {
    key.map_or_else(|| ChainKey::beside(&place.store), PathBuf::clone)
}

/// A time in UTC, as in `2026-11-28T12:00:00Z`.
pub(super) fn time_of(at_us: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at_us.div_euclid(1_000_000));
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_else(|_| at_us.to_string())
}

fn host() -> anyhow::Result<Name> {
    let host = uname().nodename().to_string_lossy().into_owned();
    name(&host, "this machine's name; expected a --chain")
}

/// The user that this process belongs to.
pub(super) fn local_user() -> anyhow::Result<Name> {
    let uid = geteuid().as_raw();
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let user = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| user.to_owned())
    });
    let user = user.unwrap_or_else(|| format!("uid {uid}"));
    name(&format!("{LOCAL}{user}"), "user")
}

/// A password that is to be set.
pub(super) fn new_password(of: &Name) -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        let mut line = String::new();
        let mut input = stdin().lock().take(LINE_MOST_BYTES);
        input.read_line(&mut line).context("standard input")?;
        ensure!(
            !line.is_empty(),
            "found no line on standard input, expected the password of {:?}",
            of.as_str()
        );
        return Ok(without_end(&line).to_owned());
    }
    let first = unseen(&format!("Password of {of}: "))?;
    let again = unseen("Once more: ")?;
    if first != again {
        bail!("found two passwords that differ, expected the same twice");
    }
    Ok(first)
}

/// A line from the terminal that is not shown.
fn unseen(prompt: &str) -> anyhow::Result<String> {
    let input = stdin();
    let shown = tcgetattr(&input).context("the terminal")?;
    let mut hidden = shown.clone();
    // Nor do signals come from the keyboard meanwhile: the terminal would be left as it is now.
    hidden
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ISIG);
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&input, OptionalActions::Flush, &hidden).context("the terminal")?;
    // Asked only now: what is typed before this point would be shown, and is thrown away.
    let mut err = stderr();
    let mut line = String::new();
    let asked = write!(err, "{prompt}").and_then(|()| err.flush());
    let read = asked.and_then(|()| input.lock().read_line(&mut line));
    tcsetattr(&input, OptionalActions::Flush, &shown).context("the terminal")?;
    read.context("the terminal")?;
    Ok(without_end(&line).to_owned())
}

fn without_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}
