//! An identity management server's signature for tests: access tokens with whatever claims a test wants.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mcx_federation::access_token::{
    ACCESS_TOKEN_TYPE, AccessTokenClaims, AccessTokenVerifier, RevokedTokens, Scope, TokenKey, TokenTrust,
};
use mcx_types::{Clock, McSystemId, SystemClock};
use rcgen::KeyPair;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use uuid::Uuid;

/// The id of the one key.
const KID: &str = "test-key";

/// How long a token is valid unless a test says otherwise.
const VALIDITY: Duration = Duration::from_mins(15);

/// Signs access tokens as the identity management server of one MC system, with a key of its own.
pub struct TestTokens {
    mc_system_id: McSystemId,
    key: KeyPair,
    clock: Arc<dyn Clock>,
}

impl TestTokens {
    /// A signer with a fresh key, whose tokens begin at the time of the machine.
    pub fn new(mc_system_id: McSystemId) -> Self {
        Self::with_clock(mc_system_id, Arc::new(SystemClock))
    }

    /// A signer with a fresh key, whose tokens begin at the time of `clock`, which its verifiers ask too.
    ///
    /// # Panics
    /// Where there is no randomness to make a key of.
    pub fn with_clock(mc_system_id: McSystemId, clock: Arc<dyn Clock>) -> Self {
        let key = KeyPair::generate().expect("a key can be made in memory");
        Self { mc_system_id, key, clock }
    }

    /// The issuer URL in the tokens.
    pub fn issuer(&self) -> String {
        format!("https://idms.{}", self.mc_system_id)
    }

    /// What whoever is to believe the tokens is told; nothing is revoked.
    pub fn trust(&self) -> TokenTrust {
        self.trust_without(RevokedTokens::default())
    }

    /// What whoever is to believe the tokens is told, except those `revoked`.
    pub fn trust_without(&self, revoked: RevokedTokens) -> TokenTrust {
        let key = TokenKey::from_sec1(KID, self.key.public_key_raw()).expect("the key is of the right kind");
        TokenTrust { issuer: self.issuer(), keys: vec![key], revoked }
    }

    /// A verifier that believes the tokens.
    pub fn verifier(&self) -> AccessTokenVerifier {
        let verifier = AccessTokenVerifier::new(self.mc_system_id.clone(), Arc::clone(&self.clock));
        verifier.replace_trust(self.trust());
        verifier
    }

    /// Good claims of a user of the own system with these scopes; a test changes what it is about. The user has an MC ID and an
    /// identity in each MC service, made of the subject.
    ///
    /// # Panics
    /// If the subject cannot be the user part of a SIP URI.
    pub fn claims(&self, subject: &str, scopes: &[Scope]) -> AccessTokenClaims {
        let system = &self.mc_system_id;
        let service_id = |service: &str| {
            Some(format!("sip:{subject}@{service}.{system}").parse().expect("a test names its users well"))
        };
        let now = self.clock.now();
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        AccessTokenClaims {
            iss: self.issuer(),
            sub: subject.parse().expect("a test names its users well"),
            aud: vec![system.to_string()],
            exp: now.saturating_add(VALIDITY).as_micros().div_euclid(1_000_000),
            iat: now.as_micros().div_euclid(1_000_000),
            nbf: None,
            jti: Uuid::new_v4().to_string(),
            client_id: "test-ue".to_owned(),
            scope: scopes.join(" "),
            mc_id: Some(format!("{subject}@{system}").parse().expect("a test names its users well")),
            mcptt_id: service_id("ptt"),
            mcvideo_id: service_id("video"),
            mcdata_id: service_id("data"),
            primary: None,
            migration_id: None,
        }
    }

    /// The token of these claims.
    ///
    /// # Panics
    /// Never for claims of this shape.
    pub fn sign(&self, claims: &AccessTokenClaims) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(KID.to_owned());
        let key = EncodingKey::from_ec_der(&self.key.serialize_der());
        encode(&header, claims, &key).expect("claims are json")
    }

    /// A good token of a user of the own system with these scopes; see [`TestTokens::claims`].
    pub fn token(&self, subject: &str, scopes: &[Scope]) -> String {
        self.sign(&self.claims(subject, scopes))
    }
}

/// The value of `authorization` for a token, marked as not to be shown.
///
/// # Panics
/// If the token is not printable ASCII.
pub fn bearer(token: &str) -> MetadataValue<Ascii> {
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {token}").parse().expect("a token is printable ascii");
    value.set_sensitive(true);
    value
}

/// A request that carries a token.
pub fn authorized<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", bearer(token));
    request
}
