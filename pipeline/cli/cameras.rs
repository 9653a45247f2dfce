//! `selvedge cameras`: which cameras there are, and how `--from` names them.

use std::path::Path;

use camera::video::{DEVICES, VideoDevice, video_devices};
use camera::{CameraError, CameraInfo, cameras};
use clap::Args;
use serde::Serialize;

use super::{Outcome, say, say_json};

#[derive(Debug, Args)]
pub(super) struct CamerasArgs {
    /// Prints the cameras as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CamerasArgs) -> anyhow::Result<Outcome> {
    let genicam = match cameras() {
        Ok(found) => Some(found),
        Err(CameraError::NotBuiltIn { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let video = video_devices()?;
    let networks = names_in(Path::new(NETWORKS));
    if args.json {
        let genicam = genicam.as_ref();
        say_json(&Listing {
            is_genicam_built_in: genicam.is_some(),
            genicam: genicam.map(|all| all.iter().map(Genicam::from).collect()),
            video: video.iter().map(Video::from).collect(),
            networks: &networks,
        })?;
    } else {
        say(&told(genicam.as_deref(), &video, &networks))?;
    }
    Ok(Outcome::Clean)
}

/// Where the kernel lists network interfaces.
const NETWORKS: &str = "/sys/class/net";

#[derive(Serialize)]
struct Listing<'a> {
    is_genicam_built_in: bool,
    /// Null where nobody could look.
    genicam: Option<Vec<Genicam<'a>>>,
    video: Vec<Video<'a>>,
    /// Interfaces on which was asked.
    networks: &'a [String],
}

#[derive(Serialize)]
struct Genicam<'a> {
    from: String,
    id: &'a str,
    vendor: &'a str,
    model: &'a str,
    serial: &'a str,
    address: &'a str,
    protocol: &'a str,
}

#[derive(Serialize)]
struct Video<'a> {
    from: String,
    name: &'a str,
}

impl<'a> From<&'a CameraInfo> for Genicam<'a> {
    fn from(camera: &'a CameraInfo) -> Self {
        Self {
            from: format!("genicam:{}", camera.id),
            id: &camera.id,
            vendor: &camera.vendor,
            model: &camera.model,
            serial: &camera.serial,
            address: &camera.address,
            protocol: &camera.protocol,
        }
    }
}

impl<'a> From<&'a VideoDevice> for Video<'a> {
    fn from(device: &'a VideoDevice) -> Self {
        Self {
            from: format!("v4l2:{}", device.path.display()),
            name: &device.name,
        }
    }
}

/// A line for each camera; where there is none, what was looked at.
fn told(genicam: Option<&[CameraInfo]>, video: &[VideoDevice], networks: &[String]) -> String {
    let mut lines = Vec::new();
    match genicam {
        None => lines.push(
            "GenICam cameras were not looked for: this build has no genicam; expected one with the feature \"genicam\"".to_owned(),
        ),
        Some([]) => lines.push(format!(
            "no GenICam camera answered: GigE Vision was asked on {}, USB3 Vision looked for on the USB",
            match networks {
                [] => "no network interface".to_owned(),
                _ => networks.join(", "),
            }
        )),
        Some(found) => lines.extend(found.iter().map(|camera| {
            let CameraInfo {
                id,
                vendor,
                model,
                serial,
                address,
                protocol,
            } = camera;
            format!("genicam:{id}  {protocol} at {address}  {vendor} {model}, serial number {serial}")
        })),
    }
    if video.is_empty() {
        lines.push(format!("no video device in {DEVICES}"));
    }
    lines.extend(
        video
            .iter()
            .map(|device| format!("v4l2:{}  {}", device.path.display(), device.name)),
    );
    lines.join("\n")
}

/// Names of what lies in a folder, sorted; none where it cannot be read.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_was_found_it_says_what_was_looked_at() {
        let networks = ["eth0".to_owned(), "lo".to_owned()];
        let said = told(Some(&[]), &[], &networks);
        assert!(said.contains("asked on eth0, lo"), "{said}");
        assert!(said.contains("no video device in /sys"), "{said}");
        assert!(told(None, &[], &networks).contains("no genicam"));
    }

    #[test]
    fn each_camera_is_told_as_from_takes_it() {
        let camera = CameraInfo {
            id: "Aravis-Fake-GV01".to_owned(),
            vendor: "Aravis".to_owned(),
            model: "Fake".to_owned(),
            serial: "GV01".to_owned(),
            address: "127.0.0.2".to_owned(),
            protocol: "GigEVision".to_owned(),
        };
        let device = VideoDevice {
            path: "/dev/video0".into(),
            name: "UVC Camera".to_owned(),
        };
        let said = told(Some(&[camera]), &[device], &[]);
        assert_eq!(
            said,
            "genicam:Aravis-Fake-GV01  GigEVision at 127.0.0.2  Aravis Fake, serial number GV01\nv4l2:/dev/video0  UVC Camera"
        );
        for line in said.lines() {
            let from = line.split("  ").next().unwrap_or_default();
            assert!(from.parse::<crate::source::SourceSpec>().is_ok(), "{from}");
        }
    }
}
