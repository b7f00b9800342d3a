//! What an rpc refused.

use std::fmt::Debug;

use mcx_runtime::error::{RemoteError, decode_status};
use tonic::Status;

/// The error, taken apart.
///
/// # Panics
/// Where the rpc did what it was asked.
pub fn refusal<T: Debug>(outcome: Result<T, Status>) -> RemoteError {
    decode_status(&outcome.expect_err("the rpc was to refuse"))
}

/// The reason.
///
/// # Panics
/// Where the rpc did what it was asked.
pub fn reason<T: Debug>(outcome: Result<T, Status>) -> String {
    refusal(outcome).reason
}

/// The fields that are not as they must be.
///
/// # Panics
/// Where the rpc did what it was asked, or refused for another reason.
pub fn fields<T: Debug>(outcome: Result<T, Status>) -> Vec<String> {
    let refused = refusal(outcome);
    assert_eq!(refused.reason, "INVALID_REQUEST", "{refused}");
    refused.violations.into_iter().map(|violation| violation.field).collect()
}
