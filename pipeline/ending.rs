//! How a run ends in its store, whatever became of it.
//!
//! ```text
//! how the lanes ended, the ledger ─▶ done, or aborted and why ─▶ store
//! ```
//!
//! `done` when the cloth came to its end and the ledger adds up, though cameras may have failed on
//! the way; `aborted` with the reason otherwise. What was found until then stays.

use anyhow::{Context, ensure};
use camera::Ending;
use store::{ClothWidth, EndState, RunEnd, RunId, Store};

use crate::lengths::Lengths;
use crate::line::Endings;
use crate::roll::Ledger;

/// Ends a run that could not be gone on with, and gives back why.
pub fn abort(
    store: &mut Store,
    run: RunId,
    ledger: &Ledger,
    lengths: &Lengths,
    error: anyhow::Error,
) -> anyhow::Error {
    match end_run(store, run, ledger, lengths, Err(error)) {
        Err(error) => error,
        Ok(()) => anyhow::anyhow!("the run was ended as aborted"),
    }
}

/// Ends a run in the store, whatever became of it.
///
/// # Errors
/// What ended the run before its cloth did, else what the store says.
pub fn end_run(
    store: &mut Store,
    run: RunId,
    ledger: &Ledger,
    lengths: &Lengths,
    recorded: anyhow::Result<anyhow::Result<Endings>>,
) -> anyhow::Result<()> {
    let (length_um, ran) = match recorded {
        Ok(ran) => (ledger.length().get(), ran),
        // What the ledger holds and the store does not was not inspected.
        Err(error) => (written_length(store, run), Err(error)),
    };
    let ending = ran.and_then(Ended::of);
    let ending = ending.and_then(|ended| ledger.check().map(|()| ended));
    let (state, message) = match &ending {
        Ok(Ended::AtItsEnd) => (EndState::Done, None),
        Ok(Ended::WithoutLanes(failed)) => (EndState::Done, Some(failed.clone())),
        Ok(Ended::Stopped(failed)) => {
            let stopped = "stopped before the end of the source";
            let told = failed.iter().map(|failed| format!("; {failed}"));
            let message = std::iter::once(stopped.to_owned()).chain(told).collect();
            (EndState::Aborted, Some(message))
        }
        Err(error) => (EndState::Aborted, Some(format!("{error:#}"))),
    };
    let finished = store.finish_run(
        run,
        &RunEnd {
            length_um,
            width_um: ledger.width().get(),
            cloth_width: ledger.cloth_width().map(|width| ClothWidth {
                min_um: width.min.get(),
                mean_um: width.mean.get(),
                max_um: width.max.get(),
            }),
            length_known: Some(lengths.known()),
            state,
            message,
        },
    );
    // What went wrong first is what a person must hear of.
    ending?;
    finished.context("the run's end could not be written; it stays in the store as not ended")
}

/// How all lanes together ended.
enum Ended {
    AtItsEnd,
    /// Some lanes lost their camera before the others ended, and why.
    WithoutLanes(String),
    /// And which lanes had failed before, if any.
    Stopped(Option<String>),
}

impl Ended {
    /// An error when no lane's camera lasted.
    fn of(endings: Endings) -> anyhow::Result<Self> {
        let n_lanes = endings.len();
        let (mut failed, mut is_stopped) = (Vec::new(), false);
        for (lane, ending) in endings.into_iter().enumerate() {
            match ending {
                Ok(counts) => is_stopped |= counts.ending != Ending::EndOfSource,
                Err(error) => failed.push((lane, error)),
            }
        }
        if n_lanes == 1
            && let Some((_, error)) = failed.pop()
        {
            return Err(error);
        }
        let told = failed
            .iter()
            .map(|(lane, error)| format!("lane {}: {error:#}", lane + 1));
        let told = told.collect::<Vec<_>>().join("; ");
        ensure!(failed.len() < n_lanes, "every lane failed: {told}");
        Ok(match (is_stopped, failed.is_empty()) {
            (true, true) => Ended::Stopped(None),
            (true, false) => Ended::Stopped(Some(told)),
            (false, true) => Ended::AtItsEnd,
            (false, false) => Ended::WithoutLanes(told),
        })
    }
}

/// Length of the web as far as its coverage is in the store, in µm; 0 when that cannot be read,
/// which is told.
fn written_length(store: &Store, run: RunId) -> i64 {
    let coverage = store.coverage(run).unwrap_or_else(|error| {
        tracing::error!(%error, "how far the roll was written cannot be read; it ends with length 0");
        Vec::new()
    });
    let start = coverage.iter().map(|cell| cell.rect.along().start).min();
    let end = coverage.iter().map(|cell| cell.rect.along().end).max();
    end.zip(start).map_or(0, |(end, start)| end - start)
}
