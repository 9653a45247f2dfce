//! Events and state at a real web server, which fails at times.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crossbeam::channel::{Receiver, bounded};
use selvedge::config::{OutputSettings, WebhookSettings};
use selvedge::outputs::Outputs;
use serde_json::{Value, json};

use super::{PATIENCE, flaw, free_port, outputs, told_in_no_time};

fn to_web(port: u16) -> Outputs {
    outputs(OutputSettings {
        webhook: Some(WebhookSettings {
            url: format!("http://127.0.0.1:{port}/hook"),
        }),
        ..OutputSettings::default()
    })
}

/// A server that answers its requests with these statuses, then with 200, and tells what came.
fn serve(port: u16, mut statuses: Vec<u16>) -> Receiver<(u16, Value)> {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (tell, told) = bounded(10_000);
    statuses.reverse();
    let serve = move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(body) = request(&stream) else {
                continue;
            };
            let status = statuses.pop().unwrap_or(200);
            let head = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            // The client may have gone.
            drop(write!(stream, "HTTP/1.1 {status} Said\r\n{head}"));
            if tell.send((status, body)).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    told
}

/// The body of one request.
fn request(stream: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    assert_eq!(line, "POST /hook HTTP/1.1\r\n");
    let mut n_bytes = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let lower = line.to_ascii_lowercase();
        if let Some(length) = lower.strip_prefix("content-length:") {
            n_bytes = length.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; n_bytes];
    reader.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_web_server_that_fails_gets_the_state_again_and_every_event_it_takes() {
    let port = free_port();
    // Busy for the state and for the flaw, and never to take the alarm.
    let told = serve(port, vec![200, 503, 200, 503, 200, 200, 422]);
    let outputs = to_web(port);
    let next = || {
        let (status, body) = told.recv_timeout(PATIENCE).unwrap();
        (
            status,
            body["event"].as_str().unwrap().to_owned(),
            body["lost"].clone(),
        )
    };
    let event = |status: u16, event: &str, lost| (status, event.to_owned(), lost);
    assert_eq!(next(), event(200, "state", Value::Null));
    outputs.tell(&flaw(10, "severe"));
    let said: Vec<_> = (0..6).map(|_| next()).collect();
    let expected = [
        event(503, "state", Value::Null),
        event(200, "state", Value::Null),
        event(503, "flaw", json!(0)),
        // A receiver that was in trouble is told the state anew, before what waits.
        event(200, "state", Value::Null),
        event(200, "flaw", json!(0)),
        event(422, "alarm", json!(0)),
    ];
    assert_eq!(said, expected);
    // What was refused is counted and told with the next.
    outputs.tell(&flaw(20, "minor"));
    assert_eq!(next(), event(200, "flaw", json!(1)));
    let undelivered = outputs.finish();
    assert_eq!(undelivered[0].n_events, 1, "{undelivered:?}");
}

#[test]
fn a_web_server_that_is_away_costs_nothing_and_hears_how_much_it_missed() {
    let port = free_port();
    let outputs = to_web(port);
    told_in_no_time(&outputs, 2000);
    outputs.tell(&flaw(5000, "severe"));
    let told = serve(port, Vec::new());
    let next = || told.recv_timeout(PATIENCE).unwrap().1;
    let mut state = next();
    if state["state"]["stop"] == false {
        // It was under way when the alarm was raised.
        state = next();
    }
    assert_eq!(
        (&state["event"], &state["station"]),
        (&json!("state"), &json!("table 3"))
    );
    assert_eq!(state["state"]["stop"], true);
    assert_eq!(state["state"]["alarms"][0]["cause"], "severe");
    // 2002 events, of which the last thousand waited.
    let first = next();
    assert_eq!(
        (&first["event"], &first["lost"]),
        (&json!("flaw"), &json!(1002))
    );
    assert_eq!(first["seq"], 1003);
    for seq in 1004..=2001 {
        let event = next();
        assert_eq!((&event["seq"], &event["lost"]), (&json!(seq), &json!(0)));
    }
    let alarm = next();
    assert_eq!(
        (&alarm["event"], &alarm["seq"]),
        (&json!("alarm"), &json!(2002))
    );
    let undelivered = outputs.finish();
    assert_eq!(undelivered.len(), 1, "{undelivered:?}");
    assert_eq!(
        (undelivered[0].n_events, undelivered[0].is_behind),
        (1002, false)
    );
}
