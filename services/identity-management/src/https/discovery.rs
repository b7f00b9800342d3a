//! What clients are told about this OpenID provider.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use mcx_federation::access_token::Scope;
use serde_json::{Value, json};

use super::error::fault;
use crate::app::App;
use crate::error::Error;

/// How long others may keep what is told here: much less than a key is known before it signs.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// `GET /.well-known/openid-configuration`, OpenID Connect Discovery 4, RFC 8414.
pub(super) async fn configuration(State(app): State<App>) -> Response {
    let issuer = &app.issuer;
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": app.token_endpoint(),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "scopes_supported": Scope::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:token-exchange",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ],
        "acr_values_supported": ["3gpp:acr:password"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "nonce", "mc_id", "mcptt_id", "mcvideo_id", "mcdata_id",
        ],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    });
    cached(document)
}

/// `GET /jwks`, RFC 7517 5.
pub(super) async fn json_web_key_set(State(app): State<App>) -> Response {
    let keys = app.trust.known(|known| known.map(|known| known.keys.clone()));
    let Some(keys) = keys else { return fault(&Error::StoreUnavailable) };
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.kid, "x": key.x, "y": key.y,
            })
        })
        .collect();
    cached(json!({ "keys": keys }))
}

fn cached(document: Value) -> Response {
    let mut response = Json(document).into_response();
    response.headers_mut().insert(CACHE_CONTROL, CACHE);
    response
}
