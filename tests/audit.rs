//! The log of what people did, accounts and tokens, as the commands tell them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::Value;
use store::{By, Chain, ChainKey, Decision, Name, NewVerdict, Role, Store};

use crate::program::{Mill, Ran, ran};

/// Runs a command with one line on its standard input, and with nothing of this process's settings.
fn told(mill: &Mill, args: &[&str], line: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command
        .args(args)
        .current_dir(mill.path())
        .env_remove("SELVEDGE_STORE")
        .env_remove("SELVEDGE_LOG");
    let input = mill.path().join("line");
    std::fs::write(&input, line).unwrap();
    ran(command.stdin(Stdio::from(std::fs::File::open(&input).unwrap())))
}

/// A mill whose accounts were made by command: entries 1 to 4 of chain "office".
fn mill_with_people() -> Mill {
    let mill = Mill::empty();
    for (name, role) in [("anna", "reviewer"), ("ben", "viewer")] {
        let args = ["account", "add", name, "--role", role, "--chain", "office"];
        let ran = told(&mill, &args, "correct horse\n");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    }
    for args in [
        ["account", "role", "ben", "--role", "supervisor"],
        ["account", "role", "anna", "--role", "admin"],
    ] {
        let ran = mill.run(&[&args[..], &["--chain", "office"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    mill
}

fn behind_its_back(mill: &Mill, sql: &str) {
    let file = Connection::open(mill.path().join("selvedge.db")).unwrap();
    file.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    file.execute_batch(sql).unwrap();
}

#[test]
fn a_log_is_whole_until_somebody_touches_it() {
    let verify = ["audit", "verify"];
    let mill = mill_with_people();
    let ran = mill.run(&verify);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out
            .starts_with("chain \"office\": 4 entries, whole, head 4:"),
        "{ran:?}"
    );
    let json = mill.run(&["audit", "verify", "--json"]).json(0);
    assert_eq!(
        (&json["whole"], &json["chains"][0]["entries"]),
        (&true.into(), &4.into())
    );
    let head = json["chains"][0]["head"].as_str().unwrap().to_owned();
    let noted = ["audit", "verify", "--chain", "office", "--head", &head];
    assert_eq!(mill.run(&noted).code, 0);

    behind_its_back(
        &mill,
        "UPDATE entries SET body = replace(body, 'viewer', 'admin') WHERE number = 2",
    );
    let ran = mill.run(&verify);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.contains("4 entries, broken") && ran.out.contains("entry 2 was edited"),
        "{ran:?}"
    );
    let json = mill.run(&["audit", "verify", "--json"]).json(1);
    assert_eq!(json["whole"], false);
    assert!(
        json["chains"][0]["breaks"][0]
            .as_str()
            .unwrap()
            .contains("entry 2 was edited")
    );

    let mill = mill_with_people();
    behind_its_back(
        &mill,
        "UPDATE accounts SET role = 'admin' WHERE name = 'ben'",
    );
    let ran = mill.run(&verify);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.contains("table accounts disagrees") && ran.out.contains("\"ben\""),
        "{ran:?}"
    );

    let mill = mill_with_people();
    behind_its_back(
        &mill,
        "DELETE FROM accounts WHERE number > 3; DELETE FROM entries WHERE number > 3",
    );
    let ran = mill.run(&verify);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out
            .contains("the tail is cut: the last entry is 3, and entry 4"),
        "{ran:?}"
    );
    // The next change is refused too, and says what to do.
    mill.run(&["account", "disable", "ben", "--chain", "office"])
        .refuses(&[
            "chain \"office\" takes no more entries",
            "audit verify",
            "another chain's name",
        ]);

    let mill = mill_with_people();
    let other = mill_with_people();
    let key = other.path().join("selvedge.key");
    let ran = mill.run(&["audit", "verify", "--key", key.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out
            .contains("none of its 4 entries belongs to this key"),
        "{ran:?}"
    );
}

#[test]
fn what_cannot_be_looked_at_is_told_apart_from_what_is_broken() {
    let mill = Mill::empty();
    mill.run(&["audit", "verify"]).refuses(&["no store at"]);
    drop(mill.store());
    mill.run(&["audit", "verify"])
        .refuses(&["selvedge.key", "No such file"]);
    assert_eq!(mill.run(&["audit", "list"]).out, "");
    let mill = mill_with_people();
    for (args, said) in [
        (&["--head", "4:ab"][..], "--chain"),
        (
            &["--chain", "office", "--head", "4:ab"],
            "expected a number, a colon",
        ),
        (&["--chain", "nobody's"], "holds no chain \"nobody's\""),
        (&["--chain", "a\u{202E}b"], "no control or invisible"),
        (&["--key", "selvedge.db"], "selvedge.db"),
    ] {
        mill.run(&[&["audit", "verify"], args].concat())
            .refuses(&[said]);
    }
    mill.run(&["audit", "list", "--kind", "murder"])
        .refuses(&["setting, login"]);
    mill.run(&["audit", "list", "--after", "x"])
        .refuses(&["place among entries"]);
    mill.run(&["audit", "list", "--most", "0"])
        .refuses(&["expected 1 to 1000"]);
}

#[test]
fn a_list_tells_who_did_what_newest_first() {
    let mill = mill_with_people();
    let chain = chain_of(mill.path());
    let account = Name::new("anna").unwrap();
    let who = By {
        chain: &chain,
        account: &account,
        role: Role::Admin,
    };
    let login = store::NewEntry {
        kind: store::EntryKind::Login,
        subject: account.clone(),
        run: None,
        body_json: "{\"after\":\"in\\u001b[2J\"}".to_owned(),
    };
    mill.store().record(&who, &login).unwrap();
    let list = mill
        .run(&["audit", "list", "--json", "--most", "2"])
        .json(0);
    let entries = list["entries"].as_array().unwrap();
    let told = |entry: &Value| (entry["number"].as_i64().unwrap(), entry["kind"].clone());
    assert_eq!(told(&entries[0]), (5, "login".into()));
    assert_eq!(told(&entries[1]), (4, "account".into()));
    assert_eq!(entries[1]["subject"], "anna");
    assert_eq!(entries[1]["body"]["before"]["role"], "reviewer");
    assert_eq!(entries[1]["body"]["after"]["role"], "admin");
    assert!(
        entries[1]["account"]
            .as_str()
            .unwrap()
            .starts_with("local:"),
        "{list}"
    );
    let after = list["next"].as_str().unwrap();
    let rest = mill
        .run(&["audit", "list", "--json", "--after", after])
        .json(0);
    assert_eq!(rest["entries"].as_array().unwrap().len(), 3);
    assert_eq!(rest["next"], Value::Null);
    let of = |args: &[&str]| {
        let all = [&["audit", "list", "--json"], args].concat();
        mill.run(&all).json(0)["entries"].as_array().unwrap().len()
    };
    assert_eq!(of(&["--kind", "account"]), 4);
    assert_eq!(of(&["--account", "anna"]), 1);
    assert_eq!(of(&["--subject", "ben"]), 2);
    assert_eq!(of(&["--chain", "nobody"]), 0);
    // A terminal is never told what to do by what somebody wrote.
    behind_its_back(
        &mill,
        "UPDATE entries SET account = 'x' || char(27) || '[2J' WHERE number = 5",
    );
    let ran = mill.run(&["audit", "list"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 5));
    assert!(
        !ran.out.contains('\x1b') && ran.out.contains("office:5"),
        "{ran:?}"
    );
}

fn chain_of(folder: &Path) -> Chain {
    let key = ChainKey::open(&folder.join("selvedge.key")).unwrap();
    Chain::new(Name::new("office").unwrap(), key)
}

#[test]
fn accounts_are_made_without_a_password_in_any_argument_or_list() {
    let mill = mill_with_people();
    let list = mill.run(&["account", "list", "--json"]);
    assert!(!list.out.contains("argon2"), "{list:?}");
    let list = list.json(0);
    assert_eq!(
        (&list[0]["name"], &list[0]["role"]),
        (&"anna".into(), &"admin".into())
    );
    assert_eq!(list[0]["disabled"], false);
    let store = mill.store();
    let phc = |store: &Store| {
        store
            .account(&Name::new("anna").unwrap())
            .unwrap()
            .unwrap()
            .password
    };
    assert!(review::access::verify_password(
        Some(&phc(&store)),
        "correct horse"
    ));
    let ran = told(&mill, &["account", "password", "anna"], "another horse\r\n");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!review::access::verify_password(
        Some(&phc(&store)),
        "correct horse"
    ));
    assert!(review::access::verify_password(
        Some(&phc(&store)),
        "another horse"
    ));
    for state in ["disable", "enable"] {
        let ran = mill.run(&["account", state, "anna"]);
        assert!(
            ran.code == 0 && ran.out.contains(&format!("is {state}d")),
            "{ran:?}"
        );
    }

    let add =
        |name: &str, line: &str| told(&mill, &["account", "add", name, "--role", "viewer"], line);
    for (name, line, said) in [
        ("eve", "", "no line on standard input"),
        ("eve", "short\n", "expected 10 to 200 characters"),
        ("eve", &"x".repeat(10_000), "expected 10 to 200 characters"),
        ("eve", "tab\tin the middle\n", "a control character"),
        (
            "ANNA",
            "correct horse\n",
            "account \"anna\" is there already",
        ),
        (
            "local:root",
            "correct horse\n",
            "does not begin with \"local:\"",
        ),
        ("", "correct horse\n", "at least one visible character"),
        ("a\u{200B}", "correct horse\n", "no control or invisible"),
    ] {
        let ran = add(name, line);
        ran.refuses(&[said]);
        assert!(line.len() < 6 || !ran.err.contains(line.trim()), "{ran:?}");
    }
    mill.run(&["account", "add", "eve", "--role", "god"])
        .refuses(&["viewer, reviewer"]);
    mill.run(&[
        "account",
        "add",
        "eve",
        "--role",
        "admin",
        "--password",
        "x",
    ])
    .refuses(&["--password"]);
    mill.run(&["account", "role", "zoe", "--role", "admin"])
        .refuses(&["holds no account \"zoe\""]);
    assert_eq!(mill.run(&["account", "list"]).out.lines().count(), 2);
    assert_eq!(mill.run(&["audit", "verify"]).code, 0);
}

#[test]
fn a_token_s_secret_is_shown_once_and_kept_nowhere() {
    let mill = Mill::empty();
    let ran = mill.run(&["token", "add", "erp", "--role", "viewer"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let secret = ran.out.trim();
    assert_eq!(secret.len(), "selvedge_".len() + 64, "{ran:?}");
    let held = mill
        .store()
        .token_of(&review::access::secret_sha256(secret))
        .unwrap();
    assert_eq!(held.unwrap().role, Role::Viewer);
    mill.run(&["token", "add", "erp", "--role", "admin"])
        .refuses(&["token \"erp\" is there already"]);
    let list = mill.run(&["token", "list", "--json"]).json(0);
    assert_eq!(
        (&list[0]["name"], &list[0]["revoked_at"]),
        (&"erp".into(), &Value::Null)
    );
    assert_eq!(mill.run(&["token", "revoke", "erp"]).code, 0);
    let held = mill
        .store()
        .token_of(&review::access::secret_sha256(secret))
        .unwrap();
    assert_eq!(held, None);
    mill.run(&["token", "revoke", "erp"])
        .refuses(&["holds no token that holds \"erp\""]);
    let digits = secret.trim_start_matches("selvedge_");
    for file in crate::program::files_in(mill.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let is_there = bytes
            .windows(digits.len())
            .any(|some| some == digits.as_bytes());
        assert!(!is_there, "the secret is in {file:?}");
    }
}

#[test]
fn a_password_at_a_terminal_is_asked_twice_and_not_shown() {
    let mill = Mill::empty();
    // util-linux's script gives the command a terminal of its own, which tells what was shown.
    let typed = |lines: &str| {
        let command = format!(
            "{} account add anna --role reviewer --chain office",
            env!("CARGO_BIN_EXE_selvedge")
        );
        let script = Command::new("script")
            .args(["-q", "-e", "-c", &command, "/dev/null"])
            .current_dir(mill.path())
            .env_remove("SELVEDGE_STORE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut script) = script else {
            crate::not_run("no program `script` here, which gives a command a terminal");
            return None;
        };
        let mut terminal = script.stdin.take().unwrap();
        let mut shown = String::new();
        let mut out = std::io::BufReader::new(script.stdout.take().unwrap());
        for line in lines.lines() {
            // Typed when it is asked for, as a person does.
            while !shown.ends_with(": ") {
                let mut byte = [0];
                std::io::Read::read_exact(&mut out, &mut byte).unwrap();
                shown.push(byte[0].into());
            }
            writeln!(terminal, "{line}").unwrap();
            shown.push('|');
        }
        std::io::Read::read_to_string(&mut out, &mut shown).unwrap();
        Some((script.wait().unwrap().code().unwrap(), shown))
    };
    let Some((code, shown)) = typed("correct horse\ncorrect house\n") else {
        return;
    };
    assert_eq!(code, 2, "{shown}");
    assert!(shown.contains("two passwords that differ"), "{shown}");
    let (code, shown) = typed("correct horse\ncorrect horse\n").unwrap();
    assert_eq!(code, 0, "{shown}");
    assert!(
        shown.contains("Password of anna: ") && shown.contains("Once more: "),
        "{shown}"
    );
    assert!(!shown.contains("horse"), "{shown}");
    assert!(
        shown.contains("account anna is there, as reviewer"),
        "{shown}"
    );
}

#[test]
fn a_verdict_row_that_was_changed_is_told() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let ran = mill.run(&crate::program::inspecting("R", "loom:4"));
    assert!(ran.code < 2, "{ran:?}");
    let mut store = mill.store();
    let run = store
        .latest_run(&Name::new("R").unwrap())
        .unwrap()
        .unwrap()
        .id;
    let flaws: Vec<_> = store
        .flaws(run)
        .unwrap()
        .iter()
        .map(|flaw| flaw.id)
        .collect();
    let account = Name::new("anna").unwrap();
    let chain = chain_of(mill.path());
    let who = By {
        chain: &chain,
        account: &account,
        role: Role::Reviewer,
    };
    let confirmed = NewVerdict {
        decision: Decision::Confirmed,
        note: None,
    };
    store.give_verdicts(&who, &flaws, &confirmed).unwrap();
    assert_eq!(mill.run(&["audit", "verify"]).code, 0);
    behind_its_back(
        &mill,
        "UPDATE verdicts SET decision = 'rejected' WHERE number = 1",
    );
    let ran = mill.run(&["audit", "verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out
            .contains("table verdicts disagrees with the entries: the verdict of entry 1"),
        "{ran:?}"
    );
}
