//! TS 33.180 B.7.2, B.7.3, C.2 step 6: a user of this MC system gets a security token for a partner, by token exchange (RFC 8693).

use std::time::Duration;

use mcx_runtime::procedure_step;
use metrics::counter;
use tracing::Instrument;
use zeroize::Zeroizing;

use super::App;
use super::issuing::seconds;
use super::randomness::uuid;
use super::tokens::{Authenticated, TokenError};
use crate::domain::account::Holder;
use crate::domain::security_token::SecurityTokenClaims;
use crate::store::migrations;

/// What a client is told of an access token that it cannot exchange, whatever the cause.
pub(crate) const SUBJECT_TOKEN_REFUSED: &str = "the subject token is not valid";

/// A security token.
pub(crate) struct SecurityToken {
    pub(crate) token: Zeroizing<String>,
    pub(crate) expires_in: Duration,
}

impl App {
    /// Steps 6a and 6b: verifies the access token and makes a token that only that partner takes, and only from that client.
    pub(crate) async fn exchange(
        &self,
        client: &Authenticated,
        subject_token: &str,
        resource: &str,
    ) -> Result<SecurityToken, TokenError> {
        let user = self.verifier.verify(subject_token).map_err(|refusal| {
            tracing::info!(client_id = client.client_id, cause = %refusal, "token exchange refused");
            exchanged("subject_token_refused");
            TokenError::InvalidRequest(SUBJECT_TOKEN_REFUSED)
        })?;
        let refused = |cause: &'static str| {
            tracing::info!(client_id = client.client_id, subject = %user.subject, cause, "token exchange refused");
            exchanged("subject_token_refused");
            TokenError::InvalidRequest(SUBJECT_TOKEN_REFUSED)
        };
        if user.client_id != client.client_id {
            return Err(refused("the access token is of another client"));
        }
        let span = procedure_step!(
            "33.180 C.2", 6, self.own, "ue" => self.own, "identity-management", "token exchange", user.subject
        );
        async {
            let mut transaction = self.database.begin().await?;
            let holder = self.holder(&mut transaction, &user.subject).await?;
            transaction.rollback().await?;
            let now = self.clock.now();
            match holder {
                Some(holder @ Holder::Own(_)) if holder.is_admitted_at(now) => {}
                // A visitor migrates from her primary MC system only.
                Some(_) | None => return Err(refused("its user may not migrate from here")),
            }
            let targets = migrations::targets(&self.database, &user.subject, resource).await?;
            let target = targets.iter().find(|target| target.valid_until.is_none_or(|until| now < until));
            let Some(target) = target else {
                tracing::info!(subject = %user.subject, client_id = client.client_id, "no such exchange target");
                exchanged("invalid_target");
                return Err(TokenError::InvalidTarget);
            };
            let issued_at = seconds(now);
            let ends_at = now.saturating_add(self.config.security_token_lifetime);
            let expires_at = seconds(ends_at.min(target.valid_until.unwrap_or(ends_at))).max(issued_at + 1);
            let claims = SecurityTokenClaims {
                iss: self.issuer.clone(),
                sub: user.subject.clone(),
                aud: vec![client.client_id.clone(), resource.to_owned()],
                exp: expires_at,
                iat: issued_at,
                jti: uuid(&self.randomness).to_string(),
            };
            let token = self.signer()?.sign("JWT", &claims);
            let token = token.map_err(|error| crate::error::Error::Internal(error.to_string()))?;
            tracing::info!(
                subject = %user.subject, partner = %target.partner, migration_id = %target.migration_id,
                "security token issued"
            );
            exchanged("issued");
            let expires_in = Duration::from_secs(u64::try_from(expires_at - issued_at).unwrap_or_default());
            Ok(SecurityToken { token, expires_in })
        }
        .instrument(span)
        .await
    }
}

fn exchanged(outcome: &'static str) {
    counter!("mcx_identity_management_token_exchanges_total", "outcome" => outcome).increment(1);
}
