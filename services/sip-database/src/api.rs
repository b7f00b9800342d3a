//! The gRPC services: decode, call the use case, encode.

mod key_encryption_key_service;
mod request;
mod sip_authentication_service;
mod subscriber_message;
mod subscriber_service;

pub(crate) use key_encryption_key_service::KeyEncryptionKeyApi;
pub(crate) use sip_authentication_service::SipAuthenticationApi;
pub(crate) use subscriber_service::SubscriberApi;

use mcx_runtime::error::{ErrorFacts, status};
use metrics::counter;
use tonic::Status;

use crate::error::SipDatabaseError;

/// The status of a refusal, counted by its reason.
fn refused(error: &SipDatabaseError) -> Status {
    counter!("mcx_sip_database_refusals_total", "reason" => error.reason()).increment(1);
    status(error)
}
