//! Reports and answers for programs keep to what is published of them.

use super::*;

#[tokio::test]
async fn a_report_says_the_same_as_a_page_a_table_and_for_programs() {
    let mill = Mill::new();
    let (session, csrf) = mill.log_in("reviewer").await;
    let all = mill.flaws(&session).await;
    let id = all["flaws"][1]["id"].as_str().unwrap();
    let body = format!(r#"{{"flaws": ["{id}"], "decision": "rejected", "note": "=1+1, lint"}}"#);
    let (status, text) = mill
        .post_json(
            &format!("/runs/{}/verdicts", mill.run),
            &session,
            &csrf,
            &body,
        )
        .await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let report = format!("/runs/{}/report", mill.run);
    let (status, json) = mill.get(&format!("{report}?form=json"), &session).await;
    assert_eq!(status, StatusCode::OK, "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let schema: serde_json::Value = serde_json::from_str(REPORT_SCHEMA).unwrap();
    keeps_to(&schema, &json, "report");
    assert_eq!(json["flaws"].as_array().unwrap().len(), 5);
    assert_eq!(json["flaws"][1]["verdict"]["by"], "reviewer");
    assert_eq!(
        json["gaps"][0]["along_mm"],
        serde_json::json!([1000.0, 2000.0])
    );
    assert_eq!(json["audit_head"]["chain"], "table 3");
    let (_, csv) = mill.get(&format!("{report}?form=csv"), &session).await;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 5 + 1, "{csv}");
    let n_fields = lines[0].split(',').count();
    assert_eq!(lines[1].split(',').count(), n_fields, "{csv}");
    assert_eq!(lines[6].split(',').count(), n_fields, "{csv}");
    assert!(
        csv.contains("rejected,reviewer,") && csv.contains(",\"'=1+1, lint\","),
        "{csv}"
    );
    let (status, page) = mill.get(&report, &session).await;
    assert_eq!(status, StatusCode::OK);
    for said in [
        "holes from 2 mm",
        "rejected by reviewer",
        "12.50 per 100 m²",
        "table 3, entry",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(
        !page.contains("<script") && !page.contains("src=\"/"),
        "it fetches nothing"
    );
}

/// Checks a value by the words of JSON Schema that the report's schema uses.
fn keeps_to(schema: &serde_json::Value, value: &serde_json::Value, at: &str) {
    if let Some(only) = schema.get("const") {
        assert_eq!(value, only, "{at}");
    }
    if let Some(words) = schema.get("enum") {
        assert!(words.as_array().unwrap().contains(value), "{at}: {value}");
    }
    let kind = match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "boolean",
        serde_json::Value::Number(number) if number.is_f64() => "number",
        serde_json::Value::Number(_) => "integer",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Array(_) => "array",
        serde_json::Value::Object(_) => "object",
    };
    match schema.get("type") {
        Some(serde_json::Value::String(only)) => assert_eq!(kind, only, "{at}: {value}"),
        Some(any) => assert!(
            any.as_array().unwrap().contains(&kind.into()),
            "{at}: {value}"
        ),
        None => {}
    }
    if let Some(object) = value.as_object() {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for name in required {
            assert!(
                object.contains_key(name.as_str().unwrap()),
                "{at} has no {name}"
            );
        }
        if let Some(known) = schema["properties"].as_object() {
            for (name, each) in object {
                let known = known.get(name);
                let known = known.unwrap_or_else(|| panic!("{at}.{name} is not in the schema"));
                keeps_to(known, each, &format!("{at}.{name}"));
            }
        }
    }
    for each in value.as_array().into_iter().flatten() {
        if let Some(items) = schema.get("items") {
            keeps_to(items, each, &format!("{at}[]"));
        }
    }
}

#[tokio::test]
async fn programs_are_answered_as_the_description_says_and_only_with_a_token() {
    let mill = Mill::new();
    let chain = mill.qc.chain().unwrap();
    let admin = named("admin");
    let by = By {
        chain: &chain,
        account: &admin,
        role: Role::Admin,
    };
    let secret = "a-secret-of-a-program";
    let digest = crate::access::secret_sha256(secret);
    let mut store = mill.store();
    store
        .add_token(&by, &named("erp"), Role::Viewer, &digest)
        .unwrap();
    let judge = "a-secret-of-a-judge";
    let digest = crate::access::secret_sha256(judge);
    store
        .add_token(&by, &named("judge"), Role::Reviewer, &digest)
        .unwrap();
    let (status, text) = mill.get("/api/v1/openapi.json", "").await;
    assert_eq!(status, StatusCode::OK);
    let described: serde_json::Value = serde_json::from_str(&text).unwrap();
    let flaw = store.flaws(mill.run).unwrap()[0].id.to_string();
    let paths = described["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 8, "{paths:?}");
    for (path, methods) in paths {
        let asked = path
            .replace("{run}", &mill.run.to_string())
            .replace("{flaw}", &flaw);
        for token in ["", "Bearer wrong", "Bearer "] {
            let request = if methods.get("get").is_some() {
                Request::get(&asked)
            } else {
                Request::post(&asked)
            };
            let request = request.header(header::AUTHORIZATION, token);
            let (status, _, _) = mill.ask(request.body(Body::empty()).unwrap()).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{asked}");
        }
        let Some(get) = methods.get("get") else {
            continue;
        };
        let request =
            Request::get(&asked).header(header::AUTHORIZATION, format!("Bearer {secret}"));
        let (status, headers, text) = mill.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{asked}: {text}");
        let content = &get["responses"]["200"]["content"];
        let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
        let schema = &content[kind]["schema"];
        assert!(
            !schema.is_null(),
            "{asked} answers {kind}, described as {content}"
        );
        if kind == "application/json" {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            keeps_to(&resolved(&described, schema), &value, &asked);
        }
    }
    let decide = |secret: &str| {
        let body = format!(r#"{{"flaws": ["{flaw}"], "decision": "confirmed"}}"#);
        let request = Request::post("/api/v1/verdicts");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        request.body(Body::from(body)).unwrap()
    };
    let (status, _, _) = mill.ask(decide(secret)).await;
    assert_eq!(
        status,
        StatusCode::FORBIDDEN,
        "a viewer's token decides nothing"
    );
    let (status, _, text) = mill.ask(decide(judge)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert_eq!(
        store.verdicts(flaw.parse().unwrap()).unwrap()[0].account,
        "token judge"
    );
    store.revoke_token(&by, &named("judge")).unwrap();
    let (status, _, _) = mill.ask(decide(judge)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

/// A schema of the description with what it refers to in its place.
fn resolved(described: &serde_json::Value, schema: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match schema {
        Value::Object(object) => {
            if let Some(at) = object.get("$ref").and_then(Value::as_str) {
                let found = described.pointer(at.trim_start_matches('#'));
                return resolved(
                    described,
                    found.unwrap_or_else(|| panic!("{at} is not there")),
                );
            }
            let each = object.iter();
            each.map(|(name, each)| (name.clone(), resolved(described, each)))
                .collect()
        }
        Value::Array(all) => all.iter().map(|each| resolved(described, each)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}
