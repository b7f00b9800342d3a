//! The edge to the entities that know users: the SIP database for own users, the migration management server for visitors.

use async_trait::async_trait;
use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::{AuthenticationVector, Auts, Rand};
use mcx_types::SipIdentities;
use std::time::Duration;

/// One vector and whom it is for: the "get SIP authentication information response" of TS 23.280 10.1.6.2 steps 6 and 9.
#[derive(Debug)]
pub struct AuthenticationInformation {
    /// The identities of the user: the private one as asked for, and all public ones that the source names.
    pub identities: SipIdentities,
    /// The algorithm of the user's scheme.
    pub algorithm: DigestAlgorithm,
    /// The vector, to be used once.
    pub vector: AuthenticationVector,
}

/// Where vectors come from.
#[async_trait]
pub trait AuthenticationInformationSource: Send + Sync + 'static {
    /// Asks for one vector (TS 23.280 10.1.6.2 step 2, TS 29.228 6.3.1).
    async fn get(&self, identities: &SipIdentities) -> Result<AuthenticationInformation, SourceError>;

    /// Carries an AUTS back and asks for a vector that the ISIM will accept (TS 33.102 6.3.5).
    async fn resynchronise(
        &self,
        identities: &SipIdentities,
        rand: &Rand,
        auts: &Auts,
    ) -> Result<AuthenticationInformation, SourceError>;
}

/// Why there is no vector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nobody has this private user identity.
    #[error("user is unknown")]
    UserUnknown,
    /// The public user identity is not of the private one.
    #[error("public user identity is not of the private one")]
    IdentitiesDoNotMatch,
    /// The user is barred.
    #[error("user is barred")]
    UserBarred,
    /// Binding, permit or agreement do not allow it now.
    #[error("not allowed: {reason}")]
    NotAllowed {
        /// The source's own reason, for the log.
        reason: String,
    },
    /// The binding says that the visitor is authenticated with credentials of the own SIP database.
    #[error("visitor is authenticated with local credentials")]
    LocalCredentials,
    /// The user's scheme is not one of AKA.
    #[error("authentication scheme is not supported")]
    SchemeNotSupported,
    /// The AUTS was not honoured.
    #[error("resynchronisation was refused")]
    ResynchronisationRefused,
    /// Too many requests for this user or of this system.
    #[error("rate limit was reached")]
    RateLimited {
        /// How long to wait.
        retry_after: Option<Duration>,
    },
    /// The source, or a system behind it, is away or answers nonsense.
    #[error("source is unavailable: {reason}")]
    Unavailable {
        /// The source's own reason, for the log.
        reason: String,
        /// How long to wait.
        retry_after: Option<Duration>,
    },
    /// No answer within the deadline.
    #[error("source did not answer in time")]
    TimedOut,
}
