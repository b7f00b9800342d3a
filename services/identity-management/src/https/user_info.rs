//! `/userinfo`, OpenID Connect Core 5.3.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use mcx_types::{McService, SourceNetwork};
use serde_json::json;

use super::error::{too_often, uncached};
use crate::app::App;
use crate::app::tokens::UserInfoRefusal;

pub(super) async fn user_info(
    State(app): State<App>,
    Extension(source): Extension<SourceNetwork>,
    headers: HeaderMap,
) -> Response {
    let limit = app.config.limits.token_requests_per_source_per_minute;
    if app.limits.count("token", source, limit).await.is_err() {
        return too_often();
    }
    match answer(&app, &headers) {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

fn answer(app: &App, headers: &HeaderMap) -> Result<Response, UserInfoRefusal> {
    let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let token = header.and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
    });
    let user = app.user_information(token.ok_or(UserInfoRefusal::InvalidToken)?)?;
    let mut document = json!({ "sub": user.subject.as_str() });
    if let Some(mc_id) = &user.mc_id {
        document["mc_id"] = mc_id.as_str().into();
    }
    let claims =
        [(McService::Ptt, "mcptt_id"), (McService::Video, "mcvideo_id"), (McService::Data, "mcdata_id")];
    for (service, claim) in claims {
        if let Some(id) = user.service_ids.get(&service) {
            document[claim] = id.as_str().into();
        }
    }
    Ok(uncached(Json(document).into_response()))
}
