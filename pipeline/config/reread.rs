//! A station file that can be read again while its station stands.
//!
//! What needs no other camera, address or receiver is taken over, and each roll asks for it when it
//! begins: light limits, alarms, the usual article. A file that is wrong, or that changes anything
//! else, is refused whole: the station goes on as it was.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::ensure;
use store::Name;

use super::Station;

/// The settings that hold now, and the file they came from.
#[derive(Debug)]
pub struct Reread {
    file: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    station: Arc<Station>,
    last: Reading,
}

/// When the file was read last, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub at: SystemTime,
    /// Why it was refused, if so.
    pub refused: Option<String>,
}

impl Reread {
    /// Of `station`, which has just been read from `file`.
    pub fn new(file: PathBuf, station: Station) -> Self {
        let last = Reading {
            at: SystemTime::now(),
            refused: None,
        };
        let station = Arc::new(station);
        Self {
            file,
            held: Mutex::new(Held { station, last }),
        }
    }

    /// The settings that hold now.
    pub fn now(&self) -> Arc<Station> {
        Arc::clone(&self.held().station)
    }

    /// When the file was read last, and what came of it.
    pub fn last(&self) -> Reading {
        self.held().last.clone()
    }

    /// Reads the file again, and gives the usual article that holds from now on.
    ///
    /// # Errors
    /// When the file is wrong, or changes what needs a restart; what held before holds.
    pub fn again(&self) -> anyhow::Result<Option<Name>> {
        let read = self.read();
        let mut held = self.held();
        held.last = Reading {
            at: SystemTime::now(),
            refused: read.as_ref().err().map(|error| format!("{error:#}")),
        };
        let (station, article) = read?;
        held.station = Arc::new(station);
        Ok(article)
    }

    fn read(&self) -> anyhow::Result<(Station, Option<Name>)> {
        let station = Station::read(&self.file)?;
        let fixed = needing_restart(&self.now(), &station);
        ensure!(
            fixed.is_empty(),
            "found another {} in {:?}, expected the one that the station stands with: restart it for that",
            fixed.join(", "),
            self.file
        );
        let article = station.standing.article.as_deref();
        let article = article.map(Name::new).transpose()?;
        Ok((station, article))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys in which both differ that the station cannot change while it stands.
fn needing_restart(old: &Station, new: &Station) -> Vec<&'static str> {
    let (old_standing, new_standing) = (&old.standing, &new.standing);
    let differs = [
        ("name", old.name != new.name),
        ("profile", old.profile != new.profile),
        ("[[lane]]", old.lanes != new.lanes),
        ("lane.from", old_standing.from != new_standing.from),
        (
            "loom_m_per_min",
            old_standing.loom_m_per_min != new_standing.loom_m_per_min,
        ),
        (
            "loom_flaws_per_mpx",
            old_standing.loom_flaws_per_mpx != new_standing.loom_flaws_per_mpx,
        ),
        (
            "loom_seam_every_m",
            old_standing.loom_seam_every_m != new_standing.loom_seam_every_m,
        ),
        ("page.listen", old_standing.listen != new_standing.listen),
        (
            "page.token_file",
            old_standing.token_file != new_standing.token_file,
        ),
        (
            "page.certificate",
            old_standing.certificate != new_standing.certificate,
        ),
        ("page.rules", old_standing.rules != new_standing.rules),
        (
            "rolls.seam",
            old_standing.seam_ends != new_standing.seam_ends,
        ),
        ("[outputs]", old.outputs != new.outputs),
        ("[log]", old.log != new.log),
        ("[retention]", old.retention != new.retention),
    ];
    let differing = differs.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: &str = "[[lane]]\nfrom = \"loom:1\"\nmm_per_px = 0.2\n";

    #[test]
    fn what_can_change_does_and_what_cannot_is_refused_by_its_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("station.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write(LANE);
        let reread = Reread::new(file.clone(), Station::read(&file).unwrap());
        let first = reread.last();
        write(&format!(
            "article = \"4711\"\n{LANE}[light]\nmin_mean_level = 20.0\n[alarms]\nsevere = true\n"
        ));
        let article = reread.again().unwrap();
        assert_eq!(article.unwrap().as_str(), "4711");
        let station = reread.now();
        assert_eq!(
            (station.light.min_mean_level, station.alarms.severe),
            (20.0, true)
        );
        assert!(reread.last().refused.is_none() && reread.last().at >= first.at);
        for (text, said) in [
            (LANE.replace("0.2", "0.3"), "another [[lane]] in"),
            (LANE.replace("loom:1", "loom:2"), "another lane.from in"),
            (
                format!("name = \"x\"\n{LANE}[page]\nlisten = \"127.0.0.1:7400\"\n"),
                "another name, page.listen in",
            ),
            (format!("{LANE}[log]\nkeep = 3\n"), "another [log] in"),
            (
                format!("{LANE}[rolls]\nseam = 'ends'\n"),
                "another rolls.seam in",
            ),
            (
                format!("{LANE}[outputs.webhook]\nurl = 'http://mill/'\n"),
                "another [outputs] in",
            ),
            (
                format!("articel = \"4711\"\n{LANE}"),
                "unknown field `articel`",
            ),
            (format!("article = \"\"\n{LANE}"), "name"),
        ] {
            write(&text);
            let error = format!("{:#}", reread.again().unwrap_err());
            assert!(error.contains(said), "{error}");
            assert_eq!(reread.last().refused, Some(error));
            assert_eq!(reread.now(), station, "what held before holds");
        }
    }
}
