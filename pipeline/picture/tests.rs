//! Claims about the whole picture, on cloth described in micrometres.

use proptest::prelude::*;
use store::CoverState;

use super::*;

const M: i64 = 1_000_000;
const MM: i64 = 1_000;

fn cell(
    along: std::ops::Range<i64>,
    across: std::ops::Range<i64>,
    state: CoverState,
) -> CoverageCell {
    CoverageCell {
        rect: Rect::new(along, across).unwrap(),
        state,
    }
}

fn gap(reason: &str) -> CoverState {
    CoverState::Gap(reason.to_owned())
}

fn flaw(along: std::ops::Range<i64>, across: std::ops::Range<i64>, severity: &str) -> PicturedFlaw {
    PicturedFlaw {
        rect: Rect::new(along, across).unwrap(),
        class: "slub".to_owned(),
        severity: severity.to_owned(),
        score: 1.5,
        crop: None,
        place_in_crop: None,
        no_picture: None,
    }
}

fn roll(length_um: i64, width_um: i64) -> RollPicture {
    RollPicture {
        title: "roll 4711".to_owned(),
        length_um,
        width_um,
        ..RollPicture::default()
    }
}

/// What the middle of `rect` looks like on the drawn picture: 16 by 16 pixels around it.
fn around(picture: &RollPicture, rect: &Rect) -> Vec<[u8; 3]> {
    let drawn = draw(picture);
    let inner_px = PAGE_WIDTH_PX - 2 * MARGIN_PX;
    let map = RollMap::new(picture, inner_px);
    let ledger = facts::Ledger::of(picture);
    let y = MARGIN_PX + Facts::new(picture, &ledger, inner_px).height_px() + PART_GAP_PX;
    let scale = map.scale().unwrap();
    let (row, part) = scale.parts(rect, 1)[0];
    let corner = scale.row_corner(MARGIN_PX, y, row);
    let middle = (
        corner.0 + part.x + part.width / 2,
        corner.1 + part.y + part.height / 2,
    );
    let square = (-8..8).flat_map(|dy| (-8..8).map(move |dx| (middle.0 + dx, middle.1 + dy)));
    square
        .map(|(x, y)| drawn.get_pixel(x as u32, y as u32).0)
        .collect()
}

#[test]
fn a_gap_is_drawn_where_it_lies_and_nowhere_else() {
    for length in [M, 30 * M, 1000 * M] {
        let mut picture = roll(length, 2 * M);
        let (from, to) = (length / 2, length / 2 + length / 20);
        picture.coverage = vec![
            cell(0..from, 0..2 * M, CoverState::Inspected),
            cell(from..to, 0..2 * M, gap("camera lost")),
            cell(to..length, 0..2 * M, CoverState::Inspected),
        ];
        let color = facts::Ledger::of(&picture)
            .gap_ground("camera lost")
            .line_color()
            .0;
        let is_gap_at = |along: i64| {
            let rect = Rect::new(along..along + length / 100, M..M + 100 * MM).unwrap();
            around(&picture, &rect).contains(&color)
        };
        assert!(is_gap_at(from + length / 40), "{length} um");
        assert!(
            !is_gap_at(length / 4) && !is_gap_at(length * 3 / 4),
            "{length} um"
        );
    }
}

#[test]
fn the_smallest_gap_on_a_long_roll_is_still_seen() {
    let mut picture = roll(1000 * M, 2 * M);
    picture.coverage = vec![
        cell(0..700 * M, 0..2 * M, CoverState::Inspected),
        cell(700 * M..700 * M + 1, 0..1, gap("overload")),
        cell(700 * M + 1..1000 * M, 0..2 * M, CoverState::Inspected),
    ];
    let color = facts::Ledger::of(&picture)
        .gap_ground("overload")
        .line_color()
        .0;
    let rect = Rect::new(700 * M..700 * M + 1, 0..1).unwrap();
    assert!(around(&picture, &rect).contains(&color));
}

#[test]
fn a_flaw_is_drawn_where_it_lies_and_nowhere_else() {
    for length in [M, 30 * M, 1000 * M] {
        let mut picture = roll(length, 2 * M);
        picture.coverage = vec![cell(0..length, 0..2 * M, CoverState::Inspected)];
        let at = length / 3;
        picture.flaws = vec![flaw(at..at + MM, M..M + MM, "severe")];
        let color = styles::Severity::Severe.color().0;
        let rect = picture.flaws[0].rect;
        assert!(around(&picture, &rect).contains(&color), "{length} um");
        let elsewhere = Rect::new(length / 2..length / 2 + MM, M / 4..M / 4 + MM).unwrap();
        assert!(
            !around(&picture, &elsewhere).contains(&color),
            "{length} um"
        );
    }
}

#[test]
fn the_map_begins_where_the_ledger_begins() {
    let shifted = |by: i64| {
        let mut picture = roll(M, M);
        picture.coverage = vec![cell(by..by + M, 0..M, CoverState::Inspected)];
        picture.flaws = vec![flaw(
            by + M / 2..by + M / 2 + MM,
            M / 2..M / 2 + MM,
            "severe",
        )];
        around(&picture, &picture.flaws[0].rect.clone())
    };
    assert_eq!(shifted(0), shifted(-7 * M));
}

#[test]
fn the_legend_names_exactly_the_reasons_that_occur() {
    let check = |reasons: &[&str]| {
        let mut picture = roll(100 * M, M);
        let cells = reasons.iter().zip(0..);
        picture.coverage = cells
            .map(|(reason, i)| cell(i * M..(i + 1) * M, 0..M, gap(reason)))
            .collect();
        let legend = Legend::new(&facts::Ledger::of(&picture), &[]);
        assert_eq!(legend.reasons(), reasons);
    };
    check(&[]);
    check(&["camera lost"]);
    check(&["camera lost", "frame lost", "mice", "overload", "too dark"]);
}

#[test]
fn the_album_shows_the_gravest_and_numbers_them_in_cloth_order() {
    let mut flaws: Vec<PicturedFlaw> = (0..40)
        .map(|i| flaw((50 - i) * M..(50 - i) * M + MM, 0..MM, "minor"))
        .collect();
    flaws[3].severity = "severe".to_owned();
    flaws[39].score = 9.0;
    flaws[20].score = f64::NAN;
    let shown = album(&flaws);
    assert_eq!(shown.len(), 24);
    assert!(shown.contains(&3) && shown.contains(&39));
    assert!(shown.is_sorted_by_key(|i| flaws[*i].rect.along().start));

    // Asked again with the crops that it wanted, it shows the same.
    for i in &shown[1..] {
        flaws[*i].crop = Some(DynamicImage::new_luma8(9, 9));
    }
    assert_eq!(album(&flaws), shown);
}

#[test]
fn a_crop_of_any_size_fits_its_tile() {
    let mut picture = roll(M, M);
    for (width, height) in [
        (0, 0),
        (1, 1),
        (3, 90),
        (100, 100),
        (4000, 2),
        (2, 4000),
        (700, 500),
    ] {
        let mut with_crop = flaw(0..MM, 0..MM, "severe");
        with_crop.crop = Some(DynamicImage::new_luma16(width, height));
        picture.flaws.push(with_crop);
    }
    draw(&picture);
}

#[test]
fn a_hundred_thousand_flaws_are_one_picture_of_common_size() {
    let mut picture = roll(1000 * M, 2 * M);
    picture.flaws = (0..100_000)
        .map(|i| {
            flaw(
                i * 9 * MM..(i + 1) * 9 * MM,
                i % 1000 * MM..(i % 1000 + 9) * MM,
                "major",
            )
        })
        .collect();
    let drawn = draw(&picture);
    assert!(drawn.width() * drawn.height() < 10_000_000);
}

fn any_um() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(-1),
        Just(i64::MAX),
        Just(i64::MIN),
        0..2 * M,
        0..2000 * M,
        any::<i64>(),
    ]
}

/// The picture of a roll with one flaw, whose crop is grey 128 and the flaw in it, at `columns` and
/// `rows` of 40, grey 200.
fn with_crop(columns: Range<u32>, rows: Range<u32>, is_boxed: bool) -> RgbImage {
    let crop = image::GrayImage::from_fn(40, 40, |x, y| {
        let is_flaw = columns.contains(&x) && rows.contains(&y);
        image::Luma([if is_flaw { 200 } else { 128 }])
    });
    let mut picture = roll(M, M);
    let mut pictured = flaw(0..MM, 0..MM, "severe");
    pictured.crop = Some(crop.into());
    pictured.place_in_crop = is_boxed.then_some((columns, Some(rows)));
    picture.flaws = vec![pictured];
    draw(&picture)
}

/// Pixels of the page that a box around the flaw takes: what was there, and what is.
fn boxed(columns: Range<u32>, rows: Range<u32>) -> Vec<([u8; 3], [u8; 3])> {
    let plain = with_crop(columns.clone(), rows.clone(), false);
    let boxed = with_crop(columns, rows, true);
    let both = plain.pixels().zip(boxed.pixels());
    both.filter(|(plain, boxed)| plain != boxed)
        .map(|(plain, boxed)| (plain.0, boxed.0))
        .collect()
}

#[test]
fn a_box_stands_around_a_flaw_in_its_crop_and_hides_none_of_it() {
    let color = styles::Severity::Severe.color().0;
    for (columns, rows) in [(10..20, 12..16), (1..39, 1..39), (20..21, 20..21)] {
        let changed = boxed(columns.clone(), rows.clone());
        assert!(changed.len() > 8, "{columns:?} {rows:?}: no box");
        for (before, after) in changed {
            assert_eq!((before, after), ([128; 3], color), "{columns:?} {rows:?}");
        }
    }
}

#[test]
fn a_flaw_that_goes_on_beyond_its_crop_has_no_side_there() {
    let whole = boxed(10..20, 10..30).len();
    let beyond = boxed(10..20, 0..40).len();
    assert!(0 < beyond && beyond < 2 * whole, "{beyond} of {whole}");
    assert!(boxed(0..40, 0..40).is_empty());
}

fn any_rect() -> impl Strategy<Value = Rect> {
    (any_um(), any_um(), any_um(), any_um()).prop_filter_map("a rectangle", |(a, b, c, d)| {
        Rect::new(a.min(b)..a.max(b), c.min(d)..c.max(d)).ok()
    })
}

fn any_place() -> impl Strategy<Value = Option<(Range<u32>, Option<Range<u32>>)>> {
    let px = || (any::<u32>(), any::<u32>()).prop_map(|(a, b)| a.min(b)..a.max(b));
    proptest::option::of((px(), proptest::option::of(px())))
}

prop_compose! {
    fn any_flaw()(
        rect in any_rect(),
        class in any::<String>(),
        severity in prop_oneof![Just("severe".to_owned()), Just("minor".to_owned()), any::<String>()],
        score in any::<f64>(),
        crop in proptest::option::of((0u32..300, 0u32..300)),
        place_in_crop in any_place(),
        no_picture in proptest::option::of(any::<String>()),
    ) -> PicturedFlaw {
        let crop = crop.map(|(width, height)| DynamicImage::new_luma8(width, height));
        PicturedFlaw { rect, class, severity, score, crop, place_in_crop, no_picture }
    }
}

fn any_state() -> impl Strategy<Value = CoverState> {
    prop_oneof![
        Just(CoverState::Inspected),
        Just(CoverState::Beside),
        any::<String>().prop_map(CoverState::Gap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_drawn_is_a_picture_of_common_size(
        title in any::<String>(),
        subtitle in any::<String>(),
        length_um in any_um(),
        width_um in any_um(),
        cells in proptest::collection::vec((any_rect(), any_state()), 0..30),
        flaws in proptest::collection::vec(any_flaw(), 0..40),
        cloth in proptest::option::of([any_um(), any_um(), any_um()]),
    ) {
        let coverage = cells.into_iter().map(|(rect, state)| CoverageCell { rect, state }).collect();
        let warning = subtitle.clone();
        let cloth_width = cloth.map(|[min_um, mean_um, max_um]| ClothWidth { min_um, mean_um, max_um });
        let drawn = draw(&RollPicture { title, subtitle, warning, length_um, width_um, cloth_width, coverage, flaws });
        prop_assert_eq!(i64::from(drawn.width()), PAGE_WIDTH_PX);
        prop_assert!(drawn.width() * drawn.height() < 10_000_000);
    }
}
