//! The live page: what the station does now, for a person beside it.
//!
//! Made whole on the server, so that it says the truth without a script; the script then keeps it
//! fresh from `/live.json`, and says so when the station no longer answers. Words that came from
//! outside are escaped.

use super::{Alarm, Camera, Ribbon, Settings, Snapshot, ribbon};
use crate::words::escaped;

/// The page of this moment.
pub(crate) fn of(snapshot: &Snapshot, strip: &Ribbon) -> String {
    let station = escaped(&snapshot.station);
    let roll = match &snapshot.roll {
        Some(on) => format!(
            "roll {} · article {}",
            escaped(&on.roll),
            escaped(&on.article)
        ),
        None => "no roll is on".to_owned(),
    };
    let wrong: String = snapshot
        .wrong
        .iter()
        .map(|wrong| format!("<li>{}</li>", escaped(wrong)))
        .collect();
    let last = snapshot.last_roll.as_deref().unwrap_or("none yet");
    let last = escaped(last);
    let alarms: String = snapshot.alarms.iter().map(alarm).collect();
    let ribbon = ribbon::svg(strip);
    let settings = escaped(&told(&snapshot.settings));
    let cameras: String = snapshot.cameras.iter().zip(1..).map(camera).collect();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{station}</title>
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<header><h1>{station}</h1><p id="roll" aria-live="polite">{roll}</p></header>
<main>
<p id="stale" role="alert" hidden>The station does not answer; what is shown is old.</p>
<ul id="wrong" role="alert" aria-label="What is wrong">{wrong}</ul>
<section id="alarms" role="alert" aria-label="Alarms">{alarms}</section>
<dl>
<div><dt>flaws</dt><dd id="n_flaws">{}</dd></div>
<div><dt>frames</dt><dd id="n_frames">{}</dd></div>
<div><dt>rolls done</dt><dd id="n_rolls">{}</dd></div>
<div><dt>rolls cut off</dt><dd id="n_failed">{}</dd></div>
</dl>
<p>last: <span id="last_roll">{last}</span></p>
<section id="ribbon" aria-label="The roll so far">{ribbon}</section>
<p>settings: <span id="settings">{settings}</span></p>
<section id="cameras" aria-label="Cameras">{cameras}</section>
</main>
<footer>Selvedge {}</footer>
</body>
</html>
"#,
        snapshot.n_flaws,
        snapshot.n_frames,
        snapshot.n_rolls,
        snapshot.n_failed,
        escaped(&snapshot.version),
    )
}

/// What became of the settings, as the script says it too.
fn told(settings: &Settings) -> String {
    let read_at = &settings.read_at;
    match &settings.refused {
        None => format!("read {read_at}"),
        Some(why) => format!("refused {read_at}, those before hold: {why}"),
    }
}

fn camera((camera, nth): (&Camera, usize)) -> String {
    let doing = camera.doing;
    format!(
        r#"<figure data-camera="{nth}" data-doing="{doing}"><figcaption>camera {nth}: <b>{doing}</b> · <span>{} frames, {} lost</span></figcaption><img src="/cameras/{nth}.png" alt="last picture of camera {nth}"></figure>"#,
        camera.n_frames, camera.n_lost,
    )
}

/// An alarm, and where a person says that it was seen.
fn alarm(alarm: &Alarm) -> String {
    let stops = if alarm.stops { " data-stops" } else { "" };
    format!(
        r#"<form data-alarm="{}"{stops}><p>alarm {}: {} · <span>{} times</span></p><label>seen by <input name="by" autocomplete="name" required></label> <label>token <input name="token" type="password" autocomplete="off" required></label> <button>acknowledge</button> <output></output></form>"#,
        alarm.id,
        alarm.id,
        escaped(&alarm.message),
        alarm.n_times,
    )
}
