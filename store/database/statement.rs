//! Statements whose length depends on what is asked: conditions of a page, many rows at once.
//!
//! Only placeholders and words of the program ever become part of a statement; what comes from outside is bound.

use std::fmt::Write;

use super::{Database, Value};
use crate::StoreError;

/// Rows of one INSERT: few round trips to a server, and far fewer values than any takes.
const N_TOGETHER: usize = 50;

/// A query that grows by conditions.
pub(crate) struct Conditions<'a> {
    sql: String,
    values: Vec<Value<'a>>,
    has_where: bool,
}

impl<'a> Conditions<'a> {
    /// A query without conditions.
    pub(crate) fn new(select: &str) -> Conditions<'a> {
        Conditions {
            sql: select.to_owned(),
            values: Vec::new(),
            has_where: false,
        }
    }

    /// One more condition, which ends with the value.
    pub(crate) fn and(&mut self, condition: &str, value: Value<'a>) {
        let bound = self.bind(value);
        self.and_plain(&format!("{condition}{bound}"));
    }

    /// One more condition, without a value or with ones that were bound.
    pub(crate) fn and_plain(&mut self, condition: &str) {
        self.sql
            .push_str(if self.has_where { " AND " } else { " WHERE " });
        self.has_where = true;
        self.sql.push_str(condition);
    }

    /// Only rows whose `columns`, in brackets, come before these values.
    pub(crate) fn and_below(&mut self, columns: &str, values: &[Value<'a>]) {
        self.and_beside(columns, "<", values);
    }

    /// Only rows whose `columns`, in brackets, come after these values.
    pub(crate) fn and_above(&mut self, columns: &str, values: &[Value<'a>]) {
        self.and_beside(columns, ">", values);
    }

    fn and_beside(&mut self, columns: &str, than: &str, values: &[Value<'a>]) {
        let bound: Vec<String> = values.iter().map(|value| self.bind(*value)).collect();
        self.and_plain(&format!("{columns} {than} ({})", bound.join(", ")));
    }

    /// Binds a value; its placeholder.
    pub(crate) fn bind(&mut self, value: Value<'a>) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// What follows the conditions, ending with a value.
    pub(crate) fn end(&mut self, tail: &str, value: Value<'a>) {
        let bound = self.bind(value);
        self.sql.push_str(tail);
        self.sql.push_str(&bound);
    }

    /// The statement.
    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    /// Its values.
    pub(crate) fn values(&self) -> &[Value<'a>] {
        &self.values
    }
}

/// Inserts rows, many at once; `into` names the table and its columns.
pub(crate) fn insert<const N: usize>(
    database: &dyn Database,
    into: &str,
    rows: &[[Value<'_>; N]],
) -> Result<(), StoreError> {
    for rows in rows.chunks(N_TOGETHER) {
        let groups = (0..rows.len()).map(|nth| format!("({})", placeholders(nth * N + 1, N)));
        let sql = format!("{into} VALUES {}", groups.collect::<Vec<_>>().join(", "));
        database.execute(&sql, rows.as_flattened())?;
    }
    Ok(())
}

/// `$first, …`: so many placeholders.
pub(crate) fn placeholders(first: usize, n: usize) -> String {
    let mut list = String::new();
    for nth in first..first + n {
        let comma = if nth == first { "" } else { ", " };
        // A String takes all that is written to it.
        write!(list, "{comma}${nth}").unwrap_or_default();
    }
    list
}
