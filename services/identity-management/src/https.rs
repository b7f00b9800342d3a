//! CSC-1: the OpenID provider over HTTPS (TS 33.180 annex B). Decode, call, encode, and nothing else.
//!
//! | path | does | source |
//! | --- | --- | --- |
//! | `/.well-known/openid-configuration`, `/jwks` | tells clients what there is | OpenID Connect Discovery 3 and 4, RFC 7517 |
//! | `/authorize` | shows the login page, and takes what was entered there | OpenID Connect Core 3.1.2 |
//! | `/token` | gives tokens for codes, refresh tokens, access tokens and security tokens | RFC 6749, RFC 8693, RFC 7523 |
//! | `/revoke` | takes tokens back | RFC 7009 |
//! | `/userinfo` | tells who the user is | OpenID Connect Core 5.3 |

mod authorize;
mod discovery;
mod error;
mod form;
mod page;
mod revoke;
mod server;
mod token;
mod user_info;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{
    HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use metrics::counter;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::app::App;
pub(crate) use server::HttpsServer;

/// Longest body of a request in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// The last parts of the paths, as metrics and spans name them.
const ENDPOINTS: [&str; 6] = ["openid-configuration", "jwks", "authorize", "token", "revoke", "userinfo"];

/// All paths, below the path of the issuer.
pub(crate) fn router(app: App) -> Router {
    let base = url::Url::parse(&app.issuer).map(|issuer| issuer.path().trim_end_matches('/').to_owned());
    let endpoints = Router::new()
        .route("/.well-known/openid-configuration", get(discovery::configuration))
        .route("/jwks", get(discovery::json_web_key_set))
        .route("/authorize", get(authorize::show).post(authorize::submit))
        .route("/token", post(token::token))
        .route("/revoke", post(revoke::revoke))
        .route("/userinfo", get(user_info::user_info).post(user_info::user_info))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(observed))
        .with_state(app);
    match base {
        Ok(base) if !base.is_empty() => Router::new().nest(&base, endpoints),
        _ => endpoints,
    }
}

/// A span that goes on with the trace of the caller, a count, and what browsers are told on every path.
async fn observed(request: Request, next: Next) -> Response {
    // Never the query, which holds what the client and the user are up to, and no path that somebody made up.
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    let endpoint = ENDPOINTS.into_iter().find(|endpoint| *endpoint == last).unwrap_or("other");
    let span = tracing::info_span!(
        "https request",
        otel.name = format!("{} /{endpoint}", request.method()),
        otel.kind = "server",
        http.response.status_code = tracing::field::Empty,
    );
    // Without an exporter there is no trace to join.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(request.headers())));
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    counter!("mcx_identity_management_https_requests_total", "endpoint" => endpoint, "status" => status.to_string())
        .increment(1);
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    response
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
