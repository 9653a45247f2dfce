//! Which V4L2 devices the system has, by what it says of them; none is opened.

use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel lists them.
pub const DEVICES: &str = "/sys/class/video4linux";

/// A video device of the system. Not every one takes pictures: some cameras have a second one for
/// what they say beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoDevice {
    /// `/dev/videoN`.
    pub path: PathBuf,
    /// Its driver's name for it.
    pub name: String,
}

/// All video devices, by number; none where the system knows no such devices.
///
/// # Errors
/// What the system says when [`DEVICES`] cannot be read.
pub fn video_devices() -> io::Result<Vec<VideoDevice>> {
    devices_in(Path::new(DEVICES))
}

fn devices_in(folder: &Path) -> io::Result<Vec<VideoDevice>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut devices = Vec::new();
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let number = file.strip_prefix("video").map(str::parse::<u16>);
        if let Some(Ok(number)) = number {
            // A device that is just being pulled out has no name any more.
            let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            let path = Path::new("/dev").join(file);
            let name = name.trim().to_owned();
            devices.push((number, VideoDevice { path, name }));
        }
    }
    devices.sort_by_key(|(number, _)| *number);
    Ok(devices.into_iter().map(|(_, device)| device).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_by_number_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for (file, name) in [
            ("video10", "Late\n"),
            ("video2", "UVC Camera\n"),
            ("vbi0", "no\n"),
        ] {
            std::fs::create_dir(folder.path().join(file)).unwrap();
            std::fs::write(folder.path().join(file).join("name"), name).unwrap();
        }
        let device = |path: &str, name: &str| VideoDevice {
            path: path.into(),
            name: name.to_owned(),
        };
        assert_eq!(
            devices_in(folder.path()).unwrap(),
            [
                device("/dev/video2", "UVC Camera"),
                device("/dev/video10", "Late")
            ]
        );
        assert_eq!(devices_in(&folder.path().join("missing")).unwrap(), []);
    }
}
