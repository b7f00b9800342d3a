//! The typed clients of configuration management, for the MC service server, group management and migration management.
//!
//! A client is made over a channel that already knows whom to trust, such as one of `mcx_federation::Dialer`. Every call has a deadline,
//! takes trace, request id and remaining deadline of the call it serves along, and answers with a typed error.

mod effective;
mod error;
mod migration;
pub(crate) mod sharing;

pub use effective::{EffectiveProfile, EffectiveProfileClient};
pub use error::{ClientError, Reason};
pub use migration::MigrationConfigurationClient;

use std::time::Duration;

use tonic::Request;

/// How long a call may take unless the client is told otherwise: it may include one to a partner.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

fn with_timeout<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}
