//! `selvedge run`: a station that stands, roll after roll.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use camera::{Paced, Source};
use clap::Args;
use models::onnx::Runtime;
use review::{Camera, Live, Order, RollOn, Snapshot, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use store::Store;

use super::{Outcome, Place, n_workers, name, say};
use crate::config::Station;
use crate::desk::{Said, Wish};
use crate::source::{SourceSpec, endless_loom, evened, open_camera};
use crate::standing::Doing;
use crate::station::{Beside, Health, SILENCE, Standings, Watched, run as stand};

/// How often a reader looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Longest line that a scanner types.
const LONGEST_LINE: usize = 1024;
/// How fast simulated cloth runs where the station file does not say: the slower end of what
/// inspection tables do.
const LOOM_M_PER_MIN: f64 = 15.0;
/// Largest file that can hold a token.
const LONGEST_TOKEN: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The station file: cameras, scale, place, light, page.
    #[arg(value_name = "FILE")]
    station: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Inference workers; one per processor core when left out.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Begins this roll as soon as every camera exposes, of the station's usual article.
    #[arg(long, value_name = "ROLL")]
    roll: Option<String>,
    /// Number of the order that this roll belongs to.
    #[arg(long, requires = "roll")]
    order: Option<String>,
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
    let runtime = Runtime::load()?;
    let open = |lane: usize| open_one(&station, &specs, lane, stop);
    let standings = Standings {
        station: &station,
        open: &open,
        store: &args.place.store,
        shelf: args.place.shelf(),
        runtime: &runtime,
        n_workers: n_workers(args.workers)?,
        usual_article,
        stop,
    };
    let mut beside: Vec<Beside<'_>> = vec![(
        "orders",
        Box::new(|watched| {
            if let Some(roll) = &args.roll {
                while !watched.desk.is_ready() && !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                }
                watched.desk.begin(&Wish {
                    roll: roll.clone(),
                    article: None,
                    order_number: args.order.clone(),
                })?;
            }
            hear_lines(watched, stop)
        }),
    )];
    if let Some(listener) = listener {
        say(&format!("page: http://{}/", listener.local_addr()?))?;
        let shown = |watched: &Arc<Watched>| Shown {
            watched: Arc::clone(watched),
            station: station.name.clone().unwrap_or_else(|| "station".to_owned()),
            store: args.place.store.clone(),
        };
        beside.push((
            "page",
            Box::new(move |watched| {
                let app = review::app(Arc::new(shown(watched)), token);
                Ok(review::serve(listener, app, stop)?)
            }),
        ));
    }
    stand(&standings, beside)?;
    Ok(Outcome::Clean)
}

/// What each lane's frames come from.
fn specs(station: &Station) -> anyhow::Result<Vec<SourceSpec>> {
    let lanes = station.standing.from.iter().zip(1..);
    lanes
        .map(|(from, nth)| {
            let from = from.as_deref().with_context(|| {
                format!("found lane {nth} without from = \"…\", expected its camera")
            })?;
            let spec = from.parse();
            spec.with_context(|| format!("lane {nth}: from = {from:?}"))
        })
        .collect()
}

/// The camera of a lane. Simulated cloth runs at line speed, as cloth does.
fn open_one(
    station: &Station,
    specs: &[SourceSpec],
    lane: usize,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Box<dyn Source>> {
    if let SourceSpec::Loom(seed) = specs[lane] {
        let loom = endless_loom(seed, &station.lanes, lane)?;
        let speed = station.standing.loom_m_per_min.unwrap_or(LOOM_M_PER_MIN);
        let lines_per_second = speed * 1e3 / 60.0 / station.lanes[lane].mm_per_line;
        let paced = Paced::new(loom, lines_per_second)?.until(Arc::clone(stop));
        return evened(Box::new(paced), station, lane);
    }
    let source = open_camera(specs, station, lane, stop)?.source;
    let description = source.description();
    ensure!(
        description.live,
        "{} holds its cloth and waits, expected a camera, a stream or loom:SEED: cloth from files is inspected with `selvedge inspect`",
        description.name
    );
    Ok(source)
}

fn read_token(file: &Path) -> anyhow::Result<Token> {
    let read = || -> anyhow::Result<Token> {
        let mut text = String::new();
        File::open(file)?
            .take(LONGEST_TOKEN)
            .read_to_string(&mut text)?;
        Token::new(&text).map_err(anyhow::Error::msg)
    };
    read().with_context(|| format!("token file {file:?}"))
}

/// Hears what a barcode scanner types on standard input, until `stop` is set or it is closed.
fn hear_lines(watched: &Watched, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut input = std::io::stdin();
    let is_person = input.is_terminal();
    let mut typed = Vec::new();
    let wait = Timespec::try_from(LOOK)?;
    while !stop.load(Ordering::Relaxed) {
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
    let said = match std::str::from_utf8(line) {
        Ok(line) => Said::parse(line)?,
        Err(error) => return Some(Err(error).context("found a line that is no text")),
    };
    Some(watched.desk.hear(&said))
}

/// The station as its page shows it.
struct Shown {
    watched: Arc<Watched>,
    station: String,
    store: String,
}

impl Live for Shown {
    fn snapshot(&self) -> Snapshot {
        let watched = &self.watched;
        let cameras = watched.cameras.iter().map(|facts| {
            let (doing, why, silent_s) = match facts.doing() {
                Doing::Exposing(since) if since > SILENCE => {
                    ("silent", None, Some(since.as_secs_f64()))
                }
                Doing::Exposing(since) => ("exposing", None, Some(since.as_secs_f64())),
                Doing::Waiting => ("waiting", None, None),
                Doing::Gone(why) => ("gone", Some(why), None),
                Doing::Ended => ("ended", None, None),
            };
            Camera {
                doing,
                why,
                silent_s,
                n_frames: facts.n_frames(),
                n_lost: facts.n_lost(),
                n_failures: facts.n_failures(),
            }
        });
        let store = Store::open_existing(&self.store);
        Snapshot {
            station: self.station.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_s: watched.since.elapsed().as_secs_f64(),
            roll: watched.desk.on().map(|on| RollOn {
                roll: on.roll.to_string(),
                article: on.article.to_string(),
            }),
            last_roll: watched.last_roll(),
            cameras: cameras.collect(),
            wrong: match watched.health() {
                Health::Good => Vec::new(),
                Health::Bad(wrong) => wrong,
            },
            n_rolls: watched.n_rolls(),
            n_failed: watched.n_failed(),
            n_flaws: watched.n_flaws(),
            n_frames: watched.n_frames(),
            free_bytes: store.ok().and_then(|store| store.free_bytes().ok()?),
        }
    }

    fn picture(&self, camera: usize) -> Option<Vec<u8>> {
        let picture = self.watched.cameras.get(camera)?.picture(SILENCE)?;
        let levels = image::GrayImage::from_raw(picture.width, picture.height, picture.levels)?;
        let mut png = std::io::Cursor::new(Vec::new());
        let written = levels.write_to(&mut png, image::ImageFormat::Png);
        written.ok().map(|()| png.into_inner())
    }

    fn begin(&self, order: &Order) -> Result<String, String> {
        let begun = self.watched.desk.begin(&Wish {
            roll: order.roll.clone(),
            article: order.article.clone(),
            order_number: order.order.clone(),
        });
        begun.map_err(|error| format!("{error:#}"))
    }

    fn end(&self) -> Result<String, String> {
        self.watched
            .desk
            .end()
            .map_err(|error| format!("{error:#}"))
    }
}
