//! `selvedge review`: the pages on which people review rolls.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use clap::Args;
use review::access::{Secret, hash_password};
use review::{Assessor, Qc, QcSettings, RollGrade, Tls};
use store::{By, Chain, ChainKey, Digest, Name, Role, RunId, Store};

use super::grade::signed_grade;
use super::teach::limits;
use super::who::{Kept, key_file, local_user};
use super::{Outcome, Place, say};
use crate::classes::Class;
use crate::config::USUAL_RULES;
use crate::grading::{Grade, Rate, Rules};
use crate::roll_view::RollView;

/// The first account.
const ADMIN: &str = "admin";

#[derive(Debug, Args)]
pub(super) struct ReviewArgs {
    /// Address and port of the pages; another than this machine's own needs a certificate.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7410")]
    listen: SocketAddr,
    /// Certificates in PEM, the server's own first; with them the pages come by https.
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    certificate: Option<PathBuf>,
    /// The certificate's private key in PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_key: Option<PathBuf>,
    /// Rules under which rolls are graded: a file, or the name of built-in ones; may be given more
    /// than once.
    #[arg(long, value_name = "FILE|NAME", default_value = USUAL_RULES)]
    rules: Vec<String>,
    #[command(flatten)]
    kept: Kept,
}

/// Grades rolls under a place's rules.
pub(super) struct Graded(Vec<Rules>);

impl Graded {
    /// Under rules of these names or files.
    pub(super) fn under(rules: &[String]) -> anyhow::Result<Self> {
        let rules = rules.iter().map(|rules| Rules::find(rules));
        Ok(Self(rules.collect::<anyhow::Result<_>>()?))
    }
}

impl Assessor for Graded {
    fn grades(&self, store: &Store, run: RunId) -> Result<Vec<RollGrade>, String> {
        let told = |error: anyhow::Error| format!("{error:#}");
        let view = RollView::of(store, run).map_err(told)?;
        let inspected = view.to_grade().map_err(told)?;
        let graded = self.0.iter().map(|rules| {
            let (grade, _) = signed_grade(store, run, &inspected, rules)?;
            shown(rules, &grade)
        });
        graded.collect::<anyhow::Result<_>>().map_err(told)
    }

    fn limits(&self, store: &Store, run: RunId) -> Result<Vec<String>, String> {
        let view = RollView::of(store, run).map_err(|error| format!("{error:#}"))?;
        let Some(found) = &view.limits else {
            return Ok(Vec::new());
        };
        let card = limits(Some(found));
        Ok(card.lines().map(|line| line.trim().to_owned()).collect())
    }
}

fn shown(rules: &Rules, grade: &Grade) -> anyhow::Result<RollGrade> {
    let rates = [Rate::Per100M2, Rate::Per100Yd2, Rate::Per100M];
    let counted = grade.flaws.iter();
    Ok(RollGrade {
        rules: rules.name.clone(),
        version: rules.version.to_string(),
        standard: rules.standard.clone(),
        digest: Digest::new(&rules.digest)?,
        points: grade.points,
        rates: rates
            .map(|rate| (grade.rate(rate), rate.as_str().to_owned()))
            .to_vec(),
        quality: grade.quality().map(str::to_owned),
        quality_by_points: grade.by_points.clone(),
        is_first: grade.is_first(),
        withheld: grade.withheld.clone(),
        is_signed: grade.signed.is_some(),
        why: grade.why.clone(),
        points_of: counted
            .map(|counted| (counted.flaw.id.clone(), counted.points))
            .collect(),
    })
}

pub(super) fn run(args: &ReviewArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let tls = args.certificate.clone().zip(args.certificate_key.clone());
    let tls = tls.map(|(certificate, key)| Tls { certificate, key });
    ensure!(
        tls.is_some() || args.listen.ip().is_loopback(),
        "found --listen {}, expected an address of this machine alone, such as 127.0.0.1:7410, or --certificate and --certificate-key: passwords do not go over a network in the clear",
        args.listen
    );
    let graded = Graded::under(&args.rules)?;
    // A mistyped address is told before anybody waits for a page.
    drop(args.kept.place.look()?);
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("the pages cannot be served on {}", args.listen))?;
    let settings = settings(&args.kept.place, args.kept.key.as_ref(), args.kept.chain()?);
    let settings = QcSettings {
        is_encrypted: tls.is_some(),
        ..settings
    };
    first_admin(&settings, &mut |said| say(said))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    say(&format!("page: {scheme}://{}/", listener.local_addr()?))?;
    let app = review::app(review::qc(Qc::new(settings, Arc::new(graded))));
    review::serve(listener, app, tls.as_ref(), stop)?;
    Ok(Outcome::Clean)
}

/// How rolls of a store are reviewed at a place, over http and without a station.
pub(super) fn settings(place: &Place, key: Option<&PathBuf>, chain: Name) -> QcSettings {
    let classes = Class::ALL.iter();
    QcSettings {
        store: place.store.clone(),
        classes: classes.map(|class| class.as_str().to_owned()).collect(),
        place: chain,
        key_file: key_file(key, place),
        is_encrypted: false,
        has_station: false,
    }
}

/// Makes the first account of a store that has none, with a password that is told once.
pub(super) fn first_admin(
    settings: &QcSettings,
    tell: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut store = Store::open(&settings.store)?;
    if !store.accounts()?.is_empty() {
        return Ok(());
    }
    let secret = Secret::fresh()?;
    let password = secret.reveal();
    let chain = Chain::new(settings.place.clone(), ChainKey::open(&settings.key_file)?);
    let by = By {
        chain: &chain,
        account: &local_user()?,
        role: Role::Admin,
    };
    let made = store.add_account(
        &by,
        &Name::new(ADMIN)?,
        Role::Admin,
        &hash_password(password)?,
    );
    match made {
        Ok(_) => tell(&format!(
            "account: {ADMIN}, password {password} (told this once; change it with `selvedge account password {ADMIN}`)"
        )),
        // Another process has begun at the same moment, and has told it.
        Err(_) if !store.accounts()?.is_empty() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
