//! `POST /token`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcx_types::SourceNetwork;
use metrics::counter;
use secrecy::SecretString;
use serde_json::json;

use super::error::{too_often, uncached};
use super::form;
use crate::app::App;
use crate::app::issuing::Issued;
use crate::app::tokens::{Authenticated, ClientProof, TokenError};
use crate::domain::authorization::Parameters;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

pub(super) async fn token(
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
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn answer(app: &App, headers: &HeaderMap, body: &Bytes) -> Result<Response, TokenError> {
    let form = form::body(headers, body)
        .ok_or(TokenError::InvalidRequest("the body must be application/x-www-form-urlencoded"))?;
    let grant_type = form.get("grant_type")?.ok_or(TokenError::InvalidRequest("grant_type is required"))?;
    let grant = match grant_type {
        "authorization_code" => "code",
        "refresh_token" => "refresh",
        TOKEN_EXCHANGE => "exchange",
        JWT_BEARER => "bearer",
        _ => return Err(TokenError::UnsupportedGrantType),
    };
    let client = authenticated(app, headers, &form).await?;
    counter!("mcx_identity_management_token_requests_total", "grant" => grant).increment(1);
    let required =
        |name: &'static str, description| form.get(name)?.ok_or(TokenError::InvalidRequest(description));
    match grant {
        "code" => {
            let code = required("code", "code is required")?;
            let redirect_uri = required("redirect_uri", "redirect_uri is required")?;
            let verifier = required("code_verifier", "code_verifier is required")?;
            app.redeem_code(&client, code, redirect_uri, verifier).await.map(issued)
        }
        "refresh" => {
            let token = required("refresh_token", "refresh_token is required")?;
            app.refresh(&client, token, form.get("scope")?).await.map(issued)
        }
        "exchange" => exchange(app, &client, &form).await,
        _ => {
            let assertion = required("assertion", "assertion is required")?;
            let scope = form.get("scope")?.unwrap_or_default();
            app.take_security_token(&client, assertion, scope).await.map(issued)
        }
    }
}

/// RFC 8693 2.1, with what TS 33.180 B.7.2 leaves of it.
async fn exchange(app: &App, client: &Authenticated, form: &Parameters) -> Result<Response, TokenError> {
    let subject_token =
        form.get("subject_token")?.ok_or(TokenError::InvalidRequest("subject_token is required"))?;
    if !matches!(form.get("subject_token_type")?, Some(ACCESS_TOKEN | JWT)) {
        return Err(TokenError::InvalidRequest("subject_token_type must be that of an access token"));
    }
    if !matches!(form.get("requested_token_type")?, None | Some(JWT)) {
        return Err(TokenError::InvalidRequest("requested_token_type must be that of a jwt"));
    }
    if form.get("actor_token")?.is_some() {
        return Err(TokenError::InvalidRequest("actor_token is not supported"));
    }
    let resource = match (form.get("resource")?, form.get("audience")?) {
        (Some(resource), Some(audience)) if resource != audience => return Err(TokenError::InvalidTarget),
        (Some(target), _) | (None, Some(target)) => target,
        (None, None) => return Err(TokenError::InvalidRequest("resource is required")),
    };
    let issued = app.exchange(client, subject_token, resource).await?;
    Ok(uncached(
        Json(json!({
            "access_token": issued.token.as_str(),
            "issued_token_type": JWT,
            "token_type": "N_A",
            "expires_in": issued.expires_in.as_secs(),
        }))
        .into_response(),
    ))
}

fn issued(issued: Issued) -> Response {
    let mut document = json!({
        "access_token": issued.access_token.as_str(),
        "token_type": "Bearer",
        "expires_in": issued.expires_in.as_secs(),
        "scope": issued.scopes.to_string(),
    });
    for (name, token) in [("refresh_token", &issued.refresh_token), ("id_token", &issued.id_token)] {
        if let Some(token) = token {
            document[name] = token.as_str().into();
        }
    }
    uncached(Json(document).into_response())
}

/// RFC 6749 2.3.1: by HTTP basic authentication, or a public client by its name.
pub(super) async fn authenticated(
    app: &App,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<Authenticated, TokenError> {
    let named = form.get("client_id")?;
    if form.get("client_secret")?.is_some() {
        return Err(TokenError::InvalidRequest("a secret is to be shown by HTTP basic authentication"));
    }
    let proof = match headers.get(AUTHORIZATION) {
        Some(header) => {
            let (client_id, secret) =
                header.to_str().ok().and_then(basic).ok_or(TokenError::InvalidClient)?;
            if named.is_some_and(|named| named != client_id) {
                return Err(TokenError::InvalidRequest("client_id is not that of the authentication"));
            }
            ClientProof::Basic(client_id, secret)
        }
        None => {
            let client_id = named.ok_or(TokenError::InvalidRequest("client_id is required"))?;
            ClientProof::Name(client_id.to_owned())
        }
    };
    app.authenticate_client(proof).await
}

/// Name and secret, each encoded as a form is.
fn basic(header: &str) -> Option<(String, SecretString)> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let credentials =
        zeroize::Zeroizing::new(String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?);
    let (client_id, secret) = credentials.split_once(':')?;
    let decode = |text: &str| {
        // `=` and `&` are escaped in what is encoded: the text is one name without a value.
        url::form_urlencoded::parse(text.as_bytes())
            .next()
            .map(|(name, _)| name.into_owned())
            .unwrap_or_default()
    };
    Some((decode(client_id), SecretString::from(decode(secret))))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn basic_authentication_is_decoded_twice() {
        let header = format!("Basic {}", STANDARD.encode("my%2Dapp:a%3Ab+c"));
        let (client_id, secret) = basic(&header).unwrap();
        assert_eq!((client_id.as_str(), secret.expose_secret()), ("my-app", "a:b c"));
        for bad in ["", "Basic", "Basic !!!", "Bearer abc", &format!("Basic {}", STANDARD.encode("nocolon"))]
        {
            assert!(basic(bad).is_none(), "{bad}");
        }
    }
}
