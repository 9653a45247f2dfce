//! Room on the store's disk: pictures go before flaws do.
//!
//! ```text
//! batch, bytes free ──▶ ahead of time: below the reserve, flaws lose their pictures
//! batch, refused    ──▶ afterwards: the disk is full, the same batch without pictures
//! ```
//!
//! A flaw without its picture keeps where the picture would have been cut out, and why it is not
//! there. An episode begins with the first picture left out and ends when pictures are written
//! again; both are events of the run and lines of the log, once each. Frees no room itself.

use std::time::{Duration, Instant};

use store::{Batch, EventSeverity, FileBytes, NewCrop, NewEvent, now_us};

/// Bytes that stay free for flaws, coverage and events. A flaw without its picture is about 1 kB
/// with its indices and its share of the log: a flaw a second for three days.
pub const CROPS_RESERVE_BYTES: u64 = 256 << 20;
/// Bytes from which pictures are written again; more than the reserve, so that an episode does not
/// end with every picture that somebody deletes.
const CROPS_AGAIN_BYTES: u64 = CROPS_RESERVE_BYTES + CROPS_RESERVE_BYTES / 4;
/// How long after a refusal pictures are tried again: a server does not say how full its disk is.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// Bytes of the disk that must be free all the same for room in the store's file to count: what is
/// written goes into the log beside the file first.
const LOG_RESERVE_BYTES: u64 = 64 << 20;

/// Bytes that can be written: those free on the disk, and those free in the store's file, where pictures
/// have been removed.
pub(super) fn for_pictures(free_bytes: Option<u64>, file: Option<FileBytes>) -> Option<u64> {
    let free = free_bytes?;
    let reusable = file.map_or(0, |file| file.reusable);
    if free < LOG_RESERVE_BYTES {
        return Some(free);
    }
    Some(free.saturating_add(reusable))
}

/// What the recorder knows of the room for pictures.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Pictures left out since the episode began; none while there is room.
    left_out: Option<u64>,
    /// When the store last refused pictures.
    refused_at: Option<Instant>,
}

impl Room {
    /// Before a batch is written: takes its pictures out when there is too little room for them.
    pub(super) fn prepare(&mut self, batch: &mut Batch, free_bytes: Option<u64>, now: Instant) {
        if !has_pictures(batch) {
            return;
        }
        let Some(left_out) = self.left_out else {
            if let Some(free) = free_bytes.filter(|free| *free < CROPS_RESERVE_BYTES) {
                let found = format!(
                    "{} MiB are free, expected at least {} MiB",
                    free >> 20,
                    CROPS_RESERVE_BYTES >> 20
                );
                self.leave_out(batch, &found);
            }
            return;
        };
        let is_roomy = free_bytes.is_none_or(|free| free >= CROPS_AGAIN_BYTES);
        let is_rested = self
            .refused_at
            .is_none_or(|at| now.duration_since(at) >= REFUSED_PAUSE);
        if !(is_roomy && is_rested) {
            self.leave_out(batch, "there is still too little room");
            return;
        }
        *self = Room::default();
        tracing::warn!(left_out, "pictures of flaws are written again");
        batch.events.push(NewEvent {
            at_us: now_us(),
            kind: "crops_written_again".to_owned(),
            severity: EventSeverity::Info,
            message: format!("there is room again; {left_out} pictures were left out"),
        });
    }

    /// After the disk was too full for a batch: the same one without pictures. False when there is
    /// nothing to take out.
    pub(super) fn refused(&mut self, batch: &mut Batch, now: Instant) -> bool {
        if !has_pictures(batch) {
            return false;
        }
        // A batch that announced room found none.
        batch
            .events
            .retain(|event| event.kind != "crops_written_again");
        self.refused_at = Some(now);
        self.leave_out(batch, "the disk of the store was full");
        true
    }

    fn leave_out(&mut self, batch: &mut Batch, found: &str) {
        let mut n = 0;
        for flaw in &mut batch.flaws {
            if let Some(NewCrop::Kept(crop)) = &flaw.crop {
                flaw.crop = Some(NewCrop::LeftOut {
                    place: crop.place,
                    why: found.to_owned(),
                });
                n += 1;
            }
        }
        if self.left_out.is_none() {
            tracing::warn!(
                found,
                "flaws are written without their pictures; make room on the store's disk"
            );
            batch.events.push(NewEvent {
                at_us: now_us(),
                kind: "crops_dropped".to_owned(),
                severity: EventSeverity::Warning,
                message: format!(
                    "flaws are written without their pictures: {found}; make room on the store's disk"
                ),
            });
        }
        *self.left_out.get_or_insert(0) += n;
    }
}

fn has_pictures(batch: &Batch) -> bool {
    let is_kept = |crop: &NewCrop| matches!(crop, NewCrop::Kept(_));
    batch
        .flaws
        .iter()
        .any(|flaw| flaw.crop.as_ref().is_some_and(is_kept))
}

#[cfg(test)]
mod tests {
    use store::{Crop, CropPlace, NewFlaw, Rect};

    use super::*;

    const PLENTY: Option<u64> = Some(CROPS_AGAIN_BYTES);
    const LITTLE: Option<u64> = Some(CROPS_RESERVE_BYTES - 1);

    fn batch() -> Batch {
        let place = CropPlace {
            lane: 0,
            frame: 7,
            x_px: 1,
            y_px: 2,
            width_px: 3,
            height_px: 4,
            margin_px: 0,
        };
        let flaw = NewFlaw {
            class: "hole".to_owned(),
            rect: Rect::new(0..1, 0..1).unwrap(),
            length_um: 1,
            area_um2: 1,
            score: 2.0,
            severity: "severe".to_owned(),
            found_at_us: 0,
            crop: Some(NewCrop::Kept(Crop {
                png: vec![1],
                place,
            })),
        };
        Batch {
            flaws: vec![flaw],
            ..Batch::default()
        }
    }

    #[test]
    fn room_in_the_file_counts_while_its_log_has_some_on_the_disk() {
        let file = |reusable| {
            Some(FileBytes {
                all: 1 << 40,
                reusable,
            })
        };
        let little = LOG_RESERVE_BYTES;
        let room = for_pictures(Some(little), file(CROPS_RESERVE_BYTES));
        assert_eq!(room, Some(little + CROPS_RESERVE_BYTES));
        assert_eq!(
            for_pictures(Some(little - 1), file(1 << 30)),
            Some(little - 1)
        );
        assert_eq!(for_pictures(Some(little), None), Some(little));
        assert_eq!(for_pictures(None, None), None);
    }

    /// Prepares a batch; what became of its picture, and its events.
    fn prepared(room: &mut Room, free: Option<u64>, now: Instant) -> (bool, Vec<String>) {
        let mut batch = batch();
        room.prepare(&mut batch, free, now);
        let kinds = batch.events.into_iter().map(|event| event.kind).collect();
        let has_picture = matches!(batch.flaws[0].crop, Some(NewCrop::Kept(_)));
        (has_picture, kinds)
    }

    #[test]
    fn an_episode_is_told_when_it_begins_and_when_it_ends() {
        let (mut room, now) = (Room::default(), Instant::now());
        let mut step = |free| {
            let (has_picture, kinds) = prepared(&mut room, free, now);
            (has_picture, kinds.join(" "))
        };
        assert_eq!(step(PLENTY), (true, String::new()));
        assert_eq!(step(LITTLE), (false, "crops_dropped".to_owned()));
        assert_eq!(step(LITTLE), (false, String::new()));
        // A little more than the reserve ends no episode.
        assert_eq!(step(Some(CROPS_RESERVE_BYTES + 1)), (false, String::new()));
        assert_eq!(step(PLENTY), (true, "crops_written_again".to_owned()));
        assert_eq!(step(PLENTY), (true, String::new()));
        assert_eq!(step(LITTLE), (false, "crops_dropped".to_owned()));
    }

    #[test]
    fn a_refused_batch_loses_its_pictures_and_keeps_their_places() {
        let (mut room, now) = (Room::default(), Instant::now());
        let mut refused = batch();
        assert!(room.refused(&mut refused, now));
        let Some(NewCrop::LeftOut { place, why }) = &refused.flaws[0].crop else {
            panic!("{refused:?}");
        };
        assert_eq!((place.frame, why.contains("full")), (7, true));
        assert_eq!(refused.events.len(), 1);
        assert!(!room.refused(&mut refused, now), "nothing is left to give");
        // A server that does not say how full it is gets no pictures for a while.
        assert!(!prepared(&mut room, None, now + REFUSED_PAUSE / 2).0);
        let later = now + REFUSED_PAUSE;
        let (has_picture, kinds) = prepared(&mut room, None, later);
        assert_eq!(
            (has_picture, kinds),
            (true, vec!["crops_written_again".to_owned()])
        );
    }

    #[test]
    fn room_that_was_not_there_after_all_is_not_announced() {
        let (mut room, now) = (Room::default(), Instant::now());
        assert!(room.refused(&mut batch(), now));
        let later = now + REFUSED_PAUSE;
        let mut again = batch();
        room.prepare(&mut again, None, later);
        assert!(room.refused(&mut again, later));
        let kinds: Vec<&str> = again
            .events
            .iter()
            .map(|event| event.kind.as_str())
            .collect();
        assert_eq!(kinds, ["crops_dropped"], "the next episode");
    }
}
