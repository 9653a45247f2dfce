//! State and events to a receiver that answers, one after the other.
//!
//! Each is sent until the receiver has it: what it missed while it was away is the state as it is
//! now, and every event that there was room for, in order, some perhaps twice.

use std::time::Duration;

use super::super::State;
use super::outbox::{Next, Outbox};
use super::trouble::Trouble;
use super::words::Parcel;

/// A way to one receiver; it connects when it must.
pub(super) trait Link {
    /// Tells what is so now. Returns when the receiver has it.
    fn state(&mut self, state: &State) -> Result<(), Failed>;
    /// Tells an event, and that `n_lost` were lost before it. Returns when the receiver has it.
    fn parcel(&mut self, parcel: &Parcel, n_lost: u64) -> Result<(), Failed>;
    /// Called while there is nothing to tell.
    fn idle(&mut self) -> Result<(), Failed>;
    /// Takes leave.
    fn part(&mut self);
}

/// Why a receiver does not have something.
#[derive(Debug)]
pub(super) enum Failed {
    /// It is not there, or has troubles of its own; later it may take it.
    Gone(anyhow::Error),
    /// It will never take this.
    Refused(anyhow::Error),
}

/// How often an idle link is looked after.
const PATIENCE: Duration = Duration::from_millis(250);

pub(super) fn post(name: &'static str, outbox: &Outbox, link: &mut dyn Link) {
    let mut trouble = Trouble::none(name);
    loop {
        let sent = match outbox.next(PATIENCE) {
            Next::Closed => break,
            Next::Nothing => link.idle(),
            Next::State(version, state) => match link.state(&state) {
                Ok(()) => {
                    outbox.has_state(version);
                    trouble.is_over();
                    Ok(())
                }
                // There is nothing else to tell instead.
                Err(Failed::Refused(error)) => Err(Failed::Gone(error)),
                gone => gone,
            },
            Next::Parcel(number, parcel, n_lost) => match link.parcel(&parcel, n_lost) {
                Ok(()) => {
                    outbox.has_parcel(number, n_lost);
                    Ok(())
                }
                Err(Failed::Refused(error)) => {
                    let event = parcel.kind;
                    tracing::error!(receiver = name, event, "an event was refused: {error:#}");
                    outbox.refused_parcel(number);
                    Ok(())
                }
                gone => gone,
            },
        };
        if let Err(Failed::Gone(error) | Failed::Refused(error)) = sent {
            outbox.is_gone();
            if !outbox.pause(trouble.failed(&error)) {
                break;
            }
        }
    }
    link.part();
}
