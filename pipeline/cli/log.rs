//! Where the program's log goes.
//!
//! ```text
//! tracing ─▶ standard error
//!         └▶ at most 8192 lines ─▶ thread "log" ─▶ FILE.2026-11-28, FILE.2026-11-29 …
//! ```
//!
//! Standard error, unless a file is named: then one file a day, of which the oldest are removed. Who logs
//! never waits for that file's disk: lines that it has no room for are dropped, counted, and told at
//! the end, and a disk that is full loses lines of the log and nothing else. What is logged before a
//! clean end is in the file then. `SELVEDGE_LOG` sets what is logged.

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{LOGS_KEPT, LogFormat, LogSettings};

/// Lines that wait for the file at most.
const WAITING: usize = 8192;

/// The log, as the command line has it.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct LogArgs {
    /// Words of the log: text when left out.
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Logs to FILE.DATE, one file a day, and not to standard error.
    #[arg(long, global = true, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Files of the log that are kept at most; 14 when left out.
    #[arg(long, global = true, value_name = "N")]
    log_keep: Option<usize>,
}

impl LogArgs {
    /// What was asked for here, else what `station` says.
    pub(super) fn settings(&self, station: LogSettings) -> anyhow::Result<LogSettings> {
        let asked = LogSettings {
            format: self.log_format,
            file: self.log_file.clone(),
            keep: self.log_keep,
        };
        asked.check("--log-")?;
        Ok(asked.or(station))
    }
}

/// A log that runs. What waits is written when this is dropped.
pub(super) struct Log {
    file: Option<(WorkerGuard, ErrorCounter)>,
}

impl Log {
    /// Begins to log. A file that cannot be opened is told on standard error, where the log goes then:
    /// a line is not kept from running by its log.
    pub(super) fn start(settings: &LogSettings) -> Self {
        let keep = settings.keep.unwrap_or(LOGS_KEPT);
        let appender = settings.file.as_deref().map(|file| appender(file, keep));
        let (appender, failed) = match appender {
            Some(Ok(appender)) => (Some(appender), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let filter = EnvFilter::try_from_env("SELVEDGE_LOG")
            .unwrap_or_else(|_| EnvFilter::new("warn,ort=error"));
        let (writer, file) = match appender {
            Some(appender) => {
                let lines = NonBlockingBuilder::default()
                    .lossy(true)
                    .buffered_lines_limit(WAITING)
                    .thread_name("log");
                let (lines, guard) = lines.finish(appender);
                let dropped = lines.error_counter();
                (BoxMakeWriter::new(lines), Some((guard, dropped)))
            }
            None => (BoxMakeWriter::new(stderr), None),
        };
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            // Whoever stopped reading the log must not stop the line.
            .log_internal_errors(false)
            .with_target(false);
        match (settings.format.unwrap_or_default(), &file) {
            (LogFormat::Json, _) => log.json().flatten_event(true).init(),
            (LogFormat::Text, Some(_)) => log.init(),
            // Whoever reads along knows when it is.
            (LogFormat::Text, None) => log.without_time().init(),
        }
        if let Some(error) = failed {
            tracing::error!(
                error = format!("{error:#}"),
                "the log goes to standard error"
            );
        }
        Self { file }
    }

    /// Whether it goes elsewhere than to standard error.
    pub(super) fn is_in_file(&self) -> bool {
        self.file.is_some()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some((guard, dropped)) = self.file.take() else {
            return;
        };
        drop(guard);
        let n = dropped.dropped_lines();
        if n > 0 {
            // Standard error that is closed leaves nobody to tell.
            drop(writeln!(
                stderr(),
                "selvedge: {n} lines of the log were lost, expected a disk that keeps up"
            ));
        }
    }
}

fn appender(file: &Path, keep: usize) -> anyhow::Result<RollingFileAppender> {
    let folder = file.parent().filter(|parent| *parent != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("found log file {file:?}, expected a name"))?;
    // The appender would make the folder of a mistyped path.
    anyhow::ensure!(
        folder.is_dir(),
        "found log file {file:?}, expected a folder that is there: {folder:?} is not"
    );
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(name)
        .max_log_files(keep)
        .build(folder)
        .with_context(|| format!("log file {file:?} cannot be written"))
}
