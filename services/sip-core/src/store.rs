//! What the replicas of the SIP core share, in the shared cache: challenges, registrations, counters.
//!
//! Everything expires. Losing it all means that users register anew; it never lets anybody in.

mod attempts;
mod challenges;
mod registrations;

pub use attempts::{AttemptLimits, Attempts, Subject};
pub use challenges::Challenges;
pub use registrations::{RegistrationEvent, Registrations, WatchItem};

/// Why the shared cache could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharedStateError {
    /// It is away, or answered too late.
    #[error("shared cache is unavailable")]
    Unavailable,
    /// Other replicas changed the same registration again and again.
    #[error("registration is being changed by others")]
    Contended,
    /// It holds something that this version cannot read.
    #[error("shared cache holds an unreadable entry")]
    Unreadable,
}

impl From<mcx_store::CacheError> for SharedStateError {
    fn from(error: mcx_store::CacheError) -> Self {
        tracing::debug!(%error, "shared cache failed");
        Self::Unavailable
    }
}
