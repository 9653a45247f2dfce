//! The page is asked as a browser, a monitor and a scanner would.

use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use tower::ServiceExt;

use super::*;

const TOKEN: &str = "0123456789abcdef";

/// A station that keeps what it was told.
#[derive(Default)]
struct Kept {
    orders: Mutex<Vec<String>>,
    snapshot: Snapshot,
}

impl Live for Kept {
    fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    fn picture(&self, camera: usize) -> Option<Vec<u8>> {
        (camera == 0).then(|| b"png".to_vec())
    }

    fn begin(&self, order: &Order) -> Result<String, String> {
        if order.article.as_deref() == Some("nix") {
            return Err("nothing was taught".to_owned());
        }
        self.orders.lock().unwrap().push(order.roll.clone());
        Ok("begins".to_owned())
    }

    fn end(&self) -> Result<String, String> {
        self.orders.lock().unwrap().push("END".to_owned());
        Ok("ends".to_owned())
    }

    fn acknowledge(&self, seen: &Acknowledgement) -> Result<String, String> {
        let told = format!("{} by {}", seen.id, seen.by);
        self.orders.lock().unwrap().push(told);
        Ok("is acknowledged".to_owned())
    }

    fn ribbon(&self) -> Ribbon {
        Ribbon::default()
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

fn ask(live: &Arc<Kept>, token: bool, request: Request<Body>) -> Answer {
    let token = token.then(|| Token::new(TOKEN).unwrap());
    let app = crate::app(super::live(Arc::clone(live) as Arc<dyn Live>, token));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let response = app.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    })
}

fn get_from(live: &Arc<Kept>, path: &str) -> Answer {
    ask(live, true, Request::get(path).body(Body::empty()).unwrap())
}

fn order(live: &Arc<Kept>, bearer: Option<&str>, token: bool, body: &str) -> Answer {
    post_to(live, "/rolls/begin", bearer, token, body)
}

fn post_to(live: &Arc<Kept>, path: &str, bearer: Option<&str>, token: bool, body: &str) -> Answer {
    let mut request = Request::post(path);
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    ask(
        live,
        token,
        request.body(Body::from(body.to_owned())).unwrap(),
    )
}

#[test]
fn an_order_without_the_token_changes_nothing() {
    let live = Arc::default();
    let body = r#"{"roll": "R-1"}"#;
    for (bearer, token) in [
        (None, true),
        (Some("0123456789abcdeX"), true),
        (Some("0123456789abcde"), true),
        (Some(""), true),
        (Some(TOKEN), false),
    ] {
        let answer = order(&live, bearer, token, body);
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{bearer:?}");
    }
    assert!(live.orders.lock().unwrap().is_empty());
    let answer = order(&live, Some(TOKEN), true, body);
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (StatusCode::OK, r#"{"told":"begins"}"#)
    );
    assert_eq!(*live.orders.lock().unwrap(), ["R-1"]);
}

#[test]
fn a_wrong_order_is_answered_with_why() {
    let live = Arc::default();
    for (body, said) in [
        (r#"{"roll": "R-1", "article": "nix"}"#, "nothing was taught"),
        (r#"{"roll": "R-1", "colour": "red"}"#, "unknown field"),
        ("END", "expected"),
    ] {
        let answer = order(&live, Some(TOKEN), true, body);
        assert_eq!(answer.status, StatusCode::CONFLICT, "{body}");
        assert!(answer.text.contains(said), "{}", answer.text);
    }
}

#[test]
fn health_is_bad_when_something_is_wrong_and_says_what() {
    let mut kept = Kept::default();
    assert_eq!(
        get_from(&Arc::new(Kept::default()), "/health").status,
        StatusCode::OK
    );
    kept.snapshot.wrong = vec!["camera 2: gone".to_owned()];
    let answer = get_from(&Arc::new(kept), "/health");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("camera 2: gone"), "{}", answer.text);
}

#[test]
fn settings_that_were_refused_are_told_with_their_time_and_why() {
    let mut kept = Kept::default();
    kept.snapshot.settings = Settings {
        read_at: "2026-11-28 12:00:00 UTC".to_owned(),
        refused: None,
    };
    let page = get_from(&Arc::new(kept), "/").text;
    assert!(page.contains("read 2026-11-28 12:00:00 UTC"), "{page}");
    let mut kept = Kept::default();
    kept.snapshot.settings.refused = Some("another [[lane]] <in>".to_owned());
    let kept = Arc::new(kept);
    let page = get_from(&kept, "/").text;
    assert!(
        page.contains("those before hold: another [[lane]] &lt;in&gt;"),
        "{page}"
    );
    let health = get_from(&kept, "/health");
    assert_eq!(health.status, StatusCode::OK, "the station is as it was");
    assert!(health.text.contains("another [[lane]]"), "{}", health.text);
}

#[test]
fn words_from_outside_are_shown_as_words() {
    let mut kept = Kept::default();
    kept.snapshot.roll = Some(RollOn {
        roll: "<script>alert(1)</script>".to_owned(),
        article: "a\"b".to_owned(),
    });
    let answer = get_from(&Arc::new(kept), "/");
    assert!(!answer.text.contains("<script>alert"), "{}", answer.text);
    assert!(
        answer.text.contains("&lt;script&gt;alert"),
        "{}",
        answer.text
    );
    let policy = answer.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
}

#[test]
fn a_picture_that_is_not_live_is_not_there() {
    let live = Arc::default();
    assert_eq!(get_from(&live, "/cameras/1.png").text, "png");
    for path in [
        "/cameras/2.png",
        "/cameras/0.png",
        "/cameras/x.png",
        "/cameras/1",
    ] {
        assert_eq!(
            get_from(&live, path).status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[test]
fn a_monitor_reads_figures_with_their_camera() {
    let mut kept = Kept::default();
    kept.snapshot.cameras = vec![
        Camera::default(),
        Camera {
            doing: "exposing",
            n_frames: 7,
            silent_s: Some(0.5),
            stream: [("n_missing_packets".to_owned(), 3)].into(),
            ..Camera::default()
        },
    ];
    let text = get_from(&Arc::new(kept), "/metrics").text;
    for line in [
        "# TYPE selvedge_camera_frames_total counter",
        "selvedge_camera_frames_total{camera=\"2\"} 7",
        "selvedge_camera_silent_seconds{camera=\"2\"} 0.5",
        "selvedge_camera_exposing{camera=\"1\"} 0",
        "selvedge_camera_stream_total{camera=\"2\",what=\"n_missing_packets\"} 3",
        "selvedge_healthy 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[test]
fn an_alarm_is_shown_with_its_words_and_acknowledged_by_whoever_has_the_token() {
    let mut kept = Kept::default();
    kept.snapshot.alarms = vec![Alarm {
        id: 3,
        message: "<b>a severe flaw</b>".to_owned(),
        n_times: 2,
        stops: true,
        ..Alarm::default()
    }];
    let live = Arc::new(kept);
    let page = get_from(&live, "/").text;
    let shown = "alarm 3: &lt;b&gt;a severe flaw&lt;/b&gt; · <span>2 times</span>";
    assert!(page.contains(shown), "{page}");
    let post = |bearer, body| post_to(&live, "/alarms/acknowledge", bearer, true, body);
    let seen = r#"{"id": 3, "by": "Ayla"}"#;
    assert_eq!(post(None, seen).status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        post(Some(TOKEN), r#"{"id": "3", "by": "Ayla"}"#).status,
        StatusCode::CONFLICT
    );
    assert!(live.orders.lock().unwrap().is_empty());
    assert_eq!(post(Some(TOKEN), seen).status, StatusCode::OK);
    assert_eq!(*live.orders.lock().unwrap(), ["3 by Ayla"]);
}

#[test]
fn a_monitor_reads_how_long_frames_take_and_what_waits() {
    let mut kept = Kept::default();
    kept.snapshot.queues = vec![("frames 1".to_owned(), 2)];
    kept.snapshot.latency = Latency {
        bin_ends_ms: vec![25, 150],
        counts: vec![4, 5, 1],
        sum_s: 1.5,
    };
    let text = get_from(&Arc::new(kept), "/metrics").text;
    for line in [
        "selvedge_queue_depth{queue=\"frames 1\"} 2",
        "# TYPE selvedge_latency_seconds histogram",
        "selvedge_latency_seconds_bucket{le=\"0.025\"} 4",
        "selvedge_latency_seconds_bucket{le=\"0.15\"} 9",
        "selvedge_latency_seconds_bucket{le=\"+Inf\"} 10",
        "selvedge_latency_seconds_count 10",
        "selvedge_latency_seconds_sum 1.5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}
