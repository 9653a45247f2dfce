//! Accounts: who may do what. An administrator makes and changes them, everybody their own password.
//!
//! Nothing is ever deleted: an account that was disabled stays in the log with what it did. Who is
//! changed is logged out at once.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use store::{Account, Name, Role};

use super::refusal::Refusal;
use super::sessions::said_wait;
use super::units::moment;
use super::{Asker, Frame, Qc, html};
use crate::access::{Act, hash_password, may, verify_password};

/// How those begin who are in the log and have no account: users of the machine, and programs.
const NO_PERSON: [&str; 2] = ["local:", "token "];

#[derive(Template)]
#[template(path = "accounts.html")]
struct Page {
    frame: Frame,
    may_manage: bool,
    accounts: Vec<Row>,
    roles: Vec<&'static str>,
    told: Option<String>,
}

struct Row {
    name: String,
    role: &'static str,
    is_disabled: bool,
    made: String,
}

impl Row {
    fn of(account: &Account) -> Self {
        Self {
            name: account.name.to_string(),
            role: account.role.as_str(),
            is_disabled: account.is_disabled,
            made: moment(account.made_at_us),
        }
    }
}

/// The page: one's own password, and for administrators everybody's account.
pub(super) async fn page(State(qc): State<Qc>, asker: Asker) -> Result<impl IntoResponse, Refusal> {
    shown(&qc, &asker, None).await
}

async fn shown(qc: &Qc, asker: &Asker, told: Option<String>) -> Result<Html<String>, Refusal> {
    let may_manage = may(asker.person.role, Act::ManageAccounts);
    let accounts = if may_manage {
        qc.stores().look(|store| Ok(store.accounts()?)).await?
    } else {
        Vec::new()
    };
    html(&Page {
        frame: asker.frame(qc),
        may_manage,
        accounts: accounts.iter().map(Row::of).collect(),
        roles: Role::ALL.iter().map(|role| role.as_str()).collect(),
        told,
    })
}

/// What an administrator sends.
#[derive(Deserialize)]
pub(super) struct Sent {
    csrf: String,
    act: String,
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    password: String,
}

/// Makes or changes an account.
pub(super) async fn change(
    State(qc): State<Qc>,
    asker: Asker,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    asker.must_have_sent(&sent.csrf)?;
    let changed = Name::new(&sent.name)?;
    if NO_PERSON
        .iter()
        .any(|begins| changed.as_str().starts_with(begins))
    {
        return Err(Refusal::Wrong(format!(
            "expected a name that does not begin with {NO_PERSON:?}"
        )));
    }
    let own = changed.as_str() == asker.person.name;
    if own && matches!(sent.act.as_str(), "disable" | "role" | "password") {
        return Err(Refusal::Wrong(
            "nobody changes their own rights here: another administrator can, and your password is changed above"
                .to_owned(),
        ));
    }
    let name = changed.clone();
    qc.write_as(&asker, Act::ManageAccounts, move |store, by| {
        match sent.act.as_str() {
            "add" => {
                let hash = hashed(&sent.password)?;
                store.add_account(by, &name, sent.role.parse()?, &hash)?;
            }
            "role" => {
                store.set_account_role(by, &name, sent.role.parse()?)?;
            }
            "password" => {
                store.set_account_password(by, &name, &hashed(&sent.password)?)?;
            }
            "disable" => {
                store.set_account_disabled(by, &name, true)?;
            }
            "enable" => {
                store.set_account_disabled(by, &name, false)?;
            }
            _ => {
                return Err(Refusal::Wrong(
                    "expected add, role, password, disable or enable".to_owned(),
                ));
            }
        }
        Ok(())
    })
    .await?;
    let but = own.then_some(asker.person.csrf.as_str());
    qc.sessions().end_all_of(changed.as_str(), but);
    Ok(Redirect::to("/accounts").into_response())
}

/// What somebody sends for themselves.
#[derive(Deserialize)]
pub(super) struct OwnPassword {
    csrf: String,
    before: String,
    password: String,
}

/// Changes one's own password.
pub(super) async fn own_password(
    State(qc): State<Qc>,
    asker: Asker,
    Form(sent): Form<OwnPassword>,
) -> Result<Response, Refusal> {
    asker.must_have_sent(&sent.csrf)?;
    let account = Name::new(&asker.person.name)?;
    let name = account.as_str().to_owned();
    if let Some(wait) = qc.sessions().must_wait(&name, None) {
        return Err(Refusal::Wrong(said_wait(wait)));
    }
    let is_right = qc
        .write_as(&asker, Act::Look, move |store, by| {
            let now = store.account(&account)?.ok_or(Refusal::Unknown)?;
            if !verify_password(Some(&now.password), &sent.before) {
                return Ok(false);
            }
            store.set_account_password(by, &account, &hashed(&sent.password)?)?;
            Ok(true)
        })
        .await?;
    if !is_right {
        qc.sessions().has_failed(&name, None);
        return Err(Refusal::Wrong("the password until now is wrong".to_owned()));
    }
    qc.sessions().end_all_of(&name, Some(&asker.person.csrf));
    let told = "the password is changed, and your other sessions have ended".to_owned();
    Ok(shown(&qc, &asker, Some(told)).await?.into_response())
}

fn hashed(password: &str) -> Result<String, Refusal> {
    hash_password(password).map_err(|error| Refusal::Wrong(error.to_string()))
}
