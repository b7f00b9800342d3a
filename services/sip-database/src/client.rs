//! The typed clients of the SIP database, for the SIP core, the migration management server and operators' tools.
//!
//! A client is made over a channel that already knows whom to trust, such as one of `mcx_federation::Dialer`. Every call
//! has a deadline, takes trace, request id and remaining deadline of the call it serves along, and answers with a typed
//! error.

mod authentication;
mod error;
mod provisioning;

pub use authentication::SipAuthenticationClient;
pub use error::{ClientError, Reason};
pub use provisioning::{NewSubscriber, SubscriberClient};

use std::time::Duration;

use tonic::Request;

/// How long a call may take unless the client is told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

fn with_timeout<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}
