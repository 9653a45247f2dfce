//! A page of a long list: rows, and where the next page begins.
//!
//! A page goes on behind a row, not behind a number of rows: what is written meanwhile moves nothing from one page to
//! another.

/// Most rows of one page.
const PAGE_MOST: u32 = 1000;

/// Rows of a page, and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, P> {
    /// At most as many as were asked for.
    pub rows: Vec<T>,
    /// To be given as `after` for the next page; none when this was the last.
    pub next: Option<P>,
}

impl<T, P> Page<T, P> {
    /// A page of what was found, which was one more than asked for if there is more.
    pub(crate) fn of(mut rows: Vec<T>, n_most: usize, place: impl Fn(&T) -> P) -> Page<T, P> {
        let has_more = rows.len() > n_most;
        rows.truncate(n_most);
        Page {
            next: rows.last().filter(|_| has_more).map(place),
            rows,
        }
    }
}

/// As many rows as a page has.
pub(crate) fn page_length(asked: u32) -> i64 {
    i64::from(asked.clamp(1, PAGE_MOST))
}

/// Whether no row can have this text: a server refuses it, and SQLite ends it at a zero.
pub(crate) fn is_nobody_s(text: &str) -> bool {
    text.chars().any(char::is_control)
}
