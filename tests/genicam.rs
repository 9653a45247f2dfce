//! GenICam cameras: Aravis' fake GigE Vision camera, each in a network of its own.
//!
//! Each pixel of the fake camera's picture is the sum of its column, its line and the camera's
//! frame number modulo 255, so that a frame's first pixel tells which exposure it is. Where the
//! fake camera or such a network is not to be had, a test says `NOT RUN` aloud.

#![cfg(feature = "genicam")]

mod fake;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use camera::{
    Captured, Channels, Depth, FeatureValue, Frame, GenicamCamera, GenicamSettings, Lost,
    LostReason, Pool, Source, cameras,
};

use self::fake::{ELSEWHERE, Fake, HERE, SERIAL, alone, pause};
use crate::operations::{Stood, free_address, until, write_station};
use crate::program::{Mill, onnx_runtime};

/// Frames a second of most of these cameras.
const RATE: f64 = 30.0;

fn settings(width: u32, height: u32) -> GenicamSettings {
    GenicamSettings {
        width: Some(width),
        height: Some(height),
        frame_rate_hz: Some(RATE),
        ..GenicamSettings::default()
    }
}

/// What came of a camera: frames as sequence and first pixel.
#[derive(Debug, Default)]
struct Seen {
    frames: Vec<(u64, u8)>,
    lost: Vec<Lost>,
    end: i64,
}

impl Seen {
    /// Reads on until `enough` has had enough; ticks and sequence run on all the while.
    fn read(
        &mut self,
        (camera, pool): (&mut GenicamCamera, &Pool),
        mut enough: impl FnMut(&Captured) -> bool,
    ) {
        let height = i64::from(camera.description().shape.height);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let captured = camera.next(pool).unwrap().unwrap();
            let ticks = captured.ticks();
            assert_eq!(ticks.start, self.end, "ticks run on");
            assert_eq!(captured.sequence() as i64 * height, ticks.start);
            self.end = ticks.end;
            let is_enough = enough(&captured);
            match captured {
                Captured::Frame(frame) => {
                    assert_eq!(
                        (frame.shape(), frame.camera),
                        (camera.description().shape, 2)
                    );
                    self.frames.push((frame.sequence, frame.bytes()[0]));
                }
                Captured::Lost(one) => self.lost.push(one),
            }
            if is_enough {
                return;
            }
            assert!(Instant::now() < deadline, "{self:?}");
        }
    }

    /// Every frame is the exposure that its sequence number says, by what it shows.
    fn is_in_place(&self) {
        let (first, shown) = self.frames[0];
        for (sequence, pixel) in &self.frames {
            let expected = (u64::from(shown) + sequence - first) % 255;
            assert_eq!(u64::from(*pixel), expected, "frame {sequence}");
        }
    }

    /// The camera was gone for so long, up to the frame that was just seen.
    fn accounts_for(&self, gone: Duration, height: u32) {
        let lost = self.n_lost(LostReason::CameraLost) as f64 / f64::from(height);
        let expected = gone.as_secs_f64() * RATE;
        // What was on its way when it died, and half an exposure at each end.
        assert!(
            (lost + 1.0 - expected).abs() < 4.0,
            "{lost} exposures and one in {gone:?}"
        );
    }

    fn n_lost(&self, reason: LostReason) -> i64 {
        let lost = self.lost.iter().filter(|lost| lost.reason == reason);
        lost.map(|lost| lost.ticks.end - lost.ticks.start).sum()
    }
}

fn frames_until(n: usize) -> impl FnMut(&Captured) -> bool {
    let mut seen = 0;
    move |captured| {
        seen += usize::from(matches!(captured, Captured::Frame(_)));
        seen == n
    }
}

/// Does something after a while, beside the test.
fn after(time: Duration, what: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let waiting = std::thread::Builder::new().name("after".into());
    waiting
        .spawn(move || {
            pause(time);
            what();
        })
        .unwrap()
}

#[test]
fn frames_of_a_camera_come_in_order_and_none_is_unaccounted_for() {
    alone(|| {
        let fake = Fake::start("0");
        let (mut camera, pool) = fake.open(&settings(2048, 1024));
        let description = camera.description().clone();
        assert_eq!((description.live, description.n_frames), (true, None));
        assert_eq!(description.shape.to_string(), "2048x1024 8 bit grey");

        let mut seen = Seen::default();
        // The camera's count goes round after 135 frames.
        let (n_frames, begun) = (150, Instant::now());
        seen.read((&mut camera, &pool), frames_until(n_frames));
        let seconds = begun.elapsed().as_secs_f64();

        seen.is_in_place();
        // A busy machine may lose some; then they are accounted for.
        let n_lost = seen.n_lost(LostReason::FrameLost) / 1024;
        assert_eq!(
            seen.end,
            (n_frames as i64 + n_lost) * 1024,
            "{:?}",
            seen.lost
        );
        // It never is faster than it was set; a busy machine may slow it down.
        let exposures = n_frames as f64 + n_lost as f64;
        assert!(
            exposures / seconds < 1.1 * RATE,
            "{exposures} in {seconds} s"
        );
        let counts = camera.counts();
        drop(camera);
        assert!(
            counts.of("n_completed_buffers") >= n_frames as u64,
            "{counts:?}"
        );
    });
}

#[test]
fn lost_packets_are_lost_frames_at_their_place() {
    alone(|| {
        let fake = Fake::start("1");
        let (mut camera, pool) = fake.open(&settings(512, 512));
        let mut seen = Seen::default();
        seen.read((&mut camera, &pool), frames_until(100));
        seen.is_in_place();
        assert!(seen.n_lost(LostReason::FrameLost) > 0, "{seen:?}");
        assert!(
            seen.lost
                .iter()
                .any(|lost| lost.detail.contains("came incomplete (")),
            "{:?}",
            seen.lost
        );
        let counts = camera.counts();
        drop(camera);
        assert!(
            counts.of("n_failures") > 0 && counts.of("n_missing_packets") > 0,
            "{counts:?}"
        );
    });
}

#[test]
fn a_camera_that_dies_is_noticed_within_a_second_and_comes_back_with_its_time_accounted_for() {
    alone(|| {
        let mut fake = Fake::start("0");
        let (mut camera, pool) = fake.open(&settings(512, 512));
        let mut seen = Seen::default();
        seen.read((&mut camera, &pool), frames_until(30));

        let died = fake.die();
        let is_lost = |captured: &Captured| matches!(captured, Captured::Lost(lost) if lost.reason == LostReason::CameraLost);
        seen.read((&mut camera, &pool), is_lost);
        let noticed = died.elapsed();
        assert!(noticed < Duration::from_secs(1), "{noticed:?}");
        let n_before = seen.frames.len();
        seen.is_in_place();
        let mut n_told = 0;
        seen.read((&mut camera, &pool), |captured| {
            assert!(is_lost(captured), "a frame of a dead camera: {captured:?}");
            n_told += 1;
            n_told == 3
        });

        fake.start_again(HERE);
        seen.read((&mut camera, &pool), frames_until(1));
        seen.accounts_for(died.elapsed(), 512);
        seen.read((&mut camera, &pool), frames_until(10));
        // The fake camera counts from the same number again: these are new pictures.
        let back = Seen {
            frames: seen.frames[n_before..].to_vec(),
            ..Seen::default()
        };
        back.is_in_place();
        assert!(
            seen.lost
                .iter()
                .all(|lost| lost.detail.starts_with("genicam:127."))
        );
    });
}

#[test]
fn a_camera_that_comes_back_under_another_address_is_found_by_its_serial_number() {
    alone(|| {
        let mut fake = Fake::start("0");
        let mut camera = GenicamCamera::open(SERIAL, 2, &settings(64, 64)).unwrap();
        let pool = Pool::new(4, camera.description().shape.n_bytes());
        let mut seen = Seen::default();
        seen.read((&mut camera, &pool), frames_until(5));
        let died = fake.die();
        fake.start_again(ELSEWHERE);
        seen.read((&mut camera, &pool), frames_until(1));
        seen.accounts_for(died.elapsed(), 64);
    });
}

#[test]
fn a_camera_whose_trigger_rests_loses_nothing_until_it_dies() {
    alone(|| {
        let mut fake = Fake::start("0");
        let (mut camera, pool) = fake.open(&GenicamSettings {
            trigger: Some("Software".to_owned()),
            ..settings(512, 512)
        });
        let (told_at, died_at) = mpsc::sync_channel(1);
        let resting = Duration::from_millis(1_500);
        let dying = after(resting, move || told_at.send(fake.die()).unwrap());
        let begun = Instant::now();
        let captured = camera.next(&pool).unwrap().unwrap();
        let noticed = begun.elapsed();
        assert!(
            matches!(&captured, Captured::Lost(lost) if lost.reason == LostReason::CameraLost),
            "{captured:?}"
        );
        assert!(noticed > resting, "{noticed:?}");
        let noticed = died_at.recv().unwrap().elapsed();
        assert!(noticed < Duration::from_secs(1), "{noticed:?}");
        dying.join().unwrap();
    });
}

#[test]
fn a_stop_ends_a_camera_that_rests_and_one_that_is_gone() {
    alone(|| {
        let mut fake = Fake::start("0");
        for is_gone in [false, true] {
            let stop = Arc::new(AtomicBool::new(false));
            let (camera, pool) = fake.open(&GenicamSettings {
                trigger: Some("Software".to_owned()),
                ..settings(512, 512)
            });
            let mut camera = camera.until(Arc::clone(&stop));
            if is_gone {
                fake.die();
                assert!(matches!(camera.next(&pool), Ok(Some(Captured::Lost(_)))));
            }
            let stopping = after(Duration::from_millis(300), move || {
                stop.store(true, Ordering::Relaxed);
            });
            let begun = Instant::now();
            while let Some(captured) = camera.next(&pool).unwrap() {
                assert!(
                    is_gone && matches!(captured, Captured::Lost(_)),
                    "{captured:?}"
                );
            }
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(2), "{waited:?}");
            stopping.join().unwrap();
        }
    });
}

#[test]
fn what_a_camera_cannot_be_set_to_is_refused_with_what_it_takes() {
    alone(|| {
        let fake = Fake::start("0");
        let nothing = GenicamSettings::default;
        let feature = |name: &str, value| GenicamSettings {
            features: vec![(name.to_owned(), value)],
            ..nothing()
        };
        let text = |text: &str| Some(text.to_owned());
        for (settings, said) in [
            (
                GenicamSettings {
                    exposure_us: Some(3e7),
                    ..nothing()
                },
                "found exposure_us = 30000000, expected 10 to 10000000",
            ),
            (
                GenicamSettings {
                    width: Some(9_000),
                    ..nothing()
                },
                "found width = 9000, expected 1 to 2048",
            ),
            (
                GenicamSettings {
                    pixel_format: text("Mono9"),
                    ..nothing()
                },
                "found pixel_format = \"Mono9\", expected one of Mono8, RGB8, Mono16",
            ),
            (
                GenicamSettings {
                    pixel_format: text("BayerRG8"),
                    ..nothing()
                },
                "found pixel_format = \"BayerRG8\", expected one of Mono8, RGB8, Mono16",
            ),
            (
                GenicamSettings {
                    trigger: text("Line7"),
                    ..nothing()
                },
                "found trigger = \"Line7\", expected \"off\" or one of Line0, Software",
            ),
            (
                GenicamSettings {
                    packet_size: Some(100),
                    ..nothing()
                },
                "found packet_size = 100, expected 576 to",
            ),
            (
                GenicamSettings {
                    line_rate_hz: Some(100.0),
                    ..nothing()
                },
                "expected a camera that has the feature AcquisitionLineRate",
            ),
            (
                GenicamSettings {
                    encoder_ticks_per_line: Some(1),
                    ..nothing()
                },
                "expected a camera that sends its encoder's value",
            ),
            (
                feature("Glow", FeatureValue::Whole(1)),
                "a camera that has the feature Glow",
            ),
            (
                feature("Width", FeatureValue::Number(2.5)),
                "found Width = 2.5, expected a whole number",
            ),
            (
                feature("GainAuto", FeatureValue::Whole(1)),
                "expected one of its names, in quotes",
            ),
            (
                feature("AcquisitionStart", FeatureValue::Switch(true)),
                "this one is a command",
            ),
        ] {
            let refusal = fake.refusal(&settings);
            assert!(refusal.contains(said), "expected {said:?} in {refusal:?}");
            assert!(refusal.contains(&fake.address.to_string()), "{refusal:?}");
        }
        // And it is none the worse for it.
        let (mut camera, pool) = fake.open(&GenicamSettings {
            exposure_us: Some(500.0),
            gain: Some(3.0),
            offset_x: Some(64),
            offset_y: Some(32),
            packet_size: Some(4_000),
            features: vec![("ExposureTimeAbs".to_owned(), FeatureValue::Whole(600))],
            ..settings(256, 128)
        });
        let captured = camera.next(&pool).unwrap();
        assert!(matches!(captured, Some(Captured::Frame(_))), "{captured:?}");
    });
}

#[test]
fn deep_and_coloured_pictures_are_laid_out_as_they_are() {
    alone(|| {
        let fake = Fake::start("0");
        let first = |format: &str| -> Frame {
            let (mut camera, pool) = fake.open(&GenicamSettings {
                pixel_format: Some(format.to_owned()),
                ..settings(128, 64)
            });
            match camera.next(&pool).unwrap() {
                Some(Captured::Frame(frame)) => frame,
                other => panic!("{other:?}"),
            }
        };
        let deep = first("Mono16");
        assert_eq!(
            (deep.shape().channels, deep.shape().depth),
            (Channels::Grey, Depth::Sixteen)
        );
        let row = deep.row_u16(3).unwrap();
        // Each pixel is 256 more than the last, modulo 65535.
        for two in row.windows(2) {
            assert_eq!((u32::from(two[0]) + 256) % 65_535, u32::from(two[1]));
        }
        let colour = first("RGB8");
        assert_eq!(colour.shape().channels, Channels::Rgb);
        assert!(
            colour.bytes().chunks(3).any(|pixel| pixel[0] != pixel[2]),
            "it is coloured"
        );
    });
}

#[test]
fn a_camera_is_found_by_id_and_serial_number_and_a_wrong_name_is_told_all_that_answered() {
    alone(|| {
        let _fake = Fake::start("0");
        let found = cameras().unwrap();
        let of_fake = |camera: &&camera::CameraInfo| camera.serial == SERIAL;
        let info = found
            .iter()
            .find(of_fake)
            .unwrap_or_else(|| panic!("{found:?}"));
        assert_eq!((&*info.vendor, &*info.model), ("Aravis", "Fake"));
        assert_eq!(info.protocol, "GigEVision");
        for name in [&info.id, &info.serial] {
            let camera = GenicamCamera::open(name, 0, &settings(64, 64)).unwrap();
            assert_eq!(camera.description().name, format!("genicam:{name}"));
        }
        let error = GenicamCamera::open("nobody", 0, &settings(64, 64)).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("found no such camera") && said.contains(&info.id),
            "{said}"
        );
    });
}

#[test]
fn a_camera_that_somebody_controls_is_refused() {
    alone(|| {
        let fake = Fake::start("0");
        let (mut camera, pool) = fake.open(&settings(64, 64));
        let refusal = fake.refusal(&settings(64, 64));
        assert!(refusal.contains("controlled by somebody else"), "{refusal}");
        // Whoever has it goes on.
        assert!(matches!(camera.next(&pool), Ok(Some(Captured::Frame(_)))));
    });
}

#[test]
fn the_program_lists_cameras_and_says_what_a_station_file_asks_in_vain() {
    alone(|| {
        let fake = Fake::start("0");
        let mill = Mill::empty();
        let listing = mill.run(&["cameras", "--json"]).json(0);
        let all = listing["genicam"].as_array().unwrap();
        assert!(all.iter().any(|one| one["serial"] == SERIAL), "{listing}");
        assert!(listing["video"].is_array(), "{listing}");

        let Some(mill) = Mill::taught() else { return };
        let station = "[[lane]]\nmm_per_px = 0.2\n[lane.camera]\nexposure_us = 30000000\n";
        std::fs::write(mill.path().join("station.toml"), station).unwrap();
        let from = format!("genicam:{}", fake.address);
        let inspecting = [
            "inspect",
            "--article",
            "plain",
            "--roll",
            "1",
            "--from",
            &from,
        ];
        let ran = mill.run(&[&inspecting[..], &["--station", "station.toml"]].concat());
        ran.refuses(&["found exposure_us = 30000000, expected 10 to 10000000"]);
    });
}

#[test]
fn a_camera_that_comes_after_its_station_stands_is_taken_up() {
    alone(|| {
        if onnx_runtime().is_none() {
            return;
        }
        let mut fake = Fake::start("0");
        fake.die();
        let (mill, page) = (Mill::empty(), free_address());
        let lane = format!("[[lane]]\nfrom = \"genicam:{HERE}\"\nmm_per_px = 0.2\n");
        write_station(&mill, page, &lane, "");
        let stood = Stood::up(&mill, page, &[]);
        let camera = || stood.live()["cameras"][0].clone();
        let why = || camera()["why"].to_string();
        until("the camera is told to be gone", || {
            camera()["doing"] == "gone" && why().contains(&HERE.to_string())
        });
        fake.start_again(HERE);
        until("the camera exposes", || camera()["doing"] == "exposing");
        assert!(camera()["why"].is_null());
    });
}
