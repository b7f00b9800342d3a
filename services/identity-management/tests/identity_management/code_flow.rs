//! From the login page to tokens, and what becomes of these.

use std::time::Duration;

use mcx_proto::identity::v1 as proto;
use mcx_types::Entity;
use openidconnect::core::{CoreClient, CoreProviderMetadata, CoreResponseType, CoreUserInfoClaims};
use openidconnect::{
    AuthenticationFlow, AuthorizationCode, ClientId, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, RevocationUrl, Scope, TokenResponse, http,
};
use reqwest::StatusCode;

use crate::fixture::{PASSWORD, REDIRECT_URI, System, UE, client, create_client, on_every_database};
use crate::user_agent::{VERIFIER, claims, sent_back};

on_every_database!(
    foreign_client_logs_a_user_in,
    access_token_says_who_the_user_is_and_no_more,
    code_is_worth_nothing_to_anybody_else,
    code_that_is_used_twice_revokes_what_came_of_it,
    code_waits_for_a_minute,
    refresh_token_is_used_once,
    refresh_token_that_is_used_twice_revokes_the_login,
    refresh_asks_for_no_more_than_was_granted,
    session_ends_however_often_it_is_refreshed,
    disabled_user_gets_no_tokens_and_loses_those_she_has,
    revoked_tokens_are_worth_nothing,
    user_information_needs_a_good_token,
    confidential_client_proves_who_it_is,
    malformed_token_requests_are_refused_with_their_error,
);

const CODE_REFUSED: (u16, &str, &str) = (400, "invalid_grant", "the authorization code is not valid");
const REFRESH_REFUSED: (u16, &str, &str) = (400, "invalid_grant", "the refresh token is not valid");

/// The HTTP client of the `openidconnect` crate, on ours.
async fn call(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let response = http.execute(request.try_into()?).await?;
    let mut answer = http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        answer = answer.header(name, value);
    }
    Ok(answer.body(response.bytes().await?.to_vec()).unwrap())
}

async fn foreign_client_logs_a_user_in(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let http = |request| call(agent.http.clone(), request);

    let issuer = IssuerUrl::new(system.replica.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.unwrap();
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new(UE.to_owned()), None)
        .set_redirect_uri(RedirectUrl::new(REDIRECT_URI.to_owned()).unwrap())
        .set_revocation_url(RevocationUrl::new(agent.url("/revoke")).unwrap());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("3gpp:mc:ptt_service".to_owned()))
        .set_pkce_challenge(challenge)
        .url();

    let page = agent.open(&url.query_pairs().into_owned().collect()).await;
    let back = sent_back(&agent.submit(&page, &alice.mc_id, PASSWORD).await);
    assert_eq!(back["state"], *state.secret());
    assert_eq!(back["iss"], system.replica.issuer);

    let tokens = client
        .exchange_code(AuthorizationCode::new(back["code"].clone()))
        .unwrap()
        .set_pkce_verifier(verifier)
        .request_async(&http)
        .await
        .unwrap();
    let id_token = tokens.id_token().unwrap().claims(&client.id_token_verifier(), &nonce).unwrap();
    assert_eq!(id_token.subject().as_str(), alice.subject);
    assert_eq!(id_token.auth_context_ref().map(|acr| acr.as_str()), Some("3gpp:acr:password"));

    let access_token = tokens.access_token().clone();
    let information = client.user_info(access_token, Some(id_token.subject().clone())).unwrap();
    let information: CoreUserInfoClaims = information.request_async(&http).await.unwrap();
    assert_eq!(information.subject().as_str(), alice.subject);

    let refresh_token = tokens.refresh_token().unwrap().clone();
    let refreshed =
        client.exchange_refresh_token(&refresh_token).unwrap().request_async(&http).await.unwrap();
    assert_ne!(refreshed.access_token().secret(), tokens.access_token().secret());
    assert_ne!(refreshed.refresh_token().unwrap().secret(), refresh_token.secret());

    let revoked = refreshed.refresh_token().unwrap().clone();
    client.revoke_token(revoked.into()).unwrap().request_async(&http).await.unwrap();
    assert!(!system.introspect(refreshed.access_token().secret()).await.active);
}

async fn access_token_says_who_the_user_is_and_no_more(system: System) {
    let alice = system.user("alice").await;
    let answer = system.user_agent().log_in(&alice.mc_id).await;
    assert_eq!((answer.text("token_type"), answer.body["expires_in"].as_u64()), ("Bearer", Some(600)));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let claims = claims(answer.access_token());
    let iat = claims["iat"].as_i64().unwrap();
    let expected = serde_json::json!({
        "iss": system.replica.issuer, "sub": alice.subject, "aud": ["alpha.example"],
        "iat": iat, "exp": iat + 600, "jti": claims["jti"], "client_id": UE,
        "scope": "openid 3gpp:mc:ptt_service 3gpp:mc:data_service", "mc_id": "alice@alpha.example",
        "mcptt_id": "sip:alice@alpha.example", "mcdata_id": "sip:alice@alpha.example",
    });
    assert_eq!(claims, expected);
    let user = system.replica.verifier.verify(answer.access_token()).unwrap();
    assert_eq!(user.subject.as_str(), alice.subject);
    let seen = system.introspect(answer.access_token()).await;
    assert!(seen.active);
    assert_eq!((seen.subject.as_str(), seen.mc_id.as_str()), (alice.subject.as_str(), "alice@alpha.example"));
    assert_eq!(seen.token_id, claims["jti"].as_str().unwrap());
}

async fn code_is_worth_nothing_to_anybody_else(system: System) {
    let alice = system.user("alice").await;
    system.clients().create_client(create_client(client("other"))).await.unwrap();
    let agent = system.user_agent();
    let code = agent.code(&alice.mc_id, &[]).await;
    let other_verifier = VERIFIER.replace('d', "e");
    let wrong: [&[(&str, &str)]; 4] = [
        &[("client_id", "other")],
        &[("redirect_uri", "http://127.0.0.1:49153/callback")],
        &[("code_verifier", &other_verifier)],
        &[("code", "nobody-ever-got-this-code")],
    ];
    for changes in wrong {
        assert_eq!(agent.redeem_with(&code, changes).await.refusal(), CODE_REFUSED, "{changes:?}");
    }
    let without = agent.redeem_with(&code, &[("code_verifier", "")]).await;
    assert_eq!(without.refusal(), (400, "invalid_request", "code_verifier is required"));
    // And still it is worth something to whom it was given.
    assert_eq!(agent.redeem(&code).await.status, StatusCode::OK);
}

async fn code_that_is_used_twice_revokes_what_came_of_it(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let other_login = agent.log_in(&alice.mc_id).await;
    let code = agent.code(&alice.mc_id, &[]).await;
    let first = agent.redeem(&code).await;
    assert!(system.introspect(first.access_token()).await.active);
    assert_eq!(agent.redeem(&code).await.refusal(), CODE_REFUSED);
    assert!(!system.introspect(first.access_token()).await.active);
    assert_eq!(agent.refresh(first.refresh_token()).await.refusal(), REFRESH_REFUSED);
    assert!(system.introspect(other_login.access_token()).await.active, "another login was revoked too");
}

async fn code_waits_for_a_minute(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let (early, late) = (agent.code(&alice.mc_id, &[]).await, agent.code(&alice.mc_id, &[]).await);
    system.advance(Duration::from_secs(55));
    assert_eq!(agent.redeem(&early).await.status, StatusCode::OK);
    system.advance(Duration::from_secs(5));
    assert_eq!(agent.redeem(&late).await.refusal(), CODE_REFUSED);
}

async fn refresh_token_is_used_once(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let mut answer = agent.log_in(&alice.mc_id).await;
    for _ in 0..3 {
        let next = agent.refresh(answer.refresh_token()).await;
        assert_eq!(claims(next.access_token())["sub"], alice.subject);
        assert_ne!(next.refresh_token(), answer.refresh_token());
        answer = next;
    }
    system.clients().create_client(create_client(client("other"))).await.unwrap();
    let form =
        [("grant_type", "refresh_token"), ("client_id", "other"), ("refresh_token", answer.refresh_token())];
    assert_eq!(agent.token(&form).await.refusal(), REFRESH_REFUSED);
    assert_eq!(agent.refresh("nobody-ever-got-this").await.refusal(), REFRESH_REFUSED);
    assert_eq!(agent.refresh(answer.refresh_token()).await.status, StatusCode::OK);
}

async fn refresh_token_that_is_used_twice_revokes_the_login(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let first = agent.log_in(&alice.mc_id).await;
    let second = agent.refresh(first.refresh_token()).await;
    assert_eq!(agent.refresh(first.refresh_token()).await.refusal(), REFRESH_REFUSED);
    assert_eq!(agent.refresh(second.refresh_token()).await.refusal(), REFRESH_REFUSED);
    for token in [first.access_token(), second.access_token()] {
        assert!(!system.introspect(token).await.active);
    }
}

async fn refresh_asks_for_no_more_than_was_granted(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let answer = agent.log_in(&alice.mc_id).await;
    let refresh = |token: String, scope: &'static str| {
        let agent = &agent;
        async move {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", UE),
                ("refresh_token", &token),
                ("scope", scope),
            ];
            agent.token(&form).await
        }
    };
    let more = refresh(answer.refresh_token().to_owned(), "3gpp:mc:config_management_service").await;
    assert_eq!(more.refusal().1, "invalid_scope");
    let less = refresh(answer.refresh_token().to_owned(), "3gpp:mc:ptt_service").await;
    assert_eq!(less.text("scope"), "3gpp:mc:ptt_service");
    assert!(less.body["id_token"].is_null());
}

async fn session_ends_however_often_it_is_refreshed(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let mut answer = agent.log_in(&alice.mc_id).await;
    let almost_a_day = Duration::from_secs(24 * 3_600 - 60);
    for _ in 0..30 {
        system.advance(almost_a_day);
        answer = agent.refresh(answer.refresh_token()).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    system.advance(almost_a_day);
    assert_eq!(agent.refresh(answer.refresh_token()).await.refusal(), REFRESH_REFUSED);
    let unused = agent.log_in(&alice.mc_id).await;
    system.advance(Duration::from_secs(24 * 3_600));
    assert_eq!(agent.refresh(unused.refresh_token()).await.refusal(), REFRESH_REFUSED);
}

async fn disabled_user_gets_no_tokens_and_loses_those_she_has(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let code = agent.code(&alice.mc_id, &[]).await;
    let answer = agent.log_in(&alice.mc_id).await;
    let disabled = proto::Account { state: proto::AccountState::Disabled.into(), ..alice.clone() };
    let update = proto::UpdateAccountRequest { account: Some(disabled), ..Default::default() };
    let disabled = system.accounts().update_account(update).await.unwrap().into_inner().account.unwrap();
    assert!(!system.introspect(answer.access_token()).await.active);
    assert_eq!(agent.refresh(answer.refresh_token()).await.refusal(), REFRESH_REFUSED);
    assert_eq!(agent.redeem(&code).await.refusal(), CODE_REFUSED);
    assert_eq!(agent.login(&alice.mc_id, PASSWORD).await.status, StatusCode::FORBIDDEN);

    // Enabled again she logs in at once, in the same second.
    let enabled = proto::Account { state: proto::AccountState::Enabled.into(), ..disabled };
    let update = proto::UpdateAccountRequest { account: Some(enabled), ..Default::default() };
    system.accounts().update_account(update).await.unwrap();
    let again = agent.log_in(&alice.mc_id).await;
    assert!(system.introspect(again.access_token()).await.active);
    assert!(!system.introspect(answer.access_token()).await.active);
}

async fn revoked_tokens_are_worth_nothing(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let (one, two) = (agent.log_in(&alice.mc_id).await, agent.log_in(&alice.mc_id).await);
    // A client that is done with a refresh token is done with the login.
    assert_eq!(agent.revoke(one.refresh_token()).await, StatusCode::OK);
    assert!(!system.introspect(one.access_token()).await.active);
    assert_eq!(agent.refresh(one.refresh_token()).await.refusal(), REFRESH_REFUSED);
    // An access token goes alone.
    assert_eq!(agent.revoke(two.access_token()).await, StatusCode::OK);
    assert!(!system.introspect(two.access_token()).await.active);
    let two = agent.refresh(two.refresh_token()).await;
    assert!(system.introspect(two.access_token()).await.active);
    assert_eq!(agent.revoke("nobody-ever-got-this").await, StatusCode::OK);
    // Another client cannot revoke it.
    system.clients().create_client(create_client(client("other"))).await.unwrap();
    for token in [two.access_token(), two.refresh_token()] {
        let form = [("client_id", "other"), ("token", token)];
        let response = agent.http.post(agent.url("/revoke")).form(&form).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert!(system.introspect(two.access_token()).await.active);
    // All of a user at once.
    let request = proto::RevokeSubjectsRequest {
        subjects: vec![alice.subject, "nobody".to_owned()],
        ..Default::default()
    };
    let revoked = system.tokens().revoke_subjects(request).await.unwrap().into_inner();
    assert_eq!(revoked.revoked_count, 1);
    assert!(!system.introspect(two.access_token()).await.active);
    assert_eq!(agent.refresh(two.refresh_token()).await.refusal(), REFRESH_REFUSED);
}

async fn user_information_needs_a_good_token(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let answer = agent.log_in(&alice.mc_id).await;
    let information = agent.user_info(answer.access_token()).await;
    let expected = serde_json::json!({
        "sub": alice.subject, "mc_id": "alice@alpha.example", "mcptt_id": "sip:alice@alpha.example",
        "mcdata_id": "sip:alice@alpha.example",
    });
    assert_eq!(information.body, expected);
    for bad in ["", "garbage", answer.text("id_token")] {
        let refused = agent.user_info(bad).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
    }
    system.advance(Duration::from_secs(631));
    assert_eq!(agent.user_info(answer.access_token()).await.status, StatusCode::UNAUTHORIZED);
}

async fn confidential_client_proves_who_it_is(system: System) {
    let alice = system.user("alice").await;
    let secret = "0123456789abcdef0123456789abcdef";
    let confidential = proto::Client {
        authentication: proto::ClientAuthentication::SecretBasic.into(),
        ..client("back-office")
    };
    let request = proto::CreateClientRequest {
        secret: Some(proto::ClientSecret { value: secret.to_owned() }),
        ..create_client(confidential)
    };
    system.clients().create_client(request).await.unwrap();
    let agent = system.user_agent();
    let code = agent.code(&alice.mc_id, &[("client_id", "back-office")]).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    let as_public = agent.redeem_with(&code, &[("client_id", "back-office")]).await;
    assert_eq!(as_public.refusal().0, 401);
    let with = |name: &'static str, secret: &'static str| {
        agent.http.post(agent.token_endpoint()).basic_auth(name, Some(secret)).form(&form).send()
    };
    for (name, secret) in [("back-office", "wrong"), ("nobody", secret), (UE, secret)] {
        let refused = with(name, secret).await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    }
    assert_eq!(with("back-office", secret).await.unwrap().status(), StatusCode::OK);
}

/// The fields of a form.
type Form<'a> = &'a [(&'a str, &'a str)];

async fn malformed_token_requests_are_refused_with_their_error(system: System) {
    let agent = system.user_agent();
    let cases: [(Form<'_>, (u16, &str)); 9] = [
        (&[], (400, "invalid_request")),
        (&[("grant_type", "password"), ("client_id", UE)], (400, "unsupported_grant_type")),
        (&[("grant_type", "client_credentials"), ("client_id", UE)], (400, "unsupported_grant_type")),
        (&[("grant_type", "authorization_code")], (400, "invalid_request")),
        (&[("grant_type", "authorization_code"), ("client_id", "nobody")], (401, "invalid_client")),
        (&[("grant_type", "authorization_code"), ("client_id", UE)], (400, "invalid_request")),
        (&[("grant_type", "refresh_token"), ("client_id", UE), ("client_id", UE)], (400, "invalid_request")),
        (
            &[("grant_type", "refresh_token"), ("client_id", UE), ("client_secret", "x")],
            (400, "invalid_request"),
        ),
        (
            &[("grant_type", "refresh_token"), ("client_id", UE), ("refresh_token", "")],
            (400, "invalid_request"),
        ),
    ];
    for (form, (status, error)) in cases {
        let answer = agent.token(form).await;
        assert_eq!((answer.refusal().0, answer.refusal().1), (status, error), "{form:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let as_json = agent.http.post(agent.token_endpoint()).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!(as_json.status(), StatusCode::BAD_REQUEST);
    let too_large = "x".repeat(65 * 1024);
    let answer = agent.token(&[("grant_type", "refresh_token"), ("refresh_token", &too_large)]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let got = agent.http.get(agent.token_endpoint()).send().await.unwrap();
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
    // Entities verify on their own, and still may ask.
    let token = Some(proto::Token { value: "garbage".to_owned() });
    let mut as_entity =
        proto::token_service_client::TokenServiceClient::new(system.channel(Entity::McService));
    let seen =
        as_entity.introspect_token(proto::IntrospectTokenRequest { token }).await.unwrap().into_inner();
    assert_eq!(seen, proto::IntrospectTokenResponse::default());
}
