//! What a store forgets by rule, so that a station runs for months on one disk.
//!
//! ```text
//! RetentionRules ─▶ retention_plan ─▶ per kind: how many, bytes, what goes now, in a day, in a week
//!                                 └─▶ retention_step, again and again: one short transaction each
//! ```
//!
//! Candidates go first, then crops, then events. A rule by age takes the oldest; one by size takes
//! candidates and events from the oldest on, and crops of the oldest run first, in it the mildest flaws'
//! first. What a row is old by is the time in its id. A crop that goes leaves its place and a mark (date and
//! rule, [`is_removal`]) in the same transaction, so a kill at any moment leaves a store in which every
//! picture is there or is said to have gone; going on is planning anew. Flaws, coverage, runs, rolls,
//! articles and models never go, and nothing here can name them.
//!
//! A file of SQLite does not shrink by this: what is freed lies in the file and is used again
//! ([`Store::file_bytes`]). To shrink it, all of it would have to be written anew.
//!
//! Frames that are archived will be a kind of their own here, once there is an archive.

mod removal;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::database::Row;
use crate::{Store, StoreError};

use removal::Portion;

pub(crate) use removal::REMOVED_LIKE;
pub use removal::{Removed, is_removal};

/// What can be forgotten, in the order in which it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetentionKind {
    /// What stayed below the threshold.
    Candidates,
    /// Pictures of flaws; the flaws stay.
    Crops,
    /// What happened, of runs and of none.
    Events,
}

impl RetentionKind {
    /// All of them, in the order in which they go.
    pub const ALL: [RetentionKind; 3] = [
        RetentionKind::Candidates,
        RetentionKind::Crops,
        RetentionKind::Events,
    ];

    /// The word for it, in the station file and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            RetentionKind::Candidates => "candidates",
            RetentionKind::Crops => "crops",
            RetentionKind::Events => "events",
        }
    }
}

/// How much of a kind is kept; what is left out has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// For so many days.
    pub days: Option<u32>,
    /// Up to so many bytes.
    pub bytes: Option<u64>,
}

impl Keep {
    /// Whether nothing is ever to go.
    pub fn is_all(&self) -> bool {
        *self == Keep::default()
    }
}

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionRules {
    /// Of candidates.
    pub candidates: Keep,
    /// Of pictures.
    pub crops: Keep,
    /// Of events.
    pub events: Keep,
    /// The pipeline's words of severity, the mildest first; pictures of flaws with another word go last.
    pub mildest_first: Vec<String>,
}

impl RetentionRules {
    /// What is kept of `kind`.
    pub fn of(&self, kind: RetentionKind) -> Keep {
        match kind {
            RetentionKind::Candidates => self.candidates,
            RetentionKind::Crops => self.crops,
            RetentionKind::Events => self.events,
        }
    }
}

/// So many rows, and how much room they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Rows.
    pub n: u64,
    /// Bytes: of a crop its PNG, of other rows what they take on the average with their indices.
    pub bytes: u64,
}

/// How one kind stands under its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindPlan {
    /// What it is of.
    pub kind: RetentionKind,
    /// Its rule.
    pub keep: Keep,
    /// All that there is.
    pub all: Amount,
    /// Since when, microseconds since 1970 UTC; none when there is nothing.
    pub oldest_us: Option<i64>,
    /// What goes now; of what goes by size, the number is an estimate.
    pub now: Amount,
    /// What will go within a day from now, beside that, at the present rate of growth.
    pub within_day: Amount,
    /// What will go within seven days from now, beside what goes now.
    pub within_week: Amount,
    /// How much came in a day, over the last seven or as long as there is anything.
    pub bytes_per_day: u64,
}

/// What is to go, and the steps in which it does.
#[derive(Debug)]
pub struct RetentionPlan {
    /// When it was made, microseconds since 1970 UTC.
    pub at_us: i64,
    /// Each kind, in the order in which they go.
    pub kinds: Vec<KindPlan>,
    portions: VecDeque<Portion>,
    work: removal::Work,
}

impl RetentionPlan {
    /// Whether nothing goes now.
    pub fn is_empty(&self) -> bool {
        self.portions.is_empty()
    }

    /// Forgets what would go of `kind`.
    pub fn leave(&mut self, kind: RetentionKind) {
        self.portions.retain(|portion| portion.kind() != kind);
    }
}

/// Room of an SQLite file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileBytes {
    /// The file.
    pub all: u64,
    /// In it, free for what is written next.
    pub reusable: u64,
}

const DAY_US: i64 = 86_400_000_000;
/// Over how long growth is measured.
const GROWTH_DAYS: i64 = 7;
/// Crops that one query counts: some milliseconds.
const N_COUNTED: i64 = 2000;
/// What a candidate takes with its two indices, in an SQLite file that was filled in order; measured by
/// `what_rows_take_is_what_is_said`.
const CANDIDATE_BYTES: u64 = 127;
/// The same of an event beside its words.
const EVENT_BYTES: u64 = 120;

impl Store {
    /// Looks what `rules` let go at the time `at_us`, and changes nothing.
    ///
    /// `between` is called after each query with how long it took, so that a caller can go slowly; when it
    /// says false there is no plan. Queries are short but for one over all candidates; none makes a writer
    /// wait.
    ///
    /// # Errors
    /// The database's only.
    pub fn retention_plan(
        &self,
        rules: &RetentionRules,
        at_us: i64,
        between: &mut dyn FnMut(Duration) -> bool,
    ) -> Result<Option<RetentionPlan>, StoreError> {
        let mut kinds = Vec::new();
        let mut portions = VecDeque::new();
        for kind in RetentionKind::ALL {
            let keep = rules.of(kind);
            let mut tally = Tally::new(keep, at_us);
            let groups = match kind {
                RetentionKind::Crops => self.count_crops(rules, &mut tally, between)?,
                RetentionKind::Candidates | RetentionKind::Events => {
                    self.count_rows(kind, &mut tally, between)?
                }
            };
            let Some(groups) = groups else {
                return Ok(None);
            };
            let plan = tally.plan(kind);
            if let Some(before) = tally.due_before().filter(|_| tally.aged[0].n > 0) {
                portions.push_back(Portion::OlderThan { kind, before });
            }
            let mut excess = tally.excess();
            if excess > 0 && kind != RetentionKind::Crops {
                let n = plan.now.n - tally.aged[0].n;
                portions.push_back(Portion::Oldest { kind, n });
            }
            for ((run, _, severity), held) in groups {
                if excess == 0 {
                    break;
                }
                let bytes = held.bytes.min(excess);
                excess -= bytes;
                portions.push_back(Portion::OfRun {
                    run,
                    severity,
                    bytes,
                });
            }
            kinds.push(plan);
        }
        Ok(Some(RetentionPlan {
            at_us,
            work: removal::Work::new(rules, at_us),
            kinds,
            portions,
        }))
    }

    /// How large the store's file is, and how much of it is free for what comes next; none where the store is
    /// no file.
    ///
    /// # Errors
    /// The database's only.
    pub fn file_bytes(&self) -> Result<Option<FileBytes>, StoreError> {
        self.database.file_bytes()
    }

    /// When an event of no run with these words was first written, microseconds since 1970 UTC.
    ///
    /// # Errors
    /// The database's only.
    pub fn first_loose_event(&self, kind: &str, message: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT MIN(at) FROM events WHERE run IS NULL AND kind = $1 AND message = $2";
        let found = self.database.query(sql, &[kind.into(), message.into()])?;
        found
            .first()
            .map_or(Ok(None), |row| row.optional(0, Row::int))
    }

    /// Counts all crops; what is not due by age by run and severity, in the order in which it goes.
    fn count_crops(
        &self,
        rules: &RetentionRules,
        tally: &mut Tally,
        between: &mut dyn FnMut(Duration) -> bool,
    ) -> Result<Option<Groups>, StoreError> {
        // From the crops to their flaws: of old runs there may be many flaws and no crop.
        let sql = "SELECT crops.flaw, CAST(length(crops.png) AS BIGINT), flaws.run, flaws.severity \
                   FROM crops CROSS JOIN flaws WHERE flaws.id = crops.flaw AND crops.flaw > $1 \
                   ORDER BY crops.flaw LIMIT $2";
        let mut groups = Groups::new();
        let mut behind: Vec<u8> = Vec::new();
        loop {
            let since = Instant::now();
            let rows = (self.database).query(sql, &[behind[..].into(), N_COUNTED.into()])?;
            for row in &rows {
                let (flaw, run, severity) = (row.uuid(0)?, row.uuid(2)?, row.text(3)?);
                let bytes = row.int(1)?.unsigned_abs();
                if !tally.add(time_of(flaw), Amount { n: 1, bytes }) {
                    let words = &rules.mildest_first;
                    let rank = words.iter().position(|word| word == severity);
                    let rank = rank.unwrap_or(words.len());
                    let group = groups.entry((run, rank, severity.to_owned())).or_default();
                    *group = group.plus(Amount { n: 1, bytes });
                }
                behind = flaw.as_bytes().to_vec();
            }
            if !between(since.elapsed()) {
                return Ok(None);
            }
            if (rows.len() as i64) < N_COUNTED {
                return Ok(Some(groups));
            }
        }
    }

    /// Counts all rows of a kind whose rows are alike.
    fn count_rows(
        &self,
        kind: RetentionKind,
        tally: &mut Tally,
        between: &mut dyn FnMut(Duration) -> bool,
    ) -> Result<Option<Groups>, StoreError> {
        let (table, bytes) = (removal::table_of(kind), bytes_of(kind));
        let since = Instant::now();
        let sql = format!("SELECT id FROM {table} ORDER BY id LIMIT 1");
        let first = self.database.query(&sql, &[])?;
        if let Some(row) = first.first() {
            tally.oldest_us = Some(time_of(row.uuid(0)?));
        }
        let sum = |when: &str| {
            format!(
                "CAST(COALESCE(SUM(CASE WHEN {when} THEN 1 ELSE 0 END), 0) AS BIGINT), \
                 CAST(COALESCE(SUM(CASE WHEN {when} THEN {bytes} ELSE 0 END), 0) AS BIGINT)"
            )
        };
        let sums = ["1 = 1", "id < $1", "id < $2", "id < $3", "id >= $4"].map(sum);
        let sql = format!("SELECT {} FROM {table}", sums.join(", "));
        let bounds = tally.bounds.map(|bound| bound.map_or(Vec::new(), id_at));
        let recent = id_at(tally.recent_from());
        let values = [
            bounds[0][..].into(),
            bounds[1][..].into(),
            bounds[2][..].into(),
            recent[..].into(),
        ];
        let found = self.database.query(&sql, &values)?;
        if let Some(row) = found.first() {
            let amount = |nth: usize| -> Result<Amount, StoreError> {
                Ok(Amount {
                    n: row.int(2 * nth)?.unsigned_abs(),
                    bytes: row.int(2 * nth + 1)?.unsigned_abs(),
                })
            };
            tally.all = amount(0)?;
            tally.aged = [amount(1)?, amount(2)?, amount(3)?];
            tally.recent = amount(4)?;
        }
        Ok(between(since.elapsed()).then(Groups::new))
    }
}

/// Crops by run, rank of their severity, and its word.
type Groups = BTreeMap<(Uuid, usize, String), Amount>;

/// What a row of a kind takes, in SQL.
fn bytes_of(kind: RetentionKind) -> String {
    match kind {
        RetentionKind::Candidates => CANDIDATE_BYTES.to_string(),
        RetentionKind::Events => format!("{EVENT_BYTES} + length(kind) + length(message)"),
        RetentionKind::Crops => "length(png)".to_owned(),
    }
}

impl Amount {
    fn plus(self, other: Amount) -> Amount {
        Amount {
            n: self.n + other.n,
            bytes: self.bytes + other.bytes,
        }
    }

    fn minus(self, other: Amount) -> Amount {
        Amount {
            n: self.n.saturating_sub(other.n),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// As many rows of this kind as take `bytes`.
    fn worth(self, bytes: u64) -> Amount {
        let n = (u128::from(bytes) * u128::from(self.n)).div_ceil(u128::from(self.bytes.max(1)));
        Amount {
            n: u64::try_from(n).unwrap_or(u64::MAX).min(self.n),
            bytes,
        }
    }
}

/// A kind, counted.
struct Tally {
    keep: Keep,
    at_us: i64,
    /// Before these times rows are due now, in a day, in a week; none where no rule goes by age.
    bounds: [Option<i64>; 3],
    all: Amount,
    /// What lies before each of `bounds`.
    aged: [Amount; 3],
    recent: Amount,
    oldest_us: Option<i64>,
}

impl Tally {
    fn new(keep: Keep, at_us: i64) -> Tally {
        let due = |after_days: i64| {
            (keep.days).map(|days| at_us + (after_days - i64::from(days)) * DAY_US)
        };
        Tally {
            keep,
            at_us,
            bounds: [due(0), due(1), due(7)],
            all: Amount::default(),
            aged: [Amount::default(); 3],
            recent: Amount::default(),
            oldest_us: None,
        }
    }

    fn recent_from(&self) -> i64 {
        self.at_us - GROWTH_DAYS * DAY_US
    }

    /// Counts a row of this time; whether it is due by its age.
    fn add(&mut self, time_us: i64, amount: Amount) -> bool {
        self.oldest_us = Some(self.oldest_us.map_or(time_us, |oldest| oldest.min(time_us)));
        self.all = self.all.plus(amount);
        for (bound, aged) in self.bounds.iter().zip(&mut self.aged) {
            if bound.is_some_and(|bound| time_us < bound) {
                *aged = aged.plus(amount);
            }
        }
        if time_us >= self.recent_from() {
            self.recent = self.recent.plus(amount);
        }
        self.bounds[0].is_some_and(|bound| time_us < bound)
    }

    fn due_before(&self) -> Option<Vec<u8>> {
        self.bounds[0].map(id_at)
    }

    /// Bytes beyond the limit, once what is due by age has gone.
    fn excess(&self) -> u64 {
        let left = self.all.minus(self.aged[0]);
        (self.keep.bytes).map_or(0, |most| left.bytes.saturating_sub(most))
    }

    fn plan(&self, kind: RetentionKind) -> KindPlan {
        let over = self.excess();
        let now = self.aged[0].plus(self.all.minus(self.aged[0]).worth(over));
        let known_us = self.oldest_us.map_or(0, |oldest| self.at_us - oldest);
        let known_us = known_us.clamp(DAY_US, GROWTH_DAYS * DAY_US);
        let per_day = u128::from(self.recent.bytes) * DAY_US as u128 / known_us as u128;
        let bytes_per_day = u64::try_from(per_day).unwrap_or(u64::MAX);
        let within = |days: u64, aged: Amount| {
            let aged = aged.minus(self.aged[0]);
            let left = self.all.minus(now).bytes + bytes_per_day.saturating_mul(days);
            let left = left.saturating_sub(aged.bytes);
            let over = (self.keep.bytes).map_or(0, |most| left.saturating_sub(most));
            aged.plus(self.all.worth(over))
        };
        KindPlan {
            kind,
            keep: self.keep,
            all: self.all,
            oldest_us: self.oldest_us,
            now,
            within_day: within(1, self.aged[1]),
            within_week: within(7, self.aged[2]),
            bytes_per_day,
        }
    }
}

/// When a row was written, microseconds since 1970 UTC: the first 48 bits of a UUIDv7 are milliseconds.
fn time_of(id: Uuid) -> i64 {
    let millis = id.as_bytes()[..6]
        .iter()
        .fold(0_i64, |millis, byte| millis << 8 | i64::from(*byte));
    millis * 1000
}

/// The least id of a row that is written at this time.
fn id_at(time_us: i64) -> Vec<u8> {
    let millis = (time_us.max(0) / 1000) as u64;
    let mut id = millis.to_be_bytes()[2..].to_vec();
    id.resize(16, 0);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_time_and_bounds_it() {
        let (before, id, after) = (crate::now_us(), Uuid::now_v7(), crate::now_us());
        let time = time_of(id);
        assert!(
            (before - 1000..=after).contains(&time),
            "{before} {time} {after}"
        );
        assert!(id_at(time).as_slice() <= &id.as_bytes()[..]);
        assert!(id_at(time + 1000).as_slice() > &id.as_bytes()[..]);
        assert_eq!(id_at(-5), vec![0; 16]);
    }

    /// Ten rows of ten bytes, one a day, the last one a moment ago.
    fn tally(keep: Keep) -> (Tally, KindPlan) {
        let at_us = 1000 * DAY_US;
        let mut tally = Tally::new(keep, at_us);
        for age in 0..10 {
            tally.add(at_us - age * DAY_US - 1, Amount { n: 1, bytes: 10 });
        }
        let plan = tally.plan(RetentionKind::Crops);
        (tally, plan)
    }

    #[test]
    fn what_goes_is_told_for_now_a_day_and_a_week() {
        let of = |n| Amount { n, bytes: 10 * n };
        let days = |days| Keep {
            days: Some(days),
            bytes: None,
        };
        let (_, plan) = tally(days(8));
        assert_eq!((plan.all, plan.now), (of(10), of(2)));
        assert_eq!((plan.within_day, plan.within_week), (of(1), of(7)));
        assert_eq!(plan.bytes_per_day, 10);
        assert_eq!(plan.oldest_us, Some(991 * DAY_US - 1));

        let (tally_, plan) = tally(Keep {
            days: None,
            bytes: Some(65),
        });
        assert_eq!(tally_.excess(), 35);
        // Four rows of ten bytes hold 35; then ten bytes come each day, and the first find room.
        assert_eq!(plan.now, Amount { n: 4, bytes: 35 });
        assert_eq!((plan.within_day, plan.within_week), (of(1), of(7)));

        let (_, plan) = tally(Keep {
            days: Some(8),
            bytes: Some(65),
        });
        assert_eq!(plan.now, Amount { n: 4, bytes: 35 });
        let (_, plan) = tally(Keep::default());
        assert_eq!((plan.now, plan.within_week), (of(0), of(0)));
    }
}
