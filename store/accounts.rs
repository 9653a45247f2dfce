//! Accounts of people and tokens of programs.
//!
//! The store keeps a password as the PHC text that it is given and a token as the SHA-256 of its secret; it
//! hashes nothing and asks nobody for a password. Each change writes its entry in the same transaction. The
//! entry says what was before and what is now, and of a password or a secret only a SHA-256 of what the table
//! holds, so that a row that was exchanged is found and nothing is given away. An account is never deleted:
//! what it did stays its own. It is disabled instead, and a token revoked.

use serde_json::{Value as Json, json};

use crate::chain::stamp;
use crate::database::Database;
use crate::entries::{By, Draft, EntryKind, EntryRef, Tail, words, written};
use crate::names::Name;
use crate::{Store, StoreError, rows};

words! {
    /// What an account or a token may do, the least first; who may do what is the review's to say.
    Role, "role" {
        /// Looks.
        Viewer = "viewer",
        /// Gives verdicts and takes back its own.
        Reviewer = "reviewer",
        /// Takes back anybody's, signs for rolls with gaps.
        Supervisor = "supervisor",
        /// Looks after accounts and settings.
        Admin = "admin",
    }
}

/// Longest PHC text of a password.
const PHC_MAX_BYTES: usize = 500;

/// A person's account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name; no other account has it, in whatever case.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// The password, hashed, as PHC text.
    pub password: String,
    /// Whether it may not come in.
    pub is_disabled: bool,
    /// When it was made, microseconds since 1970 UTC.
    pub made_at_us: i64,
    pub(crate) revision: i64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("is_disabled", &self.is_disabled)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// What an entry says of it.
    pub(crate) fn told(&self) -> Json {
        json!({
            "role": self.role.as_str(),
            "disabled": self.is_disabled,
            "password_sha256": stamp(self.password.as_bytes()),
        })
    }
}

/// A program's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name; no other token has it.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// When it was made, microseconds since 1970 UTC.
    pub made_at_us: i64,
    /// When it was revoked; none while it holds.
    pub revoked_at_us: Option<i64>,
    pub(crate) secret: [u8; 32],
    pub(crate) revision: i64,
}

impl Token {
    /// What an entry says of it.
    pub(crate) fn told(&self) -> Json {
        json!({
            "role": self.role.as_str(),
            "revoked": self.revoked_at_us.is_some(),
            "secret_sha256": stamp(&self.secret),
        })
    }
}

impl Store {
    /// Makes an account; `password_phc` is the hashed password as PHC text.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when an account has the name, in whatever case, [`StoreError::Invalid`] for what is
    /// no PHC text, [`StoreError::Chain`], and the database's.
    pub fn add_account(
        &mut self,
        by: &By<'_>,
        name: &Name,
        role: Role,
        password_phc: &str,
    ) -> Result<EntryRef, StoreError> {
        checked_phc(password_phc)?;
        written(&*self.database, by, |database, tail| {
            let same = |known: &Account| {
                known.name.as_str().to_lowercase() == name.as_str().to_lowercase()
            };
            if let Some(known) = accounts(database)?.iter().find(|known| same(known)) {
                return Err(StoreError::Taken {
                    what: "account",
                    name: known.name.to_string(),
                });
            }
            let new = Account {
                name: name.clone(),
                role,
                password: password_phc.to_owned(),
                is_disabled: false,
                made_at_us: tail.at_us(),
                revision: 1,
            };
            let entry = tell(
                database,
                tail,
                EntryKind::Account,
                name,
                1,
                [Json::Null, new.told()],
            )?;
            let sql = "INSERT INTO accounts (name, role, password, disabled, made_at, revision, \
                       chain, number) VALUES ($1, $2, $3, 0, $4, 1, $5, $6)";
            database.execute(
                sql,
                &[
                    name.as_str().into(),
                    role.as_str().into(),
                    password_phc.into(),
                    new.made_at_us.into(),
                    entry.chain.as_str().into(),
                    entry.number.into(),
                ],
            )?;
            Ok(entry)
        })
    }

    /// Gives an account another role.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when there is no such account, [`StoreError::Chain`], and the database's.
    pub fn set_account_role(
        &mut self,
        by: &By<'_>,
        name: &Name,
        role: Role,
    ) -> Result<EntryRef, StoreError> {
        self.change_account(by, name, |account| account.role = role)
    }

    /// Gives an account another password, hashed, as PHC text.
    ///
    /// # Errors
    /// As [`Store::set_account_role`], and [`StoreError::Invalid`] for what is no PHC text.
    pub fn set_account_password(
        &mut self,
        by: &By<'_>,
        name: &Name,
        password_phc: &str,
    ) -> Result<EntryRef, StoreError> {
        checked_phc(password_phc)?;
        self.change_account(by, name, |account| {
            account.password = password_phc.to_owned()
        })
    }

    /// Locks an account out, or lets it in again.
    ///
    /// # Errors
    /// As [`Store::set_account_role`].
    pub fn set_account_disabled(
        &mut self,
        by: &By<'_>,
        name: &Name,
        is_disabled: bool,
    ) -> Result<EntryRef, StoreError> {
        self.change_account(by, name, |account| account.is_disabled = is_disabled)
    }

    fn change_account(
        &mut self,
        by: &By<'_>,
        name: &Name,
        change: impl FnOnce(&mut Account),
    ) -> Result<EntryRef, StoreError> {
        written(&*self.database, by, |database, tail| {
            let before = account(database, name)?;
            let before = before.ok_or_else(|| unknown(database, "account", name))?;
            let mut after = before.clone();
            change(&mut after);
            after.revision += 1;
            let told = [before.told(), after.told()];
            let entry = tell(
                database,
                tail,
                EntryKind::Account,
                name,
                after.revision,
                told,
            )?;
            let sql = "UPDATE accounts SET role = $1, password = $2, disabled = $3, revision = $4, \
                       chain = $5, number = $6 WHERE name = $7";
            database.execute(
                sql,
                &[
                    after.role.as_str().into(),
                    after.password.as_str().into(),
                    i64::from(after.is_disabled).into(),
                    after.revision.into(),
                    entry.chain.as_str().into(),
                    entry.number.into(),
                    name.as_str().into(),
                ],
            )?;
            Ok(entry)
        })
    }

    /// The account of this name, in this case, whether it is disabled or not.
    ///
    /// # Errors
    /// The database's only, here and below.
    pub fn account(&self, name: &Name) -> Result<Option<Account>, StoreError> {
        account(&*self.database, name)
    }

    /// All accounts by name.
    ///
    /// # Errors
    /// The database's only.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        accounts(&*self.database)
    }

    /// Makes a token; `secret_sha256` is the SHA-256 of its secret.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when a token has the name, revoked ones too, or the secret; [`StoreError::Chain`],
    /// and the database's.
    pub fn add_token(
        &mut self,
        by: &By<'_>,
        name: &Name,
        role: Role,
        secret_sha256: &[u8; 32],
    ) -> Result<EntryRef, StoreError> {
        written(&*self.database, by, |database, tail| {
            let known = format!("{} WHERE name = $1 OR secret = $2", rows::SELECT_TOKEN);
            let values = [name.as_str().into(), secret_sha256[..].into()];
            if !database.query(&known, &values)?.is_empty() {
                return Err(StoreError::Taken {
                    what: "token",
                    name: name.to_string(),
                });
            }
            let new = Token {
                name: name.clone(),
                role,
                made_at_us: tail.at_us(),
                revoked_at_us: None,
                secret: *secret_sha256,
                revision: 1,
            };
            let entry = tell(
                database,
                tail,
                EntryKind::Token,
                name,
                1,
                [Json::Null, new.told()],
            )?;
            let sql = "INSERT INTO tokens (name, role, secret, made_at, revision, chain, number) \
                       VALUES ($1, $2, $3, $4, 1, $5, $6)";
            database.execute(
                sql,
                &[
                    name.as_str().into(),
                    role.as_str().into(),
                    secret_sha256[..].into(),
                    new.made_at_us.into(),
                    entry.chain.as_str().into(),
                    entry.number.into(),
                ],
            )?;
            Ok(entry)
        })
    }

    /// Makes a token worthless, for good.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when no token of this name holds, [`StoreError::Chain`], and the database's.
    pub fn revoke_token(&mut self, by: &By<'_>, name: &Name) -> Result<EntryRef, StoreError> {
        written(&*self.database, by, |database, tail| {
            let sql = format!(
                "{} WHERE name = $1 AND revoked_at IS NULL",
                rows::SELECT_TOKEN
            );
            let found = database.query(&sql, &[name.as_str().into()])?;
            let Some(before) = found.first().map(rows::token).transpose()? else {
                return Err(unknown(database, "token that holds", name));
            };
            let mut after = before.clone();
            after.revoked_at_us = Some(tail.at_us());
            after.revision += 1;
            let told = [before.told(), after.told()];
            let entry = tell(database, tail, EntryKind::Token, name, after.revision, told)?;
            let sql = "UPDATE tokens SET revoked_at = $1, revision = $2, chain = $3, number = $4 \
                       WHERE name = $5";
            database.execute(
                sql,
                &[
                    after.revoked_at_us.into(),
                    after.revision.into(),
                    entry.chain.as_str().into(),
                    entry.number.into(),
                    name.as_str().into(),
                ],
            )?;
            Ok(entry)
        })
    }

    /// The token whose secret has this SHA-256, if it holds.
    ///
    /// # Errors
    /// The database's only.
    pub fn token_of(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>, StoreError> {
        // Looked up by a hash of what was shown, so how long it takes says nothing of any secret.
        let sql = format!(
            "{} WHERE secret = $1 AND revoked_at IS NULL",
            rows::SELECT_TOKEN
        );
        let found = self.database.query(&sql, &[secret_sha256[..].into()])?;
        found.first().map(rows::token).transpose()
    }

    /// All tokens by name, revoked ones too.
    ///
    /// # Errors
    /// The database's only.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let sql = format!("{} ORDER BY name", rows::SELECT_TOKEN);
        let found = self.database.query(&sql, &[])?;
        found.iter().map(rows::token).collect()
    }
}

fn account(database: &dyn Database, name: &Name) -> Result<Option<Account>, StoreError> {
    let sql = format!("{} WHERE name = $1", rows::SELECT_ACCOUNT);
    let found = database.query(&sql, &[name.as_str().into()])?;
    found.first().map(rows::account).transpose()
}

fn accounts(database: &dyn Database) -> Result<Vec<Account>, StoreError> {
    let sql = format!("{} ORDER BY name", rows::SELECT_ACCOUNT);
    let found = database.query(&sql, &[])?;
    found.iter().map(rows::account).collect()
}

/// Appends the entry of an account or a token.
fn tell(
    database: &dyn Database,
    tail: &mut Tail<'_>,
    kind: EntryKind,
    name: &Name,
    revision: i64,
    [before, after]: [Json; 2],
) -> Result<EntryRef, StoreError> {
    let body = json!({"revision": revision, "before": before, "after": after});
    let draft = Draft {
        kind,
        subject: name.as_str().to_owned(),
        run: None,
        body_json: body.to_string(),
    };
    tail.append_one(database, draft)
}

fn checked_phc(text: &str) -> Result<(), StoreError> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.starts_with('$') && text.len() <= PHC_MAX_BYTES && is_visible {
        return Ok(());
    }
    // It may be a password that somebody forgot to hash: it is not told.
    Err(StoreError::Invalid {
        what: "password",
        found: format!("text of {} bytes", text.len()),
        expected: "a hash as PHC text, such as $argon2id$…".to_owned(),
    })
}

fn unknown(database: &dyn Database, what: &'static str, name: &Name) -> StoreError {
    crate::articles::unknown(database, what, name.as_str())
}
