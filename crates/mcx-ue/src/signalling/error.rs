//! Why a registration failed.

use mcx_aka::digest::DigestAlgorithm;
use std::time::Duration;

/// Why the signalling plane was not reached or said no.
#[derive(Debug, thiserror::Error)]
pub enum SignallingError {
    /// The SIP core cannot be reached, or the connection broke.
    #[error("connection with the SIP core failed: {0}")]
    Connection(#[from] std::io::Error),
    /// No connection, or no answer, until Timer F fired (RFC 3261 17.1.2.2).
    #[error("the SIP core did not answer within {0:?}")]
    TimedOut(Duration),
    /// 403: the identities, the response or the migration were refused.
    #[error("registration is forbidden")]
    Forbidden,
    /// 503 or 504: the SIP core, or the primary MC system behind it, is away.
    #[error("the SIP core cannot authenticate now (status {status})")]
    ServerUnavailable {
        /// The status code.
        status: u16,
        /// How long to wait, when it said so.
        retry_after: Option<Duration>,
    },
    /// The ISIM did not believe that the challenge came from the home network (TS 33.102 6.3.3): it is not answered.
    #[error("the network did not authenticate itself")]
    NetworkAuthenticationFailed,
    /// The response to a right challenge was refused: the network has another key.
    #[error("the response was refused")]
    ResponseRefused,
    /// Challenges went on being stale although the sequence number was resynchronised.
    #[error("resynchronisation did not help")]
    ResynchronisationFailed,
    /// The algorithm offered is none of the accepted ones.
    #[error("digest algorithm {offered} is not accepted")]
    AlgorithmNotAccepted {
        /// The token offered.
        offered: String,
        /// The accepted ones.
        accepted: Vec<DigestAlgorithm>,
    },
    /// The answer breaks the rules of SIP or AKA.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// Another final answer.
    #[error("the SIP core answered {status} {reason}")]
    Rejected {
        /// The status code.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
    /// The sequence numbers of the ISIM could not be kept, so the challenge was not answered.
    #[error("sequence numbers could not be kept: {0}")]
    SequencesNotKept(std::io::Error),
}
