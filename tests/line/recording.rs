//! The recorder: what is written in one transaction is chance, what is in the store is not.

use calibration::{Um, WebRect};
use crossbeam::channel::bounded;
use proptest::prelude::*;
use selvedge::record::{Event, Page, record};
use selvedge::roll::{Cover, CoverState};
use selvedge::stitch::Flaw;
use selvedge::tiles::GapReason;
use store::{EventSeverity, NewRun, RollChoice, Store};

use crate::texture::{MM_PER_PX, TextureArticle};
use crate::told::{Told, store_with};

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
    let flaw = Flaw {
        rect: rect(nth * 1000, 500, 3000, 500),
        area_um2: 250_000,
        score: 1.5,
        crop: None,
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
            .then_some((flaw, Um(10_000)))
            .into_iter()
            .collect(),
        candidates: (draw == 3).then_some((band, 0.8)).into_iter().collect(),
        events: (draw == 0).then_some(event).into_iter().collect(),
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
