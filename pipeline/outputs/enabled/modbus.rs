//! Coils and registers of a Modbus TCP device.
//!
//! ```text
//! outbox: state, signs of the line, marks ─▶ Signals ─▶ what differs is written
//!                                                        everything, with each heartbeat
//! ```
//!
//! The device is only written to. Everything is written anew after each connection and with each
//! heartbeat, so a PLC that began anew needs no word of its own. When the program ends the marker
//! is put to rest, stop and lamp stay as they are, and the heartbeat ends: the machine stops
//! unless somebody decides otherwise at the PLC.

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio_modbus::Slave;
use tokio_modbus::client::sync::{self, Writer};

use super::outbox::Outbox;
use super::signals::{Moment, Signals, Wanted};
use super::trouble::Trouble;
use crate::config::{Beat, ModbusSettings};

/// How long the device may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A device that answers, and what was written to it.
struct Device {
    client: sync::Context,
    coils: BTreeMap<u16, bool>,
    status: Option<[u16; 2]>,
}

pub(super) fn signal(settings: ModbusSettings, outbox: &Outbox) {
    let mut signals = Signals::new(&settings);
    let mut trouble = Trouble::none("modbus");
    let mut device: Option<Device> = None;
    let (mut until, mut n_changes, mut n_missed, mut n_beats) = (Instant::now(), u64::MAX, 0, 0);
    loop {
        let view = outbox.view(n_changes, until, device.is_some());
        n_changes = view.n_changes;
        if view.n_missed > n_missed {
            let n = view.n_missed - n_missed;
            tracing::error!(n, "flaws passed the marker unmarked");
            n_missed = view.n_missed;
        }
        let written = written(&mut device, &settings, |device| {
            let mut wanted = signals.wanted(&Moment {
                state: &view.state,
                line_seen_at: view.line_seen_at,
                is_mark_due: view.is_mark_due,
                next_mark: view.next_mark,
                now: Instant::now(),
            });
            if view.is_closed {
                wanted.beats = false;
                let rest = signals.marker_at_rest();
                wanted
                    .coils
                    .retain(|(coil, _)| rest.is_none_or(|rest| rest.0 != *coil));
                wanted.coils.extend(rest);
            }
            device.write(&settings, &wanted, &mut n_beats)?;
            Ok(wanted.until)
        });
        match written {
            Ok(at) => {
                outbox.has_state(view.version);
                trouble.is_over();
                until = at;
            }
            Err(error) => {
                device = None;
                outbox.is_gone();
                if view.is_mark_due {
                    outbox.missed_mark();
                }
                let pause = trouble.failed(&error);
                if !outbox.pause(pause) {
                    break;
                }
                until = Instant::now();
            }
        }
        if view.is_closed {
            break;
        }
    }
}

/// Writes to the device, after connecting to it where that must be.
fn written(
    device: &mut Option<Device>,
    settings: &ModbusSettings,
    write: impl FnOnce(&mut Device) -> anyhow::Result<Instant>,
) -> anyhow::Result<Instant> {
    if device.is_none() {
        let new = Device::connect(settings);
        *device = Some(new.with_context(|| format!("modbus device {}", settings.address))?);
    }
    let device = device.as_mut().context("it is connected")?;
    write(device).with_context(|| format!("modbus device {}", settings.address))
}

impl Device {
    fn connect(settings: &ModbusSettings) -> anyhow::Result<Self> {
        let address = settings.address.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| anyhow!("its name has no address"))?;
        let unit = Slave(settings.unit);
        let mut client = sync::tcp::connect_slave_with_timeout(address, unit, Some(TIMEOUT))?;
        client.set_timeout(TIMEOUT);
        Ok(Self {
            client,
            coils: BTreeMap::new(),
            status: None,
        })
    }

    /// Writes what differs from what was written, and everything with a heartbeat, which comes
    /// last: it vouches for the rest.
    fn write(
        &mut self,
        settings: &ModbusSettings,
        wanted: &Wanted,
        n_beats: &mut u16,
    ) -> anyhow::Result<()> {
        for (coil, state) in &wanted.coils {
            if wanted.beats || self.coils.get(coil) != Some(state) {
                self.client
                    .write_single_coil(*coil, *state)?
                    .with_context(|| format!("found coil {coil} refused"))?;
                self.coils.insert(*coil, *state);
            }
        }
        if let Some(register) = settings.status
            && (wanted.beats || self.status != Some(wanted.status))
        {
            self.client
                .write_multiple_registers(register, &wanted.status)?
                .with_context(|| format!("found registers from {register} on refused"))?;
            self.status = Some(wanted.status);
        }
        if wanted.beats {
            *n_beats = n_beats.wrapping_add(1);
            match settings.heartbeat {
                Beat::Register(register) => self.client.write_single_register(register, *n_beats),
                Beat::Coil(coil) => self.client.write_single_coil(coil, *n_beats % 2 == 1),
            }?
            .context("found the heartbeat refused")?;
        }
        Ok(())
    }
}
