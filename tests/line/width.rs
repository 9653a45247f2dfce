//! How wide the cloth was, and the order that it is for, as the store keeps them.

use std::sync::atomic::AtomicBool;

use camera::{Beside, LoomSettings};
use selvedge::inspect::inspect;
use store::{ClothWidth, Name, Run};

use crate::texture::{TextureArticle, clean_cloth, loom, station};
use crate::told::{inspection, store_with};

fn kept(cloth: LoomSettings, order: Option<&str>) -> Run {
    let taught = TextureArticle::clean();
    let (station, stop) = (station(), AtomicBool::new(false));
    let mut wished = inspection(
        &taught.article,
        &station,
        taught.scorers(2),
        vec![loom(cloth)],
        &stop,
    );
    wished.order = order.map(|order| Name::new(order).unwrap());
    let store = store_with(&taught.article);
    let (store, run) = inspect(wished, store, &mut |_| {}, &mut || {}).unwrap();
    store.run(run).unwrap()
}

#[test]
fn a_roll_says_how_wide_its_cloth_was_and_for_which_order() {
    let run = kept(clean_cloth(6), Some("4500/17"));
    assert_eq!(run.order, Name::new("4500/17").ok());
    // 640 px less a table of 48 and one of 32; edges wander and loops stand out.
    let ClothWidth {
        min_um,
        mean_um,
        max_um,
    } = run.cloth_width.unwrap();
    assert!(min_um <= mean_um && mean_um <= max_um);
    for um in [min_um, mean_um, max_um] {
        assert!(
            (um - 560 * 200).abs() <= 3_000,
            "{min_um} {mean_um} {max_um}"
        );
    }
}

#[test]
fn where_a_selvedge_is_out_of_sight_the_width_is_not_known_and_not_guessed() {
    for (left, right) in [
        (Beside::Cloth, Beside::DarkTable(32)),
        (Beside::WhiteTable(48), Beside::Cloth),
    ] {
        let cloth = LoomSettings {
            left,
            right,
            ..clean_cloth(6)
        };
        let run = kept(cloth, None);
        assert_eq!((run.cloth_width, run.order), (None, None));
    }
}
