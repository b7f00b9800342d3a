//! Access tokens: how a UE proves, with each call, which user it acts for (TS 33.180 5.1.3.1, RFC 6750, RFC 9068).

mod claims;
mod scope;
#[cfg(test)]
mod tests;
mod trust;
mod verified;
mod watched;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwapOption;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use mcx_types::{Clock, McId, McService, McServiceId, McSystemId, Subject, Timestamp};

pub use claims::{ACCESS_TOKEN_TYPE, AccessTokenClaims, PrimaryClaim};
pub use scope::{Scope, UnknownScope};
pub use trust::{RevokedTokens, TokenKey, TokenKeyError, TokenTrust};
use verified::{VerifiedToken, VerifiedTokens};
pub use watched::TokenWatch;
use watched::WatchedTokens;

/// How far the clocks of the issuer and of ours may be apart, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 30;

/// The user for whom a UE calls, as her access token proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedUser {
    /// Who she is to the own identity management server.
    pub subject: Subject,
    /// With which identity she logged in; none for a visitor.
    pub mc_id: Option<McId>,
    /// The OAuth client that asked for the token.
    pub client_id: String,
    /// The id of the token (`jti`).
    pub token_id: String,
    /// What the token is good for. Scopes that are not ours are left out.
    pub scopes: BTreeSet<Scope>,
    /// Her identities in the MC services of this system.
    pub service_ids: BTreeMap<McService, McServiceId>,
    /// Her primary MC system, where she has migrated here.
    pub visitor_of: Option<McSystemId>,
    /// When the token was issued, to the second.
    pub issued_at: Timestamp,
    /// When it ends, to the second. A long stream is to end then too.
    pub expires_at: Timestamp,
}

/// Why an access token is not taken. For the log: a caller is told less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// The keys of the own identity management server have not been learnt yet.
    #[error("it is not known yet whose access tokens to believe")]
    TrustNotYetKnown,
    /// Not a JWS in compact form whose header and claims are those of an access token.
    #[error("the token is malformed: {reason}")]
    Malformed {
        /// The parser's finding, without any part of the token.
        reason: &'static str,
    },
    /// Another kind of token, such as an ID token.
    #[error("the token is not an access token")]
    WrongType,
    /// Not signed with ES256.
    #[error("the token is not signed with ES256")]
    WrongAlgorithm,
    /// No key of the own identity management server has the id that the header names.
    #[error("the token is signed with a key that is not known")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the signature of the token is wrong")]
    WrongSignature,
    /// Another issuer than the own identity management server.
    #[error("the token is of another issuer")]
    WrongIssuer,
    /// For other MC systems.
    #[error("the token is for somebody else")]
    WrongAudience,
    /// Issued, or valid from, later than now.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its time is over.
    #[error("the token expired at {at}")]
    Expired {
        /// When it did.
        at: Timestamp,
    },
    /// It was revoked, alone or with all of its user.
    #[error("the token {token_id} was revoked")]
    Revoked {
        /// The id of the token.
        token_id: String,
    },
}

/// What is believed, ready to look up.
struct Trusted {
    issuer: String,
    keys: HashMap<String, TokenKey>,
    /// Grows in place: what is added is little beside what is there.
    revoked: RwLock<RevokedTokens>,
}

impl Trusted {
    fn revoked(&self) -> RwLockReadGuard<'_, RevokedTokens> {
        // Whole after every addition, so that a panic elsewhere has not broken it.
        self.revoked.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells from an access token who calls. Clones share one state.
#[derive(Clone)]
pub struct AccessTokenVerifier {
    own_system: McSystemId,
    clock: Arc<dyn Clock>,
    trusted: Arc<ArcSwapOption<Trusted>>,
    verified: VerifiedTokens,
    watched: WatchedTokens,
}

impl fmt::Debug for AccessTokenVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessTokenVerifier")
            .field("own_system", &self.own_system)
            .field("has_trust", &self.trusted.load().is_some())
            .finish_non_exhaustive()
    }
}

impl AccessTokenVerifier {
    /// A verifier of tokens for `own_system` that believes nobody yet.
    pub fn new(own_system: McSystemId, clock: Arc<dyn Clock>) -> Self {
        Self {
            own_system,
            clock,
            trusted: Arc::default(),
            verified: VerifiedTokens::new(),
            watched: WatchedTokens::default(),
        }
    }

    /// The MC system that the tokens must be for.
    pub fn mc_system_id(&self) -> &McSystemId {
        &self.own_system
    }

    /// Replaces what is believed, in one step.
    pub fn replace_trust(&self, trust: TokenTrust) {
        let TokenTrust { issuer, keys, revoked } = trust;
        let keys = keys.into_iter().map(|key| (key.kid().to_owned(), key)).collect();
        let trusted = Arc::new(Trusted { issuer, keys, revoked: RwLock::new(revoked) });
        self.trusted.store(Some(Arc::clone(&trusted)));
        self.watched.tell_all(&trusted.revoked());
    }

    /// Adds to what no longer counts. To no avail before [`AccessTokenVerifier::replace_trust`]: then nobody is believed anyway. Not to be
    /// called while that runs: one of the two would be lost.
    pub fn revoke(&self, more: RevokedTokens) {
        if let Some(trusted) = self.trusted.load().as_ref() {
            trusted.revoked.write().unwrap_or_else(PoisonError::into_inner).add(more.clone());
            self.watched.tell(&more);
        }
    }

    /// Watches the token of a user, who has been verified, for as long as something goes on by it.
    pub fn watch(&self, user: &AuthenticatedUser) -> TokenWatch {
        let watch = self.watched.watch(user);
        // It may have been revoked after it was verified, and before it was watched.
        if let Some(trusted) = self.trusted.load().as_ref() {
            watch.tell(&trusted.revoked());
        }
        watch
    }

    /// Who the token speaks for.
    ///
    /// # Errors
    /// [`TokenRefusal`]; that a token has expired or was revoked is only said of one whose signature is good.
    pub fn verify(&self, token: &str) -> Result<AuthenticatedUser, TokenRefusal> {
        let trusted = self.trusted.load();
        let trusted = trusted.as_ref().ok_or(TokenRefusal::TrustNotYetKnown)?;
        let signed = self.signed(token, trusted)?;
        self.check(&signed.claims, trusted)?;
        Ok(signed.user.clone())
    }

    /// The token, if it is signed by a key that is believed now: verified once, and then remembered with that key.
    fn signed(&self, token: &str, trusted: &Trusted) -> Result<Arc<VerifiedToken>, TokenRefusal> {
        let hash = VerifiedTokens::hash(token);
        if let Some(known) = self.verified.get(&hash) {
            let is_believed = |key: &TokenKey| key.fingerprint() == known.key;
            if trusted.keys.get(&known.kid).is_some_and(is_believed) {
                return Ok(known);
            }
        }
        let signed = Arc::new(verify_signature(token, trusted)?);
        let until = moment(signed.claims.exp.saturating_add(CLOCK_SKEW_SECONDS));
        self.verified.put(hash, &signed, until, self.clock.now());
        Ok(signed)
    }

    fn check(&self, claims: &AccessTokenClaims, trusted: &Trusted) -> Result<(), TokenRefusal> {
        if claims.iss != trusted.issuer {
            return Err(TokenRefusal::WrongIssuer);
        }
        if !claims.aud.iter().any(|audience| audience == self.own_system.as_str()) {
            return Err(TokenRefusal::WrongAudience);
        }
        let now = seconds(self.clock.now());
        let begins = claims.nbf.map_or(claims.iat, |nbf| nbf.max(claims.iat));
        if begins > now.saturating_add(CLOCK_SKEW_SECONDS) {
            return Err(TokenRefusal::NotYetValid);
        }
        if claims.exp.saturating_add(CLOCK_SKEW_SECONDS) <= now {
            return Err(TokenRefusal::Expired { at: moment(claims.exp) });
        }
        if trusted.revoked().covers(&claims.jti, &claims.sub, moment(claims.iat)) {
            return Err(TokenRefusal::Revoked { token_id: claims.jti.clone() });
        }
        Ok(())
    }
}

/// The token, if its header is that of an access token and its signature that of a trusted key.
fn verify_signature(token: &str, trusted: &Trusted) -> Result<VerifiedToken, TokenRefusal> {
    use jsonwebtoken::errors::ErrorKind;
    // An algorithm that the library does not know, such as `none`, is a header that cannot be read.
    let header =
        decode_header(token).map_err(|_| TokenRefusal::Malformed { reason: "the header cannot be read" })?;
    if header.alg != Algorithm::ES256 {
        return Err(TokenRefusal::WrongAlgorithm);
    }
    if !header.typ.is_some_and(|typ| typ.eq_ignore_ascii_case(ACCESS_TOKEN_TYPE)) {
        return Err(TokenRefusal::WrongType);
    }
    // What must be understood (RFC 7515 4.1.11) is nothing that our issuer uses.
    if header.crit.is_some() {
        return Err(TokenRefusal::Malformed { reason: "the header has critical extensions" });
    }
    let key = header.kid.and_then(|kid| trusted.keys.get(&kid)).ok_or(TokenRefusal::UnknownKey)?;
    // Only the signature: the library would ask the clock of the machine, and not ours.
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = decode::<AccessTokenClaims>(token, key.decoding_key(), &validation);
    let claims = decoded.map(|decoded| decoded.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => TokenRefusal::WrongSignature,
        _ => TokenRefusal::Malformed { reason: "the claims or the signature cannot be read" },
    })?;
    Ok(VerifiedToken::new(key.kid().to_owned(), key.fingerprint(), claims))
}

fn user(claims: &AccessTokenClaims) -> AuthenticatedUser {
    let service_ids = [
        (McService::Ptt, &claims.mcptt_id),
        (McService::Video, &claims.mcvideo_id),
        (McService::Data, &claims.mcdata_id),
    ];
    AuthenticatedUser {
        subject: claims.sub.clone(),
        mc_id: claims.mc_id.clone(),
        client_id: claims.client_id.clone(),
        token_id: claims.jti.clone(),
        scopes: claims.scope.split(' ').filter_map(|scope| scope.parse().ok()).collect(),
        service_ids: service_ids
            .into_iter()
            .filter_map(|(service, id)| Some((service, id.clone()?)))
            .collect(),
        visitor_of: claims.primary.as_ref().map(|primary| primary.mc_system_id.clone()),
        issued_at: moment(claims.iat),
        expires_at: moment(claims.exp),
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}
