//! Which tokens are taken, and which are not.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use mcx_types::ManualClock;
use rcgen::KeyPair;

use super::*;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://idms.alpha.example";
const KID: &str = "2027-01";

struct Issuer {
    key: KeyPair,
    clock: Arc<ManualClock>,
    verifier: AccessTokenVerifier,
}

impl Issuer {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::starting_at(moment(NOW)));
        let verifier = AccessTokenVerifier::new("alpha.example".parse().unwrap(), Arc::clone(&clock) as _);
        let issuer = Self { key: KeyPair::generate().unwrap(), clock, verifier };
        issuer.believe(RevokedTokens::default());
        issuer
    }

    fn believe(&self, revoked: RevokedTokens) {
        let key = TokenKey::from_sec1(KID, self.key.public_key_raw()).unwrap();
        self.verifier.replace_trust(TokenTrust { issuer: ISSUER.to_owned(), keys: vec![key], revoked });
    }

    fn encoding_key(&self) -> EncodingKey {
        EncodingKey::from_ec_der(&self.key.serialize_der())
    }

    fn sign(&self, change: impl FnOnce(&mut Header, &mut AccessTokenClaims)) -> String {
        let (mut header, mut claims) = (header(), claims());
        change(&mut header, &mut claims);
        encode(&header, &claims, &self.encoding_key()).unwrap()
    }

    fn refusal(&self, token: &str) -> TokenRefusal {
        self.verifier.verify(token).unwrap_err()
    }
}

fn header() -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
    header.kid = Some(KID.to_owned());
    header
}

fn claims() -> AccessTokenClaims {
    AccessTokenClaims {
        iss: ISSUER.to_owned(),
        sub: "7f9c".parse().unwrap(),
        aud: vec!["alpha.example".to_owned()],
        exp: NOW + 300,
        iat: NOW,
        nbf: None,
        jti: "token-1".to_owned(),
        client_id: "mcx-ue".to_owned(),
        scope: "openid 3gpp:mc:ptt_service something_else".to_owned(),
        mc_id: Some("alice@alpha.example".parse().unwrap()),
        mcptt_id: Some("sip:alice@ptt.alpha.example".parse().unwrap()),
        mcvideo_id: None,
        mcdata_id: Some("sip:alice@data.alpha.example".parse().unwrap()),
        primary: None,
        migration_id: None,
    }
}

/// A token of these JSON texts, with whatever stands for its signature.
fn token_of(header: &str, claims: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn good_token_tells_who_calls() {
    let issuer = Issuer::new();
    let user = issuer.verifier.verify(&issuer.sign(|_, _| {})).unwrap();
    assert_eq!(user.subject.as_str(), "7f9c");
    assert_eq!(user.mc_id.as_ref().map(AsRef::as_ref), Some("alice@alpha.example"));
    assert_eq!((user.client_id.as_str(), user.token_id.as_str()), ("mcx-ue", "token-1"));
    assert_eq!(user.scopes, BTreeSet::from([Scope::OpenId, Scope::PttService]));
    assert_eq!(user.service_ids.keys().copied().collect::<Vec<_>>(), [McService::Ptt, McService::Data]);
    assert_eq!(user.visitor_of, None);
    assert_eq!((user.issued_at, user.expires_at), (moment(NOW), moment(NOW + 300)));
}

#[test]
fn visitor_comes_from_her_primary_system() {
    let issuer = Issuer::new();
    let token = issuer.sign(|_, claims| {
        let iss = "https://idms.bravo.example".to_owned();
        claims.primary = Some(PrimaryClaim { iss, mc_system_id: "bravo.example".parse().unwrap() });
        claims.mc_id = None;
    });
    let user = issuer.verifier.verify(&token).unwrap();
    assert_eq!(user.visitor_of, Some("bravo.example".parse().unwrap()));
    assert_eq!(user.mc_id, None);
}

#[test]
fn each_bad_token_is_refused_for_what_is_bad_about_it() {
    let issuer = Issuer::new();
    let good = issuer.sign(|_, _| {});
    let stranger = Issuer::new();
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    let (_, signature) =
        stranger.sign(|_, _| {}).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let malformed = |reason| TokenRefusal::Malformed { reason };
    let no_header = malformed("the header cannot be read");
    let no_claims = malformed("the claims or the signature cannot be read");
    let claims_json = serde_json::to_string(&claims()).unwrap();
    let sign = |change: fn(&mut Header, &mut AccessTokenClaims)| issuer.sign(change);
    let public_key_as_secret = {
        let mut header = header();
        header.alg = Algorithm::HS256;
        encode(&header, &claims(), &EncodingKey::from_secret(issuer.key.public_key_raw())).unwrap()
    };
    let cases = [
        ("nothing", String::new(), no_header.clone()),
        ("dots", "..".to_owned(), no_header.clone()),
        ("garbage", "a.b\u{0}ü.c".to_owned(), no_header.clone()),
        ("truncated in the claims", good[..good.len() / 2].to_owned(), no_header.clone()),
        ("truncated in the signature", good[..good.len() - 2].to_owned(), TokenRefusal::WrongSignature),
        ("without its signature", format!("{unsigned}."), TokenRefusal::WrongSignature),
        ("signed with another key", format!("{unsigned}.{signature}"), TokenRefusal::WrongSignature),
        (
            "alg none",
            token_of(&format!(r#"{{"typ":"at+jwt","alg":"none","kid":"{KID}"}}"#), &claims_json, ""),
            no_header,
        ),
        ("HS256 with the public key as the secret", public_key_as_secret, TokenRefusal::WrongAlgorithm),
        (
            "RS256",
            token_of(&format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"{KID}"}}"#), &claims_json, "AAAA"),
            TokenRefusal::WrongAlgorithm,
        ),
        (
            "ES384",
            token_of(&format!(r#"{{"typ":"at+jwt","alg":"ES384","kid":"{KID}"}}"#), &claims_json, "AAAA"),
            TokenRefusal::WrongAlgorithm,
        ),
        ("an id token", sign(|header, _| header.typ = Some("JWT".to_owned())), TokenRefusal::WrongType),
        ("no type", sign(|header, _| header.typ = None), TokenRefusal::WrongType),
        ("unknown key", sign(|header, _| header.kid = Some("2026-12".to_owned())), TokenRefusal::UnknownKey),
        ("no key", sign(|header, _| header.kid = None), TokenRefusal::UnknownKey),
        (
            "critical extension",
            sign(|header, _| header.crit = Some(vec!["b64".to_owned()])),
            malformed("the header has critical extensions"),
        ),
        (
            "other issuer",
            sign(|_, claims| claims.iss = "https://idms.bravo.example".to_owned()),
            TokenRefusal::WrongIssuer,
        ),
        (
            "other audience",
            sign(|_, claims| claims.aud = vec!["bravo.example".to_owned(), "alpha.example.org".to_owned()]),
            TokenRefusal::WrongAudience,
        ),
        ("no audience", sign(|_, claims| claims.aud.clear()), TokenRefusal::WrongAudience),
        ("expired", sign(|_, claims| claims.exp = NOW - 30), TokenRefusal::Expired { at: moment(NOW - 30) }),
        ("of the future", sign(|_, claims| claims.iat = NOW + 31), TokenRefusal::NotYetValid),
        ("valid later", sign(|_, claims| claims.nbf = Some(NOW + 31)), TokenRefusal::NotYetValid),
        (
            "the end of time",
            sign(|_, claims| (claims.iat, claims.exp) = (i64::MIN, i64::MIN)),
            TokenRefusal::Expired { at: moment(i64::MIN) },
        ),
        ("the other end of time", sign(|_, claims| claims.iat = i64::MAX), TokenRefusal::NotYetValid),
    ];
    for (name, token, expected) in cases {
        assert_eq!(issuer.refusal(&token), expected, "{name}");
    }

    // Signed, and yet not the claims of an access token.
    for claims in ["null", "[]", "{}", r#"{"sub":7}"#] {
        let claims: serde_json::Value = serde_json::from_str(claims).unwrap();
        let token = encode(&header(), &claims, &issuer.encoding_key()).unwrap();
        assert_eq!(issuer.refusal(&token), no_claims, "{claims}");
    }
}

#[test]
fn clocks_may_be_half_a_minute_apart() {
    let issuer = Issuer::new();
    let token = issuer.sign(|_, claims| {
        (claims.iat, claims.nbf, claims.exp) = (NOW + 30, Some(NOW + 30), NOW + 60);
    });
    assert!(issuer.verifier.verify(&token).is_ok());
    issuer.clock.advance(Duration::from_secs(89));
    assert!(issuer.verifier.verify(&token).is_ok());
    issuer.clock.advance(Duration::from_secs(1));
    assert_eq!(issuer.refusal(&token), TokenRefusal::Expired { at: moment(NOW + 60) });
}

#[test]
fn revoked_token_is_refused_and_others_of_the_user_are_not() {
    let issuer = Issuer::new();
    issuer.believe(RevokedTokens { token_ids: ["token-1".to_owned()].into(), ..Default::default() });
    let revoked = issuer.sign(|_, _| {});
    assert_eq!(issuer.refusal(&revoked), TokenRefusal::Revoked { token_id: "token-1".to_owned() });
    assert!(issuer.verifier.verify(&issuer.sign(|_, claims| claims.jti = "token-2".to_owned())).is_ok());
}

#[test]
fn revoked_user_is_refused_with_all_tokens_up_to_that_second() {
    let issuer = Issuer::new();
    let subject: Subject = "7f9c".parse().unwrap();
    let early_in_this_second = Timestamp::from_micros(NOW * 1_000_000 + 1);
    issuer
        .believe(RevokedTokens { subjects: [(subject, early_in_this_second)].into(), ..Default::default() });
    let issued = |second| issuer.sign(move |_, claims| claims.iat = second);
    for second in [NOW - 100, NOW - 1, NOW] {
        assert!(matches!(issuer.refusal(&issued(second)), TokenRefusal::Revoked { .. }), "{second}");
    }
    assert!(issuer.verifier.verify(&issued(NOW + 1)).is_ok());
    let somebody_else = issuer.sign(|_, claims| claims.sub = "8a00".parse().unwrap());
    assert!(issuer.verifier.verify(&somebody_else).is_ok());
}

#[test]
fn revocations_are_added_to_what_was_believed_and_the_later_moment_counts() {
    let issuer = Issuer::new();
    let subject: Subject = "7f9c".parse().unwrap();
    let until = |second: i64| Timestamp::from_micros(second * 1_000_000);
    let user =
        |second| RevokedTokens { subjects: [(subject.clone(), until(second))].into(), ..Default::default() };
    let token = |id: &str| RevokedTokens { token_ids: [id.to_owned()].into(), ..Default::default() };
    issuer.believe(token("token-2"));
    issuer.verifier.revoke(user(NOW - 10));
    issuer.verifier.revoke(user(NOW - 20));
    issuer.verifier.revoke(token("token-3"));
    let issued = |id: &'static str, second| {
        issuer.sign(move |_, claims| (claims.jti, claims.iat) = (id.to_owned(), second))
    };
    for void in [issued("token-2", NOW), issued("token-3", NOW), issued("token-1", NOW - 10)] {
        assert!(matches!(issuer.refusal(&void), TokenRefusal::Revoked { .. }));
    }
    assert!(issuer.verifier.verify(&issued("token-1", NOW - 9)).is_ok());
}

#[test]
fn forged_token_never_learns_that_it_is_revoked_or_expired() {
    let issuer = Issuer::new();
    issuer.believe(RevokedTokens { token_ids: ["token-1".to_owned()].into(), ..Default::default() });
    let forged = Issuer::new().sign(|_, claims| claims.exp = NOW - 100);
    assert_eq!(issuer.refusal(&forged), TokenRefusal::WrongSignature);
}

#[test]
fn nothing_is_believed_before_the_keys_are_known() {
    let clock = Arc::new(ManualClock::starting_at(moment(NOW)));
    let verifier = AccessTokenVerifier::new("alpha.example".parse().unwrap(), clock);
    let token = Issuer::new().sign(|_, _| {});
    assert_eq!(verifier.verify(&token).unwrap_err(), TokenRefusal::TrustNotYetKnown);
}

#[test]
fn every_clone_believes_what_one_was_told() {
    let issuer = Issuer::new();
    let clone = issuer.verifier.clone();
    let successor = Issuer::new();
    let key = TokenKey::from_sec1(KID, successor.key.public_key_raw()).unwrap();
    let issuer_url = ISSUER.to_owned();
    issuer.verifier.replace_trust(TokenTrust {
        issuer: issuer_url,
        keys: vec![key],
        revoked: Default::default(),
    });
    assert_eq!(clone.verify(&issuer.sign(|_, _| {})), Err(TokenRefusal::WrongSignature));
    assert!(clone.verify(&successor.sign(|_, _| {})).is_ok());
}

#[test]
fn audience_may_be_a_single_text() {
    let issuer = Issuer::new();
    let mut claims = serde_json::to_value(claims()).unwrap();
    claims["aud"] = "alpha.example".into();
    let token = encode(&header(), &claims, &issuer.encoding_key()).unwrap();
    assert!(issuer.verifier.verify(&token).is_ok());
}

#[test]
fn keys_are_points_on_the_curve_in_either_form() {
    let issuer = Issuer::new();
    let point = issuer.key.public_key_raw();
    assert_eq!(TokenKey::from_sec1(KID, &point[1..]).err(), Some(TokenKeyError));
    assert_eq!(TokenKey::from_sec1(KID, &[4; 65]).err(), Some(TokenKeyError));
    assert_eq!(TokenKey::from_jwk(KID, "AA", "AA").err(), Some(TokenKeyError));
    assert_eq!(TokenKey::from_jwk(KID, "not base64url!", "AA").err(), Some(TokenKeyError));
    // RFC 7515 A.3.1.
    let (x, y) =
        ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    assert_eq!(TokenKey::from_jwk(KID, x, y).unwrap().kid(), KID);
}

/// An issuer, and a token of it that the verifier has seen and remembers.
fn remembered() -> (Issuer, String) {
    let issuer = Issuer::new();
    let token = issuer.sign(|_, _| {});
    let first = issuer.verifier.verify(&token).unwrap();
    assert_eq!(issuer.verifier.verify(&token).unwrap(), first);
    assert_eq!(issuer.verifier.verified.count(), 1);
    (issuer, token)
}

#[test]
fn remembered_token_is_refused_as_soon_as_it_or_its_user_is_revoked() {
    let (issuer, token) = remembered();
    issuer.believe(RevokedTokens { token_ids: ["token-1".to_owned()].into(), ..Default::default() });
    assert!(matches!(issuer.refusal(&token), TokenRefusal::Revoked { .. }));
    let now = moment(NOW);
    issuer.believe(RevokedTokens { subjects: [(claims().sub, now)].into(), ..Default::default() });
    assert!(matches!(issuer.refusal(&token), TokenRefusal::Revoked { .. }));
    issuer.believe(RevokedTokens::default());
    assert!(issuer.verifier.verify(&token).is_ok());
}

#[test]
fn remembered_token_is_refused_once_it_has_expired() {
    let (issuer, token) = remembered();
    let left = u64::try_from(claims().exp - NOW + CLOCK_SKEW_SECONDS).unwrap();
    issuer.clock.advance(Duration::from_secs(left - 1));
    assert!(issuer.verifier.verify(&token).is_ok());
    issuer.clock.advance(Duration::from_secs(1));
    assert!(matches!(issuer.refusal(&token), TokenRefusal::Expired { .. }));
}

#[test]
fn remembered_token_is_refused_once_its_key_is_withdrawn_or_replaced() {
    let (issuer, token) = remembered();
    let trust = |keys| TokenTrust { issuer: ISSUER.to_owned(), keys, revoked: Default::default() };
    issuer.verifier.replace_trust(trust(Vec::new()));
    assert_eq!(issuer.refusal(&token), TokenRefusal::UnknownKey);
    // Another key under the same identifier is another key.
    let other = Issuer::new();
    let key = TokenKey::from_sec1(KID, other.key.public_key_raw()).unwrap();
    issuer.verifier.replace_trust(trust(vec![key]));
    assert_eq!(issuer.refusal(&token), TokenRefusal::WrongSignature);
    assert!(issuer.verifier.verify(&other.sign(|_, _| {})).is_ok());
    issuer.believe(RevokedTokens::default());
    assert!(issuer.verifier.verify(&token).is_ok());
}

#[test]
fn remembered_token_is_refused_once_its_issuer_is_another() {
    let (issuer, token) = remembered();
    let key = TokenKey::from_sec1(KID, issuer.key.public_key_raw()).unwrap();
    issuer.verifier.replace_trust(TokenTrust {
        issuer: "https://idms.charlie.example".to_owned(),
        keys: vec![key],
        revoked: Default::default(),
    });
    assert_eq!(issuer.refusal(&token), TokenRefusal::WrongIssuer);
}

#[test]
fn nothing_is_remembered_of_a_bad_signature_or_an_expired_token() {
    let issuer = Issuer::new();
    let forged = Issuer::new().sign(|_, _| {});
    let expired = issuer.sign(|_, claims| claims.exp = NOW - 100);
    for token in [forged, expired] {
        assert!(issuer.verifier.verify(&token).is_err());
    }
    assert_eq!(issuer.verifier.verified.count(), 0);
}
