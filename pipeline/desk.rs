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
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The roll that is on, and where its lanes end.
    on: Option<(Begun, Arc<Ends>)>,
    /// The one that waits, and where it begins.
    next: Option<Begun>,
}

/// A roll that is to begin.
#[derive(Clone, Debug)]
pub struct Begun {
    /// What it is.
    pub order: Order,
    /// Where, in each camera's ticks.
    pub at: Vec<i64>,
}

impl Desk {
    /// A desk at which nothing is on.
    pub fn new(usual_article: Option<Name>, check: Box<Check>, marks: Box<Reached>) -> Self {
        Self {
            usual_article: Mutex::new(usual_article),
            check,
            marks,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Begins a roll where the cloth is now, and ends the one that is on there.
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
        let at = match state.still_on() {
            Some((_, ends)) => ends.set(|| self.marks())?,
            None => self.marks()?,
        };
        let answer = format!("roll {} of article {} begins", order.roll, order.article);
        state.next = Some(Begun { order, at });
        self.changed.notify_all();
        Ok(answer)
    }

    /// Ends the roll that is on where the cloth is now; one that only waits is forgotten.
    ///
    /// # Errors
    /// When there is none.
    pub fn end(&self) -> anyhow::Result<String> {
        let mut state = self.state();
        let waited = state.next.take().map(|next| next.order.roll);
        let on = state.still_on();
        if let Some((_, ends)) = on {
            ends.set(|| self.marks())?;
        }
        match (on, waited) {
            (_, Some(roll)) => Ok(format!("roll {roll} is not begun")),
            (Some((on, _)), None) => Ok(format!("roll {} ends", on.order.roll)),
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
        let ends = Arc::<Ends>::default();
        state.on = Some((next.clone(), Arc::clone(&ends)));
        Some((next, ends))
    }

    /// Says that the roll that was on is over.
    pub fn over(&self) {
        self.state().on = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
}
