//! Who is logged in, and who tries to.
//!
//! ```text
//! name and password ─▶ may it be tried? ─▶ right? ─▶ a secret for the browser, of which only the digest is kept
//! ```
//!
//! Sessions live in memory: a program that begins anew asks everybody to log in again. The secret is 32
//! random bytes in a cookie that no script reads and no other site sends. Whoever fails too often waits,
//! longer each time, by name and by address; both lists are bounded. A session ends [`IDLE`] after it was
//! last used, [`LONGEST`] after it began, and when its account is disabled or gets another role: here at once, elsewhere
//! within [`CHECK_EVERY`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use store::Role;

/// How long a session that is not used lasts.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a session lasts: a shift.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// How often it is looked whether an account was changed elsewhere.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Sessions at once; the oldest makes room.
const MOST_SESSIONS: usize = 1000;
/// Failures that cost nothing.
const FREE_TRIES: u32 = 5;
/// The first wait after those, doubled by each further failure.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait, after which failures are forgotten too.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Names and addresses whose failures are remembered.
const MOST_TRIERS: usize = 10_000;

/// Who sends a request.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// Their account.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
    /// What their forms must bring along, so that no other site can send them.
    pub(super) csrf: String,
}

struct Session {
    person: Person,
    began: Instant,
    used: Instant,
    /// When its account was looked at last.
    checked: Instant,
}

/// Who or what tries to log in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Trier {
    /// The digest of its name: a long one takes no more room.
    Account([u8; 32]),
    /// An IPv6 address by the network that one household has.
    Address(IpAddr),
}

struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// How long is still to be waited.
    fn wait(&self) -> Duration {
        let Some(beyond) = self.count.checked_sub(FREE_TRIES) else {
            return Duration::ZERO;
        };
        let wait = FIRST_WAIT.saturating_mul(1 << beyond.min(16));
        wait.min(LONGEST_WAIT).saturating_sub(self.last.elapsed())
    }
}

/// All sessions, and all failures to begin one.
#[derive(Default)]
pub(super) struct Sessions {
    sessions: Mutex<HashMap<[u8; 32], Session>>,
    failures: Mutex<HashMap<Trier, Failures>>,
}

impl Sessions {
    /// How long `account` from `address` must wait before it may try to log in; none when it may.
    pub(super) fn must_wait(&self, account: &str, address: Option<IpAddr>) -> Option<Duration> {
        let failures = self.failures();
        let waits =
            triers(account, address).filter_map(|trier| failures.get(&trier).map(Failures::wait));
        waits.max().filter(|wait| !wait.is_zero())
    }

    /// Notes a failure.
    pub(super) fn has_failed(&self, account: &str, address: Option<IpAddr>) {
        let mut failures = self.failures();
        if failures.len() >= MOST_TRIERS {
            failures.retain(|_, failed| failed.last.elapsed() < LONGEST_WAIT);
        }
        for trier in triers(account, address) {
            // A flood of names must not make room for a name's next try.
            if failures.len() >= MOST_TRIERS && !failures.contains_key(&trier) {
                continue;
            }
            let failed = failures.entry(trier).or_insert(Failures {
                count: 0,
                last: Instant::now(),
            });
            if failed.last.elapsed() >= LONGEST_WAIT {
                failed.count = 0;
            }
            failed.count = failed.count.saturating_add(1);
            failed.last = Instant::now();
        }
    }

    /// Begins a session and gives back the secret for the browser.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn begin(&self, name: String, role: Role) -> Result<String, getrandom::Error> {
        let (secret, csrf) = (random()?, random()?);
        let mut failures = self.failures();
        // Who owns one account must not clear an address for tries at another.
        failures.remove(&Trier::Account(digest(&name)));
        drop(failures);
        let mut sessions = self.sessions();
        sessions.retain(|_, session| session.is_on());
        if sessions.len() >= MOST_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                sessions.remove(&oldest);
            }
        }
        let now = Instant::now();
        let session = Session {
            person: Person { name, role, csrf },
            began: now,
            used: now,
            checked: now,
        };
        sessions.insert(digest(&secret), session);
        Ok(secret)
    }

    /// Whose secret that is, if anybody's.
    pub(super) fn whose(&self, secret: &str) -> Option<Person> {
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&digest(secret))?;
        if !session.is_on() {
            sessions.remove(&digest(secret));
            return None;
        }
        session.used = Instant::now();
        Some(session.person.clone())
    }

    /// Whether its account should be looked at again, which is then taken for done.
    pub(super) fn is_due(&self, secret: &str) -> bool {
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&digest(secret));
        let session = session.filter(|session| session.checked.elapsed() >= CHECK_EVERY);
        if let Some(session) = session {
            session.checked = Instant::now();
            return true;
        }
        false
    }

    /// Ends the session with that secret.
    pub(super) fn end(&self, secret: &str) {
        self.sessions().remove(&digest(secret));
    }

    /// Ends all sessions of an account, but for the one with the word `but`.
    pub(super) fn end_all_of(&self, name: &str, but: Option<&str>) {
        self.sessions().retain(|_, session| {
            session.person.name != name || but == Some(session.person.csrf.as_str())
        });
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<Trier, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_on(&self) -> bool {
        self.used.elapsed() < IDLE && self.began.elapsed() < LONGEST
    }
}

/// How long is still to be waited, for a person.
pub(super) fn said_wait(wait: Duration) -> String {
    format!(
        "too many failures: try again in {} s",
        wait.as_secs().max(1)
    )
}

fn triers(account: &str, address: Option<IpAddr>) -> impl Iterator<Item = Trier> {
    [
        Some(Trier::Account(digest(account))),
        address.map(|address| Trier::Address(network_of(address))),
    ]
    .into_iter()
    .flatten()
}

/// The address, or of IPv6 its first 64 bits.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => IpAddr::V6((u128::from(six) >> 64 << 64).into()),
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// 32 random bytes as text.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_secret_until_it_ends() {
        let sessions = Sessions::default();
        let ayla = sessions.begin("ayla".to_owned(), Role::Reviewer).unwrap();
        let bert = sessions.begin("bert".to_owned(), Role::Viewer).unwrap();
        assert_eq!(sessions.whose(&ayla).unwrap().name, "ayla");
        assert_ne!(
            sessions.whose(&ayla).unwrap().csrf,
            sessions.whose(&bert).unwrap().csrf
        );
        for other in ["", "0", &bert[1..], &ayla.to_uppercase()] {
            assert!(sessions.whose(other).is_none());
        }
        sessions.end(&ayla);
        assert!(sessions.whose(&ayla).is_none());
        sessions.end_all_of("bert", None);
        assert!(sessions.whose(&bert).is_none());
    }

    #[test]
    fn whoever_fails_too_often_waits_by_name_and_by_address() {
        let sessions = Sessions::default();
        let address = Some(IpAddr::from([192, 0, 2, 7]));
        for _ in 0..FREE_TRIES {
            assert_eq!(sessions.must_wait("ayla", address), None);
            sessions.has_failed("ayla", address);
        }
        sessions.has_failed("ayla", address);
        assert!(sessions.must_wait("ayla", None).is_some());
        assert!(sessions.must_wait("bert", address).is_some(), "from there");
        assert_eq!(sessions.must_wait("bert", None), None);
        let first = sessions.must_wait("ayla", None).unwrap();
        sessions.has_failed("ayla", None);
        assert!(sessions.must_wait("ayla", None).unwrap() > first);
        sessions.begin("ayla".to_owned(), Role::Viewer).unwrap();
        assert_eq!(sessions.must_wait("ayla", None), None);
        assert!(sessions.must_wait("ayla", address).is_some());
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_frees_nobody() {
        let sessions = Sessions::default();
        for _ in 0..10 {
            sessions.has_failed("ayla", None);
        }
        for nth in 0..MOST_TRIERS + 10 {
            sessions.has_failed(&format!("nobody {nth}"), None);
        }
        assert!(sessions.failures().len() <= MOST_TRIERS);
        assert!(sessions.must_wait("ayla", None).is_some());
    }
}
