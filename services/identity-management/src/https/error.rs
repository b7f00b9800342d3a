//! What HTTPS answers instead of what was asked: RFC 6749 5.2, RFC 6750 3, RFC 8693 2.2.2.

use axum::Json;
use axum::http::header::{CACHE_CONTROL, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use crate::app::tokens::{TokenError, UserInfoRefusal};
use crate::domain::authorization::Repeated;
use crate::error::Error;

/// After how many seconds a client may try again where something is away, and where it asked too often.
const RETRY_AFTER_FAULT: HeaderValue = HeaderValue::from_static("2");
const RETRY_AFTER_LIMIT: HeaderValue = HeaderValue::from_static("60");

/// Nothing that is answered here may be kept (RFC 6749 5.1).
pub(super) fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn refused(status: StatusCode, error: &str, description: &str) -> Response {
    uncached((status, Json(json!({ "error": error, "error_description": description }))).into_response())
}

/// A source asked too often.
pub(super) fn too_often() -> Response {
    let mut response = refused(
        StatusCode::TOO_MANY_REQUESTS,
        "temporarily_unavailable",
        "too many requests from this address",
    );
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_LIMIT);
    response
}

impl From<Repeated> for TokenError {
    fn from(_: Repeated) -> Self {
        Self::InvalidRequest("a parameter is repeated")
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let bad = |error, description| refused(StatusCode::BAD_REQUEST, error, description);
        match self {
            Self::InvalidRequest(description) => bad("invalid_request", description),
            Self::InvalidGrant(description) => bad("invalid_grant", description),
            Self::UnsupportedGrantType => bad("unsupported_grant_type", "the grant type is not supported"),
            Self::InvalidScope(description) => bad("invalid_scope", description),
            Self::InvalidTarget => bad("invalid_target", "the user may not migrate there"),
            Self::InvalidClient => {
                let mut response = refused(
                    StatusCode::UNAUTHORIZED,
                    "invalid_client",
                    "the client is not known, or did not prove who it is",
                );
                let challenge = HeaderValue::from_static("Basic realm=\"token\", charset=\"UTF-8\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
            Self::Fault(error) => fault(&error),
        }
    }
}

/// What is told of a fault of ours: nothing but that there is one.
pub(super) fn fault(error: &Error) -> Response {
    match error {
        Error::StoreUnavailable | Error::Overloaded => {
            tracing::warn!(%error, "https request not answered");
            let mut response =
                refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "try again in a moment");
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_FAULT);
            response
        }
        error => {
            let error_id = Uuid::new_v4();
            tracing::error!(%error, %error_id, "https request failed");
            let description = format!("internal error {error_id}");
            refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &description)
        }
    }
}

impl IntoResponse for UserInfoRefusal {
    fn into_response(self) -> Response {
        let (status, challenge) = match self {
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""),
            Self::InsufficientScope => {
                (StatusCode::FORBIDDEN, "Bearer error=\"insufficient_scope\", scope=\"openid\"")
            }
        };
        let mut response = uncached(status.into_response());
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}
