//! Who may come in, and who may do what.
//!
//! ```text
//! password ─▶ hash_password ─▶ PHC text, which the store keeps      verify_password ─▶ in, or not
//! Secret::fresh ─▶ shown once;  secret_sha256 ─▶ what the store keeps
//! role × Act ─▶ may
//! ```
//!
//! Passwords are hashed with Argon2id at 19 MiB, 2 passes, 1 lane, the first choice of OWASP's Password Storage
//! Cheat Sheet; the text says how it was hashed, so a later version may ask for more and still check what
//! is there. A name that nobody has takes as long as one that somebody has. A token's secret has 256
//! random bits, so SHA-256 alone keeps it. Nothing here remembers, counts tries or talks to the store.

use std::fmt;
use std::sync::OnceLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use store::Role;

/// Fewest and most characters of a password.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 10..=200;
/// Memory, passes and lanes of Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const N_PASSES: u32 = 2;
const N_LANES: u32 = 1;
/// What every secret begins with: who finds one knows what it is.
const SECRET_MARK: &str = "selvedge_";

/// Why a password or a secret could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The password will not do; it is not told.
    #[error("the password has {found}, expected 10 to 200 characters and no control characters")]
    Password {
        /// What was found.
        found: String,
    },
    /// The machine gave no random numbers, or no memory.
    #[error("the password or secret could not be made: {found}")]
    Machine {
        /// What it said.
        found: String,
    },
}

/// Something that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Look at rolls, flaws, verdicts and figures.
    Look,
    /// Give verdicts, and take back one's own.
    Judge,
    /// Take back a verdict that somebody else gave.
    UndoOthers,
    /// Sign that a roll with gaps may be first quality, and withdraw that.
    SignGrade,
    /// Look at the log of what people did.
    Audit,
    /// Make and change accounts and tokens.
    ManageAccounts,
    /// Change settings.
    ChangeSettings,
}

/// Whether `role` may do this. A higher role may do all that a lower one may.
pub fn may(role: Role, act: Act) -> bool {
    let least = match act {
        Act::Look => Role::Viewer,
        Act::Judge => Role::Reviewer,
        Act::UndoOthers | Act::SignGrade | Act::Audit => Role::Supervisor,
        Act::ManageAccounts | Act::ChangeSettings => Role::Admin,
    };
    role >= least
}

/// The PHC text of a password, with a salt of its own. Takes some 20 ms and 19 MiB.
///
/// # Errors
/// [`AccessError::Password`] when it is too short, too long or holds control characters.
pub fn hash_password(password: &str) -> Result<String, AccessError> {
    let n = password.chars().count();
    if !PASSWORD_CHARS.contains(&n) {
        return Err(AccessError::Password {
            found: format!("{n} characters"),
        });
    }
    if password.chars().any(char::is_control) {
        return Err(AccessError::Password {
            found: "a control character".to_owned(),
        });
    }
    hashed(password)
}

/// Whether this is the password of the account with this PHC text; `None` is an account that is not there or may
/// not come in, and takes as long.
pub fn verify_password(phc: Option<&str>, password: &str) -> bool {
    static NOBODY: OnceLock<String> = OnceLock::new();
    // Made whoever asks, so that the first stranger is as slow as the second.
    let nobody = NOBODY.get_or_init(|| hashed("of an account that nobody has").unwrap_or_default());
    let is_somebody = phc.is_some();
    let Ok(phc) = PasswordHash::new(phc.unwrap_or(nobody)) else {
        return false;
    };
    // Longer ones were never taken, and are not worth the work.
    let is_short = password.len() <= 4 * PASSWORD_CHARS.end();
    let password = if is_short { password } else { "" };
    let is_same = Argon2::default()
        .verify_password(password.as_bytes(), &phc)
        .is_ok();
    is_same && is_short && is_somebody
}

/// The secret of a token, which is shown once and kept nowhere.
pub struct Secret(String);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// [`AccessError::Machine`] when there are no random numbers.
    pub fn fresh() -> Result<Secret, AccessError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(machine)?;
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Secret(
            SECRET_MARK
                .chars()
                .chain(digits.collect::<String>().chars())
                .collect(),
        ))
    }

    /// The secret, to be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What the store keeps of a secret.
pub fn secret_sha256(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.trim().as_bytes()).into()
}

fn hashed(password: &str) -> Result<String, AccessError> {
    let params = Params::new(MEMORY_KIB, N_PASSES, N_LANES, None).map_err(machine)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(password.as_bytes()).map_err(machine)?;
    Ok(hash.to_string())
}

fn machine(error: impl fmt::Display) -> AccessError {
    AccessError::Machine {
        found: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_password_opens_its_own_account_and_no_other() {
        let phc = hash_password("correct horse").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify_password(Some(&phc), "correct horse"));
        for wrong in [
            "correct horsf",
            "Correct horse",
            "correct horse ",
            "",
            &"x".repeat(1 << 20),
        ] {
            assert!(!verify_password(Some(&phc), wrong), "{wrong:?} opened it");
        }
        assert_ne!(
            phc,
            hash_password("correct horse").unwrap(),
            "each has its salt"
        );
        for (nobody, given) in [
            (None, ""),
            (None, "of an account that nobody has"),
            (Some("x"), "x"),
        ] {
            assert!(
                !verify_password(nobody, given),
                "{nobody:?} let {given:?} in"
            );
        }
    }

    #[test]
    fn a_stranger_waits_as_long_as_somebody() {
        let phc = hash_password("correct horse").unwrap();
        verify_password(None, "warm");
        let fastest = |phc: Option<&str>| {
            let once = |_| {
                let since = Instant::now();
                verify_password(phc, "correct horsf");
                since.elapsed()
            };
            (0..9).map(once).min().unwrap()
        };
        let (somebody, nobody) = (fastest(Some(&phc)), fastest(None));
        assert!(nobody * 2 > somebody, "{nobody:?} against {somebody:?}");
    }

    #[test]
    fn passwords_that_will_not_do_are_refused_and_not_told() {
        for bad in [
            "",
            "short",
            "123456789",
            "with\0a control",
            "a\nline here",
            &"ß".repeat(201),
        ] {
            let refused = hash_password(bad).unwrap_err().to_string();
            assert!(refused.contains("10 to 200"), "{refused}");
            assert!(bad.is_empty() || !refused.contains(bad), "{refused}");
        }
        assert!(hash_password(&"ß".repeat(200)).is_ok());
    }

    #[test]
    fn a_higher_role_may_do_all_that_a_lower_one_may() {
        use Act::{Audit, ChangeSettings, Judge, Look, ManageAccounts, SignGrade, UndoOthers};
        let acts = [
            Look,
            Judge,
            UndoOthers,
            SignGrade,
            Audit,
            ManageAccounts,
            ChangeSettings,
        ];
        let n_of = |role: &Role| acts.iter().filter(|act| may(*role, **act)).count();
        let n: Vec<usize> = Role::ALL.iter().map(n_of).collect();
        assert_eq!(n, [1, 2, 5, 7]);
    }

    #[test]
    fn no_two_secrets_are_alike_and_none_is_shown_by_accident() {
        let (one, other) = (Secret::fresh().unwrap(), Secret::fresh().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), SECRET_MARK.len() + 64);
        assert_eq!(format!("{one:?}"), "Secret(…)");
        assert_eq!(
            secret_sha256(one.reveal()),
            secret_sha256(&format!("{}\n", one.reveal()))
        );
        assert_ne!(secret_sha256(one.reveal()), secret_sha256(other.reveal()));
    }
}
