//! Which cameras answer, and which of them is meant.

use std::ffi::CString;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aravis::{Aravis, Camera, DeviceInfo};

use super::knock::{Answer, knock};
use crate::CameraError;
use crate::genicam::CameraInfo;

/// Aravis' only token: its list of devices is one for the whole process.
static LIBRARY: Mutex<Option<Aravis>> = Mutex::new(None);

/// Every camera that answers on the network interfaces and the USB now. Takes a second or two.
///
/// # Errors
/// `NotBuiltIn` in a build without Aravis.
pub fn cameras() -> Result<Vec<CameraInfo>, CameraError> {
    let mut library = library();
    let token = match library.take() {
        Some(token) => Some(token),
        None => Aravis::initialize().ok(),
    };
    let list = token.as_ref().map(Aravis::get_device_list);
    *library = token;
    let mut cameras: Vec<_> = list.unwrap_or_default().iter().map(info).collect();
    cameras.sort_by(|a, b| (&a.id, &a.address).cmp(&(&b.id, &b.address)));
    Ok(cameras)
}

/// A camera that was named, and by which name Aravis opens it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Its id where that is known, else its address.
    pub(super) key: String,
    /// Where it is, for GigE Vision.
    pub(super) host: Option<Ipv4Addr>,
}

/// The camera that `name` means: its id, serial number or address. Cameras that no broadcast
/// reaches can be named by address too.
///
/// # Errors
/// `NoCamera` where there is none or more than one, with all that were found.
pub(super) fn find(name: &str) -> Result<Named, CameraError> {
    let host = name.parse::<Ipv4Addr>().ok();
    if let Some(host) = host.filter(|&host| knock(host) != Answer::Silence) {
        return Ok(Named {
            key: host.to_string(),
            host: Some(host),
        });
    }
    let found = cameras()?;
    let is_meant = |camera: &&CameraInfo| {
        [&camera.id, &camera.serial, &camera.address]
            .iter()
            .any(|known| *known == name)
    };
    let meant: Vec<_> = found.iter().filter(is_meant).collect();
    match meant[..] {
        [camera] => Ok(Named {
            key: camera.id.clone(),
            host: camera.address.parse().ok(),
        }),
        [] => Err(refused(name, "no such camera", &found)),
        _ => Err(refused(name, "more than one such camera", &found)),
    }
}

/// Opens a camera and takes control of it.
pub(super) fn open(named: &Named) -> Result<Camera, aravis::glib::Error> {
    let _one_at_a_time = library();
    Camera::new(Some(&named.key))
}

fn library() -> MutexGuard<'static, Option<Aravis>> {
    LIBRARY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(name: &str, what: &str, found: &[CameraInfo]) -> CameraError {
    let each = |camera: &CameraInfo| format!("{} at {}", camera.id, camera.address);
    let all = match found {
        [] => "no camera at all answered".to_owned(),
        _ => found.iter().map(each).collect::<Vec<_>>().join(", "),
    };
    CameraError::NoCamera {
        name: name.to_owned(),
        detail: format!("found {what} ({all}); expected the id, serial number or address of one"),
    }
}

fn info(device: &DeviceInfo) -> CameraInfo {
    let text = |text: &CString| text.to_string_lossy().into_owned();
    let (id, model) = (text(&device.id), text(&device.model));
    CameraInfo {
        serial: serial_of(&id, &text(&device.vendor), &model).to_owned(),
        id,
        vendor: text(&device.vendor),
        model,
        address: text(&device.address),
        protocol: text(&device.protocol),
    }
}

/// The serial number, which Aravis tells as a part of the id only: `vendor-model-serial`, with
/// some characters of each replaced by others, one for one.
fn serial_of<'a>(id: &'a str, vendor: &str, model: &str) -> &'a str {
    let n_before = vendor.chars().count() + model.chars().count() + 2;
    let start = id.char_indices().nth(n_before).map(|(at, _)| at);
    start.map_or(id, |start| &id[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_what_follows_vendor_and_model() {
        assert_eq!(serial_of("Aravis-Fake-GV01", "Aravis", "Fake"), "GV01");
        assert_eq!(serial_of("A_B-C-D-1-2", "A B", "C-D"), "1-2");
        // What looks otherwise is shown whole.
        assert_eq!(serial_of("Fake_1", "Aravis", "Fake"), "Fake_1");
    }
}
