//! What a browser is shown, and what it is protected from.

use reqwest::StatusCode;
use reqwest::header::LOCATION;

use crate::fixture::{PASSWORD, System, client, create_client, on_every_database};
use crate::user_agent::{UserAgent, sent_back};

on_every_database!(
    page_runs_nothing_and_is_shown_in_no_frame,
    user_is_sent_back_with_a_code,
    nobody_is_told_what_was_wrong,
    form_of_another_page_is_refused,
    unknown_applications_get_nobody_sent_anywhere,
    applications_are_told_what_is_wrong_with_their_requests,
    nothing_that_an_application_sends_becomes_markup,
    discovery_tells_what_there_is,
);

async fn page_runs_nothing_and_is_shown_in_no_frame(system: System) {
    let page = system.user_agent().open(&UserAgent::request(&[])).await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://127.0.0.1:49152",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("script-src") && !page.html.contains("<script"), "{policy}");
    for (header, value) in [
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(page.headers[header], value, "{header}");
    }
    let cookie = page.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
}

async fn user_is_sent_back_with_a_code(system: System) {
    let alice = system.user("alice").await;
    let page = system.user_agent().login(&alice.mc_id, PASSWORD).await;
    assert_eq!(page.headers["cache-control"], "no-store");
    let back = sent_back(&page);
    assert_eq!(back.keys().collect::<Vec<_>>(), ["code", "iss", "state"]);
    assert_eq!(back["state"], "some state");
    assert_eq!(back["code"].len(), 43);
}

async fn nobody_is_told_what_was_wrong(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let mut pages = Vec::new();
    let long_name = "x".repeat(300);
    for (mc_id, password) in [
        (alice.mc_id.as_str(), "wrong"),
        ("nobody@alpha.example", PASSWORD),
        ("", ""),
        (&long_name, PASSWORD),
        ("al ice", PASSWORD),
    ] {
        let page = agent.login(mc_id, password).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{mc_id}");
        let token = page.fields().into_iter().find(|(name, _)| name == "form_token").unwrap().1;
        assert!(!page.html.contains("some-password") && !page.html.contains("otter"));
        pages.push(page.html.replace(&token, ""));
    }
    pages.dedup();
    assert_eq!(pages.len(), 1, "{pages:?}");
}

async fn form_of_another_page_is_refused(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let page = agent.open(&UserAgent::request(&[])).await;
    let other = agent.open(&UserAgent::request(&[])).await;
    let mut fields = page.fields();
    fields.extend([("mc_id".to_owned(), alice.mc_id), ("password".to_owned(), PASSWORD.to_owned())]);
    for cookie in [None, other.cookie.as_deref(), Some("__Host-form-token="), Some("form-token=x")] {
        assert_eq!(agent.post(&fields, cookie).await.status, StatusCode::FORBIDDEN, "{cookie:?}");
    }
    let without_token: Vec<_> = fields.iter().filter(|(name, _)| name != "form_token").cloned().collect();
    assert_eq!(agent.post(&without_token, page.cookie.as_deref()).await.status, StatusCode::FORBIDDEN);
    sent_back(&agent.post(&fields, page.cookie.as_deref()).await);
}

async fn unknown_applications_get_nobody_sent_anywhere(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let cases: [&[(&str, &str)]; 6] = [
        &[("client_id", "nobody")],
        &[("client_id", "")],
        &[("redirect_uri", "https://evil.example/callback")],
        &[("redirect_uri", "http://127.0.0.1:49152/other")],
        &[("redirect_uri", "http://127.0.0.1:49152@evil.example/callback")],
        &[("redirect_uri", "")],
    ];
    for changes in cases {
        let page = agent.open(&UserAgent::request(changes)).await;
        assert_eq!((page.status, page.headers.get(LOCATION)), (StatusCode::BAD_REQUEST, None), "{changes:?}");
        assert!(!page.html.contains("password"), "{changes:?}");
    }
    // What the page holds is looked at again: whoever changes it gains nothing.
    let page = agent.open(&UserAgent::request(&[])).await;
    let mut fields = page.fields();
    for (name, value) in &mut fields {
        if name == "redirect_uri" {
            *value = "https://evil.example/callback".to_owned();
        }
    }
    fields.extend([("mc_id".to_owned(), alice.mc_id), ("password".to_owned(), PASSWORD.to_owned())]);
    let answer = agent.post(&fields, page.cookie.as_deref()).await;
    assert_eq!((answer.status, answer.headers.get(LOCATION)), (StatusCode::BAD_REQUEST, None));
}

async fn applications_are_told_what_is_wrong_with_their_requests(system: System) {
    let agent = system.user_agent();
    let cases = [
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("scope", "3gpp:mc:ptt_service", "invalid_scope"),
        ("prompt", "none", "login_required"),
    ];
    for (name, value, error) in cases {
        let back = sent_back(&agent.open(&UserAgent::request(&[(name, value)])).await);
        assert_eq!((back["error"].as_str(), back["state"].as_str()), (error, "some state"), "{name}={value}");
        assert!(!back.contains_key("code"));
    }
}

async fn nothing_that_an_application_sends_becomes_markup(system: System) {
    let mut named = client("named");
    named.display_name = "<script>alert(1)</script>".to_owned();
    system.clients().create_client(create_client(named)).await.unwrap();
    let state = "\"><script>alert(2)</script>'&";
    let changes = [("client_id", "named"), ("state", state), ("\"><b>", "x")];
    let page = system.user_agent().open(&UserAgent::request(&changes)).await;
    assert!(!page.html.contains("<script") && !page.html.contains("<b>"), "{}", page.html);
    let fields = page.fields();
    assert!(fields.contains(&("state".to_owned(), state.to_owned())), "{fields:?}");
}

async fn discovery_tells_what_there_is(system: System) {
    let agent = system.user_agent();
    let document = agent.document("/.well-known/openid-configuration").await;
    assert_eq!(document.text("issuer"), system.replica.issuer);
    assert_eq!(document.text("token_endpoint"), agent.token_endpoint());
    assert_eq!(document.body["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(document.body["id_token_signing_alg_values_supported"], serde_json::json!(["ES256"]));
    let keys = agent.document("/jwks").await;
    let keys = keys.body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "the active key and the next one");
    for key in keys {
        assert_eq!(
            (key["kty"].as_str(), key["crv"].as_str(), key["d"].as_str()),
            (Some("EC"), Some("P-256"), None)
        );
    }
    assert_eq!(agent.document("/nothing").await.status, StatusCode::NOT_FOUND);
}
