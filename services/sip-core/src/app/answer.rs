//! What the registrar answers, before it is SIP text.

use crate::domain::registration::Registration;
use mcx_types::{Impu, Realm, Timestamp};
use std::time::Duration;

/// What a REGISTER is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterAnswer {
    /// 200.
    Registered(Box<Registered>),
    /// 401.
    Challenge(ChallengeOffer),
    /// 400.
    BadRequest(&'static str),
    /// 403, for whatever reason: a stranger is not told which.
    Forbidden,
    /// 423.
    IntervalTooBrief {
        /// The shortest lifetime in seconds.
        minimum_seconds: u64,
    },
    /// 500: older than the last request of the same `Call-ID`.
    OutOfOrder,
    /// 503.
    Unavailable {
        /// How long to wait.
        retry_after: Duration,
    },
    /// 504.
    TimedOut {
        /// How long to wait.
        retry_after: Duration,
    },
}

impl RegisterAnswer {
    /// The SIP status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Registered(_) => 200,
            Self::BadRequest(_) => 400,
            Self::Challenge(_) => 401,
            Self::Forbidden => 403,
            Self::IntervalTooBrief { .. } => 423,
            Self::OutOfOrder => 500,
            Self::Unavailable { .. } => 503,
            Self::TimedOut { .. } => 504,
        }
    }
}

/// A challenge as the UE sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeOffer {
    /// The realm: that of the private user identity.
    pub realm: Realm,
    /// base64(RAND ‖ AUTN).
    pub nonce: String,
    /// The algorithm token.
    pub algorithm: &'static str,
    /// The opaque value.
    pub opaque: String,
    /// Whether the nonce of the request was too old rather than its response wrong.
    pub stale: bool,
}

/// A registration as the UE is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The registration; `None` when no contact is left.
    pub registration: Option<Registration>,
    /// All public user identities of the user, the registered one first.
    pub associated_impus: Vec<Impu>,
    /// Now.
    pub at: Timestamp,
}
