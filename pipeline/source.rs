//! Where frames come from, as a person names it.
//!
//! `--from` is a folder or file of images, a video file (told by its content), `rtsp://…`,
//! `v4l2:/dev/videoN`, `genicam:CAMERA` by id, serial number or address, or `loom:SEED` for
//! simulated cloth, once for each lane. Other schemes are refused by name. [`LooseImages`] is the source in which every image, of whatever size,
//! stands alone; a folder that is one roll is [`camera::ImageFolder`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail, ensure};
use calibration::mm_from_um;
use camera::{
    Captured, Description, FlawKind, GenicamCamera, GenicamCounts, GenicamSettings, ImageFolder,
    LaneView, Loom, LoomSettings, LoomWeb, Lost, LostReason, Pool, Source, Stream, StreamAddress,
    StreamSettings, TicksFrom, VideoFile, claims_to_be_video, image_files, load_image,
};

use crate::config::{Lane, Station};
use crate::even_light::EvenLight;
use crate::new_cloth::{LengthFacts, LengthFrom, NewCloth};

/// Scale at which the loom is taken to be seen, in mm per pixel.
pub const LOOM_MM_PER_PX: f64 = 0.2;

/// A parsed `--from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// A folder of images, or one image.
    Images(PathBuf),
    /// A video file, or what is named like one.
    Video(PathBuf),
    /// A live stream; shown without user and password.
    Stream(StreamAddress),
    /// A GenICam camera by its id, serial number or address.
    Genicam(String),
    /// Good simulated cloth from this seed.
    Loom(u64),
}

impl SourceSpec {
    /// Opens the source as one roll, for the camera with this index, which is set to `settings`
    /// where it can be set. `stop` ends a live source, also while its camera is silent.
    ///
    /// # Errors
    /// What the source says, with its name.
    pub fn open(
        &self,
        camera: u16,
        settings: &GenicamSettings,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<LaneSource> {
        let source: Box<dyn Source> = match self {
            SourceSpec::Images(path) => {
                let folder = ImageFolder::open(path, camera)?;
                for skipped in folder.skipped() {
                    tracing::info!(file = %skipped.display(), "not an image, skipped");
                }
                Box::new(folder)
            }
            SourceSpec::Video(path) => Box::new(VideoFile::open(path, camera, None)?),
            SourceSpec::Stream(address) => {
                let stream = Stream::open(address, StreamSettings::new(camera))?;
                Box::new(stream.until(Arc::clone(stop)))
            }
            SourceSpec::Genicam(name) => {
                let genicam = GenicamCamera::open(name, camera, settings)?;
                return Ok(LaneSource {
                    counts: Some(genicam.counts()),
                    length: None,
                    has_queue: false,
                    source: Box::new(genicam.until(Arc::clone(stop))),
                });
            }
            SourceSpec::Loom(seed) => Box::new(Loom::new(LoomSettings {
                camera,
                ..LoomSettings::new(*seed)
            })?),
        };
        Ok(source.into())
    }
}

/// What a lane is inspected from.
pub struct LaneSource {
    /// The frames.
    pub source: Box<dyn Source>,
    /// How their length was known, where frames overlap; grows while they come.
    pub length: Option<Arc<LengthFacts>>,
    /// Whether frames that come too fast wait in a queue of their own, which accounts for those that
    /// it must drop.
    pub has_queue: bool,
    /// What is counted of its stream, where it is a GenICam camera; grows while frames come.
    pub counts: Option<Arc<GenicamCounts>>,
}

impl From<Box<dyn Source>> for LaneSource {
    fn from(source: Box<dyn Source>) -> Self {
        Self {
            source,
            length: None,
            has_queue: false,
            counts: None,
        }
    }
}

/// Opens one source for each lane of `station`, from the left. `stop` ends those that wait for
/// cloth to move or for a camera to answer.
///
/// # Errors
/// As for [`open_lane`].
pub fn open_lanes(
    specs: &[SourceSpec],
    station: &Station,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Vec<LaneSource>> {
    let lanes = 0..station.lanes.len();
    lanes
        .map(|lane| open_lane(specs, station, lane, stop))
        .collect()
}

/// Opens the source of one lane. One `loom:SEED` serves all lanes: it weaves one web, and each lane
/// sees its part of it.
///
/// # Errors
/// When there are not as many sources as lanes, when a lane's length is to come from an encoder
/// that its source does not have, or what a source says.
pub fn open_lane(
    specs: &[SourceSpec],
    station: &Station,
    lane: usize,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<LaneSource> {
    let opened = open_camera(specs, station, lane, stop)?;
    new_of(opened, &station.lanes[lane], stop)
}

/// What is new in the frames of `opened`, where those of its `lane` show cloth again.
///
/// # Errors
/// When its length is to come from an encoder that it does not have.
pub fn new_of(
    opened: LaneSource,
    lane: &Lane,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<LaneSource> {
    let Some(settings) = lane.overlapping else {
        return Ok(opened);
    };
    check_encoder(lane, opened.source.description())?;
    let source = NewCloth::new(opened.source, settings, Arc::clone(stop));
    Ok(LaneSource {
        length: Some(source.facts()),
        source: Box::new(source),
        has_queue: opened.has_queue,
        counts: opened.counts,
    })
}

/// Refuses a lane whose length is to come from an encoder that its camera does not have.
///
/// # Errors
/// Naming the camera.
pub fn check_encoder(lane: &Lane, camera: &Description) -> anyhow::Result<()> {
    let is_wanted = lane
        .overlapping
        .is_some_and(|settings| settings.length == LengthFrom::Encoder);
    ensure!(
        !is_wanted || camera.ticks == TicksFrom::Encoder,
        "found length = \"encoder\" for {}, which has no encoder: its lines are only numbered; expected length = \"pictures\"",
        camera.name
    );
    Ok(())
}

/// The camera of one lane as it is, whether or not its frames show cloth again.
///
/// # Errors
/// When there are not as many sources as lanes, or what a source says.
pub fn open_camera(
    specs: &[SourceSpec],
    station: &Station,
    lane: usize,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<LaneSource> {
    let lanes = &station.lanes;
    let is_one_web = |seed: &u64| specs.iter().all(|spec| *spec == SourceSpec::Loom(*seed));
    let mut opened: LaneSource = match specs {
        [SourceSpec::Loom(seed), ..] if lanes.len() > 1 && is_one_web(seed) => {
            let loom: Box<dyn Source> = Box::new(loom_lane(LoomSettings::new(*seed), lanes, lane)?);
            loom.into()
        }
        _ => {
            ensure!(
                specs.len() == lanes.len(),
                "found {} sources for {} lanes, expected one --from for each lane of the station, from the left",
                specs.len(),
                lanes.len()
            );
            specs[lane].open(u16::try_from(lane)?, &lanes[lane].camera, stop)?
        }
    };
    opened.source = evened(opened.source, station, lane)?;
    Ok(opened)
}

/// Seams that simulated cloth without an end has at most, and the length of one. Each takes time to plant, and
/// cameras are to begin together.
const LOOM_SEAMS: u32 = 10;
const LOOM_SEAM_MM: f64 = 12.0;

/// One lane of simulated cloth without an end, as a station sees it.
///
/// # Errors
/// When the lanes are not what a loom can weave for.
pub fn endless_loom(seed: u64, station: &Station, lane: usize) -> anyhow::Result<Loom> {
    let mut settings = LoomSettings::new(seed);
    settings.n_frames = None;
    settings.flaws_per_megapixel = station.standing.loom_flaws_per_mpx;
    if let Some(every_m) = station.standing.loom_seam_every_m {
        let lines = |mm: f64| (mm / station.lanes[lane].mm_per_line).round() as i64;
        for nth in 1..=LOOM_SEAMS {
            let from = lines(nth as f64 * every_m * 1e3);
            let ticks = from..from + lines(LOOM_SEAM_MM);
            settings = settings.with_flaw(FlawKind::Seam, ticks, 0..1, 1.0);
        }
    }
    loom_lane(settings, &station.lanes, lane)
}

/// `source` with its columns made equally bright, where that of `lane` was measured.
///
/// # Errors
/// When its frames are not as wide as those of the calibration.
pub fn evened(
    source: Box<dyn Source>,
    station: &Station,
    lane: usize,
) -> anyhow::Result<Box<dyn Source>> {
    Ok(match station.light_of(lane) {
        Some(light) => Box::new(EvenLight::new(source, light.clone())?),
        None => source,
    })
}

/// One lane of a web that is as wide as all lanes together.
///
/// # Errors
/// When the lanes are not what a loom can weave for.
pub fn loom_lane(mut settings: LoomSettings, lanes: &[Lane], lane: usize) -> anyhow::Result<Loom> {
    let lane_px = settings.width;
    let views = lanes.iter().enumerate().map(|(nth, lane)| LaneView {
        first_column: (mm_from_um(lane.offset - lanes[0].offset) / lane.mm_per_px).round() as u32,
        width: lane_px,
        sensor_seed: nth as u64,
        off_columns: 0,
        off_lines: 0,
    });
    let lanes: Vec<LaneView> = views.collect();
    let ends = lanes.iter().map(|lane| lane.first_column + lane.width);
    settings.width = ends.max().unwrap_or(lane_px);
    let mut looms = LoomWeb { settings, lanes }.looms()?;
    Ok(looms.swap_remove(lane))
}

impl FromStr for SourceSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(seed) = text.strip_prefix("loom:") {
            let seed = seed
                .parse()
                .with_context(|| format!("found seed {seed:?}, expected a whole number"))?;
            return Ok(SourceSpec::Loom(seed));
        }
        if text.starts_with("rtsp://") || text.starts_with("v4l2:") {
            return Ok(SourceSpec::Stream(text.parse()?));
        }
        if let Some(camera) = text.strip_prefix("genicam:") {
            ensure!(
                !camera.is_empty(),
                "found no camera after genicam:, expected its id, serial number or address; `selvedge cameras` lists them"
            );
            return Ok(SourceSpec::Genicam(camera.to_owned()));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            bail!(
                "found a source of kind {scheme:?}, expected a folder or file of images, a video file, rtsp://…, v4l2:/dev/videoN, genicam:CAMERA or loom:SEED"
            );
        }
        let path = PathBuf::from(text);
        if claims_to_be_video(&path) {
            return Ok(SourceSpec::Video(path));
        }
        Ok(SourceSpec::Images(path))
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceSpec::Images(path) | SourceSpec::Video(path) => write!(f, "{}", path.display()),
            SourceSpec::Stream(address) => write!(f, "{address}"),
            SourceSpec::Genicam(camera) => write!(f, "genicam:{camera}"),
            SourceSpec::Loom(seed) => write!(f, "loom:{seed}"),
        }
    }
}

/// Images that have nothing to do with each other: any size, any kind, each one frame.
pub struct LooseImages {
    camera: u16,
    files: Vec<PathBuf>,
    next: usize,
    tick: i64,
    description: Description,
}

impl LooseImages {
    /// All images of `folder`, in natural order; or one image. They are frames of the camera
    /// with this index.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path, camera: u16) -> anyhow::Result<Self> {
        let files = image_files(folder)?;
        let shape = files
            .iter()
            .find_map(|file| load_image(file).ok())
            .map(|frame| frame.shape())
            .with_context(|| format!("found no readable image in {folder:?}"))?;
        Ok(Self {
            camera,
            description: Description {
                name: folder.display().to_string(),
                shape,
                ticks_per_line: 1,
                ticks: TicksFrom::Nominal,
                n_frames: Some(files.len() as u64),
                live: false,
                continuous: false,
            },
            files,
            next: 0,
            tick: 0,
        })
    }

    /// The files, in the order of their frames.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Source for LooseImages {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, _pool: &Pool) -> Result<Option<Captured>, camera::CameraError> {
        let Some(file) = self.files.get(self.next) else {
            return Ok(None);
        };
        let sequence = self.next as u64;
        self.next += 1;
        Ok(Some(match load_image(file) {
            Ok(mut frame) => {
                let height = i64::from(frame.height());
                (frame.camera, frame.sequence) = (self.camera, sequence);
                frame.ticks = self.tick..self.tick + height;
                self.tick += height;
                Captured::Frame(frame)
            }
            Err(error) => Captured::Lost(Lost {
                camera: self.camera,
                sequence,
                ticks: self.tick..self.tick,
                reason: LostReason::Unreadable,
                detail: error.to_string(),
                origin: Some(file.display().to_string().into()),
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new_cloth::{Motion, NewClothSettings};

    fn up(length: LengthFrom) -> Option<NewClothSettings> {
        let motion = Motion::Up;
        Some(NewClothSettings { motion, length })
    }

    /// Sources of two lanes that are folders of one image each.
    fn two_folders(overlapping: Option<NewClothSettings>) -> anyhow::Result<Vec<LaneSource>> {
        let folder = tempfile::tempdir()?;
        let picture = image::GrayImage::from_pixel(8, 8, image::Luma([90]));
        let mut specs = Vec::new();
        for name in ["left", "right"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path)?;
            picture.save(path.join("1.png"))?;
            specs.push(SourceSpec::Images(path));
        }
        let mut station = Station::at_scales(0.2, 0.2)?;
        station.lanes[0].overlapping = overlapping;
        station.lanes.push(station.lanes[0].clone());
        let mut opened = open_lanes(&specs, &station, &Arc::default())?;
        for (camera, lane) in opened.iter_mut().enumerate() {
            let pool = Pool::new(1, lane.source.description().shape.n_bytes());
            let captured = lane.source.next(&pool)?.context("one image")?;
            assert_eq!(usize::from(captured.camera()), camera);
        }
        Ok(opened)
    }

    #[test]
    fn frames_say_the_camera_of_their_lane() {
        assert_eq!(two_folders(None).unwrap().len(), 2);
        assert_eq!(two_folders(up(LengthFrom::Pictures)).unwrap().len(), 2);
    }

    #[test]
    fn a_length_by_encoder_is_refused_where_there_is_none() {
        let error = two_folders(up(LengthFrom::Encoder))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("has no encoder"), "{error}");
        // The loom has one.
        let mut station = Station::at_scales(0.2, 0.2).unwrap();
        station.lanes[0].overlapping = up(LengthFrom::Encoder);
        let opened = open_lanes(&[SourceSpec::Loom(1)], &station, &Arc::default()).unwrap();
        let description = opened[0].source.description();
        assert_eq!(description.ticks, TicksFrom::Encoder);
    }

    #[test]
    fn sources_are_read_as_they_are_written() {
        assert_eq!("loom:7".parse::<SourceSpec>().unwrap(), SourceSpec::Loom(7));
        assert_eq!(
            "some/folder".parse::<SourceSpec>().unwrap(),
            SourceSpec::Images("some/folder".into())
        );
        let genicam: SourceSpec = "genicam:Aravis-Fake-GV01".parse().unwrap();
        assert_eq!(genicam, SourceSpec::Genicam("Aravis-Fake-GV01".to_owned()));
        assert_eq!(genicam.to_string(), "genicam:Aravis-Fake-GV01");
    }

    #[test]
    fn a_video_is_one_by_its_content_or_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roll");
        std::fs::write(&path, b"RIFF\x10\0\0\0AVI LIST").unwrap();
        let spec = |text: &str| text.parse::<SourceSpec>().unwrap();
        let text = path.to_str().unwrap();
        assert_eq!(spec(text), SourceSpec::Video(path.clone()));
        assert_eq!(spec("missing.mp4"), SourceSpec::Video("missing.mp4".into()));
        assert_eq!(
            spec("missing.png"),
            SourceSpec::Images("missing.png".into())
        );
    }

    #[test]
    fn a_stream_is_shown_without_its_secret() {
        let spec: SourceSpec = "rtsp://joe:s3cret@cam:8554/one".parse().unwrap();
        assert_eq!(spec.to_string(), "rtsp://cam:8554/one");
        assert!(!format!("{spec:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_not_built_in_is_refused_by_name_and_without_its_secret() {
        for text in ["http://joe:s3cret@host/a", "rtsp://joe:s3cret@"] {
            let error = format!("{:#}", text.parse::<SourceSpec>().unwrap_err());
            assert!(!error.contains("s3cret"), "{error}");
            assert!(error.contains("expected"), "{error}");
        }
        assert!("loom:seven".parse::<SourceSpec>().is_err());
        assert!("genicam:".parse::<SourceSpec>().is_err());
    }
}
