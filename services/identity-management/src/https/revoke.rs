//! `POST /revoke`, RFC 7009.

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mcx_types::SourceNetwork;

use super::error::{too_often, uncached};
use super::form;
use super::token::authenticated;
use crate::app::App;
use crate::app::tokens::TokenError;

pub(super) async fn revoke(
    State(app): State<App>,
    Extension(source): Extension<SourceNetwork>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let limit = app.config.limits.token_requests_per_source_per_minute;
    if app.limits.count("token", source, limit).await.is_err() {
        return too_often();
    }
    match answer(&app, &headers, &body).await {
        Ok(()) => uncached(StatusCode::OK.into_response()),
        Err(error) => error.into_response(),
    }
}

async fn answer(app: &App, headers: &HeaderMap, body: &Bytes) -> Result<(), TokenError> {
    let form = form::body(headers, body)
        .ok_or(TokenError::InvalidRequest("the body must be application/x-www-form-urlencoded"))?;
    let client = authenticated(app, headers, &form).await?;
    let token = form.get("token")?.ok_or(TokenError::InvalidRequest("token is required"))?;
    // What kind of token it is is found out without the hint.
    Ok(app.revoke_token(&client, token).await?)
}
