//! Accounts on their page, and what becomes of who is changed.

use super::*;

#[tokio::test]
async fn an_account_that_was_disabled_decides_nothing_more_in_its_session() {
    let mill = Mill::new();
    let (session, csrf) = mill.log_in("reviewer").await;
    let all = mill.flaws(&session).await;
    let id = all["flaws"][0]["id"].as_str().unwrap();
    let chain = mill.qc.chain().unwrap();
    let admin = named("admin");
    let by = By {
        chain: &chain,
        account: &admin,
        role: Role::Admin,
    };
    mill.store()
        .set_account_disabled(&by, &named("reviewer"), true)
        .unwrap();
    let body = format!(r#"{{"flaws": ["{id}"], "decision": "confirmed"}}"#);
    let (status, _) = mill
        .post_json(
            &format!("/runs/{}/verdicts", mill.run),
            &session,
            &csrf,
            &body,
        )
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let right = format!("name=reviewer&password={}", in_query(PASSWORD));
    let (status, _) = mill.post_form("/login", "", &right).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_administrator_makes_and_changes_accounts_and_nobody_else_does() {
    let mill = Mill::new();
    let (supervisor, csrf) = mill.log_in("supervisor").await;
    let add = |csrf: &str| {
        let password = in_query(PASSWORD);
        format!("csrf={csrf}&act=add&name=ayla&role=reviewer&password={password}")
    };
    let (status, _) = mill.post_form("/accounts", &supervisor, &add(&csrf)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (admin, csrf) = mill.log_in("admin").await;
    for wrong in [
        format!(
            "csrf={csrf}&act=add&name=bert&role=king&password={}",
            in_query(PASSWORD)
        ),
        format!("csrf={csrf}&act=add&name=bert&role=viewer&password=short"),
        format!("csrf={csrf}&act=disable&name=admin"),
        format!("csrf={csrf}&act=delete&name=viewer"),
    ] {
        let (status, text) = mill.post_form("/accounts", &admin, &wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {text}");
    }
    let (status, text) = mill.post_form("/accounts", &admin, &add(&csrf)).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{text}");
    let (ayla, own) = mill.log_in("ayla").await;
    let other = in_query("another good password");
    let change = format!("csrf={own}&before={}&password={other}", in_query(PASSWORD));
    let wrong = change.replace("before=", "before=x");
    let (status, _) = mill.post_form("/accounts/password", &ayla, &wrong).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, text) = mill.post_form("/accounts/password", &ayla, &change).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let (status, _) = mill
        .post_form("/login", "", &format!("name=ayla&password={other}"))
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let disable = format!("csrf={csrf}&act=disable&name=ayla");
    let (status, _) = mill.post_form("/accounts", &admin, &disable).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, _) = mill.get("/rolls", &ayla).await;
    assert_eq!(
        status,
        StatusCode::SEE_OTHER,
        "who is disabled is logged out"
    );
    let (_, log) = mill.get("/audit?kind=account&subject=ayla", &admin).await;
    assert!(
        !log.contains("argon2"),
        "no log holds a password, nor its hash: {log}"
    );
    assert!(log.matches("<td>account</td>").count() >= 3, "{log}");
}
