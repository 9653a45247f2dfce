//! `selvedge run`: a station that stands, roll after roll.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use camera::{Paced, Source};
use clap::Args;
use models::onnx::Runtime;
use review::{Qc, QcSettings, Tls, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGHUP;
use signal_hook::flag;
use store::{Name, Store, now_us};

use super::review::{Graded, first_admin, settings as review_settings};
use super::shown::{Shown, Streams};
use super::{Outcome, Place, n_workers, name, say, service};
use crate::config::{LogSettings, Reread, Station};
use crate::desk::{Desk, Said, Wish};
use crate::retention;
use crate::source::{LaneSource, SourceSpec, endless_loom, evened, open_camera};
use crate::station::{Beside, GO_ON_WITHIN_US, Standings, run as stand};
use crate::watched::Watched;

/// How often a reader looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Longest line that a scanner types.
const LONGEST_LINE: usize = 1024;
/// How fast simulated cloth runs where the station file does not say: the slower end of what
/// inspection tables do.
const LOOM_M_PER_MIN: f64 = 15.0;
/// Largest file that can hold a token.
const LONGEST_TOKEN: u64 = 4096;
/// What is wrong with a source that is no camera.
const WAITS: &str = "holds its cloth and waits, expected a camera, a stream or loom:SEED: cloth from files is inspected with `selvedge inspect`";

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The station file: cameras, scale, place, light, page.
    #[arg(value_name = "FILE")]
    station: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The key of the log of what people do; `selvedge.key` beside the store when left out.
    #[arg(long, env = "SELVEDGE_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Inference workers; one per processor core when left out.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Begins this roll as soon as every camera exposes, of the station's usual article.
    #[arg(long, value_name = "ROLL")]
    roll: Option<String>,
    /// Number of the order that this roll belongs to.
    #[arg(long, requires = "roll")]
    order: Option<String>,
    /// Goes on with the roll that was cut off last at this station, by a power cut or otherwise, as soon
    /// as every camera exposes; where none was within twelve hours, waits for orders.
    #[arg(long, conflicts_with = "roll")]
    resume: bool,
}

/// Where the station's file wants its log; what is wrong in that file is told when it is used.
pub(super) fn log_settings(args: &RunArgs) -> LogSettings {
    Station::read(&args.station).map_or_else(|_| LogSettings::default(), |station| station.log)
}

pub(super) fn run(args: &RunArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let station = Station::read(&args.station)?;
    let settings = &station.standing;
    let usual_article = settings.article.as_deref();
    let usual_article = usual_article
        .map(|article| name(article, "article"))
        .transpose()?;
    let specs = specs(&station).with_context(|| format!("station file {:?}", args.station))?;
    let token = settings.token_file.as_deref().map(read_token).transpose()?;
    let listener = settings
        .listen
        .map(|listen| {
            TcpListener::bind(listen)
                .with_context(|| format!("the page cannot be served on {listen}"))
        })
        .transpose()?;
    let hung_up = Arc::new(AtomicBool::new(false));
    flag::register(SIGHUP, Arc::clone(&hung_up)).context("signals cannot be handled")?;
    let reread = Arc::new(Reread::new(args.station.clone(), station.clone()));
    let runtime = Runtime::load()?;
    let streams = Arc::new(Streams::default());
    let open = |lane: usize| {
        let opened = open_one(&station, &specs, lane, stop)?;
        streams.keep(lane, opened.counts);
        Ok(opened.source)
    };
    let standings = Standings {
        station: &station,
        settings: &reread,
        open: &open,
        store: &args.place.store,
        shelf: args.place.shelf(),
        runtime: &runtime,
        n_workers: n_workers(args.workers)?,
        usual_article,
        stop,
    };
    let settings = &*reread;
    let hung_up = &*hung_up;
    let serve: Beside<'_> = (
        "service",
        Box::new(move |watched| service::serve(watched, settings, hung_up, stop)),
    );
    let orders: Beside<'_> = (
        "orders",
        Box::new(|watched| {
            let mut first = Some(()).filter(|()| args.roll.is_some() || args.resume);
            // Begun as soon as it can be; orders are heard meanwhile.
            let mut each = || {
                if watched.desk.is_ready() && first.take().is_some() {
                    let begun = begin_first(&watched.desk, args, &station);
                    if let Err(error) = begun {
                        let error = format!("{error:#}");
                        tracing::error!(error, "the first roll was refused");
                    }
                }
                first.is_some()
            };
            hear_lines(watched, stop, &mut each)?;
            while !stop.load(Ordering::Relaxed) && each() {
                std::thread::sleep(LOOK);
            }
            Ok(())
        }),
    );
    let mut beside = vec![serve, orders];
    if let Some(listener) = listener {
        let certificate = station.standing.certificate.clone();
        let tls = certificate.map(|(certificate, key)| Tls { certificate, key });
        let place_name = station.name.as_deref().unwrap_or("station");
        let place_name = name(place_name, "station")?;
        let qc_settings = QcSettings {
            is_encrypted: tls.is_some(),
            has_station: true,
            ..review_settings(&args.place, args.key.as_ref(), place_name)
        };
        first_admin(&qc_settings, &mut |said| say(said))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        say(&format!("page: {scheme}://{}/", listener.local_addr()?))?;
        let graded = Graded::under(&station.standing.rules)?;
        let shown = |watched: &Arc<Watched>| Shown {
            watched: Arc::clone(watched),
            settings: Arc::clone(&reread),
            streams: Arc::clone(&streams),
            station: station.name.clone().unwrap_or_else(|| "station".to_owned()),
        };
        beside.push((
            "page",
            Box::new(move |watched| {
                let live = review::live(Arc::new(shown(watched)), token);
                let qc = Qc::new(qc_settings, Arc::new(graded));
                let app = review::app(qc.guarding(live).merge(review::qc(qc)));
                Ok(review::serve(listener, app, tls.as_ref(), stop)?)
            }),
        ));
    }
    if !station.retention.is_all() {
        beside.push((
            "retention",
            Box::new(|_| {
                retention::keep(&args.place.store, &station.retention, stop);
                Ok(())
            }),
        ));
    }
    stand(&standings, beside)?;
    Ok(Outcome::Clean)
}

/// Orders the roll that was asked for, or the one that was cut off last at this station, unless somebody
/// has ordered another one meanwhile.
fn begin_first(desk: &Desk, args: &RunArgs, station: &Station) -> anyhow::Result<()> {
    if let Some(roll) = &args.roll {
        desk.begin(&Wish {
            roll: roll.clone(),
            article: None,
            order_number: args.order.clone(),
        })?;
        return Ok(());
    }
    let name = station.name.as_deref().map(Name::new).transpose()?;
    let found = Store::open_existing(&args.place.store)?.cut_off_at(name.as_ref())?;
    match found.filter(|run| run.written_at_us >= now_us() - GO_ON_WITHIN_US) {
        Some(_) if desk.is_busy() => tracing::info!("another roll was ordered meanwhile"),
        Some(run) => {
            desk.begin(&Wish {
                roll: run.roll_number.to_string(),
                article: Some(run.article.to_string()),
                order_number: run.order.as_ref().map(ToString::to_string),
            })?;
        }
        None => tracing::info!("no roll was cut off within twelve hours"),
    }
    Ok(())
}

/// What each lane's frames come from.
pub(super) fn specs(station: &Station) -> anyhow::Result<Vec<SourceSpec>> {
    let lanes = station.standing.from.iter().zip(1..);
    lanes
        .map(|(from, nth)| {
            let from = from.as_deref().with_context(|| {
                format!("found lane {nth} without from = \"…\", expected its camera")
            })?;
            let spec: anyhow::Result<SourceSpec> = from.parse();
            let spec = spec.with_context(|| format!("lane {nth}: from = {from:?}"))?;
            // It would never become a camera, however often it is tried.
            let is_files = matches!(spec, SourceSpec::Images(_) | SourceSpec::Video(_));
            ensure!(!is_files, "lane {nth}: {spec} {WAITS}");
            Ok(spec)
        })
        .collect()
}

/// The camera of a lane. Simulated cloth runs at line speed, as cloth does.
pub(super) fn open_one(
    station: &Station,
    specs: &[SourceSpec],
    lane: usize,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<LaneSource> {
    if let SourceSpec::Loom(seed) = specs[lane] {
        let loom = endless_loom(seed, station, lane)?;
        let speed = station.standing.loom_m_per_min.unwrap_or(LOOM_M_PER_MIN);
        let lines_per_second = speed * 1e3 / 60.0 / station.lanes[lane].mm_per_line;
        let paced = Paced::new(loom, lines_per_second)?.until(Arc::clone(stop));
        return Ok(evened(Box::new(paced), station, lane)?.into());
    }
    let opened = open_camera(specs, station, lane, stop)?;
    let description = opened.source.description();
    ensure!(description.live, "{} {WAITS}", description.name);
    Ok(opened)
}

pub(super) fn read_token(file: &Path) -> anyhow::Result<Token> {
    let read = || -> anyhow::Result<Token> {
        let mut text = String::new();
        File::open(file)?
            .take(LONGEST_TOKEN)
            .read_to_string(&mut text)?;
        Token::new(&text).map_err(anyhow::Error::msg)
    };
    read().with_context(|| format!("token file {file:?}"))
}

/// Hears what a barcode scanner types on standard input, until `stop` is set or it is closed; does `each`
/// whenever it looks.
fn hear_lines(
    watched: &Watched,
    stop: &AtomicBool,
    each: &mut dyn FnMut() -> bool,
) -> anyhow::Result<()> {
    let mut input = std::io::stdin();
    let is_person = input.is_terminal();
    let mut typed = Vec::new();
    let wait = Timespec::try_from(LOOK)?;
    while !stop.load(Ordering::Relaxed) {
        each();
        let ready = poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&wait));
        match ready {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error).context("standard input cannot be read"),
        }
        let mut bytes = [0; LONGEST_LINE];
        let n = input.read(&mut bytes)?;
        if n == 0 {
            return Ok(());
        }
        typed.extend_from_slice(&bytes[..n]);
        while let Some(end) = typed.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = typed.drain(..=end).collect();
            let answer = answer(watched, &line);
            match answer {
                Some(Ok(told)) => say(&told)?,
                Some(Err(error)) => {
                    tracing::error!(error = format!("{error:#}"), "an order was refused");
                    if is_person {
                        say(&format!("refused: {error:#}"))?;
                    }
                }
                None => {}
            }
        }
        if typed.len() > LONGEST_LINE {
            tracing::error!(
                n_bytes = typed.len(),
                expected = LONGEST_LINE,
                "found a line that is too long for an order; it is forgotten"
            );
            typed.clear();
        }
    }
    Ok(())
}

fn answer(watched: &Watched, line: &[u8]) -> Option<anyhow::Result<String>> {
    let read = std::str::from_utf8(line).context("found a line that is no text");
    match read.and_then(Said::parse) {
        Ok(said) => Some(watched.said(&said?)),
        Err(error) => Some(Err(error)),
    }
}

/// Date and time, UTC, to the second.
pub(super) fn dated(at: SystemTime) -> String {
    let at = time::OffsetDateTime::from(at);
    let (hour, minute, second) = at.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", at.date())
}
