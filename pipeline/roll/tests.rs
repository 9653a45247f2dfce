//! Claims about the ledger alone, on lanes of 1 mm columns.

use super::*;

/// Two lanes of 100 columns of 1 mm that share 10; a tick is 1 mm.
fn ledger() -> Ledger {
    let lane = |offset| LaneGeometry::new(1.0, 1000.0, Um(offset), 100).unwrap();
    Ledger::new(&LanePlace::of_lanes(&[lane(0), lane(90_000)]).unwrap())
}

fn missed(ticks: Range<i64>) -> Missed {
    Missed {
        camera: 0,
        sequence: 0,
        ticks,
        reason: GapReason::Overload,
        detail: String::new(),
        origin: None,
    }
}

#[test]
fn an_interruption_behind_lanes_that_began_and_ended_apart_adds_up() {
    let mut ledger = ledger();
    ledger.missed(0, &missed(0..10)).unwrap();
    ledger.missed(1, &missed(5..8)).unwrap();
    let covers = ledger.interrupted(Um(0), Um(20_000), GapReason::PowerCut);
    ledger.check().unwrap();
    let told: Vec<(i64, i64, CoverState)> = covers
        .unwrap()
        .iter()
        .map(|cover| {
            (
                cover.rect.along.start().get(),
                cover.rect.along.end().get(),
                cover.state,
            )
        })
        .collect();
    let (late, cut) = (GapReason::FrameLost, GapReason::PowerCut);
    assert_eq!(
        told,
        [
            (10_000, 20_000, CoverState::Gap(cut)),
            (0, 5_000, CoverState::Gap(late)),
            (8_000, 20_000, CoverState::Gap(cut)),
        ]
    );
}

#[test]
fn what_is_taken_back_within_a_rectangle_leaves_the_rest_inspected() {
    let rect = |along: Range<i64>, across: Range<i64>| WebRect {
        along: Span::new(Um(along.start), Um(along.end)).unwrap(),
        across: Span::new(Um(across.start), Um(across.end)).unwrap(),
    };
    let whole = rect(0..100, 0..50);
    for (within, n_pieces) in [
        (rect(20..60, 10..30), 5),
        (rect(0..60, 0..50), 2),
        (rect(-10..200, -10..200), 1),
        (rect(30..30, 0..50), 1),
        (rect(100..200, 0..50), 1),
    ] {
        let mut ledger = ledger();
        ledger
            .totals
            .insert(CoverState::Inspected, whole.area_um2());
        let mut covers = vec![Cover {
            rect: whole,
            state: CoverState::Inspected,
        }];
        ledger.revoke_within(&mut covers, &within, GapReason::OutOfFocus);
        assert_eq!(covers.len(), n_pieces, "{within:?}");
        let area = |state: CoverState| {
            let of_state = covers.iter().filter(|cover| cover.state == state);
            of_state.map(|cover| cover.rect.area_um2()).sum::<i128>()
        };
        let gap = CoverState::Gap(GapReason::OutOfFocus);
        let inside = whole
            .intersection(&within)
            .map_or(0, |both| both.area_um2());
        assert_eq!(area(gap), inside, "{within:?}");
        assert_eq!(area(CoverState::Inspected), whole.area_um2() - inside);
        for state in [gap, CoverState::Inspected] {
            assert_eq!(ledger.total(state), area(state), "{within:?}");
        }
    }
}

#[test]
fn what_two_lanes_see_counts_for_its_owner() {
    let mut ledger = ledger();
    for lane in 0..2 {
        ledger.missed(lane, &missed(0..10)).unwrap();
    }
    assert_eq!(ledger.width(), Um(190_000));
    ledger.check().unwrap();
}
