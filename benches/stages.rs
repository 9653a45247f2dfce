//! Each stage of the line alone, on one thread, in milliseconds per megapixel of frame.
//!
//! What the stages take together, network apart, is what the line costs beyond the network; it
//! tells where to look when `line_speed` falls. Each stage gets what it gets in the line: real
//! tiles, real features, more of them than a cache holds. A harness of our own and not a
//! statistics crate: the figure wanted is per megapixel and comparable over stages, and medians
//! of a few rounds tell the 5 % apart that matter here.

mod cloth;
mod machine;

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use calibration::{EvenFrame, Evener, JointRows, LaneGeometry, continues, find_cloth};
use camera::{Captured, Frame, Pool};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use models::onnx::Runtime;
use models::{CELL_PX, Patch, Scorer, UNUSUAL};
use ndarray::Array3;
use selvedge::fitting::correction_for;
use selvedge::flaws::{Sides, regions};
use selvedge::focus::FocusLimits;
use selvedge::inference::Scored;
use selvedge::judging::{Gather, Ordered, SeenFrame};
use selvedge::roll::LanePlace;
use selvedge::seams::{RowLight, SeamWatch};
use selvedge::shelf::Shelf;
use selvedge::tiles::{Joints, Numbered, Work};
use selvedge::web::{LaneStart, Web};
use selvedge::wrong_article::Watch;
use store::{
    Batch, CoverState, CoverageCell, Crop, CropPlace, Digest, LengthKnown, Name, NewCrop, NewFlaw,
    NewRun, Rect, RollChoice, Store, now_us,
};

use crate::cloth::Cloth;
use crate::machine::describe;

/// Odd, so that there is a middle one.
const N_ROUNDS: usize = 7;
/// Sides of the pictures of a small flaw and of the largest that is cut.
const CROPS_PX: [u32; 2] = [128, 512];

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", describe())?;
    let folder = tempfile::tempdir()?;
    let runtime = Runtime::load()?;
    let mut cloths = vec![
        Cloth::woven((4096, 256), (12, 8), &runtime, folder.path())?,
        Cloth::woven((2048, 1024), (8, 4), &runtime, folder.path())?,
    ];
    cloths.extend(Cloth::strips(&runtime, folder.path())?);
    for cloth in &cloths {
        writeln!(
            out,
            "\n{:<42}{:>12}{:>22}",
            cloth.name, "ms per Mpx", "least-most"
        )?;
        let mut table = Table {
            out: &mut out,
            n_mpx: cloth.n_mpx(),
        };
        before_the_network(cloth, &mut table)?;
        let seen = the_network(cloth, &runtime, &mut table)?;
        behind_the_network(cloth, &seen, &mut table)?;
        drop(seen);
        the_web(cloth, &runtime, &mut table)?;
    }
    writeln!(
        out,
        "\n{:<42}{:>12}{:>22}",
        "whatever the frame", "ms each", "least-most"
    )?;
    let mut each = Table {
        out: &mut out,
        n_mpx: 1.0,
    };
    pictures(&mut each)?;
    let url = folder.path().join("stages.db");
    the_store(&cloths[0], &url.to_string_lossy(), &mut each)
}

/// One line per stage.
struct Table<'a, W> {
    out: &'a mut W,
    /// What one round deals with.
    n_mpx: f64,
}

impl<W: Write> Table<'_, W> {
    /// Times `round`, which gives the seconds that count.
    fn time(
        &mut self,
        stage: &str,
        mut round: impl FnMut() -> anyhow::Result<f64>,
    ) -> anyhow::Result<()> {
        round()?;
        let mut took = (0..N_ROUNDS)
            .map(|_| Ok(round()? * 1e3 / self.n_mpx))
            .collect::<anyhow::Result<Vec<f64>>>()?;
        took.sort_by(f64::total_cmp);
        let (least, most) = (took[0], took[N_ROUNDS - 1]);
        let median = took[N_ROUNDS / 2];
        let spread = format!("{least:.3}-{most:.3}");
        writeln!(self.out, "{stage:<42}{median:>12.3}{spread:>22}")?;
        self.out.flush()?;
        Ok(())
    }
}

fn seconds(what: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let since = Instant::now();
    what()?;
    Ok(since.elapsed().as_secs_f64())
}

fn before_the_network(cloth: &Cloth, table: &mut Table<'_, impl Write>) -> anyhow::Result<()> {
    let pool = Pool::new(cloth.n_frames() + 2, cloth.shape().n_bytes());
    table.time("copy into a pool buffer", || {
        let mut source = cloth.source();
        seconds(|| {
            while let Some(captured) = source.next(&pool)? {
                black_box(&captured);
            }
            Ok(())
        })
    })?;
    let frames = frames_of(cloth, &pool)?;
    table.time("find_cloth", || {
        seconds(|| {
            for frame in &frames {
                black_box(find_cloth(frame));
            }
            Ok(())
        })
    })?;
    let correction = correction_for(&cloth.article, &cloth.station, 0, Joints::Measured)?;
    let (mut evener, mut even) = (Evener::new(), EvenFrame::empty());
    let spans: Vec<_> = frames.iter().filter_map(find_cloth).collect();
    let field = correction.flat_field.as_ref();
    table.time("even_into, memory used again", || {
        seconds(|| {
            for (frame, span) in frames.iter().zip(&spans) {
                evener.even_into(frame, *span, field, correction.channels, &mut even)?;
            }
            Ok(())
        })
    })?;
    let mut lights = Vec::new();
    table.time("light of the rows, for seams", || {
        lights.clear();
        seconds(|| {
            let lit = frames.iter().zip(&spans);
            lights.extend(lit.map(|(frame, span)| RowLight::of(frame, *span)));
            Ok(())
        })
    })?;
    table.time("seam watch", || {
        let lane = &cloth.station.lanes[0];
        let mut watch = SeamWatch::new(lane.mm_per_px, lane.mm_per_line);
        seconds(|| {
            for light in &lights {
                black_box(watch.see(light));
            }
            Ok(())
        })
    })?;
    table.time("continues, once per frame", || {
        seconds(|| {
            for _ in &frames {
                let above = JointRows::last_of(&even);
                black_box(continues(&above, &JointRows::first_of(&even)));
            }
            Ok(())
        })
    })?;
    drop(frames);
    table.time("tiler: all of the above and the windows", || {
        let (mut source, mut tiler) = (cloth.source(), cloth.tiler()?);
        let mut forget = |work: Numbered<Work>| {
            drop(black_box(work));
            Ok(())
        };
        seconds(|| {
            while let Some(captured) = source.next(&pool)? {
                tiler.push(captured, &mut forget)?;
            }
            tiler.finish(&mut forget)
        })
    })
}

fn frames_of(cloth: &Cloth, pool: &Pool) -> anyhow::Result<Vec<Frame>> {
    let mut source = cloth.source();
    let mut frames = Vec::new();
    while let Some(captured) = source.next(pool)? {
        if let Captured::Frame(frame) = captured {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Times the network on the cloth's tiles; gives what it saw.
fn the_network(
    cloth: &Cloth,
    runtime: &Runtime,
    table: &mut Table<'_, impl Write>,
) -> anyhow::Result<Vec<SeenFrame>> {
    let mut scorer = cloth.article.scorer(runtime)?;
    let mut tiles = Vec::new();
    let mut seen = Vec::new();
    for ordered in ordered(cloth, &mut scorer, &mut |tile| tiles.push(tile.clone()))? {
        if let Ordered::Frame(frame) = ordered {
            seen.push(frame);
        }
    }
    table.time("network: all tiles, one at a time", || {
        seconds(|| {
            for tile in &tiles {
                drop(black_box(scorer.features(tile.view())?));
            }
            Ok(())
        })
    })?;
    Ok(seen)
}

/// All that the web gets of a cloth, in order; `look` sees every tile.
fn ordered(
    cloth: &Cloth,
    scorer: &mut dyn Scorer,
    look: &mut dyn FnMut(&Array3<f32>),
) -> anyhow::Result<Vec<Ordered>> {
    let pool = Pool::new(cloth.n_frames() + 2, cloth.shape().n_bytes());
    let (mut source, mut tiler) = (cloth.source(), cloth.tiler()?);
    let mut all = Vec::new();
    let mut gather = Gather::default();
    let mut score = |numbered: Numbered<Work>| {
        let scored = match numbered.item {
            Work::Tile(tile) => {
                look(&tile.pixels);
                let features = scorer.features(tile.pixels.view())?;
                let place = tile.place;
                Scored::Patch(Patch::new(features, place.kept, place.row, place.col))
            }
            Work::Frame(head) => Scored::Frame(head),
            Work::Missed(missed) => Scored::Missed(missed),
            Work::Ended => Scored::Ended,
        };
        all.extend(gather.push(scored));
        Ok(())
    };
    while let Some(captured) = source.next(&pool)? {
        tiler.push(captured, &mut score)?;
    }
    tiler.finish(&mut score)?;
    Ok(all)
}

fn behind_the_network(
    cloth: &Cloth,
    seen: &[SeenFrame],
    table: &mut Table<'_, impl Write>,
) -> anyhow::Result<()> {
    let mm_per_row = cloth.station.lanes[0].mm_per_line * CELL_PX as f64;
    let judge = || cloth.article.judge(0, mm_per_row);
    table.time("Judge::judge", || {
        let mut judge = judge();
        seconds(|| {
            for frame in seen {
                black_box(judge.judge(&frame.block));
            }
            Ok(())
        })
    })?;
    let mut judge = judge();
    let maps: Vec<_> = seen.iter().map(|frame| judge.judge(&frame.block)).collect();
    table.time("regions, flaws and candidates", || {
        seconds(|| {
            for map in &maps {
                black_box(regions(map, UNUSUAL, &Sides::ALONE));
            }
            Ok(())
        })
    })
}

/// Everything behind the network at once: judge, regions, flood, stitch, borders, ledger and the
/// pictures of the flaws. What it is given it uses up, so each round has frames of its own.
fn the_web(
    cloth: &Cloth,
    runtime: &Runtime,
    table: &mut Table<'_, impl Write>,
) -> anyhow::Result<()> {
    let lane = &cloth.station.lanes[0];
    let ticks_per_line = cloth.source().description().ticks_per_line;
    let geometry = LaneGeometry::new(
        lane.mm_per_px,
        lane.mm_per_line * 1e3 / ticks_per_line as f64,
        lane.offset,
        cloth.shape().width,
    )?;
    let places = LanePlace::of_lanes(&[geometry])?;
    let mut scorer = cloth.article.scorer(runtime)?;
    table.time("Web::page: all behind the network", || {
        let start = |place: &LanePlace| LaneStart {
            place: *place,
            mm_per_line: lane.mm_per_line,
            judge: cloth.article.judge(0, lane.mm_per_cell_row()),
            watch: Watch::new(cloth.article.passport().likeness.clone()),
            focus: FocusLimits::of(&cloth.article.passport().lanes[0].focus),
        };
        let mut web = Web::new(places.iter().map(start).collect());
        let all = ordered(cloth, &mut scorer, &mut |_| {})?;
        seconds(|| {
            for ordered in all {
                black_box(web.page(0, ordered)?);
            }
            black_box(web.last_page(|_| false)?);
            web.ledger().check()
        })
    })
}

/// Lossless pictures of flaws, as the line encodes them.
fn pictures(table: &mut Table<'_, impl Write>) -> anyhow::Result<()> {
    let settings = camera::LoomSettings {
        width: CROPS_PX[1],
        frame_height: CROPS_PX[1],
        left: camera::Beside::Cloth,
        right: camera::Beside::Cloth,
        ..camera::LoomSettings::new(1)
    };
    let mut loom = camera::Loom::new(settings)?;
    let pool = Pool::new(1, (CROPS_PX[1] * CROPS_PX[1]) as usize);
    let Some(Captured::Frame(frame)) = camera::Source::next(&mut loom, &pool)? else {
        anyhow::bail!("the loom gave no frame");
    };
    for side in CROPS_PX {
        let bytes = &frame.bytes()[..(side * side) as usize];
        table.time(&format!("picture of a flaw, {side} x {side} px"), || {
            seconds(|| {
                let mut png = Vec::new();
                PngEncoder::new(&mut png).write_image(bytes, side, side, ExtendedColorType::L8)?;
                black_box(png);
                Ok(())
            })
        })?;
    }
    Ok(())
}

/// One transaction each, synced to the disk: a frame's coverage, without and with a flaw.
fn the_store(cloth: &Cloth, url: &str, table: &mut Table<'_, impl Write>) -> anyhow::Result<()> {
    let mut store = Store::open(url)?;
    let article = Name::new(&cloth.name)?;
    store.ensure_article(&article)?;
    Shelf::new(None, url).keep(&mut store, &article, &cloth.article)?;
    let run = store.begin_run(&NewRun {
        roll: Name::new("bench")?,
        roll_choice: RollChoice::LatestOrNew,
        article,
        order: None,
        model: Digest::new(cloth.article.digest())?,
        calibration_json: "{}".to_owned(),
        engine_version: String::new(),
        runtime_version: String::new(),
        device: String::new(),
        batch_shape: String::new(),
        mm_per_px: cloth.station.lanes[0].mm_per_px,
        station: None,
        length_known: LengthKnown::Nominal,
    })?;
    let mut along = 0;
    let mut page = |with_flaw: bool| -> anyhow::Result<Batch> {
        let rows = along..along + 51_200;
        along = rows.end;
        let cell = |across, state| -> anyhow::Result<CoverageCell> {
            let rect = Rect::new(rows.clone(), across)?;
            Ok(CoverageCell { rect, state })
        };
        let mut batch = Batch {
            coverage: vec![
                cell(0..24_000, CoverState::Beside)?,
                cell(24_000..800_000, CoverState::Inspected)?,
                cell(800_000..819_200, CoverState::Beside)?,
            ],
            ..Batch::default()
        };
        if with_flaw {
            batch.flaws.push(NewFlaw {
                class: "unknown".to_owned(),
                rect: Rect::new(rows.clone(), 300_000..306_400)?,
                length_um: 51_200,
                area_um2: 64_000_000,
                score: 2.0,
                severity: "minor".to_owned(),
                found_at_us: now_us(),
                crop: Some(NewCrop::Kept(Crop {
                    png: vec![7; 16_000],
                    place: CropPlace {
                        lane: 0,
                        frame: 0,
                        x_px: 0,
                        y_px: 0,
                        width_px: 128,
                        height_px: 128,
                        margin_px: 48,
                    },
                })),
            });
        }
        Ok(batch)
    };
    for (stage, with_flaw) in [
        ("append a frame", false),
        ("append a frame with a flaw", true),
    ] {
        table.time(stage, || {
            let batch = page(with_flaw)?;
            seconds(|| {
                store.append(run, &batch)?;
                Ok(())
            })
        })?;
    }
    Ok(())
}
