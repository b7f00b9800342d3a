//! Making tokens: what an access token, an ID token and a refresh token say, and that each is known to the store.

use std::time::Duration;

use mcx_federation::access_token::{ACCESS_TOKEN_TYPE, AccessTokenClaims, PrimaryClaim, Scope};
use mcx_store::Transaction;
use mcx_types::{McService, McServiceId, Subject, Timestamp};
use metrics::counter;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use super::randomness::{secret, uuid};
use crate::domain::account::{Holder, ServiceIdentities};
use crate::domain::grant::{TokenFamily, fingerprint};
use crate::domain::scopes::Scopes;
use crate::error::Error;
use crate::store::{grants, revocations};

/// How an own user proved who she is (`acr`): by a password. TS 33.180 B. How and when a visitor did only her primary MC system knows.
const PASSWORD: &str = "3gpp:acr:password";

/// What a client gets at the token endpoint.
pub(crate) struct Issued {
    pub(crate) access_token: Zeroizing<String>,
    pub(crate) expires_in: Duration,
    pub(crate) scopes: Scopes,
    pub(crate) refresh_token: Option<Zeroizing<String>>,
    pub(crate) id_token: Option<Zeroizing<String>>,
}

/// OpenID Connect Core 2, with the MC service IDs of TS 33.180 B.1.
#[derive(Serialize)]
struct IdTokenClaims<'a> {
    iss: &'a str,
    sub: &'a Subject,
    aud: &'a str,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcptt_id: Option<&'a McServiceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcvideo_id: Option<&'a McServiceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcdata_id: Option<&'a McServiceId>,
}

impl App {
    /// Issues tokens to `holder` for `family`, and notes them in the transaction.
    pub(crate) async fn issue(
        &self,
        transaction: &mut Transaction,
        family: &TokenFamily,
        holder: &Holder,
        scopes: Scopes,
    ) -> Result<Issued, Error> {
        let now = self.clock.now();
        let signer = self.signer()?;
        let sign = |token_type, claims: &_| signer.sign(token_type, claims).map_err(internal);
        let lifetime = self.config.access_token_lifetime;
        let ends_at =
            now.saturating_add(lifetime).min(holder.ends_at().unwrap_or(family.ends_at)).min(family.ends_at);
        // Tokens of the second in which the user was revoked are void: one issued after it says the second that follows.
        let revoked_at = revocations::subject_revoked_at(transaction, holder.subject()).await?;
        let issued_at =
            revoked_at.map_or(seconds(now), |revoked_at| seconds(now).max(seconds(revoked_at) + 1));
        let expires_at = seconds(ends_at).max(issued_at + 1);
        let token_id = uuid(&self.randomness).to_string();
        let claims = self.claims(family, holder, &scopes, token_id.clone(), (issued_at, expires_at));
        let access_token = sign(ACCESS_TOKEN_TYPE, &claims)?;
        let id_token = if scopes.contains(Scope::OpenId) {
            let ids = holder.service_identities();
            let is_own = matches!(holder, Holder::Own(_));
            let claims = IdTokenClaims {
                iss: &self.issuer,
                sub: holder.subject(),
                aud: &family.client_id,
                exp: expires_at,
                iat: seconds(now),
                auth_time: is_own.then(|| seconds(family.authenticated_at)),
                acr: is_own.then_some(PASSWORD),
                nonce: family.nonce.as_deref(),
                mcptt_id: ids.get(&McService::Ptt),
                mcvideo_id: ids.get(&McService::Video),
                mcdata_id: ids.get(&McService::Data),
            };
            Some(signer.sign("JWT", &claims).map_err(internal)?)
        } else {
            None
        };
        let forget_at = Timestamp::from_micros((expires_at + 60).saturating_mul(1_000_000));
        grants::insert_issued_token(transaction, &token_id, family.id, forget_at).await?;
        let refresh_token = self.issue_refresh_token(transaction, family.id, now, family.ends_at).await?;
        let kind = match holder {
            Holder::Own(_) => "own",
            Holder::Visitor(_) => "visitor",
        };
        counter!("mcx_identity_management_access_tokens_total", "holder" => kind).increment(1);
        let expires_in = Duration::from_secs(u64::try_from(expires_at - seconds(now)).unwrap_or_default());
        Ok(Issued { access_token, expires_in, scopes, refresh_token: Some(refresh_token), id_token })
    }

    async fn issue_refresh_token(
        &self,
        transaction: &mut Transaction,
        family_id: Uuid,
        now: Timestamp,
        ends_at: Timestamp,
    ) -> Result<Zeroizing<String>, Error> {
        let token = secret(&self.randomness);
        let expires_at = now.saturating_add(self.config.refresh_token_lifetime).min(ends_at);
        grants::insert_refresh_token(transaction, &fingerprint(&token), family_id, expires_at).await?;
        Ok(token)
    }

    fn claims(
        &self,
        family: &TokenFamily,
        holder: &Holder,
        scopes: &Scopes,
        token_id: String,
        (issued_at, expires_at): (i64, i64),
    ) -> AccessTokenClaims {
        let id = |service| holder.service_identities().get(&service).cloned();
        let (mc_id, primary, migration_id) = match holder {
            Holder::Own(account) => (Some(account.terms.mc_id.clone()), None, None),
            Holder::Visitor(visitor) => {
                let terms = &visitor.terms;
                let primary =
                    PrimaryClaim { iss: terms.primary_issuer.clone(), mc_system_id: terms.primary.clone() };
                (None, Some(primary), Some(terms.migration_id.to_string()))
            }
        };
        AccessTokenClaims {
            iss: self.issuer.clone(),
            sub: holder.subject().clone(),
            aud: vec![self.own.to_string()],
            exp: expires_at,
            iat: issued_at,
            nbf: None,
            jti: token_id,
            client_id: family.client_id.clone(),
            scope: scopes.to_string(),
            mc_id,
            mcptt_id: id(McService::Ptt),
            mcvideo_id: id(McService::Video),
            mcdata_id: id(McService::Data),
            primary,
            migration_id,
        }
    }
}

/// The scopes of MC services in which a user has no identity are worth nothing to her.
pub(crate) fn usable(scopes: &Scopes, identities: &ServiceIdentities) -> Scopes {
    let unusable = |scope: &Scope| {
        McService::ALL
            .into_iter()
            .any(|service| Scope::of_service(service) == *scope && !identities.contains_key(&service))
    };
    Scopes(scopes.0.iter().filter(|scope| !unusable(scope)).copied().collect())
}

pub(crate) fn seconds(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}
