//! The recorder: what is written in one transaction is chance, what is in the store is not.

use std::process::Command;
use std::sync::Arc;

use calibration::{Um, WebRect};
use crossbeam::channel::bounded;
use proptest::prelude::*;
use selvedge::classes::{Class, Kind, Looks, Severity};
use selvedge::record::{CROPS_RESERVE_BYTES, Event, Page, Written, record};
use selvedge::roll::{Cover, CoverState};
use selvedge::stitch::{Cutout, Flaw};
use selvedge::tiles::GapReason;
use store::{EventSeverity, NewRun, RollChoice, Store};

use crate::not_run;
use crate::texture::{MM_PER_PX, TextureArticle};
use crate::told::{Told, store_at, store_with};

proptest! {
    #[test]
    fn what_is_recorded_together_changes_nothing(
        cuts in proptest::collection::vec(1..9_usize, 1..12),
        seed in any::<u64>(),
    ) {
        let n_pages = cuts.iter().sum();
        prop_assert_eq!(recorded(n_pages, seed, &cuts), recorded(n_pages, seed, &[n_pages]));
    }
}

/// Names the mounted folder that the child works in.
const MOUNT_OF_CHILD: &str = "SELVEDGE_TEST_RECORDING_MOUNT";

#[test]
fn when_space_ends_pictures_are_left_out_and_flaws_are_not() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        not_run("this process may not mount a disk of its own; run as root");
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    // Smaller than what is kept free for flaws, though most of it is free.
    let script = r#"mount -t tmpfs -o size=16m none "$1" || exit 77; shift; exec "$@""#;
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "line::recording::child_on_a_small_disk"])
        .env(MOUNT_OF_CHILD, disk.path())
        .output()
        .unwrap();
    if child.status.code() == Some(77) {
        not_run("this process may not mount a tmpfs");
        return;
    }
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn child_on_a_small_disk() {
    let Ok(disk) = std::env::var(MOUNT_OF_CHILD) else {
        return;
    };
    let article = &TextureArticle::taught().article;
    let mut store = store_at(&format!("{disk}/selvedge.db"), article);
    assert!(store.free_bytes().unwrap().unwrap() < CROPS_RESERVE_BYTES);
    let run = begun(&mut store, article);
    let n_flaws = 5;
    let cutout = Arc::new(Cutout {
        samples: vec![7; 12],
        samples_of: (camera::Channels::Grey, camera::Depth::Eight),
        lane: 0,
        frame: 77,
        x: 1,
        y: 2,
        width: 3,
        height: 4,
        margin: 0,
    });
    let mut ids = Vec::new();
    for nth in 0..n_flaws {
        let (pages, pages_rx) = bounded(1);
        let mut page = page(nth, 0);
        page.flaws = vec![(flaw(nth, Some(Arc::clone(&cutout))), KIND)];
        pages.send(page).unwrap();
        drop(pages);
        record(&mut store, run, &pages_rx, &mut |written| match written {
            Written::Flaw(id, _) => ids.push(id),
            Written::Began(..) | Written::Running(_) => {}
            Written::Page { is_empty, .. } => assert!(!is_empty),
        })
        .unwrap();
    }
    let kept: Vec<_> = store.flaws(run).unwrap().iter().map(|f| f.id).collect();
    assert_eq!((kept, ids.len() as i64), (ids.clone(), n_flaws));
    assert_eq!(store.crops_left_out(run).unwrap(), n_flaws);
    for id in ids {
        assert_eq!(store.crop(id).unwrap(), None);
        let left_out = store.crop_left_out(id).unwrap().unwrap();
        assert_eq!(
            left_out.place.frame, 77,
            "where the picture would have been"
        );
        assert!(left_out.why.contains("expected at least 256 MiB"));
    }
    let events = store.events(run).unwrap();
    let told = events.iter().filter(|event| event.kind == "crops_dropped");
    assert!(told.count() > 0);
}

/// The store after `n_pages` pages that were written in groups of these sizes.
fn recorded(n_pages: usize, seed: u64, cuts: &[usize]) -> Told {
    let article = &TextureArticle::taught().article;
    let mut store = store_with(article);
    let run = begun(&mut store, article);
    let mut next = 0;
    for n in cuts {
        let (pages, pages_rx) = bounded(*n);
        for _ in 0..*n {
            pages.send(page(next, seed)).unwrap();
            next += 1;
        }
        drop(pages);
        record(&mut store, run, &pages_rx, &mut |_| {}).unwrap();
    }
    assert_eq!(next as usize, n_pages);
    Told::of(&store, run)
}

/// The `nth` page of a roll: a band of 1 mm by 10 mm, a flaw and an event in some.
fn page(nth: i64, seed: u64) -> Page {
    let draw = (seed >> (nth % 60)) % 4;
    let band = rect(nth * 1000, 1000, 0, 10_000);
    let state = match draw {
        0 => CoverState::Gap(GapReason::Overload),
        1 => CoverState::Beside,
        _ => CoverState::Inspected,
    };
    let event = Event {
        kind: "overload",
        severity: EventSeverity::Warning,
        message: format!("frame {nth}"),
    };
    Page {
        exposed_at: None,
        coverage: vec![Cover { rect: band, state }],
        flaws: (draw == 2)
            .then(|| (flaw(nth, None), KIND))
            .into_iter()
            .collect(),
        candidates: (draw == 3).then_some((band, 0.8)).into_iter().collect(),
        events: (draw == 0).then_some(event).into_iter().collect(),
        running: Vec::new(),
    }
}

const KIND: Kind = Kind {
    class: Class::Unknown,
    severity: Severity::Minor,
};

/// A flaw on the `nth` page.
fn flaw(nth: i64, crop: Option<Arc<Cutout>>) -> Flaw {
    Flaw {
        rect: rect(nth * 1000, 500, 3000, 500),
        area_um2: 250_000,
        score: 1.5,
        crop,
        looks: Looks::default(),
    }
}

fn rect(along: i64, length: i64, across: i64, width: i64) -> WebRect {
    let span = |start, length| calibration::Span::new(Um(start), Um(start + length)).unwrap();
    WebRect {
        along: span(along, length),
        across: span(across, width),
    }
}

fn begun(store: &mut Store, article: &models::Article) -> store::RunId {
    store
        .begin_run(&NewRun {
            roll: store::Name::new("4711").unwrap(),
            roll_choice: RollChoice::LatestOrNew,
            article: store::Name::new(&article.passport().article).unwrap(),
            order: None,
            model: store::Digest::new(article.digest()).unwrap(),
            calibration_json: "{}".to_owned(),
            engine_version: "test".to_owned(),
            runtime_version: "test".to_owned(),
            device: "test".to_owned(),
            batch_shape: "1 x 1".to_owned(),
            mm_per_px: MM_PER_PX,
            station: None,
            length_known: store::LengthKnown::Nominal,
        })
        .unwrap()
}
