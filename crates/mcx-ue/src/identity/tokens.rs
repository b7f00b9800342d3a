//! What an identity management server gives.

use mcx_types::{McService, McServiceId, Subject, Timestamp};
use secrecy::SecretString;

/// The tokens of one user from one identity management server. Printed, their secrets are masked.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// Shown to the servers of the MC system with every call (RFC 6750).
    pub access_token: SecretString,
    /// Gets the next set without the user.
    pub refresh_token: Option<SecretString>,
    /// When the access token ends.
    pub expires_at: Timestamp,
    /// Who the user is to the server; known from an ID token.
    pub subject: Option<Subject>,
    /// Her MC service IDs in that MC system (TS 33.180 B.8); known from an ID token.
    pub mc_service_identities: Vec<(McService, McServiceId)>,
}

/// What the primary's identity management server issues for one partner's (TS 33.180 B.8): lives for minutes, and is used once.
#[derive(Debug)]
pub struct SecurityToken(pub(super) SecretString);

impl TokenSet {
    /// These tokens, with what a renewal leaves unsaid taken from the ones before.
    pub(super) fn succeeding(self, before: &Self) -> Self {
        let mc_service_identities = if self.mc_service_identities.is_empty() {
            before.mc_service_identities.clone()
        } else {
            self.mc_service_identities
        };
        Self {
            refresh_token: self.refresh_token.or_else(|| before.refresh_token.clone()),
            subject: self.subject.or_else(|| before.subject.clone()),
            mc_service_identities,
            ..self
        }
    }
}
