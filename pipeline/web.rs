//! The web so far: what the lanes gave, made into pages of the roll.
//!
//! ```text
//! Ordered of a lane ─▶ Judge ─▶ regions ─▶ Flood? ─▶ Doubt ─▶ Stitch ─▶ Borders ─▶ flaws ─┐
//!                 └─▶ is it the article's? in focus? a seam? ─┘ └─────────────▶ Ledger ─────────┴▶ Page
//! ```
//!
//! Each lane has its judge, its open flaws and its part of the ledger; what reaches a lane border
//! is made whole between them. Coverage under a flaw that has not been written yet is held back
//! and written with it: a store that a power cut leaves behind must not call cloth inspected whose
//! flaw it does not have. Nothing here depends on how many workers there are or on which lane
//! comes first. It writes nothing and makes no thread.

mod doubt;
mod events;
mod found;
mod places;
mod sewn;

use std::ops::Range;

use calibration::{Span, Um, WebRect};
use models::{CELL_PX, Judge, Rim};
use store::EventSeverity;

use self::doubt::{Doubt, JudgedFrame, LostCloth, Waiting};
use self::events::{N_NAMED, failed_event, name_of};
use self::found::{Found, Veiled, without};
use self::sewn::LaneSeams;
use crate::borders::Borders;
use crate::classes::{Head, Kind};
use crate::flaws::{BRIDGED_CELLS, Region, Sides};
use crate::floods::Flood;
use crate::focus::{FocusLimits, FocusWatch};
use crate::judging::{Ordered, SeenFrame};
use crate::record::{Event, Page};
use crate::roll::{Cover, CoverState, LanePlace, Ledger};
use crate::running;
use crate::stitch::{Flaw, FramePlace, Piece, Stitch};
use crate::tiles::{GapReason, Missed};
use crate::wrong_article::{Verdict, Watch};

/// Candidates kept of those that end with one frame, strongest first: places near the
/// threshold, so that a roll can be graded under other rules without being looked at again.
const MOST_CANDIDATES: usize = 50;

/// Beyond all cloth: up to where nothing more comes from a lane that has ended.
const END: Um = Um(i64::MAX);

/// What is known of a roll so far.
pub struct Web {
    lanes: Vec<LaneSoFar>,
    borders: Borders,
    ledger: Ledger,
    /// What a mill's samples taught of classes.
    head: Option<Head>,
    /// Seams that were told.
    sewn: Vec<Span>,
    /// Flaws that an earlier part of the run has written beyond where its coverage ends.
    written: Vec<WebRect>,
    /// Length at which a flaw that runs is told of, and again every further such length.
    running_every: Option<Um>,
}

/// A lane at the start of its roll.
pub struct LaneStart {
    /// Where it lies.
    pub place: LanePlace,
    /// Length of a line along the web, in mm.
    pub mm_per_line: f64,
    /// What judges its cloth.
    pub judge: Judge,
    /// What tells whether it is the article's.
    pub watch: Watch,
    /// How sharp its cloth should look.
    pub focus: FocusLimits,
}

/// What is known of one lane so far.
struct LaneSoFar {
    place: LanePlace,
    sides: Sides,
    judge: Judge,
    watch: Watch,
    focus: FocusWatch,
    seams: LaneSeams,
    /// What waits until all of them have decided.
    doubt: Doubt,
    /// Whether a person was told that the cloth is another article's.
    is_told_wrong: bool,
    /// The same of cloth that is out of focus.
    is_told_soft: bool,
    /// The same of cloth that is unlike what was taught, but may be the article's.
    is_told_unlike: bool,
    stitch: Stitch,
    flood: Flood,
    /// The same without what may become a seam, while something may.
    flood_beside: Option<Flood>,
    /// Coverage since the beginning of a flaw that has not been written.
    held: Vec<Cover>,
    n_frames: u64,
    /// Frames that do not continue the one before, and the names of the first of them.
    n_loose: u64,
    loose: Vec<String>,
}

impl LaneSoFar {
    /// Whether it is not known yet what the last cloth is.
    fn is_in_doubt(&self) -> bool {
        let is_known = !self.watch.is_in_doubt()
            && !self.focus.is_in_doubt()
            && !self.doubt.may_be_seam(&self.seams);
        !is_known && !self.doubt.is_full()
    }

    /// What waits is known to be a seam, or none: a flood is counted without it, or with it.
    fn settle_flood(&mut self) {
        if self.doubt.is_seam(&self.seams) {
            self.flood = self.flood_beside.take().unwrap_or(self.flood.clone());
        } else if !self.doubt.may_be_seam(&self.seams) {
            self.flood_beside = None;
        }
    }
}

impl Web {
    /// A web at the start of its roll, with its lanes from the left.
    pub fn new(lanes: Vec<LaneStart>) -> Self {
        let places: Vec<LanePlace> = lanes.iter().map(|lane| lane.place).collect();
        let px_um = |lane: &LaneStart| {
            let across = lane.place.geometry.mm_per_px();
            across.max(lane.mm_per_line) * 1e3
        };
        let coarsest = lanes.iter().map(px_um).fold(0.0, f64::max);
        let reach = coarsest * (CELL_PX * (BRIDGED_CELLS + 1)) as f64;
        let n_lanes = lanes.len();
        Self {
            borders: Borders::new(n_lanes, Um(reach.round() as i64)),
            ledger: Ledger::new(&places),
            head: None,
            sewn: Vec::new(),
            written: Vec::new(),
            running_every: None,
            lanes: (lanes.into_iter().enumerate())
                .map(|(lane, start)| LaneSoFar {
                    place: start.place,
                    sides: start.place.sides(lane > 0, lane + 1 < n_lanes, reach),
                    judge: start.judge,
                    watch: start.watch,
                    focus: FocusWatch::new(start.focus),
                    seams: LaneSeams::new(start.place.geometry.mm_per_px(), start.mm_per_line),
                    doubt: Doubt::default(),
                    is_told_wrong: false,
                    is_told_soft: false,
                    is_told_unlike: false,
                    stitch: Stitch::default(),
                    flood: Flood::default(),
                    flood_beside: None,
                    held: Vec::new(),
                    n_frames: 0,
                    n_loose: 0,
                    loose: Vec::new(),
                })
                .collect(),
        }
    }

    /// The same, where a mill's samples have taught something of classes.
    #[must_use]
    pub fn with_head(mut self, head: Option<Head>) -> Self {
        self.head = head;
        self
    }

    /// The same, with word of a flaw that runs `every` so far; a positive length.
    #[must_use]
    pub fn telling_of_running(mut self, every: Option<Um>) -> Self {
        self.running_every = every.filter(|every| *every > Um::ZERO);
        self
    }

    /// Where a lane lies.
    pub fn place(&self, lane: usize) -> &LanePlace {
        &self.lanes[lane].place
    }

    /// The ledger so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes over what an earlier part of the same run has written.
    ///
    /// Coverage that was held back for a running flaw was not written, though flaws that had
    /// ended beside it were. That cloth is looked at once more, and they are not told again.
    ///
    /// # Errors
    /// When the coverage is not whole.
    pub fn resume(&mut self, earlier: &[Cover], flaws: &[WebRect]) -> anyhow::Result<()> {
        self.ledger.resume(earlier)?;
        let ends = (0..self.lanes.len()).map(|lane| self.ledger.known(lane).map(Span::end));
        let first = ends.min().flatten();
        let is_beyond = |rect: &&WebRect| first.is_none_or(|first| first < rect.along.end());
        self.written = flaws.iter().filter(is_beyond).copied().collect();
        Ok(())
    }

    /// Whether a flaw is one that the earlier part has written: most of either's box lies in the
    /// other's.
    fn is_written(&self, flaw: &Flaw) -> bool {
        self.written.iter().any(|written| {
            let both = flaw
                .rect
                .intersection(written)
                .map(|both| 2 * both.area_um2());
            let larger = flaw.rect.area_um2().max(written.area_um2());
            both.is_some_and(|both| both > larger)
        })
    }

    /// Enters cloth that passed before the run was gone on with, from what was `seen` of it until
    /// then; see [`Ledger::interrupted`].
    ///
    /// # Errors
    /// When a length is beyond what `i64` micrometres can count.
    pub fn interrupted(
        &mut self,
        seen: Span,
        until: Um,
        reason: GapReason,
    ) -> anyhow::Result<Page> {
        let end = seen.end();
        let message = if reason == GapReason::UnknownLength {
            format!(
                "cloth passed unseen at {end}; found no measure of how much, so the gap only marks the place"
            )
        } else {
            format!("{} of cloth passed unseen from {end} on", until - end)
        };
        Ok(Page {
            coverage: self.ledger.interrupted(seen.start(), until, reason)?,
            events: vec![Event {
                kind: GapReason::PowerCut.as_str(),
                severity: EventSeverity::Warning,
                message,
            }],
            ..Page::default()
        })
    }

    /// What the next thing from `lane` adds to the roll.
    ///
    /// # Errors
    /// When a length is beyond what `i64` micrometres can count, or scores do not cover a frame.
    pub fn page(&mut self, lane: usize, ordered: Ordered) -> anyhow::Result<Page> {
        match ordered {
            Ordered::Frame(seen) => self.seen(lane, &seen),
            Ordered::Missed(missed) => self.missed(lane, &missed),
            Ordered::Ended => {
                let mut page = Page::default();
                self.end(lane, &mut page)?;
                Ok(page)
            }
        }
    }

    /// What is left when the line has ended: the rest of lanes that ended before others, and what
    /// a person should know. `has_failed` says whether a lane's camera did.
    ///
    /// # Errors
    /// As for [`Web::page`].
    pub fn last_page(&mut self, has_failed: impl Fn(usize) -> bool) -> anyhow::Result<Page> {
        let mut page = Page::default();
        for lane in 0..self.lanes.len() {
            self.end(lane, &mut page)?;
        }
        page.coverage.extend(self.ledger.close(|lane| {
            if has_failed(lane) {
                GapReason::CameraLost
            } else {
                GapReason::FrameLost
            }
        })?);
        page.events.extend(self.joints_event());
        page.events.extend(self.lag_event());
        Ok(page)
    }

    /// Ends a lane, of which nothing more comes.
    fn end(&mut self, lane: usize, page: &mut Page) -> anyhow::Result<()> {
        let of_lane = &mut self.lanes[lane];
        of_lane.watch.finish();
        of_lane.focus.finish();
        of_lane.seams.finish();
        self.tell(lane, page)?;
        let ended = self.lanes[lane].stitch.finish();
        self.enter(lane, ended, None, END, page);
        Ok(())
    }

    fn missed(&mut self, lane: usize, missed: &Missed) -> anyhow::Result<Page> {
        let mut page = Page::default();
        if !missed.ticks.is_empty() && self.is_told(lane, &missed.ticks) {
            return Ok(page);
        }
        let mut place = missed
            .origin
            .as_deref()
            .map_or_else(|| format!("frame {}", missed.sequence), str::to_owned);
        if self.lanes.len() > 1 {
            place = format!("lane {}, {place}", lane + 1);
        }
        tracing::warn!(reason = %missed.reason, place, "cloth was not looked at");
        let before = self.ledger.known(lane).map(Span::end);
        let covers = self.ledger.missed(lane, missed)?;
        let of_lane = &mut self.lanes[lane];
        let end = of_lane.place.geometry.um_from_tick(missed.ticks.end);
        of_lane.doubt.push(Waiting::Lost(LostCloth {
            covers,
            end,
            // What only comes late interrupts nothing that goes on.
            interrupts: before.is_none_or(|before| before < end),
        }));
        page.events.push(Event {
            kind: missed.reason.as_str(),
            severity: EventSeverity::Warning,
            message: format!("{place}: {}", missed.detail),
        });
        if !of_lane.is_in_doubt() {
            self.tell(lane, &mut page)?;
        }
        Ok(page)
    }

    fn seen(&mut self, lane: usize, seen: &SeenFrame) -> anyhow::Result<Page> {
        let frame = &seen.head.frame;
        let is_told = self.is_told(lane, &frame.ticks);
        let of_lane = &mut self.lanes[lane];
        let geometry = of_lane.place.geometry;
        let along = geometry.span_from_ticks(frame.ticks.clone())?;
        let was_wrong = of_lane.watch.is_wrong() && !of_lane.watch.is_in_doubt();
        let was_out = of_lane.focus.is_all_out();
        let soft = of_lane.focus.see(frame, seen.head.cloth, along.length())?;
        let sewn = of_lane.seams.see(&seen.head, !soft.is_none());
        of_lane.settle_flood();
        let verdict = if of_lane.focus.is_all_soft() {
            Verdict::Known
        } else {
            of_lane.watch.see(&seen.block, along.length())
        };
        if was_wrong || was_out {
            // What other or blurred cloth looks like says nothing of the cloth that may follow it.
            of_lane.judge.forget();
        }
        let map = of_lane.judge.judge(&seen.block);
        let mut page = Page {
            exposed_at: Some(frame.taken_at),
            ..Page::default()
        };
        if is_told {
            // Only seen again so that the judge knows what is usual before it goes on.
            return Ok(page);
        }
        of_lane.n_frames += 1;
        if !seen.head.continues {
            of_lane.n_loose += 1;
            if of_lane.loose.len() < N_NAMED {
                of_lane.loose.push(name_of(frame));
            }
        }
        let is_wrong = verdict == Verdict::Known && of_lane.watch.is_wrong();
        let (mut found, mut unjudged, mut veiled) = (Found::default(), Vec::new(), None);
        if !is_wrong {
            let head = &seen.head;
            let across = geometry.span_from_columns(head.cloth.left()..head.cloth.right());
            let m2 = WebRect { along, across }.area_um2() as f64 / 1e12;
            let size = (along.length(), m2);
            let seam = |lines| Veiled::seam(head, lines);
            let known: Vec<Veiled> = sewn.lines.into_iter().map(seam).collect();
            let map = without(&map, &known);
            unjudged = Veiled::places(&known, head, &geometry)?;
            let mut veils = Veiled::of(head, soft);
            veils.extend(sewn.open.map(seam));
            let counted = of_lane.flood.clone();
            found = Found::of(of_lane, lane, seen, &map, size);
            if !veils.is_empty() {
                let before = of_lane.flood_beside.take().unwrap_or(counted);
                let with_all = std::mem::replace(&mut of_lane.flood, before);
                let beside = Found::of(of_lane, lane, seen, &without(&map, &veils), size);
                veiled = Some((Veiled::places(&veils, head, &geometry)?, beside));
                // What counts of a flood in soft cloth is what is beside it.
                if soft.is_none() {
                    let beside = std::mem::replace(&mut of_lane.flood, with_all);
                    of_lane.flood_beside = Some(beside);
                }
            } else if let Some(beside) = &mut of_lane.flood_beside {
                beside.check(&map, &found.regions, size.0, size.1);
            }
        }
        of_lane.doubt.push(Waiting::Frame(Box::new(JudgedFrame {
            sequence: frame.sequence,
            ticks: frame.ticks.clone(),
            height: frame.height() as usize,
            length: along.length(),
            joins_above: seen.head.above == Rim::Joined,
            covers: self.ledger.frame(lane, seen, CoverState::Inspected)?,
            found,
            unjudged,
            veiled,
            soft,
            may_be_seams: sewn.may_be,
        })));
        for (place, problem) in &seen.failed {
            let event = failed_event(seen, place, problem);
            page.events.push(Event {
                message: self.said(lane, event.message),
                ..event
            });
        }
        if !self.lanes[lane].is_in_doubt() {
            self.tell(lane, &mut page)?;
        }
        Ok(page)
    }

    /// Enters what waits, now that the cloth is known to be the article's or not.
    fn tell(&mut self, lane: usize, page: &mut Page) -> anyhow::Result<()> {
        for waiting in self.lanes[lane].doubt.take() {
            match waiting {
                Waiting::Frame(judged) => self.tell_frame(lane, *judged, page)?,
                Waiting::Lost(lost) => {
                    let of_lane = &mut self.lanes[lane];
                    of_lane.held.extend(lost.covers);
                    let ended = if lost.interrupts {
                        of_lane.stitch.finish()
                    } else {
                        Vec::new()
                    };
                    self.enter(lane, ended, Some(lost.end), lost.end, page);
                }
            }
        }
        page.events.extend(self.unlike_event(lane));
        Ok(())
    }

    fn tell_frame(
        &mut self,
        lane: usize,
        mut judged: JudgedFrame,
        page: &mut Page,
    ) -> anyhow::Result<()> {
        let geometry = self.lanes[lane].place.geometry;
        let along = geometry.span_from_ticks(judged.ticks.clone())?;
        let of_lane = &self.lanes[lane];
        let is_wrong = of_lane.watch.is_wrong();
        let is_soft = of_lane.focus.is_out(judged.soft);
        page.events
            .extend(self.article_event(lane, is_wrong, along.start()));
        page.events
            .extend(self.focus_event(lane, is_soft, along.start()));
        let is_veiled = is_soft || self.lanes[lane].seams.is_any_seam(&judged.may_be_seams);
        if is_veiled && let Some((places, beside)) = judged.veiled.take() {
            judged.unjudged.extend(places);
            judged.found = beside;
        }
        for (place, reason) in &judged.unjudged {
            self.ledger
                .revoke_within(&mut judged.covers, place, *reason);
            if *reason == GapReason::Seam {
                page.events.extend(self.seam_event(place.along));
            }
        }
        let reason = if is_wrong {
            Some(GapReason::WrongArticle)
        } else {
            judged
                .found
                .flood
                .is_some()
                .then_some(GapReason::TooManyFlaws)
        };
        if let Some(reason) = reason {
            self.ledger.revoke(&mut judged.covers, reason);
        }
        if let Some(message) = judged.found.flood.take().filter(|_| !is_wrong) {
            page.events.push(Event {
                kind: GapReason::TooManyFlaws.as_str(),
                severity: EventSeverity::Warning,
                message: self.said(lane, format!("frame {}: {message}", judged.sequence)),
            });
        }
        let of_lane = &mut self.lanes[lane];
        let next_look = judged.found.next_look();
        let ended = if reason.is_some() {
            of_lane.stitch.finish()
        } else {
            let place = FramePlace {
                geometry: &of_lane.place.geometry,
                ticks: judged.ticks,
                height: judged.height,
                joins_above: judged.joins_above,
            };
            of_lane
                .stitch
                .push(&place, &judged.found.regions, next_look)?
        };
        if let Some(every) = self.running_every {
            let passed = running::passed(lane, &mut of_lane.stitch, every);
            page.running.extend(passed);
        }
        of_lane.held.extend(judged.covers);
        let open = of_lane.stitch.first_open_at_border();
        let settled = open.map_or(along.end(), |open| open.min(along.end()));
        self.enter(lane, ended, Some(along.end()), settled, page);
        Ok(())
    }

    /// `message` with the lane that it is of, where there are several.
    fn said(&self, lane: usize, message: String) -> String {
        match self.lanes.len() {
            1 => message,
            _ => format!("lane {}, {message}", lane + 1),
        }
    }

    /// Whether the ledger has been told of all cloth of `lane` at `ticks`.
    fn is_told(&self, lane: usize, ticks: &Range<i64>) -> bool {
        let geometry = &self.lanes[lane].place.geometry;
        let [start, end] = [ticks.start, ticks.end].map(|tick| geometry.um_from_tick(tick));
        let known = self.ledger.known(lane);
        known.is_some_and(|known| known.start() <= start && end <= known.end())
    }

    /// What is whole is a flaw when it came above the threshold anywhere, else a candidate.
    /// Coverage goes with it as soon as no flaw of its lane is still to be written.
    fn enter(
        &mut self,
        lane: usize,
        ended: Vec<Piece>,
        reached: Option<Um>,
        settled: Um,
        page: &mut Page,
    ) {
        page.running.extend(running::ends(lane, &ended));
        let mut whole = self.borders.push(lane, ended, reached, settled);
        whole.retain(|flaw| !self.is_written(flaw));
        let (flaws, mut near): (Vec<Flaw>, Vec<Flaw>) =
            whole.into_iter().partition(|flaw| flaw.score > 1.0);
        near.sort_by(|a, b| b.score.total_cmp(&a.score));
        near.truncate(MOST_CANDIDATES);
        let width = self.ledger.width();
        page.flaws.extend(flaws.into_iter().map(|flaw| {
            let kind = Kind::of(&flaw.descriptor(width), self.head.as_ref());
            (flaw, kind)
        }));
        page.candidates
            .extend(near.iter().map(|near| (near.rect, near.score)));
        for (lane, of_lane) in self.lanes.iter_mut().enumerate() {
            let is_whole = !of_lane.stitch.is_flaw_running() && of_lane.doubt.is_empty();
            if is_whole && !self.borders.is_flaw_waiting(lane) {
                page.coverage.append(&mut of_lane.held);
            }
        }
    }
}

/// Whether a region is, or can become, part of a flaw: only those are looked at.
fn may_be_flaw(region: &Region) -> bool {
    let is_shared = region.left.is_some() || region.right.is_some();
    region.highest > 1.0 || is_shared || !region.top.is_empty() || !region.bottom.is_empty()
}
