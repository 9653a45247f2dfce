//! What a station tells the service manager that started it, and what SIGHUP asks of it.
//!
//! ```text
//! cameras tried ─▶ READY=1      the line turns ─▶ WATCHDOG=1      end ─▶ STOPPING=1
//! SIGHUP ─▶ RELOADING=1 ─▶ the station file is read again ─▶ READY=1
//! ```
//!
//! Without a manager (no `NOTIFY_SOCKET`) nothing is told and SIGHUP does the same. `WATCHDOG=1` is
//! told a few times within the time that the manager gives, and only while [`Watched::is_alive`]
//! holds for that same time: a line in which frames wait and nobody takes them is not kept alive. A web
//! that stands still, and a camera that is gone, are no reason to be started again. It ends when the
//! station's `stop` is set.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::config::Reread;
use crate::watched::Watched;

/// How often signals and cameras are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often the watchdog is told within its time.
const TELL_TIMES: u32 = 4;

pub(super) fn serve(
    watched: &Watched,
    settings: &Reread,
    hung_up: &AtomicBool,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let watchdog = sd_notify::watchdog_enabled();
    let (mut is_ready, mut told_alive, mut status) = (false, None::<Instant>, String::new());
    while !stop.load(Ordering::Relaxed) {
        if !is_ready && watched.cameras.iter().all(|camera| camera.was_tried()) {
            tell(&[NotifyState::Ready]);
            is_ready = true;
        }
        // One that comes earlier is done when the manager can hear of it.
        if is_ready && hung_up.swap(false, Ordering::Relaxed) {
            reread(watched, settings);
        }
        if let Some(most) = watchdog
            && told_alive.is_none_or(|at| at.elapsed() >= most / TELL_TIMES)
            && watched.is_alive(most)
        {
            tell(&[NotifyState::Watchdog]);
            told_alive = Some(Instant::now());
        }
        let now = on(watched);
        if now != status {
            tell(&[NotifyState::Status(&now)]);
            status = now;
        }
        std::thread::sleep(LOOK);
    }
    tell(&[NotifyState::Stopping]);
    Ok(())
}

fn reread(watched: &Watched, settings: &Reread) {
    // The manager wants to know when a reload began, by the clock that it goes by.
    match NotifyState::monotonic_usec_now() {
        Ok(began) => tell(&[NotifyState::Reloading, began]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
    match settings.again() {
        Ok(article) => {
            watched.desk.set_usual_article(article);
            tracing::warn!("the station file was read again; it holds from the next roll on");
        }
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "the station file was read again and refused; what held before holds"
        ),
    }
    tell(&[NotifyState::Ready]);
}

/// What the station does, in a line; never a line's end in it, for that would be a word of its own.
fn on(watched: &Watched) -> String {
    match watched.desk.on() {
        Some(on) => format!("roll {} of article {}", on.roll, on.article).replace('\n', " "),
        None => "no roll is on".to_owned(),
    }
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
