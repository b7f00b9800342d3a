//! A user of one MC system exchanges her token there and uses what she gets in the other. TS 33.180 C.2 steps 6 to 8.

use std::time::Duration;

use identity_management::client::{IdentityManagementClient, IdentityManagementError};
use jsonwebtoken::Algorithm;
use mcx_proto::identity::v1 as proto;
use mcx_types::{Clock, Entity};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{UE, client, create_client, identities};
use crate::user_agent::{UserAgent, claims};
use crate::visit::{ASSERTION_REFUSED, Visit, on_every_database};

on_every_database!(
    visitor_gets_tokens_of_the_partner,
    security_token_is_for_one_partner_and_one_client,
    user_without_target_cannot_exchange,
    each_bad_access_token_is_refused_by_the_exchange,
    security_token_is_taken_once,
    of_many_who_bring_one_token_one_is_let_in,
    each_bad_security_token_is_refused_alike,
    visitor_who_is_not_mapped_any_more_is_refused,
    mapping_ends_in_time,
    changed_mapping_voids_what_said_otherwise,
    scopes_are_no_more_than_mapped_and_trusted,
    typed_client_tells_errors_apart,
);

async fn visitor_gets_tokens_of_the_partner(visit: Visit) {
    let answer = visit.arrive().await;
    let claims = claims(answer.access_token());
    let iat = claims["iat"].as_i64().unwrap();
    let expected = json!({
        "iss": visit.bravo.replica.issuer, "sub": claims["sub"], "aud": ["bravo.example"], "iat": iat, "exp": iat + 600,
        "jti": claims["jti"], "client_id": UE, "scope": "openid 3gpp:mc:ptt_service 3gpp:mc:data_service",
        "mcptt_id": "sip:visitor-17@bravo.example", "mcdata_id": "sip:visitor-17@bravo.example",
        "primary": { "iss": visit.alpha.replica.issuer, "mc_system_id": "alpha.example" },
        "migration_id": visit.migration_id.to_string(),
    });
    assert_eq!(claims, expected);
    assert_ne!(claims["sub"], visit.alice.subject.as_str());
    let user = visit.bravo.replica.verifier.verify(answer.access_token()).unwrap();
    assert_eq!(user.visitor_of.as_ref().map(|system| system.as_str()), Some("alpha.example"));
    let seen = visit.bravo.introspect(answer.access_token()).await;
    assert_eq!(
        (seen.active, seen.primary_mc_system_id.as_str(), seen.mc_id.as_str()),
        (true, "alpha.example", "")
    );
    // She is worth nothing at home with it.
    assert!(visit.alpha.replica.verifier.verify(answer.access_token()).is_err());
    let refreshed = visit.bravo.user_agent().refresh(answer.refresh_token()).await;
    assert_eq!(self::claims(refreshed.access_token())["migration_id"], visit.migration_id.to_string());
    // How and when she proved who she is nobody here has seen.
    for answer in [&answer, &refreshed] {
        let id_token = self::claims(answer.text("id_token"));
        assert_eq!(id_token["mcptt_id"], "sip:visitor-17@bravo.example");
        assert_eq!((id_token.get("acr"), id_token.get("auth_time")), (None, None));
    }
}

async fn security_token_is_for_one_partner_and_one_client(visit: Visit) {
    let agent = visit.alpha.user_agent();
    let tokens = agent.log_in(&visit.alice.mc_id).await;
    let exchanged = agent.exchange(tokens.access_token(), &visit.resource()).await;
    assert_eq!(exchanged.text("issued_token_type"), "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!((exchanged.text("token_type"), exchanged.body["expires_in"].as_u64()), ("N_A", Some(300)));
    assert_eq!(exchanged.headers["cache-control"], "no-store");
    let claims = claims(exchanged.access_token());
    assert_eq!(claims["aud"], json!([UE, visit.resource()]));
    assert_eq!(claims["sub"], visit.alice.subject.as_str());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    let header = jsonwebtoken::decode_header(exchanged.access_token()).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("JWT")));
    // It is no access token, neither here nor there.
    assert!(visit.alpha.replica.verifier.verify(exchanged.access_token()).is_err());
    assert!(visit.bravo.replica.verifier.verify(exchanged.access_token()).is_err());
    // `audience` will do too.
    let form = |name: &'static str, value: String| {
        [
            ("grant_type".to_owned(), crate::user_agent::TOKEN_EXCHANGE.to_owned()),
            ("client_id".to_owned(), UE.to_owned()),
            ("subject_token".to_owned(), tokens.access_token().to_owned()),
            ("subject_token_type".to_owned(), crate::user_agent::ACCESS_TOKEN.to_owned()),
            (name.to_owned(), value),
        ]
    };
    let by_audience = form("audience", visit.resource());
    let response = agent.http.post(agent.token_endpoint()).form(&by_audience).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

async fn user_without_target_cannot_exchange(visit: Visit) {
    let bob = visit.alpha.user("bob").await;
    let agent = visit.alpha.user_agent();
    let tokens = agent.log_in(&bob.mc_id).await;
    assert_eq!(agent.exchange(tokens.access_token(), &visit.resource()).await.refusal().1, "invalid_target");
    let tokens = agent.log_in(&visit.alice.mc_id).await;
    for elsewhere in ["https://idms.charlie.example/token", &visit.bravo.replica.issuer, "x"] {
        let refused = agent.exchange(tokens.access_token(), elsewhere).await;
        assert_eq!(refused.refusal(), (400, "invalid_target", "the user may not migrate there"));
    }
    // A right that ends, ends.
    let until = visit.alpha.ground.clock.now().saturating_add(Duration::from_secs(60));
    let target = proto::ExchangeTarget { valid_until: Some(until.into()), ..visit.target() };
    visit.at_alpha().put_exchange_targets(vec![target]).await.unwrap();
    let exchanged = agent.exchange(tokens.access_token(), &visit.resource()).await;
    assert!(exchanged.body["expires_in"].as_u64().unwrap() <= 60);
    visit.alpha.advance(Duration::from_secs(60));
    assert_eq!(agent.exchange(tokens.access_token(), &visit.resource()).await.refusal().1, "invalid_target");
    visit.at_alpha().put_exchange_targets(vec![visit.target()]).await.unwrap();
    assert_eq!(visit.at_alpha().delete_exchange_targets([visit.migration_id]).await, Ok(1));
    assert_eq!(agent.exchange(tokens.access_token(), &visit.resource()).await.refusal().1, "invalid_target");
}

async fn each_bad_access_token_is_refused_by_the_exchange(visit: Visit) {
    const REFUSED: (u16, &str, &str) = (400, "invalid_request", "the subject token is not valid");
    let agent = visit.alpha.user_agent();
    let resource = visit.resource();
    let tokens = agent.log_in(&visit.alice.mc_id).await;
    let exchanged = agent.exchange(tokens.access_token(), &resource).await;
    let visiting = visit.bravo.user_agent().bring(exchanged.access_token()).await;
    let altered = {
        let mut parts: Vec<&str> = tokens.access_token().split('.').collect();
        let other = agent.log_in(&visit.alice.mc_id).await.access_token().to_owned();
        let payload = other.split('.').nth(1).unwrap().to_owned();
        parts[1] = &payload;
        parts.join(".")
    };
    for (name, token) in [
        ("garbage", "garbage"),
        ("an ID token", tokens.text("id_token")),
        ("a security token", exchanged.access_token()),
        ("a token of the partner", visiting.access_token()),
        ("an altered token", &altered),
    ] {
        assert_eq!(agent.exchange(token, &resource).await.refusal(), REFUSED, "{name}");
    }
    visit.alpha.clients().create_client(create_client(client("other"))).await.unwrap();
    let as_other = agent
        .token(&[
            ("grant_type", crate::user_agent::TOKEN_EXCHANGE),
            ("client_id", "other"),
            ("subject_token", tokens.access_token()),
            ("subject_token_type", crate::user_agent::ACCESS_TOKEN),
            ("resource", &resource),
        ])
        .await;
    assert_eq!(as_other.refusal(), REFUSED);
    agent.revoke(tokens.access_token()).await;
    assert_eq!(agent.exchange(tokens.access_token(), &resource).await.refusal(), REFUSED, "revoked");
    let tokens = agent.log_in(&visit.alice.mc_id).await;
    visit.alpha.advance(Duration::from_secs(631));
    assert_eq!(agent.exchange(tokens.access_token(), &resource).await.refusal(), REFUSED, "expired");
}

async fn security_token_is_taken_once(visit: Visit) {
    let token = visit.security_token().await;
    let agent = visit.bravo.user_agent();
    let first = agent.bring(&token).await;
    assert_eq!(agent.bring(&token).await.refusal(), ASSERTION_REFUSED);
    // Whoever came second did no harm to who came first.
    assert!(visit.bravo.introspect(first.access_token()).await.active);
    visit.bravo.advance(Duration::from_secs(329));
    assert_eq!(agent.bring(&token).await.refusal(), ASSERTION_REFUSED);
}

async fn of_many_who_bring_one_token_one_is_let_in(visit: Visit) {
    let token = visit.security_token().await;
    let agent = visit.bravo.user_agent();
    let answers = futures::future::join_all((0..8).map(|_| agent.bring(&token))).await;
    let let_in = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(let_in, 1);
    let refused = answers.iter().filter(|answer| answer.status != StatusCode::OK);
    // SQLite and Postgres let them wait for each other; none is told anything but that.
    assert!(refused.into_iter().all(|answer| answer.refusal() == ASSERTION_REFUSED), "{answers:?}");
}

async fn each_bad_security_token_is_refused_alike(visit: Visit) {
    let agent = visit.bravo.user_agent();
    let now = visit.bravo.ground.clock.now().as_micros() / 1_000_000;
    let longest = visit.forged(|_, claims| claims["exp"] = json!(now + 300)).await;
    assert_eq!(agent.bring(&longest).await.status, StatusCode::OK, "the forgery is good");

    let good = visit.security_token().await;
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    let (_, rest) = good.split_once('.').unwrap();
    let header = |text: &str| {
        use base64::Engine as _;
        format!("{}.{rest}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text))
    };
    let access_token = visit.alpha.user_agent().log_in(&visit.alice.mc_id).await.access_token().to_owned();
    let own_access_token = agent.bring(&visit.security_token().await).await.access_token().to_owned();
    let charlie = json!("https://idms.charlie.example");
    let tokens = [
        ("nothing", "x".to_owned()),
        ("garbage", "a.b.c".to_owned()),
        ("without signature", unsigned),
        ("alg none", header(r#"{"alg":"none","typ":"JWT"}"#)),
        ("access token of the primary", access_token),
        ("access token of the partner", own_access_token),
        ("HS256", visit.forged(|header, _| header.alg = Algorithm::HS256).await),
        ("unknown kid", visit.forged(|header, _| header.kid = Some("other".to_owned())).await),
        ("no kid", visit.forged(|header, _| header.kid = None).await),
        ("typ at+jwt", visit.forged(|header, _| header.typ = Some("at+jwt".to_owned())).await),
        ("unknown issuer", visit.forged(|_, claims| claims["iss"] = charlie.clone()).await),
        (
            "partner as issuer",
            visit.forged(|_, claims| claims["iss"] = json!(visit.bravo.replica.issuer)).await,
        ),
        ("other audience", visit.forged(|_, claims| claims["aud"][1] = charlie.clone()).await),
        ("other client", visit.forged(|_, claims| claims["aud"][0] = json!("other")).await),
        ("another user", visit.forged(|_, claims| claims["sub"] = json!("mallory")).await),
        (
            "expired",
            visit
                .forged(|_, claims| (claims["iat"], claims["exp"]) = (json!(now - 300), json!(now - 30)))
                .await,
        ),
        (
            "of the future",
            visit
                .forged(|_, claims| (claims["iat"], claims["exp"]) = (json!(now + 32), json!(now + 60)))
                .await,
        ),
        ("valid too long", visit.forged(|_, claims| claims["exp"] = json!(now + 301)).await),
        ("no jti", visit.forged(|_, claims| claims["jti"] = Value::Null).await),
    ];
    for (name, token) in tokens {
        assert_eq!(agent.bring(&token).await.refusal(), ASSERTION_REFUSED, "{name}");
    }
    // Of a client that is not the one it was made out to.
    visit.bravo.clients().create_client(create_client(client("other"))).await.unwrap();
    let form =
        [("grant_type", crate::user_agent::JWT_BEARER), ("client_id", "other"), ("assertion", good.as_str())];
    assert_eq!(agent.token(&form).await.refusal(), ASSERTION_REFUSED);
    // The trust ends with the key.
    let get = proto::GetPartnerTrustRequest { mc_system_id: "alpha.example".to_owned() };
    let mut trust = visit
        .bravo
        .partner_trusts()
        .get_partner_trust(get)
        .await
        .unwrap()
        .into_inner()
        .partner_trust
        .unwrap();
    let kid = jsonwebtoken::decode_header(&good).unwrap().kid.unwrap();
    trust.keys.retain(|key| key.kid != kid);
    let put = proto::PutPartnerTrustRequest { partner_trust: Some(trust), ..Default::default() };
    visit.bravo.partner_trusts().put_partner_trust(put).await.unwrap();
    assert_eq!(agent.bring(&good).await.refusal(), ASSERTION_REFUSED, "key taken away");
}

async fn visitor_who_is_not_mapped_any_more_is_refused(visit: Visit) {
    let arrived = visit.arrive().await;
    let token = visit.security_token().await;
    assert_eq!(visit.at_bravo().delete_visitors([visit.migration_id]).await, Ok(1));
    let agent = visit.bravo.user_agent();
    assert!(!visit.bravo.introspect(arrived.access_token()).await.active);
    assert!(visit.bravo.replica.verifier.verify(arrived.access_token()).is_err());
    assert_eq!(agent.refresh(arrived.refresh_token()).await.refusal().1, "invalid_grant");
    assert_eq!(agent.bring(&token).await.refusal(), ASSERTION_REFUSED);
    // Accepted once more, she comes in at once, in the same second.
    visit.at_bravo().put_visitors(vec![visit.visitor.clone()]).await.unwrap();
    let again = visit.arrive().await;
    assert!(visit.bravo.introspect(again.access_token()).await.active);
    // All of hers can be revoked by her migration.
    assert_eq!(visit.at_bravo().revoke_subjects([], [visit.migration_id]).await, Ok(1));
    assert!(!visit.bravo.introspect(again.access_token()).await.active);
}

async fn mapping_ends_in_time(visit: Visit) {
    let until = visit.bravo.ground.clock.now().saturating_add(Duration::from_secs(120));
    let visitor = proto::Visitor { valid_until: Some(until.into()), ..visit.visitor.clone() };
    visit.at_bravo().put_visitors(vec![visitor]).await.unwrap();
    let arrived = visit.arrive().await;
    let expires_in = arrived.body["expires_in"].as_u64().unwrap();
    assert!(expires_in <= 120, "{expires_in}");
    let late = visit.security_token().await;
    visit.bravo.advance(Duration::from_secs(120));
    let agent = visit.bravo.user_agent();
    assert_eq!(agent.refresh(arrived.refresh_token()).await.refusal().1, "invalid_grant");
    assert_eq!(agent.bring(&late).await.refusal(), ASSERTION_REFUSED);
}

async fn changed_mapping_voids_what_said_otherwise(visit: Visit) {
    let arrived = visit.arrive().await;
    let mut other = visit.visitor.clone();
    other.mc_service_identities = identities("visitor-18", "bravo.example");
    visit.at_bravo().put_visitors(vec![other]).await.unwrap();
    assert!(!visit.bravo.introspect(arrived.access_token()).await.active);
    let again = visit.arrive().await;
    assert_eq!(claims(again.access_token())["mcptt_id"], "sip:visitor-18@bravo.example");
}

async fn scopes_are_no_more_than_mapped_and_trusted(visit: Visit) {
    let agent: UserAgent = visit.bravo.user_agent();
    let with_scope = |assertion: String, scope: &'static str| {
        let agent = &agent;
        async move {
            agent
                .token(&[
                    ("grant_type", crate::user_agent::JWT_BEARER),
                    ("client_id", UE),
                    ("assertion", &assertion),
                    ("scope", scope),
                ])
                .await
        }
    };
    let all = "3gpp:mc:ptt_service 3gpp:mc:video_service 3gpp:mc:config_management_service";
    let answer = with_scope(visit.security_token().await, all).await;
    assert_eq!(answer.text("scope"), "3gpp:mc:ptt_service");
    let none = with_scope(visit.security_token().await, "3gpp:mc:config_management_service").await;
    assert_eq!(none.refusal(), (400, "invalid_scope", "the user may have none of the scopes"));
    // The operator trusts the primary less: what comes next is less.
    let get = proto::GetPartnerTrustRequest { mc_system_id: "alpha.example".to_owned() };
    let mut trust = visit
        .bravo
        .partner_trusts()
        .get_partner_trust(get)
        .await
        .unwrap()
        .into_inner()
        .partner_trust
        .unwrap();
    trust.allowed_scopes = vec!["3gpp:mc:data_service".to_owned()];
    let put = proto::PutPartnerTrustRequest { partner_trust: Some(trust), ..Default::default() };
    visit.bravo.partner_trusts().put_partner_trust(put).await.unwrap();
    let refused = agent.refresh(answer.refresh_token()).await;
    assert_eq!(refused.refusal().1, "invalid_grant");
    let less = agent.bring(&visit.security_token().await).await;
    assert_eq!(less.text("scope"), "openid 3gpp:mc:data_service");
}

async fn typed_client_tells_errors_apart(visit: Visit) {
    let keys = visit.at_alpha().json_web_key_set().await.unwrap();
    assert_eq!((keys.issuer.as_str(), keys.keys.len()), (visit.alpha.replica.issuer.as_str(), 2));
    assert_eq!(keys.token_endpoint, format!("{}/token", visit.alpha.replica.issuer));
    let alice = visit.alice.mc_id.parse().unwrap();
    let resolved = visit.at_alpha().resolve_accounts([&alice]).await.unwrap();
    assert_eq!(resolved.accounts[0].subject, visit.alice.subject);

    let untrusted =
        proto::Visitor { primary_mc_system_id: "charlie.example".to_owned(), ..visit.visitor.clone() };
    let refused = visit.at_bravo().put_visitors(vec![untrusted]).await.unwrap_err();
    assert!(matches!(refused, IdentityManagementError::TrustMissing(_)), "{refused}");
    let nobody = proto::ExchangeTarget { subject: "nobody".to_owned(), ..visit.target() };
    let refused = visit.at_alpha().put_exchange_targets(vec![nobody]).await.unwrap_err();
    assert!(matches!(refused, IdentityManagementError::AccountUnknown(_)), "{refused}");
    let second = proto::Visitor { migration_id: Uuid::new_v4().to_string(), ..visit.visitor.clone() };
    let refused = visit.at_bravo().put_visitors(vec![second]).await.unwrap_err();
    assert!(matches!(refused, IdentityManagementError::IdentityTaken(_)), "{refused}");
    let domain = &visit.alpha.ground.domain;
    let nowhere = ([127, 0, 0, 1], 1).into();
    let channel =
        domain.channel(domain.entity(Entity::MigrationManagement), Entity::IdentityManagement, nowhere);
    let away =
        IdentityManagementClient::new(channel, Duration::from_secs(10)).json_web_key_set().await.unwrap_err();
    assert!(matches!(away, IdentityManagementError::Unavailable(_)), "{away}");
}
