//! The desk: where rolls are ordered and ended, by whoever may.
//!
//! ```text
//! barcode line, HTTP ─▶ Desk::begin / end ─▶ checked ─▶ the station takes it up
//! ```
//!
//! An order is checked before anything happens to the roll that is on: a wrong one is refused and
//! changes nothing. To begin a roll while another is on ends that one at the same tick, so that no
//! cloth lies between them. One roll can wait, not more. Whoever tells the desk never waits for the
//! line.
//!
//! Where seams end rolls, a roll that is ordered while another is on waits for the seam, or for the order to
//! end that one, and begins there. When a seam comes and none waits, the next roll begins by itself under the number
//! of the last one with `-2`, `-3` … behind it: no cloth passes unseen because nobody ordered in time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use store::Name;

use crate::standing::Ends;

/// What makes a roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The roll's number.
    pub roll: Name,
    /// Its article.
    pub article: Name,
    /// The order that it is made for, where one was said.
    pub order_number: Option<Name>,
}

/// What is said to the desk in one line, as a barcode scanner types it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// `ROLL`, `ROLL;ARTICLE` or `ROLL;ARTICLE;ORDER`: begins a roll, of the station's usual article
    /// where none is said. In the last one article and order may be empty.
    Begin(Wish),
    /// `END`: ends the roll that is on.
    End,
    /// `ACK;ALARM;NAME`: a person of that name has seen an alarm, by its number.
    Seen(u64, String),
}

/// A roll that is wished for; nothing of it is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The roll's number.
    pub roll: String,
    /// Its article; the station's usual one when left out.
    pub article: Option<String>,
    /// The number of the order that it is made for.
    pub order_number: Option<String>,
}

impl Said {
    /// What a line says; `None` for an empty one.
    ///
    /// # Errors
    /// When an acknowledgement is not whole.
    pub fn parse(line: &str) -> anyhow::Result<Option<Self>> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        if line.eq_ignore_ascii_case("end") {
            return Ok(Some(Said::End));
        }
        if let Some((word, seen)) = line.split_once(';')
            && word.trim().eq_ignore_ascii_case("ack")
        {
            let parsed = (seen.split_once(';')).and_then(|(id, by)| {
                Some(Said::Seen(id.trim().parse().ok()?, by.trim().to_owned()))
            });
            return parsed.map(Some).with_context(|| {
                format!("found {line:?}, expected ACK;ALARM;NAME with the alarm's number")
            });
        }
        let mut parts = line.splitn(3, ';').map(|part| part.trim().to_owned());
        let roll = parts.next().unwrap_or_default();
        let (article, order_number) = (parts.next(), parts.next());
        let is_left_out = |part: &String| order_number.is_some() && part.is_empty();
        Ok(Some(Said::Begin(Wish {
            roll,
            article: article.filter(|article| !is_left_out(article)),
            order_number: order_number.clone().filter(|number| !number.is_empty()),
        })))
    }
}

/// Looks whether an order can be carried out.
pub type Check = dyn Fn(&Order) -> anyhow::Result<()> + Send + Sync;

/// Where a roll can be ended now: a tick for each lane; `None` while some camera has shown nothing.
pub type Reached = dyn Fn() -> Option<Vec<i64>> + Send + Sync;

/// Takes orders. Shared between all who give them and the station.
pub struct Desk {
    usual_article: Mutex<Option<Name>>,
    check: Box<Check>,
    marks: Box<Reached>,
    /// Whether a seam ends the roll that is on.
    at_seams: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The roll that is on, and where its lanes end.
    on: Option<(Begun, Arc<Ends>)>,
    /// The one that waits.
    next: Option<Next>,
}

/// A roll that waits.
struct Next {
    order: Order,
    /// Where it begins; not known while it waits for a seam.
    at: Option<Vec<i64>>,
    /// The number that it follows by itself, and how many there are with it.
    follows: Option<(Name, u32)>,
}

/// A roll that is to begin.
#[derive(Clone, Debug)]
pub struct Begun {
    /// What it is.
    pub order: Order,
    /// Where, in each camera's ticks.
    pub at: Vec<i64>,
    /// The number that it follows by itself, and how many there are with it.
    follows: Option<(Name, u32)>,
}

impl Desk {
    /// A desk at which nothing is on.
    pub fn new(usual_article: Option<Name>, check: Box<Check>, marks: Box<Reached>) -> Self {
        Self {
            usual_article: Mutex::new(usual_article),
            check,
            marks,
            at_seams: false,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The same, where a seam ends the roll that is on.
    #[must_use]
    pub fn ending_at_seams(mut self, at_seams: bool) -> Self {
        self.at_seams = at_seams;
        self
    }

    /// Begins a roll where the cloth is now, and ends the one that is on there; where seams end rolls,
    /// behind the one that is on.
    ///
    /// # Errors
    /// When a name cannot be one, no article is known, the check refuses, or a roll waits already.
    pub fn begin(&self, wish: &Wish) -> anyhow::Result<String> {
        let named =
            |what: &str, text: &str| Name::new(text).with_context(|| format!("{what} {text:?}"));
        let article = match &wish.article {
            Some(article) => named("article", article)?,
            None => self.usual_article().context(
                "found no article, expected ROLL;ARTICLE, or article = \"…\" in the station file",
            )?,
        };
        let number = wish.order_number.as_deref();
        let order = Order {
            roll: named("roll", &wish.roll)?,
            article,
            order_number: number.map(|number| named("order", number)).transpose()?,
        };
        (self.check)(&order)
            .with_context(|| format!("roll {:?} cannot begin", order.roll.as_str()))?;
        let mut state = self.state();
        if let Some(waits) = &state.next {
            bail!(
                "roll {:?} waits to begin, expected no more than one; end it first",
                waits.order.roll.as_str()
            );
        }
        if let Some((on, _)) = &state.on {
            ensure!(
                on.order.roll != order.roll,
                "roll {:?} is on already",
                on.order.roll.as_str()
            );
        }
        // Without a break in between when a roll is on; after one that was ended before, from here on.
        let at = match (&state.on, state.still_on()) {
            (_, Some(_)) if self.at_seams => None,
            (_, Some((_, ends))) => Some(ends.set(|| self.marks())?),
            // Behind the seam: nobody has seen that cloth.
            (Some((_, ends)), None) if ends.is_seam() => ends.known(),
            (Some(_) | None, None) => Some(self.marks()?),
        };
        let begins = match at {
            Some(_) => "begins",
            None => "begins at the next seam",
        };
        let answer = format!("roll {} of article {} {begins}", order.roll, order.article);
        state.next = Some(Next {
            order,
            at,
            follows: None,
        });
        self.changed.notify_all();
        Ok(answer)
    }

    /// Ends the roll that is on where the cloth is now; one that only waits is forgotten, unless it waits for a
    /// seam: then it begins here.
    ///
    /// # Errors
    /// When there is none.
    pub fn end(&self) -> anyhow::Result<String> {
        let mut state = self.state();
        let ended = match state.still_on() {
            Some((on, ends)) => Some((on.order.roll.clone(), ends.set(|| self.marks())?)),
            None => None,
        };
        let waits_for_seam = |next: &mut Next| next.at.is_none();
        if let Some((roll, at)) = &ended
            && let Some(next) = state.next.as_mut()
            && waits_for_seam(next)
        {
            next.at = Some(at.clone());
            return Ok(format!("roll {roll} ends, roll {} begins", next.order.roll));
        }
        match (ended, state.next.take()) {
            (_, Some(next)) => Ok(format!("roll {} is not begun", next.order.roll)),
            (Some((roll, _)), None) => Ok(format!("roll {roll} ends")),
            (None, None) => bail!("found no roll that is on, expected one to end"),
        }
    }

    /// The article of rolls for which none is said.
    pub fn usual_article(&self) -> Option<Name> {
        let usual = self.usual_article.lock();
        usual.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it, from the next order on.
    pub fn set_usual_article(&self, article: Option<Name>) {
        let mut usual = (self.usual_article.lock()).unwrap_or_else(PoisonError::into_inner);
        *usual = article;
    }

    fn marks(&self) -> anyhow::Result<Vec<i64>> {
        (self.marks)().context(
            "found a camera that has shown nothing yet, expected all to expose: where the cloth is, is not known",
        )
    }

    /// Whether a roll can begin: every camera has shown something.
    pub fn is_ready(&self) -> bool {
        (self.marks)().is_some()
    }

    /// The roll that is on.
    pub fn on(&self) -> Option<Order> {
        self.state()
            .on
            .as_ref()
            .map(|(begun, _)| begun.order.clone())
    }

    /// Where the roll that is on began, in each camera's ticks.
    pub fn began_at(&self) -> Option<Vec<i64>> {
        self.state().on.as_ref().map(|(begun, _)| begun.at.clone())
    }

    /// Where the roll that is on ends, in each camera's ticks, once that is known.
    pub fn ends_at(&self) -> Option<Vec<i64>> {
        let state = self.state();
        state.on.as_ref().and_then(|(_, ends)| ends.known())
    }

    /// Whether a roll is on or waits.
    pub fn is_busy(&self) -> bool {
        let state = self.state();
        state.on.is_some() || state.next.is_some()
    }

    /// The next roll, if one is ordered within `wait`, and where it will end; it is on from then until
    /// [`Desk::over`].
    pub fn take(&self, wait: Duration) -> Option<(Begun, Arc<Ends>)> {
        let mut state = self.state();
        if state.next.is_none() {
            let woken = self.changed.wait_timeout(state, wait);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let next = state.next.take()?;
        let at = match next.at.or_else(|| (self.marks)()) {
            Some(at) => at,
            // The roll that it was to follow failed, and a camera has shown nothing yet.
            None => {
                state.next = Some(Next { at: None, ..next });
                return None;
            }
        };
        let begun = Begun {
            order: next.order,
            at,
            follows: next.follows,
        };
        let ends = Arc::<Ends>::default();
        state.on = Some((begun.clone(), Arc::clone(&ends)));
        Some((begun, ends))
    }

    /// Says that the roll that was on is over. Gives what a person should know, when a seam has ended it and
    /// no other one was ordered: the next one begins by itself.
    pub fn over(&self) -> Option<String> {
        let mut state = self.state();
        let (begun, ends) = state.on.take()?;
        let at = ends.known()?;
        if let Some(next) = &mut state.next {
            next.at.get_or_insert(at);
            return None;
        }
        if !ends.is_seam() {
            return None;
        }
        let last = begun.order.roll.clone();
        let (first, n) = begun.follows.unwrap_or((last.clone(), 1));
        let roll = following(&first, n + 1)?;
        let told = format!(
            "a seam has ended roll {last} and no other was ordered: roll {roll} of the same article begins there by itself"
        );
        state.next = Some(Next {
            order: Order {
                roll,
                ..begun.order
            },
            at: Some(at),
            follows: Some((first, n + 1)),
        });
        Some(told)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the `n`th roll that began as `first`.
fn following(first: &Name, n: u32) -> Option<Name> {
    let behind = format!("-{n}");
    // A number that is as long as numbers may be gives way at its end.
    let mut number = first.as_str().to_owned();
    loop {
        match Name::new(&format!("{number}{behind}")) {
            Ok(name) => return Some(name),
            Err(_) => number.pop()?,
        };
    }
}

impl State {
    /// The roll that is on, while its end is not known.
    fn still_on(&self) -> Option<&(Begun, Arc<Ends>)> {
        let on = self.on.as_ref();
        on.filter(|(_, ends)| ends.known().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> Desk {
        let check = |order: &Order| {
            ensure!(order.article.as_str() == "4711", "nothing was taught");
            Ok(())
        };
        let usual = Name::new("4711").ok();
        Desk::new(usual, Box::new(check), Box::new(|| Some(vec![100, 120])))
    }

    fn wish(roll: &str, article: Option<&str>) -> Wish {
        Wish {
            roll: roll.to_owned(),
            article: article.map(str::to_owned),
            order_number: None,
        }
    }

    #[test]
    fn a_line_begins_a_roll_or_ends_it() {
        let begin = |roll: &str, article: Option<&str>, number: Option<&str>| {
            Some(Said::Begin(Wish {
                order_number: number.map(str::to_owned),
                ..wish(roll, article)
            }))
        };
        let parse = |line: &str| Said::parse(line).unwrap();
        assert_eq!(parse("  \r\n"), None);
        assert_eq!(parse("END\r\n"), Some(Said::End));
        assert_eq!(parse("R-1\n"), begin("R-1", None, None));
        for (line, said) in [
            ("R-1; 4711", begin("R-1", Some("4711"), None)),
            ("R-1;4711; 17/B ", begin("R-1", Some("4711"), Some("17/B"))),
            ("R-1;;17", begin("R-1", None, Some("17"))),
            ("R-1;4711;", begin("R-1", Some("4711"), None)),
            // Half a label is no order for the usual article.
            ("R-1;", begin("R-1", Some(""), None)),
        ] {
            assert_eq!(parse(line), said, "{line:?}");
        }
        assert_eq!(
            parse("ack; 3; Ayla"),
            Some(Said::Seen(3, "Ayla".to_owned()))
        );
        for wrong in ["ACK;Ayla", "ACK;three;Ayla", "ACK;-1;Ayla"] {
            let error = Said::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("expected ACK;ALARM;NAME"), "{error}");
        }
    }

    #[test]
    fn a_wrong_order_is_refused_and_the_roll_that_is_on_goes_on() {
        let desk = desk();
        desk.begin(&wish("R-1", None)).unwrap();
        let (begun, ends) = desk.take(Duration::ZERO).unwrap();
        assert_eq!(begun.at, [100, 120]);
        for (roll, article, said) in [
            ("R-2", Some("4712"), "nothing was taught"),
            ("", None, "roll"),
            ("R-1", None, "is on already"),
        ] {
            let error = format!("{:#}", desk.begin(&wish(roll, article)).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
        for number in ["", "4711\n4712", &"9".repeat(101)] {
            let hostile = Wish {
                order_number: Some(number.to_owned()),
                ..wish("R-2", None)
            };
            let error = format!("{:#}", desk.begin(&hostile).unwrap_err());
            assert!(error.starts_with("order "), "{error}");
        }
        assert_eq!(desk.on().unwrap().roll.as_str(), "R-1");
        assert_eq!(ends.known(), None);
    }

    #[test]
    fn the_next_roll_begins_where_the_last_one_ends() {
        let desk = desk();
        desk.begin(&wish("R-1", None)).unwrap();
        let (_, ends) = desk.take(Duration::ZERO).unwrap();
        desk.begin(&wish("R-2", None)).unwrap();
        assert_eq!(ends.known(), Some(vec![100, 120]));
        let error = desk.begin(&wish("R-3", None)).unwrap_err().to_string();
        assert!(error.contains("\"R-2\" waits"), "{error}");
        desk.over();
        let (begun, _) = desk.take(Duration::ZERO).unwrap();
        assert_eq!(begun.order.roll.as_str(), "R-2");
        assert_eq!(begun.at, [100, 120]);
    }

    #[test]
    fn no_roll_begins_before_every_camera_has_shown_where_it_is() {
        let usual = Name::new("4711").ok();
        let desk = Desk::new(usual, Box::new(|_| Ok(())), Box::new(|| None));
        let error = desk.begin(&wish("R-1", None)).unwrap_err().to_string();
        assert!(error.contains("shown nothing yet"), "{error}");
        assert!(!desk.is_ready() && desk.take(Duration::ZERO).is_none());
    }

    #[test]
    fn nothing_ends_twice() {
        let desk = desk();
        assert!(desk.end().is_err());
        desk.begin(&wish("R-1", None)).unwrap();
        let _taken = desk.take(Duration::ZERO).unwrap();
        assert!(desk.end().unwrap().contains("R-1 ends"));
        assert!(desk.end().is_err());
        desk.over();
        assert!(desk.take(Duration::ZERO).is_none());
    }

    #[test]
    fn where_seams_end_rolls_an_order_waits_for_the_seam_or_the_end() {
        let desk = desk().ending_at_seams(true);
        desk.begin(&wish("R-1", None)).unwrap();
        let (_, ends) = desk.take(Duration::ZERO).unwrap();
        let said = desk.begin(&wish("R-2", None)).unwrap();
        assert!(said.ends_with("begins at the next seam"), "{said}");
        assert_eq!(ends.known(), None, "R-1 goes on");
        assert!(desk.begin(&wish("R-3", None)).is_err());
        assert_eq!(desk.end().unwrap(), "roll R-1 ends, roll R-2 begins");
        assert_eq!(ends.known(), Some(vec![100, 120]));
        assert_eq!(desk.end().unwrap(), "roll R-2 is not begun");
        desk.begin(&wish("R-3", None)).unwrap();
        assert_eq!(desk.over(), None);
        let (begun, _) = desk.take(Duration::ZERO).unwrap();
        assert_eq!(
            (begun.order.roll.as_str(), begun.at),
            ("R-3", vec![100, 120])
        );
    }

    #[test]
    fn behind_a_seam_the_next_roll_begins_by_itself_unless_one_was_ordered() {
        let desk = desk().ending_at_seams(true);
        let at_seam = |at: i64| {
            let (_, ends) = desk.take(Duration::ZERO).unwrap();
            ends.end_at_seam(vec![at, at]);
        };
        let number = wish("R-1", None);
        desk.begin(&Wish {
            order_number: Some("17".to_owned()),
            ..number
        })
        .unwrap();
        at_seam(40);
        let told = desk.over().unwrap();
        assert!(told.contains("roll R-1-2 of the same article"), "{told}");
        at_seam(60);
        assert!(desk.on().unwrap().order_number.unwrap().as_str() == "17");
        assert!(desk.over().unwrap().contains("roll R-1-3"));
        at_seam(80);
        // Ordered when the seam had passed and the roll was not over yet.
        assert!(desk.begin(&wish("R-4", None)).unwrap().ends_with("begins"));
        assert_eq!(desk.over(), None);
        let (begun, ends) = desk.take(Duration::ZERO).unwrap();
        assert_eq!((begun.order.roll.as_str(), begun.at), ("R-4", vec![80, 80]));
        // A roll that is ended by order is followed by none.
        desk.end().unwrap();
        assert!(!ends.is_seam() && desk.over().is_none());
        assert!(desk.take(Duration::ZERO).is_none());
    }

    #[test]
    fn the_longest_number_can_be_followed_too() {
        let longest = "9".repeat(100);
        let name = following(&Name::new(&longest).unwrap(), 12).unwrap();
        assert!(name.as_str().ends_with("99-12"), "{name}");
    }
}
