//! A lens: what is bent is straightened, and straightening turns nothing round.

use proptest::prelude::*;

use super::*;

/// Places 20 mm apart through a lens with this bend, in frames of 2000 columns of 0.2 mm.
fn seen_through(bend_px: [f64; TERMS], start_mm: f64) -> Marked {
    let lens = Lens::new(2000, bend_px).unwrap();
    let places = (0..20).map(|nth| {
        let mm = start_mm + 20.0 * f64::from(nth);
        (lens.column(mm / 0.2), mm - start_mm)
    });
    Marked {
        places: places.filter(|(column, _)| *column <= 2000.0).collect(),
    }
}

#[test]
fn a_known_lens_and_its_scale_are_found_from_places_in_two_frames() {
    let bend = [3.0, -12.0, 0.5, 2.0];
    let frames = [seen_through(bend, 4.0), seen_through(bend, 11.0)];
    let (lens, mm_per_px) = Lens::fit(2000, &frames).unwrap();
    assert!((mm_per_px - 0.2).abs() < 1e-7, "{mm_per_px}");
    for (found, expected) in lens.bend_px.iter().zip(bend) {
        assert!((found - expected).abs() < 1e-3, "{lens:?}");
    }
    assert!((4.0..13.0).contains(&lens.largest_bend_px()));
}

#[test]
fn places_over_a_part_of_the_width_or_backwards_are_refused() {
    let mut half = seen_through([0.0; TERMS], 4.0);
    half.places.retain(|(column, _)| *column < 1200.0);
    let error = Lens::fit(2000, &[half]).unwrap_err().to_string();
    assert!(
        error.contains("of 2000") && error.contains("80 %"),
        "{error}"
    );
    let mut backwards = seen_through([0.0; TERMS], 4.0);
    backwards
        .places
        .iter_mut()
        .for_each(|place| place.1 *= -1.0);
    let error = Lens::fit(2000, &[backwards]).unwrap_err().to_string();
    assert!(error.contains("above 0"), "{error}");
}

#[test]
fn a_lens_that_turns_columns_round_is_refused_also_from_a_file() {
    assert!(Lens::new(2000, [0.0, 1200.0, 0.0, 0.0]).is_err());
    assert!(Lens::new(2000, [f64::NAN, 0.0, 0.0, 0.0]).is_err());
    assert!(Lens::new(0, [0.0; TERMS]).is_err());
    let text = r#"{"width_px":4000000000,"bend_px":[0,0,0,0]}"#;
    assert!(serde_json::from_str::<Lens>(text).is_err());
}

proptest! {
    #[test]
    fn straight_and_back_is_the_same_column(
        bend in proptest::array::uniform4(-40.0f64..40.0),
        column in 0.0f64..2000.0,
    ) {
        let lens = Lens::new(2000, bend).unwrap();
        prop_assert!((lens.column(lens.straight(column)) - column).abs() < 1e-5);
        prop_assert_eq!(lens.straight(0.0), 0.0);
        prop_assert_eq!(lens.straight(2000.0), 2000.0);
    }
}
