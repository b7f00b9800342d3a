//! TS 33.180 B.7.4, B.7.5, C.2 step 8: a visitor shows the security token of her primary MC system and gets tokens of this one, by the
//! JWT bearer grant (RFC 7523).

use mcx_runtime::procedure_step;
use mcx_store::StoreError;
use mcx_types::Timestamp;
use metrics::{Counter, counter};
use tracing::Instrument;

use super::App;
use super::issuing::{Issued, usable};
use super::randomness::uuid;
use super::tokens::{Authenticated, TokenError};
use crate::domain::account::Holder;
use crate::domain::grant::TokenFamily;
use crate::domain::scopes::Scopes;
use crate::domain::security_token::{Expected, SecurityTokenRefusal, named_issuer, remembered_until, verify};
use crate::error::Error;
use crate::store::{grants, migrations, partner_trusts, revocations};

/// What a client is told of a security token that is not taken, whatever the cause: of one that is good see [`NO_SCOPE`].
pub(crate) const ASSERTION_REFUSED: &str = "the assertion is not valid";
/// What a client is told whose security token is good, but for none of the scopes that it wants.
pub(crate) const NO_SCOPE: &str = "the user may have none of the scopes";

/// How it ended: a refusal, or a fault of ours.
enum BearerError {
    Refused(SecurityTokenRefusal),
    Fault(Error),
}

impl From<SecurityTokenRefusal> for BearerError {
    fn from(refusal: SecurityTokenRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for BearerError {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl From<StoreError> for BearerError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl App {
    /// Takes a security token, once, and issues tokens to the visitor whom it names.
    pub(crate) async fn take_security_token(
        &self,
        client: &Authenticated,
        assertion: &str,
        requested: &str,
    ) -> Result<Issued, TokenError> {
        match self.take(client, assertion, requested).await {
            Ok(issued) => {
                taken("issued", "none");
                Ok(issued)
            }
            Err(BearerError::Refused(refusal)) => {
                taken("refused", refusal.cause());
                tracing::info!(client_id = client.client_id, cause = %refusal, "security token refused");
                Err(match refusal {
                    // RFC 6749 5.2: with other scopes it would be taken.
                    SecurityTokenRefusal::NoScope => TokenError::InvalidScope(NO_SCOPE),
                    _ => TokenError::InvalidGrant(ASSERTION_REFUSED),
                })
            }
            Err(BearerError::Fault(error)) => Err(TokenError::Fault(error)),
        }
    }

    async fn take(
        &self,
        client: &Authenticated,
        assertion: &str,
        requested: &str,
    ) -> Result<Issued, BearerError> {
        // Says whose keys to try, and proves nothing.
        let issuer = named_issuer(assertion)?;
        let trust = partner_trusts::find_by_issuer(&self.database, &issuer).await?;
        let trust = trust.ok_or(SecurityTokenRefusal::UnknownIssuer)?.value;
        let token_endpoint = self.token_endpoint();
        let expected = Expected {
            own_issuer: &self.issuer,
            own_token_endpoint: &token_endpoint,
            client_id: &client.client_id,
        };
        let now = self.clock.now();
        let claims = verify(assertion, &trust.issuer, &trust.keys, expected, now)?;
        let span = procedure_step!(
            "33.180 C.2", 8, trust.mc_system_id, "ue" => self.own, "identity-management", "token request", claims.sub
        );
        async {
            let mut transaction = self.database.begin().await?;
            let forget_at = Timestamp::from_micros(remembered_until(&claims).saturating_mul(1_000_000));
            // In the database and not in the cache, which may be lost: of two who bring the same token one waits for the other here.
            let is_new =
                revocations::take_security_token(&mut transaction, &claims.iss, &claims.jti, forget_at)
                    .await?;
            if !is_new {
                return Err(SecurityTokenRefusal::Replayed.into());
            }
            let visitor = migrations::hold_visitor_of(&mut transaction, &claims.iss, &claims.sub).await?;
            let visitor = visitor.filter(|visitor| visitor.terms.is_valid_at(now));
            let visitor = visitor.ok_or(SecurityTokenRefusal::UserUnknown)?;
            let scopes = Scopes::requested(requested);
            let scopes = scopes.granted_out_of(&client.scopes).granted_out_of(&visitor.terms.scopes);
            let scopes = scopes.granted_out_of(&trust.allowed_scopes);
            let scopes = usable(&scopes, &visitor.terms.service_identities);
            if scopes.is_empty() {
                return Err(SecurityTokenRefusal::NoScope.into());
            }
            let ends_at = now.saturating_add(self.config.session_lifetime);
            let family = TokenFamily {
                id: uuid(&self.randomness),
                client_id: client.client_id.clone(),
                subject: visitor.subject.clone(),
                scopes: scopes.clone(),
                nonce: None,
                authenticated_at: now,
                ends_at: ends_at.min(visitor.terms.valid_until.unwrap_or(ends_at)),
                revoked_at: None,
            };
            grants::insert_family(&mut transaction, &family).await?;
            let issued = self.issue(&mut transaction, &family, &Holder::Visitor(visitor), scopes).await?;
            transaction.commit().await?;
            Ok(issued)
        }
        .instrument(span)
        .await
    }
}

fn taken(outcome: &'static str, cause: &'static str) {
    security_tokens(outcome, cause).increment(1);
}

/// There from the start: of a counter that appears with its first refusal, Prometheus sees no increase.
pub(crate) fn count_unknown_keys_from_zero() {
    security_tokens("refused", SecurityTokenRefusal::UnknownKey.cause()).increment(0);
}

fn security_tokens(outcome: &'static str, cause: &'static str) -> Counter {
    counter!("mcx_identity_management_security_tokens_total", "outcome" => outcome, "cause" => cause)
}
