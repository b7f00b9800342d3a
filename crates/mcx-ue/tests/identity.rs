//! The identity management client before an OpenID provider that keeps a record.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mcx_federation::spiffe_server_client_config;
use mcx_testkit::TrustDomain;
use mcx_types::{Clock, ManualClock, McService, Timestamp};
use mcx_ue::identity::{
    Credentials, IdentityError, IdentityManagementClient, IdentitySettings, PartnerLogin, TokenSet,
    TokenSource,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use support::assert_shows_nothing;
use support::identity_server::{CLIENT_ID, IdentityServer, MC_ID, PASSWORD, REDIRECT_URI};

const SCOPES: [&str; 2] = ["openid", "3gpp:mc:ptt_service"];

struct Place {
    domain: TrustDomain,
    server: IdentityServer,
    clock: Arc<ManualClock>,
}

impl Place {
    async fn new(mc_system: &str, primary: Option<&Place>) -> Self {
        let domain = TrustDomain::new(mc_system);
        let server = IdentityServer::start(&domain, primary.map(|primary| &primary.server)).await;
        let clock = primary.map_or_else(
            || Arc::new(ManualClock::starting_at(Timestamp::from_micros(1_800_000_000_000_000))),
            |primary| Arc::clone(&primary.clock),
        );
        Self { domain, server, clock }
    }

    fn client(&self) -> IdentityManagementClient {
        self.client_believing(&self.domain)
    }

    fn client_believing(&self, domain: &TrustDomain) -> IdentityManagementClient {
        let tls = spiffe_server_client_config(domain.bundle_pem().as_bytes(), domain.mc_system_id()).unwrap();
        let issuer = self.server.state().issuer.clone();
        let settings = IdentitySettings {
            issuer,
            token_endpoint: self.server.token_endpoint(),
            client_id: CLIENT_ID.to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            deadline: Duration::from_secs(10),
        };
        IdentityManagementClient::new(tls, settings, self.clock()).unwrap()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::<ManualClock>::clone(&self.clock)
    }

    async fn log_in(&self) -> Result<TokenSet, IdentityError> {
        self.client().authenticate(&credentials(PASSWORD), &scopes()).await
    }

    async fn source(&self) -> TokenSource {
        TokenSource::new(self.client(), self.log_in().await.unwrap(), None, self.clock())
    }

    fn log(&self) -> Vec<String> {
        self.server.state().log.clone()
    }
}

fn credentials(password: &str) -> Credentials {
    Credentials { mc_id: MC_ID.parse().unwrap(), password: SecretString::from(password) }
}

fn scopes() -> Vec<String> {
    SCOPES.map(str::to_owned).into()
}

#[tokio::test]
async fn user_logs_in_through_the_login_page_and_is_known_by_her_id_token() {
    let alpha = Place::new("alpha.example", None).await;
    let tokens = alpha.log_in().await.unwrap();
    assert!(alpha.server.state().access_tokens.contains(tokens.access_token.expose_secret()));
    assert_eq!(tokens.subject.unwrap().as_str(), "7f9c");
    assert_eq!(
        tokens.mc_service_identities,
        [
            (McService::Ptt, "sip:alice@ptt.alpha.example".parse().unwrap()),
            (McService::Data, "sip:alice@data.alpha.example".parse().unwrap())
        ]
    );
    assert_eq!(tokens.expires_at, alpha.clock.now().saturating_add(Duration::from_secs(900)));
    assert_eq!(alpha.server.state().scopes, SCOPES);
}

#[tokio::test]
async fn wrong_password_is_told_as_such() {
    let alpha = Place::new("alpha.example", None).await;
    let refused = alpha.client().authenticate(&credentials("guess"), &scopes()).await.unwrap_err();
    assert!(matches!(refused, IdentityError::WrongCredentials), "{refused:?}");
    assert!(!refused.may_pass());
    assert_eq!(alpha.log(), [""; 0], "no token was asked for");
}

#[tokio::test]
async fn refusal_before_the_login_page_has_the_code_of_the_rfc() {
    let alpha = Place::new("alpha.example", None).await;
    let refused = alpha.client().authenticate(&credentials(PASSWORD), &["refused".to_owned()]).await;
    assert!(matches!(refused, Err(IdentityError::Refused { error, .. }) if error == "invalid_scope"));
}

#[tokio::test]
async fn id_token_that_is_not_to_be_believed_lets_nobody_in() {
    let cases = [
        ("iss", json!("https://idms.bravo.example")),
        ("aud", json!("other-client")),
        ("exp", json!(1_000_000_000)),
        ("nonce", json!("another")),
        ("nonce", Value::Null),
    ];
    for (claim, value) in cases {
        let alpha = Place::new("alpha.example", None).await;
        alpha.server.state().claims.insert(claim.to_owned(), value.clone());
        let refused = alpha.log_in().await.unwrap_err();
        assert!(matches!(refused, IdentityError::IdTokenNotBelieved(_)), "{claim} {value}: {refused:?}");
    }
    let alpha = Place::new("alpha.example", None).await;
    alpha.server.state().signs_with_foreign_key = true;
    let refused = alpha.log_in().await.unwrap_err();
    assert!(matches!(refused, IdentityError::IdTokenNotBelieved(_)), "{refused:?}");
}

#[tokio::test]
async fn password_is_never_sent_to_a_server_of_another_mc_system() {
    let alpha = Place::new("alpha.example", None).await;
    let bravo = TrustDomain::new("bravo.example");
    let impostor = TrustDomain::new("alpha.example");
    for believed in [&bravo, &impostor] {
        let client = alpha.client_believing(believed);
        let refused = client.authenticate(&credentials(PASSWORD), &scopes()).await.unwrap_err();
        assert!(matches!(refused, IdentityError::Unreachable { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn access_token_is_renewed_shortly_before_its_end_and_only_then() {
    let alpha = Place::new("alpha.example", None).await;
    let source = alpha.source().await;
    let first = source.access_token().await.unwrap();
    alpha.clock.advance(Duration::from_secs(869));
    assert_eq!(source.access_token().await.unwrap().expose_secret(), first.expose_secret());
    alpha.clock.advance(Duration::from_secs(1));
    let second = source.access_token().await.unwrap();
    assert_ne!(second.expose_secret(), first.expose_secret());
    // The refresh token counts once: the next renewal takes the one that came with the last.
    alpha.clock.advance(Duration::from_secs(900));
    source.access_token().await.unwrap();
    assert_eq!(alpha.log(), ["authorization_code", "refresh_token", "refresh_token"]);
    assert_eq!(source.tokens().await.subject.unwrap().as_str(), "7f9c", "who she is stays known");
}

#[tokio::test]
async fn many_calls_at_once_renew_once() {
    let alpha = Place::new("alpha.example", None).await;
    let source = alpha.source().await;
    alpha.clock.advance(Duration::from_secs(880));
    let tokens = futures::future::join_all((0..20).map(|_| source.access_token())).await;
    let tokens: std::collections::BTreeSet<String> =
        tokens.into_iter().map(|token| token.unwrap().expose_secret().to_owned()).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(alpha.log(), ["authorization_code", "refresh_token"]);
}

#[tokio::test]
async fn token_that_still_counts_is_used_while_the_server_is_away() {
    let alpha = Place::new("alpha.example", None).await;
    let source = alpha.source().await;
    alpha.server.state().away.insert("refresh_token".to_owned());
    alpha.clock.advance(Duration::from_secs(880));
    source.access_token().await.unwrap();
    alpha.clock.advance(Duration::from_secs(20));
    let refused = source.access_token().await.unwrap_err();
    let seven = Some(Duration::from_secs(7));
    assert!(
        matches!(refused, IdentityError::Unavailable { status: 503, retry_after, .. } if retry_after == seven),
        "{refused:?}"
    );
    alpha.server.state().away.clear();
    source.access_token().await.unwrap();
}

#[tokio::test]
async fn only_the_user_helps_when_the_refresh_token_no_longer_counts() {
    let alpha = Place::new("alpha.example", None).await;
    let source = alpha.source().await;
    alpha.server.state().refresh_tokens.clear();
    alpha.clock.advance(Duration::from_secs(900));
    let refused = source.access_token().await.unwrap_err();
    assert!(matches!(refused, IdentityError::LoginRequired), "{refused:?}");
}

#[tokio::test]
async fn security_token_of_the_primary_becomes_tokens_of_the_partner() {
    let alpha = Place::new("alpha.example", None).await;
    let bravo = Place::new("bravo.example", Some(&alpha)).await;
    alpha.server.state().targets.insert(bravo.server.token_endpoint());
    let primary = alpha.source().await;
    let access_token = primary.access_token().await.unwrap();
    let security_token =
        alpha.client().exchange(&access_token, &bravo.server.token_endpoint()).await.unwrap();
    let tokens = bravo.client().redeem(security_token, &scopes()).await.unwrap();
    assert!(bravo.server.state().access_tokens.contains(tokens.access_token.expose_secret()));

    // Its refresh token is lost: the way through the primary is gone again.
    let resource = bravo.server.token_endpoint();
    let login = PartnerLogin { primary, resource, scopes: scopes() };
    let source = TokenSource::new(bravo.client(), tokens, Some(login), bravo.clock());
    bravo.server.state().refresh_tokens.clear();
    alpha.clock.advance(Duration::from_secs(880));
    let renewed = source.access_token().await.unwrap();
    assert!(bravo.server.state().access_tokens.contains(renewed.expose_secret()));
    assert_eq!(bravo.log(), ["jwt-bearer", "refresh_token", "jwt-bearer"]);
    let at_alpha = ["authorization_code", "token-exchange", "refresh_token", "token-exchange"];
    assert_eq!(alpha.log(), at_alpha);
}

#[tokio::test]
async fn each_refusal_on_the_way_to_a_partner_is_told_apart() {
    let alpha = Place::new("alpha.example", None).await;
    let bravo = Place::new("bravo.example", Some(&alpha)).await;
    let resource = bravo.server.token_endpoint();
    let tokens = alpha.log_in().await.unwrap();
    let client = alpha.client();

    let refused = client.exchange(&tokens.access_token, &resource).await.unwrap_err();
    assert!(
        matches!(&refused, IdentityError::InvalidTarget { description } if description == "because of invalid_target"),
        "{refused:?}"
    );
    alpha.server.state().targets.insert(resource.clone());
    let refused = client.exchange(&"forged".into(), &resource).await.unwrap_err();
    assert!(matches!(refused, IdentityError::InvalidGrant { .. }), "{refused:?}");

    // Made out to somebody else.
    let elsewhere = "https://idms.charlie.example/token";
    alpha.server.state().targets.insert(elsewhere.to_owned());
    let foreign = client.exchange(&tokens.access_token, elsewhere).await.unwrap();
    let refused = bravo.client().redeem(foreign, &scopes()).await.unwrap_err();
    assert!(matches!(refused, IdentityError::InvalidGrant { .. }), "{refused:?}");
}

#[tokio::test]
async fn revoked_tokens_no_longer_count() {
    let alpha = Place::new("alpha.example", None).await;
    let tokens = alpha.log_in().await.unwrap();
    alpha.client().revoke(&tokens).await.unwrap();
    let state = alpha.server.state();
    assert!(state.access_tokens.is_empty() && state.refresh_tokens.is_empty());
}

#[tokio::test]
async fn secrets_are_in_no_print_of_anything() {
    let alpha = Place::new("alpha.example", None).await;
    let tokens = alpha.log_in().await.unwrap();
    let access_token = tokens.access_token.expose_secret().to_owned();
    alpha.server.state().targets.insert("https://x/token".to_owned());
    let security_token = alpha.client().exchange(&tokens.access_token, "https://x/token").await.unwrap();
    let refused = alpha.client().refresh(&"secret-refresh-forged".into()).await.unwrap_err();
    let printed = format!("{tokens:?} {security_token:?} {refused:?} {refused} {:?}", credentials(PASSWORD));
    assert_shows_nothing(&printed, &[&access_token, PASSWORD, "secret-"]);
}
