//! A station as its page shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use calibration::{Um, mm_from_um};
use camera::GenicamCounts;
use review::{
    Acknowledgement, Alarm, Camera, Latency, Live, Order, Placed, Ribbon, RollOn, Settings,
    Snapshot,
};
use store::Rect;

use super::run::dated;
use crate::config::Reread;
use crate::desk::{Said, Wish};
use crate::meters::BIN_ENDS_MS;
use crate::standing::Doing;
use crate::watched::{Health, SILENCE, Watched};

/// What is counted of each camera's stream since it was opened last, where it is a GenICam camera.
#[derive(Default)]
pub(super) struct Streams(Mutex<BTreeMap<usize, Arc<GenicamCounts>>>);

impl Streams {
    /// The camera of `lane` was opened.
    pub(super) fn keep(&self, lane: usize, counts: Option<Arc<GenicamCounts>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = counts {
            kept.insert(lane, counts);
        }
    }

    fn of(&self, lane: usize) -> BTreeMap<String, u64> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&lane)
            .map(|counts| counts.all())
            .unwrap_or_default()
    }
}

/// The station as its page shows it.
pub(super) struct Shown {
    /// What it does.
    pub(super) watched: Arc<Watched>,
    /// Its settings, which can be read anew.
    pub(super) settings: Arc<Reread>,
    /// What is counted of its cameras' streams.
    pub(super) streams: Arc<Streams>,
    /// Its name.
    pub(super) station: String,
}

impl Shown {
    /// Does what was said, as at the scanner.
    fn said(&self, said: &Said) -> Result<String, String> {
        let told = self.watched.said(said);
        told.map_err(|error| format!("{error:#}"))
    }
}

impl Live for Shown {
    fn snapshot(&self) -> Snapshot {
        let watched = &self.watched;
        let cameras = watched.cameras.iter().enumerate().map(|(lane, facts)| {
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
                light: facts.sight().map(|sight| sight.mean_level),
                focus: facts.sight().map(|sight| sight.focus),
                stream: self.streams.of(lane),
            }
        });
        let latency = &watched.latency;
        let read = self.settings.last();
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
            settings: Settings {
                read_at: dated(read.at),
                refused: read.refused,
            },
            free_bytes: watched.free_bytes(),
            alarms: watched.alarms().into_iter().map(shown_alarm).collect(),
            lives: watched.lives(),
            queues: watched.depths.all(),
            latency: Latency {
                bin_ends_ms: BIN_ENDS_MS.to_vec(),
                counts: latency.counts().to_vec(),
                sum_s: latency.sum().as_secs_f64(),
            },
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
        self.said(&Said::Begin(Wish {
            roll: order.roll.clone(),
            article: order.article.clone(),
            order_number: order.order.clone(),
        }))
    }

    fn end(&self) -> Result<String, String> {
        self.said(&Said::End)
    }

    fn acknowledge(&self, seen: &Acknowledgement) -> Result<String, String> {
        self.said(&Said::Seen(seen.id, seen.by.clone()))
    }

    fn ribbon(&self) -> Ribbon {
        let ribbon = self.watched.ribbon();
        let gaps = ribbon.gaps.iter().map(|gap| Placed {
            what: gap.reason.clone(),
            ..placed(gap.rect)
        });
        let flaws = ribbon.flaws.iter().map(|flaw| Placed {
            what: flaw.class.clone(),
            severity: Some(flaw.severity.clone()),
            ..placed(flaw.rect)
        });
        Ribbon {
            length_mm: mm(ribbon.length_um),
            across_mm: ribbon.across_um.unwrap_or_default().map(mm),
            from_mm: mm(ribbon.from),
            gaps: gaps.collect(),
            flaws: flaws.collect(),
        }
    }
}

fn shown_alarm(alarm: crate::alarms::Alarm) -> Alarm {
    Alarm {
        id: alarm.id,
        cause: alarm.cause.as_str(),
        message: alarm.message,
        raised_at_us: alarm.raised_at_us,
        n_times: alarm.n_times,
        stops: alarm.stops,
    }
}

fn placed(rect: Rect) -> Placed {
    let ends = |range: std::ops::Range<i64>| [range.start, range.end].map(mm);
    Placed {
        along_mm: ends(rect.along()),
        across_mm: ends(rect.across()),
        ..Placed::default()
    }
}

fn mm(um: i64) -> f64 {
    mm_from_um(Um(um))
}
