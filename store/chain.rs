//! Why nobody changes an entry unseen: a chain of hashes under a key, and the head of each chain beside it.
//!
//! ```text
//! selvedge.key    64 hexadecimal digits: 32 random bytes, made at first use, for its owner alone (0600)
//! selvedge.head   "selvedge head 1"  / MAC of what follows / per chain: number, hash, name; a line each
//! ```
//!
//! **What is hashed.** The hash of an entry is HMAC-SHA256, under the key, of these fields in this order, each
//! led by its length in bytes as a big-endian `u32`, so that no two entries have the same bytes:
//!
//! ```text
//! "selvedge entry 1" | hash of the entry before, zeros before the first | chain | number | at
//!                    | account | role | kind | subject | run | body
//! ```
//!
//! Numbers are 8 bytes, big-endian; text is UTF-8 as it stands in the table; a run is the 16 bytes of its id, or
//! nothing. The MAC in the head file is of `"selvedge head 1"` and of its lines, in the same way.
//!
//! **The head.** A chain without its last entries is a whole chain. So the number and hash of the last entry
//! are kept outside the database, and are written (to another file, synced, renamed) after the entry is on the
//! disk. A power cut between the two leaves the database ahead of the head file by what one call wrote. That
//! way round is the honest one: entries that are there prove themselves by the key, and the next one that is
//! appended checks them and moves the head on. A head that is ahead of the database can then only mean
//! that entries are gone (or that an older copy of the database was put back). Such a chain takes no more
//! entries: it stays as it is, as evidence, and people go on under another chain's name.
//!
//! **What it does not show.** Whoever can read the key can write a chain anew. Whoever can put back an older
//! database and the older head file that belongs to it leaves no trace here; note `number:hash` elsewhere now
//! and then, which `audit verify --head` compares. A copy of the database alone can be read by anybody.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest as _, Sha256};

use crate::StoreError;
use crate::entries::Entry;
use crate::names::{Name, fresh_id};

/// The file of the key, beside the store.
const KEY_FILE: &str = "selvedge.key";
/// What the head file begins with; its version too.
const HEAD_TAG: &str = "selvedge head 1";
const ENTRY_TAG: &str = "selvedge entry 1";
/// What is asked of a head file that could be read.
pub(crate) const HEAD_OF_KEY: &str = "the head file that was written under this key";
/// No head file is longer: some thousand chains.
const HEAD_MOST_BYTES: u64 = 1 << 20;
/// A key file is one line.
const KEY_MOST_BYTES: u64 = 200;
/// How long the head file is waited for, and how long between two tries.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
const HEAD_PAUSE: Duration = Duration::from_millis(1);

/// The hash of an entry, which holds everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryHash(pub(crate) [u8; 32]);

impl EntryHash {
    /// What stands before the first entry.
    pub(crate) const NONE: EntryHash = EntryHash([0; 32]);

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for EntryHash {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<EntryHash, StoreError> {
        from_hex(text)
            .map(EntryHash)
            .ok_or_else(|| StoreError::Invalid {
                what: "hash",
                found: format!("{:?}", text.chars().take(65).collect::<String>()),
                expected: "64 hexadecimal digits".to_owned(),
            })
    }
}

/// The key under which a place chains what people do there, and the file of its heads.
#[derive(Clone)]
pub struct ChainKey {
    bytes: Arc<[u8; 32]>,
    path: Arc<Path>,
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainKey")
            .field("path", &self.path)
            .finish()
    }
}

impl ChainKey {
    /// The key in the file `path`; made, and its head file with it, when there is none.
    ///
    /// # Errors
    /// [`StoreError::Key`] when it is no key, when others may read it, or when it cannot be made.
    pub fn open(path: &Path) -> Result<ChainKey, StoreError> {
        if !path.exists() {
            make_key(path).map_err(|error| unfit(path, error.to_string()))?;
        }
        ChainKey::read(path)
    }

    /// The key in the file `path`, which must be there.
    ///
    /// # Errors
    /// [`StoreError::Key`] when it is not there, is no key, or when others may read it.
    pub fn read(path: &Path) -> Result<ChainKey, StoreError> {
        let refused = |found: String| unfit(path, found);
        let file = File::open(path).map_err(|error| refused(error.to_string()))?;
        // Whoever makes the key holds it until its head file is there too.
        lock(&file).map_err(|error| refused(error.to_string()))?;
        let about = file.metadata();
        let mode = about
            .map_err(|error| refused(error.to_string()))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(refused(format!("mode {:04o}", mode & 0o7777)));
        }
        let mut text = String::new();
        let read = file.take(KEY_MOST_BYTES).read_to_string(&mut text);
        read.map_err(|error| refused(error.to_string()))?;
        // What it holds is never shown.
        let bytes =
            from_hex(text.trim_end()).ok_or_else(|| refused("something else".to_owned()))?;
        Ok(ChainKey {
            bytes: Arc::new(bytes),
            path: path.into(),
        })
    }

    /// Where the key of the store at `url` lies when nobody says: beside its file, and for a server's in the
    /// working folder.
    pub fn beside(url: &str) -> PathBuf {
        let file = url.strip_prefix("sqlite:").unwrap_or(url);
        let is_file = !file.contains("://") && file != ":memory:";
        let folder = Path::new(file).parent().filter(|_| is_file);
        folder.unwrap_or(Path::new("")).join(KEY_FILE)
    }

    /// The file of the key.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the heads.
    pub fn head_path(&self) -> PathBuf {
        self.path.with_extension("head")
    }

    /// HMAC-SHA256 of the fields, each led by its length.
    fn mac(&self, fields: &[&[u8]]) -> EntryHash {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.bytes[..])
            .expect("HMAC takes a key of any length");
        for field in fields {
            // A field is a column of a row, far shorter than 4 GiB; a longer one has another MAC, no panic.
            mac.update(&(field.len() as u32).to_be_bytes());
            mac.update(field);
        }
        EntryHash(mac.finalize().into_bytes().into())
    }

    /// The hash of an entry.
    pub(crate) fn hash_of(&self, before: EntryHash, row: &Entry) -> EntryHash {
        self.mac(&[
            ENTRY_TAG.as_bytes(),
            &before.0,
            row.chain.as_bytes(),
            &row.number.to_be_bytes(),
            &row.at_us.to_be_bytes(),
            row.account.as_bytes(),
            row.role.as_bytes(),
            row.kind.as_bytes(),
            row.subject.as_bytes(),
            row.run.as_ref().map_or(&[][..], |run| run.as_bytes()),
            row.body_json.as_bytes(),
        ])
    }

    /// The heads that were kept; none when there is no head file.
    pub(crate) fn heads(&self) -> Result<Option<Heads>, StoreError> {
        let path = self.head_path();
        let refused = |found: String| StoreError::Key {
            path: path.display().to_string(),
            found,
            expected: HEAD_OF_KEY,
        };
        let unread = |error: io::Error| StoreError::Key {
            path: path.display().to_string(),
            found: error.to_string(),
            expected: "a head file that can be read",
        };
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take(HEAD_MOST_BYTES).read_to_end(&mut bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        }
        .map_err(unread)?;
        let text = String::from_utf8_lossy(&bytes);
        let body = text
            .strip_prefix(HEAD_TAG)
            .and_then(|rest| rest.strip_prefix('\n')?.split_once('\n'));
        let Some((mac, body)) = body else {
            return Err(refused("another beginning".to_owned()));
        };
        let expected = self.mac(&[HEAD_TAG.as_bytes(), body.as_bytes()]);
        if from_hex(mac) != Some(expected.0) {
            return Err(refused(
                "one that was changed or belongs to another key".to_owned(),
            ));
        }
        let head = |line: &str| {
            let (number, rest) = line.split_once(' ')?;
            let (hash, chain) = rest.split_once(' ')?;
            let hash = EntryHash(from_hex(hash)?);
            Some((
                chain.to_owned(),
                Head {
                    number: number.parse().ok()?,
                    hash,
                },
            ))
        };
        let heads: Option<Heads> = body.lines().map(head).collect();
        heads
            .map(Some)
            .ok_or_else(|| refused("lines that are none".to_owned()))
    }

    fn write_heads(&self, heads: &Heads) -> Result<(), StoreError> {
        let path = self.head_path();
        let lines = heads
            .iter()
            .map(|(chain, head)| format!("{} {} {chain}\n", head.number, head.hash));
        let body: String = lines.collect();
        let mac = self.mac(&[HEAD_TAG.as_bytes(), body.as_bytes()]);
        let text = format!("{HEAD_TAG}\n{mac}\n{body}");
        replace(&path, text.as_bytes()).map_err(|error| StoreError::Key {
            path: path.display().to_string(),
            found: error.to_string(),
            expected: "a head file that can be written",
        })
    }

    /// Moves the head of a chain on; one that is farther already stays.
    pub(crate) fn keep_head(&self, chain: &Name, head: Head) -> Result<(), StoreError> {
        let _locked = self.lock_heads()?;
        let mut heads = self.heads()?.unwrap_or_default();
        let is_behind = |kept: &Head| kept.number < head.number;
        if heads.get(chain.as_str()).is_none_or(is_behind) {
            heads.insert(chain.as_str().to_owned(), head);
            self.write_heads(&heads)?;
        }
        Ok(())
    }

    /// The kernel's lock on the key file, which is never replaced, as the head file is.
    fn lock_heads(&self) -> Result<File, StoreError> {
        let failed = |error: io::Error| unfit(&self.path, error.to_string());
        let file = File::open(&self.path).map_err(failed)?;
        lock(&file).map_err(failed)?;
        Ok(file)
    }
}

/// Locks a file until it is closed; waits for whoever holds it, but not for ever.
fn lock(file: &File) -> io::Result<()> {
    let since = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK | Errno::INTR) if since.elapsed() < HEAD_PATIENCE => {
                std::thread::sleep(HEAD_PAUSE);
            }
            locked => return Ok(locked?),
        }
    }
}

/// The last entry of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: i64,
    pub(crate) hash: EntryHash,
}

/// Heads by chain.
pub(crate) type Heads = BTreeMap<String, Head>;

/// Where a person's doings are kept: the name of the station or of the review place, under its key.
#[derive(Debug, Clone)]
pub struct Chain {
    name: Name,
    key: ChainKey,
}

impl Chain {
    /// The chain `name` under `key`. A chain has one key; two places need two names.
    pub fn new(name: Name, key: ChainKey) -> Chain {
        Chain { name, key }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its key.
    pub fn key(&self) -> &ChainKey {
        &self.key
    }
}

/// SHA-256, for what a table holds and an entry must vouch for without showing it.
pub(crate) fn stamp(bytes: &[u8]) -> String {
    EntryHash(Sha256::digest(bytes).into()).to_string()
}

fn unfit(path: &Path, found: String) -> StoreError {
    StoreError::Key {
        path: path.display().to_string(),
        found,
        expected: "64 hexadecimal digits in a file of mode 0600 that its owner alone can read",
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Makes a key; whoever comes at the same time finds this one or makes the one that is found here.
fn make_key(path: &Path) -> io::Result<()> {
    let mut bytes = [0; 32];
    let mut n = 0;
    while n < bytes.len() {
        match getrandom(&mut bytes[n..], GetRandomFlags::empty()) {
            Ok(more) => n += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let fresh = beside(path);
    let text = format!("{}\n", EntryHash(bytes));
    let locked = write_new(&fresh, text.as_bytes())?;
    lock(&locked)?;
    // A link, unlike a rename, does not take the place of a file that is there.
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        linked => linked?,
    }
    // Its head file is there from the beginning: one that is missing later was taken away.
    let key = ChainKey {
        bytes: Arc::new(bytes),
        path: path.into(),
    };
    key.write_heads(&Heads::new()).map_err(io::Error::other)
}

/// A file that nobody else writes, beside `path`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", fresh_id()));
    name.into()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Writes a file wholly or not at all, whenever the power goes.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = beside(path);
    let written = write_new(&fresh, bytes).and_then(|_| std::fs::rename(&fresh, path));
    if written.is_err() {
        // What could not be written is of no use; the first error is the one that is told.
        drop(std::fs::remove_file(&fresh));
    }
    written?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
