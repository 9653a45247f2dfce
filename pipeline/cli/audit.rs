//! `selvedge audit`: whether the log of what people did is whole, and what stands in it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use store::{ChainKey, EntriesFilter, Entry, EntryHash, EntryKind, EntryPlace, Verified};

use super::who::{key_file, time_of};
use super::{Outcome, Place, name, say, say_json};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Looks whether every chain is as it was written: 0 whole, 1 broken, 2 could not look.
    Verify(VerifyArgs),
    /// Lists what people did, the newest first.
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// The key of the log; `selvedge.key` beside the store when left out.
    #[arg(long, env = "SELVEDGE_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Only this chain.
    #[arg(long, value_name = "NAME")]
    chain: Option<String>,
    /// Number and hash of an entry of the chain that were noted elsewhere, as verify prints them.
    #[arg(long, value_name = "N:HASH", requires = "chain")]
    head: Option<String>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Only of this chain.
    #[arg(long, value_name = "NAME")]
    chain: Option<String>,
    /// Only by this account.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only of this kind.
    #[arg(long)]
    kind: Option<EntryKind>,
    /// Only on this flaw, run, account, token or setting.
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value = "50")]
    most: u32,
    /// Goes on where a list before ended, as it says.
    #[arg(long, value_name = "PLACE")]
    after: Option<EntryPlace>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &AuditCommand) -> anyhow::Result<Outcome> {
    match command {
        AuditCommand::Verify(args) => verify(args),
        AuditCommand::List(args) => list(args),
    }
}

fn verify(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let only = args.chain.as_deref().map(|chain| name(chain, "--chain"));
    let only = only.transpose()?;
    let noted = args.head.as_deref().map(noted).transpose()?;
    let store = args.place.look()?;
    let key = ChainKey::read(&key_file(args.key.as_ref(), &args.place))?;
    let verified = store.verify_chains(&key, only.as_ref(), noted)?;
    if args.json {
        say_json(&report(&verified))?;
    } else {
        tell(&verified)?;
    }
    Ok(if verified.is_whole() {
        Outcome::Clean
    } else {
        Outcome::Found
    })
}

fn noted(text: &str) -> anyhow::Result<(i64, EntryHash)> {
    let read = || {
        let (number, hash) = text.split_once(':')?;
        let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
        Some((number, hash.parse().ok()?))
    };
    let shown: String = text.chars().take(80).collect();
    read().with_context(|| {
        format!("found --head {shown:?}, expected a number, a colon and 64 hexadecimal digits")
    })
}

fn tell(verified: &Verified) -> anyhow::Result<()> {
    for chain in &verified.chains {
        let state = if chain.breaks.is_empty() {
            "whole"
        } else {
            "broken"
        };
        let last = chain
            .last
            .map(|(number, hash)| format!(", head {number}:{hash}"));
        say(&format!(
            "chain {:?}: {} entries, {state}{}",
            chain.chain,
            chain.n_entries,
            last.unwrap_or_default()
        ))?;
        for found in &chain.breaks {
            say(&format!("  {found}"))?;
        }
        if chain.n_behind_head > 0 {
            say(&format!(
                "  the last {} follow the head that was kept: being written now, or cut off by the power",
                chain.n_behind_head
            ))?;
        }
    }
    for found in &verified.breaks {
        say(&found.to_string())?;
    }
    if verified.chains.is_empty() {
        say("no entries yet")?;
    }
    Ok(())
}

fn report(verified: &Verified) -> Value {
    let words =
        |breaks: &[store::Break]| breaks.iter().map(ToString::to_string).collect::<Vec<_>>();
    let chains = verified.chains.iter().map(|chain| {
        json!({
            "chain": chain.chain,
            "entries": chain.n_entries,
            "head": chain.last.map(|(number, hash)| format!("{number}:{hash}")),
            "behind_head": chain.n_behind_head,
            "breaks": words(&chain.breaks),
        })
    });
    json!({
        "whole": verified.is_whole(),
        "chains": chains.collect::<Vec<_>>(),
        "breaks": words(&verified.breaks),
    })
}

fn list(args: &ListArgs) -> anyhow::Result<Outcome> {
    if args.most == 0 || args.most > 1000 {
        bail!("found --most {}, expected 1 to 1000", args.most);
    }
    let named = |text: &Option<String>, what: &str| {
        text.as_deref().map(|text| name(text, what)).transpose()
    };
    let filter = EntriesFilter {
        chain: named(&args.chain, "--chain")?,
        account: named(&args.account, "--account")?,
        kind: args.kind,
        subject: named(&args.subject, "--subject")?,
        ..EntriesFilter::default()
    };
    let store = args.place.look()?;
    let page = store.entries(&filter, args.after.as_ref(), args.most)?;
    let next = page.next.as_ref().map(ToString::to_string);
    if args.json {
        let entries: Vec<Value> = page.rows.iter().map(told).collect();
        say_json(&json!({"entries": entries, "next": next}))?;
        return Ok(Outcome::Clean);
    }
    for entry in &page.rows {
        say(&format!(
            "{}  {}:{}  {} ({})  {}  {}  {}",
            time_of(entry.at_us),
            shown(&entry.chain),
            entry.number,
            shown(&entry.account),
            shown(&entry.role),
            shown(&entry.kind),
            shown(&entry.subject),
            shown(&entry.body_json)
        ))?;
    }
    if let Some(next) = next {
        say(&format!("more: --after {next:?}"))?;
    }
    Ok(Outcome::Clean)
}

/// Text of the store as one line of a terminal: it may have been written by anybody.
fn shown(text: &str) -> String {
    let char = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    text.chars().map(char).collect()
}

fn told(entry: &Entry) -> Value {
    let body = serde_json::from_str(&entry.body_json);
    json!({
        "chain": entry.chain,
        "number": entry.number,
        "at": time_of(entry.at_us),
        "account": entry.account,
        "role": entry.role,
        "kind": entry.kind,
        "subject": entry.subject,
        "run": entry.run.map(|run| run.to_string()),
        "body": body.unwrap_or_else(|_| Value::from(entry.body_json.as_str())),
        "hash": entry.hash.to_string(),
    })
}
