//! Bodies of the form `application/x-www-form-urlencoded`.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

use crate::domain::authorization::Parameters;

/// Decodes parameters.
pub(super) fn parameters(encoded: &[u8]) -> Parameters {
    Parameters(url::form_urlencoded::parse(encoded).into_owned().collect())
}

/// Decodes a body; `None`: it is of another type.
pub(super) fn body(headers: &HeaderMap, body: &Bytes) -> Option<Parameters> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = content_type.split(';').next()?.trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded").then(|| parameters(body))
}
