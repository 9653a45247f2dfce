//! `selvedge account` and `token`: who may come to the review page, and as what.
//!
//! Each change is entered in the log. Passwords and secrets are in no argument, no log and no list; a secret is
//! shown once, when it is made.

use anyhow::ensure;
use clap::{Args, Subcommand};
use review::access::{Secret, hash_password, secret_sha256};
use serde_json::json;
use store::Role;

use super::who::{Kept, LOCAL, new_password, time_of};
use super::{Outcome, Place, name, say, say_json};

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Makes an account; the password is asked for on the terminal, or read as one line from a pipe.
    Add(AddArgs),
    /// Lists the accounts.
    List(ListArgs),
    /// Gives an account another role.
    Role(AddArgs),
    /// Gives an account another password, as add does.
    Password(OneArgs),
    /// Locks an account out; it is never deleted.
    Disable(OneArgs),
    /// Lets an account in again.
    Enable(OneArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Makes a token and prints its secret, once.
    Add(AddArgs),
    /// Lists the tokens, without their secrets.
    List(ListArgs),
    /// Makes a token worthless, for good.
    Revoke(OneArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The name.
    name: String,
    /// viewer, reviewer, supervisor or admin.
    #[arg(long)]
    role: Role,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The name.
    name: String,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Prints a JSON array.
    #[arg(long)]
    json: bool,
}

pub(super) fn account(command: &AccountCommand) -> anyhow::Result<Outcome> {
    match command {
        AccountCommand::Add(args) => {
            let name = name(&args.name, "account")?;
            ensure!(
                !name.as_str().to_lowercase().starts_with(LOCAL),
                "found account {:?}, expected a name that does not begin with {LOCAL:?}: users of the machine are called so in the log",
                name.as_str()
            );
            let phc = hash_password(&new_password(&name)?)?;
            (args.kept).write(|store, by| store.add_account(by, &name, args.role, &phc))?;
            say(&format!("account {name} is there, as {}", args.role))?;
        }
        AccountCommand::List(args) => list_accounts(args)?,
        AccountCommand::Role(args) => {
            let name = name(&args.name, "account")?;
            (args.kept).write(|store, by| store.set_account_role(by, &name, args.role))?;
            say(&format!("account {name} is {} now", args.role))?;
        }
        AccountCommand::Password(args) => {
            let name = name(&args.name, "account")?;
            let phc = hash_password(&new_password(&name)?)?;
            (args.kept).write(|store, by| store.set_account_password(by, &name, &phc))?;
            say(&format!("account {name} has another password now"))?;
        }
        AccountCommand::Disable(args) => disable(args, true)?,
        AccountCommand::Enable(args) => disable(args, false)?,
    }
    Ok(Outcome::Clean)
}

fn disable(args: &OneArgs, is_disabled: bool) -> anyhow::Result<()> {
    let name = name(&args.name, "account")?;
    (args.kept).write(|store, by| store.set_account_disabled(by, &name, is_disabled))?;
    let now = if is_disabled { "disabled" } else { "enabled" };
    say(&format!("account {name} is {now}"))
}

fn list_accounts(args: &ListArgs) -> anyhow::Result<()> {
    let accounts = args.place.look()?.accounts()?;
    if args.json {
        let told = accounts.iter().map(|account| {
            json!({
                "name": account.name.as_str(),
                "role": account.role.as_str(),
                "disabled": account.is_disabled,
                "made_at": time_of(account.made_at_us),
            })
        });
        return say_json(&told.collect::<Vec<_>>());
    }
    for account in &accounts {
        let state = if account.is_disabled { "disabled" } else { "" };
        let line = format!(
            "{:10}  {}  {}  {state}",
            account.role.as_str(),
            time_of(account.made_at_us),
            account.name
        );
        say(line.trim_end())?;
    }
    Ok(())
}

pub(super) fn token(command: &TokenCommand) -> anyhow::Result<Outcome> {
    match command {
        TokenCommand::Add(args) => {
            let name = name(&args.name, "token")?;
            let secret = Secret::fresh()?;
            let sha256 = secret_sha256(secret.reveal());
            (args.kept).write(|store, by| store.add_token(by, &name, args.role, &sha256))?;
            say(secret.reveal())?;
        }
        TokenCommand::List(args) => list_tokens(args)?,
        TokenCommand::Revoke(args) => {
            let name = name(&args.name, "token")?;
            (args.kept).write(|store, by| store.revoke_token(by, &name))?;
            say(&format!("token {name} is revoked"))?;
        }
    }
    Ok(Outcome::Clean)
}

fn list_tokens(args: &ListArgs) -> anyhow::Result<()> {
    let tokens = args.place.look()?.tokens()?;
    if args.json {
        let told = tokens.iter().map(|token| {
            json!({
                "name": token.name.as_str(),
                "role": token.role.as_str(),
                "made_at": time_of(token.made_at_us),
                "revoked_at": token.revoked_at_us.map(time_of),
            })
        });
        return say_json(&told.collect::<Vec<_>>());
    }
    for token in &tokens {
        let revoked = token.revoked_at_us.map(time_of);
        let revoked = revoked.map_or(String::new(), |at| format!("revoked {at}"));
        let line = format!(
            "{:10}  {}  {}  {revoked}",
            token.role.as_str(),
            time_of(token.made_at_us),
            token.name
        );
        say(line.trim_end())?;
    }
    Ok(())
}
