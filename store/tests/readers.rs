//! People look while the line writes: neither waits for the other, and a flaw is never half there.

use std::sync::atomic::{AtomicBool, Ordering};

use store::{Batch, Store};

use crate::cloth::{begun, hole, inspected, name, rect};
use crate::servers::on_both;

const N_APPENDS: i64 = 200;

#[test]
fn a_reader_sees_whole_batches_while_the_line_writes() {
    on_both(check_readers);
}

fn check_readers(url: &str) {
    let mut writer = Store::open(url).unwrap();
    let run = begun(&mut writer, "R-1");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let reader = Store::open_existing(url).unwrap();
                let mut seen = 0;
                loop {
                    let is_last = ended.load(Ordering::SeqCst);
                    let flaws = reader.flaws(run).unwrap();
                    assert!(
                        flaws.len() >= seen && flaws.len().is_multiple_of(2),
                        "half a batch"
                    );
                    assert!(flaws.iter().all(|flaw| flaw.has_crop));
                    assert_eq!(reader.rolls().unwrap().len(), 1);
                    seen = flaws.len();
                    if is_last {
                        break;
                    }
                }
                assert_eq!(seen as i64, 2 * N_APPENDS);
            });
        }
        for step in 0..N_APPENDS {
            let batch = Batch {
                coverage: vec![inspected(rect(step, step + 1, 0, 100))],
                flaws: vec![hole(step, 0), hole(step, 50)],
                ..Batch::default()
            };
            writer.append(run, &batch).unwrap();
        }
        ended.store(true, Ordering::SeqCst);
    });
    assert_eq!(writer.coverage(run).unwrap().len(), 1);
    assert_eq!(writer.latest_run(&name("R-1")).unwrap().unwrap().id, run);
}
