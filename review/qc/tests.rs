//! The pages are asked as browsers and those who mean harm would ask.

mod people;
mod programs;

use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use store::{
    Batch, By, Chain, CoverState, CoverageCell, Crop, CropPlace, Digest, EndState, LengthKnown,
    Name, NewCrop, NewFlaw, NewModel, NewRun, Rect, Role, RollChoice, RunEnd, RunId, Store,
};
use tower::ServiceExt;

use super::reviewed::flaws_of;
use super::*;
use crate::RollGrade;
use crate::access::hash_password;
use crate::app;

const PASSWORD: &str = "correct horse battery";
/// A roll's number that is not to be believed.
const HOSTILE: &str = "<script>alert(1)</script>\"'&";

fn named(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A mill's rules: a point a flaw that nobody rejected.
struct ByCount;

impl Assessor for ByCount {
    fn grades(&self, store: &Store, run: RunId) -> Result<Vec<RollGrade>, String> {
        let flaws = flaws_of(store, run).map_err(|error| format!("{error:?}"))?;
        let counted = flaws.iter().filter(|flaw| flaw.state != "rejected");
        let digest = Digest::new(&"cd".repeat(32)).unwrap();
        let is_signed = store.signature(run, &digest).unwrap().is_some();
        Ok(vec![RollGrade {
            rules: "by count".to_owned(),
            version: "1".to_owned(),
            standard: "ours".to_owned(),
            digest,
            points: counted.count() as u64,
            rates: vec![(12.5, "per 100 m²".to_owned())],
            quality: is_signed.then(|| "first".to_owned()),
            quality_by_points: "first".to_owned(),
            is_first: is_signed,
            withheld: (!is_signed).then(|| "0.40 m² were not looked at".to_owned()),
            is_signed,
            why: Vec::new(),
            points_of: flaws
                .iter()
                .map(|flaw| (flaw.id().to_string(), 1))
                .collect(),
        }])
    }

    fn limits(&self, _: &Store, _: RunId) -> Result<Vec<String>, String> {
        Ok(vec!["holes from 2 mm".to_owned()])
    }
}

/// A mill with a roll of five flaws and a gap, and an account of each role, named by it.
struct Mill {
    folder: tempfile::TempDir,
    qc: Qc,
    run: RunId,
}

fn url(folder: &Path) -> String {
    folder.join("mill.db").to_str().unwrap().to_owned()
}

impl Mill {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&url(folder.path())).unwrap();
        let run = inspected(&mut store, HOSTILE);
        let key_file = folder.path().join("mill.key");
        let chain = Chain::new(named("table 3"), ChainKey::open(&key_file).unwrap());
        let first = named("first start");
        let by = By {
            chain: &chain,
            account: &first,
            role: Role::Admin,
        };
        let password = hash_password(PASSWORD).unwrap();
        for &role in Role::ALL {
            let name = named(role.as_str());
            store.add_account(&by, &name, role, &password).unwrap();
        }
        let qc = Qc::new(
            QcSettings {
                store: url(folder.path()),
                classes: ["hole", "stain"].map(str::to_owned).to_vec(),
                place: named("table 3"),
                key_file,
                is_encrypted: false,
                has_station: false,
            },
            Arc::new(ByCount),
        );
        Self { folder, qc, run }
    }

    fn store(&self) -> Store {
        Store::open(&url(self.folder.path())).unwrap()
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let answer = app(super::qc(self.qc.clone()))
            .oneshot(request)
            .await
            .unwrap();
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, 10 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        (parts.status, parts.headers, text)
    }

    async fn get(&self, path: &str, session: &str) -> (StatusCode, String) {
        let request = Request::get(path).header(header::COOKIE, format!("{SESSION}={session}"));
        let (status, _, text) = self.ask(request.body(Body::empty()).unwrap()).await;
        (status, text)
    }

    async fn post_form(&self, path: &str, session: &str, form: &str) -> (StatusCode, String) {
        let request = Request::post(path)
            .header(header::COOKIE, format!("{SESSION}={session}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let (status, _, text) = self
            .ask(request.body(form.to_owned().into()).unwrap())
            .await;
        (status, text)
    }

    async fn post_json(
        &self,
        path: &str,
        session: &str,
        csrf: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let request = Request::post(path)
            .header(header::COOKIE, format!("{SESSION}={session}"))
            .header("x-csrf", csrf);
        let (status, _, text) = self
            .ask(request.body(body.to_owned().into()).unwrap())
            .await;
        (status, text)
    }

    /// Logs in and gives back the session's secret and its forms' word.
    async fn log_in(&self, name: &str) -> (String, String) {
        let form = format!("name={name}&password={}", in_query(PASSWORD));
        let request = Request::post("/login")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let (status, headers, _) = self.ask(request.body(form.into()).unwrap()).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        let cookie = headers[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        let secret = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        let csrf = self.qc.sessions().whose(&secret).unwrap().csrf;
        (secret, csrf)
    }

    /// The flaws as the review's script gets them.
    async fn flaws(&self, session: &str) -> serde_json::Value {
        let (status, text) = self
            .get(
                &format!("/runs/{}/review.json?order=along", self.run),
                session,
            )
            .await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// A roll of 10 m whose second metre was lost, with a flaw in each metre from the fourth on.
fn inspected(store: &mut Store, number: &str) -> RunId {
    let digest = Digest::new(&"ab".repeat(32)).unwrap();
    let article = named("4711");
    store
        .register_model(&NewModel {
            digest: digest.clone(),
            article: article.clone(),
            passport_json: "{}".to_owned(),
            file_name: "m.onnx".to_owned(),
            taught_at_us: 0,
        })
        .unwrap();
    let run = store
        .begin_run(&NewRun {
            roll: named(number),
            roll_choice: RollChoice::New,
            article,
            order: None,
            model: digest,
            calibration_json: "{}".to_owned(),
            engine_version: "0.1.0".to_owned(),
            runtime_version: "1.28.0".to_owned(),
            device: "CPU".to_owned(),
            batch_shape: "1 x 1".to_owned(),
            mm_per_px: 0.2,
            station: Some(named("table 3")),
            length_known: LengthKnown::Encoder,
        })
        .unwrap();
    let metre = |nth: i64| nth * 1_000_000..(nth + 1) * 1_000_000;
    let coverage = (0..10).map(|nth| CoverageCell {
        rect: Rect::new(metre(nth), 0..400_000).unwrap(),
        state: match nth {
            1 => CoverState::Gap("frame_lost".to_owned()),
            _ => CoverState::Inspected,
        },
    });
    let flaws = (4..9).map(|nth| NewFlaw {
        class: "stain".to_owned(),
        rect: Rect::new(
            nth * 1_000_000..nth * 1_000_000 + 4000 * nth,
            50_000 * (nth - 4)..50_000 * (nth - 4) + 900 * nth,
        )
        .unwrap(),
        length_um: 4000 * nth,
        area_um2: 4000 * nth * 900 * nth,
        score: 1.0 + nth as f64,
        severity: if nth == 6 { "severe" } else { "minor" }.to_owned(),
        found_at_us: 0,
        crop: Some(NewCrop::Kept(Crop {
            png: b"\x89PNG".to_vec(),
            place: CropPlace {
                lane: 0,
                frame: 1,
                x_px: 0,
                y_px: 0,
                width_px: 8,
                height_px: 8,
                margin_px: 2,
            },
        })),
    });
    let batch = Batch {
        coverage: coverage.collect(),
        flaws: flaws.collect(),
        ..Batch::default()
    };
    store.append(run, &batch).unwrap();
    store
        .finish_run(
            run,
            &RunEnd {
                length_um: 10_000_000,
                width_um: 400_000,
                cloth_width: None,
                length_known: None,
                state: EndState::Done,
                message: None,
            },
        )
        .unwrap();
    run
}

#[tokio::test]
async fn whoever_is_not_logged_in_sees_nothing_but_the_login() {
    let mill = Mill::new();
    let flaw = mill.store().flaws(mill.run).unwrap()[0].id;
    for path in [
        "/rolls".to_owned(),
        "/trends".to_owned(),
        "/audit".to_owned(),
        format!("/runs/{}", mill.run),
        format!("/runs/{}/review", mill.run),
        format!("/flaws/{flaw}"),
        format!("/flaws/{flaw}/crop.png"),
    ] {
        for session in ["", "0", "../../etc/passwd", &"a".repeat(64)] {
            let (status, text) = mill.get(&path, session).await;
            assert_eq!(status, StatusCode::SEE_OTHER, "{path}: {text}");
            assert!(text.is_empty());
        }
    }
    let (status, text) = mill
        .get(&format!("/runs/{}/review.json", mill.run), "")
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
    let (status, text) = mill
        .post_json(&format!("/runs/{}/verdicts", mill.run), "", "", "{}")
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_are_answered_alike_and_then_made_to_wait() {
    let mill = Mill::new();
    let mut told = Vec::new();
    for form in ["name=reviewer&password=wrong", "name=nobody&password=wrong"] {
        let (status, text) = mill.post_form("/login", "", form).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        told.push(text.replace("reviewer", "").replace("nobody", ""));
    }
    assert_eq!(told[0], told[1]);
    for _ in 0..5 {
        mill.post_form("/login", "", "name=reviewer&password=wrong")
            .await;
    }
    let right = format!("name=reviewer&password={}", in_query(PASSWORD));
    let (status, text) = mill.post_form("/login", "", &right).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(text.contains("too many failures"), "{text}");
}

#[tokio::test]
async fn a_roll_is_shown_with_its_flaws_and_gaps_and_its_hostile_number_does_nothing() {
    let mill = Mill::new();
    let (session, _) = mill.log_in("viewer").await;
    let (status, list) = mill.get("/rolls", &session).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    assert!(list.contains("&#60;script&#62;alert(1)"), "{list}");
    let (status, roll) = mill.get(&format!("/runs/{}", mill.run), &session).await;
    assert_eq!(status, StatusCode::OK, "{roll}");
    assert!(!list.contains("<script>alert") && !roll.contains("<script>alert"));
    assert_eq!(roll.matches("class=\"flaw ").count(), 5);
    assert!(
        roll.contains("not looked at: frame lost, 1.00 to 2.00 m"),
        "{roll}"
    );
    assert!(roll.contains("not first quality without"), "{roll}");
    let flaw = mill.store().flaws(mill.run).unwrap()[2].id;
    let (status, page) = mill.get(&format!("/flaws/{flaw}"), &session).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("severe stain"), "{page}");
    assert!(
        !page.contains("name=\"decision\""),
        "a viewer decides nothing"
    );
    let (status, png) = mill.get(&format!("/flaws/{flaw}/crop.png"), &session).await;
    assert_eq!((status, png.ends_with("PNG")), (StatusCode::OK, true));
}

#[tokio::test]
async fn a_verdict_is_stored_before_it_is_answered_and_others_see_it() {
    let mill = Mill::new();
    let (session, csrf) = mill.log_in("reviewer").await;
    let all = mill.flaws(&session).await;
    let id = all["flaws"][0]["id"].as_str().unwrap().to_owned();
    let verdicts = format!("/runs/{}/verdicts", mill.run);
    let body = format!(r#"{{"flaws": ["{id}"], "decision": "confirmed", "note": "seen"}}"#);
    let (status, text) = mill.post_json(&verdicts, &session, &csrf, &body).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let flaw: FlawIdText = id.parse().unwrap();
    let kept = mill.store().verdicts(flaw).unwrap();
    assert_eq!((kept.len(), kept[0].account.as_str()), (1, "reviewer"));
    let (other, _) = mill.log_in("supervisor").await;
    assert_eq!(mill.flaws(&other).await["flaws"][0]["state"], "confirmed");
    let (_, page) = mill.get(&format!("/flaws/{id}"), &other).await;
    assert!(page.contains("confirmed: seen"), "{page}");
    let body = format!(r#"{{"flaws": ["{id}"], "decision": "undo"}}"#);
    let (status, _) = mill.post_json(&verdicts, &session, &csrf, &body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(mill.flaws(&other).await["flaws"][0]["state"], "open");
    let form = format!("csrf={csrf}&decision=reclassified&class=hole&note=");
    let (status, _) = mill
        .post_form(&format!("/flaws/{id}/verdict"), &session, &form)
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(mill.flaws(&other).await["flaws"][0]["class"], "hole");
}

type FlawIdText = store::FlawId;

#[tokio::test]
async fn a_decision_that_is_sent_again_is_written_once() {
    let mill = Mill::new();
    let (session, csrf) = mill.log_in("reviewer").await;
    let all = mill.flaws(&session).await;
    assert_eq!(all["account"], "reviewer");
    let id = all["flaws"][0]["id"].as_str().unwrap();
    let verdicts = format!("/runs/{}/verdicts", mill.run);
    let mut told = Vec::new();
    for (decision, key) in [
        ("confirmed", "1"),
        ("rejected", "2"),
        ("undo", "3"),
        ("undo", "3"),
    ] {
        let body = format!(r#"{{"flaws": ["{id}"], "decision": "{decision}", "key": "{key}"}}"#);
        let (status, text) = mill.post_json(&verdicts, &session, &csrf, &body).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        told.push(text);
    }
    assert_eq!(told[2], told[3]);
    let all = mill.flaws(&session).await;
    assert_eq!(all["flaws"][0]["state"], "confirmed", "one was taken back");
    let given = mill.store().verdicts(id.parse().unwrap()).unwrap();
    assert_eq!(given.len(), 2);
}

#[tokio::test]
async fn what_is_sent_without_right_or_sense_changes_nothing() {
    let mill = Mill::new();
    let (viewer, viewer_csrf) = mill.log_in("viewer").await;
    let (reviewer, csrf) = mill.log_in("reviewer").await;
    let (other, other_csrf) = mill.log_in("supervisor").await;
    let all = mill.flaws(&reviewer).await;
    let id = all["flaws"][0]["id"].as_str().unwrap();
    let verdicts = format!("/runs/{}/verdicts", mill.run);
    let confirm = format!(r#"{{"flaws": ["{id}"], "decision": "confirmed"}}"#);
    for (session, word, body, expected) in [
        (
            &viewer,
            &viewer_csrf,
            confirm.as_str(),
            StatusCode::FORBIDDEN,
        ),
        // Another user's word, and none.
        (&reviewer, &other_csrf, &confirm, StatusCode::FORBIDDEN),
        (&reviewer, &String::new(), &confirm, StatusCode::FORBIDDEN),
        (&reviewer, &csrf, "", StatusCode::BAD_REQUEST),
        (
            &reviewer,
            &csrf,
            r#"{"flaws": [], "decision": "confirmed"}"#,
            StatusCode::BAD_REQUEST,
        ),
        (
            &reviewer,
            &csrf,
            r#"{"flaws": ["../x"], "decision": "confirmed"}"#,
            StatusCode::BAD_REQUEST,
        ),
        (
            &reviewer,
            &csrf,
            r#"{"flaws": ["01890a5d-ac96-774b-bcce-b302099a8057"], "decision": "confirmed"}"#,
            StatusCode::NOT_FOUND,
        ),
        (
            &reviewer,
            &csrf,
            &confirm.replace("confirmed", "sold"),
            StatusCode::BAD_REQUEST,
        ),
        (
            &other,
            &other_csrf,
            &confirm.replace("\"confirmed\"", "\"reclassified\", \"class\": \"<b>\""),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let (status, text) = mill.post_json(&verdicts, session, word, body).await;
        assert_eq!(status, expected, "{body}: {text}");
        assert!(text.contains("error"), "{text}");
    }
    let huge = format!(
        r#"{{"flaws": ["{id}"], "decision": "confirmed", "note": "{}"}}"#,
        "x".repeat(1 << 20)
    );
    let (status, _) = mill.post_json(&verdicts, &reviewer, &csrf, &huge).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let another = inspected(&mut mill.store(), "R-2");
    let (status, _) = mill
        .post_json(
            &format!("/runs/{another}/verdicts"),
            &reviewer,
            &csrf,
            &confirm,
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "a flaw of another roll");
    let form = format!("csrf={other_csrf}&decision=confirmed");
    let (status, _) = mill
        .post_form(&format!("/flaws/{id}/verdict"), &reviewer, &form)
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = mill.get("/audit", &reviewer).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a reviewer has no audit log");
    for flaw in mill.store().flaws(mill.run).unwrap() {
        assert!(mill.store().verdicts(flaw.id).unwrap().is_empty());
    }
}

#[tokio::test]
async fn paths_that_are_none_are_not_found_and_nobody_is_sent_elsewhere() {
    let mill = Mill::new();
    let (session, _) = mill.log_in("viewer").await;
    for path in [
        "/runs/..%2f..%2fetc%2fpasswd",
        "/runs/01890a5d-ac96-774b-bcce-b302099a8057",
        "/flaws/%00",
        "/flaws/x/crop.png",
        "/rolls?after=%ff",
        "/rolls?from=yesterday",
        "/runs",
    ] {
        let (status, text) = mill.get(path, &session).await;
        assert!(status.is_client_error(), "{path}: {status} {text}");
    }
    for back in [
        "https://elsewhere.example/",
        "//elsewhere.example",
        "/\\elsewhere.example",
        "x",
    ] {
        let request = Request::get(format!("/units?to=in&back={}", in_query(back)));
        let (status, headers, _) = mill.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        assert_eq!(headers[header::LOCATION], "/rolls", "{back}");
    }
    let (_, headers, _) = mill
        .ask(Request::get("/login").body(Body::empty()).unwrap())
        .await;
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'self'"), "{policy}");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn a_roll_with_gaps_is_signed_by_who_may_and_the_signature_can_be_taken_back() {
    let mill = Mill::new();
    let (reviewer, csrf) = mill.log_in("reviewer").await;
    let rules = "cd".repeat(32);
    let path = format!("/runs/{}/sign", mill.run);
    let form = format!("csrf={csrf}&rules={rules}&why=seen&act=sign");
    let (status, _) = mill.post_form(&path, &reviewer, &form).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (session, csrf) = mill.log_in("supervisor").await;
    let form = |rules: &str, why: &str, act: &str| {
        format!("csrf={csrf}&rules={rules}&why={why}&act={act}")
    };
    for (rules, why) in [
        ("ef".repeat(32), "seen"),
        (rules.clone(), ""),
        (String::new(), "seen"),
    ] {
        let (status, text) = mill
            .post_form(&path, &session, &form(&rules, why, "sign"))
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    }
    let (status, text) = mill
        .post_form(&path, &session, &form(&rules, "seen", "sign"))
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{text}");
    let (_, page) = mill.get(&format!("/runs/{}", mill.run), &session).await;
    assert!(page.contains("signed by supervisor (supervisor)"), "{page}");
    let (status, text) = mill
        .post_form(&path, &session, &form(&rules, "no", "withdraw"))
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{text}");
    let (_, page) = mill.get(&format!("/runs/{}", mill.run), &session).await;
    assert!(
        page.contains("withheld") && !page.contains("signed by"),
        "{page}"
    );
    let (audit, _) = mill.log_in("admin").await;
    let (_, log) = mill.get("/audit?account=supervisor", &audit).await;
    assert_eq!(
        log.matches("<td>supervisor (supervisor)</td>").count(),
        2,
        "{log}"
    );
}
